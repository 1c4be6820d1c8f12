"""What a person orders of the run from here: which scenes are meant, what is asked first, the command that is sent."""

from collections.abc import Callable, Sequence
from typing import TYPE_CHECKING

from comfytui.faces.tui.panes.figures import plural
from comfytui.model import commands
from comfytui.model.state import Scene

if TYPE_CHECKING:
    from comfytui.faces.tui.app import Dashboard
    from comfytui.faces.tui.screens.rerun_form import Changes

Fits = Callable[[Scene], bool]
Make = Callable[[str, tuple[str, ...]], commands.AnyCommand]


class Orders:
    """The orders of the app, kept apart from it: each finds its scenes and sends one command."""

    def __init__(self, app: "Dashboard") -> None:
        self.app = app

    def give(self, name: str) -> None:
        """Give the order called ``name``: one of the methods below."""
        if not self.app.refuses():
            getattr(self, name)()

    def meant(self) -> list[Scene]:
        """Return the scenes that a key means: the one that is open, else the marked ones, else the selected one."""
        if getattr(self.app.screen, "scene_id", None) is None and (marked := self.app.deck.scenes.marked):
            return marked
        scene = self.app.actions.scene()
        return [scene] if scene is not None else []

    def hold(self) -> None:
        """Hold the queue, or release it."""
        run = self.app.mailbox.state.run
        held = run is not None and run.held
        self.app.send(lambda ticket: commands.Release(id=ticket) if held else commands.Hold(id=ticket))

    def rerun(self) -> None:
        """Ask for the scenes once more."""
        meant = self.meant()
        scenes = meant if len(meant) == 1 else self._fitting(_over, "not over yet")
        self._send(scenes, _over, lambda ticket, ids: commands.Rerun(id=ticket, scenes=ids))

    def rerun_failed(self) -> None:
        """Ask for every failed scene once more; more than one are asked about first."""
        failed = [scene for scene in self.app.mailbox.state.scenes if scene.phase == "failed"]
        if not failed:
            self.app.say("No scene has failed.", "dim")
            return

        def send() -> None:
            self._send(failed, _over, lambda ticket, ids: commands.Rerun(id=ticket, scenes=ids))

        text = "Each is rendered once more, with a fresh prefix and seed."
        self._once_sure(f"Rerun all {len(failed):,} failed scenes?", text, send, ask=len(failed) > 1)

    def rerun_with(self) -> None:
        """Ask for a seed and a prompt, and then for the scenes with them."""
        scenes = self._fitting(_over, "not over yet")
        if not scenes:
            return
        from comfytui.faces.tui.screens.rerun_form import RerunForm

        def filled(changes: "Changes | None") -> None:
            if changes is not None:
                self._send(
                    scenes,
                    _over,
                    lambda ticket, ids: commands.Rerun(id=ticket, scenes=ids, seed=changes.seed, prompt=changes.prompt),
                )

        self.app.push_screen(RerunForm(scenes), filled)

    def cancel(self) -> None:
        """Ask whether the scenes are to be given up, and give them up."""
        scenes = self._fitting(_goes_on, "over already")
        if not scenes:
            return
        busy = sum(scene.phase in ("executing", "collecting") for scene in scenes)
        text = "Its prompt is interrupted on the server; frames proven so far are kept."
        if not busy:
            text = "What waits is taken out of the queue; nothing of it is rendered."
        question = f"Cancel {scenes[0].id}?" if len(scenes) == 1 else f"Cancel {len(scenes):,} scenes?"
        if busy and len(scenes) > 1:
            text = f"{plural(busy, 'prompt')} of them at work: interrupted, and proven frames kept. The others wait."

        def send() -> None:
            self._send(scenes, _goes_on, lambda ticket, ids: commands.Cancel(id=ticket, scenes=ids))

        self._once_sure(question, text, send)

    def skip(self) -> None:
        """Let the scenes be passed over while they wait."""
        scenes = self._fitting(_waits, "not waiting; what is on the server is cancelled, not skipped")
        self._send(scenes, _waits, lambda ticket, ids: commands.Skip(id=ticket, scenes=ids))

    def later(self) -> None:
        """Let the scenes be rendered one place later."""
        self._move(1)

    def earlier(self) -> None:
        """Let the scenes be rendered one place earlier."""
        self._move(-1)

    def _move(self, by: int) -> None:
        scenes = self._fitting(_waits, "not waiting for a turn")
        if scenes:
            self.app.deck.scenes.show_turns()
            ids = tuple(scene.id for scene in scenes)
            self.app.send(lambda ticket: commands.Move(id=ticket, scenes=ids, by=by))

    def _fitting(self, fits: Fits, unfit: str) -> list[Scene]:
        """Return those scenes that are meant and can be; where there are none, say why."""
        meant = self.meant()
        fitting = [scene for scene in meant if fits(scene)]
        if not meant:
            self.app.say("No scene is selected.", "dim")
        elif not fitting:
            subject = f"{meant[0].id} is" if len(meant) == 1 else f"The {len(meant):,} marked scenes are"
            self.app.say(f"{subject} {unfit}.", "dim")
        return fitting

    def _send(self, scenes: Sequence[Scene], fits: Fits, make: Make) -> None:
        """Send what ``make`` builds for those ``scenes`` that still fit: the run went on while a person was asked.

        Of a single one the runner judges.
        """
        now = [self.app.mailbox.state.scene(scene.id) or scene for scene in scenes]
        ids = tuple(scene.id for scene in now if fits(scene) or len(now) == 1)
        if ids:
            self.app.deck.scenes.unmark(ids)
            self.app.send(lambda ticket: make(ticket, ids))

    def _once_sure(self, question: str, meaning: str, do: Callable[[], None], ask: bool = True) -> None:
        if not ask:
            do()
            return
        from comfytui.faces.tui.screens.confirm import ConfirmScreen

        self.app.push_screen(ConfirmScreen(question, meaning), lambda yes: do() if yes else None)


def _goes_on(scene: Scene) -> bool:
    return not scene.over


def _over(scene: Scene) -> bool:
    return scene.over


def _waits(scene: Scene) -> bool:
    return scene.phase == "waiting"
