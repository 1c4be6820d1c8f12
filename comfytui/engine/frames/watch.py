"""From the one watcher of the run's output folder to the attempts whose frames land there."""

from pathlib import Path

from comfytui.engine.attempt.desk import Desk
from comfytui.model import events as e
from comfytui.sources.frames.folder import FrameSeen
from comfytui.sources.frames.watcher import FrameWatcher, WatchMode


async def watch_frames(desk: Desk, folder: Path, root: Path, mode: WatchMode) -> None:
    """Hand every change in ``folder`` to the collectors of ``desk``, until cancelled."""
    told = ""
    async with FrameWatcher(folder, root=root, clock=desk.clock, mode=mode) as watcher:
        async for batch in watcher:
            if watcher.note != told:  # known at the beginning, or once events are asked for
                told = watcher.note
                desk.hub.publish(e.RunNoted(text=f"Frames are looked for once a second: {told}"))
            for seen in batch:
                if isinstance(seen, FrameSeen):
                    for collector in desk.collectors:
                        collector.observe(seen)
