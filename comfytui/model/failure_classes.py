"""What happened to an attempt, and what follows: the one table that decides whether it is repeated.

An attempt that satisfied its scene is over whatever the table says. ``[retry]`` in ``comfytui.toml`` replaces single
rules; what was settled there is part of the run's plan.
"""

from collections.abc import Mapping
from typing import Literal, get_args

from msgspec import Struct

from comfytui.model.state import Attempt

FailureClass = Literal[
    "short", "cached", "error", "oom", "timeout", "stalled", "lost", "moved", "away", "rejected", "interrupted"
]
RetryRule = Literal["never", "budget", "free"]

FAILURE_CLASSES: tuple[FailureClass, ...] = get_args(FailureClass)
RETRY_RULES: tuple[RetryRule, ...] = get_args(RetryRule)

FREE_RETRIES = 3
"""Attempts of one scene that may go uncounted, so that a server that dies on every prompt is given up in the end."""


class Consequence(Struct, frozen=True, kw_only=True):
    """One row of the table: ``what`` happened, the ``rule``, what is done ``before`` another attempt is sent.

    ``note`` is the fallback note of that attempt, where the one before did not go the first way.
    """

    what: str
    rule: RetryRule
    before: str = "a fresh prefix and seed"
    note: str = ""


TABLE: dict[FailureClass, Consequence] = {
    "short": Consequence(what="it succeeded, with fewer proven frames than the floor", rule="budget"),
    "cached": Consequence(
        what="the server answered from its cache and wrote nothing new", rule="budget",
        before="a fresh prefix and seed, so that it is no hit again",
    ),
    "error": Consequence(what="a node failed, or the server could not be asked to render it", rule="budget"),
    "oom": Consequence(
        what="a node ran out of GPU memory", rule="budget",
        before="the server is told to unload its models, and VRAM is waited for (at most 60 s)",
        note="GPU memory ran out in attempt {number}; the server was told to unload its models before this one",
    ),
    "timeout": Consequence(what="it took longer than `--max-wait` or `--max-total-wait`", rule="budget"),
    "stalled": Consequence(what="no progress, frame or GPU activity for `--stall-timeout`", rule="budget"),
    "lost": Consequence(
        what="the server was restarted, or forgot the prompt otherwise", rule="free",
        note="sent once more: the server lost attempt {number}",
    ),
    "moved": Consequence(
        what="of several servers, its own went away or was slower: another takes it", rule="free",
        note="sent once more: {why}",
    ),
    "away": Consequence(what="the server stayed away for `--server-wait`", rule="never", before=""),
    "rejected": Consequence(what="the server refused the workflow: it would be refused again", rule="never", before=""),
    "interrupted": Consequence(what="a person interrupted it", rule="never", before=""),
}  # fmt: skip
"""What an attempt that ended so (and did not satisfy its scene) means for the next one."""

TRANSPORT = "the connection broke while it was sent or watched"
"""Never the end of an attempt, and so in no class: the prompt is looked for, and sent again only if it is not there."""

_BY_CODE: dict[str, FailureClass] = {
    "server.lost": "away",
    "prompt.handed_over": "moved",
    "prompt.out_of_memory": "oom",
}


def class_of(attempt: Attempt) -> FailureClass:
    """Return what kind of end ``attempt`` came to, given that it did not satisfy its scene."""
    by_code = _BY_CODE.get(attempt.error.code or "") if attempt.error is not None else None
    if by_code is not None:
        return by_code
    match attempt.status:
        case "success" | "partial":
            return "short"
        case None:
            return "error"
        case status:
            return status


def rule_of(kind: FailureClass, changes: Mapping[FailureClass, RetryRule]) -> RetryRule:
    """Return the rule for ``kind``: the one that ``changes`` (the plan's) names, else the table's."""
    return changes.get(kind, TABLE[kind].rule)


def note_after(attempt: Attempt) -> str:
    """Return the fallback note of the attempt that follows ``attempt``, empty where there is none."""
    why = attempt.error.message if attempt.error is not None else ""
    return TABLE[class_of(attempt)].note.format(number=attempt.number, why=why)


_IN_WORDS: dict[RetryRule, str] = {
    "never": "no",
    "budget": "within `--retry-budget`",
    "free": f"yes, without costing the budget, at most {FREE_RETRIES} times a scene",
}


def failure_classes_markdown() -> str:
    """Return the table in Markdown: the class as ``[retry]`` names it, its rule, and what is done first."""
    rows = ["| class | what happened | another attempt | before it |", "|---|---|---|---|"]
    for kind, row in TABLE.items():
        rows.append(f"| `{kind}` | {row.what} | {_IN_WORDS[row.rule]} (`{row.rule}`) | {row.before} |")
    rows.append(f"| | {TRANSPORT} | none is spent: the same prompt id is looked for, and sent if it never arrived | |")
    return "\n".join(rows) + "\n"
