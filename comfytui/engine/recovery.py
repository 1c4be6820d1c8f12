"""What becomes of each scene when a run is taken up again: run, skip, adopt or harvest, and why. Pure.

The journal says what was meant and done, the server says where the prompts are, the disk says whether the frames are
still what they were. Whoever asks those witnesses is in :mod:`comfytui.engine.server.witnesses`.
"""

from collections.abc import Iterable, Mapping
from typing import Literal

from msgspec import Struct

from comfytui.model.state import Attempt, Scene, State

Action = Literal["run", "skip", "adopt", "harvest"]
"""``run``: send a prompt; ``skip``: nothing is left to do; ``adopt``: watch the prompt that is on the server;
``harvest``: the prompt is over, collect what it left."""

Place = Literal["running", "pending", "history", "nowhere", "unknown"]


class Whereabouts(Struct, frozen=True, kw_only=True):
    """Where a prompt was found: in ``/queue``, else in ``/history``, else nowhere; ``unknown``: the server is silent.

    ``files`` counts what lies under its prefix in the output folder: where there is something, it was executed.
    """

    place: Place
    files: int = 0


UNKNOWN = Whereabouts(place="unknown")


class SceneRecovery(Struct, frozen=True, kw_only=True):
    """What is done with ``scene`` (its id), and why, in words that follow a colon."""

    scene: str
    action: Action
    why: str
    reopens: bool = False
    """The scene counts as over, and is to be opened again first."""


def recovery_plan(
    state: State, found: Mapping[str, Whereabouts], damaged: Mapping[str, str]
) -> tuple[SceneRecovery, ...]:
    """Return what becomes of each scene, in the story's order.

    ``found`` tells by prompt id where the prompts of open attempts are (:func:`open_attempts`; one that is not in it
    is ``unknown``); ``damaged`` tells by scene id what is wrong with the frames of a scene that is done.
    """
    return tuple(_of_scene(scene, found, damaged.get(scene.id, "")) for scene in state.scenes)


def open_attempts(scenes: Iterable[Scene]) -> list[Attempt]:
    """Return the attempts that were begun and have not ended: those whose prompts are to be looked for."""
    latest = (scene.latest for scene in scenes if not scene.over)
    return [attempt for attempt in latest if attempt is not None and attempt.phase != "ended"]


def nothing_to_do(state: State, recoveries: Iterable[SceneRecovery]) -> bool:
    """Tell whether the run has come to rest with all of its records, and every scene of it stays as it is."""
    run = state.run
    at_rest = run is not None and run.settled_at is not None and run.ended_at is not None and run.archive is not None
    return at_rest and bool(state.scenes) and all(each.action == "skip" for each in recoveries)


def _of_scene(scene: Scene, found: Mapping[str, Whereabouts], damage: str) -> SceneRecovery:
    if scene.over:
        return _of_ended(scene, damage)
    attempt = scene.latest
    if scene.given_up is not None and (scene.phase == "waiting" or attempt is None):
        return _skipped(scene, f"a person let it be {scene.given_up}, and so it ends")
    if scene.phase == "waiting" or attempt is None:
        why = "it was not sent yet" if attempt is None else f"another attempt is due ({scene.next_reason})"
        return SceneRecovery(scene=scene.id, action="run", why=why)
    if attempt.phase == "ended":
        why = f"attempt {attempt.number} ended; what follows from it is due"
        return SceneRecovery(scene=scene.id, action="harvest", why=why)
    return _of_open(scene, attempt, found.get(attempt.prompt_id, UNKNOWN))


def _of_ended(scene: Scene, damage: str) -> SceneRecovery:
    if scene.phase == "done" or (scene.success and scene.meets_floor):
        if damage:
            return _reopened(scene, f"it was done, but {damage}")
        if not scene.meets_floor:
            why = f"done below its floor ({scene.frames}/{scene.brief.floor} frames); `r` in the dashboard reruns it"
            return _skipped(scene, why)
        return _skipped(scene, f"done, its {scene.frames} frames are as they were")
    if scene.phase == "cancelled":
        if scene.stopped:
            return _reopened(scene, "the run was stopped before it was done")
        return _skipped(scene, "a person cancelled it; `r` in the dashboard reruns it")
    if scene.phase == "skipped":
        return _skipped(scene, "a person skipped it; `r` in the dashboard reruns it")
    attempt = scene.latest
    if attempt is not None and attempt.status == "lost":
        return _reopened(scene, "it was lost with the server")
    tries = len(scene.attempts)
    why = f"failed after {tries} attempt{'' if tries == 1 else 's'}; `r` in the dashboard reruns it"
    return _skipped(scene, why)


def _of_open(scene: Scene, attempt: Attempt, at: Whereabouts) -> SceneRecovery:
    number, sent = attempt.number, attempt.queued_at is not None
    action: Action
    if scene.given_up is not None and attempt.execution_ended_at is None:
        why = f"a person cancelled it: attempt {number} is taken off the server, and what it left is kept"
        return SceneRecovery(scene=scene.id, action="harvest", why=why)
    if attempt.execution_ended_at is not None:
        action, why = "harvest", f"attempt {number} was over on the server; its frames were being collected"
    elif at.place in ("running", "pending"):
        action, why = "adopt", f"attempt {number} is {at.place} on the server"
    elif at.place == "history":
        action, why = "harvest", f"attempt {number} ended on the server meanwhile"
    elif at.place == "unknown" and sent:
        action, why = "adopt", f"attempt {number} was on the server, which does not answer now"
    elif at.place == "unknown":
        action, why = "run", f"attempt {number} may have been sent: the server is asked before it is sent again"
    elif sent or at.files:
        left = f" and left {at.files} file{'' if at.files == 1 else 's'}" if at.files else ""
        action, why = "run", f"attempt {number} was lost with the server{left}; a new one, at no cost to the budget"
    else:
        action, why = "run", f"attempt {number} never arrived at the server"
    return SceneRecovery(scene=scene.id, action=action, why=why)


def _reopened(scene: Scene, why: str) -> SceneRecovery:
    return SceneRecovery(scene=scene.id, action="run", why=why, reopens=True)


def _skipped(scene: Scene, why: str) -> SceneRecovery:
    return SceneRecovery(scene=scene.id, action="skip", why=why)
