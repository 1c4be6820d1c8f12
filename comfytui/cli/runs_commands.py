"""The commands about past runs and their flags."""

from typing import Any

import click

from comfytui.cli.flags import look_flags, settings_flags

as_json = click.option("--json", "as_json", is_flag=True, default=None, help="One line of JSON each.")


@click.group(invoke_without_command=True)
@click.option("--browse", is_flag=True, help="Look them over in the dashboard: open one as a replay, compare two.")
@click.option("--failed", is_flag=True, default=None, help="Only runs that did not go well.")
@click.option("--story", metavar="ID", help="Only runs of that story.")
@click.option("--since", metavar="AGE", help="Only runs opened since: 30m, 12h, 7d, 2w.")
@settings_flags("runs_dir")
@look_flags
@as_json
@click.pass_context
def runs(ctx: click.Context, /, browse: bool, **flags: Any) -> int | None:
    """List past runs, the newest first."""
    ctx.obj = {**(ctx.obj or {}), **_given(flags)}
    if ctx.invoked_subcommand is not None:
        return None
    if browse:
        from comfytui.cli.browsing import browse_runs

        return browse_runs(ctx.obj)
    from comfytui.cli.past_runs import list_past

    return list_past(ctx.obj)


@runs.command()
@click.argument("run_name", metavar="[RUN]", required=False)
@settings_flags("runs_dir")
@as_json
@click.pass_context
def show(ctx: click.Context, /, run_name: str | None, **flags: Any) -> int:
    """Tell about one run. RUN: its id or folder; else the latest."""
    from comfytui.cli.past_runs import show_past

    return show_past(run_name, {**ctx.obj, **_given(flags)})


@runs.command()
@click.argument("before", metavar="RUN")
@click.argument("after", metavar="RUN")
@settings_flags("runs_dir")
@as_json
@click.pass_context
def diff(ctx: click.Context, /, before: str, after: str, **flags: Any) -> int:
    """Compare two runs, scene by scene: frames, verdict, duration, and what differs in the telemetry."""
    from comfytui.cli.past_runs import diff_past

    return diff_past(before, after, {**ctx.obj, **_given(flags)})


@runs.command()
@click.option("--keep-last", type=click.IntRange(0), metavar="N", help="Keep the N newest runs.")
@click.option("--keep-days", type=click.IntRange(0), metavar="N", help="Keep runs of the last N days.")
@click.option("--unfinished", is_flag=True, default=None, help="Remove runs too that could be resumed.")
@click.option("--dry-run", is_flag=True, default=None, help="Only tell what would go.")
@settings_flags("runs_dir")
@as_json
@click.pass_context
def prune(ctx: click.Context, /, **flags: Any) -> int:
    """Remove old run folders: those that neither limit keeps. Their archives stay, and so does what is under way."""
    from comfytui.cli.past_runs import prune_past

    return prune_past({**ctx.obj, **_given(flags)})


def _given(flags: dict[str, Any]) -> dict[str, Any]:
    return {name: value for name, value in flags.items() if value is not None}
