"""What is worth telling somebody who is not looking: the run is over, a scene failed, the server was lost. Pure."""

from typing import Literal, get_args

from msgspec import Struct

from comfytui.model import events as e
from comfytui.model.counted import counted
from comfytui.model.state import State

NewsKind = Literal["run_finished", "scene_failed", "server_lost"]
NEWS_KINDS: tuple[NewsKind, ...] = get_args(NewsKind)


class News(Struct, frozen=True, kw_only=True):
    """One piece of news, in a sentence that stands by itself."""

    kind: NewsKind
    text: str
    scene: str | None = None


def news_of(event: e.AnyEvent, state: State) -> News | None:
    """Return the news in ``event``, ``state`` being that after it; ``None`` where nobody needs to be called for it."""
    match event:
        case e.RunEnded():
            return News(kind="run_finished", text=_ended(event, state))
        case e.SceneEnded(success=False, cancelled=False, skipped=False):
            text = f"{event.scene} failed with {counted(event.frames, 'frame')} proven"
            return News(kind="scene_failed", text=text, scene=event.scene)
        case e.ServerAway(away=away) if away < 1:
            return News(kind="server_lost", text=event.what)
        case e.ServerGivenUp():
            server = f"The server {event.server}" if event.server else "The server"
            return News(kind="server_lost", text=f"{server} stays away and is not waited for any more")
        case _:
            return None


def _ended(event: e.RunEnded, state: State) -> str:
    done = sum(scene.phase == "done" for scene in state.scenes)
    frames = sum(scene.frames for scene in state.scenes)
    name = state.run.id if state.run is not None else ""
    scenes = f"{done} of {counted(len(state.scenes), 'scene')}"
    return f"Run {name} {event.outcome}, exit {event.exit_code}: {scenes}, {counted(frames, 'frame')}"
