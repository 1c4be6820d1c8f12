"""The picture screen: a frame drawn in the terminal, and the same frame of another attempt beside it."""

import os
from typing import ClassVar

from textual.app import ComposeResult
from textual.binding import BindingType
from textual.containers import Horizontal

from comfytui.faces.tui.bars import Bar, Message, header_line
from comfytui.faces.tui.drawing import Method, method_for, why_words
from comfytui.faces.tui.footer import footer_line
from comfytui.faces.tui.gallery import Gallery
from comfytui.faces.tui.keys import bindings
from comfytui.faces.tui.pace import PacedScreen
from comfytui.faces.tui.panes.figures import file_size
from comfytui.faces.tui.screens.picture_box import PictureBox
from comfytui.faces.tui.view import Resumed, View
from comfytui.model.frame_numbers import number_of
from comfytui.model.state import Attempt, Scene

_VIA = {"disk": "from disk", "http": "over HTTP"}

NO_GALLERY = "There is no run folder here to read frames from: this is a server that is watched, not a run."


class PictureScreen(PacedScreen[None]):
    """Header, one box or two, footer."""

    BINDINGS: ClassVar[list[BindingType]] = bindings("picture")
    place = "picture"

    def __init__(self, gallery: Gallery | None, scene_id: str, attempt: int, name: str) -> None:
        super().__init__()
        self.gallery = gallery
        self.scene_id, self.attempt, self.frame = scene_id, attempt, name
        self.other: int | None = None
        """The attempt beside it, if any."""
        self.view: View | None = None
        self._drawn: list[tuple[int, str, bool, str]] = []
        self.header, self.footer, self.message = Bar("header"), Bar("footer"), Message()
        self.boxes = Horizontal(id="pictures")

    def compose(self) -> ComposeResult:
        """Return the parts of the screen."""
        yield self.header
        yield self.boxes
        yield self.footer
        yield self.message

    def look(self, view: View) -> None:
        """Show ``view``: the edges, and the picture once there is a run to take it from."""
        self.view = view
        width = self.app.size.width
        self.header.write(header_line(view, width))
        self.footer.write(footer_line("picture", view, width, self._idle()))
        if (known := self._known()) != self._drawn:
            self._drawn = known
            self.run_worker(self._fill(), group="picture", exclusive=True, exit_on_error=False)

    def _known(self) -> list[tuple[int, str, bool, str]]:
        """Return of each box the attempt, the frame, whether it can be drawn, and why not: what it is drawn from."""
        known = []
        for number in self._numbers():
            attempt, name = self._of(number), self._frame_of(number)
            there = attempt is not None and any(frame.name == name for frame in attempt.frames)
            known.append((number, name, there, "" if there else why_not(name, attempt)))
        return known

    def on_screen_resume(self) -> None:
        """Catch up with what happened while another screen lay over this one."""
        self.app.post_message(Resumed())

    def on_resize(self) -> None:
        """Draw the edges for the new size."""
        if self.view is not None:
            self.call_after_refresh(self.look, self.view)

    # --- which frames --------------------------------------------------------------------------------------------

    @property
    def scene(self) -> Scene | None:
        """The scene as it is now."""
        return self.view.state.scene(self.scene_id) if self.view is not None else None

    def _of(self, number: int) -> Attempt | None:
        return self.scene.attempt(number) if self.scene is not None else None

    def _idle(self) -> set[str]:
        lone = self.scene is None or len(self.scene.attempts) < 2
        return {"beside"} if lone else set()

    def action_step(self, by: int) -> None:
        """Show the frame ``by`` further of the attempt; none beyond its ends."""
        names = names_in_order(self._of(self.attempt))
        if not names:
            return
        here = names.index(self.frame) if self.frame in names else -1 if by > 0 else len(names)
        after = names[max(0, min(len(names) - 1, here + by))]
        if after != self.frame:
            self.frame = after
            self._show()

    def action_beside(self) -> None:
        """Show the frame of the next attempt beside this one, or none after the last."""
        numbers = [each.number for each in self.scene.attempts] if self.scene is not None else []
        others: list[int | None] = [*(number for number in numbers if number != self.attempt), None]
        if len(others) > 1:
            self.other = others[(others.index(self.other) + 1) % len(others)]
            self._show()

    def action_close(self) -> None:
        """Back to the deck."""
        self.dismiss()

    # --- showing them --------------------------------------------------------------------------------------------

    def _show(self) -> None:
        if self.view is not None:
            self.look(self.view)

    def _numbers(self) -> list[int]:
        return [self.attempt] if self.other is None else [self.attempt, self.other]

    def _frame_of(self, number: int) -> str:
        return (
            self.frame if number == self.attempt else counterpart(self.frame, self._of(self.attempt), self._of(number))
        )

    async def _fill(self) -> None:
        wanted, method = self._numbers(), self._method()
        while len(self.boxes.children) > len(wanted):
            await self.boxes.children[-1].remove()
        while len(self.boxes.children) < len(wanted):
            await self.boxes.mount(PictureBox(method, beside=bool(self.boxes.children)))
        for box, number in zip(self.boxes.query(PictureBox), wanted, strict=True):
            await self._fill_box(box, number)

    async def _fill_box(self, box: PictureBox, number: int) -> None:
        attempt, name = self._of(number), self._frame_of(number)
        box.head(f"{self.scene_id}, attempt {number}", place_words(name, attempt), name)
        frame = next((each for each in attempt.frames if each.name == name), None) if attempt is not None else None
        if self.gallery is None:
            await box.tell((NO_GALLERY, "text"))
        elif frame is None or self.scene is None:
            await box.tell((why_not(name, attempt), "text"))
        else:
            facts = f"{file_size(frame.bytes)}, {'proven' if frame.verified else 'unproven'}, {_VIA[frame.via]}"
            folder = self.scene.brief.folder
            if why := why_words(bool(getattr(self.app, "ascii", False)), self.app.theme, self._colours()):
                place = f"{folder}/generated-frames-attempt-{number}/{name}"
                await box.tell((why, "text"), (f"The frame is {place} in the run folder.", "dim"), facts=facts)
            else:
                await box.load(self.gallery, folder, number, frame.name, facts)

    def _method(self) -> Method:
        return "half" if self.app.is_headless or self.app.is_web else method_for(os.environ)

    def _colours(self) -> str | None:
        return "truecolor" if self.app.is_headless else self.app.console.color_system


def names_in_order(attempt: Attempt | None) -> list[str]:
    """Return the names of the attempt's frames, those that could not be taken too, in their order."""
    if attempt is None:
        return []
    return sorted({frame.name for frame in attempt.frames} | {refusal.name for refusal in attempt.refused})


def counterpart(name: str, here: Attempt | None, there: Attempt | None) -> str:
    """Return the frame of attempt ``there`` that stands where ``name`` stands in ``here``: of the same number, else
    of the same place; empty when there is none.
    """
    names, number = names_in_order(there), number_of(name)
    if number is not None:
        alike = [other for other in names if (found := number_of(other)) is not None and found[1] == number[1]]
        return alike[0] if alike else ""
    mine = names_in_order(here)
    place = mine.index(name) if name in mine else len(names)
    return names[place] if place < len(names) else ""


def place_words(name: str, attempt: Attempt | None) -> str:
    """Return which of the attempt's frames it is: ``12 of 25``; empty when it is none of them."""
    names = names_in_order(attempt)
    return f"{names.index(name) + 1} of {len(names)}" if name in names else ""


def why_not(name: str, attempt: Attempt | None) -> str:
    """Return why there is no picture of a frame that was not collected."""
    if attempt is None:
        return "This attempt is not part of the run."
    if not name:
        return f"Attempt {attempt.number} has no such frame."
    refusal = next((each for each in attempt.refused if each.name == name), None)
    if refusal is not None:
        return f"This frame was not taken: {refusal.state}, {refusal.why}."
    return "This frame is still being written; it can be seen once it is proven whole."
