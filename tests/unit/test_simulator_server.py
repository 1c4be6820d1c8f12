"""The simulator as a server: workflows, folders, pace, how it starts and how it ends."""

from __future__ import annotations

import asyncio
import io
import json
import os
import subprocess
import sys
import urllib.request
from pathlib import Path
from typing import Any

import aiohttp
import pytest
from PIL import Image

from comfytui.simulator import Simulator, Speed, counters
from tests.conformance.asking import Json, asking, graph, is_end, slow_graph
from tests.conformance.replay import noise
from tests.conformance.virtual_time import VirtualTimeLoop


@pytest.fixture
def anyio_backend() -> tuple[str, dict[str, Any]]:
    return "asyncio", {"loop_factory": VirtualTimeLoop}


def names_in(folder: Path) -> list[str]:
    return [path.name for path in folder.rglob("*")]


def exists(path: str) -> bool:
    return Path(path).parent.exists()


def text_to_image(prompt: str = "a fox in an amber forest", *, seed: int = 1, count: int = 25, steps: int = 20) -> Json:
    return {
        "4": {"class_type": "CheckpointLoaderSimple", "inputs": {"ckpt_name": "v1-5-pruned-emaonly-fp16.safetensors"}},
        "5": {"class_type": "EmptyLatentImage", "inputs": {"width": 64, "height": 40, "batch_size": count}},
        "6": {"class_type": "CLIPTextEncode", "inputs": {"text": prompt, "clip": ["4", 1]}},
        "7": {"class_type": "CLIPTextEncode", "inputs": {"text": "blurry", "clip": ["4", 1]}},
        "3": {
            "class_type": "KSampler",
            "inputs": {
                "model": ["4", 0], "seed": seed, "steps": steps, "cfg": 7, "sampler_name": "euler",
                "scheduler": "normal", "positive": ["6", 0], "negative": ["7", 0], "latent_image": ["5", 0],
                "denoise": 1,
            },
        },
        "8": {"class_type": "VAEDecode", "inputs": {"samples": ["3", 0], "vae": ["4", 2]}},
        "9": {"class_type": "SaveImage", "inputs": {"images": ["8", 0], "filename_prefix": "story/scene"}},
    }  # fmt: skip


def image_to_video(image: str) -> Json:
    return {
        "1": {"class_type": "ImageOnlyCheckpointLoader", "inputs": {"ckpt_name": "svd_xt.safetensors"}},
        "2": {"class_type": "LoadImage", "inputs": {"image": image}},
        "3": {
            "class_type": "SVD_img2vid_Conditioning",
            "inputs": {
                "clip_vision": ["1", 1], "init_image": ["2", 0], "vae": ["1", 2], "width": 96, "height": 64,
                "video_frames": 5, "motion_bucket_id": 127, "fps": 6, "augmentation_level": 0.0,
            },
        },
        "4": {"class_type": "VideoLinearCFGGuidance", "inputs": {"model": ["1", 0], "min_cfg": 1.0}},
        "5": {
            "class_type": "KSampler",
            "inputs": {
                "model": ["4", 0], "seed": 3, "steps": 4, "cfg": 2.5, "sampler_name": "euler", "scheduler": "karras",
                "positive": ["3", 0], "negative": ["3", 1], "latent_image": ["3", 2], "denoise": 1.0,
            },
        },
        "6": {"class_type": "VAEDecode", "inputs": {"samples": ["5", 0], "vae": ["1", 2]}},
        "7": {"class_type": "SaveImage", "inputs": {"images": ["6", 0], "filename_prefix": "svd"}},
        "8": {
            "class_type": "SaveAnimatedWEBP",
            "inputs": {
                "images": ["6", 0], "filename_prefix": "svd", "fps": 6.0, "lossless": False, "quality": 80,
                "method": "fastest",
            },
        },
    }  # fmt: skip


async def test_text_to_image_at_the_pace_of_the_demo(tmp_path: Path) -> None:
    async with asking(tmp_path, speed=Speed.demo()) as asker, asker.listening() as heard:
        loop = asyncio.get_running_loop()
        took = []
        for seed in range(2):
            begun = loop.time()
            await asker.submit(text_to_image(seed=seed))
            await heard.until(is_end)
            took.append(loop.time() - begun)
            steps = [m["data"] for m in heard.messages if m["type"] == "progress"]
            assert [(step["value"], step["max"]) for step in steps] == [(n, 20) for n in range(1, 21)]
            heard.messages.clear()
    assert all(6.4 < seconds < 8.0 for seconds in took)
    assert took[1] < took[0]  # the model is there already
    frames = sorted((tmp_path / "output" / "story").iterdir())
    assert [frame.name for frame in frames] == [f"scene_{number:05}_.png" for number in range(1, 51)]
    contents = {frame.read_bytes() for frame in frames}
    assert len(contents) == 50


async def test_keyframe_to_video(tmp_path: Path) -> None:
    async with asking(tmp_path) as asker:
        form = aiohttp.FormData()
        form.add_field("image", noise(), filename="key frame.png")
        async with asker.session.post("/upload/image", data=form) as response:
            name = (await response.json())["name"]
        entry = await asker.done(image_to_video(name))
    assert entry["status"]["completed"], entry["status"]
    assert [item["filename"] for item in entry["outputs"]["7"]["images"]] == [f"svd_{n:05}_.png" for n in range(1, 6)]
    animation = entry["outputs"]["8"]
    assert animation["animated"] == [True]
    with Image.open(tmp_path / "output" / animation["images"][0]["filename"]) as picture:
        assert (picture.format, picture.size, getattr(picture, "n_frames", 1)) == ("WEBP", (96, 64), 5)


@pytest.mark.parametrize("flags", [False, True])
async def test_previews_of_sampling(flags: bool, tmp_path: Path) -> None:
    async with asking(tmp_path, previews=True) as asker, asker.listening(flags=flags) as heard:
        await asker.submit(text_to_image(steps=3, count=1))
        await heard.until(is_end)
    kind = "binary4" if flags else "binary1"
    previews = [message["data"]["bytes"] for message in heard.messages if message["type"] == kind]
    assert len(previews) == 3
    with Image.open(io.BytesIO(previews[-1][previews[-1].index(b"\xff\xd8") :])) as picture:
        assert picture.format == "JPEG"


async def test_frames_carry_their_workflow(tmp_path: Path) -> None:
    async with asking(tmp_path) as asker:
        await asker.done(graph("x"))
    with Image.open(tmp_path / "output" / "x_00001_.png") as picture:
        assert '"filename_prefix": "x"' in picture.info["prompt"]


def test_the_counters_of_a_crowded_folder_are_right_whoever_writes_there(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(counters, "CROWDED", 3)
    for name in ("a_00007_.png", "A_00009_.png", "b_2_00003_.png", "x.png"):
        (tmp_path / name).touch()
    known = counters.Counters()
    assert [known.largest(tmp_path, name) for name in ("a", "b", "b_2", "x", "c")] == [9, 2, 3, 0, 0]
    known.create(tmp_path / "c_00001_.png")
    monkeypatch.setattr(os, "listdir", None)  # what was just created is known
    assert [known.largest(tmp_path, name) for name in ("a", "c")] == [9, 1]
    monkeypatch.undo()
    (tmp_path / "c_00004_.png").touch()
    os.utime(tmp_path, ns=(1, 1))  # another time than before, however coarse the disk's are
    assert known.largest(tmp_path, "c") == 4


async def test_counter_is_the_largest_in_the_folder_plus_one(tmp_path: Path) -> None:
    (tmp_path / "output").mkdir()
    for name in ("a_00007_.png", "a_2.png", "ab_00099_.png", "a_x.png"):
        (tmp_path / "output" / name).touch()
    async with asking(tmp_path) as asker:
        entry = await asker.done(graph("a", count=1))
    assert entry["outputs"]["2"]["images"][0]["filename"] == "a_00008_.png"


@pytest.mark.parametrize("prefix", ["../outside", "/tmp/outside", "a/../../outside"])
async def test_prefix_cannot_leave_the_output_folder(prefix: str, tmp_path: Path) -> None:
    async with asking(tmp_path) as asker:
        entry = await asker.done(graph(prefix))
    event, error = entry["status"]["messages"][-1]
    assert event == "execution_error"
    assert "outside the output folder is not allowed" in error["exception_message"]
    assert not [name for name in names_in(tmp_path) if name.startswith("outside")]


async def test_prefix_is_filled_in(tmp_path: Path) -> None:
    async with asking(tmp_path) as asker:
        entry = await asker.done(graph("%year%/s%width%x%height%"))
    item = entry["outputs"]["2"]["images"][0]
    assert item["filename"] == "s64x36_00001_.png"
    assert item["subfolder"].isdigit()


async def test_object_info_names_models_and_inputs(tmp_path: Path) -> None:
    (tmp_path / "input").mkdir()
    (tmp_path / "input" / "b.png").write_bytes(noise())
    async with asking(tmp_path) as asker:
        everything = await asker.get("/object_info")
        for name, info in everything.items():
            assert await asker.get(f"/api/object_info/{name}") == {name: info}
            assert info["name"] == name
            assert set(info["input_order"]) == set(info["input"])
    checkpoints = everything["CheckpointLoaderSimple"]["input"]["required"]["ckpt_name"][0]
    assert {"v1-5-pruned-emaonly-fp16.safetensors", "svd.safetensors", "svd_xt.safetensors"} <= set(checkpoints)
    assert everything["LoadImage"]["input"]["required"]["image"] == [["b.png"], {"image_upload": True}]


async def test_server_without_a_gpu(tmp_path: Path) -> None:
    async with asking(tmp_path, device="cpu") as asker:
        stats = await asker.get("/system_stats")
        (device,) = stats["devices"]
        assert (device["name"], device["type"], device["index"]) == ("cpu", "cpu", None)
        assert device["vram_free"] == stats["system"]["ram_free"]
        assert stats["system"]["argv"][-1] == "--cpu"


async def test_stats_name_the_folders_and_that_it_is_simulated(tmp_path: Path) -> None:
    async with asking(tmp_path) as asker:
        stats = await asker.get("/system_stats")
    argv = stats["system"]["argv"]
    assert argv[argv.index("--output-directory") + 1] == str((tmp_path / "output").resolve())
    assert argv[argv.index("--port") + 1] == str(asker.simulator.port)
    assert "Simulated" in stats["devices"][0]["name"]


async def test_several_simulators_in_one_process(tmp_path: Path) -> None:
    async with asking(tmp_path / "a") as one, asking(tmp_path / "b", version="0.3.64") as other:
        assert one.simulator.url != other.simulator.url
        await one.done()
        assert (await other.get("/history")) == {}
        assert (await other.get("/system_stats"))["system"]["comfyui_version"] == "0.3.64"
    assert not (tmp_path / "b" / "output" / "frames_00001_.png").exists()


async def test_requests_are_noted(tmp_path: Path) -> None:
    async with asking(tmp_path) as asker:
        prompt_id = await asker.submit()
        await asker.get("/history?max_items=3")
        first, second = asker.simulator.requests
        assert (first.method, first.path, first.body["prompt"]) == ("POST", "/prompt", graph())
        assert (second.method, second.path, second.query, second.body) == ("GET", "/history", "max_items=3", None)
        await asker.ended(prompt_id)
        assert asker.simulator.prompts_executed == [prompt_id]
        assert asker.simulator.frames_written == 3


async def test_timestamps_come_from_the_given_clock(tmp_path: Path) -> None:
    async with asking(tmp_path, now=lambda: 1_000_000.5) as asker:
        entry = await asker.done()
    assert {data["timestamp"] for _, data in entry["status"]["messages"]} == {1_000_000_500}
    assert entry["prompt"][3]["create_time"] == 1_000_000_500


async def test_history_holds_no_more_than_it_may(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("comfytui.simulator.store.MAXIMUM_HISTORY_SIZE", 3)
    async with asking(tmp_path) as asker:
        ids = [await asker.submit(graph(colour=number)) for number in range(5)]
        await asker.ended(ids[-1])
        assert list(await asker.get("/history")) == ids[-3:]


async def test_view_serves_part_head_and_the_half_written(tmp_path: Path) -> None:
    async with asking(tmp_path) as asker:
        await asker.done(graph("v"))
        path = tmp_path / "output" / "v_00001_.png"
        url = "/view?filename=v_00001_.png&type=output"
        async with asker.session.head(url) as response:
            assert int(response.headers["Content-Length"]) == path.stat().st_size
        path.write_bytes(path.read_bytes()[:100])
        async with asker.session.get(url) as response:
            assert (response.status, len(await response.read())) == (200, 100)


@pytest.mark.parametrize("host", ["0.0.0.0", "192.168.1.7", "example.org", ""])
async def test_serves_on_loopback_only(host: str, tmp_path: Path) -> None:
    with pytest.raises(ValueError, match="loopback"):
        async with Simulator(output_dir=tmp_path).serve(host):
            pass


async def test_unknown_version_and_speed(tmp_path: Path) -> None:
    with pytest.raises(ValueError, match=r"0\.3\.64, 0\.8\.0"):
        Simulator(output_dir=tmp_path, version="0.5.0")
    with pytest.raises(ValueError, match="instant, demo, realistic"):
        Speed.named("warp")


async def test_end_of_serving_leaves_nothing_behind(tmp_path: Path) -> None:
    async with asking(tmp_path) as asker:
        temp = (await asker.get("/system_stats"))["system"]["argv"][-1]
        await asker.submit(slow_graph(steps=1000))
        assert exists(temp)
    assert not exists(temp)
    tasks = [task for task in asyncio.all_tasks() if task is not asyncio.current_task()]
    assert not [task for task in tasks if "simulator" in repr(task.get_coro())]


ODD_PROMPTS: list[Any] = [
    None,
    [],
    "prompt",
    7,
    {"prompt": None},
    {"prompt": []},
    {"prompt": {"1": None}},
    {"prompt": {"1": {"class_type": "SaveImage"}}},
    {"prompt": {"1": {"class_type": ["SaveImage"], "inputs": {}}}},
    {"prompt": {"1": {"class_type": "SaveImage", "inputs": {"images": [[], 0], "filename_prefix": "x"}}}},
    {"prompt": {"1": {"class_type": "SaveImage", "inputs": {"images": ["1", "0"], "filename_prefix": "x"}}}},
    {"prompt": {"1": {"class_type": "SaveImage", "inputs": {"images": ["1", 9], "filename_prefix": {}}}}},
    {"prompt": {"1": {"class_type": "SaveImage", "inputs": {"images": [1, 2, 3], "filename_prefix": None}}}},
    {"prompt": {}, "number": "first"},
    {"prompt": {}, "extra_data": "x"},
]


@pytest.mark.parametrize("body", ODD_PROMPTS)
async def test_odd_prompts_are_refused_and_leave_the_server_well(body: Any, tmp_path: Path) -> None:
    async with asking(tmp_path) as asker:
        status, _ = await asker.post("/prompt", body)
        assert status in {400, 500}
        assert (await asker.done())["status"]["completed"]


@pytest.mark.parametrize("path", ["/queue", "/history", "/free", "/prompt"])
async def test_bodies_that_are_no_json(path: str, tmp_path: Path) -> None:
    async with asking(tmp_path) as asker, asker.session.post(path, data=b"{") as response:
        assert response.status == 500
        assert response.content_type == "text/plain"


async def test_images_over_the_socket_are_never_cached(tmp_path: Path) -> None:
    over_socket = graph(count=2)
    over_socket["2"] = {"class_type": "SaveImageWebsocket", "inputs": {"images": ["1", 0]}}
    async with asking(tmp_path) as asker, asker.listening() as heard:
        for _ in range(2):
            await asker.submit(over_socket)
            await heard.until(is_end)
            assert heard.types.count("binary1") == 2
            heard.messages.clear()


async def test_scaled_and_repeated_images(tmp_path: Path) -> None:
    scaled = graph(count=2)
    scaled["3"] = {"class_type": "RepeatImageBatch", "inputs": {"image": ["1", 0], "amount": 2}}
    scaled["4"] = {
        "class_type": "ImageScale",
        "inputs": {"image": ["3", 0], "upscale_method": "area", "width": 32, "height": 0, "crop": "disabled"},
    }
    scaled["2"]["inputs"]["images"] = ["4", 0]
    async with asking(tmp_path) as asker:
        assert len((await asker.done(scaled))["outputs"]["2"]["images"]) == 4
    with Image.open(tmp_path / "output" / "frames_00004_.png") as picture:
        assert picture.size == (32, 18)


async def test_a_full_disk_is_told_as_an_error_of_the_node(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    def full(path: Path, piece: bytes) -> None:
        raise OSError(28, "No space left on device")

    monkeypatch.setattr("comfytui.simulator.writing._append", full)
    async with asking(tmp_path) as asker:
        entry = await asker.done()
    event, error = entry["status"]["messages"][-1]
    assert (event, error["node_id"], error["exception_type"]) == ("execution_error", "2", "OSError")
    assert "No space left" in error["exception_message"]


def python(*arguments: str, **options: Any) -> subprocess.Popen[str]:
    environment = os.environ | {"PYTHONPATH": str(Path(__file__).parents[2])}
    return subprocess.Popen(
        [sys.executable, *arguments], stdout=subprocess.PIPE, text=True, env=environment, **options
    )  # fmt: skip


COMMAND = """
import asyncio, sys
from pathlib import Path
from comfytui.simulator import run
asyncio.run(run(output_dir=Path(sys.argv[1]), speed="instant", exit_with_parent=True))
"""


def test_process_says_that_it_is_ready_and_ends_with_its_parent(tmp_path: Path) -> None:
    process = python("-c", COMMAND, str(tmp_path / "out"), stdin=subprocess.PIPE)
    assert process.stdout is not None
    assert process.stdin is not None
    try:
        line = process.stdout.readline()
        assert line.startswith("ComfyUI simulator ready at http://127.0.0.1:")
        with urllib.request.urlopen(f"{line.split()[-1]}/queue", timeout=20) as response:
            assert json.load(response) == {"queue_running": [], "queue_pending": []}
        process.stdin.close()
        assert process.wait(timeout=20) == 0
        assert process.stdout.read() == ""
    finally:
        process.kill()
        process.stdout.close()
        process.wait()


def test_import_is_light() -> None:
    code = "import sys, comfytui.simulator; print([m for m in ('aiohttp', 'PIL', 'asyncio') if m in sys.modules])"
    process = python("-c", code)
    assert process.communicate(timeout=30)[0].strip() == "[]"
