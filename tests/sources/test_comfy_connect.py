"""Staged connect: what a server is, and where it writes, however it says so."""

from pathlib import Path
from typing import Any

import pytest

from comfytui.simulator import Faults, Simulator
from comfytui.simulator.faults import Answered, StatsWithoutVram
from comfytui.sources.comfy.address import ServerAddress
from comfytui.sources.comfy.connect import check_server, output_folder
from comfytui.sources.comfy.failures import TransportFailure
from comfytui.sources.comfy.http import ComfyHttp
from comfytui.sources.comfy.wire import SystemStats
from tests.conformance.virtual_time import VirtualTimeLoop

POSIX_MODELS = {
    "checkpoints": ("/opt/ComfyUI/models/checkpoints", "/srv/out/checkpoints"),
    "loras": ("/opt/ComfyUI/models/loras", "/srv/out/loras"),
    "vae": ("/opt/ComfyUI/models/vae", "/srv/out/vae"),
    "embeddings": ("/opt/ComfyUI/models/embeddings",),
    "controlnet": ("/opt/ComfyUI/models/controlnet",),
}
WINDOWS_MODELS = {
    "checkpoints": ("D:\\ComfyUI\\models\\checkpoints", "D:\\ComfyUI\\output\\checkpoints"),
    "loras": ("D:\\ComfyUI\\models\\loras", "D:\\ComfyUI\\output\\loras"),
    "vae": ("D:\\ComfyUI\\models\\vae", "D:\\ComfyUI\\output\\vae"),
    "embeddings": ("D:\\ComfyUI\\models\\embeddings",),
}


@pytest.fixture
def anyio_backend() -> tuple[str, dict[str, Any]]:
    """Waiting takes no time."""
    return "asyncio", {"loop_factory": VirtualTimeLoop}


def stats(*argv: str) -> SystemStats:
    return SystemStats(system={"argv": ["main.py", *argv]}, devices=())


@pytest.mark.parametrize(
    ("argv", "models", "folder"),
    [
        (["--output-directory", "/data/out"], None, "/data/out"),
        (["--output-directory=/data/out"], None, "/data/out"),
        (["--output-dir", "/data/out"], None, "/data/out"),  # its parser takes shortened names
        (["--output-directory", "/a", "--output-directory", "/b"], None, "/b"),
        (["--output-directory", "C:\\out"], None, "C:\\out"),
        (["--output-directory", "out"], None, None),  # relative to a folder that nobody tells
        (["--output-directory", "out"], POSIX_MODELS, "/srv/out"),
        (["--output-directory"], None, None),
        (["--base-directory", "/data"], None, "/data/output"),
        (["--base-directory", "D:\\base"], None, "D:\\base\\output"),
        (["--base-directory", "/data", "--output-directory", "/out"], None, "/out"),
        (["--port", "8188"], None, None),
        ([], {}, None),
        ([], POSIX_MODELS, "/srv/out"),
        ([], WINDOWS_MODELS, "D:\\ComfyUI\\output"),
        ([], {"checkpoints": ("/m/checkpoints",)}, None),
    ],
)
def test_where_a_server_writes(argv: list[str], models: dict[str, tuple[str, ...]] | None, folder: str | None) -> None:
    assert output_folder(stats(*argv), models) == folder


def test_two_candidates_are_no_answer() -> None:
    extra = {
        kind: (*paths, f"/mnt/models/{kind}") if kind in ("checkpoints", "loras", "vae") else paths
        for kind, paths in POSIX_MODELS.items()
    }
    assert output_folder(stats(), extra) is None
    extra["embeddings"] = (*extra["embeddings"], "/mnt/models/embeddings")
    assert output_folder(stats(), extra) == "/srv/out", "a folder of all kinds of models is none of output"


async def test_a_server_tells_about_itself(tmp_path: Path) -> None:
    simulator = Simulator(output_dir=tmp_path, version="0.3.64")
    async with simulator.serve() as sim, ComfyHttp(ServerAddress.parse(sim.url)) as http:
        facts = await check_server(http)
    assert facts.stats.version == "0.3.64"
    assert facts.output_dir is not None
    assert Path(facts.output_dir) == tmp_path
    assert facts.notes == ()
    assert facts.stats.devices[0].vram_total


async def test_one_that_says_little_is_usable_with_notes(tmp_path: Path) -> None:
    simulator = Simulator(output_dir=tmp_path, faults=Faults(StatsWithoutVram(devices=False)))
    async with simulator.serve() as sim, ComfyHttp(ServerAddress.parse(sim.url)) as http:
        facts = await check_server(http)
    assert facts.stats.devices == ()
    silent = Faults(
        Answered(path="/system_stats", status=200, text='{"system": {}}', content_type="application/json"),
        Answered(path="/internal/folder_paths", status=500),
    )
    async with (
        Simulator(output_dir=tmp_path, faults=silent).serve() as sim,
        ComfyHttp(ServerAddress.parse(sim.url)) as http,
    ):
        facts = await check_server(http)
    assert (facts.output_dir, facts.stats.version) == (None, None)
    assert "output folder" in facts.notes[0]


async def test_something_else_is_not_taken_for_comfyui(tmp_path: Path) -> None:
    faults = Faults(Answered.login_page())
    async with (
        Simulator(output_dir=tmp_path, faults=faults).serve() as sim,
        ComfyHttp(ServerAddress.parse(sim.url)) as http,
    ):
        with pytest.raises(TransportFailure) as found:
            await check_server(http)
    assert found.value.code == "server.not_comfyui"
