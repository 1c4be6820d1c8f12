"""The tables ``[[suites]]`` of ``comfytui.toml``: the check commands that run once every scene is over."""

from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from comfytui.errors import Failure
from comfytui.settings.table import SUITE_KEYS
from comfytui.settings.values import Unusable, command_of, folder_path, near, seconds_of, shown, text_of
from comfytui.untrusted import file_name, plain

TIMEOUT = 600.0
LONGEST_LABEL = 60


@dataclass(frozen=True)
class Suite:
    """One check command; ``timeout`` is in seconds, ``cwd`` absolute."""

    label: str
    command: tuple[str, ...]
    cwd: Path
    timeout: float = TIMEOUT


def read_suites(tables: object, file: Path) -> tuple[Suite, ...]:
    """Return the suites of ``tables``, in order; paths are relative to the folder of ``file``.

    Raises ``Failure`` ``config.value`` that names file and key, also for two suites that would share a log.
    """
    if not isinstance(tables, list) or not all(isinstance(table, dict) for table in tables):
        raise Failure("config.value", place=f"suites in {file}", why="it is no list of tables; write [[suites]]")
    suites: list[Suite] = []
    logs: dict[str, str] = {}
    for number, table in enumerate(tables):
        suite = _suite(table, number, file)
        log = file_name(suite.label).lower()
        if (other := logs.get(log)) is not None:
            why = f"{shown(suite.label)} and {shown(other)} would share a log; give each a label of its own"
            raise _unusable(file, number, "label", why)
        logs[log] = suite.label
        suites.append(suite)
    return tuple(suites)


def _suite(table: Mapping[str, object], number: int, file: Path) -> Suite:
    folder = file.absolute().parent
    for key in table:
        if key not in SUITE_KEYS:
            raise _unusable(file, number, key, f"there is no such setting{near(key, SUITE_KEYS)}")
    for key in ("label", "command"):
        if key not in table:
            raise _unusable(file, number, key, "it is missing")

    def read(key: str, make: Any, default: Any = None) -> Any:
        if key not in table:
            return default
        try:
            return make(table[key])
        except Unusable as fault:
            raise _unusable(file, number, key, str(fault)) from None

    cwd = read("cwd", lambda value: folder_path(text_of(value), folder), folder)
    return Suite(
        label=read("label", _label),
        command=read("command", lambda value: command_of(value, cwd)),
        cwd=cwd,
        timeout=read("timeout", lambda value: seconds_of(value, above=0.0), TIMEOUT),
    )


def _label(value: object) -> str:
    text = text_of(value)
    if len(text) > LONGEST_LABEL:
        raise Unusable(f"it has {len(text)} characters, more than {LONGEST_LABEL}")
    return text


def _unusable(file: Path, number: int, key: str, why: str) -> Failure:
    return Failure("config.value", place=f"suites[{number}].{plain(key, 80)} in {file}", why=why)
