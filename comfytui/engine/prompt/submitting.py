"""Getting one prompt onto the server, exactly once as far as that can be known.

The prompt id is ours and journalled before the POST. It is no idempotency key, though: a repeated POST runs twice
(ComfyUI 0.3.64 and 0.8.0). So a POST that may have arrived is never repeated before ``/queue``, then ``/history`` have
been asked for it.
"""

from collections.abc import Awaitable, Callable
from typing import Any

from comfytui.engine.attempt.desk import Desk
from comfytui.engine.attempt.voice import AttemptVoice
from comfytui.engine.prompt.ending import unanswered
from comfytui.engine.prompt.signals import PromptSignals
from comfytui.engine.prompt.waiting import AWAY_LOOK, RESOLUTION
from comfytui.errors import Failure
from comfytui.sources.comfy.failures import TransportFailure
from comfytui.sources.comfy.wire import PromptRejection, PromptReply

AWAY = ("server.unreachable", "server.timeout")
"""Failures of a connection: nothing is wrong with the request."""
FIRST_PAUSE, LONGEST_PAUSE = 0.25, 5.0
"""Seconds between two tries while the server answers other requests."""
WITHDRAWAL = 5.0
"""Seconds for taking a prompt off again that was cancelled before it was known to have arrived."""
STILL_THERE = "The prompt could not be taken off the server; it may still run there"
UNHEEDED = "it does not heed an interrupt"
"""Why a prompt is still there that the server was asked to end."""

MakePrompt = Callable[[], Awaitable[dict[str, Any]]]
"""Makes the prompt, uploads included; called again when the server went away meanwhile."""


async def submit(
    desk: Desk, voice: AttemptVoice, make: MakePrompt, signals: PromptSignals, *, perhaps_sent: bool = False
) -> PromptReply | PromptRejection:
    """Post the prompt that ``voice`` speaks for, waiting for a server that is away; return what the server said.

    ``perhaps_sent``: somebody may have posted it before. Raises ``Failure``: ``server.lost`` when the server stays away
    for ``server_wait_seconds``, ``prompt.handed_over`` when another takes the scene meanwhile, ``prompt.interrupted``
    when ``signals`` tell of a cancellation before it is sent, and others as they come while the server is there.
    """
    prompt_id = voice.prompt_id
    pause, waited = FIRST_PAUSE, 0.0
    refusal: Failure | None = None
    while True:
        try:
            if perhaps_sent and await known(desk, prompt_id):
                return PromptReply(prompt_id=prompt_id, number=None, warnings=())
            perhaps_sent = False
            if refusal is None:
                return await _send(desk, make, prompt_id, signals)
        except Failure as failure:
            if failure.code == "prompt.interrupted":
                raise
            arrived = getattr(failure, "may_have_arrived", False)
            perhaps_sent = perhaps_sent or arrived
            if await desk.server.answers():
                waited += pause
                if failure.code not in AWAY:
                    if not arrived:
                        raise
                    refusal = failure  # of no use as an answer, but the prompt may be on the server
                if waited > desk.policy.server_wait_seconds:
                    raise Failure("server.lost", server=desk.http.address.url, why=failure.what) from None
                await signals.wait(pause)
                pause = min(LONGEST_PAUSE, pause * 2)
            elif not await _back(desk, signals, voice.scene):
                raise Failure("server.lost", server=desk.http.address.url, why=failure.what) from None
        if signals.cancelled:
            if perhaps_sent and not desk.server.away:
                await withdraw(desk, voice, within=WITHDRAWAL)
            raise Failure("prompt.interrupted")
        if refusal is not None and not perhaps_sent:
            raise refusal


async def _send(desk: Desk, make: MakePrompt, prompt_id: str, signals: PromptSignals) -> PromptReply | PromptRejection:
    """Post the prompt, unless it is cancelled."""
    if not signals.cancelled:
        prompt = await make()
        if not signals.cancelled:
            reply = await desk.http.submit(prompt, prompt_id, desk.client_id)
            desk.sent.set()
            return reply
    raise Failure("prompt.interrupted")


async def _back(desk: Desk, signals: PromptSignals, scene: str) -> bool:
    """Wait while the server is away; return whether it is still to be waited for, or there (or ``signals`` cancel).

    Raises ``Failure`` ``prompt.handed_over`` when another server takes the ``scene`` meanwhile.
    """
    while desk.server.away and not desk.server.lost and not signals.cancelled:
        patience, away = desk.patience(scene), desk.server.away_for()
        if patience is None:
            await signals.wait(max(1.0, desk.policy.server_wait_seconds))
        elif away >= patience - RESOLUTION:
            raise Failure("prompt.handed_over", server=desk.name, why=unanswered(away))
        else:
            await signals.wait(max(RESOLUTION, min(AWAY_LOOK, patience - away)))
    return not desk.server.lost


async def known(desk: Desk, prompt_id: str) -> bool:
    """Tell whether the server has the prompt: ``/queue`` first, then ``/history``, since it moves from one to other."""
    if (await desk.http.queue()).where(prompt_id) is not None:
        return True
    return await desk.http.history(prompt_id) is not None


async def withdraw(desk: Desk, voice: AttemptVoice, within: float = 30.0, every: float = 2.0) -> None:
    """Take the prompt of ``voice`` off the server: delete it while it waits, interrupt it (by id) while it runs.

    An interrupt may be lost, so it is repeated until the prompt has left the queue; when it has not ``within`` that
    many seconds, a warning of the attempt tells so, and why. Nobody else's prompt is touched.
    """
    began, prompt_id = desk.clock.monotonic(), voice.prompt_id
    while True:
        try:
            place = (await desk.http.queue()).where(prompt_id)
            if place is None:
                return
            why = "it is still in the server's queue" if place == "pending" else UNHEEDED
            if place == "pending":
                await desk.http.delete_pending([prompt_id])
            else:
                await desk.http.interrupt(prompt_id)
        except TransportFailure as failure:  # the server did not hear: it is asked again below
            why = failure.what
        if desk.clock.monotonic() - began >= within:
            voice.note("warning", f"{STILL_THERE}: {why}")
            return
        await desk.clock.sleep(min(every, 0.2 if desk.clock.monotonic() - began < 1 else every))
