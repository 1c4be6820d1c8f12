"""The fault table: what may go wrong, what happens then, what is kept, and the test that injects it.

Its rows are data, ``bundled/faults.toml``; a test holds each of them to the test that it names.
"""

import importlib.resources
import tomllib

import msgspec


class Row(msgspec.Struct, frozen=True, forbid_unknown_fields=True):
    """One fault. ``test`` is the pytest node id that injects it, such as ``tests/faults/test_disk.py::test_...``."""

    fault: str
    happens: str
    kept: str
    test: str


class _Table(msgspec.Struct, frozen=True, forbid_unknown_fields=True):
    row: tuple[Row, ...]


def fault_table() -> tuple[Row, ...]:
    """Return every row, in the order of the file."""
    text = importlib.resources.files("comfytui").joinpath("bundled", "faults.toml").read_text(encoding="utf-8")
    return msgspec.convert(tomllib.loads(text), _Table).row


def fault_table_markdown() -> str:
    """Return the table as Markdown."""
    rows = ["| fault | what happens | what is kept | test |", "|---|---|---|---|"]
    rows += [
        f"| {row.fault} | {row.happens} | {row.kept} | `{row.test.removeprefix('tests/')}` |" for row in fault_table()
    ]
    return "\n".join(rows) + "\n"
