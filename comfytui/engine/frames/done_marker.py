"""Waiting for the marker with which a producer says that its frames are complete (``<prefix>.done``)."""

from anyio import to_thread

from comfytui.engine.attempt.desk import Desk
from comfytui.engine.attempt.voice import AttemptVoice
from comfytui.engine.frames.shelves import EitherShelf
from comfytui.engine.prompt.signals import PromptSignals
from comfytui.engine.prompt.waiting import RESOLUTION
from comfytui.model import events as e
from comfytui.sources.frames.markers import Marker, find_marker

LOOK_EVERY = 0.2
"""Seconds between two looks."""


async def await_marker(desk: Desk, voice: AttemptVoice, signals: PromptSignals, patience: float) -> None:
    """Wait ``patience`` seconds for the attempt's marker, and tell how it went; with 0 one look is taken.

    An attempt that is cancelled waits no longer.
    A marker older than the attempt is another's and does not count. On a server whose folder is not here none can be
    seen: a note says so.
    """
    if not isinstance(desk.shelf, EitherShelf):
        voice.note("note", "Done markers cannot be seen: the server's output folder is not on this machine")
        return
    began = desk.clock.monotonic()
    subfolder, _, stem = voice.attempt.prefix.rpartition("/")
    folder = desk.shelf.output_dir.joinpath(*subfolder.split("/"))
    found: Marker | None = None
    waited = 0.0
    while True:
        found = await to_thread.run_sync(find_marker, folder, stem, voice.attempt.planned_at)
        waited = desk.clock.monotonic() - began
        if found is not None or waited >= patience - RESOLUTION or signals.cancelled:
            break
        await desk.clock.sleep(min(LOOK_EVERY, patience - waited))
    voice.tell(e.DoneMarkerAwaited, waited=round(waited, 1), path=str(found.path) if found else None)
