"""What a face holds of a run: a stream of envelopes to look at, and a lane for commands.

A live run in this process, a run of another process (joined over the local link) and an old journal are all one
:class:`Feed`, so every face works on all three.
"""

from collections.abc import AsyncIterator
from typing import Protocol

from msgspec import Struct

from comfytui.model.commands import AnyCommand
from comfytui.model.envelope import Envelope


class FeedChanged(Struct, frozen=True, kw_only=True):
    """News of the feed itself, not of the run: whether a runner is at its other end, and why (not).

    ``recorded``: nobody is expected there, since it is a recording; ``why`` says what of it cannot be read.
    """

    live: bool
    why: str = ""
    recorded: bool = False


class CaughtUp(Struct, frozen=True, kw_only=True):
    """What was recorded before has been told; what follows happens now. A face may paint from here."""


class AnotherRun(Struct, frozen=True, kw_only=True):
    """The run before is over, and what follows is another one, from its first envelope on: know nothing of the old."""


FeedItem = Envelope | FeedChanged | CaughtUp | AnotherRun


class Feed(Protocol):
    """A run as a face sees it."""

    def items(self) -> AsyncIterator[FeedItem]:
        """Return the run's envelopes from its first one on, then live ones as they happen.

        Facts come in order and complete; of samples only the newest may come. The iterator ends when nothing can
        follow any more (the run ended and its runner left); call it once per feed.
        """
        ...

    async def send(self, command: AnyCommand) -> None:
        """Hand ``command`` to the runner, starting one for a run that has none.

        The answer arrives as a ``CommandAnswered`` event. Raises ``Failure`` when no runner can be reached.
        """
        ...
