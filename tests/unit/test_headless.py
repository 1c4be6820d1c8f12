"""The headless face from scripted envelopes: what is printed, what is left out, and what it exits with."""

import os
import threading
from datetime import UTC, timedelta, timezone

import anyio
import anyio.to_thread
import msgspec
import pytest

from comfytui.clock import system_clock
from comfytui.faces.headless import JsonFormatter, LineFormatter, exit_code, follow
from comfytui.faces.printer import Printer, in_encoding
from comfytui.faces.tui.panes.figures import wall_range, wall_time
from comfytui.model import events as e
from comfytui.model.envelope import decode
from comfytui.model.feed import CaughtUp, FeedChanged, FeedItem
from comfytui.model.fold import fold_all
from comfytui.model.state import State
from comfytui.records.summary import stamped
from tests.ui.script import Script as Night
from tests.ui.script import several
from tests.unit.scripted_run import Script, ending, feed, opened, proven, rendering, started, whole_run


def plain_lines(items: list[FeedItem], *, progress: bool = False, verbose: bool = False) -> list[str]:
    formatter = LineFormatter(system_clock(), progress=progress, verbose=verbose, zone=UTC)
    lines = [line for item in items for line in formatter.on_item(item)]
    return [*lines, *formatter.finalize()]


def test_one_clear_line_a_fact_and_frames_summed_up() -> None:
    lines = plain_lines(list(Script().all(whole_run())))
    assert lines[:-2] == [
        "03:00:01  run        Run 20260301-030000 opened: dunes, 1 scene, workflow smoke",
        "03:00:02  run        Runner started: process 7 on box (run)",
        "03:00:04  scene-001  Attempt 1 queued on the server as number 3",
        "03:00:05  scene-001  Attempt 1 executing",
        "03:00:07  scene-001  Attempt 1: ComfyUI reports success, 2 frames",
        "03:00:10  scene-001  Attempt 1: 2 frames proven (2.0 MB)",
        "03:00:10  scene-001  Attempt 1 ended: success after 4.0 s",
        "03:00:11  scene-001  Done: 2 frames proven (attempt 1)",
        "03:00:12  run        Every scene is at rest; completing the records",
        "03:00:13  run        Validation passed",
        "03:00:14  run        Archive written: archives/x.zip (2.0 MB)",
        "03:00:15  run        Run finished, exit 0",
    ]
    assert [line[10:] for line in lines[-2:]] == [
        "run        1/1 scenes succeeded in 14 s, 2 frames, 0 requeues, exit 0",
        "run        Run folder: /runs/20260301-030000",
    ]


def test_a_run_that_this_process_knows_is_told_the_same_and_not_folded_again() -> None:
    items = list(Script().all(whole_run()))
    formatter, known = LineFormatter(system_clock(), zone=UTC), fold_all(items)
    formatter.known = lambda: known
    lines = [line for item in items for line in formatter.on_item(item)]
    assert [*lines, *formatter.finalize()] == plain_lines(list(items))
    assert formatter.state is known


def test_warnings_and_errors_say_so_in_words() -> None:
    facts = [
        opened("scene-001"),
        e.SceneRequeued(scene="scene-001", next_attempt=2, attempts=2, reason="frame count below floor (1/2)"),
        e.ServerTroubled(code="server.lost", what="It went away.", remedy="Look."),
    ]
    lines = plain_lines(list(Script().all(facts)))
    assert lines[1].endswith("scene-001  WARNING: Requeued, attempt 2/2: frame count below floor (1/2)")
    assert lines[2].endswith("run        ERROR: It went away. Look. [server.lost]")
    assert "no end on record" in lines[-2]


def test_frames_that_were_refused_are_counted_by_kind() -> None:
    facts = rendering("scene-001")
    facts[6:7] = [
        proven("scene-001", "f2.png", verified=False),
        e.FrameRefused(scene="scene-001", attempt=1, name="f3.png", state="missing", why="never came"),
    ]
    lines = plain_lines(list(Script().all([opened("scene-001"), *facts])))
    assert any(line.endswith("Attempt 1: 1 frame proven (1.0 MB), 1 taken unproven, 1 missing") for line in lines)


def test_long_scene_names_line_up_and_cannot_reach_the_terminal() -> None:
    name = "a-scene-with-quite-a-long-name"
    lines = plain_lines(list(Script().all([opened(name, "x"), *rendering(name), *rendering("x")])))
    assert len({line.index("Attempt 1 executing") for line in lines if "Attempt 1 executing" in line}) == 1
    evil = e.RunNoted(text="look \x1b[31mhere\nand there", scene="scene\x07")
    assert plain_lines([Script().seal(evil)]) == ["03:00:01  scene      look here and there"]


def progress(scene: str, value: float) -> e.Progress:
    return e.Progress(
        scene=scene, attempt=1, node="3", title="KSampler", value=value, maximum=20, nodes_done=2, nodes_total=7
    )


def test_progress_is_thinned_and_only_told_where_it_is_wanted() -> None:
    script = Script()
    items: list[FeedItem] = [script.seal(event) for event in [opened("a", "b"), *rendering("a")[:3]]]
    items.append(script.seal(progress("a", 1)))  # recorded, not live
    items.append(CaughtUp())
    for value in range(2, 14):
        items.append(script.seal(progress("a", value), after=1))
    told = [line for line in plain_lines(items, progress=True) if "KSampler" in line]
    assert told == [
        "03:00:06  a          Attempt 1: KSampler 2/20, node 3 of 7",
        "03:00:11  a          Attempt 1: KSampler 7/20, node 3 of 7",
        "03:00:16  a          Attempt 1: KSampler 12/20, node 3 of 7",
    ]
    assert not [line for line in plain_lines(items) if "KSampler" in line]
    assert len([line for line in plain_lines(items, verbose=True) if "KSampler" in line]) == 12


def test_news_of_the_feed() -> None:
    script = Script()
    items: list[FeedItem] = [script.seal(opened()), CaughtUp(), FeedChanged(live=True)]
    lines = plain_lines([*items, FeedChanged(live=False, why="it died"), FeedChanged(live=False, why="it died")])
    assert [line[10:] for line in lines[1:-2]] == ["run        WARNING: No runner answers: it died"] * 2
    over = [*items, *script.all(ending()), FeedChanged(live=False, why="it left")]
    assert not [line for line in plain_lines(over) if "No runner" in line]


def test_a_record_wants_no_runner_and_tells_what_of_it_is_damaged() -> None:
    script = Script()
    for facts in ([opened()], [opened(), *ending()]):
        items: list[FeedItem] = list(script.all(facts))
        whole = plain_lines([*items, FeedChanged(live=False, recorded=True), CaughtUp()])
        torn = plain_lines([*items, FeedChanged(live=False, why="2 lines cannot be read", recorded=True), CaughtUp()])
        assert not [line for line in whole if "WARNING" in line]
        assert [line[10:] for line in torn if "WARNING" in line] == ["run        WARNING: 2 lines cannot be read"]


def test_json_is_every_fact_as_it_is_thinned_samples_and_a_summary() -> None:
    script = Script()
    formatter = JsonFormatter()
    facts = whole_run("a", "b")
    items: list[FeedItem] = [*script.all(facts[:5]), CaughtUp(), FeedChanged(live=True)]
    items += [script.seal(progress("a", value), after=1) for value in range(11)]
    items += list(script.all(facts[5:]))
    lines = [line for item in items for line in formatter.on_item(item)] + formatter.finalize()
    decoded = [msgspec.json.decode(line) for line in lines]
    assert all(each["v"] == 1 for each in decoded)
    told = [decode(line.encode()) for line, each in zip(lines, decoded, strict=True) if "event" in each]
    assert [each.event for each in told if each.is_fact] == facts
    assert len([each for each in told if not each.is_fact]) == 3
    assert decoded[5:7] == [{"v": 1, "feed": {"caught_up": True}}, {"v": 1, "feed": {"live": True, "why": ""}}]
    assert decoded[-1]["summary"]["exit_code"] == 0
    assert decoded[-1]["summary"]["frames"] == 4
    assert decoded[-1]["summary"]["scenes"][1] == {
        "id": "b", "phase": "done", "success": True, "meets_floor": True, "frames": 2, "floor": 2, "attempts": 1,
        "best": 1,
    }  # fmt: skip


def test_a_sample_that_was_recorded_is_not_told_again() -> None:
    formatter = JsonFormatter()
    script = Script()
    formatter.on_item(script.seal(opened()))
    assert formatter.on_item(script.seal(e.Pulse(latency=0.1))) == []


def test_a_watched_server_is_told_without_a_run() -> None:
    script = Script()
    watched = msgspec.structs.replace(opened(), run_id="", scenes=())
    items: list[FeedItem] = [script.seal(watched), script.seal(started("observe")), CaughtUp()]
    items += [script.seal(e.QueueDepth(ours=0, others=count)) for count in (2, 2, 1)]
    states: list[e.FrameWord] = ["writing", "proven"]
    for state in states:
        items.append(script.seal(e.FrameWriting(scene="", attempt=0, name="a.png", bytes=1048576, state=state)))
    assert plain_lines(items) == [
        "03:00:02  server     Watching the server (process 7)",
        "03:00:03  server     Queue: 2 prompts",
        "03:00:05  server     Queue: 1 prompt",
        "03:00:07  server     Frame a.png proven (1.0 MB)",
    ]


def test_exit_codes() -> None:
    def after(*events: e.AnyEvent) -> int:
        formatter = JsonFormatter()
        for envelope in Script().all(events):
            formatter.on_item(envelope)
        return exit_code(formatter.state)

    assert exit_code(State()) == 0
    assert after(opened(), started()) == 1, "a runner that died left no end"
    assert after(*whole_run()) == 0
    assert after(opened(), started(), *ending(130)) == 130
    assert after(opened(), started("observe")) == 0


# --- printing ------------------------------------------------------------------------------------------------------


async def test_a_closed_pipe_ends_the_printing_and_not_the_reading() -> None:
    taken: list[bytes] = []

    def write(data: bytes) -> None:
        if len(taken) == 2:
            raise BrokenPipeError
        taken.append(data)

    printer = Printer(write)
    script = Script()
    formatter = LineFormatter(system_clock(), zone=UTC)
    assert await follow(feed(script.all(whole_run())), formatter, printer) == 0
    assert len(taken) == 2
    assert not printer.open
    assert formatter.state.run is not None
    assert formatter.state.run.ended_at is not None


async def test_a_reader_that_pauses_is_waited_for_and_can_be_left() -> None:
    hold, entered = threading.Event(), threading.Event()

    def write(data: bytes) -> None:
        entered.set()
        hold.wait(10)

    printer = Printer(write)
    try:
        async with anyio.create_task_group() as tasks:
            tasks.start_soon(printer.lines, ["held"])
            assert await anyio.to_thread.run_sync(entered.wait, 10)
            tasks.cancel_scope.cancel()
    finally:
        hold.set()
    assert printer.open


async def test_a_real_pipe_that_is_closed() -> None:
    reader, writer = os.pipe()
    os.close(reader)
    printer = Printer(lambda data: os.write(writer, data) and None)
    await printer.lines(["nobody reads this"])
    os.close(writer)
    assert not printer.open


@pytest.mark.parametrize(
    ("encoding", "terminal", "shown"),
    [
        ("utf-8", True, "é…".encode()),
        ("ascii", True, b"??"),
        ("ascii", False, "é…".encode()),
        (None, True, "é…".encode()),
    ],
)
def test_a_terminal_gets_what_it_can_show_and_a_pipe_gets_utf8(
    encoding: str | None, terminal: bool, shown: bytes
) -> None:
    assert in_encoding("é…".encode(), encoding, terminal) == shown


def test_several_servers_say_at_the_end_what_each_did() -> None:
    night = several(2)
    for scene in ("scene-007", "scene-008"):
        night.wait(30).executed(scene, frames=4).frame(scene, 1).attempt_ended(scene).scene_ended(scene, 1)
    lines = [line[10:] for line in plain_lines(night.items)]
    assert lines[-3:-1] == [
        "run        gpu-a: 5 scenes, 17 frames, busy 49 % of the time",
        "run        gpu-b: 3 scenes, 9 frames, busy 61 % of the time",
    ]
    told = msgspec.json.decode(JsonFormatter().finalize()[0])
    assert "servers" not in told["summary"], "a run of one server says what it always said"
    formatter = JsonFormatter()
    for item in night.items:
        formatter.on_item(item)
    servers = msgspec.json.decode(formatter.finalize()[0])["summary"]["servers"]
    assert [(one["name"], one["scenes"], one["prompts"], one["frames"]) for one in servers] == [
        ("gpu-a", 5, 5, 17), ("gpu-b", 3, 3, 9),
    ]  # fmt: skip
    assert 0.48 < servers[0]["busy"] < 0.5


def test_why_a_server_idles_is_told_once_where_progress_is_wanted() -> None:
    night = Night()
    night.briefs = (e.ServerBrief(name="a", url="http://a"), e.ServerBrief(name="b", url="http://b"))
    night.opened(1).reached(server="a").reached(server="b").caught_up()
    night.queued("scene-001", server="a").executing("scene-001").wait(5).history("scene-001")
    night.executed("scene-001", frames=1)
    told = [line[21:] for line in plain_lines(night.items, progress=True) if "idles" in line]
    assert told == ["b idles: nothing is waiting"]
    assert not [line for line in plain_lines(night.items) if "idles" in line]


@pytest.mark.parametrize("at", ["0001-01-01T00:00:00+14:00", "9999-12-31T23:59:59-14:00", "0001-01-01T00:00:00Z"])
@pytest.mark.parametrize("hours", [-12, 0, 14])
def test_a_damaged_time_is_no_traceback(at: str, hours: int) -> None:
    envelope = decode(b'{"seq":1,"at":"%s","run":"r","event":{"type":"run_noted","text":"odd"}}' % at.encode())
    zone = timezone(timedelta(hours=hours))
    assert [line.endswith("odd") for line in LineFormatter(system_clock(), zone=zone).on_item(envelope)] == [True]
    assert stamped(envelope.at, "odd").endswith("] odd")
    assert len(wall_time(envelope.at, zone)) == 8
    assert wall_range(envelope.at, envelope.at, envelope.at, zone)
