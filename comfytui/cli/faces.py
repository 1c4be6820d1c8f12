"""Which face a command shows, and the making of it; a face is imported only once it is chosen."""

import os
import sys
from collections.abc import AsyncIterator, Mapping
from functools import partial
from typing import TYPE_CHECKING, Any, Literal

from msgspec import Struct

from comfytui.clock import Clock
from comfytui.errors import Failure
from comfytui.model.commands import AnyCommand
from comfytui.model.envelope import Envelope
from comfytui.model.events import RunEnded, RunnerStarted
from comfytui.model.feed import Feed, FeedItem
from comfytui.records.gallery import RunGallery
from comfytui.records.rundir import RunDir
from comfytui.settings.merged import Settings

if TYPE_CHECKING:
    from comfytui.faces.headless import OutputFormatter
    from comfytui.faces.tui.options import Leaving
    from comfytui.model.eta import Spent

Kind = Literal["dashboard", "lines", "json"]


class Face(Struct, frozen=True):
    """The face that was asked for."""

    kind: Kind
    verbose: bool = False
    readonly: bool = False
    metrics_port: int | None = None
    """Where the process that follows the run serves its metrics; 0: on a free port."""

    @property
    def headless(self) -> bool:
        """Whether it prints lines."""
        return self.kind != "dashboard"


def chosen_face(flags: Mapping[str, Any]) -> Face:
    """Return the face that ``flags`` ask for. Raises ``Failure`` ``terminal.none`` for one that needs a terminal."""
    kind: Kind = "json" if flags.get("as_json") else "lines" if flags.get("headless") else "dashboard"
    if kind == "dashboard" and not (in_browser() or (_is_terminal(sys.stdin) and _is_terminal(sys.stdout))):
        raise Failure("terminal.none")
    return Face(kind, bool(flags.get("verbose")), bool(flags.get("readonly")), flags.get("metrics_port"))


def in_browser() -> bool:
    """Tell whether a browser is this process' terminal: ``comfytui serve`` started it."""
    return os.environ.get("TEXTUAL_DRIVER", "").endswith(":WebDriver")


def _is_terminal(stream: Any) -> bool:
    try:
        return stream is not None and bool(stream.isatty()) and os.environ.get("TERM") != "dumb"
    except ValueError:  # closed
        return False


def formatter_for(face: Face, clock: Clock) -> "OutputFormatter":
    """Return what turns a feed into lines for ``face``."""
    from comfytui.faces.headless import JsonFormatter, LineFormatter

    if face.kind == "json":
        return JsonFormatter(verbose=face.verbose)
    return LineFormatter(clock, progress=_is_terminal(sys.stdout), verbose=face.verbose)


SPARING = {"TEXTUAL_FPS": "10", "TEXTUAL_ANIMATIONS": "none", "TEXTUAL_SMOOTH_SCROLL": "0"}
"""What Textual reads when it is imported, for a slow line; what a person has set stays."""


def prepare_dashboard(settings: Settings) -> None:
    """Make ready for the dashboard, before Textual is imported.

    Raises ``Failure`` ``config.value`` for the theme, ``config.keymap`` for a key that is moved where it cannot be.
    """
    from comfytui.faces.tui.palettes import PALETTES

    if settings.ssh:
        os.environ.update({name: value for name, value in SPARING.items() if name not in os.environ})
    if settings.theme is not None and settings.theme not in PALETTES:
        why = f"{settings.theme!r} is none of {', '.join(PALETTES)}"
        raise Failure("config.value", place="The theme", why=why)
    if settings.keymap:
        from comfytui.faces.tui.keymap import checked

        checked(settings.keymap)


def show(
    feed: Feed,
    clock: Clock,
    face: Face,
    settings: Settings,
    *,
    title: str,
    owns_run: bool,
    run: RunDir | None = None,
    replay: bool = False,
    browse: bool = False,
) -> "Leaving":
    """Show the dashboard until it is left, print the paths that were asked for in it, and return how it was left.

    Pictures of frames come from ``run``; ``replay``: the feed is a recording that ends;
    ``browse``: there is no run, the past ones are looked over.
    """
    from comfytui.cli.catalog import PastRuns
    from comfytui.faces.tui.app import Dashboard
    from comfytui.faces.tui.keymap import checked
    from comfytui.faces.tui.options import DashboardOptions, sparing
    from comfytui.faces.tui.outside import calls_for
    from comfytui.faces.tui.palettes import depth_of, theme_for

    options = DashboardOptions(
        readonly=face.readonly,
        owns_run=owns_run,
        replay=replay,
        browse=browse,
        catalog=PastRuns(settings.runs_dir),
        theme=theme_for(depth_of(os.environ, windows=os.name == "nt"), settings.theme),
        ascii=settings.ascii,
        title=title,
        calls=calls_for(
            os.environ,
            bell=settings.notify.bell,
            desktop=settings.notify.desktop,
            title=settings.notify.title,
            kinds=settings.notify.events,
        ),
        gallery=RunGallery(run) if run is not None else None,
        earlier=partial(_earlier, run) if run is not None and not replay else None,
        keymap=checked(settings.keymap) if settings.keymap else {},
    )
    if settings.ssh:
        options = sparing(options)
    dashboard = Dashboard(feed, clock, options)
    left = dashboard.run(mouse=options.mouse) or "detached"
    for path in dashboard.paths:
        print(path)
    return left


def _earlier(run: RunDir) -> "tuple[Spent, ...]":
    from comfytui.records.registry.earlier import earlier_spent

    return earlier_spent(run)


class EndNoted:
    """A feed that takes note of how its run ended: ``exit_code`` is ``None`` while a runner is at it, or was lost."""

    def __init__(self, feed: Feed) -> None:
        self._feed = feed
        self.exit_code: int | None = None

    async def items(self) -> AsyncIterator[FeedItem]:
        """Return the items of the feed as they are."""
        async for item in self._feed.items():
            if isinstance(item, Envelope):
                match item.event:
                    case RunEnded(exit_code=code):
                        self.exit_code = code
                    case RunnerStarted():
                        self.exit_code = None
            yield item

    async def send(self, command: AnyCommand) -> None:
        """Hand ``command`` on. Raises what the feed raises."""
        await self._feed.send(command)
