"""Taking a run up again after whatever death: what journal, disk and server say becomes a plan, and the plan facts."""

from collections.abc import Iterable
from contextlib import suppress

from anyio import to_thread

from comfytui.engine.hub import Hub
from comfytui.engine.recovery import SceneRecovery, Whereabouts, nothing_to_do, open_attempts, recovery_plan
from comfytui.engine.server.connection import Connection
from comfytui.engine.server.witnesses import whereabouts
from comfytui.errors import Failure
from comfytui.model import events as e
from comfytui.model.state import State
from comfytui.records.damage import LostFrame, damage, lost_frames
from comfytui.records.journal import JournalReading
from comfytui.records.rundir import RunDir

MOST_LINES = 20
"""The most unreadable lines of a journal that are told one by one."""


class TakingUp:
    """How the run in ``run_dir``, of which ``hub`` knows what its journal tells, is taken up again."""

    def __init__(self, hub: Hub, run_dir: RunDir) -> None:
        self._hub, self._run_dir = hub, run_dir
        self._lost: list[LostFrame] = []

    async def look(self) -> None:
        """Hold the frames of the scenes that are done to their hashes."""
        self._lost = await to_thread.run_sync(lost_frames, self._run_dir, self._hub.state)

    @property
    def nothing_to_do(self) -> bool:
        """Whether the run is complete, and all of it stays as it is."""
        return nothing_to_do(self._hub.state, self._plan({}))

    @property
    def needs_server(self) -> bool:
        """Whether anything is left to do on a server: to render, to watch, or to end one that this run started."""
        state = self._hub.state
        return any(server.own is not None for server in state.servers) or any(
            each.action != "skip" for each in self._plan({})
        )

    async def begin(self, connections: Iterable[Connection]) -> None:
        """Look for the open prompts, tell what becomes of each scene, and open those again that are to be rendered."""
        state = self._hub.state
        found: dict[str, Whereabouts] = {}
        for connection in connections:
            desk = connection.desk
            there = [attempt for attempt in open_attempts(state.scenes) if attempt.server_name == desk.name]
            with suppress(Failure):  # it went away again; each attempt waits for it and looks for itself
                found |= await whereabouts(desk.http, desk.shelf, there)
        for each in self._plan(found):
            self._tell(state, each)
        for lost in self._lost:  # after the scenes are open again: whoever dies in between finds both once more
            why = f"it {lost.why}"
            self._hub.publish(e.FrameLost(scene=lost.scene, attempt=lost.attempt, name=lost.name, why=why))
        if state.run is not None and state.run.held:
            self._hub.publish(e.QueueHeld(held=False))
        await self._hub.synced()

    def _tell(self, state: State, each: SceneRecovery) -> None:
        scene = state.scene(each.scene)
        if scene is None or each.action == "skip":
            return
        if not each.reopens:
            if scene.attempts:
                self._hub.publish(e.RunNoted(scene=scene.id, text=f"Resumed, {each.action}: {each.why}"))
            return
        self._hub.publish(
            e.SceneReopened(scene=scene.id, reason=f"resumed: {each.why}", seed=scene.seed, prompt=scene.prompt)
        )

    def _plan(self, found: dict[str, Whereabouts]) -> tuple[SceneRecovery, ...]:
        return recovery_plan(self._hub.state, found, damage(self._lost))


def journal_notes(reading: JournalReading, told: Iterable[str]) -> list[e.RunNoted]:
    """Return what is to be said of the lines that could not be read, once each: ``told`` are the texts said before."""
    said = tuple(told)
    notes = []
    for line, why in reading.problems[:MOST_LINES]:
        begin = f"Line {line} of the journal cannot be read"
        if not any(text.startswith(f"{begin}: ") for text in said):
            notes.append(e.RunNoted(level="warning", text=f"{begin}: {why}; it is left where it is"))
    if reading.corrupt > MOST_LINES and notes:
        text = f"{reading.corrupt} lines of the journal cannot be read in all"
        notes.append(e.RunNoted(level="warning", text=text))
    return notes
