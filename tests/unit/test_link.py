"""The link over both transports, with real sockets: complete, in order, and never in the runner's way."""

import contextlib
import errno
import json
import socket
import sys
from collections.abc import AsyncIterator, Callable
from contextlib import asynccontextmanager
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import anyio
import anyio.lowlevel
import msgspec
import pytest
from anyio.abc import ByteStream

from comfytui.clock import system_clock
from comfytui.engine.hub import Hub
from comfytui.errors import Failure
from comfytui.link import endpoint, lines, listening, messages, server
from comfytui.link.backlog import JournalBacklog, RecentBacklog, lines_of, place_after
from comfytui.link.client import CommandRefused, Connection, answers, deliver
from comfytui.link.endpoint import NobodyThere, Transport, connect, read_pointer
from comfytui.link.server import LinkServer
from comfytui.model import commands
from comfytui.model import events as e
from comfytui.model.commands import AnyCommand
from comfytui.model.envelope import Envelope
from comfytui.records.journal import Journal
from tests.unit.scripted_run import opened, whole_run

TRANSPORTS: list[Transport] = ["tcp", "unix"] if sys.platform != "win32" else ["tcp"]


class Serving:
    """A hub with a journal in a run folder, and its link."""

    def __init__(self, folder: Path) -> None:
        self.folder = folder
        self.journal = Journal(folder / "events.jsonl")
        self.hub = Hub("20260301-030000", system_clock(), self.journal)
        self.commands: list[AnyCommand] = []

    def publish(self, *events: e.AnyEvent) -> None:
        for event in events:
            self.hub.publish(event)


@asynccontextmanager
async def serving(folder: Path, transport: Transport | None = None, patience: float = 30.0) -> AsyncIterator[Serving]:
    it = Serving(folder)
    with it.journal:
        backlog = JournalBacklog(it.journal.path)
        async with LinkServer(
            folder, it.hub, backlog, it.commands.append, system_clock(), transport=transport, patience=patience
        ).open():
            yield it
            it.hub.close()


@pytest.fixture(params=TRANSPORTS)
def transport(request: pytest.FixtureRequest) -> Transport:
    return request.param  # type: ignore[no-any-return]


async def facts(connection: Connection, upto: int) -> list[Envelope]:
    """Return the facts that are told, up to number ``upto``."""
    seen: list[Envelope] = []
    with anyio.fail_after(10):
        while not seen or seen[-1].seq < upto:
            told = await connection.told()
            assert told, "the connection ended early"
            seen += [each for each in told if isinstance(each, Envelope) and each.is_fact]
    return seen


async def until(true: Callable[[], bool]) -> None:
    while not true():
        await anyio.sleep(0.01)


async def raw(folder: Path, first: bytes | None = None) -> tuple[ByteStream, lines.LineReader]:
    """Return a stream to the runner that has said ``first``, a proper hello by default."""
    stream, token = await connect(folder)
    await stream.send(messages.line(messages.Hello(after=0, token=token)) if first is None else first)
    return stream, lines.LineReader(stream, 1 << 20)


async def said(reader: lines.LineReader) -> list[Any]:
    with anyio.fail_after(10):
        return [json.loads(line) for line in await reader.batch()]


# --- what is told --------------------------------------------------------------------------------------------------


async def test_a_client_hears_the_past_then_the_present(tmp_path: Path, transport: Transport) -> None:
    script = whole_run("a", "b")
    async with serving(tmp_path, transport) as it:
        it.publish(*script[:6])
        async with await Connection.open(tmp_path, 0) as connection:
            past = await facts(connection, 6)
            it.publish(*script[6:])
            told = past + await facts(connection, len(script))
    assert [each.event for each in told] == script
    assert [each.seq for each in told] == list(range(1, len(script) + 1))


async def test_the_present_is_marked_and_samples_come(tmp_path: Path, transport: Transport) -> None:
    async with serving(tmp_path, transport) as it:
        it.publish(opened())
        async with await Connection.open(tmp_path, 1) as connection:
            with anyio.fail_after(10):
                assert await connection.told() == [messages.CaughtUp(caught_up=1)]
                it.publish(e.Pulse(latency=0.1))
                (pulse,) = await connection.told()
    assert isinstance(pulse, Envelope)
    assert pulse.event == e.Pulse(latency=0.1)


async def test_two_clients_hear_the_same(tmp_path: Path, transport: Transport) -> None:
    script = whole_run("a", "b", "c")
    async with serving(tmp_path, transport) as it, await Connection.open(tmp_path, 0) as first:
        it.publish(*script[:9])
        async with await Connection.open(tmp_path, 4) as second:
            it.publish(*script[9:])
            heard = await facts(first, len(script)), await facts(second, len(script))
    assert [each.event for each in heard[0]] == script
    assert heard[1] == heard[0][4:]


async def test_the_last_words_are_heard_when_the_hub_closes(tmp_path: Path, transport: Transport) -> None:
    heard: list[Envelope] = []
    async with anyio.create_task_group() as tasks, serving(tmp_path, transport) as it:
        connection = await Connection.open(tmp_path, 0)
        assert isinstance((await connection.told())[0], messages.CaughtUp)

        async def listen() -> None:
            async with connection:
                while told := await connection.told():
                    heard.extend(each for each in told if isinstance(each, Envelope))

        tasks.start_soon(listen)
        it.publish(*whole_run())
    assert [each.event for each in heard] == whole_run()
    assert read_pointer(tmp_path) is None
    assert [path.name for path in tmp_path.iterdir()] == ["events.jsonl"]  # noqa: ASYNC240


# --- slow and hung clients -----------------------------------------------------------------------------------------


def noted(count: int, size: int = 500) -> list[e.AnyEvent]:
    return [e.RunNoted(text=f"{number} {'x' * size}") for number in range(count)]


async def test_a_hung_client_slows_nobody_and_is_dropped(
    tmp_path: Path, transport: Transport, capsys: pytest.CaptureFixture[str]
) -> None:
    async with serving(tmp_path, transport, patience=0.3) as it:
        it.publish(opened())
        hung, _ = await raw(tmp_path)
        async with await Connection.open(tmp_path, 0) as lively:
            for _ in range(20):
                it.publish(*noted(1000))
                await anyio.lowlevel.checkpoint()
            told = await facts(lively, 20_001)
        assert [each.seq for each in told] == list(range(1, 20_002))
        received = 0
        with anyio.fail_after(10):
            await until(lambda: not it.hub._mailboxes)
            with contextlib.suppress(anyio.EndOfStream, anyio.BrokenResourceError):
                while True:
                    received += len(await hung.receive(1 << 20))
        await hung.aclose()
        assert received < 20_000 * 500, "it was dropped before it had everything"
        async with await Connection.open(tmp_path, 19_990) as again:
            assert [each.seq for each in await facts(again, 20_001)] == list(range(19_991, 20_002))
    assert capsys.readouterr().err == (
        "A client of the run was dropped: it took nothing for 0.3 s. "
        "It may come again, and finds what it missed in the journal.\n"
    ), "those who left by themselves are not told of"


async def test_a_fault_of_ours_and_a_log_that_takes_nothing_cost_no_other_client_its_facts(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    def full(_: str = "") -> None:
        raise OSError(errno.ENOSPC, "no space left on device")

    async with serving(tmp_path) as it, await Connection.open(tmp_path, 0) as connection:
        with monkeypatch.context() as broken:
            broken.setattr(sys, "stderr", SimpleNamespace(write=full, flush=full))
            broken.setattr(it.hub, "subscribe", lambda: 1 / 0)
            with pytest.raises(NobodyThere):
                await Connection.open(tmp_path, 0)
        it.publish(*noted(1))
        assert len(await facts(connection, 1)) == 1


async def test_a_disk_that_fails_is_no_client_that_went_away(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    def broken() -> None:
        raise OSError(errno.EIO, "Input/output error")

    async with serving(tmp_path) as it:
        monkeypatch.setattr(it.hub, "subscribe", broken)
        with pytest.raises(NobodyThere):
            await Connection.open(tmp_path, 0)
    assert "OSError: [Errno 5] Input/output error" in capsys.readouterr().err


async def test_a_slow_client_loses_samples_and_no_fact(tmp_path: Path, transport: Transport) -> None:
    async with serving(tmp_path, transport) as it:
        it.publish(opened())
        stream, reader = await raw(tmp_path)
        heard: list[Any] = []
        for number in range(40):
            it.publish(*noted(50, 3000), *(e.Pulse(latency=float(each)) for each in range(50)))
            await anyio.sleep(0.002)
            if number % 10 == 0:
                heard += await said(reader)
        it.publish(e.RunNoted(text="last"))
        with anyio.fail_after(10):
            while not any(each.get("event", {}).get("text") == "last" for each in heard):
                heard += await said(reader)
        await stream.aclose()
    told = [each for each in heard if each.get("event", {}).get("type") in ("run_noted", "run_opened")]
    assert [each["seq"] for each in told] == list(range(1, 2003))
    assert 0 < sum(each.get("event", {}).get("type") == "pulse" for each in heard) <= 41


async def test_a_client_that_lags_too_far_is_dropped(
    tmp_path: Path, transport: Transport, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(server, "MAX_LAG", 100)
    async with serving(tmp_path, transport) as it:
        async with await Connection.open(tmp_path, 0) as connection:
            assert isinstance((await connection.told())[0], messages.CaughtUp)
            it.publish(*noted(1000))
            with anyio.fail_after(10):
                heard = 0
                while told := await connection.told():
                    heard += len(told)
            assert heard == 0
        async with await Connection.open(tmp_path, 0) as again:
            assert len(await facts(again, 1000)) == 1000


# --- who may join --------------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("first", "answer"),
    [
        (b'{"hello":1,"after":0,"token":"wrong"}\n', "the token does not fit"),
        (b'{"hello":1,"after":0,"token":"\xc3\xa9"}\n', "the token does not fit"),
        (b'{"hello":1,"after":0}\n', "not a hello: "),
        (b'{"hello":2,"after":0,"token":"x"}\n', "not a hello: "),
        (b"GET / HTTP/1.1\r\n", "not a hello: "),
        (b"\xff\xfe\n", "not a hello: "),
        (b"[" * 5000 + b"\n", "not a hello: "),
    ],
)
async def test_strangers_are_refused(tmp_path: Path, transport: Transport, first: bytes, answer: str) -> None:
    async with serving(tmp_path, transport) as it:
        stream, reader = await raw(tmp_path, first)
        async with stream:
            (refusal,) = await said(reader)
            assert refusal["refused"].startswith(answer)
            with anyio.fail_after(10):
                assert await reader.batch() == []
        assert it.commands == []
        assert await answers(tmp_path)


async def test_nobody_else_may_read_the_pointer(tmp_path: Path, transport: Transport) -> None:
    async with serving(tmp_path, transport):
        if sys.platform != "win32":
            assert (tmp_path / "run.link").stat().st_mode & 0o077 == 0
        pointer = read_pointer(tmp_path)
        assert pointer is not None
        assert pointer.kind == transport
        assert len(pointer.token) == 64
        if transport == "unix":
            path = tmp_path / pointer.path
            assert path.stat().st_mode & 0o077 == 0
            assert path.parent.stat().st_mode & 0o077 == 0


async def test_one_client_too_many_is_told(
    tmp_path: Path, transport: Transport, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(server, "MAX_CLIENTS", 1)
    async with serving(tmp_path, transport), await Connection.open(tmp_path, 0):
        with pytest.raises(NobodyThere, match="others already"):
            await Connection.open(tmp_path, 0)


# --- commands ------------------------------------------------------------------------------------------------------


async def test_commands_arrive_and_are_acknowledged(tmp_path: Path, transport: Transport) -> None:
    wanted = [commands.Rerun(id="1", scenes=("a",), seed=7), commands.Stop(id="2"), commands.Hold(id="3")]
    async with serving(tmp_path, transport) as it:
        for command in wanted:
            await deliver(tmp_path, command)
    assert it.commands == wanted


async def test_malformed_lines_are_answered_and_not_fatal(
    tmp_path: Path, transport: Transport, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(messages, "MAX_COMMAND", 70_000)
    async with serving(tmp_path, transport) as it:
        stream, reader = await raw(tmp_path)
        answered: list[Any] = []
        async with stream:
            for line in (
                b"not json",
                b'{"type":"fly","id":"1"}',
                b'{"type":"rerun"}',
                b"",
                b"\x00\xff",
                b'{"type":"rerun","id":"x","scenes":["' + b"x" * 400_000 + b'"]}',
                b'{"type":"stop","id":"9"}',
            ):
                await stream.send(line + b"\n")
            while len(answered) < 7:
                answered += [each for each in await said(reader) if "refused" in each or "taken" in each]
        assert [("refused" in each) for each in answered] == [True] * 6 + [False]
        assert answered[5]["refused"] == "the line is longer than 70000 bytes"
        assert answered[6] == {"taken": "9"}
        assert it.commands == [commands.Stop(id="9")]


async def test_commands_sent_with_the_hello_are_taken(tmp_path: Path, transport: Transport) -> None:
    async with serving(tmp_path, transport) as it:
        stream, token = await connect(tmp_path)
        hello = messages.line(messages.Hello(after=None, token=token))
        async with stream:
            await stream.send(hello + messages.line(commands.Stop(id="1")))
            reader, heard = lines.LineReader(stream, 1000), list[Any]()
            while len(heard) < 2:
                heard += await said(reader)
    assert heard == [{"welcome": 1, "run": "20260301-030000"}, {"taken": "1"}]
    assert it.commands == [commands.Stop(id="1")]


async def test_a_command_that_the_runner_refuses(tmp_path: Path, transport: Transport) -> None:
    def refuse(command: AnyCommand) -> None:
        raise Failure("run.no_runner", run="x")

    hub = Hub("x", system_clock(), Journal(tmp_path / "events.jsonl"))
    backlog = RecentBacklog(hub.record_with)
    async with LinkServer(tmp_path, hub, backlog, refuse, system_clock(), transport=transport).open():
        with pytest.raises(CommandRefused, match="No runner answers"):
            await deliver(tmp_path, commands.Stop(id="1"))
        hub.close()
    hub._journal.close()  # type: ignore[attr-defined]


# --- places --------------------------------------------------------------------------------------------------------


async def test_nobody_there(tmp_path: Path) -> None:
    with pytest.raises(NobodyThere, match="no runner drives it"):
        await connect(tmp_path)
    for content in (b"", b"{", b'{"kind":"carrier pigeon"}', b"\xff" * 100_000):
        (tmp_path / "run.link").write_bytes(content)
        assert not await answers(tmp_path)


async def test_what_a_dead_runner_left_does_no_harm(tmp_path: Path) -> None:
    (tmp_path / ".link").mkdir()
    dead = tmp_path / ".link" / "runner.sock"
    if sys.platform != "win32":
        left = socket.socket(socket.AF_UNIX)
        left.bind(str(dead))
        left.close()
    pointer = endpoint.Pointer(kind="unix", token="x", pid=4242, path=".link/runner.sock")
    (tmp_path / "run.link").write_bytes(msgspec.json.encode(pointer))
    with pytest.raises(NobodyThere):
        await connect(tmp_path)
    async with serving(tmp_path):
        assert await answers(tmp_path)
    assert not await answers(tmp_path)


async def test_a_stranger_on_the_port_of_a_dead_runner(tmp_path: Path) -> None:
    async def stranger(stream: anyio.abc.SocketStream) -> None:
        async with stream:
            await stream.send(b"220 mail ready\r\n")

    listener = await anyio.create_tcp_listener(local_host="127.0.0.1")
    port = listener.extra(anyio.abc.SocketAttribute.local_port)
    pointer = endpoint.Pointer(kind="tcp", token="x", pid=4242, port=port)
    (tmp_path / "run.link").write_bytes(msgspec.json.encode(pointer))
    async with anyio.create_task_group() as tasks:
        tasks.start_soon(listener.serve, stranger)
        with pytest.raises(NobodyThere):
            await Connection.open(tmp_path, 0)
        tasks.cancel_scope.cancel()
    await listener.aclose()


@pytest.mark.skipif(sys.platform == "win32", reason="Windows serves loopback TCP only")
async def test_a_folder_with_a_long_path_gets_a_socket_elsewhere(tmp_path: Path) -> None:
    deep = tmp_path.joinpath(*["a-folder-with-a-long-name"] * 6)
    deep.mkdir(parents=True)
    async with serving(deep) as it:
        pointer = read_pointer(deep)
        assert pointer is not None
        assert pointer.kind == "unix"
        place = Path(pointer.path)
        assert place.is_absolute()
        assert place.parent.stat().st_mode & 0o077 == 0
        it.publish(opened())
        async with await Connection.open(deep, 0) as connection:
            assert len(await facts(connection, 1)) == 1
    assert not place.parent.exists()


@pytest.mark.skipif(sys.platform == "win32", reason="Windows serves loopback TCP only")
async def test_a_disk_without_sockets_falls_back_to_tcp(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    async def no_sockets(*args: object, **kwargs: object) -> None:
        raise OSError("not supported")

    monkeypatch.setattr(anyio, "create_unix_listener", no_sockets)
    async with serving(tmp_path):
        pointer = read_pointer(tmp_path)
        assert pointer is not None
        assert pointer.kind == "tcp"
        assert not (tmp_path / ".link").exists()
        assert await answers(tmp_path)


async def test_a_folder_that_cannot_be_written(tmp_path: Path) -> None:
    with pytest.raises(Failure) as caught:
        async with serving_nowhere(tmp_path):
            raise AssertionError("it opened")
    assert caught.value.code == "run.unwritable"


@asynccontextmanager
async def serving_nowhere(tmp_path: Path) -> AsyncIterator[None]:
    async with listening.endpoint(tmp_path / "gone", "tcp"):
        yield


async def test_a_pointer_that_another_wrote_is_left_alone(tmp_path: Path) -> None:
    async with serving(tmp_path):
        (tmp_path / "run.link").write_bytes(b'{"kind":"tcp","token":"y","pid":1}')
    assert (tmp_path / "run.link").exists()


# --- the past ------------------------------------------------------------------------------------------------------


def test_a_backlog_begins_near_the_first_missing_fact(tmp_path: Path) -> None:
    path = tmp_path / "events.jsonl"
    with Journal(path) as journal:
        hub = Hub("x", system_clock(), journal)
        for event in noted(2000):
            hub.publish(event)
            hub.publish(e.Pulse(latency=0.0))
        total = path.stat().st_size
        assert total - place_after(path, 1990) < 3 * 65536
        for after, upto in ((0, 2000), (1, 1), (1990, 2000), (1999, 2000), (500, 700), (2000, 2000)):
            told = [each for batch in JournalBacklog(path).since(after, upto) for each in batch]
            assert [each.seq for each in told] == list(range(after + 1, upto + 1))


def test_a_torn_or_foreign_line_does_not_hide_facts(tmp_path: Path) -> None:
    path = tmp_path / "events.jsonl"
    with Journal(path) as journal:
        hub = Hub("x", system_clock(), journal)
        for number, event in enumerate(noted(300)):
            if number % 50 == 0:
                with path.open("ab") as file:
                    file.write(b"rubbish" * 200 + b"\n")
            hub.publish(event)
    with path.open("ab") as file:
        file.write(b'{"v":1,"seq":301,"at"')
    told = [each for batch in JournalBacklog(path).since(280, 300) for each in batch]
    assert [each.seq for each in told] == list(range(281, 301))
    assert place_after(tmp_path / "nowhere", 3) == 0


def test_the_memory_of_an_observer_is_bounded(tmp_path: Path) -> None:
    with Journal(tmp_path / "events.jsonl") as journal:
        hub = Hub("x", system_clock(), journal)
        backlog = RecentBacklog(hub.record_with, limit=10)
        for event in noted(25):
            hub.publish(event)
        assert [each.seq for batch in backlog.since(3, 20) for each in batch] == [16, 17, 18, 19, 20]
        assert lines_of([]) == b""
