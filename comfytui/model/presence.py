"""Whether a server can be counted on, and why one of several does nothing for the run now. Pure."""

from datetime import datetime
from typing import Literal

from comfytui.model.away import spelled
from comfytui.model.shares import Load, Shares
from comfytui.model.state import Server, State

Presence = Literal["answers", "away", "left out", "not reached"]

PASSING = ("its prompt is about to begin", "its turn comes")
"""Reasons that are over in a moment."""

SLOWER = 1.25
"""By what factor a server must be slower than another before its pace explains that it idles."""


def presence(server: Server) -> Presence:
    """Return how ``server`` stands."""
    if server.left_out:
        return "left out"
    if server.away_since is not None or server.answering is False:
        return "away"
    return "answers" if server.reached else "not reached"


def cut_off(state: State) -> bool:
    """Tell whether no server of the run answers."""
    if not state.several:
        return state.server.answering is False
    return all(presence(server) in ("away", "left out") for server in state.servers)


def why_idle(state: State, server: Server, load: Load, shares: Shares, now: datetime) -> str:
    """Return why ``server`` executes nothing of this run at ``now``; empty while it does, and once the run is over."""
    run = state.run
    if run is None or run.ended_at is not None or load.executing.get(server.name):
        return ""
    match presence(server):
        case "left out":
            return f"left out: {_brief(server.trouble)}{tried_again(server, now)}"
        case "away":
            return "away, not waited for any more" if server.lost else f"away{tried_again(server, now)}"
        case "not reached":
            return "not reached yet"
    if load.sent[server.name]:
        return "behind prompts of others" if server.others else PASSING[0]
    if run.held:
        return "held"
    if not load.wanted:
        return "nothing is waiting"
    if not any(tags <= set(server.tags) for tags in load.wanted):
        return "its tags fit no waiting scene" if server.tags else "every waiting scene asks for tags"
    return "slower: the last scenes end sooner elsewhere" if _is_slow(state, server, shares) else PASSING[1]


def tried_again(server: Server, now: datetime) -> str:
    """Return ``, tried again in 12 s``; empty where that is not known, or not to be."""
    if server.next_try is None or server.pulse_at is None:
        return ""
    return f", tried again in {spelled(server.next_try - (now - server.pulse_at).total_seconds())}"


def _brief(what: str) -> str:
    return what.removesuffix(".") or "it could not be used"


def _is_slow(state: State, server: Server, shares: Shares) -> bool:
    own = shares.of(server.name).pace
    paces = [shares.of(other.name).pace for other in state.servers if presence(other) == "answers"]
    return own is not None and any(pace is not None and own > pace * SLOWER for pace in paces)
