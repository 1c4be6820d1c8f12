"""How long the server has been away, in words: for lines, for the dashboard, and for the summary."""

from datetime import datetime

from comfytui.model.state import Server


def spelled(seconds: float) -> str:
    """Return ``seconds`` as people say it: ``40 s``, ``2 min 5 s``, ``10 min``, ``1 h 30 min``."""
    whole = max(0, round(seconds))
    hours, minutes, rest = whole // 3600, whole // 60 % 60, whole % 60
    parts = [(hours, "h"), (minutes, "min"), (0 if hours else rest, "s")]
    return " ".join(f"{number} {unit}" for number, unit in parts if number) or "0 s"


def away_words(away: float, next_try: float | None, wait: float | None) -> str:
    """Return ``server away for 40 s, next try in 5 s; waiting up to 10 min``; all in seconds."""
    trying = "" if next_try is None else f", next try in {spelled(next_try)}"
    waiting = "" if wait is None else f"; waiting up to {spelled(wait)}"
    return f"server away for {spelled(away)}{trying}{waiting}"


def absence(server: Server, now: datetime) -> str:
    """Return the same for ``server`` at ``now``; empty while it is there."""
    if server.away_since is None:
        return ""
    away = (now - server.away_since).total_seconds()
    if server.lost:
        return f"server away for {spelled(away)}; not waited for any more"
    next_try = server.next_try
    if next_try is not None and server.pulse_at is not None:
        next_try = max(0.0, next_try - (now - server.pulse_at).total_seconds())
    return away_words(away, next_try, server.away_wait)
