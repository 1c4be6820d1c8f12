"""A box with one frame as a picture: its name above, the picture, and what it is beneath."""

from rich.cells import cell_len
from textual.app import ComposeResult
from textual.containers import Center, Vertical

from comfytui.errors import Failure
from comfytui.faces.tui.bars import Bar
from comfytui.faces.tui.drawing import Method, canvas, library
from comfytui.faces.tui.gallery import Gallery, picture
from comfytui.faces.tui.panes.line import BLANK, Line, Role, clip, clip_start, safe, wrap
from comfytui.faces.tui.panes.line_list import LineList
from comfytui.faces.tui.panes.picture import Picture


class PictureBox(Vertical):
    """Shows a frame, or says in words why not."""

    def __init__(self, method: Method, beside: bool = False) -> None:
        super().__init__(classes="picture-box -beside" if beside else "picture-box")
        self.method = method
        self.title, self.words = Bar("picture-title"), LineList(edge="margin", name="picture-words")
        self.foot = Bar("picture-foot")
        self.place = Center(classes="picture-place")
        self.heading = ("", "", "")
        self.said: list[tuple[str, Role]] = []
        self.facts = ""

    def compose(self) -> ComposeResult:
        """Return title, picture, words and foot."""
        yield self.title
        yield self.place
        yield self.words
        yield self.foot

    def head(self, whose: str, which: str, name: str) -> None:
        """Say which frame it is: whose, which of how many, and its name, of which the end is kept."""
        self.heading = (safe(whose), which, safe(name))
        self.write()

    async def load(self, gallery: Gallery, folder: str, attempt: int, name: str, facts: str) -> None:
        """Read, decode and draw the frame; ``facts`` are what is known of it."""
        from asyncio import to_thread

        if self.method == "words":
            return
        try:
            await to_thread(library)
            image, told = await to_thread(picture, gallery, folder, attempt, name)
        except Failure as failure:
            await self.tell((failure.what, "warn"), (failure.remedy, "text"), facts=facts)
            return
        drawn = canvas(self.method)
        drawn.image = image
        await self.place.remove_children()
        self.words.display, self.place.display = False, True
        await self.place.mount(drawn)
        self.facts = f"{told}  {facts}"
        self.write()

    async def tell(self, *said: tuple[str, Role], facts: str = "") -> None:
        """Say ``said`` in the place of a picture."""
        await self.place.remove_children()
        self.place.display, self.words.display = False, True
        self.said, self.facts = list(said), facts
        self.write()

    def write(self) -> None:
        """Write heading, words and foot for the present width."""
        whose, which, name = self.heading
        start = f" {whose}"
        which = which if cell_len(start) + cell_len(which) + 2 <= self.size.width else which.replace(" of ", "/")
        room = self.size.width - cell_len(start) - cell_len(which) - 5
        shown = clip_start(name, room) if room >= 8 else ""
        named: Line = (("  ", "text"), (shown, "dim")) if shown else BLANK
        self.title.write(((start, "strong"), ("  ", "text"), (which, "text"), *named))
        facts = self.facts
        while ", " in facts and cell_len(facts) + 1 > self.size.width:
            facts = facts.rpartition(", ")[0]
        self.foot.write(((clip(f" {facts}", max(4, self.size.width)), "dim"),))
        room = max(10, self.size.width - 4)
        lines: list[Line] = [((part, role),) for text, role in self.said for part in wrap(safe(text), room)]
        self.words.show(Picture(lines=lines))

    def on_resize(self) -> None:
        """Write it all anew."""
        self.write()
