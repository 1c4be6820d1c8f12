"""One table of ``comfytui.toml`` that is read key by key; what is wrong with it is said with its place."""

from collections.abc import Callable, Collection, Mapping
from pathlib import Path
from typing import Any

from msgspec import Struct

from comfytui.errors import Failure
from comfytui.settings.values import Unusable, near
from comfytui.untrusted import plain


class KeyedTable(Struct, frozen=True):
    """The table that stands at ``place`` in ``file``, such as ``server`` or ``suites[0]``."""

    entries: Mapping[str, Any]
    place: str
    file: Path

    @property
    def folder(self) -> Path:
        """The folder that paths in the table are relative to."""
        return self.file.absolute().parent

    def hold_to(self, known: Collection[str], needed: Collection[str] = ()) -> None:
        """Return when each key is ``known`` and none that is ``needed`` is missing; else raise :meth:`unusable`."""
        for key in self.entries:
            if key not in known:
                raise self.unusable(key, f"there is no such setting{near(key, known)}")
        for key in needed:
            if key not in self.entries:
                raise self.unusable(key, "it is missing")

    def read(self, key: str, make: Callable[[Any], Any], default: Any = None) -> Any:
        """Return what ``make`` makes of the value of ``key``, or ``default`` where the table does not have it.

        Raises :meth:`unusable` where ``make`` raises :class:`Unusable`.
        """
        if key not in self.entries:
            return default
        try:
            return make(self.entries[key])
        except Unusable as fault:
            raise self.unusable(key, str(fault)) from None

    def unusable(self, key: str, why: str) -> Failure:
        """Return the ``Failure`` ``config.value`` that names file, table and ``key``."""
        return Failure("config.value", place=f"{self.place}.{plain(key, 80)} in {self.file}", why=why)


def tables_of(value: object, name: str, file: Path) -> list[KeyedTable]:
    """Return the tables ``[[name]]`` of ``file``, in order. Raises ``Failure`` ``config.value`` for anything else."""
    if not isinstance(value, list) or not all(isinstance(table, dict) for table in value):
        raise Failure("config.value", place=f"{name} in {file}", why=f"it is no list of tables; write [[{name}]]")
    return [KeyedTable(table, f"{name}[{number}]", file) for number, table in enumerate(value)]


def content_of(file: Path) -> dict[str, Any]:
    """Return what the configuration ``file`` holds as it is now. Raises ``Failure`` ``config.unreadable``."""
    from comfytui.model import document

    data = document.read_bytes(file, unreadable="config.unreadable")
    content = document.decode(data, "toml", file=str(file), syntax="config.unreadable")
    assert isinstance(content, dict)
    return content
