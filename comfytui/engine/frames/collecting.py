"""The frames of one attempt: taken as they land, proven, and waited for after the prompt has ended.

While the prompt executes, a frame that has come to rest is taken at once, so that little is left to do at the end.
After it, what history reports and what lies under the attempt's prefix must all be proven whole within the
post-execution timeout; what is not is refused with a reason, and copied unproven for people to look at.
"""

from pathlib import Path
from typing import Literal

import anyio
import anyio.abc
from anyio import to_thread
from msgspec.structs import replace

from comfytui.clock import Clock, wait_for
from comfytui.engine.attempt.voice import AttemptVoice
from comfytui.engine.frames.rest import Rest
from comfytui.engine.frames.shelves import Brought, Shelf, Stamp, Wanted, on_disk, together, wanted_of
from comfytui.engine.hub import HubLike
from comfytui.engine.prompt.waiting import RESOLUTION
from comfytui.errors import Failure
from comfytui.model.events import Frame, FrameProven, FrameRefused, FrameWriting
from comfytui.model.policy import QueuePolicy
from comfytui.records.atomic import put_in_place, temporary
from comfytui.records.faults import writing
from comfytui.sources.comfy.wire import OutputFile
from comfytui.sources.frames.collect import Accept, Uncollected
from comfytui.sources.frames.folder import FrameSeen
from comfytui.sources.frames.naming import belongs
from comfytui.untrusted import plain

AT_REST = 0.12
"""Seconds without a change after which a growing file is worth a look: SaveImage pauses at most 0.1 s before IEND."""
LOOK_AGAIN = (0.02, 0.05, 0.1, 0.25, 0.5)
"""Seconds between looks at frames that are still awaited after the end of the prompt."""


class FrameCollector:
    """Collects the frames of one attempt into ``target`` and tells the hub of each."""

    def __init__(
        self,
        voice: AttemptVoice,
        *,
        prefix: str,
        floor: int,
        expected: int,
        target: Path,
        shelf: Shelf,
        hub: HubLike,
        clock: Clock,
        policy: QueuePolicy,
    ) -> None:
        self.target = target
        self.grew_at = float("-inf")
        """When (monotonic) a frame was last seen to grow."""
        self._voice, self._prefix, self._floor = voice, prefix, floor
        self._expected = max(floor, expected)
        self._shelf, self._hub, self._clock = shelf, hub, clock
        self._subfolder, _, self._stem = prefix.rpartition("/")
        self._rest = Rest(policy.stability_seconds, policy.stability_retries)
        self._wanted: dict[str, Wanted] = {}
        self._fresh: dict[str, float] = {}
        self._seen: set[str] = set()
        self._taken: dict[str, Stamp | None] = {}
        self._failed: dict[str, Uncollected] = {}
        self._unsafe: set[str] = set()
        self._stirred = anyio.Event()
        self._deadline = float("inf")

    # --- while it executes ---------------------------------------------------------------------------------------

    def observe(self, seen: FrameSeen) -> None:
        """Learn of a file that changed in the watched folder; files of other prefixes are ignored."""
        if not belongs(seen.path.name, self._stem):
            return
        now = self._clock.monotonic()
        name = seen.path.name
        if seen.change == "deleted":
            self._fresh.pop(name, None)
            self._seen.discard(name)
        else:
            self._seen.add(name)
            if name not in self._fresh and name not in self._taken:
                self._next_begun(name, now)
            self._fresh[name] = self.grew_at = now
            self._hub.publish(
                FrameWriting(scene=self._voice.scene, attempt=self._voice.number, name=plain(name), bytes=seen.bytes)
            )
        self._stir()

    def _next_begun(self, name: str, now: float) -> None:
        """Count the frames before ``name`` as at rest: SaveImage has written them once it begins with the next."""
        self._fresh |= {other: min(at, now - AT_REST) for other, at in self._fresh.items() if other < name}

    async def follow(self) -> None:
        """Take each frame that comes to rest, until cancelled."""
        while True:
            now = self._clock.monotonic()
            rested = next((name for name, at in self._fresh.items() if now - at >= AT_REST - RESOLUTION), None)
            if rested is not None:  # one at a time: meanwhile another may grow on, or be deleted
                del self._fresh[rested]
                await self._take(on_disk(rested, self._subfolder))
                continue
            pause = min((at + AT_REST - now for at in self._fresh.values()), default=None)
            await self._until_stirred(pause)

    # --- after it ended ------------------------------------------------------------------------------------------

    async def finish(self, reported: tuple[OutputFile, ...], patience: float) -> bool:
        """Collect what is ``reported`` and what else belongs to the prefix; return whether time ran out.

        ``patience`` is how many seconds frames may still be awaited; with 0 one look is taken. Frames that are
        missing in the end are refused as facts. Where nothing is reported (some nodes report nothing), the frames
        under the prefix are awaited until the floor is reached.
        """
        wanted, unsafe = wanted_of(reported)
        for name in dict.fromkeys(u.name for u in unsafe):
            self._refuse(name, "unsafe", Failure("frame.unsafe_name", name=plain(name, 200)).what)
        self._deadline = self._clock.monotonic() + patience
        looks = 0
        while True:
            lacking = await self._look(wanted)
            enough = bool(wanted) or len(self._taken) >= self._floor
            if not lacking and enough:
                return False
            left = self._deadline - self._clock.monotonic()
            if left <= RESOLUTION:
                break
            await self._until_stirred(min(LOOK_AGAIN[min(looks, len(LOOK_AGAIN) - 1)], left))
            looks += 1
        for frame in lacking:
            self._refuse_uncollected(frame)
        return bool(lacking) or not enough

    def hurry(self, patience: float) -> None:
        """Let :meth:`finish` await frames for ``patience`` seconds from now at most."""
        self._deadline = min(self._deadline, self._clock.monotonic() + patience)
        self._stir()

    async def force(self) -> list[str]:
        """Copy what was refused as it is; return one line per candidate that says why it was not proven.

        Nothing is returned where there was nothing to copy.
        """
        lines, copied = [], False
        for name, failure in sorted(self._failed.items()):
            lines.append(f"{plain(name)}: {failure.reason}: {failure.why}")
            if failure.reason in ("missing", "taken", "unsafe"):
                continue
            wanted = self._wanted.get(name)
            got = await self._shelf.take(wanted, self.target / name, "anything") if wanted else None
            if isinstance(got, Brought):
                self._tell(got, verified=got.frame.proof.whole)
                copied = True
        return lines if copied else []

    # --- the parts -----------------------------------------------------------------------------------------------

    async def _look(self, reported: list[Wanted]) -> list[Wanted]:
        """Try to take everything not yet taken; return what is still lacking. What may never be read is refused."""
        self._wanted = {}
        lacking: list[Wanted] = []

        async def attend(wanted: Wanted) -> None:
            if not await self._settled_copy(wanted) and not await self._take(wanted):
                lacking.append(wanted)

        def begin(tasks: anyio.abc.TaskGroup, wanted: Wanted) -> None:
            self._wanted[wanted.name] = wanted
            if wanted.name not in self._unsafe:
                tasks.start_soon(attend, wanted)

        async with anyio.create_task_group() as tasks:
            for wanted in reported:
                begin(tasks, wanted)
            others = await self._unreported(reported) if self._stem else []
            for wanted in together(reported, others)[len(reported) :]:
                begin(tasks, wanted)
        place = {name: at for at, name in enumerate(self._wanted)}  # answers come in any order, facts in that of frames
        lacking.sort(key=lambda wanted: place[wanted.name])
        unsafe = [wanted for wanted in lacking if self._failed[wanted.name].reason == "unsafe"]
        for wanted in unsafe:
            self._unsafe.add(wanted.name)
            self._refuse(wanted.name, "unsafe", self._failed[wanted.name].why)
        return [wanted for wanted in lacking if wanted not in unsafe]

    async def _unreported(self, reported: list[Wanted]) -> list[Wanted]:
        """Return what lies under the prefix besides; with fewer reported than expected it is looked at in any case."""
        seen = self._seen if len(reported) >= self._expected else None
        return await self._shelf.unreported(self._prefix, reported, seen)

    async def _settled_copy(self, wanted: Wanted) -> bool:
        """Tell whether the frame is taken and its source has not changed since."""
        if wanted.name not in self._taken:
            return False
        before = self._taken[wanted.name]
        now = await self._shelf.stamp(wanted) if before is not None else None
        return now is None or now == before

    async def _take(self, wanted: Wanted) -> bool:
        got = await self._bring(wanted, "whole")
        if isinstance(got, Uncollected) and got.proof is not None and not got.proof.proven:
            stamp = await self._shelf.stamp(wanted)
            mark = stamp if stamp is not None else got.proof.bytes
            if self._rest.seen(wanted.name, mark, self._clock.monotonic()):
                got = await self._bring(wanted, "unproven")
        if isinstance(got, Uncollected):
            self._failed[wanted.name] = got
            return False
        self._failed.pop(wanted.name, None)
        self._taken[wanted.name] = got.stamp
        self._tell(got, verified=True)
        return True

    async def _bring(self, wanted: Wanted, accept: Accept) -> Brought | Uncollected:
        """Take the frame; where it was taken before and written once more since, the newer content is the frame.

        What was taken stays until the newer content is there, as whole as is asked for.
        """
        target = self.target / wanted.name
        got = await self._shelf.take(wanted, target, accept)
        if isinstance(got, Brought) or got.reason != "taken":
            return got
        newer = temporary(self.target / "newer")
        got = await self._shelf.take(wanted, newer, accept)
        if isinstance(got, Uncollected):
            return replace(got, name=wanted.name)
        with writing(self.target):
            await to_thread.run_sync(put_in_place, newer, target)
        return replace(got, frame=replace(got.frame, name=wanted.name, path=target))

    def _tell(self, got: Brought, *, verified: bool) -> None:
        found = got.frame
        frame = Frame(name=found.name, bytes=found.bytes, sha256=found.sha256, verified=verified, via=got.via)
        self._voice.tell(FrameProven, frame=frame)

    def _refuse_uncollected(self, wanted: Wanted) -> None:
        failure = self._failed.get(wanted.name)
        missing = failure is None or failure.reason == "missing"
        why = failure.why if failure else "it is not there"
        self._refuse(wanted.name, "missing" if missing else "truncated", why)

    def _refuse(self, name: str, state: Literal["truncated", "missing", "unsafe"], why: str) -> None:
        self._voice.tell(FrameRefused, name=plain(name, 200), state=state, why=why)

    def _stir(self) -> None:
        self._stirred.set()
        self._stirred = anyio.Event()

    async def _until_stirred(self, seconds: float | None) -> None:
        """Return at the next change in the folder, or after ``seconds``."""
        if seconds is None:
            await self._stirred.wait()
        else:
            await wait_for(self._stirred, seconds, self._clock)
