"""What scenes took: in the run that is shown, and as long as that tells too little, in earlier ones of its workflow."""

import asyncio
from typing import TYPE_CHECKING

from comfytui.model.eta import ENOUGH, Known, Spent, learn, reminded
from comfytui.model.state import State

if TYPE_CHECKING:
    from comfytui.faces.tui.app import Dashboard

AFTER = 1.0
"""Seconds after which the screen stands, and there is time to look back."""


class Lessons:
    """Learns from each state of ``app``, and once from the runs before."""

    def __init__(self, app: "Dashboard") -> None:
        self._app = app
        self._own = Known()
        self._earlier: tuple[str, tuple[Spent, ...]] = ("", ())
        """A run, and what scenes took in those before it."""

    def begin(self) -> None:
        """Look back in a while, where there is anything to look back to."""
        if self._app.options.earlier is not None:
            self._app.set_timer(AFTER, self.look_back, name="earlier")

    def learn(self, state: State) -> Known:
        """Return what is known with ``state``."""
        self._own = learn(self._own, state)
        run, spent = self._earlier
        return reminded(self._own, spent) if spent and self._own.run == run else self._own

    def forget(self) -> None:
        """Begin anew: another run is shown."""
        self._own = Known()

    def look_back(self) -> None:
        """Have earlier runs read, unless this one has told enough itself."""
        run = self._app.mailbox.state.run
        if run is not None and run.ended_at is None and len(self._own.spent) < ENOUGH:
            self._app.run_worker(self._read(run.id), group="earlier", exit_on_error=False)

    async def _read(self, run: str) -> None:
        read = self._app.options.earlier
        if read is not None:
            self._earlier = run, await asyncio.to_thread(read)
            self._app.paint()
