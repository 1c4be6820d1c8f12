"""Values out of JSON that somebody else wrote: what has the right type is taken, all else is ``None``.

A server, its custom nodes and the proxies before it may put anything anywhere: a string where a number belongs, NaN
(which Python servers write and JSON forbids), a number of four hundred digits, control characters in a name. Nothing
here raises for that; only text that is no JSON at all does (:class:`NotJson`).
"""

import json
import math
from collections.abc import Mapping
from datetime import datetime
from typing import Any

import msgspec

from comfytui.clock import from_epoch
from comfytui.untrusted import plain

MAX_DEPTH = 12
"""Levels of a value that :func:`clean` follows; what lies deeper becomes ``None``."""
MAX_NAME = 400
"""Characters of an identifier (node, prompt, class) that are kept."""
_LAST_MILLISECOND = 32_503_680_000_000  # the year 3000: what lies beyond is no timestamp


class NotJson(ValueError):
    """The text is no JSON, or JSON that cannot be held; the message says why, in a few plain words."""


class WrongShape(ValueError):
    """The text is JSON, but not what was asked for; the message says what is wrong, in a few plain words."""


def decode_json(body: bytes | str) -> Any:
    """Return the JSON value of ``body``; NaN and the infinities are read as ``None``.

    Raises :class:`NotJson`, also for nesting so deep that it would exhaust the stack.
    """
    try:
        return msgspec.json.decode(body)
    except RecursionError:
        raise NotJson("it is nested too deeply") from None
    except ValueError:
        return _decode_loosely(body)


def _decode_loosely(body: bytes | str) -> Any:
    """Return what Python's own, laxer parser makes of ``body``: it takes NaN and lone surrogates."""
    try:
        return json.loads(body, parse_constant=lambda _: None)
    except RecursionError:
        raise NotJson("it is nested too deeply") from None
    except ValueError as error:
        raise NotJson(f"it is not valid JSON ({plain(str(error), 200)})") from None


def text(value: Any, limit: int = MAX_NAME) -> str | None:
    """Return ``value`` as plain text of at most ``limit`` characters if it is a string or a whole number."""
    if isinstance(value, str):
        return plain(value, limit)
    return str(value) if whole(value) is not None else None


def number(value: Any) -> float | None:
    """Return ``value`` as a finite float if it is a number."""
    if isinstance(value, bool) or not isinstance(value, (int, float)):
        return None
    try:
        found = float(value)
    except OverflowError:
        return None
    return found if math.isfinite(found) else None


def whole(value: Any) -> int | None:
    """Return ``value`` as an int if it is a whole number that fits into 64 bits."""
    found = number(value)
    if found is None or not found.is_integer() or abs(found) >= 2**63:
        return None
    return int(value)


def moment(value: Any) -> datetime | None:
    """Return the UTC time of ``value``, milliseconds since the epoch."""
    found = number(value)
    return from_epoch(found / 1000) if found is not None and 0 < found < _LAST_MILLISECOND else None


def mapping(value: Any) -> Mapping[str, Any]:
    """Return ``value`` if it is an object, else an empty one."""
    return value if isinstance(value, dict) else {}


def items(value: Any) -> list[Any]:
    """Return ``value`` if it is a list, else an empty one."""
    return value if isinstance(value, list) else []


def names(value: Any) -> tuple[str, ...]:
    """Return the members of a list that are text, as plain text."""
    return tuple(name for one in items(value) if (name := text(one)) is not None)


def clean(value: Any, depth: int = MAX_DEPTH) -> Any:
    """Return a JSON value with every string and key plain, every number finite and of at most 64 bits."""
    if isinstance(value, str):
        return plain(value)
    if value is None or isinstance(value, bool):
        return value
    if isinstance(value, int):
        return whole(value)
    if isinstance(value, float):
        return number(value)
    if depth <= 0:
        return None
    if isinstance(value, dict):
        return {plain(str(key), MAX_NAME): clean(one, depth - 1) for key, one in value.items()}
    return [clean(one, depth - 1) for one in items(value)]
