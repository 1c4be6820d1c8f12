"""``comfytui runs --browse``: past runs in the dashboard."""

import os
from collections.abc import Mapping
from pathlib import Path
from typing import Any

from comfytui.cli.faces import chosen_face, prepare_dashboard, show
from comfytui.clock import system_clock
from comfytui.settings.merged import load


def browse_runs(flags: Mapping[str, Any]) -> int:
    """Show the dashboard at the past runs until it is left, and return 0. Raises ``Failure`` ``terminal.none``."""
    from comfytui.cli.catalog import NoFeed

    settings = load(flags, os.environ, Path.cwd())
    face = chosen_face(flags)
    prepare_dashboard(settings)
    show(NoFeed(), system_clock(), face, settings, title="comfytui", owns_run=False, browse=True)
    return 0
