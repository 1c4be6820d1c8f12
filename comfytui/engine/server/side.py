"""The hub as the parts of one of several servers see it: what they tell carries its name."""

from msgspec.structs import replace

from comfytui.engine.hub import Hub, HubLike
from comfytui.engine.standing import LaneStanding
from comfytui.model import events as e
from comfytui.model.envelope import Envelope
from comfytui.model.state import Server, State


def side_of(hub: Hub, name: str) -> HubLike:
    """Return ``hub`` as the parts of the server of that name see it; without a name it is the only one."""
    return ServerSide(hub, name) if name else hub


class ServerSide:
    """One server's side of ``hub``."""

    def __init__(self, hub: Hub, name: str) -> None:
        self._hub, self._name = hub, name
        self.run_id = hub.run_id

    @property
    def state(self) -> State:
        """What is known of the run."""
        return self._hub.state

    @property
    def server(self) -> Server:
        """What is known of this server."""
        return self._hub.state.server_called(self._name)

    @property
    def lane(self) -> LaneStanding:
        """How the scenes stand that are on this server."""
        return self._hub.standing.on(self._name)

    @property
    def has_readers(self) -> bool:
        """Whether anybody reads along."""
        return self._hub.has_readers

    def publish(self, event: e.AnyEvent) -> Envelope:
        """Tell of ``event`` in the name of this server."""
        return self._hub.publish(self._signed(event))

    async def commit(self, event: e.AnyEvent) -> Envelope:
        """Tell of ``event`` in the name of this server, and return once it would survive the death of the machine."""
        return await self._hub.commit(self._signed(event))

    def _signed(self, event: e.AnyEvent) -> e.AnyEvent:
        if isinstance(event, e.ServerFact | e.ServerSample | e.RunNoted | e.PromptQueued):
            return replace(event, server=self._name)
        return event

    async def synced(self) -> None:
        """Return once everything published so far would survive the death of the machine."""
        await self._hub.synced()
