"""``comfytui runs``: past runs in lines, one of them, two side by side, and clearing old ones away."""

import os
from collections.abc import Iterable, Iterator, Mapping, Sequence
from datetime import datetime
from pathlib import Path
from typing import Any

import click
import msgspec

from comfytui.clock import system_clock
from comfytui.errors import Failure
from comfytui.faces.headless import duration_words, json_line
from comfytui.model.catalog import RunEntry, SceneChange, SceneSide
from comfytui.records.registry.choosing import age, choose
from comfytui.records.registry.index import list_entries
from comfytui.records.rundir import find_run
from comfytui.settings.merged import load
from comfytui.untrusted import plain

UNKNOWN = "-"


def list_past(flags: Mapping[str, Any]) -> int:
    """Print the runs that ``flags`` ask for, the newest first, and return 0. Raises ``Failure`` ``runs.age``."""
    since, runs_dir = flags.get("since"), _runs_dir(flags)
    now = system_clock().now()
    entries = choose(
        list_entries(runs_dir), failed=bool(flags.get("failed")), story=flags.get("story"),
        since=now - age(since) if since else None,
    )  # fmt: skip
    if flags.get("as_json"):
        lines: Iterable[str] = (json_line(run=_told(entry)) for entry in entries)
    else:
        lines = table(HEAD, [row(entry) for entry in entries]) if entries else [f"No such runs in {runs_dir}."]
    click.echo("\n".join(lines), nl=bool(entries) or not flags.get("as_json"))
    return 0


HEAD = ("RUN", "STORY", "STATE", "SCENES", "FRAMES", "REQUEUES", "TOOK", "OPENED")


def row(entry: RunEntry) -> tuple[str, ...]:
    """Return ``entry`` as the cells of a line; what is not known is ``-``."""
    well, of, frames, requeues = (
        UNKNOWN if figure is None else str(figure)
        for figure in (entry.well, entry.planned, entry.frames, entry.requeues)
    )
    return (
        entry.run_id,
        plain(entry.story, 32) or UNKNOWN,
        entry.word,
        f"{well}/{of}",
        frames,
        requeues,
        UNKNOWN if entry.seconds is None else duration_words(round(entry.seconds, 1)),
        _moment(entry.opened_at),
    )


def show_past(name: str | None, flags: Mapping[str, Any]) -> int:
    """Print one run (an id, a folder, or the latest) and return 0. Raises ``Failure`` ``run.not_found``."""
    from comfytui.records.registry.entry import read_contributions, read_entry

    run = find_run(_runs_dir(flags), name)
    entry, servers = read_entry(run), read_contributions(run)
    if flags.get("as_json"):
        click.echo(json_line(run={**_told(entry), **({"servers": msgspec.to_builtins(servers)} if servers else {})}))
        return 0
    facts = [*zip(HEAD[:7], row(entry)[:7], strict=True), ("OPENED", _moment(entry.opened_at)),
             ("ENDED", _moment(entry.ended_at)), ("EXIT", UNKNOWN if entry.exit_code is None else str(entry.exit_code)),
             ("LOGLINE", entry.logline or UNKNOWN), ("FOLDER", str(run.path)),
             ("ARCHIVE", str(run.archive) if run.archive.is_file() else UNKNOWN)]  # fmt: skip
    facts += [("SERVER", server.words) for server in servers]
    if entry.problem:
        facts.append(("PROBLEM", entry.problem))
    click.echo("\n".join(f"{name.lower():<9} {plain(text, 2000)}" for name, text in facts))
    return 0


def diff_past(before: str, after: str, flags: Mapping[str, Any]) -> int:
    """Print two runs scene by scene: frames, verdicts, durations, and what differs in their telemetry. Return 0.

    Raises ``Failure`` ``run.not_found``, ``run.no_record``.
    """
    from comfytui.records.registry.comparing import compare

    runs_dir = _runs_dir(flags)
    changes = compare(find_run(runs_dir, before), find_run(runs_dir, after))
    if flags.get("as_json"):
        click.echo("\n".join(json_line(scene=msgspec.to_builtins(change)) for change in changes))
    else:
        click.echo("\n".join(_diff_lines(changes)))
    return 0


def prune_past(flags: Mapping[str, Any]) -> int:
    """Remove the old runs that ``flags`` name (or tell which with ``dry_run``); return 1 when one could not be, else 0.

    Raises ``Failure`` ``runs.limit`` without a limit, ``run.unwritable``.
    """
    from comfytui.records.registry.pruning import judge, prune

    last, days = flags.get("keep_last"), flags.get("keep_days")
    if last is None and days is None:
        raise Failure("runs.limit")
    runs_dir = _runs_dir(flags)
    entries = list_entries(runs_dir)
    judged = judge(
        entries, system_clock().now(), keep_last=last, keep_days=days, unfinished=bool(flags.get("unfinished"))
    )
    dry = bool(flags.get("dry_run"))
    removed = 0
    for one in judged if dry else prune(runs_dir, entries, judged):
        word = ("would go" if dry else "removed") if one.goes else "stays"
        if flags.get("as_json"):
            click.echo(json_line(pruned={"run": one.run_id, "goes": one.goes, "why": one.why}))
        else:
            click.echo(f"{one.run_id}  {word:<8}  {plain(one.why, 500)}".rstrip())
        removed += one.goes
    return 0 if dry or removed == sum(one.goes for one in judged) else 1


def _runs_dir(flags: Mapping[str, Any]) -> Path:
    return load(flags, os.environ, Path.cwd()).runs_dir


def _told(entry: RunEntry) -> dict[str, Any]:
    told = msgspec.to_builtins(entry)
    return {**told, "state": entry.word, "seconds": entry.seconds, "went_well": entry.went_well}


def _moment(moment: datetime | None) -> str:
    return UNKNOWN if moment is None else f"{moment.isoformat(' ', 'minutes')[:16]}Z"


def table(head: Sequence[str], rows: Sequence[Sequence[str]]) -> Iterator[str]:
    """Yield ``rows`` under ``head`` as lines, each column as wide as its widest cell."""
    widths = [max(len(cell) for cell in column) for column in zip(head, *rows, strict=True)]
    for cells in (head, *rows):
        yield "  ".join(f"{cell:<{width}}" for cell, width in zip(cells, widths, strict=True)).rstrip()


def _diff_lines(changes: Sequence[SceneChange]) -> Iterator[str]:
    rows = [(change.scene, *_cells(change.before), *_cells(change.after)) for change in changes]
    yield from table(("SCENE", "FRAMES", "VERDICT", "TOOK", "FRAMES'", "VERDICT'", "TOOK'"), rows)
    for change in changes:
        for field in change.telemetry:
            yield f"{change.scene}  {field.field}: {field.before} -> {field.after}"


def _cells(side: SceneSide | None) -> tuple[str, str, str]:
    if side is None:
        return (UNKNOWN, "no record", UNKNOWN)
    frames = UNKNOWN if side.frames is None else f"{side.frames}/{UNKNOWN if side.floor is None else side.floor}"
    return (frames, side.verdict, UNKNOWN if side.seconds is None else f"{side.seconds:.1f} s")
