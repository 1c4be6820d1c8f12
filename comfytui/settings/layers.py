"""The places that settings come from, each read into one :class:`Layer` of checked values."""

import difflib
import os
import sys
from collections.abc import Mapping
from pathlib import Path
from typing import Any

from msgspec import Struct, field

from comfytui.errors import Failure
from comfytui.settings.keyed_table import content_of
from comfytui.settings.secrets import about_secret
from comfytui.settings.table import (
    BY_KEY,
    CONFIG_VARIABLE,
    DEFAULT_SERVER,
    FILE_NAME,
    SETTINGS,
    TABLES,
    Setting,
)
from comfytui.settings.values import Unusable, read, shown
from comfytui.untrusted import plain


class Layer(Struct, frozen=True):
    """What one place says: checked ``values`` by setting name, and its tables ``bindings`` and ``keymap``."""

    values: Mapping[str, Any] = field(default_factory=dict)
    bindings: Mapping[str, object] | None = None
    keymap: Mapping[str, str] = field(default_factory=dict)


def from_flags(flags: Mapping[str, object], cwd: Path) -> Layer:
    """Return what the command line says; ``flags`` holds a text or bool per setting name, ``None`` where not given.

    Raises ``Failure`` ``config.value`` that names the flag.
    """
    given = {setting: flags[setting.name] for setting in SETTINGS if flags.get(setting.name) is not None}
    return Layer({s.name: _checked(s, value, s.flag, cwd) for s, value in given.items()})


def from_environment(environ: Mapping[str, str], cwd: Path) -> Layer:
    """Return what the environment says; a variable that is empty counts as not set.

    Raises ``Failure`` ``config.value`` that names the variable.
    """
    found: dict[str, Any] = {}
    for setting in SETTINGS:
        text = environ.get(setting.variable, "").strip() if setting.variable else ""
        if text:
            found[setting.name] = _checked(setting, text, f"The variable {setting.variable}", cwd)
    return Layer(found)


def find_file(environ: Mapping[str, str], cwd: Path, home: Path | None) -> Path | None:
    """Return the configuration file to read, or ``None``: one file, never several.

    ``COMFYTUI_CONFIG`` names it (empty: none); else ``comfytui.toml`` in ``cwd``; else the one in the user's
    configuration folder. Folders above ``cwd`` are not searched, so that no stranger's file is picked up. A folder that
    may not be looked into counts as one that has the file: reading it tells why not.
    """
    named = environ.get(CONFIG_VARIABLE)
    if named is not None:
        return cwd / named if named.strip() else None
    for folder in (cwd, user_folder(sys.platform, environ, home)):
        if folder is not None and _is_there(folder / FILE_NAME):
            return folder / FILE_NAME
    return None


def _is_there(file: Path) -> bool:
    try:
        return file.is_file()
    except OSError:
        return True


def user_folder(platform: str, environ: Mapping[str, str], home: Path | None) -> Path | None:
    """Return where ``platform`` keeps the configuration of comfytui for this user, who may have no ``home``."""
    match platform:
        case "win32":
            named, usual = environ.get("APPDATA"), "AppData/Roaming"
        case "darwin":
            named, usual = None, "Library/Application Support"
        case _:
            named, usual = environ.get("XDG_CONFIG_HOME"), ".config"
    if named:
        return Path(named) / "comfytui"
    return None if home is None else home / usual / "comfytui"


def from_file(path: Path) -> Layer:
    """Return what the configuration file at ``path`` says; its paths are relative to its own folder.

    Raises ``Failure`` ``config.unreadable``, or ``config.value`` that names file and key: for a value that cannot be
    used, a key that is not known, and a secret, which belongs into the environment.
    """
    content = content_of(path)
    server = content.pop("server") if isinstance(content.get("server"), dict) else None
    servers, suites = content.pop("servers", None), content.pop("suites", None)
    if servers is not None and (server is not None or "server" in content):
        raise Failure("config.value", place=_at("servers", path), why="`server` is there too; keep one of them")
    tables = {name: _table(content[name], name, path) for name in TABLES if name in content}
    entries = {key: value for key, value in content.items() if key not in TABLES}
    for name in ("queue", "llm"):
        entries |= {f"{name}.{key}": value for key, value in tables.get(name, {}).items()}
    values: dict[str, Any] = {}
    for key, value in entries.items():
        setting = BY_KEY.get(key)
        if setting is None:
            raise Failure("config.value", place=_at(key, path), why=_unknown(key))
        values[setting.name] = _checked(setting, value, _at(key, path), path.absolute().parent)
    if server is not None:
        values |= _server(server, path)
    if servers is not None:
        from comfytui.settings.servers_table import read_servers

        values["servers"] = read_servers(servers, path)
        addresses = tuple(entry.url for entry in values["servers"])
        values["server"] = addresses if len(addresses) > 1 else addresses[0]
    if "retry" in tables:
        from comfytui.settings.retry_table import read_retry_table

        values["retry"] = read_retry_table(tables["retry"], path)
    if "notify" in tables:
        from comfytui.settings.notify_table import read_notify_table

        values["notify"] = read_notify_table(tables["notify"], path)
    if suites is not None:
        from comfytui.settings.suites_table import read_suites

        values["suites"] = read_suites(suites, path)
    return Layer(values, tables.get("bindings"), _keymap(tables.get("keymap", {}), path))


def _server(table: Mapping[str, object], path: Path) -> dict[str, Any]:
    """Return what the table ``[server]`` says; a command without a url is for the default address."""
    from comfytui.settings.server_table import read_server_table

    url, start = read_server_table(table, path)
    if start is not None:
        return {"server": url or DEFAULT_SERVER, "start": start}
    return {} if url is None else {"server": url}


def _checked(setting: Setting, value: object, place: str, folder: Path) -> Any:
    try:
        return read(setting, value, folder)
    except Unusable as fault:
        raise Failure("config.value", place=place, why=str(fault)) from None


def _at(key: str, path: Path) -> str:
    return f"{plain(key, 80)} in {os.fspath(path)}"


def _table(value: object, name: str, path: Path) -> dict[str, object]:
    if not isinstance(value, dict):
        raise Failure(
            "config.value", place=_at(name, path), why=f"{shown(value)} stands where a table [{name}] belongs"
        )
    return value


def _keymap(table: Mapping[str, object], path: Path) -> dict[str, str]:
    """Return the table of keys: an action's id to the key (or keys, with commas) that it is moved to."""
    for action, keys in table.items():
        if not isinstance(keys, str):
            raise Failure("config.value", place=_at(f"keymap.{action}", path), why=f"{shown(keys)} is not text")
    return {action: str(keys) for action, keys in table.items()}


def _unknown(key: str) -> str:
    """Return what is wrong with a ``key`` that no setting has, with the nearest one that there is."""
    if secret := about_secret(key):
        return secret
    name = key.rpartition(".")[2].lower().replace("-", "_")
    by_name = {setting.name: setting for setting in SETTINGS if setting.llm is None or setting.name == "llm"}
    by_name |= {s.policy: s for s in SETTINGS if s.policy}
    if key.startswith("llm."):
        by_name = {s.llm: s for s in SETTINGS if s.llm}
    near = difflib.get_close_matches(name, [*by_name, *TABLES, "servers", "suites"], n=1, cutoff=0.6)
    if not near:
        return "there is no such setting"
    setting = by_name.get(near[0])
    if setting is None:
        return f"there is no such setting; did you mean the table [{near[0]}]?"
    table, _, word = setting.key.rpartition(".")
    where = f"`{word}` under [{table}]" if table else f"`{word}` at the top of the file"
    return f"there is no such setting; did you mean {where}?"
