"""What opens a server's door. It lives in memory and in the environment only: never in a file, a log or a fact."""

from collections.abc import Mapping

from msgspec import field

from comfytui.concealed import Concealed


class Credentials(Concealed, frozen=True, kw_only=True):
    """Headers and a bearer token that every request carries."""

    token: str | None = None
    headers: Mapping[str, str] = field(default_factory=dict)
    server_env: Mapping[str, str] = field(default_factory=dict)
    """What the configuration adds to the environment of a ComfyUI that we start."""
    own: Mapping[str, "Credentials"] = field(default_factory=dict)
    """Of the servers that have their own, by name."""

    def of(self, name: str) -> "Credentials":
        """Return those of the server of that name: its own, and nobody else's, or those that hold for all."""
        return self.own.get(name, self)
