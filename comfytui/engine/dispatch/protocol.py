"""What the foreman asks of whoever renders: take an attempt, give it up, tell what happens, say how much fits.

The servers of the run stand behind it (:mod:`comfytui.engine.dispatch.stations`); a queue that hands prompts to
somebody else's servers could as well.
"""

from typing import Literal, Protocol

from comfytui.engine.lanes import Capacity


class Client(Protocol):
    """Whose attempts they are: knows what has become of a scene meanwhile."""

    def given_up(self, scene_id: str) -> bool:
        """Tell whether nobody wants the scene any more."""
        ...

    def is_due(self, scene_id: str) -> bool:
        """Tell whether another attempt follows the newest one of the scene, which has ended."""
        ...


class Dispatch(Protocol):
    """Renders attempts."""

    def capacity(self) -> Capacity:
        """Return how many prompts each server may have at a time, by name; one that takes none now is not in it."""
        ...

    async def submit(self, scene_id: str, client: Client, *, taken_over: bool = False) -> None:
        """Take the newest attempt of that scene to its end, which is a fact, on the server that it names.

        ``taken_over``: a runner that is gone has planned it, so that its prompt may be there already. Raises
        ``Failure`` ``run.unwritable``.
        """
        ...

    def cancel(self, scene_id: str, how: Literal["give_up", "recall"] = "give_up") -> None:
        """End what is under way of that scene; ``recall`` only what has not begun, so that another server takes it."""
        ...

    async def events(self) -> None:
        """Tell the hub what happens on the servers, until cancelled."""
        ...

    def read_log(self, server: str) -> str:
        """Have the log of that server (empty: of each) read into a sample; return why that cannot be, else nothing."""
        ...
