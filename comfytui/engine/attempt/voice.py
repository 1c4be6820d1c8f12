"""How one attempt speaks: every fact that it tells the hub carries its scene and number."""

from typing import Any

from comfytui.engine.hub import HubLike
from comfytui.model import events as e
from comfytui.model.envelope import Envelope
from comfytui.model.state import Attempt


class AttemptVoice:
    """Tells the hub of one attempt, and knows it as the hub does."""

    def __init__(self, hub: HubLike, scene: str, attempt: Attempt) -> None:
        self.scene, self.number = scene, attempt.number
        self._hub, self._first = hub, attempt

    @property
    def attempt(self) -> Attempt:
        """The attempt as it is known now."""
        scene = self._hub.state.scene(self.scene)
        known = scene.attempt(self.number) if scene else None
        return known if known is not None else self._first

    @property
    def prompt_id(self) -> str:
        """What the server calls the attempt's prompt."""
        return self.attempt.prompt_id

    def tell(self, fact: type[e.AttemptFact], **fields: Any) -> Envelope:
        """Publish a ``fact`` about the attempt."""
        return self._hub.publish(fact(scene=self.scene, attempt=self.number, **fields))  # type: ignore[arg-type]

    def note(self, kind: e.NoteWord, text: str) -> None:
        """Publish a fallback note, a warning or an error of the attempt."""
        self.tell(e.AttemptNoted, kind=kind, text=text)
