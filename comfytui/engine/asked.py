"""What people ask of a run: whether it can be done, and the facts that do it. Pure."""

from collections.abc import Callable, Iterable

from comfytui.model import commands as c
from comfytui.model import events as e
from comfytui.model.queue import placings
from comfytui.model.ranges import MAX_SEED
from comfytui.model.state import Scene, State

RERUN = "rerun by a person"


def refusal(state: State, command: c.AnyCommand) -> str:
    """Return why ``command`` cannot be done now, in words; empty when it can."""
    match command:
        case c.Rerun():
            return _of_scenes(state, command.scenes, _not_to_rerun) or _of_changes(command)
        case c.Cancel(scenes=ids):
            return _of_scenes(state, ids, lambda scene: f"{scene.id} is over" if scene.over else "")
        case c.Skip(scenes=ids):
            return _of_scenes(state, ids, _not_waiting)
        case c.Move(scenes=ids):
            fault = _of_scenes(state, ids, _not_waiting)
            return fault or ("" if placings(state, ids, command.by) else "there is no other place for it that way")
        case c.Hold():
            return "it is held already" if _held(state) else ""
        case c.Release():
            return "" if _held(state) else "it is not held"
        case c.Stop() | c.ReadServerLog():
            return ""


def facts_for(state: State, command: c.AnyCommand) -> list[e.AnyFact]:
    """Return the facts that ``command``, which is not refused, amounts to."""
    match command:
        case c.Rerun(scenes=ids, seed=seed, prompt=prompt):
            return [e.SceneReopened(scene=each, reason=RERUN, seed=seed, prompt=prompt) for each in _once(ids)]
        case c.Cancel(scenes=ids):
            return [e.SceneGivenUp(scene=scene.id, how="cancelled") for scene in _fresh(state, ids)]
        case c.Skip(scenes=ids):
            return [e.SceneGivenUp(scene=scene.id, how="skipped") for scene in _fresh(state, ids)]
        case c.Move(scenes=ids, by=by):
            placed = placings(state, ids, by)
            return [e.SceneMoved(scene=each.scene, turn=each.turn, before=each.before) for each in placed]
        case c.Hold() | c.Release():
            return [e.QueueHeld(held=isinstance(command, c.Hold))]
        case c.Stop() | c.ReadServerLog():
            return []


def _of_scenes(state: State, ids: tuple[str, ...], fault: Callable[[Scene], str]) -> str:
    """Return the first fault of the scenes that are named."""
    for scene_id in ids:
        scene = state.scene(scene_id)
        found = f"there is no scene {scene_id}" if scene is None else fault(scene)
        if found:
            return found
    return "" if ids else "no scene is named"


def _not_to_rerun(scene: Scene) -> str:
    return "" if scene.over else f"{scene.id} is not over yet"


def _not_waiting(scene: Scene) -> str:
    if scene.over:
        return f"{scene.id} is over"
    if scene.given_up is not None:
        return f"{scene.id} is being {scene.given_up} already"
    return "" if scene.phase == "waiting" else f"{scene.id} is on the server; cancel ends it there"


def _of_changes(command: c.Rerun) -> str:
    """Return what is wrong with the seed and the prompt of a rerun."""
    if command.seed is not None and not 0 <= command.seed <= MAX_SEED:
        return f"a seed is from 0 to {MAX_SEED}"
    return "the prompt is empty" if command.prompt == "" else ""


def _fresh(state: State, ids: Iterable[str]) -> list[Scene]:
    """Return the scenes of ``ids`` of which nobody said so far that they are given up."""
    scenes = [scene for each in _once(ids) if (scene := state.scene(each)) is not None]
    return [scene for scene in scenes if scene.given_up is None]


def _once(ids: Iterable[str]) -> list[str]:
    return list(dict.fromkeys(ids))


def _held(state: State) -> bool:
    return state.run is not None and state.run.held
