"""``comfytui`` without a command: the dashboard on a server, with no run. A process of its own does the watching."""

import os
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import anyio

from comfytui.cli.faces import Face, chosen_face, formatter_for, prepare_dashboard, show
from comfytui.clock import Clock, system_clock
from comfytui.settings.merged import Settings, load
from comfytui.settings.secrets import headers_of


def observe(flags: Mapping[str, Any]) -> int:
    """Show a server until the dashboard is left (0), or in lines until interrupted (130). Raises ``Failure``."""
    settings = load(flags, os.environ, Path.cwd())
    face = chosen_face(flags)
    headers_of(os.environ)  # so that unusable ones are told here, not in the log of an observer
    clock = system_clock()
    if not face.headless:
        prepare_dashboard(settings)
        return _in_dashboard(settings, face, clock)
    from comfytui.cli.observer import observe_in_lines
    from comfytui.faces.printer import Printer, to_stdout

    return observe_in_lines(settings, formatter_for(face, clock), Printer(to_stdout))


def observe_for_dashboard(link_dir: Path, flags: Mapping[str, Any]) -> int:
    """Watch a server for the dashboard that reads ``link_dir``, and leave when it does."""
    from comfytui.cli.observer import observe_over_link

    return observe_over_link(link_dir, load(flags, os.environ, Path.cwd()))


def _in_dashboard(settings: Settings, face: Face, clock: Clock) -> int:
    from comfytui.link.feeds import RunFeed
    from comfytui.link.launch import answering, companion

    with companion(_arguments(settings)) as observer:
        import textual.app  # noqa: F401  (while the observer starts)

        anyio.run(answering, observer, clock)
        feed = RunFeed(observer.folder, clock, journal=None)
        show(feed, clock, face, settings, title="comfytui", owns_run=False)
    return 0


def _arguments(settings: Settings) -> list[str]:
    """Return what the observer is told on its command line: what is settled here is not looked up again there."""
    told = ["observer", *(word for url in settings.urls for word in ("--server", url)), "--watch", settings.watch]
    return told if settings.output_dir is None else [*told, "--output-dir", str(settings.output_dir)]
