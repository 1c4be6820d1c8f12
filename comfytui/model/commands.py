"""What a face may ask of a runner. Each command is answered by a ``CommandAnswered`` event, never silently."""

from msgspec import Struct


class Command(Struct, frozen=True, kw_only=True, tag_field="type"):
    """Base of all commands; ``id`` is chosen by the sender and comes back in the answer."""

    id: str


class Rerun(Command, frozen=True, kw_only=True, tag="rerun"):
    """Render these scenes once more: a new attempt each, with a fresh prefix and seed.

    ``seed`` and ``prompt`` replace the story's own for this rerun where given.
    """

    scenes: tuple[str, ...]
    seed: int | None = None
    prompt: str | None = None


class Cancel(Command, frozen=True, kw_only=True, tag="cancel"):
    """Give these scenes up: interrupt the prompt that runs (by id), delete the one that waits."""

    scenes: tuple[str, ...]


class Hold(Command, frozen=True, kw_only=True, tag="hold"):
    """Submit nothing more until released; what is on the server goes on."""


class Release(Command, frozen=True, kw_only=True, tag="release"):
    """Submit again after a hold."""


class Stop(Command, frozen=True, kw_only=True, tag="stop"):
    """End the run: interrupt and delete what is ours, keep what is whole, write every record."""


AnyCommand = Rerun | Cancel | Hold | Release | Stop


def describe(command: AnyCommand) -> str:
    """Return ``command`` in words, for logs and answers: ``rerun scene-001, scene-002``."""
    scenes = getattr(command, "scenes", ())
    return " ".join([type(command).__name__.lower(), ", ".join(scenes)]).strip()
