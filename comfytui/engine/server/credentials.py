"""What opens a server's door. It lives in memory and in the environment only: never in a file, a log or a fact."""

from collections.abc import Mapping
from dataclasses import dataclass, field


@dataclass(frozen=True)
class Credentials:
    """Headers and a bearer token that every request carries; none of it shows in ``repr``."""

    token: str | None = field(default=None, repr=False)
    headers: Mapping[str, str] = field(default_factory=dict, repr=False)
    server_env: Mapping[str, str] = field(default_factory=dict, repr=False)
    """What the configuration adds to the environment of a ComfyUI that we start."""
