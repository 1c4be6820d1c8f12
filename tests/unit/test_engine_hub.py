"""The hub and its mailboxes: facts complete, in order, on disk first; samples latest-wins; readers slow nobody."""

from collections.abc import Callable
from datetime import UTC, datetime, timedelta

import anyio
import pytest
from hypothesis import given
from hypothesis import strategies as st

from comfytui.engine.hub import Hub
from comfytui.engine.mailbox import Mailbox
from comfytui.errors import Failure
from comfytui.model import events as e
from comfytui.model.envelope import Envelope
from comfytui.model.fold import fold_all
from comfytui.model.state import State
from tests.unit.scripted_run import opened, rendering, whole_run

T0 = datetime(2026, 3, 1, 3, 0, tzinfo=UTC)


class SetClock:
    """A clock that the test sets, forwards and backwards."""

    def __init__(self) -> None:
        self.seconds = 0.0

    def now(self) -> datetime:
        return T0 + timedelta(seconds=self.seconds)

    def monotonic(self) -> float:
        return self.seconds

    async def sleep(self, seconds: float) -> None:
        raise AssertionError("the hub waits for nobody")


class Paper:
    """A journal in memory that can be full."""

    def __init__(self) -> None:
        self.written: list[Envelope] = []
        self.full = False
        self.syncs: list[int] = []
        """How many envelopes each sync covered."""
        self.on_sync: Callable[[], None] = lambda: None

    def append(self, envelope: Envelope) -> None:
        if self.full:
            raise Failure("run.unwritable", place="/runs", why="No space left on device")
        self.written.append(envelope)

    def sync(self) -> None:
        covered = len(self.written)
        self.on_sync()
        self.syncs.append(covered)


@pytest.fixture
def clock() -> SetClock:
    return SetClock()


@pytest.fixture
def paper() -> Paper:
    return Paper()


@pytest.fixture
def hub(clock: SetClock, paper: Paper) -> Hub:
    return Hub("20260301-030000", clock, paper)


def note(text: str) -> e.RunNoted:
    return e.RunNoted(text=text)


def pulse(latency: float) -> e.Pulse:
    return e.Pulse(latency=latency)


def growing(name: str, size: int) -> e.FrameWriting:
    return e.FrameWriting(scene="scene-001", attempt=1, name=name, bytes=size)


# --- publishing --------------------------------------------------------------------------------------------------


def test_facts_are_numbered_from_one_and_samples_carry_the_last_facts_number(hub: Hub) -> None:
    events: list[e.AnyEvent] = [pulse(0.1), opened(), pulse(0.2), note("a"), pulse(0.3)]
    assert [hub.publish(event).seq for event in events] == [0, 1, 1, 2, 2]
    assert hub.state.seq == 2


def test_the_state_is_what_a_reader_of_the_journal_folds(hub: Hub, paper: Paper, clock: SetClock) -> None:
    for event in whole_run("scene-001", "scene-002"):
        clock.seconds += 0.5
        hub.publish(event)
    assert fold_all(paper.written) == hub.state
    assert [envelope.run for envelope in paper.written] == ["20260301-030000"] * len(paper.written)


def test_a_fact_is_on_disk_before_anybody_sees_it(hub: Hub, paper: Paper) -> None:
    seen: list[int] = []
    hub.record_with(lambda envelope, state: seen.append(len(paper.written)))
    hub.publish(opened())
    hub.publish(note("a"))
    assert seen == [1, 2]


def test_what_cannot_be_written_never_happened(hub: Hub, paper: Paper) -> None:
    hub.publish(opened())
    before, recorded = hub.state, []
    hub.record_with(lambda envelope, state: recorded.append(envelope))
    with hub.subscribe() as mailbox:
        paper.full = True
        with pytest.raises(Failure) as failure:
            hub.publish(note("lost"))
        assert failure.value.code == "run.unwritable"
        assert hub.state is before
        assert mailbox.take() == []
        assert recorded == []
        paper.full = False
        assert hub.publish(note("kept")).seq == 2


def test_recorders_see_every_fact_in_order_with_the_state_after_it(hub: Hub) -> None:
    seen: list[tuple[int, int]] = []
    hub.record_with(lambda envelope, state: seen.append((envelope.seq, state.seq)))
    for event in (opened(), pulse(0.1), note("a"), note("b")):
        hub.publish(event)
    assert seen == [(1, 1), (2, 2), (3, 3)]


STEPS = st.lists(st.tuples(st.floats(-3600, 3600), st.sampled_from([note("x"), pulse(1.0), growing("f", 1)])))


@given(STEPS)
def test_time_never_runs_backwards_in_the_journal_or_for_a_reader(steps: list[tuple[float, e.AnyEvent]]) -> None:
    clock, paper = SetClock(), Paper()
    hub = Hub("r", clock, paper)
    told = [hub.publish(opened())]
    for change, event in steps:
        clock.seconds += change
        told.append(hub.publish(event))
    for envelopes in (told, paper.written):
        stamps = [envelope.at for envelope in envelopes]
        assert stamps == sorted(stamps)


def test_a_run_that_is_taken_up_goes_on_counting_and_never_before_its_last_moment(
    hub: Hub, paper: Paper, clock: SetClock
) -> None:
    clock.seconds = 100.0
    hub.publish(opened())
    clock.seconds = 0.0  # another machine, or a clock that was set back
    later = Hub("r", clock, paper, fold_all(paper.written))
    assert (later.publish(note("again")).seq, later.state.at) == (2, T0 + timedelta(seconds=100))


# --- samples in the journal --------------------------------------------------------------------------------------


def test_samples_of_a_kind_are_journalled_at_most_once_a_second(hub: Hub, paper: Paper, clock: SetClock) -> None:
    hub.publish(opened())
    for tenth in range(35):
        clock.seconds = tenth / 10
        hub.publish(pulse(clock.seconds))
        hub.publish(e.QueueDepth(ours=1, others=tenth))
    kinds = [type(envelope.event) for envelope in paper.written[1:]]
    assert kinds.count(e.Pulse) == kinds.count(e.QueueDepth) == 4
    assert [w.event.latency for w in paper.written if isinstance(w.event, e.Pulse)] == [0.0, 1.0, 2.0, 3.0]


def test_progress_of_each_scene_is_a_kind_of_its_own(hub: Hub, paper: Paper) -> None:
    hub.publish(opened("scene-001", "scene-002"))
    for scene in ("scene-001", "scene-002", "scene-001"):
        hub.publish(
            e.Progress(scene=scene, attempt=1, node="3", title="t", value=1, maximum=2, nodes_done=0, nodes_total=1)
        )
    assert len(paper.written) == 3


def test_growing_frames_are_not_journalled_but_seen(hub: Hub, paper: Paper) -> None:
    hub.publish(opened())
    with hub.subscribe() as mailbox:
        hub.publish(growing("f.png", 10))
    assert len(paper.written) == 1
    assert [row.name for row in hub.state.frames] == ["f.png"]
    assert len(mailbox.take()) == 1


# --- mailboxes ---------------------------------------------------------------------------------------------------


def sealed(event: e.AnyEvent, seq: int = 1) -> Envelope:
    return Envelope(seq=seq, at=T0, run="r", event=event)


def test_a_mailbox_keeps_every_fact_and_of_samples_the_newest_of_each_kind() -> None:
    box = Mailbox(after=0)
    for number in range(1, 1001):
        box.put(sealed(note(str(number)), number))
        box.put(sealed(pulse(float(number)), number))
        box.put(sealed(growing(f"f{number % 2}.png", number), number))
    taken = box.take()
    assert [item.seq for item in taken[:1000]] == list(range(1, 1001))
    assert [item.event for item in taken[1000:]] == [pulse(1000.0), growing("f1.png", 999), growing("f0.png", 1000)]
    assert box.take() == []


@given(st.lists(st.sampled_from(["fact", "pulse", "depth", "read"])))
def test_however_a_reader_reads_it_misses_no_fact_and_ends_with_the_newest_samples(script: list[str]) -> None:
    box, seq, read = Mailbox(after=0), 0, list[Envelope]()
    newest: dict[type, Envelope] = {}
    for word in script:
        match word:
            case "fact":
                seq += 1
                box.put(sealed(note("n"), seq))
            case "read":
                read += box.take()
            case _:
                sample = sealed(pulse(seq) if word == "pulse" else e.QueueDepth(ours=seq, others=0), seq)
                newest[type(sample.event)] = sample
                box.put(sample)
    read += box.take()
    assert [item.seq for item in read if item.is_fact] == list(range(1, seq + 1))
    for kind, sample in newest.items():
        assert [item for item in read if type(item.event) is kind][-1] == sample


async def test_readers_get_what_arrives_and_end_when_the_hub_closes(hub: Hub) -> None:
    got: list[str] = []

    async def read(mailbox: Mailbox) -> None:
        got.extend([item.event.text async for item in mailbox if isinstance(item.event, e.RunNoted)])

    with hub.subscribe() as mailbox:
        async with anyio.create_task_group() as tasks:
            tasks.start_soon(read, mailbox)
            hub.publish(opened())
            for text in "abc":
                hub.publish(note(text))
                await anyio.lowlevel.checkpoint()
            hub.publish(note("last"))
            hub.close()
    assert got == ["a", "b", "c", "last"]


async def test_a_slow_reader_slows_nobody_and_misses_no_fact(hub: Hub) -> None:
    hub.publish(opened())
    with hub.subscribe() as slow, hub.subscribe() as fast:
        batches = fast.batches()
        for number in range(500):
            hub.publish(note(str(number)))
            hub.publish(pulse(float(number)))
            assert len(await anext(batches)) == 2
        held = slow.take()
    assert [item.seq for item in held[:-1]] == list(range(2, 502))
    assert held[-1].event == pulse(499.0)


async def test_who_subscribes_after_the_end_is_not_left_waiting(hub: Hub) -> None:
    hub.publish(opened())
    hub.close()
    with hub.subscribe() as mailbox, anyio.fail_after(5):
        assert [batch async for batch in mailbox.batches()] == []


def test_a_mailbox_knows_where_it_began_and_hears_nothing_after_it_ended(hub: Hub) -> None:
    hub.publish(opened())
    with hub.subscribe() as mailbox:
        hub.publish(note("inside"))
    hub.publish(note("outside"))
    assert mailbox.after == 1
    assert [item.seq for item in mailbox.take()] == [2]


async def test_who_looks_at_the_state_and_then_waits_misses_no_fact(hub: Hub) -> None:
    seen = 0

    async def watch() -> None:
        nonlocal seen
        while hub.state.seq < 20:
            await hub.changed()
            seen = hub.state.seq

    with anyio.fail_after(5):
        async with anyio.create_task_group() as tasks:
            tasks.start_soon(watch)
            await anyio.lowlevel.checkpoint()
            hub.publish(opened())
            for number in range(19):
                hub.publish(note(str(number)))
                if number % 3 == 0:
                    await anyio.lowlevel.checkpoint()
    assert seen == 20


async def test_samples_wake_nobody_who_waits_for_a_fact(hub: Hub) -> None:
    hub.publish(opened())
    with anyio.move_on_after(0.05) as scope:
        async with anyio.create_task_group() as tasks:
            tasks.start_soon(hub.changed)
            await anyio.lowlevel.checkpoint()
            hub.publish(pulse(0.1))
    assert scope.cancelled_caught


# --- one fsync for many ------------------------------------------------------------------------------------------


async def test_a_fact_is_committed_once_a_sync_has_covered_it(hub: Hub, paper: Paper) -> None:
    for event in rendering("scene-001"):
        await hub.commit(event)
        assert paper.syncs[-1] == len(paper.written)


async def test_waiters_share_a_sync_but_only_one_that_began_after_they_came(hub: Hub, paper: Paper) -> None:
    """The first sync is held up; who comes meanwhile is served by the next one, all of them by the same."""
    began, go_on = anyio.Event(), anyio.Event()
    served: list[tuple[str, int]] = []

    def held_up() -> None:
        if not paper.syncs:
            anyio.from_thread.run_sync(began.set)
            anyio.from_thread.run(go_on.wait)

    async def commit(text: str) -> None:
        await hub.commit(note(text))
        served.append((text, len(paper.syncs)))

    paper.on_sync = held_up
    with anyio.fail_after(10):
        async with anyio.create_task_group() as tasks:
            tasks.start_soon(commit, "first")
            await began.wait()
            for number in range(5):
                tasks.start_soon(commit, f"later {number}")
            await anyio.wait_all_tasks_blocked()
            assert served == []
            go_on.set()
    assert paper.syncs == [1, 6]
    assert served[0] == ("first", 1)
    assert [when for _, when in served[1:]] == [2] * 5


async def test_a_sync_that_fails_serves_nobody(hub: Hub, paper: Paper) -> None:
    def full() -> None:
        raise Failure("run.unwritable", place="/runs", why="I/O error")

    async def commit() -> None:
        with pytest.raises(Failure):
            await hub.commit(note("x"))

    paper.on_sync = full
    async with anyio.create_task_group() as tasks:
        for _ in range(3):
            tasks.start_soon(commit)
    assert paper.syncs == []


def test_an_observer_records_nothing() -> None:
    from comfytui.engine.hub import Unrecorded

    hub = Hub("", SetClock(), Unrecorded(), State())
    hub.publish(opened())
    assert hub.state.run is not None
