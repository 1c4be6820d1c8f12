"""``comfytui doctor``: everything that a run needs, looked at before one is begun."""

import os
import shutil
import sys
import textwrap
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

import anyio
import click
import msgspec
from msgspec import UNSET, UnsetType

from comfytui.cli.driving import credentials
from comfytui.cli.planning import order_story, scenes_of, server_plans
from comfytui.cli.storytelling import provider_of
from comfytui.cli.terminal import terminal
from comfytui.clock import system_clock
from comfytui.engine.doctor.examination import Patient, examine
from comfytui.engine.doctor.finding import Finding, Tell, of_failure, ok, warn
from comfytui.errors import Failure
from comfytui.faces.headless import json_line
from comfytui.model.events import SceneBrief
from comfytui.model.plan import ServerPlan
from comfytui.model.workflow import Workflow, load_workflow
from comfytui.settings.merged import Settings, load

WIDEST = 120
_COLOURS = {"ok": "green", "warn": "yellow", "fail": "red", "unknown": "cyan"}
_VERDICT, _CHECK = 8, 15


def examine_setup(story: Path | None, flags: Mapping[str, Any], *, smoke: bool) -> int:
    """Tell what is found, as a table or as one line of JSON, and return 2 when a run would fail, else 0."""
    as_json = bool(flags.get("as_json"))
    findings: list[Finding] = []

    def tell(finding: Finding) -> None:
        before = findings[-1].server if findings else UNSET
        findings.append(finding)
        if not as_json:
            if finding.server is not before:
                click.echo(f"\n{finding.server or 'In common'}")
            click.echo("\n".join(table_row(finding, _width())), color=False if os.environ.get("NO_COLOR") else None)
            sys.stdout.flush()

    _examine(story, flags, tell, smoke=smoke)
    failed = would_fail(findings)
    if as_json:
        click.echo(json_line(doctor={"passed": not failed, "findings": msgspec.to_builtins(findings)}))
    else:
        click.echo(last_line(findings))
    return 2 if failed else 0


def _examine(story: Path | None, flags: Mapping[str, Any], tell: Tell, *, smoke: bool) -> None:
    for finding in terminal(os.environ, encoding=sys.stdout.encoding or "ascii", size=_size()):
        tell(finding)
    try:
        settings = load(flags, os.environ, Path.cwd())
        servers = server_plans(settings, "instant")
        secrets = credentials(*servers)
    except Failure as failure:
        tell(of_failure("settings", failure))
        return
    workflow, scenes = _ordered(story, settings, tell)
    patient = Patient(
        server=servers[0],
        more_servers=servers[1:],
        workflow=workflow,
        scenes=scenes,
        runs_dir=settings.runs_dir,
        llm=provider_of(settings.llm),
        llm_skip=settings.llm.skip_health,
        smoke=smoke,
    )
    found: list[Finding] = []

    def note(finding: Finding) -> None:
        found.append(finding)
        tell(finding)

    anyio.run(examine, patient, system_clock(), secrets, note)
    if (lacking := without_server(scenes, servers, found)) is not None:
        tell(lacking)


def _ordered(story: Path | None, settings: Settings, tell: Tell) -> tuple[Workflow | None, tuple[SceneBrief, ...]]:
    """Tell what is wrong with story and workflow, and return what of them can be used."""
    workflow: Workflow | None = None
    try:
        workflow = load_workflow(settings.workflow, settings.bindings or None)
        if story is not None:
            order = order_story(story, settings)
            doubts = order.story.warnings
            for doubt in doubts:
                tell(warn("story", doubt, "Correct the story, or choose a workflow that fits it."))
            if not doubts:
                tell(ok("story", f"{story} has {len(order.story.scenes)} scenes"))
            return workflow, scenes_of(order.story, settings.policy.frame_floor)
    except Failure as failure:
        tell(of_failure("bindings" if failure.code == "workflow.binding" else failure.code.partition(".")[0], failure))
    return workflow, ()


def table_row(finding: Finding, width: int) -> list[str]:
    """Return the lines of one finding in a table of that width: verdict, check, what, and the remedy below it."""
    verdict = click.style(f"{finding.verdict:<{_VERDICT}}", fg=_COLOURS[finding.verdict])
    room = max(20, width - _VERDICT - _CHECK)
    what = textwrap.wrap(finding.what, room, break_on_hyphens=False) or [""]
    remedy = textwrap.wrap(finding.remedy, room, break_on_hyphens=False, initial_indent="-> ", subsequent_indent="   ")
    left = " " * (_VERDICT + _CHECK)
    return [f"{verdict}{finding.check:<{_CHECK}}{what[0]}", *(left + line for line in (*what[1:], *remedy))]


def last_line(findings: Sequence[Finding]) -> str:
    """Return how many findings there are of each verdict, in words; of several servers, of each one too."""
    told = [f"{name}: {_counts([f for f in findings if f.server == name])}" for name in _names(findings)]
    out = [name for name in _names(findings) if _fails(findings, name)]
    if would_fail(findings):
        verdict = "a run would fail"
    else:
        verdict = f"a run would do without {', '.join(out)}" if out else "nothing stops a run"
    return "\n".join(["", *told, f"{_counts(findings)}: {verdict}"])


def would_fail(findings: Sequence[Finding]) -> bool:
    """Tell whether a run would fail: for something that concerns it as a whole, or since no server will do."""
    names = _names(findings)
    return _fails(findings, UNSET) or (bool(names) and all(_fails(findings, name) for name in names))


def without_server(
    scenes: Sequence[SceneBrief], servers: Sequence[ServerPlan], findings: Sequence[Finding]
) -> Finding | None:
    """Return that a scene asks for tags which none of several servers that will do has; ``None`` where none does."""
    usable = [set(server.tags) for server in servers if not _fails(findings, server.name)]
    for scene in scenes if len(servers) > 1 and usable else ():
        wanted = set(scene.server_tags or ())
        if not any(wanted <= tags for tags in usable):
            return of_failure("tags", Failure("story.server_tags", scene=scene.id, tags=", ".join(sorted(wanted))))
    return None


def _names(findings: Sequence[Finding]) -> list[str]:
    """Return the names of the servers, where there are several."""
    return list(dict.fromkeys(finding.server for finding in findings if finding.server))


def _fails(findings: Sequence[Finding], server: str | UnsetType) -> bool:
    return any(finding.verdict == "fail" and finding.server == server for finding in findings)


def _counts(findings: Sequence[Finding]) -> str:
    counts = [(sum(finding.verdict == verdict for finding in findings), verdict) for verdict in _COLOURS]
    return ", ".join(f"{count} {verdict}" for count, verdict in counts if count)


def _size() -> tuple[int, int] | None:
    if not sys.stdout.isatty():
        return None
    size = shutil.get_terminal_size()
    return size.columns, size.lines


def _width() -> int:
    return min(WIDEST, shutil.get_terminal_size((WIDEST, 24)).columns)
