"""From the one socket of the run to the attempts that wait: each message becomes a hint, a sample, or a fact."""

from collections.abc import AsyncIterable, Callable

from msgspec import Struct

from comfytui.clock import Clock
from comfytui.engine.hub import HubLike
from comfytui.engine.prompt.signals import PromptSignals
from comfytui.model import events as e
from comfytui.model.workflow import Workflow
from comfytui.sources.comfy import messages as m
from comfytui.sources.comfy.socket import ComfySocket, SocketClosed, SocketEvent, SocketOpened, SocketRefused

PROGRESS_INTERVAL = 0.1
"""Seconds between two progress samples of one prompt: a fast sampler sends a thousand messages a second."""
PROBE_AFTER = 60.0
"""Seconds of silence after which the socket is replaced by one that is seen to hear (a reconnected one may not)."""


class Watched(Struct):
    """A prompt of ours on the server: whose it is, and when its progress was last shown (monotonic seconds)."""

    signals: PromptSignals
    scene: str
    attempt: int
    shown_at: float = float("-inf")


class Router:
    """Keeps the signals of the prompts that are on the server, and feeds them from the socket."""

    def __init__(self, hub: HubLike, clock: Clock, workflow: Workflow | None) -> None:
        self._hub, self._clock = hub, clock
        self._titles = workflow.node_titles if workflow else {}
        self._watched: dict[str, Watched] = {}
        self.heard_at = clock.monotonic()
        self.open = False
        self.opened_at = self.heard_at
        """When (monotonic) it was last found open after it was not."""
        self.on_socket: Callable[[bool], None] = lambda _: None
        """Called when the socket opens (True), and when it ends (False)."""

    def watch(self, prompt_id: str, scene: str, attempt: int) -> PromptSignals:
        """Return the signals of the prompt, from now on."""
        watched = Watched(PromptSignals(self._clock), scene, attempt)
        self._watched[prompt_id] = watched
        return watched.signals

    def rename(self, prompt_id: str, server_id: str) -> None:
        """Hear of the prompt under the id that the server gave it; what came under it before now was missed."""
        watched = self._watched.pop(prompt_id, None)
        if watched is not None:
            self._watched[server_id] = watched
            watched.signals.missed()

    def forget(self, prompt_id: str) -> None:
        """Hear no more of the prompt."""
        self._watched.pop(prompt_id, None)

    def signals_of(self, scene: str) -> list[PromptSignals]:
        """Return the signals of the scene's prompts that are on the server."""
        return [watched.signals for watched in self._watched.values() if watched.scene == scene]

    def presence(self, here: bool) -> None:
        """Learn that the server is back (``here``) or gone: the prompts on it are to be looked at, or left alone."""
        for watched in self._watched.values():
            if here:
                watched.signals.missed()
            else:
                watched.signals.stir()

    def stir(self) -> None:
        """Let whoever waits for a prompt look again: something changed about other servers."""
        for watched in self._watched.values():
            watched.signals.stir()

    async def listen(self, items: AsyncIterable[SocketEvent]) -> None:
        """Hand on each of ``items`` of the socket, until cancelled."""
        async for item in items:
            self.take(item)

    async def keep_hearing(self, socket: ComfySocket) -> None:
        """Replace a socket that has long been silent, until cancelled.

        After a reconnect under the same client id the server may drop the new socket's registration while the
        connection stays open (ComfyUI 0.3.64 and 0.8.0): it then hears nothing for ever.
        """
        while True:
            silent = self._clock.monotonic() - self.heard_at
            if silent < PROBE_AFTER or not self.open:
                await self._clock.sleep(max(1.0, PROBE_AFTER - silent))
            elif not await socket.probe():
                self._socket("silent", "it no longer answers; connecting anew")

    def take(self, item: SocketEvent) -> None:
        """Turn one item of the socket into hints, samples and facts."""
        match item:
            case SocketOpened():
                self._socket("open", "")
                self.presence(True)
                self.on_socket(True)
            case SocketClosed(why=why):
                self._socket("closed", why)
                self.on_socket(False)
            case SocketRefused(why=why):
                self._socket("refused", why)
            case m.Status(remaining=int(remaining)):
                self.heard_at = self._clock.monotonic()
                self._hub.publish(queue_depth(self._hub, remaining))
            case _:
                self.heard_at = self._clock.monotonic()
                about = self._watched.get(getattr(item, "prompt_id", None) or "")
                if about is not None:
                    about.signals.moved()
                    self._hint(about, item)

    def _socket(self, state: e.SocketWord, why: str) -> None:
        self.heard_at = self._clock.monotonic()
        if state == "open" and not self.open:
            self.opened_at = self.heard_at
        self.open = state == "open"
        server = self._hub.server
        if server.away_since is not None and state == server.socket:
            return  # each try in vain may have a reason of its own
        if (server.socket, server.socket_why) != (state, why):
            self._hub.publish(e.SocketChanged(state=state, why=why))

    def _hint(self, watched: Watched, message: m.Message) -> None:
        signals = watched.signals
        match message:
            case m.ExecutionStart() | m.ExecutionCached():
                signals.started()
            case m.Executing(node=None) | m.ExecutionError() | m.ExecutionInterrupted():
                signals.over()
            case m.ExecutionSuccess():
                signals.ending()
            case m.ProgressState():
                signals.started()
                signals.nodes_done = message.finished
                for node, value, maximum in message.running[:1]:
                    self._progress(watched, node, value, maximum)
            case m.Progress(node=str(node)):
                signals.started()
                self._progress(watched, node, message.value, message.maximum)
            case m.Executing(node=str(node)):
                signals.started()
                self._progress(watched, node, 0.0, 0.0)
            case _:
                signals.heard()

    def _progress(self, watched: Watched, node: str, value: float | None, maximum: float | None) -> None:
        now = self._clock.monotonic()
        value, maximum = value or 0.0, maximum or 0.0
        if now - watched.shown_at < PROGRESS_INTERVAL and value < maximum:
            return
        watched.shown_at = now
        self._hub.publish(
            e.Progress(
                scene=watched.scene,
                attempt=watched.attempt,
                node=node,
                title=self._titles.get(node, node),
                value=value,
                maximum=maximum,
                nodes_done=watched.signals.nodes_done,
                nodes_total=len(self._titles),
            )
        )


def queue_depth(hub: HubLike, remaining: int) -> e.QueueDepth:
    """Return who the ``remaining`` prompts of the server belong to, as far as we know our own."""
    ours = hub.lane.count("planned", "queued", "executing")
    return e.QueueDepth(ours=min(ours, remaining), others=max(0, remaining - ours))
