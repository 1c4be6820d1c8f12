"""One value of a setting: text or TOML in, the checked value out, or words that say what is wrong with it."""

import difflib
import math
import re
from collections.abc import Iterable, Sequence
from pathlib import Path
from typing import Any
from urllib.parse import urlsplit

from comfytui.settings.table import (
    HEADERS_VARIABLE,
    REQUEST_FORMATS,
    SIMULATOR,
    TOKEN_VARIABLE,
    WATCH_MODES,
    Setting,
)
from comfytui.untrusted import plain

MAXIMUM = 1_000_000_000
"""No setting is larger that does not say so; as seconds it is 31 years."""

_ON = ("1", "true", "yes", "on")
_OFF = ("0", "false", "no", "off")
_SCHEME = re.compile(r"[A-Za-z][A-Za-z0-9+.-]*://")


class Unusable(Exception):
    """Why a value cannot be used, in words that follow "is not usable: "."""


def read(setting: Setting, value: object, folder: Path) -> Any:
    """Return the checked value of ``setting``: int, float, bool, str or an absolute Path.

    ``value`` is a text (from a flag or a variable) or what TOML holds; paths are relative to ``folder``. Raises
    :class:`Unusable`.
    """
    match setting.kind:
        case "whole" | "number":
            return _number(setting, value)
        case "switch":
            return _switch(value)
        case "path":
            return folder_path(text_of(value), folder)
        case "server":
            return _servers(value)
        case "workflow":
            return _workflow(text_of(value), folder)
        case "watch":
            return _choice(text_of(value), WATCH_MODES)
        case "url":
            return web_address(text_of(value))
        case "request_format":
            return _choice(text_of(value), REQUEST_FORMATS)
        case "text":
            return text_of(value)


def number_of(text: str) -> int | float | str:
    """Return the number that ``text`` spells, or ``text`` itself."""
    for form in (int, float):
        try:
            return form(text.strip().replace("_", " "))
        except ValueError:
            continue
    return text


def _number(setting: Setting, value: object) -> int | float:
    number = number_of(value) if isinstance(value, str) else value
    wanted = "a whole number" if setting.kind == "whole" else "a number"
    if isinstance(number, bool) or not isinstance(number, int | float) or not _finite(number):
        raise Unusable(f"{shown(value)} is not {wanted}")
    _in_range(setting, number)
    if setting.kind == "whole" and not float(number).is_integer():
        raise Unusable(f"{shown(value)} is not {wanted}")
    return int(number) if setting.kind == "whole" else float(number)


def _finite(number: float) -> bool:
    return isinstance(number, int) or math.isfinite(number)  # a whole number may be too long for a float


def _in_range(setting: Setting, number: float) -> None:
    """Hold ``number`` to the range that the setting, or ``QueuePolicy`` for its field, declares."""
    low, above = policy_range(setting.policy) if setting.policy else (setting.least, None)
    if number > (most := MAXIMUM if setting.most is None else setting.most):
        raise Unusable(f"{shown(number)} is more than {most}")
    if low is not None and number < low:
        raise Unusable(f"{shown(number)} is less than {low:g}")
    if above is not None and number <= above:
        raise Unusable(f"{shown(number)} is not more than {above:g}")


def policy_range(field: str) -> tuple[float | None, float | None]:
    """Return the least value of a number field of ``QueuePolicy``, and the value it must exceed; ``None``: no bound."""
    from msgspec import inspect

    from comfytui.model.policy import QueuePolicy

    described = inspect.type_info(QueuePolicy)
    assert isinstance(described, inspect.StructType)
    found = next((each.type for each in described.fields if each.name == field), None)
    options = found.types if isinstance(found, inspect.UnionType) else (found,)
    number = next((each for each in options if isinstance(each, inspect.IntType | inspect.FloatType)), None)
    return (number.ge, number.gt) if number is not None else (None, None)


def _switch(value: object) -> bool:
    if isinstance(value, bool):
        return value
    if isinstance(value, str) and value.strip().lower() in (*_ON, *_OFF):
        return value.strip().lower() in _ON
    raise Unusable(f"{shown(value)} is neither true nor false")


def text_of(value: object) -> str:
    """Return ``value`` as a text that is not empty and can be shown. Raises :class:`Unusable`."""
    if not isinstance(value, str):
        raise Unusable(f"{shown(value)} is not text")
    text = value.strip()
    if not text:
        raise Unusable("it is empty")
    if plain(text) != text:
        raise Unusable("it holds characters that cannot be shown")
    return text


def _choice(text: str, choices: tuple[str, ...]) -> str:
    if text not in choices:
        raise Unusable(f"{shown(text)} is none of {', '.join(choices)}")
    return text


def folder_path(text: str, folder: Path) -> Path:
    """Return the path ``text``, relative to ``folder``, with ``~`` resolved. Raises :class:`Unusable`."""
    try:
        return folder / Path(text).expanduser()
    except RuntimeError:
        raise Unusable(f"the home folder of {shown(text)} is not known") from None


def _workflow(text: str, folder: Path) -> str:
    """Return a bundled name as it is, and a file as its absolute path. Whether it exists is the loader's to say."""
    from comfytui.model.workflow import BUNDLED

    return text if text in BUNDLED else str(folder_path(text, folder))


def server_address(text: str) -> str:
    """Return a server address as a base URL without a trailing slash, ``http`` where no scheme is given, or ``sim``.

    Raises :class:`Unusable` for another scheme, a missing host, a wrong port, a query, and for a login in it.
    """
    if text.lower() == SIMULATOR:
        return SIMULATOR
    return _address(text, "http://127.0.0.1:8188", f"set {TOKEN_VARIABLE} or {HEADERS_VARIABLE} instead")


def _servers(value: object) -> str | tuple[str, ...]:
    """Return one address, or all of several: of a sequence, or of words with spaces between them."""
    texts = list(value) if isinstance(value, list | tuple) else text_of(value).split()
    if not texts:
        raise Unusable("it is empty")
    addresses = tuple(server_address(text_of(text)) for text in texts)
    _hold_distinct(addresses)
    return addresses if len(addresses) > 1 else addresses[0]


def _hold_distinct(addresses: Sequence[str]) -> None:
    """Return when no server is in ``addresses`` twice; any number of simulators may be. Raises :class:`Unusable`."""
    seen: set[tuple[str, int | None, str]] = set()
    for address in addresses:
        if address != SIMULATOR and (place := place_of(address)) in seen:
            raise Unusable(f"{address} is given twice; a server gets its share of the scenes once")
        elif address != SIMULATOR:
            seen.add(place)


def place_of(url: str) -> tuple[str, int | None, str]:
    """Return what two addresses of one server have in common."""
    parts = urlsplit(url)
    host = (parts.hostname or "").lower()
    port = parts.port or (443 if parts.scheme == "https" else 80)
    return ("127.0.0.1" if host in ("localhost", "::1") else host), port, parts.path


def web_address(text: str) -> str:
    """Return a web address without a trailing slash, ``http`` where no scheme is given.

    Raises :class:`Unusable` as :func:`server_address` does.
    """
    return _address(text, "http://127.0.0.1:1234/v1", "it is recorded in every run")


def _address(text: str, example: str, about_logins: str) -> str:
    url = text if _SCHEME.match(text) else f"http://{text}"
    try:
        parts = urlsplit(url)
        port = parts.port
    except ValueError as fault:
        raise Unusable(f"{_unlogged(text)} is no address: {plain(str(fault)).lower()}") from None
    if parts.username is not None or parts.password is not None:
        raise Unusable(f"a login does not belong in an address; {about_logins}")
    scheme = {"ws": "http", "wss": "https"}.get(parts.scheme.lower(), parts.scheme.lower())
    if scheme not in ("http", "https"):
        raise Unusable(f"{shown(text)} begins with neither http:// nor https://")
    if not parts.hostname or " " in url or port == 0:
        raise Unusable(f"{shown(text)} is no address; it looks like {example}")
    if parts.query or parts.fragment:
        told = shown(re.split("[?#]", text)[0])  # what follows may be a key
        raise Unusable(f"{told} has something after a ? or #; only host, port and path are taken")
    return f"{scheme}://{parts.netloc}{parts.path.rstrip('/')}"


def command_of(value: object, cwd: Path) -> tuple[str, ...]:
    """Return the command; its program as a path when it has one, ``~`` and what is relative to ``cwd`` resolved.

    Raises :class:`Unusable`.
    """
    if isinstance(value, str):
        raise Unusable('it is one text; write a list: ["python", "main.py", "--port", "8188"]')
    if not isinstance(value, list) or not value:
        raise Unusable(f"{shown(value)} is no list of words" if not isinstance(value, list) else "it is empty")
    for number, word in enumerate(value, start=1):
        if not isinstance(word, str) or "\0" in word or (number == 1 and not word.strip()):
            raise Unusable(f"word {number} ({shown(word)}) is not usable as text")
    program = str(value[0])
    if "/" in program or "\\" in program:
        program = str(folder_path(program, cwd))
    return (program, *value[1:])


def seconds_of(value: object, above: float | None = None) -> float:
    """Return a number of seconds, not negative and more than ``above``. Raises :class:`Unusable`."""
    if isinstance(value, bool) or not isinstance(value, int | float) or not _finite(value):
        raise Unusable(f"{shown(value)} is not a number")
    if value > MAXIMUM:
        raise Unusable(f"{shown(value)} is more than {MAXIMUM}")
    if value < 0:
        raise Unusable(f"{shown(value)} is less than 0")
    if above is not None and value <= above:
        raise Unusable(f"{shown(value)} is not more than {above:g}")
    return float(value)


def near(key: str, known: Iterable[str]) -> str:
    """Return the hint at the one of ``known`` that ``key`` resembles, as the end of a sentence; empty for none."""
    found = difflib.get_close_matches(key.lower().replace("-", "_"), known, n=1, cutoff=0.6)
    return f"; did you mean `{found[0]}`?" if found else ""


def _unlogged(text: str) -> str:
    """Return ``text`` for a message, without a login that may stand before an ``@``."""
    return shown(text.rpartition("@")[2])


def shown(value: object) -> str:
    """Return ``value`` as a message shows it: short, quoted where it is text, a table or list by its kind."""
    if isinstance(value, str):
        return repr(plain(value, 80))
    if isinstance(value, bool):
        return str(value).lower()
    if isinstance(value, int | float):
        if _finite(value) and abs(value) >= 10**20:
            return "a number of many digits"
        return str(value) if isinstance(value, int) else f"{value:g}"
    if isinstance(value, dict | list):
        return "a table" if isinstance(value, dict) else "a list"
    return plain(str(value), 80)  # TOML's dates and times
