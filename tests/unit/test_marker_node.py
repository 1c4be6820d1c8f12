"""The node WriteDoneMarker, run as ComfyUI does: before, while and after the frames are saved; and its installing."""

import json
import os
import struct
import sys
import types
import zlib
from collections.abc import Callable
from pathlib import Path
from typing import Any

import anyio
import pytest
from click.testing import CliRunner

from comfytui.bundled.nodes import comfytui_done_marker as node
from comfytui.cli.commands import comfytui
from comfytui.cli.node import FILE
from comfytui.clock import from_epoch
from comfytui.sources.frames.markers import find_marker

PNG = b"\x89PNG\r\n\x1a\n" + b"".join(
    struct.pack(">I", len(data)) + kind + data + struct.pack(">I", zlib.crc32(kind + data))
    for kind, data in (
        (b"IHDR", struct.pack(">IIBBBBB", 1, 1, 8, 0, 0, 0, 0)),
        (b"IDAT", zlib.compress(b"\0\0")),
        (b"IEND", b""),
    )
)


@pytest.fixture
def anyio_backend() -> str:
    return "asyncio"


class Batch:
    """What ComfyUI hands on as IMAGE, as far as the node looks at it."""

    def __init__(self, frames: int) -> None:
        self.shape = (frames, 8, 8, 3)


@pytest.fixture
def output(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """The output folder of a ComfyUI, whose two modules stand in ``sys.modules``."""
    paths, management = types.ModuleType("folder_paths"), types.ModuleType("comfy.model_management")

    def save_path(prefix: str, folder: str) -> tuple[str, str, int, str, str]:
        place = Path(folder, prefix).parent
        place.mkdir(parents=True, exist_ok=True)
        return str(place), Path(prefix).name, 1, "", prefix

    paths.get_output_directory = lambda: str(tmp_path)  # type: ignore[attr-defined]
    paths.get_save_image_path = save_path  # type: ignore[attr-defined]
    management.throw_exception_if_processing_interrupted = lambda: None  # type: ignore[attr-defined]
    monkeypatch.setitem(sys.modules, "folder_paths", paths)
    monkeypatch.setitem(sys.modules, "comfy.model_management", management)
    monkeypatch.setattr(node, "LOOK_EVERY", 0.005)
    return tmp_path


def began() -> None:
    node.WriteDoneMarker.IS_CHANGED(unique_id=["3"], filename_prefix=["run/s"], images=[None])


async def write(*batches: Any, patience: float = 0.2, count: int = 0) -> str:
    shown = await node.WriteDoneMarker().write(list(batches), ["run/s"], ["3"], [count], [patience])
    text: str = shown["ui"]["text"][0]
    return text


def save(output: Path, number: int, content: bytes = PNG, age: float = 0.0) -> Path:
    path = output / "run" / f"s_{number:05}_.png"
    path.parent.mkdir(exist_ok=True)
    path.write_bytes(content)
    if age:
        now = path.stat().st_mtime
        os.utime(path, (now - age, now - age))
    return path


def marker(output: Path) -> dict[str, Any] | None:
    path = output / "run" / "s.done"
    return json.loads(path.read_bytes()) if path.exists() else None


async def test_a_marker_after_the_frames_counts_as_a_producers(output: Path) -> None:
    began()
    save(output, 1), save(output, 2)
    assert await write(Batch(2)) == "s.done: 2 frames"
    assert marker(output) | {"Timestamp": ""} == {"Timestamp": "", "FrameCount": 2, "Latest": "s_00002_.png"}  # type: ignore[operator]
    found = find_marker(output / "run", "s", from_epoch(0))
    assert found is not None and found.frame_count == 2
    assert sorted(path.name for path in (output / "run").iterdir()) == ["s.done", "s_00001_.png", "s_00002_.png"]


async def test_frames_that_are_saved_later_are_waited_for(output: Path) -> None:
    """ComfyUI may run the node before SaveImage: there is no marker until the last byte of the last frame."""
    began()
    async with anyio.create_task_group() as tasks:
        tasks.start_soon(lambda: write(Batch(2), patience=20.0))
        await anyio.sleep(0.02)
        save(output, 1)
        growing = save(output, 2, PNG[:-4])
        await anyio.sleep(0.05)
        assert marker(output) is None
        growing.write_bytes(PNG)
    told = marker(output)
    assert told is not None and told["FrameCount"] == 2


async def test_frames_and_marker_of_an_earlier_prompt_do_not_count(output: Path) -> None:
    save(output, 1, age=5), save(output, 2, age=5)
    node.write_marker(output / "run" / "s.done", 2, "s_00002_.png")
    began()
    assert await write(Batch(2)) == "no marker: the frames of s did not come"
    assert marker(output) is None
    began()
    save(output, 3), save(output, 4)
    assert await write(Batch(2)) == "s.done: 2 frames"
    assert marker(output)["Latest"] == "s_00004_.png"  # type: ignore[index]


@pytest.mark.parametrize(("there", "expected"), [(1, False), (2, True), (3, False)])
async def test_where_the_beginning_is_not_known_exactly_so_many_are_wanted(
    output: Path, there: int, expected: bool
) -> None:
    for number in range(there):
        save(output, number + 1)
    await write(Batch(2), patience=0.05)
    assert (marker(output) is not None) is expected


async def test_a_list_of_batches_and_a_count_of_ones_own(output: Path) -> None:
    began()
    for number in range(3):
        save(output, number + 1)
    assert await write(Batch(1), Batch(2)) == "s.done: 3 frames"
    began()
    assert await write(Batch(1), count=9, patience=0.05) == "no marker: the frames of s did not come"
    began()
    for number in range(3):
        save(output, number + 1)
    assert await write("anything") == "s.done: 3 frames"


async def test_an_interruption_is_heard_while_waiting(output: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    def interrupted() -> None:
        raise RuntimeError("interrupted")

    management: Any = sys.modules["comfy.model_management"]
    monkeypatch.setattr(management, "throw_exception_if_processing_interrupted", interrupted)
    with pytest.raises(RuntimeError):
        await write(Batch(1), patience=50.0)
    assert marker(output) is None


@pytest.mark.parametrize(
    ("name", "ours"),
    [("s_00001_.png", True), ("s_00001.mp4", True), ("s_00001-audio.mp4", True), ("s.done", False),
     ("s_00001_.png.tmp", False), ("s-a2_00001_.png", False), ("s0_00001_.png", False), ("s_00001_.txt", False)],
)  # fmt: skip
def test_only_frames_of_the_prefix_count(tmp_path: Path, name: str, ours: bool) -> None:
    (tmp_path / name).write_bytes(b"x")
    assert [path.name for path in node.frames_of(tmp_path, "s", None)] == ([name] if ours else [])


@pytest.mark.parametrize(
    ("content", "rest", "whole"),
    [
        (PNG, 0, True), (PNG[:-1], 9, False), (b"", 9, False), (b"\xff\xd8\xff..\xff\xd9", 0, True),
        (b"\xff\xd8\xff..", 9, False), (b"RIFF\x08\0\0\0WEBP....", 0, True), (b"RIFF\x09\0\0\0WEBP....", 9, False),
        (b"video", 0.5, False), (b"video", 1.0, True),
    ],
)  # fmt: skip
def test_what_is_complete(tmp_path: Path, content: bytes, rest: float, whole: bool) -> None:
    path = tmp_path / "f"
    path.write_bytes(content)
    assert node.is_complete(path, rest) is whole


def test_the_node_imports_nothing_of_comfytui_and_fits_every_type() -> None:
    source = Path(node.__file__).read_text(encoding="utf-8")
    assert "import comfytui" not in source and "from comfytui" not in source
    anything = node.WriteDoneMarker.INPUT_TYPES()["required"]["images"][0]
    differs = anything != "VHS_FILENAMES"  # as ComfyUI asks
    assert not differs
    assert list(node.NODE_CLASS_MAPPINGS) == ["WriteDoneMarker"]


# --- comfytui node ---------------------------------------------------------------------------------------------------


def sources(folder: Path) -> Path:
    for name in ("main.py", "nodes.py"):
        (folder / name).touch()
    (folder / "custom_nodes").mkdir()
    return folder / "custom_nodes"


def desktop(folder: Path) -> Path:
    for name in ("models", "user", "custom_nodes"):
        (folder / name).mkdir()
    return folder / "custom_nodes"


def portable(folder: Path) -> Path:
    (folder / "ComfyUI").mkdir()
    return sources(folder / "ComfyUI")


def call(*arguments: str) -> Any:
    return CliRunner().invoke(comfytui, ["node", *arguments], standalone_mode=False)


@pytest.mark.parametrize("kind", [sources, desktop, portable])
def test_it_is_installed_once_and_removed(tmp_path: Path, kind: Callable[[Path], Path]) -> None:
    nodes = kind(tmp_path)
    first, second = call("install", str(tmp_path)), call("install", str(tmp_path))
    assert "Restart ComfyUI" in first.output and "Restart" not in second.output
    assert [path.name for path in nodes.iterdir()] == [FILE]
    assert (nodes / FILE).read_bytes() == Path(node.__file__).read_bytes()
    (nodes / FILE).write_bytes(Path(node.__file__).read_bytes() + b"# older\n")
    assert "renewed" in call("install", str(tmp_path)).output
    assert "Restart ComfyUI" in call("remove", str(tmp_path)).output
    assert list(nodes.iterdir()) == []
    assert "not there" in call("remove", str(tmp_path)).output


@pytest.mark.parametrize("missing", ["folder", "custom_nodes", "main.py"])
def test_what_is_no_comfyui_is_refused(tmp_path: Path, missing: str) -> None:
    folder = tmp_path / "ComfyUI"
    if missing != "folder":
        folder.mkdir()
        nodes = sources(folder)
        (nodes.rmdir if missing == "custom_nodes" else (folder / "main.py").unlink)()
    assert "node.no_comfyui" in str(call("install", str(folder)).exception)


@pytest.mark.parametrize("verb", ["install", "remove"])
def test_a_file_of_somebody_else_stays(tmp_path: Path, verb: str) -> None:
    theirs = sources(tmp_path) / FILE
    theirs.write_bytes(b"theirs")
    assert "node.foreign" in str(call(verb, str(tmp_path)).exception)
    assert theirs.read_bytes() == b"theirs"


def test_a_folder_that_cannot_be_written_is_told(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    nodes = sources(tmp_path)

    def full(_: int) -> None:
        raise OSError(28, "No space left on device")

    monkeypatch.setattr(os, "fsync", full)
    assert "No space left on device" in str(call("install", str(tmp_path)).exception)
    assert list(nodes.iterdir()) == []
