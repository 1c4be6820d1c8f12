"""JSON against the contract's structs, strictly: every field that is missing or of the wrong type is told."""

import re
from collections.abc import Iterator
from datetime import datetime, timedelta
from types import UnionType
from typing import Annotated, Any, TypeVar, Union, get_args, get_origin

import msgspec
from msgspec import Raw, Struct, structs

from comfytui.records.checks.finding import Finding

T = TypeVar("T", bound=Struct)

_OFFSET = re.compile(rb"\d[+-]\d\d:?\d\d\"|\\u00[23]")
"""What the JSON of every time in another zone holds, at its end or spelled as an escape; other texts may too."""


def decoded(data: bytes | Raw, shape: type[T], place: str) -> tuple[T | None, list[Finding]]:
    """Return the ``shape`` in ``data`` with nothing found, or ``None`` with what is wrong, field by field."""
    try:
        value = msgspec.json.decode(data, type=shape)
    except (ValueError, RecursionError) as fault:
        return None, list(_faults(data, shape, place)) or [Finding(place, _words(fault))]
    foreign = list(_not_utc(value, place)) if _OFFSET.search(data) else []
    return (None if foreign else value), foreign


def fields(data: bytes | Raw, place: str) -> tuple[dict[str, Raw], list[Finding]]:
    """Return the fields of the JSON object in ``data``, undecoded; none, and why, when it is no object."""
    try:
        return msgspec.json.decode(data, type=dict[str, Raw]), []
    except (ValueError, RecursionError) as fault:
        return {}, [Finding(place, f"is no JSON object: {_words(fault)}")]


def _faults(data: bytes | Raw, shape: type[Struct], place: str) -> Iterator[Finding]:
    given, broken = fields(data, place)
    yield from broken
    if broken:
        return
    for field in structs.fields(shape):
        raw = given.get(field.encode_name)
        if raw is None:
            if field.required:
                yield Finding(place, f"{field.encode_name} is missing")
            continue
        yield from _field_faults(raw, field.type, f"{place} {field.encode_name}")


def _field_faults(raw: Raw, wanted: Any, place: str) -> Iterator[Finding]:
    try:
        msgspec.json.decode(raw, type=wanted)
        return
    except (ValueError, RecursionError) as fault:
        words = _words(fault)
    inner, many = _struct_in(wanted)
    begins = bytes(memoryview(raw)[:1])
    if inner is not None and not many and begins == b"{":
        yield from _faults(raw, inner, place)
    elif inner is not None and many and begins == b"[":
        yield from _item_faults(raw, inner, place)
    else:
        yield Finding(place, words)


def _item_faults(raw: Raw, inner: type[Struct], place: str) -> Iterator[Finding]:
    try:
        items = msgspec.json.decode(raw, type=list[Raw])
    except (ValueError, RecursionError) as fault:
        yield Finding(place, _words(fault))
        return
    for number, item in enumerate(items):
        yield from decoded(item, inner, f"{place}[{number}]")[1]


def _struct_in(wanted: Any) -> tuple[type[Struct] | None, bool]:
    """Return the struct that a field of type ``wanted`` holds, and whether it holds many of them."""
    origin = get_origin(wanted)
    if origin is Annotated:
        return _struct_in(get_args(wanted)[0])
    if origin in (Union, UnionType):
        found = (_struct_in(part) for part in get_args(wanted))
        return next((pair for pair in found if pair[0] is not None), (None, False))
    if origin is tuple:
        return _struct_in(get_args(wanted)[0])[0], True
    return (wanted, False) if isinstance(wanted, type) and issubclass(wanted, Struct) else (None, False)


def _not_utc(value: Any, place: str) -> Iterator[Finding]:
    """Yield a finding for each time in ``value`` that is in another zone: the contract's times end in ``Z``."""
    if isinstance(value, datetime):
        if value.utcoffset() != timedelta(0):
            yield Finding(place, f"{value.isoformat()} is not UTC")
    elif isinstance(value, Struct):
        for name, told in zip(value.__struct_fields__, value.__struct_encode_fields__, strict=True):
            part = getattr(value, name)
            if isinstance(part, datetime | Struct | tuple):
                yield from _not_utc(part, f"{place} {told}")
    elif isinstance(value, tuple):
        for number, item in enumerate(value):
            yield from _not_utc(item, f"{place}[{number}]")


def _words(fault: Exception) -> str:
    return "is nested too deep" if isinstance(fault, RecursionError) else str(fault)
