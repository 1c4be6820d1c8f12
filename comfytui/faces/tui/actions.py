"""What the keys that hold everywhere do, and the commands that they send to the runner."""

import uuid
from collections.abc import Callable
from typing import TYPE_CHECKING

from comfytui.faces.tui.options import Leaving
from comfytui.faces.tui.panes.line import safe
from comfytui.model import commands
from comfytui.model.events import CommandAnswered
from comfytui.model.narrate import narrate
from comfytui.model.state import Scene

if TYPE_CHECKING:
    from comfytui.faces.tui.app import Dashboard


class Actions:
    """The actions of the app, kept apart from it: each does one thing. Screens are imported when they are needed."""

    def __init__(self, app: "Dashboard") -> None:
        self.app = app

    def scene(self) -> Scene | None:
        """Return the scene that a key means: the one that is open, else the selected one."""
        state = self.app.mailbox.state
        chosen = getattr(self.app.screen, "scene_id", None)
        if chosen is None:
            selected = self.app.deck.scenes.selected
            chosen = selected.id if selected else None
        return state.scene(chosen) if chosen else None

    def open(self) -> None:
        """Open the selected scene."""
        scene = self.scene()
        if scene is None:
            self.app.say("There is no scene to open.", "dim")
            return
        from comfytui.faces.tui.screens.scene import SceneScreen

        self.app.push_screen(SceneScreen(scene.id))

    def preview(self) -> None:
        """Show the selected frame as a picture."""
        row = self.app.deck.frames.selected
        if row is None:
            self.app.say("There is no frame to show.", "dim")
            return
        from comfytui.faces.tui.screens.picture import PictureScreen

        self.app.push_screen(PictureScreen(self.app.options.gallery, row.scene, row.attempt, row.name))

    def server_log(self) -> None:
        """Show the end of the (selected) server's log, which is read anew."""
        from comfytui.faces.tui.screens.server_log import ServerLogScreen

        there = self.app.screen
        sheet = there if isinstance(there, ServerLogScreen) else None
        if sheet is None:
            sheet = ServerLogScreen(self.app.view(), self.app.deck.health.selected)
            self.app.push_screen(sheet)
        name = sheet.server
        self.app.send(lambda ticket: commands.ReadServerLog(id=ticket, server=name), changes=False)

    def answered(self, answer: CommandAnswered) -> None:
        """Say what became of a command that was sent from here."""
        told = narrate(answer)
        if told is not None and answer.id in self.app.sent:
            self.app.sent.discard(answer.id)
            self.app.say(told[1], "text" if answer.accepted else "warn")

    def refuses(self) -> bool:
        """Return whether this dashboard may send no commands, and say so."""
        if self.app.replay is not None:
            self.app.say("This is a replay: what happened cannot be changed.", "warn")
        elif self.app.options.readonly:
            self.app.say("Read-only: this dashboard sends no commands.", "warn")
        return self.app.options.readonly or self.app.replay is not None

    def pause(self) -> None:
        """Stop painting, or go on; a replay plays, or pauses."""
        if self.app.replay is not None:
            self.app.replay.play()
            self.app.beat.resume()
        else:
            self.app.paused = not self.app.paused
        self.app.paint(force=True)

    def play_on(self) -> None:
        """Go on by one beat of playing."""
        replay = self.app.replay
        if replay is None or not replay.playing:
            self.app.beat.pause()
            return
        replay.beat()
        self.app.paint()

    def move_replay(self, move: str, by: int) -> None:
        """Move in the replay: by a ``step`` or a ``fact``, on (``by`` 1) or back (-1)."""
        replay = self.app.replay
        if replay is None:
            self.app.say("This is no replay: it is the run as it is now.", "dim")
            return
        replay.playing = False
        if move == "fact":
            replay.fact(by)
        else:
            replay.step(by)
        self.app.paint(force=True)

    def copy(self) -> None:
        """Copy what a screen says is chosen, else the prompt id of the scene's attempt."""
        chosen = getattr(self.app.screen, "copied", None)
        if chosen is not None:
            self._copied(chosen)
            return

        def of_scene(scene: Scene) -> None:
            attempt = scene.chosen
            if attempt is None:
                self.app.say(f"{scene.id} has no prompt yet.", "dim")
            else:
                self._copied(attempt.prompt_id, "prompt id ")

        self._of_scene(of_scene)

    def _copied(self, text: str, what: str = "") -> None:
        if not text:
            self.app.say("There is nothing to copy in this line.", "dim")
            return
        self.app.copy_to_clipboard(text)
        self.app.say(f"Copied {what}{text}", "dim")

    def path(self) -> None:
        """Show the path in the chosen row, else the scene's folder, in full; remember it for the end."""
        run = self.app.mailbox.state.run

        def shown(scene: Scene) -> None:
            folder = f"{run.dir.rstrip('/')}/{scene.brief.folder}" if run is not None else ""
            chosen = getattr(self.app.screen, "copied", "")
            path = safe(chosen if folder and chosen.startswith(folder) else folder)
            if path not in self.app.paths:
                self.app.paths.append(path)
            self.app.say(path, "text")

        self._of_scene(shown)

    def help(self) -> None:
        """Show the keys."""
        from comfytui.faces.tui.screens.help import HelpScreen

        replay = self.app.replay is not None
        focused = getattr(self.app.screen, "place", self.app.deck.focused_name)
        readonly = self.app.options.readonly or replay
        self.app.push_screen(HelpScreen(focused, readonly, self.app.options.keymap, replay))

    def leave(self) -> None:
        """Leave; a live run of this terminal asks first, and a replay that lies over one is closed."""
        if self.app.past.close():
            return
        run = self.app.mailbox.state.run
        over = run is None or run.ended_at is not None
        if over or not self.app.options.owns_run or self.app.mailbox.lane.live is False:
            ended = run is not None and run.ended_at is not None
            self.app.leave("ended" if ended else "detached")
            return
        from comfytui.faces.tui.screens.leave import LeaveScreen

        if not isinstance(self.app.screen, LeaveScreen):
            self.app.push_screen(LeaveScreen(), self._left)

    def _left(self, how: Leaving | None) -> None:
        if how == "detached":
            self.app.leave("detached")
        elif how == "stopped":
            self.app.run_worker(self._stop_and_leave(), group="commands", exit_on_error=False)

    async def _stop_and_leave(self) -> None:
        """Tell the runner to stop and leave; stay when it could not be told."""
        if await self.app.deliver(commands.Stop(id=uuid.uuid4().hex)):
            self.app.leave("stopped")

    def _of_scene(self, act: Callable[[Scene], None]) -> None:
        scene = self.scene()
        if scene is None:
            self.app.say("No scene is selected.", "dim")
        else:
            act(scene)
