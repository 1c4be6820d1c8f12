"""A user's JSON or TOML file: read within bounds, decoded to plain values, every fault told with its place.

Stories, workflows and binding tables share these rules: UTF-8 (a byte order mark is tolerated), at most
:data:`MAX_BYTES`, nested at most :data:`MAX_DEPTH` levels, no traceback whatever the bytes are.
"""

import re
from pathlib import Path
from typing import Literal

import msgspec

from comfytui.errors import Failure

Format = Literal["json", "toml"]

MAX_BYTES = 16 * 1024 * 1024
"""The largest file that is read, in bytes; a story or a workflow of that size is a mistake."""

MAX_DEPTH = 64
"""The deepest nesting that is taken; real graphs need about six levels."""

_NAMES = {"json": "JSON", "toml": "TOML"}
_FOREIGN_MARKS = {
    b"\xff\xfe\x00\x00": "UTF-32",
    b"\x00\x00\xfe\xff": "UTF-32",
    b"\xff\xfe": "UTF-16",
    b"\xfe\xff": "UTF-16",
}


def read_bytes(path: Path, *, unreadable: str) -> bytes:
    """Return what the file at ``path`` holds.

    Raises :class:`Failure` with the code ``unreadable`` when it is missing, a folder, not permitted or larger than
    :data:`MAX_BYTES`.
    """
    try:
        if path.is_dir():
            raise Failure(unreadable, file=str(path), why="it is a folder")
        with path.open("rb") as file:
            data = file.read(MAX_BYTES + 1)
    except FileNotFoundError:
        raise Failure(unreadable, file=str(path), why="there is no such file") from None
    except (OSError, ValueError) as fault:  # ValueError: a NUL in the path
        why = getattr(fault, "strerror", None) or str(fault)
        raise Failure(unreadable, file=str(path), why=why) from None
    if len(data) > MAX_BYTES:
        raise Failure(unreadable, file=str(path), why=f"it is larger than {MAX_BYTES >> 20} MiB")
    return data


def decode(data: bytes, form: Format, *, file: str, syntax: str) -> object:
    """Return the plain values (dict, list, str, int, float, bool, None) that ``data`` holds in ``form``.

    Raises :class:`Failure` with the code ``syntax`` and the line and column where the text stops making sense.
    """
    try:
        text = _utf8(data)
        value = _toml(text) if form == "toml" else _json(text)
        if _deeper_than(value, MAX_DEPTH):
            raise _Fault(f"it is nested deeper than {MAX_DEPTH} levels")
    except _Fault as fault:
        raise Failure(syntax, file=file, format=_NAMES[form], why=str(fault)) from None
    except RecursionError:
        why = f"it is nested deeper than {MAX_DEPTH} levels"
        raise Failure(syntax, file=file, format=_NAMES[form], why=why) from None
    except ValueError as fault:  # of TOML as well; also an impossible date, too long a number
        raise Failure(syntax, file=file, format=_NAMES[form], why=_lower(str(fault))) from None
    return value


def _toml(text: str) -> object:
    import tomllib

    return tomllib.loads(text)


class _Fault(Exception):
    """Why a text cannot be decoded, in words for the user."""


def _utf8(data: bytes) -> str:
    for mark, encoding in _FOREIGN_MARKS.items():
        if data.startswith(mark):
            raise _Fault(f"it is saved as {encoding}; save it as UTF-8")
    try:
        return data.decode("utf-8-sig")
    except UnicodeDecodeError as fault:
        line = data.count(b"\n", 0, fault.start) + 1
        raise _Fault(f"line {line} is not UTF-8 (byte 0x{data[fault.start]:02x}); save it as UTF-8") from None


def _json(text: str) -> object:
    try:
        return msgspec.json.decode(text)
    except msgspec.DecodeError as fault:
        raise _Fault(_with_line(str(fault), text)) from None


def _with_line(message: str, text: str) -> str:
    """Return msgspec's ``message`` with its byte offset turned into line and column (both from 1)."""
    words = _lower(message.removeprefix("JSON is malformed: "))
    found = re.search(r" \(byte (\d+)\)$", words)
    if not found:
        return "it ends in the middle" if "truncated" in words else words
    before = text.encode()[: int(found[1])].decode("utf-8", "ignore")
    line, column = before.count("\n") + 1, len(before) - before.rfind("\n")
    return f"{words[: found.start()]} at line {line}, column {column}"


def _lower(message: str) -> str:
    return message[:1].lower() + message[1:]


def _deeper_than(value: object, limit: int) -> bool:
    """Tell whether ``value`` nests deeper than ``limit`` levels, level by level and so without recursion."""
    level = [value]
    for _ in range(limit + 1):
        level = [child for parent in level for child in _children(parent)]
        if not level:
            return False
    return True


def _children(value: object) -> list[object]:
    if isinstance(value, dict):
        return list(value.values())
    return value if isinstance(value, list) else []
