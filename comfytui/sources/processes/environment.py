"""The environment of a process that we start."""

import os
from collections.abc import Mapping
from typing import Final

_SECRETS: Final = ("COMFYTUI_TOKEN", "COMFYTUI_HEADERS", "COMFYTUI_WEBHOOK")


def child_environment(added: Mapping[str, str]) -> dict[str, str]:
    """Return our environment with ``added``, and without our own secrets; output comes at once and in UTF-8."""
    ours = {name: value for name, value in os.environ.items() if name not in _SECRETS}
    return ours | {"PYTHONUNBUFFERED": "1"} | dict(added) | {"PYTHONIOENCODING": "utf-8"}
