"""``comfytui export``: a run for other programs."""

import os
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import click

from comfytui.records.atomic import write_atomic
from comfytui.records.export import as_csv, as_openmetrics
from comfytui.records.rundir import find_run
from comfytui.settings.merged import load


def export_run(name: str | None, flags: Mapping[str, Any]) -> int:
    """Print the run called ``name`` (an id, a folder, or the latest) in the format asked for, or write it to a file.

    Raises ``Failure`` ``run.not_found``, ``export.incomplete``, ``journal.unreadable``, ``run.unwritable``.
    """
    run = find_run(load(flags, os.environ, Path.cwd()).runs_dir, name)
    text = as_csv(run) if flags["form"] == "csv" else as_openmetrics(run)
    if flags.get("out"):
        write_atomic(Path(flags["out"]).absolute(), text.encode())
    else:
        click.echo(text, nl=False)
    return 0
