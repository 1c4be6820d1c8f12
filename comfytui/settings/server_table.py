"""The table ``[server]`` of ``comfytui.toml``: where ComfyUI is, and how it is started where nothing answers."""

import difflib
import math
from collections.abc import Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from comfytui.errors import Failure
from comfytui.settings.table import SERVER_KEYS, SIMULATOR
from comfytui.settings.values import MAXIMUM, Unusable, folder_path, server_address, shown, text_of
from comfytui.untrusted import plain

READY_TIMEOUT, STOP_GRACE = 300.0, 10.0


@dataclass(frozen=True)
class ServerStart:
    """How ComfyUI is started; ``env`` may hold secrets: it stays in ``file``, from which every runner reads it anew."""

    command: tuple[str, ...]
    cwd: Path
    file: Path
    env: Mapping[str, str] = field(default_factory=dict, repr=False)
    ready_timeout: float = READY_TIMEOUT
    stop_grace: float = STOP_GRACE


def read_server_table(table: Mapping[str, object], file: Path) -> tuple[str | None, ServerStart | None]:
    """Return the address and the way to start it, each ``None`` where the table does not say it.

    Paths are relative to the folder of ``file``. Raises ``Failure`` ``config.value`` that names file and key, and never
    a value of ``env``.
    """
    for key in table:
        if key not in SERVER_KEYS:
            raise _unusable(file, key, _unknown(key))
    url = _read(table, "url", file, lambda value: server_address(text_of(value)))
    if "command" not in table:
        for key in table:
            if key != "url":
                raise _unusable(file, key, "it says how ComfyUI is started, and `command` is missing")
        return url, None
    if url == SIMULATOR:
        raise _unusable(file, "command", "the simulator is started without a command")
    folder = file.absolute().parent
    cwd = _read(table, "cwd", file, lambda value: folder_path(text_of(value), folder)) or folder
    start = ServerStart(
        command=_read(table, "command", file, lambda value: _command(value, cwd)),
        cwd=cwd,
        file=file.absolute(),
        env=_env(table.get("env", {}), file),
        ready_timeout=_read(table, "ready_timeout", file, lambda value: _seconds(value, above=0.0), READY_TIMEOUT),
        stop_grace=_read(table, "stop_grace", file, _seconds, STOP_GRACE),
    )
    return url, start


def env_in(file: Path) -> dict[str, str]:
    """Return ``[server] env`` of the configuration ``file`` as it is now.

    Raises ``Failure`` ``config.unreadable`` or ``config.value``, with no value of it.
    """
    from comfytui.model import document

    data = document.read_bytes(file, unreadable="config.unreadable")
    content = document.decode(data, "toml", file=str(file), syntax="config.unreadable")
    table = content.get("server") if isinstance(content, dict) else None
    return _env(table.get("env", {}), file) if isinstance(table, dict) else {}


def _read(table: Mapping[str, object], key: str, file: Path, read: Any, default: Any = None) -> Any:
    if key not in table:
        return default
    try:
        return read(table[key])
    except Unusable as fault:
        raise _unusable(file, key, str(fault)) from None


def _command(value: object, cwd: Path) -> tuple[str, ...]:
    """Return the command; its program as a path when it has one, ``~`` and what is relative to ``cwd`` resolved."""
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


def _env(value: object, file: Path) -> dict[str, str]:
    if not isinstance(value, dict):
        raise _unusable(file, "env", f"{shown(value)} is no table")
    for name, text in value.items():
        if not name or "=" in name or "\0" in name:
            raise _unusable(file, f"env.{name}", "it is no name of a variable")
        if not isinstance(text, str) or "\0" in text:  # never shown: it may be a secret
            raise _unusable(file, f"env.{name}", "its value is not text; put it in quotes")
    return {str(name): str(text) for name, text in value.items()}


def _seconds(value: object, above: float | None = None) -> float:
    if isinstance(value, bool) or not isinstance(value, int | float) or not math.isfinite(value):
        raise Unusable(f"{shown(value)} is not a number")
    if value > MAXIMUM:
        raise Unusable(f"{shown(value)} is more than {MAXIMUM}")
    if value < 0:
        raise Unusable(f"{shown(value)} is less than 0")
    if above is not None and value <= above:
        raise Unusable(f"{shown(value)} is not more than {above:g}")
    return float(value)


def _unknown(key: str) -> str:
    from comfytui.settings.layers import about_secret

    near = difflib.get_close_matches(key.lower().replace("-", "_"), SERVER_KEYS, n=1, cutoff=0.6)
    return about_secret(key) or "there is no such setting" + (f"; did you mean `{near[0]}`?" if near else "")


def _unusable(file: Path, key: str, why: str) -> Failure:
    return Failure("config.value", place=f"server.{plain(key, 80)} in {file}", why=why)
