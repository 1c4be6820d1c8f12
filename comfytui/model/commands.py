"""What a face may ask of a runner. Each command is answered by a ``CommandAnswered`` event, never silently."""

from msgspec import Struct
from msgspec.structs import replace

from comfytui.untrusted import plain

MAX_TEXT = 100_000
"""Characters of a text in a command: as many as a story may have in one."""


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


class Skip(Command, frozen=True, kw_only=True, tag="skip"):
    """Pass these scenes over while they wait: no prompt of theirs is sent, and their records say so."""

    scenes: tuple[str, ...]


class Move(Command, frozen=True, kw_only=True, tag="move"):
    """Render these waiting scenes, together, ``by`` places later than now (earlier when negative).

    Further than the end of the queue is its end.
    """

    scenes: tuple[str, ...]
    by: int


class Hold(Command, frozen=True, kw_only=True, tag="hold"):
    """Submit nothing more until released; what is on the server goes on."""


class Release(Command, frozen=True, kw_only=True, tag="release"):
    """Submit again after a hold."""


class Stop(Command, frozen=True, kw_only=True, tag="stop"):
    """End the run: interrupt and delete what is ours, keep what is whole, write every record."""


class ReadServerLog(Command, frozen=True, kw_only=True, tag="read_server_log"):
    """Read the end of the server's log once; it comes as a ``ServerLog`` sample. It changes nothing.

    ``server`` is its name; empty: every server of the run.
    """

    server: str = ""


AnyCommand = Rerun | Cancel | Skip | Move | Hold | Release | Stop | ReadServerLog


def made_plain(command: AnyCommand) -> AnyCommand:
    """Return ``command`` with plain texts: whatever was pasted into it is recorded, shown and sent on."""
    match command:
        case Rerun():
            prompt = None if command.prompt is None else plain(command.prompt, MAX_TEXT).strip()
            return replace(command, id=plain(command.id), scenes=_plain(command.scenes), prompt=prompt)
        case ReadServerLog():
            return replace(command, id=plain(command.id), server=plain(command.server))
        case Cancel() | Skip() | Move():
            return replace(command, id=plain(command.id), scenes=_plain(command.scenes))
        case _:
            return replace(command, id=plain(command.id))


def _plain(texts: tuple[str, ...]) -> tuple[str, ...]:
    return tuple(plain(text, MAX_TEXT) for text in texts)


def describe(command: AnyCommand) -> str:
    """Return ``command`` in words, for logs and answers: ``rerun scene-001, scene-002``."""
    name, scenes = str(command.__struct_config__.tag), getattr(command, "scenes", ())
    return " ".join([name.replace("_", " "), ", ".join(scenes) or getattr(command, "server", "")]).strip()
