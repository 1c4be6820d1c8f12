"""The table ``[server]`` of ``comfytui.toml``: where ComfyUI is, and how it is started where nothing answers."""

from collections.abc import Mapping
from pathlib import Path

from msgspec import field

from comfytui.concealed import Concealed
from comfytui.settings.keyed_table import KeyedTable, content_of
from comfytui.settings.secrets import about_secret
from comfytui.settings.table import SERVER_KEYS, SIMULATOR
from comfytui.settings.values import command_of, folder_path, seconds_of, server_address, shown, text_of

READY_TIMEOUT, STOP_GRACE = 300.0, 10.0
START_KEYS = ("cwd", "env", "ready_timeout", "stop_grace")


class ServerStart(Concealed, frozen=True):
    """How ComfyUI is started; ``env`` may hold secrets: it stays in ``file``, from which every runner reads it anew."""

    command: tuple[str, ...]
    cwd: Path
    file: Path
    env: Mapping[str, str] = field(default_factory=dict)
    ready_timeout: float = READY_TIMEOUT
    stop_grace: float = STOP_GRACE


def read_server_table(entries: Mapping[str, object], file: Path) -> tuple[str | None, ServerStart | None]:
    """Return the address and the way to start it, each ``None`` where the table does not say it.

    Paths are relative to the folder of ``file``. Raises ``Failure`` ``config.value`` that names file and key, and never
    a value of ``env``.
    """
    table = KeyedTable(entries, "server", file)
    for key in entries:
        if why := about_secret(key):
            raise table.unusable(key, why)
    table.hold_to(SERVER_KEYS)
    url = table.read("url", lambda value: server_address(text_of(value)))
    start = read_start(table)
    if start is not None and url == SIMULATOR:
        raise table.unusable("command", "the simulator is started without a command")
    return url, start


def read_start(table: KeyedTable) -> ServerStart | None:
    """Return how the server of ``table`` is started; ``None``: it is not.

    Raises ``Failure`` ``config.value`` as :func:`read_server_table` does.
    """
    if "command" not in table.entries:
        for key in START_KEYS:
            if key in table.entries:
                raise table.unusable(key, "it says how ComfyUI is started, and `command` is missing")
        return None
    cwd = table.read("cwd", lambda value: folder_path(text_of(value), table.folder), table.folder)
    return ServerStart(
        command=table.read("command", lambda value: command_of(value, cwd)),
        cwd=cwd,
        file=table.file.absolute(),
        env=_env(table),
        ready_timeout=table.read("ready_timeout", lambda value: seconds_of(value, above=0.0), READY_TIMEOUT),
        stop_grace=table.read("stop_grace", seconds_of, STOP_GRACE),
    )


def env_in(file: Path) -> dict[str, str]:
    """Return ``[server] env`` of the configuration ``file`` as it is now.

    Raises ``Failure`` ``config.unreadable`` or ``config.value``, with no value of it.
    """
    table = content_of(file).get("server")
    return _env(KeyedTable(table, "server", file)) if isinstance(table, dict) else {}


def _env(table: KeyedTable) -> dict[str, str]:
    value = table.entries.get("env", {})
    if not isinstance(value, dict):
        raise table.unusable("env", f"{shown(value)} is no table")
    for name, text in value.items():
        if not name or "=" in name or "\0" in name:
            raise table.unusable(f"env.{name}", "it is no name of a variable")
        if not isinstance(text, str) or "\0" in text:  # never shown: it may be a secret
            raise table.unusable(f"env.{name}", "its value is not text; put it in quotes")
    return {str(name): str(text) for name, text in value.items()}
