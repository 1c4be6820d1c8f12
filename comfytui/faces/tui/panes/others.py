"""Other people's prompts on the server, as lines under the queue: to look at only. Pure."""

from comfytui.faces.tui.panes.figures import plural
from comfytui.faces.tui.panes.line import Line, left, right, safe
from comfytui.faces.tui.themes import Glyphs
from comfytui.model.events import OthersPrompt
from comfytui.model.state import Server

STATE, NUMBER, NODES = 12, 9, 11


def others_height(server: Server) -> int:
    """Return how many lines :func:`others_lines` makes."""
    return len(server.listed) + 1 + bool(server.more) if server.listed else 0


def others_lines(server: Server, glyphs: Glyphs, chosen: int | None) -> list[Line]:
    """Return a heading and a line for each prompt of others, ``chosen`` (from 0, the heading is 0) marked."""
    if not server.listed:
        return []
    count = len(server.listed) + server.more
    head: Line = ((f"On the server for others: {plural(count, 'prompt')}, only shown here", "dim"),)
    lines = [head, *(_line(prompt, glyphs) for prompt in server.listed)]
    if server.more:
        lines.append(((f"and {server.more:,} more", "faint"),))
    return [((f"{glyphs.cursor if place == chosen else ' '} ", "accent"), *line) for place, line in enumerate(lines)]


def _line(prompt: OthersPrompt, glyphs: Glyphs) -> Line:
    sign, word = (glyphs.executing, "running") if prompt.running else (glyphs.waiting, "pending")
    number = "" if prompt.number is None else f"no. {prompt.number:g}"
    nodes = "" if prompt.nodes is None else plural(prompt.nodes, "node")
    return (
        (left(f"{sign} {word}", STATE), "dim"), ("  ", "text"), (right(number, NUMBER), "dim"),
        ("  ", "text"), (right(nodes, NODES), "dim"), ("  ", "text"), (safe(prompt.id), "faint"),
    )  # fmt: skip
