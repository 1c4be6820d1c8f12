"""The Frames pane and the picture screen: order, rate, gaps, and pictures that are shown or explained."""

from collections.abc import Callable
from datetime import timedelta
from io import BytesIO

import pytest
from PIL import Image

from comfytui.errors import Failure
from comfytui.faces.tui import gallery as galleries
from comfytui.faces.tui.drawing import method_for, why_words
from comfytui.faces.tui.gallery import decoded
from comfytui.faces.tui.panes.frame_row import rate
from comfytui.model import events as e
from comfytui.model.frame_rows import FrameRow
from tests.ui import script
from tests.ui.stage import NORMAL, SIZES, WIDE, Stage, stage

Same = Callable[..., None]


def png(shade: int = 0, size: tuple[int, int] = (96, 54), kind: str = "PNG") -> bytes:
    """A picture of a dawn: a sky that brightens towards a horizon, the sea below, a light."""
    width, height = size
    image = Image.new("RGB", size)
    for y in range(height):
        for x in range(width):
            sky = y < height * 0.6
            colour = (40 + shade + 3 * y, 60 + 2 * y, 120 + y) if sky else (20, 45 + shade, 70)
            near = abs(x - width * 0.7) + abs(y - height * 0.5) < 5
            image.putpixel((x, y), (255, 240, 190) if near else tuple(min(255, part) for part in colour))
    buffer = BytesIO()
    image.save(buffer, format=kind)
    return buffer.getvalue()


class MadeUpGallery:
    """Gives a picture for each frame, a failure for those that are named."""

    def __init__(self, data: bytes | None = None, failure: Failure | None = None) -> None:
        self.asked: list[tuple[str, int, str]] = []
        self.data, self.failure = data, failure

    def read(self, folder: str, attempt: int, name: str) -> bytes:
        self.asked.append((folder, attempt, name))
        if self.failure is not None:
            raise self.failure
        return self.data if self.data is not None else png(shade=40 * attempt)


async def shown_picture(shown: Stage) -> None:
    """Wait until the picture was read, decoded and drawn."""
    await shown.pilot.pause(0.005)
    await shown.until(lambda: all(worker.group != "picture" or worker.is_finished for worker in shown.app.workers))


# --- the pane -----------------------------------------------------------------------------------------------------


def several() -> script.Script:
    """Two scenes at once: gaps, a frame that was fetched, one that is missing, one that grows."""
    night = script.Script().opened(3).reached().wait(1).queued("scene-001").executing("scene-001").wait(4)
    for number in (1, 2, 5, 6, 9):
        night.wait(0.5).frame("scene-001", number)
    night.refused("scene-001", 10, "missing", "the file is gone")
    night.queued("scene-002").executing("scene-002").wait(2)
    for number in (1, 2):
        name = f"{script.RUN_ID}_scene-002_a1_{number:05d}_.png"
        frame = e.Frame(name=name, bytes=1_300_000, sha256="0" * 64, via="http")
        night.wait(1).tell(e.FrameProven(scene="scene-002", attempt=1, frame=frame))
    return night.writing("scene-002", 3, 524_288).caught_up()


@pytest.mark.parametrize("size", SIZES)
async def test_by_scene(size: str, same_picture: Same) -> None:
    async with stage(several(), SIZES[size]) as shown:
        await shown.press("2", "s")
        same_picture(shown)


@pytest.mark.parametrize("more", [{"ascii": True}, {"theme": "mono"}], ids=["ascii", "mono"])
async def test_plain(more: dict[str, object], same_picture: Same) -> None:
    async with stage(several(), NORMAL, **more) as shown:
        await shown.press("2", "z")
        same_picture(shown)
        text = shown.text()
        assert "gap: 3-4, 7-8" in text
        assert ("fetched" in text, "missing" in text, "writing" in text) == (True, True, True)
        assert "1 not whole" in text


async def test_a_selected_frame_stays_selected_while_others_come() -> None:
    night = several()
    async with stage(night, WIDE) as shown:
        pane = shown.app.deck.frames
        await shown.press("2")
        assert pane.selected is not None
        assert pane.selected.name.endswith("scene-002_a1_00003_.png")
        await shown.press("j")
        assert pane.selected.name.endswith("scene-002_a1_00002_.png")
        night.items.clear()
        await shown.tell(night.frame("scene-001", 11).frame("scene-001", 12).items)
        assert pane.selected.name.endswith("scene-002_a1_00002_.png")
        await shown.press("s")
        assert pane.selected.name.endswith("scene-002_a1_00002_.png")
        await shown.press("g")
        assert pane.selected.name.endswith("scene-001_a1_00001_.png")
        await shown.press("k", "t")
        assert pane.selected.name.endswith("scene-001_a1_00012_.png")


def test_the_rate_is_that_of_the_last_minute() -> None:
    now = script.MIDNIGHT + timedelta(minutes=5)

    def row(seconds: float, size: int = 1_000_000) -> FrameRow:
        return FrameRow(scene="s", attempt=1, name="n", state="proven", at=now - timedelta(seconds=seconds), bytes=size)

    assert rate([], now) is None
    assert rate([row(61), row(3, size=0)], now) is None
    assert rate([row(30), row(20), row(10), row(100)], now) == (6.0, 100_000.0)
    found = rate([row(0.1)], now)
    assert found == (12.0, 200_000.0), "one frame in an instant is no flood"


# --- pictures -----------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("size", SIZES)
async def test_picture(size: str, same_picture: Same) -> None:
    gallery = MadeUpGallery()
    async with stage(script.running(), SIZES[size], gallery=gallery) as shown:
        await shown.press("2", "j", "enter")
        await shown_picture(shown)
        same_picture(shown)
        assert gallery.asked == [("scene-005", 2, f"{script.RUN_ID}_scene-005_a2_00012_.png")]
        assert "96x54 PNG" in shown.text()
        await shown.press("escape")
        assert shown.app.screen is shown.app.deck


@pytest.mark.parametrize("size", SIZES)
async def test_two_attempts_side_by_side(size: str, same_picture: Same) -> None:
    gallery = MadeUpGallery()
    async with stage(script.running(), SIZES[size], gallery=gallery) as shown:
        await shown.press("2", "j", "enter", "c")
        await shown_picture(shown)
        same_picture(shown)
        assert gallery.asked[-1] == ("scene-005", 1, f"{script.RUN_ID}_scene-005_a1_00012_.png")
        await shown.press("left")
        await shown_picture(shown)
        assert [ask[2][-10:] for ask in gallery.asked[-2:]] == ["00011_.png", "00011_.png"]
        await shown.press("c")
        await shown_picture(shown)
        assert "attempt 1" not in shown.text()


async def test_stepping_ends_where_the_frames_end() -> None:
    gallery = MadeUpGallery()
    async with stage(script.running(), NORMAL, gallery=gallery) as shown:
        await shown.press("2", "j", "enter")
        await shown_picture(shown)
        await shown.press("right", "right")
        await shown_picture(shown)
        assert len(gallery.asked) == 1
        assert "12 of 12" in shown.text()
        for _ in range(14):
            await shown.press("left")
        await shown_picture(shown)
        assert "1 of 12" in shown.text()


async def test_a_frame_that_grows_and_one_that_was_refused_are_told_of_in_words() -> None:
    async with stage(script.running(), WIDE, gallery=MadeUpGallery()) as shown:
        await shown.press("2", "enter")
        await shown_picture(shown)
        assert "still being written" in shown.text()
    async with stage(several(), WIDE, gallery=MadeUpGallery()) as shown:
        await shown.press("2", "s", "G", "k", "k", "k", "enter")
        await shown_picture(shown)
        assert "not taken: missing, the file is gone" in shown.text()


async def test_a_frame_that_was_being_written_is_drawn_once_it_is_proven() -> None:
    night = several()
    async with stage(night, WIDE, gallery=MadeUpGallery()) as shown:
        await shown.press("2", "enter")
        await shown_picture(shown)
        assert "still being written" in shown.text()
        night.items.clear()
        night.frame("scene-002", 3)
        await shown.tell(night.items)
        await shown_picture(shown)
        assert "still being written" not in shown.text()
        assert "▀" in shown.text()


@pytest.mark.parametrize("size", SIZES)
async def test_a_frame_that_went_away(size: str, same_picture: Same) -> None:
    failure = Failure(
        "frame.unshowable", name="20260124-000000_scene-005_a2_00012_.png", why="it is not in the run folder"
    )
    async with stage(script.running(), SIZES[size], gallery=MadeUpGallery(failure=failure)) as shown:
        await shown.press("2", "j", "enter")
        await shown_picture(shown)
        same_picture(shown)
        assert "cannot be shown" in " ".join(shown.text().split())


async def test_without_a_run_folder_it_says_so() -> None:
    async with stage(script.running(), WIDE) as shown:
        await shown.press("2", "j", "enter")
        await shown_picture(shown)
        assert "no run folder here" in shown.text()


@pytest.mark.parametrize("more", [{"ascii": True}, {"theme": "mono"}], ids=["ascii", "mono"])
async def test_where_no_picture_can_be_drawn(more: dict[str, object], same_picture: Same) -> None:
    gallery = MadeUpGallery()
    async with stage(script.running(), NORMAL, gallery=gallery, **more) as shown:
        await shown.press("2", "j", "enter")
        await shown_picture(shown)
        same_picture(shown)
        assert gallery.asked == []
        assert "scene-005/generated-frames-attempt-2" in shown.text().replace("\n", "")


def test_the_terminal_is_told_by_its_environment_and_never_asked() -> None:
    assert method_for({"TERM": "xterm-256color"}) == "half"
    assert method_for({"TERM": "xterm-kitty"}) == "kitty"
    assert method_for({"TERM": "xterm-kitty", "TMUX": "/tmp/x"}) == "half"
    assert method_for({"TERM": "foot"}) == "sixel"
    assert method_for({"TERM": "xterm-256color", "TERM_PROGRAM": "WezTerm"}) == "sixel"
    assert method_for({"TERM": "screen-256color", "TERM_PROGRAM": "WezTerm"}) == "half"
    assert method_for({}) == "half"
    assert why_words(False, "daylight", "256") == why_words(False, "daylight", "truecolor") == ""
    assert "NO_COLOR" in why_words(False, "mono", "truecolor")
    assert "fewer" in why_words(False, "terminal", "standard")


# --- what is decoded ----------------------------------------------------------------------------------------------


@pytest.mark.parametrize("kind", ["PNG", "JPEG", "WEBP", "GIF", "BMP"])
def test_still_pictures_are_decoded(kind: str) -> None:
    image, told = decoded(png(kind=kind), "a")
    assert (image.mode, image.size, told) == ("RGB", (96, 54), f"96x54 {kind}")


def bomb(width: int, height: int) -> bytes:
    """A PNG of one colour: a few kB that want gigabytes."""
    buffer = BytesIO()
    Image.new("1", (64, 64)).save(buffer, format="PNG")
    data = bytearray(buffer.getvalue())
    data[16:24] = width.to_bytes(4, "big") + height.to_bytes(4, "big")
    from zlib import crc32

    data[29:33] = crc32(bytes(data[12:29])).to_bytes(4, "big")
    return bytes(data)


@pytest.mark.parametrize(
    ("data", "why"),
    [
        (b"", "no still picture"),
        (b"\x00\x00\x00\x18ftypmp42" + bytes(200), "no still picture"),
        (png()[: len(png()) // 2], "cannot be decoded"),
        (png()[:60] + bytes(40) + png()[100:], "cannot be decoded"),
        (bomb(10_000, 6_000), "60 megapixels"),
        (bomb(10_000, 10_000), "100 megapixels"),
        (bomb(100_000, 100_000), "far more pixels"),
    ],
    ids=["empty", "video", "truncated", "damaged", "large", "larger", "bomb"],
)  # fmt: skip
def test_what_is_no_picture_is_told_in_words(data: bytes, why: str) -> None:
    with pytest.raises(Failure, match=why) as found:
        decoded(data, "a.png")
    assert found.value.code == "frame.unshowable"


def test_a_large_picture_is_reduced(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(galleries, "LARGEST_DRAWN", (50, 50))
    image, told = decoded(png(), "a")
    assert (image.size, told) == ((50, 28), "96x54 PNG")
