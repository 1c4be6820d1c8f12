"""The past runs of a runs folder, for the dashboard."""

from collections.abc import AsyncIterator, Sequence
from pathlib import Path
from typing import TYPE_CHECKING

from comfytui.errors import Failure
from comfytui.model.commands import AnyCommand
from comfytui.model.feed import CaughtUp, Feed, FeedItem
from comfytui.records.rundir import find_run

if TYPE_CHECKING:
    from comfytui.model.catalog import RunEntry, SceneChange


class PastRuns:
    """The runs under ``runs_dir``, read in threads."""

    def __init__(self, runs_dir: Path) -> None:
        self._runs_dir = runs_dir

    @property
    def place(self) -> str:
        """The runs folder."""
        return str(self._runs_dir)

    async def runs(self) -> Sequence["RunEntry"]:
        """Return all runs, the newest first."""
        from anyio import to_thread

        from comfytui.records.registry.index import list_entries

        return await to_thread.run_sync(list_entries, self._runs_dir)

    async def compare(self, before: str, after: str) -> Sequence["SceneChange"]:
        """Return two runs scene by scene. Raises ``Failure`` ``run.not_found``, ``run.no_record``."""
        from anyio import to_thread

        from comfytui.records.registry.comparing import compare

        left, right = find_run(self._runs_dir, before), find_run(self._runs_dir, after)
        return await to_thread.run_sync(compare, left, right)

    def open(self, run_id: str) -> Feed:
        """Return the record of a run as a feed. Raises ``Failure`` ``run.not_found``, ``journal.unreadable``."""
        from comfytui.link.replay import ReplayFeed
        from comfytui.records.recorded import recorded_as

        return ReplayFeed(recorded_as(run_id, self._runs_dir))


class NoFeed:
    """The feed of a dashboard that only looks past runs over."""

    async def items(self) -> AsyncIterator[FeedItem]:
        """Return nothing but that nothing will come."""
        yield CaughtUp()

    async def send(self, command: AnyCommand) -> None:
        """Refuse ``command``. Raises ``Failure`` ``run.no_runner``."""
        raise Failure("run.no_runner", run="(past runs are only looked over)")
