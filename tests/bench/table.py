"""What a benchmark found, as a table for people and as JSON: ratios first, each figure beside its target."""

import json
import os
import platform
from collections.abc import Sequence
from dataclasses import asdict, dataclass, field
from typing import Any

RATIO = "x"


@dataclass(frozen=True)
class Figure:
    """One finding: ``value`` in ``unit`` (``x`` is a ratio), with the most or the least that it should be."""

    name: str
    value: float
    unit: str = RATIO
    most: float | None = None
    least: float | None = None

    @property
    def met(self) -> bool | None:
        """Whether the target is met; ``None`` without one."""
        if self.most is None and self.least is None:
            return None
        return (self.most is None or self.value <= self.most) and (self.least is None or self.value >= self.least)


@dataclass(frozen=True)
class Table:
    """Everything that one benchmark found, and how it was measured."""

    title: str
    figures: Sequence[Figure]
    notes: Sequence[str] = field(default=())

    @property
    def ordered(self) -> list[Figure]:
        """The figures, ratios first."""
        return sorted(self.figures, key=lambda figure: figure.unit != RATIO)


def machine() -> str:
    """Return the machine in words that name nobody."""
    system = f"{platform.system()} {platform.machine()}"
    return f"{os.cpu_count()} cores, {platform.python_implementation()} {platform.python_version()}, {system}"


def as_text(table: Table) -> str:
    """Return ``table`` for people."""
    lines = [table.title]
    wide = max(len(figure.name) for figure in table.figures)
    for figure in table.ordered:
        lines.append(f"  {figure.name:<{wide}}  {_amount(figure.value, figure.unit):>14}  {_target(figure)}".rstrip())
    return "\n".join([*lines, *(f"  ({note})" for note in table.notes)])


def as_markdown(tables: dict[str, Table]) -> str:
    """Return the ratios and what has a target, as a table for the README."""
    lines = [f"Measured on {machine()}:", "", "| | measured | target |", "| --- | ---: | --- |"]
    for name, table in tables.items():
        lines.append(f"| **{name}**: {table.title} | | |")
        told = [figure for figure in table.ordered if figure.met is not None or figure.unit == RATIO]
        lines += [f"| {one.name} | {_amount(one.value, one.unit)} | {_target(one)} |" for one in told]
    return "\n".join(lines)


def as_json(tables: dict[str, Table]) -> str:
    """Return ``tables`` by name as one line of JSON."""
    return json.dumps({"machine": machine(), "benchmarks": {name: _plain(table) for name, table in tables.items()}})


def _plain(table: Table) -> dict[str, Any]:
    figures = [asdict(figure) | {"met": figure.met} for figure in table.ordered]
    return {"title": table.title, "figures": figures, "notes": list(table.notes)}


def _amount(value: float, unit: str) -> str:
    digits = 2 if unit == RATIO or abs(value) < 10 else 1 if abs(value) < 1000 else 0
    return f"{value:,.{digits}f} {unit}"


def _target(figure: Figure) -> str:
    if figure.met is None:
        return ""
    bounds = [f"at most {figure.most:g}"] if figure.most is not None else []
    bounds += [f"at least {figure.least:g}"] if figure.least is not None else []
    return f"{' and '.join(bounds)}: {'met' if figure.met else 'MISSED'}"


def quantile(values: Sequence[float], share: float) -> float:
    """Return the value below or at which ``share`` of ``values`` (not empty) lie: 0.5 the median, 1.0 the largest."""
    ordered = sorted(values)
    return ordered[min(len(ordered) - 1, int(share * len(ordered)))]


def paired(ours: Sequence[float], theirs: Sequence[float]) -> float:
    """Return the median of the ratios of each turn: a machine is faster in one minute than in the next."""
    return quantile([us / them for us, them in zip(ours, theirs, strict=True)], 0.5)
