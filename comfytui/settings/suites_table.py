"""The tables ``[[suites]]`` of ``comfytui.toml``: the check commands that run once every scene is over."""

from pathlib import Path

from msgspec import Struct

from comfytui.settings.keyed_table import KeyedTable, tables_of
from comfytui.settings.table import SUITE_KEYS
from comfytui.settings.values import Unusable, command_of, folder_path, seconds_of, shown, text_of
from comfytui.untrusted import file_name

TIMEOUT = 600.0
LONGEST_LABEL = 60


class Suite(Struct, frozen=True):
    """One check command; ``timeout`` is in seconds, ``cwd`` absolute."""

    label: str
    command: tuple[str, ...]
    cwd: Path
    timeout: float = TIMEOUT


def read_suites(tables: object, file: Path) -> tuple[Suite, ...]:
    """Return the suites of ``tables``, in order; paths are relative to the folder of ``file``.

    Raises ``Failure`` ``config.value`` that names file and key, also for two suites that would share a log.
    """
    suites: list[Suite] = []
    logs: dict[str, str] = {}
    for table in tables_of(tables, "suites", file):
        suite = _suite(table)
        log = file_name(suite.label).lower()
        if (other := logs.get(log)) is not None:
            why = f"{shown(suite.label)} and {shown(other)} would share a log; give each a label of its own"
            raise table.unusable("label", why)
        logs[log] = suite.label
        suites.append(suite)
    return tuple(suites)


def _suite(table: KeyedTable) -> Suite:
    table.hold_to(SUITE_KEYS, needed=("label", "command"))
    cwd = table.read("cwd", lambda value: folder_path(text_of(value), table.folder), table.folder)
    return Suite(
        label=table.read("label", _label),
        command=table.read("command", lambda value: command_of(value, cwd)),
        cwd=cwd,
        timeout=table.read("timeout", lambda value: seconds_of(value, above=0.0), TIMEOUT),
    )


def _label(value: object) -> str:
    text = text_of(value)
    if len(text) > LONGEST_LABEL:
        raise Unusable(f"it has {len(text)} characters, more than {LONGEST_LABEL}")
    return text
