"""The socket against the simulator: what it hears, how it comes back, and what it does to a server that fails it."""

import subprocess
import sys
import uuid
from collections.abc import AsyncIterator
from pathlib import Path
from typing import Any

import anyio
import httpx
import pytest

from comfytui.clock import system_clock
from comfytui.errors import Failure
from comfytui.simulator import Simulator, Speed
from comfytui.simulator import faults as f
from comfytui.sources.comfy import messages as m
from comfytui.sources.comfy.address import ServerAddress
from comfytui.sources.comfy.socket import ComfySocket, SocketClosed, SocketOpened, SocketRefused
from tests.sources.socket_ear import CLIENT, PATIENCE, Ear, listening, until


@pytest.fixture
def anyio_backend() -> str:
    return "asyncio"


@pytest.fixture
async def simulator(tmp_path: Path) -> AsyncIterator[Simulator]:
    async with Simulator(output_dir=tmp_path / "output", speed=Speed.instant(), previews=True).serve() as server:
        yield server


def sampling(steps: int = 3) -> dict[str, Any]:
    """A workflow that samples: progress, previews, an image."""
    return {
        "1": {"class_type": "EmptyImage", "inputs": {"width": 64, "height": 64, "batch_size": 1, "color": 255}},
        "2": {
            "class_type": "SlowProgress",
            "inputs": {
                "image": ["1", 0],
                "steps": steps,
                "seconds_per_step": 0.0,
                "fail_at_step": -1,
                "preview": True,
                "seed": 1,
            },
        },
        "3": {"class_type": "SaveImage", "inputs": {"images": ["2", 0], "filename_prefix": "heard/frame"}},
    }


async def submit(server: Simulator, graph: dict[str, Any] | None = None, client: str = CLIENT) -> str:
    prompt_id = str(uuid.uuid4())
    body = {"prompt": graph or sampling(), "client_id": client, "prompt_id": prompt_id}
    async with httpx.AsyncClient() as http:
        (await http.post(f"{server.url}/prompt", json=body)).raise_for_status()
    return prompt_id


async def still_hears(ear: Ear, server: Simulator) -> None:
    """Prove that what is meant for this client reaches it."""
    prompt_id = await submit(server)
    await ear.hears(m.Executing, lambda heard: heard.prompt_id == prompt_id and heard.node is None)


def is_over(item: object) -> bool:
    return isinstance(item, m.Executing) and item.node is None


def faults(server: Simulator, *some: f.Fault) -> None:
    server.faults.add(*some)


# --- hearing ----------------------------------------------------------------------------------------------------------


async def test_opens_and_negotiates(simulator: Simulator) -> None:
    async with listening(simulator.url) as ear:
        await ear.hears_an_answer()
        assert [type(item) for item in ear.heard[:3]] == [SocketOpened, m.Status, m.FeatureFlags]


async def test_hears_a_prompt_from_start_to_end(simulator: Simulator) -> None:
    async with listening(simulator.url) as ear:
        await ear.hears_an_answer()
        prompt_id = await submit(simulator)
        await ear.hears(m.Executing, lambda heard: heard.node is None)
        mine = [item for item in ear.heard if getattr(item, "prompt_id", None) == prompt_id]
        order = [type(item) for item in mine if not isinstance(item, m.Progress | m.ProgressState | m.Preview)]
        assert order[0] is m.ExecutionStart
        assert order[-2:] == [m.ExecutionSuccess, m.Executing]
        assert [file.filename for item in mine if isinstance(item, m.Executed) for file in item.files]
        assert any(isinstance(item, m.Progress | m.ProgressState) for item in mine)


async def test_previews_tell_their_node_because_the_first_message_asked_for_it(simulator: Simulator) -> None:
    async with listening(simulator.url) as ear:
        await ear.hears_an_answer()
        prompt_id = await submit(simulator)
        preview = await ear.hears(m.Preview)
        assert (preview.prompt_id, preview.node) == (prompt_id, "2")
        assert preview.image


async def test_a_reader_that_does_not_read_stalls_nobody(simulator: Simulator) -> None:
    address = ServerAddress.parse(simulator.url)
    async with ComfySocket(address, "sleeper", system_clock()) as sleeper, listening(simulator.url) as ear:
        await ear.hears_an_answer()
        slept_through = await submit(simulator, sampling(steps=3000), client="sleeper")
        await still_hears(ear, simulator)
        heard: list[Any] = []
        await until(lambda: any(map(is_over, sleeper._mailbox._waiting.values())))
        with anyio.fail_after(PATIENCE):
            async for item in sleeper.messages():
                heard.append(item)
                if is_over(item):
                    break
        mine = [item for item in heard if getattr(item, "prompt_id", None) == slept_through]
        assert [type(item) for item in mine if isinstance(item, m.ExecutionStart | m.ExecutionSuccess)] == [
            m.ExecutionStart,
            m.ExecutionSuccess,
        ]
        steps = [item for item in mine if isinstance(item, m.Progress) and item.node == "2"]
        assert [(step.value, step.maximum) for step in steps] == [(3000, 3000)], "the latest alone was kept"


# --- coming back ------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("clean", [False, True])
async def test_comes_back_when_it_is_dropped(simulator: Simulator, clean: bool) -> None:
    async with listening(simulator.url) as ear:
        await ear.hears_an_answer()
        await simulator.drop_sockets(clean=clean)
        closed = await ear.hears(SocketClosed)
        assert closed.why == ("it was closed with code 1000" if clean else "the connection broke")
        await ear.hears_an_answer()
        await still_hears(ear, simulator)


async def test_comes_back_when_the_server_died_and_was_restarted(simulator: Simulator) -> None:
    async with listening(simulator.url) as ear:
        await ear.hears_an_answer()
        await simulator.kill()
        assert (await ear.hears(SocketClosed)).why == "the connection broke"
        refused = await ear.hears(SocketRefused)
        assert (refused.why, refused.code) == ("connection refused", "server.unreachable")
        await simulator.restart()
        await ear.hears_an_answer()
        await still_hears(ear, simulator)


@pytest.mark.parametrize("where", [f.SocketDropped(before="execution_success", times=1), f.SocketDropped(times=1)])
async def test_comes_back_when_it_is_dropped_in_the_middle(simulator: Simulator, where: f.SocketDropped) -> None:
    faults(simulator, where)
    async with listening(simulator.url) as ear:
        if where.before:
            await ear.hears_an_answer()
            await submit(simulator)
        await ear.hears(SocketClosed)
        await ear.hears_an_answer()
        await still_hears(ear, simulator)
        assert simulator.faults.used(where) == 1


@pytest.mark.parametrize(
    ("fault", "why", "code"),
    [
        (f.SocketRefused(status=500, times=1), "HTTP 500", "server.reply"),
        (f.SocketRefused(status=502, times=1), "HTTP 502", "server.unreachable"),
        (f.SocketRefused(status=401, times=1), "HTTP 401", "server.auth"),
        (f.SocketRefused(status=404, times=1), "HTTP 404", "server.reply"),
        (f.Answered.login_page(path="/ws", times=1), "HTTP 200", "server.not_comfyui"),
        (f.Answered.redirect(path="/ws", times=1), "HTTP 302", "server.auth"),
        (f.ConnectionReset(path="/ws", method="GET", times=1), "the connection broke during GET /ws", None),
    ],
)
async def test_tells_why_it_is_refused_and_tries_again(
    simulator: Simulator, fault: f.Fault, why: str, code: str | None
) -> None:
    faults(simulator, fault)
    async with listening(simulator.url) as ear:
        refused = await ear.hears(SocketRefused)
        assert refused.why == why
        assert refused.code == (code or "server.unreachable")
        await ear.hears_an_answer()
        assert ear.turns == ["SocketRefused", "SocketOpened"]


async def test_nobody_listens_there() -> None:
    async with listening("http://127.0.0.1:9") as ear:
        assert (await ear.hears(SocketRefused)).why == "connection refused"
        await ear.hears(SocketRefused)


async def test_a_secret_is_never_in_the_reason(simulator: Simulator) -> None:
    faults(simulator, f.Answered(path="/ws", status=403, text="bad token hush-hush", times=1))
    async with listening(simulator.url, token="hush-hush") as ear:
        refused = await ear.hears(SocketRefused)
        assert "hush" not in refused.why


# --- deafness ---------------------------------------------------------------------------------------------------------


async def test_reconnecting_closes_properly_and_never_makes_it_deaf(simulator: Simulator) -> None:
    async with listening(simulator.url) as ear:
        for _ in range(10):
            await ear.hears_an_answer()
            await still_hears(ear, simulator)
            ear.socket.reconnect()
            assert (await ear.hears(SocketClosed)).why == "a new connection is made"


async def test_a_probe_of_a_healthy_socket_is_no_interruption(simulator: Simulator) -> None:
    async with listening(simulator.url) as ear:
        await ear.hears_an_answer()
        assert await ear.socket.probe()
        await ear.hears_an_answer()
        assert ear.turns == ["SocketOpened", "SocketOpened"]
        await still_hears(ear, simulator)


async def test_a_probe_heals_a_socket_that_a_late_cleanup_made_deaf(simulator: Simulator) -> None:
    lingers = f.SocketLingers(seconds=0.3, nth=1)
    faults(simulator, f.SocketDropped(before="execution_start", nth=1), lingers)
    async with listening(simulator.url) as ear:
        await ear.hears_an_answer()
        await submit(simulator)
        await ear.hears(SocketClosed)
        await ear.hears_an_answer()
        assert simulator._life is not None
        registered = simulator._life.sockets._connections
        await until(lambda: CLIENT not in registered)
        assert ear.turns == ["SocketOpened", "SocketClosed", "SocketOpened"], "nobody was told"
        assert await ear.socket.probe()
        await ear.hears_an_answer()
        await still_hears(ear, simulator)


async def test_a_probe_of_a_deaf_or_dead_server_fails(simulator: Simulator) -> None:
    async with listening(simulator.url) as ear:
        await ear.hears_an_answer()
        deaf = f.SocketDeaf()
        faults(simulator, deaf)
        assert not await ear.socket.probe(within=0.5)
        assert simulator.faults.used(deaf) == 1
        await simulator.kill()
        assert not await ear.socket.probe(within=0.5)


# --- leaving ----------------------------------------------------------------------------------------------------------


async def test_leaving_closes_the_connection_and_ends_the_messages(simulator: Simulator) -> None:
    ended = anyio.Event()
    async with anyio.create_task_group() as group:
        async with ComfySocket(ServerAddress.parse(simulator.url), CLIENT, system_clock()) as socket:
            ear = Ear(socket)

            async def listen() -> None:
                await ear.listen()
                ended.set()

            group.start_soon(listen)
            await ear.hears_an_answer()
        assert simulator._life is not None
        connections = simulator._life.sockets._open
        await until(lambda: ended.is_set() and not connections)


async def test_what_the_block_raises_passes_as_it_is(simulator: Simulator) -> None:
    with pytest.raises(Failure) as raised:
        async with ComfySocket(ServerAddress.parse(simulator.url), CLIENT, system_clock()):
            raise Failure("prompt.interrupted")
    assert raised.value.code == "prompt.interrupted"


@pytest.mark.parametrize("moment", ["connecting", "open", "pausing"])
async def test_it_is_cancelled_at_any_moment(simulator: Simulator, moment: str) -> None:
    if moment == "connecting":
        faults(simulator, f.Slow(path="/ws", seconds=3600))
    if moment == "pausing":
        faults(simulator, f.SocketRefused())
    async with anyio.create_task_group() as group, listening(simulator.url) as ear:
        if moment == "connecting":
            await until(lambda: any(served.path == "/ws" for served in simulator.requests))
        else:
            await ear.hears(SocketOpened if moment == "open" else SocketRefused)
        group.cancel_scope.cancel()
        await anyio.sleep_forever()
    simulator.faults.clear()


async def test_a_frozen_upgrade_is_given_up(simulator: Simulator, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("comfytui.sources.comfy.socket.TIMEOUT", 0.3)
    faults(simulator, f.Slow(path="/ws", seconds=3600, times=1))
    async with listening(simulator.url) as ear:
        refused = await ear.hears(SocketRefused)
        assert refused.code == "server.timeout"
        assert refused.why == "no answer within 0.3 s"
        await ear.hears_an_answer()


def test_the_library_is_imported_only_when_a_connection_is_made() -> None:
    code = "import sys, comfytui.sources.comfy.socket as s; print('httpx_ws' in sys.modules, 'wsproto' in sys.modules)"
    told = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, timeout=60, check=True)
    assert told.stdout.split() == ["False", "False"]
