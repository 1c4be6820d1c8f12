"""``comfytui validate``, ``comfytui contract`` and ``comfytui doctor --faults``."""

import os
import sys
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

import click

from comfytui.cli.endings import tell
from comfytui.errors import Failure
from comfytui.records.checks.finding import Finding
from comfytui.records.rundir import find_run
from comfytui.records.validate import exit_code, passed, report, validate_run
from comfytui.settings.merged import load


def validate_runs(names: Sequence[str], flags: Mapping[str, Any]) -> int:
    """Check each run (an id or a folder), print what was found, and return the gravest exit code: 0, 1, or 2."""
    settings = load(flags, os.environ, Path.cwd())
    as_json = bool(flags.get("as_json"))
    gravest = 0
    for name in names:
        try:
            run = find_run(settings.runs_dir, name)
            findings = validate_run(run.path)
        except Failure as failure:
            gravest = max(gravest, tell(failure, as_json))
            continue
        if as_json:
            click.echo(_as_json(run.path, findings))
        else:
            head = [f"{run.path}:"] if len(names) > 1 else []
            click.echo("\n".join([*head, *report(findings)]))
        gravest = max(gravest, exit_code(findings))
        sys.stdout.flush()
    return gravest


def _as_json(path: Path, findings: Sequence[Finding]) -> str:
    from comfytui.faces.headless import json_line

    found = [{"level": each.level, "place": each.place, "what": each.text} for each in findings]
    return json_line(validation={"dir": str(path), "passed": passed(findings), "findings": found})


def print_contract(schema: bool) -> int:
    """Print the telemetry contract as Markdown, or as JSON Schema, and return 0."""
    from comfytui.records.contract import contract_markdown, contract_schema

    if schema:
        import json

        click.echo(json.dumps(contract_schema(), indent=2, ensure_ascii=False))
    else:
        click.echo(contract_markdown())
    return 0


def print_faults() -> int:
    """Print the fault table as Markdown and return 0."""
    from comfytui.fault_table import fault_table_markdown

    click.echo(fault_table_markdown(), nl=False)
    return 0
