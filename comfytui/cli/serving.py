"""``comfytui serve``: the dashboard in a browser."""

import os
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import anyio
import click

from comfytui.cli.endings import INTERRUPTED
from comfytui.cli.interruptions import interruptions
from comfytui.errors import Failure
from comfytui.records.rundir import find_run
from comfytui.settings.merged import load


def serve(name: str | None, host: str, port: int, flags: Mapping[str, Any]) -> int:
    """Serve the dashboard of a run (an id, a folder or the latest), or of a server where there is no run at all.

    Returns 130 once interrupted. Raises ``Failure`` ``run.not_found`` for a run that was named, ``serve.port``, and
    what the settings raise.
    """
    from comfytui.faces.web.server import is_local, served
    from comfytui.link.launch import child_environment, command_line

    settings = load(flags, os.environ, Path.cwd())
    words, title = dashboard_words(name, settings.runs_dir, flags)
    if not is_local(host):
        click.echo(f"Whoever reaches {host} and has the link reads this run and may command it, unencrypted.", err=True)

    def tell(link: str) -> None:
        click.echo(f"Open in one browser, once: {link}")

    async def until_interrupted() -> None:
        with anyio.CancelScope() as serving, interruptions(serving.cancel, serving.cancel):
            environment = child_environment(os.environ, Path(__file__).parents[2])
            async with served(command_line(words), environment, host=host, port=port, title=title, on_link=tell):
                click.echo(f"Serving {title}; Ctrl+C ends it, the run goes on.")
                await anyio.sleep_forever()

    anyio.run(until_interrupted)
    return INTERRUPTED


def dashboard_words(name: str | None, runs_dir: Path, flags: Mapping[str, Any]) -> tuple[list[str], str]:
    """Return the words that start the dashboard, which shows the past runs of ``runs_dir`` too, and what it shows.

    Raises ``Failure`` ``run.not_found`` for a run that was named.
    """
    looks = [part for key, flag in _LOOKS.items() if flags.get(key) is not None for part in flag(flags[key])]
    looks += ["--runs-dir", str(runs_dir)]
    try:
        run = find_run(runs_dir, name)
    except Failure:
        if name is not None:
            raise
        return looks, "the dashboard of a server"
    return ["attach", str(run.path), *looks], f"comfytui {run.run_id}"


def _switch(name: str) -> Any:
    return lambda on: [f"--{name}" if on else f"--no-{name}"]


_LOOKS: dict[str, Any] = {
    "theme": lambda theme: ["--theme", str(theme)],
    "ascii": _switch("ascii"),
    "ssh": _switch("ssh"),
    "readonly": lambda on: ["--readonly"] if on else [],
}
