"""The form for a rerun with another seed or prompt: checked before anything is sent."""

from collections.abc import Sequence
from typing import ClassVar

from msgspec import Struct
from textual.app import ComposeResult
from textual.binding import BindingType
from textual.containers import Vertical
from textual.screen import ModalScreen
from textual.widgets import Input, TextArea

from comfytui.faces.tui.bars import Bar
from comfytui.faces.tui.keys import bindings, key
from comfytui.faces.tui.palettes import Ground
from comfytui.faces.tui.panes.line import Line, join, safe
from comfytui.model.commands import MAX_TEXT
from comfytui.model.ranges import MAX_SEED
from comfytui.model.state import Scene


class Changes(Struct, frozen=True, kw_only=True):
    """What a rerun has of its own; ``None`` is as it was: a fresh seed, the story's prompt."""

    seed: int | None = None
    prompt: str | None = None


def changes_in(seed: str, prompt: str, before: str) -> Changes | str:
    """Return what was filled in, ``before`` being the prompt that stood there; or, as text, what is wrong."""
    digits, words = seed.strip(), " ".join(prompt.split())
    digits = digits.lstrip("0") or digits[:1]
    if digits and not (digits.isascii() and digits.isdigit() and int(digits[:40]) <= MAX_SEED):
        return f"A seed is a whole number, 0 to {MAX_SEED}."
    if not words and before:
        return "The prompt is empty."
    if len(words) > MAX_TEXT:
        return f"The prompt has more than {MAX_TEXT:,} characters."
    return Changes(seed=int(digits) if digits else None, prompt=words if words != " ".join(before.split()) else None)


class FormLine(Bar):
    """A line of the form."""

    ground: Ground = "sheet"


class RerunForm(ModalScreen[Changes]):
    """Asks for seed and prompt of one scene; of several, for what they then have in common."""

    BINDINGS: ClassVar[list[BindingType]] = bindings("form")
    AUTO_FOCUS = "#seed"

    def __init__(self, scenes: Sequence[Scene]) -> None:
        super().__init__()
        self.one = scenes[0] if len(scenes) == 1 else None
        self.before = safe(self.one.prompt or self.one.brief.prompt) if self.one is not None else ""
        self.subject = safe(self.one.id) if self.one is not None else f"{len(scenes):,} scenes"
        self.seed = Input(placeholder="empty: a fresh one", compact=True, id="seed")
        self.prompt = TextArea(self.before, compact=True, theme="css", id="prompt")
        self.fault = FormLine("fault")
        self.head, self.seed_label, self.prompt_label, self.keys = (
            FormLine(name) for name in ("head", "seed-label", "prompt-label", "form-keys")
        )

    def compose(self) -> ComposeResult:
        """Return the fields between their labels."""
        with Vertical(id="form"):
            yield self.head
            yield self.seed_label
            yield self.seed
            yield self.prompt_label
            yield self.prompt
            yield self.fault
            yield self.keys

    def on_mount(self) -> None:
        """Write the labels; no cursor blinks: that costs 2,600 bytes a second."""
        self.set_class(bool(getattr(self.app, "ascii", False)), "-ascii")
        self.seed.cursor_blink = self.prompt.cursor_blink = False
        self.prompt.move_cursor(self.prompt.document.end)
        self.head.write(((f"Rerun {self.subject} with", "strong"),))
        self.seed_label.write((("Seed", "dim"), (self._seed_now(), "faint")))
        own = "" if self.one is not None else "  empty: each keeps its own"
        self.prompt_label.write((("Prompt", "dim"), (own, "faint")))
        self.keys.write(_keys())

    def _seed_now(self) -> str:
        attempt = self.one.chosen if self.one is not None else None
        return f"  attempt {attempt.number} had {attempt.seed}" if attempt is not None else ""

    def action_send(self) -> None:
        """Return what was filled in, or say what is wrong with it."""
        found = changes_in(self.seed.value, self.prompt.text, self.before)
        if isinstance(found, str):
            self.fault.write((("! ", "warn"), (found, "warn")))
        else:
            self.dismiss(found)

    def action_next_field(self) -> None:
        """Give the keys to the other field."""
        (self.prompt if self.seed.has_focus else self.seed).focus()

    def action_give_up(self) -> None:
        """Close the form; nothing is sent."""
        self.dismiss(None)


def _keys() -> Line:
    names = ("form_send", "form_next", "form_close")
    return join([((key(name).face, "key"), (f" {key(name).label}", "dim")) for name in names])
