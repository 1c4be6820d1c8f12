"""The table ``[notify]`` of ``comfytui.toml``: what calls a person who is not looking, and for what."""

from collections.abc import Mapping
from pathlib import Path
from typing import TYPE_CHECKING, Any
from urllib.parse import urlsplit

from comfytui.concealed import Concealed
from comfytui.errors import Failure
from comfytui.settings.keyed_table import content_of
from comfytui.settings.table import NOTIFY_KEYS, WEBHOOK_VARIABLE
from comfytui.settings.values import Unusable, near, shown
from comfytui.untrusted import plain

if TYPE_CHECKING:
    from comfytui.model.news import NewsKind

DESKTOP = ("auto", "osc9", "osc777", "off")


class Notify(Concealed, frozen=True):
    """How a person is called. ``file`` is where the webhook stands, ``None`` where there is none in a file."""

    bell: bool = True
    desktop: str = "auto"
    title: bool = True
    events: "tuple[NewsKind, ...]" = ("run_finished", "scene_failed", "server_lost")
    webhook: str | None = None
    file: Path | None = None


def read_notify_table(table: Mapping[str, object], file: Path) -> Notify:
    """Return what ``table`` says over the defaults. Raises ``Failure`` ``config.value``, never with the webhook."""
    said: dict[str, Any] = {}
    for key, value in table.items():
        try:
            said[key] = _read(key, value)
        except Unusable as fault:
            raise Failure("config.value", place=f"notify.{plain(key, 80)} in {file}", why=str(fault)) from None
    return Notify(**said, file=file.absolute() if "webhook" in said else None)


def webhook_of(environ: Mapping[str, str], file: Path | None) -> str | None:
    """Return the webhook's address: that of the environment, else the one in the configuration ``file`` as it is now.

    Raises ``Failure`` ``config.unreadable`` or ``config.value``, with no part of it.
    """
    text = environ.get(WEBHOOK_VARIABLE, "").strip()
    if text:
        try:
            return _webhook(text)
        except Unusable as fault:
            raise Failure("config.value", place=f"The variable {WEBHOOK_VARIABLE}", why=str(fault)) from None
    if file is None:
        return None
    table = content_of(file).get("notify")
    return read_notify_table(table, file).webhook if isinstance(table, dict) else None


def _read(key: str, value: object) -> Any:
    match key:
        case "bell" | "title":
            if not isinstance(value, bool):
                raise Unusable(f"{shown(value)} is neither true nor false")
            return value
        case "desktop":
            if value not in DESKTOP:
                raise Unusable(f"{shown(value)} is none of {', '.join(DESKTOP)}")
            return value
        case "events":
            return _events(value)
        case "webhook":
            return _webhook(value)
    raise Unusable(f"there is no such setting{near(key, NOTIFY_KEYS)}")


def _events(value: object) -> "tuple[NewsKind, ...]":
    from comfytui.model.news import NEWS_KINDS

    kinds = {kind: kind for kind in NEWS_KINDS}
    if not isinstance(value, list):
        raise Unusable(f"{shown(value)} is no list")
    for one in value:
        if not isinstance(one, str) or one not in kinds:
            raise Unusable(f"{shown(one)} is none of {', '.join(NEWS_KINDS)}")
    return tuple(kinds[one] for one in value)


def _webhook(value: object) -> str:
    """Return the address. What is wrong with it is told without it: whoever knows it can post there."""
    try:
        parts = urlsplit(value) if isinstance(value, str) else None
        usable = parts is not None and parts.scheme in ("http", "https") and bool(parts.hostname)
        usable = usable and plain(str(value)) == value and " " not in str(value) and (parts is None or parts.port != 0)
    except ValueError:
        usable = False
    if not usable:
        raise Unusable("it is no address that begins with https:// (it is a secret, and not shown)")
    return str(value)
