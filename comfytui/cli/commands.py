"""The commands and their flags. Each imports what it needs when it is called, so that help costs nothing."""

from pathlib import Path
from typing import Any, Literal

import click

from comfytui import __version__
from comfytui.cli.flags import (
    llm_flags,
    look_flags,
    metrics_flag,
    output_flags,
    queue_flags,
    refuse_unused,
    settings_flags,
    story_flags,
)
from comfytui.cli.importing import importing
from comfytui.cli.runs_commands import runs
from comfytui.settings.table import LLM

_PLACES = ("server", "workflow", "output_dir", "runs_dir", "watch")


@click.group(invoke_without_command=True, context_settings={"help_option_names": ["-h", "--help"]})
@click.version_option(__version__, message="comfytui %(version)s")
@settings_flags("server", "output_dir", "runs_dir", "watch")
@look_flags
@output_flags
@click.pass_context
def comfytui(ctx: click.Context, /, **flags: Any) -> int | None:
    """The flight deck for ComfyUI story runs. Without a command: watch a server.

    Settings come from flags, else from the environment, else from comfytui.toml (in this folder, or in the user's
    configuration folder). COMFYTUI_TOKEN and COMFYTUI_HEADERS log in to a server.
    """
    ctx.obj = flags
    if ctx.invoked_subcommand is not None:
        refuse_unused(ctx, flags)
        return None
    from comfytui.cli.observing import observe

    return observe(flags)


@comfytui.command()
@settings_flags(*_PLACES)
@queue_flags
@look_flags
@metrics_flag
@output_flags
@click.pass_context
def demo(ctx: click.Context, /, **flags: Any) -> int:
    """Render the bundled story on the built-in simulator."""
    from comfytui.cli.rendering import run_demo

    return run_demo(_with_group(ctx, flags))


@comfytui.command()
@click.argument("story", type=click.Path(path_type=Path), required=False)
@click.option("--story-llm", is_flag=True, help="Let a language model write the story first.")
@click.option("--from", "record", metavar="RUN|ZIP", help="Render a recorded run again: its story, workflow and seeds.")
@story_flags
@settings_flags(*_PLACES)
@queue_flags
@llm_flags
@look_flags
@metrics_flag
@output_flags
@click.pass_context
def run(ctx: click.Context, /, story: Path | None, story_llm: bool, record: str | None, **flags: Any) -> int:
    """Render STORY (.json or .toml), scene by scene. The run outlives this terminal."""
    with importing():
        from comfytui.cli.rendering import run_story, run_told

    if story_llm + (story is not None) + (record is not None) != 1:
        raise click.UsageError("Give either a STORY, --story-llm, or --from RUN.", ctx)
    if record is not None:
        if any(flags[name] is not None for name in ("workflow", "scenes", "idea")):
            raise click.UsageError("--from brings story and workflow with it.", ctx)
        from comfytui.cli.again import run_again

        return run_again(record, _with_group(ctx, flags))
    if story is None:
        return run_told(_with_group(ctx, flags))
    if flags["scenes"] is not None or flags["idea"] is not None:
        raise click.UsageError("--scenes and --idea belong to --story-llm; the story has its own.", ctx)
    return run_story(story, _with_group(ctx, flags))


@comfytui.group()
def story() -> None:
    """Write stories."""


@story.command()
@story_flags
@click.option("--seed", "llm_seed", metavar="N", help="The same seed makes the same story from templates.")
@click.option("--out", type=click.Path(path_type=Path), metavar="FILE", help="A .json file; else standard output.")
@settings_flags(*(setting.name for setting in LLM if setting.name not in ("llm_seed", "llm_skip_health")))
@click.pass_context
def new(ctx: click.Context, /, **flags: Any) -> int:
    """Write a story: by the language model that is set, else from templates."""
    from comfytui.cli.storytelling import new_story

    return new_story(_with_group(ctx, flags))


@comfytui.command()
@click.argument("run_name", metavar="[RUN]", required=False)
@settings_flags("runs_dir")
@look_flags
@metrics_flag
@output_flags
@click.pass_context
def attach(ctx: click.Context, /, run_name: str | None, **flags: Any) -> int:
    """Join a run that is under way, or look at one that is over. RUN: its id or folder; else the latest."""
    from comfytui.cli.attaching import attach_run

    return attach_run(run_name, _with_group(ctx, flags))


@comfytui.command()
@click.argument("run_name", metavar="[RUN]", required=False)
@click.option("--host", default="127.0.0.1", show_default=True, metavar="HOST", help="Where it listens.")
@click.option("--port", type=click.IntRange(0, 65535), default=8410, show_default=True, help="0: a free one.")
@settings_flags("runs_dir")
@look_flags
@click.pass_context
def serve(ctx: click.Context, /, run_name: str | None, host: str, port: int, **flags: Any) -> int:
    """Show the dashboard in a browser. RUN: its id or folder; else the latest, or a server where there is none."""
    from comfytui.cli.serving import serve as serve_dashboard

    return serve_dashboard(run_name, host, port, _with_group(ctx, flags))


@comfytui.command()
@click.argument("run_name", metavar="RUN")
@click.argument("order", type=click.Choice(["rerun", "cancel", "skip", "move", "hold", "release", "stop"]))
@click.argument("scenes", metavar="[SCENE]...", nargs=-1)
@click.option("--seed", type=click.IntRange(0, 2**64 - 1), metavar="N", help="rerun: the seed, instead of a fresh one.")
@click.option("--prompt", metavar="TEXT", help="rerun: the prompt, instead of the story's.")
@click.option("--failed", is_flag=True, help="rerun: all scenes that failed.")
@click.option("--by", type=int, metavar="N", help="move: so many places later; earlier when negative.")
@settings_flags("runs_dir")
@click.option("--json", "as_json", is_flag=True, default=None, help="The answer as a line of JSON.")
@click.pass_context
def ask(ctx: click.Context, /, run_name: str, order: str, scenes: tuple[str, ...], **flags: Any) -> int:
    """Ask the runner of RUN (its id or folder, or `latest`) what the dashboard's keys do. Exits 1 if it refuses."""
    from comfytui.cli.asking import ask_run

    return ask_run(run_name, order, scenes, _with_group(ctx, flags))


@comfytui.command()
@click.argument("run_name", metavar="[RUN|ZIP]", required=False)
@settings_flags("runs_dir")
@look_flags
@output_flags
@click.pass_context
def replay(ctx: click.Context, /, run_name: str | None, **flags: Any) -> int:
    """Look at any moment of a run that was recorded. RUN: its id or folder, or its archive; else the latest."""
    from comfytui.cli.replaying import replay_run

    return replay_run(run_name, _with_group(ctx, flags))


@comfytui.command()
@click.argument("run_name", metavar="[RUN]", required=False)
@click.option("--plan", is_flag=True, default=None, help="Only tell what becomes of each scene; touch nothing.")
@settings_flags("runs_dir")
@look_flags
@metrics_flag
@output_flags
@click.pass_context
def resume(ctx: click.Context, /, run_name: str | None, **flags: Any) -> int:
    """Go on with a run that was cut short, by whatever. RUN: its id or folder; else the latest."""
    from comfytui.cli.resuming import resume_run

    return resume_run(run_name, _with_group(ctx, flags))


@comfytui.command()
@click.argument("runs", metavar="RUN...", nargs=-1, required=True)
@settings_flags("runs_dir")
@click.option("--json", "as_json", is_flag=True, default=None, help="One line of JSON a run.")
@click.pass_context
def validate(ctx: click.Context, /, runs: tuple[str, ...], **flags: Any) -> int:
    """Check runs (ids or folders) against the contract. Exits 0, 1 for findings, 2 where there is no run."""
    from comfytui.cli.checking import validate_runs

    return validate_runs(runs, _with_group(ctx, flags))


@comfytui.command()
def themes() -> int:
    """List the themes that --theme takes, each in its own colours where the terminal has them."""
    from comfytui.cli.looks import print_themes

    return print_themes()


@comfytui.command()
@click.option("--schema", is_flag=True, help="As JSON Schema instead of Markdown.")
def contract(schema: bool) -> int:
    """Print the telemetry contract."""
    from comfytui.cli.checking import print_contract

    return print_contract(schema)


@comfytui.command()
@click.argument("story", type=click.Path(path_type=Path), required=False)
@settings_flags("server", "workflow", "output_dir", "runs_dir", "llm")
@click.option("--smoke/--no-smoke", default=True, help="Render one small picture where the queue is empty. [smoke]")
@click.option("--json", "as_json", is_flag=True, default=None, help="One line of JSON.")
@click.option("--faults", is_flag=True, help="Print what may go wrong, what happens then and what is kept.")
@click.pass_context
def doctor(ctx: click.Context, /, story: Path | None, smoke: bool, faults: bool, **flags: Any) -> int:
    """Look at all that a run needs (with STORY: at that, too). Exits 0, or 2 where a run would fail."""
    if faults:
        from comfytui.cli.checking import print_faults

        return print_faults()
    from comfytui.cli.examining import examine_setup

    return examine_setup(story, _with_group(ctx, flags), smoke=smoke)


@comfytui.command()
@click.argument("folder", metavar="DIR", type=click.Path(path_type=Path))
@click.option(
    "--once", is_flag=True, help="Look, wait for the rest, look again, and leave: 0, or 1 if one is incomplete."
)
@click.option("--rest", type=click.FloatRange(min=0), default=10.0, show_default=True, help="Seconds without a change.")
@click.option("--json", "as_json", is_flag=True, help="One line of JSON for what is done.")
def sentinel(folder: Path, once: bool, rest: float, as_json: bool) -> int:
    """Write <prefix>.done for each sequence in DIR, and below it, that is proven complete."""
    from comfytui.cli.guarding import keep_sentinel

    return keep_sentinel(folder, rest, once=once, as_json=as_json)


@comfytui.group()
def node() -> None:
    """The node WriteDoneMarker, which says from inside a workflow that its frames are saved."""


@node.command("install")
@click.argument("comfy_dir", type=click.Path(path_type=Path))
def node_install(comfy_dir: Path) -> int:
    """Put it into the ComfyUI at COMFY_DIR."""
    from comfytui.cli.node import install_node

    return install_node(comfy_dir)


@node.command("remove")
@click.argument("comfy_dir", type=click.Path(path_type=Path))
def node_remove(comfy_dir: Path) -> int:
    """Take it out of the ComfyUI at COMFY_DIR."""
    from comfytui.cli.node import remove_node

    return remove_node(comfy_dir)


@comfytui.command()
@click.argument("story", type=click.Path(path_type=Path), required=False)
@click.option("-n", "count", metavar="N|N..M", help="Runs; 5..10: until five in a row went well, ten at most. [5]")
@click.option("--matrix", multiple=True, metavar="NAME=V,V", help="seed, frames or inputs, e.g. seed=1..3,steps=10,20.")
@click.option("--baseline", metavar="DIR", help="A sweep, run or report to compare with.")
@click.option("--fail-on", metavar="GATE", help="Exit with 1 when any holds, e.g. 'success<0.95,p95>1.2x'.")
@click.option("--resume", is_flag=True, default=None, help="Go on with the sweep STORY (id or folder), or the latest.")
@settings_flags(*_PLACES)
@queue_flags
@look_flags
@metrics_flag
@output_flags
@click.pass_context
def sweep(ctx: click.Context, /, story: Path | None, **flags: Any) -> int:
    """Render STORY run after run, and report how stable that was."""
    from comfytui.cli.sweeping import sweep_story

    return sweep_story(story, _with_group(ctx, flags))


comfytui.add_command(runs)


@comfytui.command()
@click.argument("places", metavar="DIR...", nargs=-1, type=click.Path(path_type=Path))
@click.option("--out", metavar="DIR", help="Write report.json, .md, .html and junit.xml there.")
@click.option("--baseline", metavar="DIR", help="A sweep, run or report to compare with.")
@click.option("--fail-on", metavar="GATE", help="Exit with 1 when any holds, e.g. 'success<0.95,p95>1.2x'.")
@click.option("--gates", is_flag=True, help="Print the figures that a gate may ask for.")
@click.option("--json", "as_json", is_flag=True, default=None, help="The report as one line of JSON.")
@click.pass_context
def report(ctx: click.Context, /, places: tuple[Path, ...], gates: bool, **flags: Any) -> int:
    """Report on past runs: run folders, sweeps, or folders with runs in them."""
    from comfytui.cli.reporting import print_gates, report_runs

    if gates:
        return print_gates()
    return report_runs(places or (Path(),), _with_group(ctx, flags))


@comfytui.command()
@click.argument("run_name", metavar="[RUN]", required=False)
@click.option("--format", "form", type=click.Choice(["csv", "openmetrics"]), default="csv", show_default=True)
@click.option("--out", metavar="FILE", help="Write it there instead of to standard output.")
@settings_flags("runs_dir")
@click.pass_context
def export(ctx: click.Context, /, run_name: str | None, **flags: Any) -> int:
    """Give a run to other programs: a row a scene, or its metrics. RUN: its id or folder; else the latest."""
    from comfytui.cli.exporting import export_run

    return export_run(run_name, _with_group(ctx, flags))


@comfytui.command()
def config() -> int:
    """Print every setting: its flag, its variable, its key in comfytui.toml, its default."""
    from comfytui.cli.explaining import print_config

    return print_config()


@comfytui.command()
@click.argument("codes", metavar="[CODE]...", nargs=-1)
def errors(codes: tuple[str, ...]) -> int:
    """Print what a failure means and what to do about it; without a CODE, of all of them."""
    from comfytui.cli.explaining import print_errors

    return print_errors(codes)


@comfytui.command()
def keys() -> int:
    """Print the keys of the dashboard."""
    from comfytui.cli.explaining import print_keys

    return print_keys()


@comfytui.command()
@click.option("--port", type=click.IntRange(0, 65535), default=8188, show_default=True, help="0: a free one.")
@click.option("--speed", type=click.Choice(["instant", "demo", "realistic"]), default="demo", show_default=True)
@click.option("--comfyui-version", type=click.Choice(["0.3.64", "0.8.0"]), default="0.8.0", show_default=True)
@click.option("--output-dir", metavar="DIR", help="Where frames go; else a temporary folder.")
@click.option("--exit-with-parent", is_flag=True, hidden=True, help="End when standard input does.")
def sim(**flags: Any) -> int:
    """Run the ComfyUI simulator by itself, on this machine only."""
    from comfytui.cli.simulating import simulate

    return simulate(flags)


@comfytui.command(hidden=True)
@click.argument("run_dir", type=click.Path(path_type=Path))
@click.option("--reason", type=click.Choice(["run", "resume", "rerun"]), default="run")
@metrics_flag
def runner(run_dir: Path, reason: Literal["run", "resume", "rerun"], metrics_port: int | None) -> int:
    """Drive the run in RUN_DIR: the process behind a dashboard."""
    with importing():
        from comfytui.cli.driving import drive_detached

    return drive_detached(run_dir, reason, metrics_port)


@comfytui.command(hidden=True)
@click.argument("sweep_dir", type=click.Path(path_type=Path))
@metrics_flag
def sweeper(sweep_dir: Path, metrics_port: int | None) -> int:
    """Drive the sweep in SWEEP_DIR: the process behind a dashboard."""
    from comfytui.cli.sweeper import drive_sweep_detached

    return drive_sweep_detached(sweep_dir, metrics_port)


@comfytui.command(hidden=True)
@click.argument("link_dir", type=click.Path(path_type=Path))
@settings_flags("server", "output_dir", "watch")
@click.pass_context
def observer(ctx: click.Context, /, link_dir: Path, **flags: Any) -> int:
    """Watch a server for the dashboard that reads LINK_DIR, as long as standard input is open."""
    from comfytui.cli.observing import observe_for_dashboard

    return observe_for_dashboard(link_dir, _with_group(ctx, flags))


def _with_group(ctx: click.Context, flags: dict[str, Any]) -> dict[str, Any]:
    """Return ``flags`` over those given before the command's name: ``comfytui --headless demo`` works too."""
    given = {name: value for name, value in flags.items() if value is not None}
    return {**(ctx.obj or {}), **given}
