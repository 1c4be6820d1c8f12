"""Several servers: the tables ``[[servers]]`` of ``comfytui.toml``, and which of them are used."""

import re
from collections.abc import Mapping, Sequence
from pathlib import Path

from msgspec import Struct, structs

from comfytui.errors import Failure
from comfytui.settings.keyed_table import KeyedTable, content_of, tables_of
from comfytui.settings.server_table import ServerStart, env_in, read_start
from comfytui.settings.table import SERVERS_KEYS, SIMULATOR
from comfytui.settings.values import MAXIMUM, Unusable, folder_path, number_of, place_of, server_address, shown, text_of
from comfytui.untrusted import plain

LONGEST_NAME = 40
_NAME = re.compile(rf"[A-Za-z0-9][A-Za-z0-9._:-]{{0,{LONGEST_NAME - 1}}}")
_TAG = re.compile(r"[A-Za-z0-9][A-Za-z0-9._+-]*")


class ServerEntry(Struct, frozen=True):
    """One server: where it is, what it is called, how it is started; paths are absolute.

    ``file`` holds its headers: they may be secrets, and stay there, from which every runner reads them anew.
    """

    url: str
    name: str = ""
    output_dir: Path | None = None
    tags: tuple[str, ...] = ()
    weight: float = 1.0
    start: ServerStart | None = None
    file: Path | None = None


def read_servers(tables: object, file: Path) -> tuple[ServerEntry, ...]:
    """Return the servers of ``tables``, in order; paths are relative to the folder of ``file``.

    Raises ``Failure`` ``config.value`` that names file and key, and never the value of a header.
    """
    entries: list[ServerEntry] = []
    for table in tables_of(tables or None, "servers", file):  # an empty list names no server to render on
        entry = _entry(table)
        if (other := _same(entry, entries)) is not None:
            key, value = other
            raise table.unusable(key, f"{shown(value)} is that of another server; give each its own")
        entries.append(entry)
    taken = {entry.name for entry in entries}
    for number, entry in enumerate(entries):
        if not entry.name:
            entries[number] = structs.replace(entry, name=_fresh_name(entry.url, taken))
            taken.add(entries[number].name)
    return tuple(entries)


def chosen(addresses: Sequence[str], known: Sequence[ServerEntry]) -> tuple[ServerEntry, ...]:
    """Return the servers at ``addresses``, each with what is ``known`` of it and with a name of its own. Pure.

    What was meant as the name of a known one has become an address by then: ``gpu-a`` is ``http://gpu-a``. Raises
    ``Failure`` ``config.value`` for one that is named twice.
    """
    entries: list[ServerEntry] = []
    for address in addresses:
        left = [one for one in known if one.url != SIMULATOR or one not in entries]
        entry = next((one for one in left if address in (one.url, f"http://{one.name}")), ServerEntry(url=address))
        if entry.url != SIMULATOR and any(entry.url == one.url for one in entries):
            why = f"{entry.name} ({entry.url}) is given twice; a server gets its share of the scenes once"
            raise Failure("config.value", place="--server", why=why)
        names = {one.name for one in entries} | {one.name for one in known}
        entries.append(entry if entry.name else structs.replace(entry, name=_fresh_name(address, names)))
    return tuple(entries)


def headers_in(file: Path, url: str, environ: Mapping[str, str]) -> dict[str, str]:
    """Return the headers of the server at ``url`` in the configuration ``file``; none where it does not name any.

    ``${NAME}`` in a value stands for a variable of ``environ``. Raises ``Failure`` ``config.unreadable`` or
    ``config.value``, with no value in it.
    """
    for table in _tables(file):
        if server_address(str(table.entries["url"])) == url and "headers" in table.entries:
            return {name: _filled(text, environ, table, name) for name, text in table.entries["headers"].items()}
    return {}


def env_for(file: Path, url: str) -> dict[str, str]:
    """Return what the configuration ``file`` adds to the environment of the ComfyUI that is started for ``url``.

    It stands in the table ``[[servers]]`` of that address, else in ``[server]``. Raises as :func:`headers_in` does.
    """
    for table in _tables(file):
        if server_address(str(table.entries["url"])) == url:
            return {str(name): str(text) for name, text in table.entries.get("env", {}).items()}
    return env_in(file)


def _tables(file: Path) -> list[KeyedTable]:
    """Return the tables ``[[servers]]`` of ``file`` as they are now, held to what they must be; none without any."""
    tables = content_of(file).get("servers")
    if tables is None:
        return []
    read_servers(tables, file)
    return tables_of(tables, "servers", file)


# --- one table ------------------------------------------------------------------------------------------------------


def _entry(table: KeyedTable) -> ServerEntry:
    table.hold_to(SERVERS_KEYS, needed=("url",))
    url = table.read("url", lambda value: server_address(text_of(value)))
    own = next((key for key in ("output_dir", "headers", "command") if key in table.entries), None)
    if url == SIMULATOR and own is not None:
        raise table.unusable(own, "the simulator has its own")
    table.read("headers", _headers)
    return ServerEntry(
        url=url,
        name=table.read("name", _name, ""),
        output_dir=table.read("output_dir", lambda value: folder_path(text_of(value), table.folder)),
        tags=table.read("tags", _tags, ()),
        weight=table.read("weight", _weight, 1.0),
        start=read_start(table),
        file=table.file.absolute() if "headers" in table.entries else None,
    )


def _name(value: object) -> str:
    text = text_of(value)
    if not _NAME.fullmatch(text):
        raise Unusable(f"{shown(text)} is no name; take letters, digits, dots and dashes, at most {LONGEST_NAME}")
    return text


def _tags(value: object) -> tuple[str, ...]:
    if not isinstance(value, list):
        raise Unusable(f'{shown(value)} is no list of texts; write ["24gb"]')
    tags = tuple(text_of(tag) for tag in value)
    for tag in tags:
        if not _TAG.fullmatch(tag):
            raise Unusable(f"{shown(tag)} is no tag; take letters, digits, dots and dashes")
    return tuple(dict.fromkeys(tags))


def _weight(value: object) -> float:
    number = number_of(value) if isinstance(value, str) else value
    if isinstance(number, bool) or not isinstance(number, int | float) or not 0 < number <= MAXIMUM:
        raise Unusable(f"{shown(value)} is not a number above 0")
    return float(number)


def _headers(value: object) -> None:
    if not isinstance(value, dict):
        raise Unusable("it is no table of headers")
    for name, text in value.items():
        if not re.fullmatch(r"[!#$%&'*+.^_`|~0-9A-Za-z-]+", str(name)):
            raise Unusable(f"{shown(name)} is no name of a header")
        if not isinstance(text, str) or plain(text) != text:  # never shown: it may be a secret
            raise Unusable(f"the value of {name} is not text on one line")


def _filled(text: str, environ: Mapping[str, str], table: KeyedTable, name: str) -> str:
    def value(match: re.Match[str]) -> str:
        found = environ.get(match[1])
        if not found:
            raise table.unusable(f"headers.{name}", f"the variable {match[1]} is not set")
        return found

    return re.sub(r"\$\{([A-Za-z_][A-Za-z0-9_]*)\}", value, text)


def _same(entry: ServerEntry, others: Sequence[ServerEntry]) -> tuple[str, str] | None:
    """Return the key and the value in which ``entry`` is the same as one of ``others``."""
    for other in others:
        if entry.name and entry.name == other.name:
            return "name", entry.name
        if entry.url != SIMULATOR and place_of(entry.url) == place_of(other.url):
            return "url", entry.url
    return None


def _fresh_name(address: str, taken: set[str]) -> str:
    """Return host and port of ``address``, with a number where others are called so."""
    name = (
        re.sub(r"[^A-Za-z0-9._:-]", "", address.partition("://")[2] or address)[:LONGEST_NAME].strip(":-.") or "server"
    )
    return next(each for each in (name, *(f"{name}-{n}" for n in range(2, len(taken) + 3))) if each not in taken)
