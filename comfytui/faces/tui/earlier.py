"""What scenes took in earlier runs of the workflow: read once, when the dashboard stands, for a run that is young."""

import asyncio
from typing import TYPE_CHECKING

from comfytui.model.eta import ENOUGH, Known, Spent, reminded

if TYPE_CHECKING:
    from comfytui.faces.tui.app import Dashboard

AFTER = 1.0
"""Seconds after which the screen stands, and there is time to look back."""


class Earlier:
    """Has the past of the run of ``app`` read, and adds it to what is known of this run."""

    def __init__(self, app: "Dashboard") -> None:
        self._app = app
        self._of = ""
        self._spent: tuple[Spent, ...] = ()

    def begin(self) -> None:
        """Look back in a while, where there is anything to look back to."""
        if self._app.options.earlier is not None:
            self._app.set_timer(AFTER, self.look, name="earlier")

    def look(self) -> None:
        """Have earlier runs read, unless this one has told enough itself."""
        run = self._app.mailbox.state.run
        if run is not None and run.ended_at is None and len(self._app.view().known.spent) < ENOUGH:
            self._app.run_worker(self._read(run.id), group="earlier", exit_on_error=False)

    def remind(self, known: Known) -> Known:
        """Return ``known`` with what earlier runs took, as far as its own run has not told it yet."""
        return reminded(known, self._spent) if self._spent and known.run == self._of else known

    async def _read(self, run: str) -> None:
        read = self._app.options.earlier
        if read is not None:
            self._of, self._spent = run, await asyncio.to_thread(read)
            self._app.paint()
