"""Asking after the prompts of a run that is taken up again: ``/queue`` first, then ``/history``, then the disk."""

from collections.abc import Iterable

from comfytui.clock import Clock
from comfytui.engine.frames.shelves import Shelf
from comfytui.engine.recovery import Whereabouts
from comfytui.engine.server.connection import shelf_for
from comfytui.engine.server.credentials import Credentials
from comfytui.model.plan import ServerPlan
from comfytui.model.state import Attempt
from comfytui.sources.comfy.address import ServerAddress
from comfytui.sources.comfy.connect import check_server
from comfytui.sources.comfy.http import ComfyHttp


async def whereabouts(http: ComfyHttp, shelf: Shelf, attempts: Iterable[Attempt]) -> dict[str, Whereabouts]:
    """Return by prompt id where the prompts of ``attempts`` are. Raises ``Failure`` when the server does not tell.

    A prompt moves from the queue into history, so the queue is asked first: one that is in neither is nowhere.
    """
    queue = await http.queue()
    found = {}
    for attempt in attempts:
        place = queue.where(attempt.prompt_id)
        if place is not None:
            found[attempt.prompt_id] = Whereabouts(place=place)
        elif await http.history(attempt.prompt_id) is not None:
            found[attempt.prompt_id] = Whereabouts(place="history")
        else:
            files = len(await shelf.unreported(attempt.prefix, ()))
            found[attempt.prompt_id] = Whereabouts(place="nowhere", files=files)
    return found


async def ask(
    server: ServerPlan, credentials: Credentials, attempts: list[Attempt], clock: Clock
) -> dict[str, Whereabouts]:
    """Return where the prompts of ``attempts``, which are on ``server``, are, without starting or changing anything.

    The built-in simulator goes with its runner, and so do its prompts. Raises ``Failure`` when ``server`` does not
    answer, or is not what it should be.
    """
    if server.simulator_speed is not None:
        return {attempt.prompt_id: Whereabouts(place="nowhere") for attempt in attempts}
    address = ServerAddress.parse(server.url, token=credentials.token, headers=credentials.headers)
    async with ComfyHttp(address) as http:
        shelf = shelf_for(server, await check_server(http), http, clock)
        return await whereabouts(http, shelf, attempts)
