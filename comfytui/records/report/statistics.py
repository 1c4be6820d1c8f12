"""The few statistics of a report. Pure."""

from collections.abc import Iterable, Sequence
from math import ceil, sqrt

from comfytui.model.report import Rate, Spread

Z_95 = 1.959963984540054
"""The two-sided 95 % quantile of the normal distribution."""


def rate(count: int, of: int) -> Rate:
    """Return ``count`` of ``of`` with the 95 % interval of Wilson; null figures for none of none."""
    if of <= 0:
        return Rate(count=count, of=of, rate=None, low=None, high=None)
    share, z2 = count / of, Z_95 * Z_95
    middle = (share + z2 / (2 * of)) / (1 + z2 / of)
    half = Z_95 / (1 + z2 / of) * sqrt(share * (1 - share) / of + z2 / (4 * of * of))
    low, high = max(0.0, middle - half), min(1.0, middle + half)
    return Rate(
        count=count, of=of, rate=round(share, 6), low=round(0.0 if count == 0 else low, 6),
        high=round(1.0 if count == of else high, 6),
    )  # fmt: skip


def percentile(ordered: Sequence[float], share: float) -> float:
    """Return the nearest-rank percentile of ``ordered``, which is sorted and not empty."""
    return ordered[max(0, ceil(share * len(ordered)) - 1)]


def spread(values: Iterable[float | None]) -> Spread:
    """Return the spread of the values that are known."""
    known = sorted(float(value) for value in values if value is not None)
    if not known:
        return Spread(count=0)
    return Spread(
        count=len(known), least=known[0], p50=percentile(known, 0.5), p95=percentile(known, 0.95), most=known[-1]
    )
