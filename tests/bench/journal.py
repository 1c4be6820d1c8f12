"""The journal: facts a second through the hub, each waited for until it is synced, and reading long journals back."""

import tempfile
import time
from collections.abc import Iterator
from pathlib import Path

import anyio

from comfytui.clock import system_clock
from comfytui.engine.hub import Hub
from comfytui.model import events as e
from comfytui.model.envelope import Envelope, encode
from comfytui.model.fold import fold_all
from comfytui.model.policy import QueuePolicy
from comfytui.records import journal
from tests.bench.rendering import run_alone
from tests.bench.table import Figure, Table, quantile

ALONE, TOGETHER, AT_ONCE = 500, 10_000, 64
READ, FOLDED = 1_000_000, 100_000
FRAMES = 25


def measure() -> Table:
    """Write facts one after the other and many at once, then read and fold long journals."""
    figures: list[Figure] = []
    with tempfile.TemporaryDirectory(prefix="comfytui-bench-") as folder:
        path = Path(folder) / "events.jsonl"
        alone = anyio.run(_committing, path.with_name("alone.jsonl"), ALONE, 1)
        together = anyio.run(_committing, path.with_name("together.jsonl"), TOGETHER, AT_ONCE)
        figures += [
            Figure(f"{AT_ONCE} writers at once / one writer", len(together) / sum(together) * AT_ONCE / _rate(alone)),
            Figure("one writer, each fact synced", _rate(alone), "facts/s"),
            Figure("one writer: wait for a fact, p50", 1000 * quantile(alone, 0.5), "ms"),
            Figure("one writer: wait for a fact, p95", 1000 * quantile(alone, 0.95), "ms"),
            Figure(f"{AT_ONCE} writers, each fact synced", _rate(together) * AT_ONCE, "facts/s", least=2000),
            Figure(f"{AT_ONCE} writers: wait for a fact, p95", 1000 * quantile(together, 0.95), "ms"),
        ]
        for count in (FOLDED, READ):
            size = _long_journal(path, count)
            began = time.perf_counter()
            lines = sum(1 for _ in journal.read(path))
            took = time.perf_counter() - began
            if lines != count:
                raise RuntimeError(f"{lines} of {count} lines were read")
            most = 5 if count == READ else None
            figures.append(Figure(f"reading {count:,} lines ({size / 1e6:.0f} MB)", took, "s", most=most))
            if count == FOLDED:
                began = time.perf_counter()
                state = fold_all(journal.read(path))
                folded = time.perf_counter() - began
                figures.append(
                    Figure(f"reading and folding {count:,} lines, {len(state.scenes):,} scenes", folded, "s")
                )
                figures.append(Figure("folding / reading", folded / took))
    return Table("Journal: facts through the hub, and reading them back", figures)


def _rate(waits: list[float]) -> float:
    return len(waits) / sum(waits)


async def _committing(path: Path, count: int, at_once: int) -> list[float]:
    """Return the seconds that each of ``count`` facts took to be on the disk, ``at_once`` tasks committing."""
    clock, waits = system_clock(), []
    with journal.Journal(path) as book:
        hub = Hub("bench", clock, book)
        hub.publish(next(_scenes(1)))
        left = iter(range(count))

        async def commit() -> None:
            for number in left:
                began = time.perf_counter()
                await hub.commit(_frame("scene-000000", number % FRAMES))
                waits.append(time.perf_counter() - began)

        async with anyio.create_task_group() as tasks:
            for _ in range(at_once):
                tasks.start_soon(commit)
    return waits


def _long_journal(path: Path, count: int) -> int:
    """Write a journal of ``count`` facts as runs leave them; return its size in bytes."""
    clock = system_clock()
    scenes = count // (FRAMES + 2)
    facts: list[e.AnyEvent] = list(_scenes(scenes))
    with path.open("wb") as file:
        for number in range(count):
            if number < len(facts):
                event = facts[number]
            else:
                place, step = divmod(number - len(facts), FRAMES + 2)
                event = _scene_fact(f"scene-{place % scenes:06}", step)
            file.write(encode(Envelope(seq=number + 1, at=clock.now(), run="bench", event=event)) + b"\n")
        return file.tell()


def _scenes(count: int) -> Iterator[e.AnyEvent]:
    names = [f"scene-{number:06}" for number in range(count)]
    yield e.RunOpened(
        run_id="bench", run_dir="bench", story=e.StoryBrief(id="bench"), workflow="smoke", server="sim",
        scenes=tuple(e.SceneBrief(id=name, folder=name, prompt="a lighthouse", floor=FRAMES) for name in names),
        policy=QueuePolicy(), version="bench",
    )  # fmt: skip


def _scene_fact(scene: str, step: int) -> e.AnyEvent:
    match step:
        case 0:
            return e.AttemptPlanned(scene=scene, attempt=1, prompt_id=f"prompt-{scene}", prefix=scene, seed=7)
        case 1:
            return e.PromptQueued(scene=scene, attempt=1, number=1)
        case _:
            return _frame(scene, step - 2)


def _frame(scene: str, number: int) -> e.FrameProven:
    name = f"{scene}-a1_{number:05}_.png"
    frame = e.Frame(name=name, bytes=1_150_000 + number, sha256=f"{number:064x}", verified=True, via="disk")
    return e.FrameProven(scene=scene, attempt=1, frame=frame)


if __name__ == "__main__":
    run_alone("journal")
