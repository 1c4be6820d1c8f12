"""Other people's prompts on the servers, as lines under the queue: to look at only. Pure."""

from collections.abc import Sequence

from comfytui.faces.tui.panes.figures import plural
from comfytui.faces.tui.panes.line import Line, left, right, safe
from comfytui.faces.tui.themes import Glyphs
from comfytui.model.events import OthersPrompt
from comfytui.model.state import Server

STATE, NUMBER, NODES = 12, 9, 11

OTHERS_ROOM = 5
"""Lines that the queue keeps free for them, so that nothing moves when they come and go."""


def others_height(servers: Sequence[Server]) -> int:
    """Return how many lines :func:`others_lines` makes."""
    return sum(len(server.listed) + 1 + bool(server.more) for server in servers if server.listed)


def others_lines(servers: Sequence[Server], glyphs: Glyphs, chosen: int | None) -> list[Line]:
    """Return a heading for each server with prompts of others, and a line for each prompt, ``chosen`` (from 0, the
    first heading is 0) marked.
    """
    lines = [line for server in servers for line in _group(server, glyphs)]
    return [((f"{glyphs.cursor if place == chosen else ' '} ", "accent"), *line) for place, line in enumerate(lines)]


def _group(server: Server, glyphs: Glyphs) -> list[Line]:
    if not server.listed:
        return []
    count = len(server.listed) + server.more
    where = safe(server.name) or "the server"
    head: Line = ((f"On {where} for others: {plural(count, 'prompt')}, only shown here", "dim"),)
    more: list[Line] = [((f"and {server.more:,} more", "faint"),)] if server.more else []
    return [head, *(_line(prompt, glyphs) for prompt in server.listed), *more]


def _line(prompt: OthersPrompt, glyphs: Glyphs) -> Line:
    sign, word = (glyphs.executing, "running") if prompt.running else (glyphs.waiting, "pending")
    number = "" if prompt.number is None else f"no. {prompt.number:g}"
    nodes = "" if prompt.nodes is None else plural(prompt.nodes, "node")
    return (
        (left(f"{sign} {word}", STATE), "dim"), ("  ", "text"), (right(number, NUMBER), "dim"),
        ("  ", "text"), (right(nodes, NODES), "dim"), ("  ", "text"), (safe(prompt.id), "faint"),
    )  # fmt: skip
