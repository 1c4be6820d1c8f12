"""One thing that was looked at, what became of it and what to do."""

from collections.abc import Callable
from typing import Literal

from msgspec import UNSET, Struct, UnsetType

from comfytui.errors import Failure

Verdict = Literal["ok", "warn", "fail", "unknown"]
"""``warn``: runs will do, with less than they could. ``fail``: a run would fail. ``unknown``: nobody can tell."""


class Finding(Struct, frozen=True, kw_only=True):
    """``check`` is what was looked at, ``what`` the finding and ``remedy`` what to do (empty where nothing is)."""

    check: str
    verdict: Verdict
    what: str
    remedy: str = ""
    server: str | UnsetType = UNSET
    """The name of the server that it is about, where there are several."""


Tell = Callable[[Finding], None]


def ok(check: str, what: str) -> Finding:
    """Return a finding that all is well."""
    return Finding(check=check, verdict="ok", what=what)


def warn(check: str, what: str, remedy: str) -> Finding:
    """Return a finding that a run can live with."""
    return Finding(check=check, verdict="warn", what=what, remedy=remedy)


def fail(check: str, what: str, remedy: str) -> Finding:
    """Return a finding that a run would fail of."""
    return Finding(check=check, verdict="fail", what=what, remedy=remedy)


def unknown(check: str, what: str, remedy: str = "") -> Finding:
    """Return that this could not be found out."""
    return Finding(check=check, verdict="unknown", what=what, remedy=remedy)


def of_failure(check: str, failure: Failure) -> Finding:
    """Return what a run would end with."""
    return fail(check, failure.what, failure.remedy)
