"""What travels over the link beside envelopes: one line of JSON each.

A client begins with :class:`Hello` and is answered by :class:`Welcome` or :class:`Refused`. Then come, from the
server, envelopes (facts in order, the newest samples), one :class:`CaughtUp` where the present begins, and for each
line of the client :class:`Taken` or :class:`Refused`. The client's lines are commands, as ``{"type": "rerun", ...}``.
"""

from typing import Literal

import msgspec
from msgspec import Struct

from comfytui.model.commands import AnyCommand

PROTOCOL = 1

MAX_COMMAND = 1024 * 1024
"""The longest line that a client may send, in bytes: a rerun of ten thousand scenes fits."""

MAX_FACT = 16 * 1024 * 1024
"""The longest line that a server sends, in bytes: the opening of a run of ten thousand scenes fits."""


class Hello(Struct, frozen=True, kw_only=True):
    """The first line: facts after number ``after`` are wanted, none (only commands are sent) when it is ``None``."""

    hello: Literal[1] = 1
    after: int | None
    token: str


class Welcome(Struct, frozen=True, kw_only=True):
    """The token fits; ``run`` is the run's id."""

    welcome: int = PROTOCOL
    run: str


class CaughtUp(Struct, frozen=True, kw_only=True):
    """Everything that happened up to fact ``caught_up`` has been sent; what follows happens now."""

    caught_up: int


class Taken(Struct, frozen=True, kw_only=True):
    """The command with the id ``taken`` reached the runner; its answer comes as an event."""

    taken: str


class Refused(Struct, frozen=True, kw_only=True):
    """A line could not be used, and why."""

    refused: str


Told = Welcome | CaughtUp | Taken | Refused

_KINDS: dict[str, type[Told]] = {"welcome": Welcome, "caught_up": CaughtUp, "taken": Taken, "refused": Refused}
_keys = msgspec.json.Decoder(dict[str, msgspec.Raw])
_hello = msgspec.json.Decoder(Hello)
_command: msgspec.json.Decoder[AnyCommand] = msgspec.json.Decoder(AnyCommand)


def line(message: Struct) -> bytes:
    """Return ``message`` as a line, with its break."""
    return msgspec.json.encode(message) + b"\n"


def hello_in(data: bytes) -> Hello:
    """Return the hello in a line. Raises ``ValueError``."""
    return _hello.decode(data)


def command_in(data: bytes) -> AnyCommand:
    """Return the command in a line. Raises ``ValueError`` that says what is wrong with it."""
    try:
        return _command.decode(data)
    except RecursionError:
        raise ValueError("it is nested too deep") from None


def told_in(data: bytes) -> Told | None:
    """Return the message in a line of the server, ``None`` when it is something else (an envelope, say)."""
    try:
        keys = _keys.decode(data)
        kind = next((kind for key, kind in _KINDS.items() if key in keys), None)
        return msgspec.json.decode(data, type=kind) if kind is not None else None
    except (ValueError, RecursionError):
        return None
