"""The gate of a report: conditions that must not hold, such as ``success<0.95,p95>1.2x``. Parsed strictly; pure."""

import re
from collections.abc import Callable, Sequence
from operator import ge, gt, le, lt

from msgspec import Struct, structs

from comfytui.errors import Failure
from comfytui.model.report import Report, Verdict
from comfytui.records.report.figures import MEANINGS, MEASURES
from comfytui.untrusted import plain

OPERATORS: dict[str, Callable[[float, float], bool]] = {"<=": le, ">=": ge, "<": lt, ">": gt}

_CONDITION = re.compile(
    r"\s*(?P<name>[a-z0-9.]+)\s*(?P<operator><=|>=|<|>)\s*(?P<number>-?\d{1,9}(?:\.\d{1,9})?)(?P<unit>%|s|MB|x)?\s*",
    re.ASCII,
)
_SHARES = ("success", "runs", "requeues", "telemetry")


class Condition(Struct, frozen=True, kw_only=True):
    """One condition: what it says, the figure, the comparison, and the limit (with ``x``: times the baseline's)."""

    text: str
    name: str
    operator: str
    number: float
    unit: str = ""
    """``%``, ``s``, ``MB``, ``x`` (times the baseline's), or nothing."""


def parse_gate(text: str, *, baseline: bool) -> tuple[Condition, ...]:
    """Return the conditions of ``text``, which are parted by commas; none for an empty text.

    Raises ``Failure`` ``gate.syntax`` for whatever is not exactly a condition, and for ``x`` without ``baseline``.
    """
    if not text.strip():
        return ()
    return tuple(_condition(piece, text, baseline) for piece in text.split(","))


def judged(report: Report, conditions: Sequence[Condition], baseline: Report | None) -> Report:
    """Return ``report`` with a verdict on each condition. One whose figure is unknown is broken."""
    return structs.replace(report, gate=tuple(_verdict(report, each, baseline) for each in conditions))


def gate_help() -> str:
    """Return a Markdown table of the figures that a gate may ask for."""
    rows = ["| figure | what it is |", "|---|---|", *(f"| `{name}` | {what} |" for name, what in MEANINGS.items())]
    return "\n".join(rows) + "\n"


def _condition(piece: str, text: str, baseline: bool) -> Condition:
    def unusable(why: str) -> Failure:
        return Failure("gate.syntax", gate=plain(text, 200), place=plain(piece.strip(), 80), why=why)

    found = _CONDITION.fullmatch(piece)
    if found is None:
        raise unusable("a condition is a figure, one of < <= > >=, and a number with %, s, MB, x or nothing behind it")
    name, unit = found["name"], found["unit"] or ""
    if name not in MEASURES:
        raise unusable(f"there is no such figure; there are {', '.join(MEASURES)}")
    fitting = {"x", ""} | ({"%"} if name in _SHARES else {"MB"} if name == "vram" else {"s"})
    if unit not in fitting or (name == "fallbacks" and unit == "s"):
        raise unusable(f"{name} is not measured in {unit}")
    if unit == "x" and not baseline:
        raise unusable("x means times the baseline's, and there is no --baseline")
    return Condition(
        text=piece.strip(), name=name, operator=found["operator"], number=float(found["number"]), unit=unit
    )


def _verdict(report: Report, condition: Condition, baseline: Report | None) -> Verdict:
    taken = MEASURES[condition.name]
    value, limit = taken(report), condition.number
    if condition.unit == "%":
        limit = limit / 100
    if condition.unit == "x":
        then = taken(baseline) if baseline is not None else None
        if then is None:
            return _broken(condition, value, None, "the baseline does not tell it")
        limit = condition.number * then
    if value is None:
        return _broken(condition, None, limit, "it is not known")
    broken = OPERATORS[condition.operator](value, limit)
    return Verdict(
        condition=condition.text, value=value, limit=round(limit, 6), broken=broken,
        why=f"{condition.name} is {value:g}, the limit {limit:g}",
    )  # fmt: skip


def _broken(condition: Condition, value: float | None, limit: float | None, why: str) -> Verdict:
    return Verdict(condition=condition.text, value=value, limit=limit, broken=True, why=why)
