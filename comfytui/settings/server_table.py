"""The table ``[server]`` of ``comfytui.toml``: where ComfyUI is, and how it is started where nothing answers."""

from collections.abc import Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from comfytui.errors import Failure
from comfytui.settings.table import SERVER_KEYS, SIMULATOR
from comfytui.settings.values import Unusable, command_of, folder_path, near, seconds_of, server_address, shown, text_of
from comfytui.untrusted import plain

READY_TIMEOUT, STOP_GRACE = 300.0, 10.0
START_KEYS = ("cwd", "env", "ready_timeout", "stop_grace")


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
            raise _unusable(file, "server", key, _unknown(key))
    url = _read(table, "url", (file, "server"), lambda value: server_address(text_of(value)))
    start = read_start(table, file, "server")
    if start is not None and url == SIMULATOR:
        raise _unusable(file, "server", "command", "the simulator is started without a command")
    return url, start


def read_start(table: Mapping[str, object], file: Path, place: str) -> ServerStart | None:
    """Return how the server of ``table``, which stands at ``place`` in ``file``, is started; ``None``: it is not.

    Raises ``Failure`` ``config.value`` as :func:`read_server_table` does.
    """
    if "command" not in table:
        for key in START_KEYS:
            if key in table:
                raise _unusable(file, place, key, "it says how ComfyUI is started, and `command` is missing")
        return None
    folder = file.absolute().parent
    cwd = _read(table, "cwd", (file, place), lambda value: folder_path(text_of(value), folder)) or folder
    timeout = _read(table, "ready_timeout", (file, place), lambda value: seconds_of(value, above=0.0), READY_TIMEOUT)
    return ServerStart(
        command=_read(table, "command", (file, place), lambda value: command_of(value, cwd)),
        cwd=cwd,
        file=file.absolute(),
        env=_env(table.get("env", {}), file, place),
        ready_timeout=timeout,
        stop_grace=_read(table, "stop_grace", (file, place), seconds_of, STOP_GRACE),
    )


def env_in(file: Path) -> dict[str, str]:
    """Return ``[server] env`` of the configuration ``file`` as it is now.

    Raises ``Failure`` ``config.unreadable`` or ``config.value``, with no value of it.
    """
    from comfytui.model import document

    data = document.read_bytes(file, unreadable="config.unreadable")
    content = document.decode(data, "toml", file=str(file), syntax="config.unreadable")
    table = content.get("server") if isinstance(content, dict) else None
    return _env(table.get("env", {}), file, "server") if isinstance(table, dict) else {}


def _read(table: Mapping[str, object], key: str, at: tuple[Path, str], read: Any, default: Any = None) -> Any:
    if key not in table:
        return default
    try:
        return read(table[key])
    except Unusable as fault:
        raise _unusable(*at, key, str(fault)) from None


def _env(value: object, file: Path, place: str) -> dict[str, str]:
    if not isinstance(value, dict):
        raise _unusable(file, place, "env", f"{shown(value)} is no table")
    for name, text in value.items():
        if not name or "=" in name or "\0" in name:
            raise _unusable(file, place, f"env.{name}", "it is no name of a variable")
        if not isinstance(text, str) or "\0" in text:  # never shown: it may be a secret
            raise _unusable(file, place, f"env.{name}", "its value is not text; put it in quotes")
    return {str(name): str(text) for name, text in value.items()}


def _unknown(key: str) -> str:
    from comfytui.settings.layers import about_secret

    return about_secret(key) or f"there is no such setting{near(key, SERVER_KEYS)}"


def _unusable(file: Path, place: str, key: str, why: str) -> Failure:
    return Failure("config.value", place=f"{place}.{plain(key, 80)} in {file}", why=why)
