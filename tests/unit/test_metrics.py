"""Metrics: what is scraped is OpenMetrics as Prometheus reads it, tells what is known, and is for this machine only."""

import socket
from collections.abc import AsyncIterator
from typing import Any

import httpx
import pytest
from prometheus_client.openmetrics.parser import text_string_to_metric_families

from comfytui.errors import Failure
from comfytui.link.metrics import MeteredFeed, metrics_served
from comfytui.model import events as e
from comfytui.model.commands import AnyCommand, Hold
from comfytui.model.feed import AnotherRun, FeedItem
from comfytui.model.fold import fold_all
from comfytui.model.openmetrics import CONTENT_TYPE, openmetrics
from comfytui.model.state import State
from tests.unit.scripted_run import Script, attempt_ended, opened, proven, started

GIB = 1024.0**3


def told(text: str) -> dict[tuple[str, tuple[tuple[str, str], ...]], float]:
    """Return each sample of an exposition as Prometheus' own parser reads it, by its name and labels."""
    families = text_string_to_metric_families(text)
    return {
        (sample.name, tuple(sorted(sample.labels.items()))): sample.value
        for family in families
        for sample in family.samples
    }


def played(script: Script | None = None, scene: str = "scene-001") -> list[Any]:
    """Return the envelopes of a run of two scenes: one is done at its second attempt, the other waits."""
    figures = e.GpuFigures(index=0, name="H100", utilization=50.0, vram_used=int(GIB), vram_total=int(4 * GIB))
    one = {"scene": scene, "attempt": 1}
    two = {"scene": scene, "attempt": 2}
    return list((script or Script()).all([
        opened(scene, "scene-002"), started(), e.Pulse(latency=0.25), e.QueueDepth(ours=1, others=3),
        e.GpuSampled(source="nvml", devices=(figures,)),
        e.AttemptPlanned(**one, prompt_id="p1", prefix="a", seed=1), e.ExecutionStarted(**one),
        attempt_ended(scene), e.SceneRequeued(scene=scene, next_attempt=2, attempts=2, reason="short"),
        e.AttemptPlanned(**two, prompt_id="p2", prefix="b", seed=2), e.ExecutionStarted(**two),
        e.FrameProven(**two, frame=e.Frame(name="f", bytes=1, sha256="0" * 64)), attempt_ended(scene, 2),
        e.SceneEnded(scene=scene, best=2, success=True, meets_floor=False, frames=1),
    ]))  # fmt: skip


def test_an_exposition_tells_what_is_known_and_nothing_else() -> None:
    samples = told(openmetrics(fold_all(played())))
    assert samples[("comfytui_scenes", (("phase", "done"),))] == 1
    assert samples[("comfytui_scenes", (("phase", "waiting"),))] == 1
    assert samples[("comfytui_attempts_total", ())] == 2
    assert samples[("comfytui_requeues_total", ())] == 1
    assert samples[("comfytui_attempts_ended_total", (("status", "success"),))] == 2
    assert samples[("comfytui_frames_proven_total", ())] == 1
    assert samples[("comfytui_scene_well", (("scene", "scene-001"),))] == 0
    assert samples[("comfytui_scene_duration_seconds", (("scene", "scene-001"),))] == 4.0
    assert samples[("comfytui_server_up", ())] == 1
    assert samples[("comfytui_server_latency_seconds", ())] == 0.25
    assert samples[("comfytui_queue_prompts", (("owner", "others"),))] == 3
    assert samples[("comfytui_gpu_utilization_ratio", (("gpu", "0"), ("name", "H100")))] == 0.5
    assert samples[("comfytui_gpu_memory_bytes", (("gpu", "0"), ("name", "H100")))] == 4 * GIB
    names = {name for name, _ in samples}
    assert not {"comfytui_gpu_power_watts", "comfytui_run_exit_code", "comfytui_run_ended_timestamp_seconds"} & names


def test_nothing_known_is_an_empty_exposition() -> None:
    assert openmetrics(State()) == "# EOF\n"


def test_texts_of_others_stay_within_their_quotes() -> None:
    evil = 'a"} 1\n# EOF\nb\\'
    labels = {dict(key[1]).get("scene") for key in told(openmetrics(fold_all(played(scene=evil))))}
    assert evil in labels


async def test_metrics_are_scraped_over_loopback() -> None:
    state = fold_all(played())
    async with metrics_served(0, lambda: state) as port, httpx.AsyncClient() as client:
        answer = await client.get(f"http://127.0.0.1:{port}/metrics")
        assert answer.status_code == 200
        assert answer.headers["content-type"] == CONTENT_TYPE
        assert told(answer.text) == told(openmetrics(state))
        refused = await client.get(f"http://127.0.0.1:{port}/metrics", headers={"Host": f"evil.example:{port}"})
        assert refused.status_code == 403
        assert (await client.get(f"http://127.0.0.1:{port}/")).status_code == 404


async def test_a_port_that_is_taken_is_told() -> None:
    with socket.socket() as taken:
        taken.bind(("127.0.0.1", 0))
        taken.listen()
        with pytest.raises(Failure) as caught:
            async with metrics_served(taken.getsockname()[1], State):
                pass
    assert caught.value.code == "metrics.port"


async def test_no_port_serves_nothing() -> None:
    async with metrics_served(None, State) as port:
        assert port is None


class Recorded:
    """A feed of two runs."""

    def __init__(self) -> None:
        self.sent: list[AnyCommand] = []

    async def items(self) -> AsyncIterator[FeedItem]:
        for envelope in played():
            yield envelope
        yield AnotherRun()
        for envelope in Script().all([opened("only"), proven("only", "f")]):
            yield envelope

    async def send(self, command: AnyCommand) -> None:
        self.sent.append(command)


async def test_a_feed_is_handed_on_and_its_newest_run_is_told() -> None:
    feed = Recorded()
    metered = MeteredFeed(feed, 0)
    items = [item async for item in metered.items()]
    assert items == [item async for item in feed.items()]
    assert [scene.id for scene in metered._state.scenes] == ["only"]
    await metered.send(Hold(id="1"))
    assert feed.sent == [Hold(id="1")]
