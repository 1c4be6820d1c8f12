"""The table ``[retry]`` of ``comfytui.toml``: what is changed of the table of failure classes."""

import difflib
from collections.abc import Mapping
from pathlib import Path
from typing import TYPE_CHECKING

from comfytui.errors import Failure
from comfytui.settings.values import shown
from comfytui.untrusted import plain

if TYPE_CHECKING:
    from comfytui.model.failure_classes import FailureClass, RetryRule


def read_retry_table(table: Mapping[str, object], file: Path) -> "dict[FailureClass, RetryRule]":
    """Return the rules that ``table`` changes, by failure class.

    Raises ``Failure`` ``config.value`` that names file and key, for a class that is not known and for what is no rule.
    """
    from comfytui.model.failure_classes import FAILURE_CLASSES, RETRY_RULES

    classes = {kind: kind for kind in FAILURE_CLASSES}
    rules = {rule: rule for rule in RETRY_RULES}
    changes: dict[FailureClass, RetryRule] = {}
    for key, value in table.items():
        place = f"retry.{plain(key, 80)} in {file}"
        kind = classes.get(key)  # type: ignore[call-overload]
        if kind is None:
            near = difflib.get_close_matches(key.lower(), FAILURE_CLASSES, n=1, cutoff=0.6)
            hint = f"did you mean `{near[0]}`?" if near else f"there are {', '.join(FAILURE_CLASSES)}"
            raise Failure("config.value", place=place, why=f"there is no such failure class; {hint}")
        rule = rules.get(value) if isinstance(value, str) else None  # type: ignore[call-overload]
        if rule is None:
            raise Failure("config.value", place=place, why=f"{shown(value)} is none of {', '.join(RETRY_RULES)}")
        changes[kind] = rule
    return changes
