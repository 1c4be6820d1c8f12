"""The envelope: one event with its number and time, as it is journalled, sent to faces and printed as NDJSON.

One envelope is one line of JSON: ``{"v": 1, "seq": 7, "at": "...Z", "run": "...", "event": {"type": ..., ...}}``.
"""

import functools
from typing import Any

import msgspec
from msgspec import Raw, Struct

from comfytui.model.events import ENVELOPE_VERSION, AnyEvent, Fact, Unknown
from comfytui.model.telemetry import Moment


class Envelope(Struct, frozen=True, kw_only=True):
    """An event, its place in the order (``seq``, from 1; samples carry the last fact's) and its time (UTC)."""

    seq: int
    at: Moment
    run: str
    event: AnyEvent
    v: int = ENVELOPE_VERSION

    @property
    def is_fact(self) -> bool:
        """Whether the event is a fact: ordered, journalled, never dropped."""
        return isinstance(self.event, Fact)


class _Sealed(Struct, frozen=True, kw_only=True):
    seq: int
    at: Moment
    run: str
    event: Raw
    v: int = ENVELOPE_VERSION


class _Kind(Struct):
    type: str = ""


_seal = msgspec.json.Encoder()
_outer = msgspec.json.Decoder(_Sealed)
_kind = msgspec.json.Decoder(_Kind)

_KNOWN = frozenset(member.__struct_config__.tag for member in AnyEvent.__args__)


def encode(envelope: Envelope) -> bytes:
    """Return ``envelope`` as one line of JSON, without the line break.

    A lone surrogate (half a character, as in a file name that is not UTF-8) becomes U+FFFD: one odd name must not
    keep a fact from being recorded.
    """
    try:
        return _seal.encode(envelope)
    except UnicodeEncodeError:
        return _seal.encode(_whole_characters(msgspec.to_builtins(envelope)))


def _whole_characters(value: Any) -> Any:
    match value:
        case str():
            return value.encode("utf-16", "surrogatepass").decode("utf-16", "replace")
        case dict():
            return {_whole_characters(key): _whole_characters(part) for key, part in value.items()}
        case list() | tuple():
            return [_whole_characters(part) for part in value]
        case _:
            return value


@functools.cache
def _decoder() -> msgspec.json.Decoder[Envelope]:
    """Return what decodes all events: made when one is read, for whoever begins a run writes at first."""
    return msgspec.json.Decoder(Envelope)


def decode(line: bytes) -> Envelope:
    """Return the envelope in ``line``; an event of an unknown type becomes :class:`Unknown`.

    Raises ``ValueError`` when the line is not an envelope, or an event of a known type does not fit it.
    """
    try:
        return _decoder().decode(line)
    except (ValueError, RecursionError) as problem:
        try:
            sealed = _outer.decode(line)
            kind = _kind.decode(sealed.event).type
        except (ValueError, RecursionError):
            raise ValueError(f"not an envelope: {problem}") from None
        if kind in _KNOWN:
            raise ValueError(f"event {kind} does not fit: {problem}") from None
        return Envelope(seq=sealed.seq, at=sealed.at, run=sealed.run, v=sealed.v, event=Unknown(kind=kind))
