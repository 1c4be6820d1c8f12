"""Everything about one scene as rows: pure. Each function makes one section."""

from collections.abc import Callable, Sequence

from comfytui.errors import REGISTRY
from comfytui.faces.tui.panes.figures import duration, plural, signed
from comfytui.faces.tui.panes.line import Line, Role, clip, left, right, safe, wrap
from comfytui.faces.tui.panes.scene_row import outcome
from comfytui.faces.tui.screens.scene_changes import changes
from comfytui.faces.tui.screens.section import LABEL, Row, Section, heading, labelled, told
from comfytui.faces.tui.screens.telemetry_words import WORDS, value
from comfytui.faces.tui.view import View
from comfytui.model.state import Attempt, Run, Scene

NAME, FIGURE = 36, 26
"""Cells of the telemetry's columns where the explanation stands beside them."""

COLUMN = 18
"""Cells of an attempt in the comparison."""


def scene_rows(view: View, scene: Scene, number: int | None, width: int) -> list[Row]:
    """Return all sections for ``scene``, with the telemetry of attempt ``number``, in ``width`` cells."""
    attempt = scene.attempt(number) if number is not None else None
    sections = [summary(scene, width)]
    if attempt is not None:
        sections += [trouble(attempt, width), comparison(scene, attempt.number, width)]
        sections += [changes(view.state.run, scene, attempt, width)]
        sections += [telemetry(view, attempt, width), history(view, attempt, width), frames(attempt, width)]
    sections += [places(view.state.run, scene, attempt, width), words(scene, attempt, width)]
    rows: list[Row] = []
    for section in sections:
        if section:
            rows += [Row(), *section] if rows else section
    return rows


def summary(scene: Scene, width: int) -> Section:
    """Return how the scene stands, in a sentence."""
    standing: Role = "bad" if scene.phase == "failed" else "strong"
    said = [str(scene.phase)]
    if scene.over:
        said.append(outcome(scene, scene.chosen)[0])
    said.append(f"{scene.frames} of {plural(scene.brief.floor, 'frame')} proven")
    if scene.attempts:
        said.append(plural(len(scene.attempts), "attempt"))
    lines: Section = told(", ".join(said), width, standing)
    if scene.next_reason and scene.phase == "waiting":
        lines += told(f"Again, because: {scene.next_reason}", width, "warn")
    return lines


def trouble(attempt: Attempt, width: int) -> Section:
    """Return the errors, warnings and notes of the attempt, errors with their remedy."""
    lines: Section = []
    if attempt.error is not None:
        node = " ".join(part for part in (attempt.error.node_type, attempt.error.node_id) if part)
        kind = f" ({attempt.error.exception_type})" if attempt.error.exception_type else ""
        lines += labelled("error", f"{node + ': ' if node else ''}{attempt.error.message}{kind}", width, "bad")
        remedy = remedy_of(attempt.error.code)
        lines += labelled("remedy", remedy, width) if remedy else []
    for label, texts, role in (
        ("error", attempt.errors, "bad"),
        ("warning", attempt.warnings, "warn"),
        ("note", attempt.notes, "text"),
    ):
        for text in texts:
            lines += labelled(label, text, width, role)  # type: ignore[arg-type]
    return [heading(f"Trouble and notes of attempt {attempt.number}"), *lines] if lines else []


def remedy_of(code: str) -> str:
    """Return the remedy that the registry has for ``code``; empty when it has none in plain words."""
    entry = REGISTRY.get(code)
    return entry.remedy if entry is not None and "{" not in entry.remedy else ""


def comparison(scene: Scene, chosen: int, width: int) -> Section:
    """Return the attempts side by side, the chosen one in brackets, the best one marked and why."""
    room = max(1, (width - LABEL) // COLUMN)
    shown = _window(scene.attempts, chosen, room)
    rows: list[tuple[str, Callable[[Attempt], str]]] = [
        *([("server", lambda a: a.server_name)] if any(a.server_name for a in shown) else []),
        ("status", lambda a: a.status or a.phase),
        ("exit reason", lambda a: a.exit_reason or ""),
        ("frames", lambda a: f"{a.proven}/{scene.brief.floor}"),
        ("duration", lambda a: duration(a.telemetry.duration_seconds) if a.telemetry else ""),
        ("VRAM delta", _delta),
        ("history reads", lambda a: str(len(a.history))),
        ("seed", lambda a: str(a.seed)),
    ]

    def name(attempt: Attempt) -> str:
        best = " best" if attempt.number == scene.best else ""
        return f"[{attempt.number}]{best}" if attempt.number == chosen else f"{attempt.number}{best}"

    heads: Line = tuple((left(name(a), COLUMN), "key" if a.number == chosen else "dim") for a in shown)
    lines: Section = [Row(((left("Attempts", LABEL), "strong"), *heads))]
    for label, figure in rows:
        cells: Line = tuple(
            (left(clip(safe(figure(a)), COLUMN - 2), COLUMN), "text" if a.number == chosen else "dim") for a in shown
        )
        lines.append(Row(((left(label, LABEL), "dim"), *cells), next(figure(a) for a in shown if a.number == chosen)))
    for attempt in shown:
        if attempt.reason:
            lines += labelled(f"why {attempt.number}", attempt.reason, width)
    if scene.best is not None and len(scene.attempts) > 1:
        lines += labelled("why best", why_best(scene), width)
    return lines


def why_best(scene: Scene) -> str:
    """Return why the best attempt is that: the most proven frames, then success over failure, then the earliest."""
    best = scene.attempt(scene.best or 0)
    if best is None:
        return "it is not known"
    others = [attempt for attempt in scene.attempts if attempt.number != best.number]
    most = max(attempt.proven for attempt in others)
    if best.proven > most:
        return f"attempt {best.number} has the most proven frames ({best.proven} against {most})"
    if best.succeeded and any(a.proven == most and not a.succeeded for a in others):
        return f"attempt {best.number} succeeded; frames are equal ({best.proven})"
    return f"attempt {best.number} is the earliest; frames are equal ({best.proven})"


def telemetry(view: View, attempt: Attempt, width: int) -> Section:
    """Return every field of the contract with value, unit and meaning; what is known so far while it goes on."""
    lines: Section = [heading(f"Telemetry of attempt {attempt.number}")]
    if attempt.telemetry is None:
        lines += told("It is complete when the attempt ends. So far:", width, "dim")
        for name, figure in _so_far(view, attempt):
            lines.append(Row(((left(name, NAME if width >= 80 else 24), "dim"), (figure, "text")), figure))
        return lines
    for word in WORDS:
        lines += _field(word.name, value(word, attempt.telemetry, view), word.meaning, width)
    return lines


def _so_far(view: View, attempt: Attempt) -> list[tuple[str, str]]:
    known = [("QueueStart", view.wall(attempt.planned_at))]
    if attempt.executing_at is not None:
        known.append(("execution began", view.wall(attempt.executing_at)))
    known.append(("HistoryAttempts", str(len(attempt.history))))
    free = attempt.before.device.vram_free if attempt.before and attempt.before.device else None
    if free is not None:
        known.append(("GPU.VramBeforeMB", f"{free / 1048576:,.1f} MB"))
    return known


def _field(name: str, figure: str, meaning: str, width: int) -> Section:
    """Return a field: name, value and meaning side by side where they fit, else the meaning beneath."""
    role: Role = "dim" if figure in ("null", "none") else "text"
    room = width - NAME - FIGURE
    if room >= 24 and len(figure) < FIGURE:
        first, *rest = wrap(meaning, room)
        line: Line = ((left(name, NAME), "dim"), (left(figure, FIGURE), role), (first, "faint"))
        return [Row(line, figure), *(Row(((" " * (NAME + FIGURE) + part, "faint"),), figure) for part in rest)]
    column = NAME if width - NAME >= 20 else 2
    first, *rest = wrap(figure, width - column)
    start: list[Line] = [((left(name, NAME), "dim"), (first, role))] if column == NAME else [
        ((name, "dim"),), ((" " * column + first, role),)
    ]  # fmt: skip
    lines: list[Line] = [*start, *(((" " * column + part, role),) for part in rest)]
    under = column if room >= 24 else 2
    lines += [((" " * under + part, "faint"),) for part in wrap(meaning, width - under)]
    return [Row(one, figure) for one in lines]


def history(view: View, attempt: Attempt, width: int) -> Section:
    """Return each read of history: number, time, what it said."""
    if not attempt.history:
        return []
    lines: Section = [heading(f"History of attempt {attempt.number}")]
    roles: dict[str, Role] = {"success": "good", "pending": "dim", "error": "bad"}
    for number, look in enumerate(attempt.history, 1):
        start: Line = ((right(str(number), 4), "faint"), (f"  {view.wall(look.at)}  ", "dim"))
        message = clip(safe(look.message), max(0, width - 26))
        line: Line = (*start, (left(look.status, 8), roles[look.status]), (f"  {message}", "text"))
        lines.append(Row(line, safe(look.message)))
    return lines


def frames(attempt: Attempt, width: int) -> Section:
    """Return how many frames came and which could not be taken, and why."""
    if not attempt.frames and not attempt.refused:
        return []
    size = sum(frame.bytes for frame in attempt.frames) / 1048576
    lines: Section = [heading(f"Frames of attempt {attempt.number}")]
    expected = "" if attempt.expected is None else f", {attempt.expected} reported by ComfyUI"
    lines += told(f"{attempt.proven} proven{expected}, {size:,.1f} MB in all", width, "text")
    for refusal in attempt.refused:
        lines += labelled(refusal.state, f"{refusal.name}: {refusal.why}", width, "warn")
    return lines


def places(run: Run | None, scene: Scene, attempt: Attempt | None, width: int) -> Section:
    """Return where things are: prompt id, prefix, seed, folders."""
    lines: Section = [heading("Places")]
    if attempt is not None:
        for label, text in (
            ("prompt id", attempt.prompt_id),
            ("prefix", attempt.prefix),
            ("seed", str(attempt.seed)),
        ):
            lines += labelled(label, text, width)
    if run is not None:
        folder = f"{run.dir.rstrip('/')}/{scene.brief.folder}"
        lines += labelled("scene folder", folder, width)
        if attempt is not None:
            lines += labelled("frames", f"{folder}/generated-frames-attempt-{attempt.number}", width)
    if attempt is not None and attempt.forced_debug_path:
        lines += labelled("forced copy", attempt.forced_debug_path, width)
    return lines


def words(scene: Scene, attempt: Attempt | None, width: int) -> Section:
    """Return the scene's texts: prompt, negative prompt, mood, camera."""
    brief = scene.brief
    asked = (attempt.prompt if attempt else None) or scene.prompt
    lines: Section = [heading("Story")]
    for label, text in (
        ("title", brief.title),
        ("summary", brief.summary),
        ("prompt", asked or brief.prompt),
        ("story's prompt", brief.prompt if asked else ""),
        ("negative", brief.negative_prompt),
        ("mood", brief.mood),
        ("camera", brief.camera_movement),
        ("palette", brief.palette),
        ("keyframe", brief.keyframe or ""),
    ):
        lines += labelled(label, text, width) if text else []
    return lines


def _delta(attempt: Attempt) -> str:
    figure = attempt.telemetry.gpu.vram_delta_mb if attempt.telemetry else None
    return "" if figure is None else f"{signed(figure)} MB"


def _window(attempts: Sequence[Attempt], chosen: int, room: int) -> Sequence[Attempt]:
    """Return as many neighbouring attempts as there is room for, the chosen one among them, the newest preferred."""
    here = [attempt.number for attempt in attempts].index(chosen) + 1
    end = len(attempts) if here > len(attempts) - room else here
    return attempts[max(0, end - room) : end]
