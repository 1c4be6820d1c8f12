"""A file is whole when its structure proves it, and at no byte earlier."""

import io
import os
import struct
import wave
import zlib
from collections.abc import Callable
from functools import cache
from pathlib import Path

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from PIL import Image

from comfytui.sources.frames import verify
from comfytui.sources.frames.verify import Proof, Prover, prove, prove_bytes

MEDIA = Path(__file__).parent / "test_frames_media"
OPEN = ("live.webm", "noxing.mp3")  # whole, but nothing in them says so


def noise(seed: int, size: tuple[int, int] = (24, 18)) -> Image.Image:
    width, height = size
    data = zlib.compress(bytes([seed]) * 64, 9) * (width * height * 3)
    return Image.frombytes("RGB", size, data[: width * height * 3])


def saved(kind: str, picture: Image.Image | None = None, **options: object) -> bytes:
    out = io.BytesIO()
    (picture or noise(7)).save(out, kind, **options)
    return out.getvalue()


def sound() -> bytes:
    out = io.BytesIO()
    with wave.open(out, "wb") as file:
        file.setnchannels(1)
        file.setsampwidth(2)
        file.setframerate(8000)
        file.writeframes(b"ab" * 301)
    return out.getvalue()


MADE: dict[str, Callable[[], bytes]] = {
    "png": lambda: saved("PNG"),
    "png, palette": lambda: saved("PNG", noise(3).quantize(8)),
    "png, animated": lambda: saved("PNG", save_all=True, append_images=[noise(8), noise(9)]),
    "jpeg": lambda: saved("JPEG", quality=95),
    "jpeg, progressive": lambda: saved("JPEG", progressive=True),
    "jpeg, with a thumbnail inside": lambda: saved("JPEG", exif=b"Exif\0\0" + saved("JPEG", quality=20)),
    "jpeg, restart markers": lambda: saved("JPEG", restart_marker_blocks=1),
    "webp": lambda: saved("WEBP"),
    "webp, lossless": lambda: saved("WEBP", lossless=True),
    "webp, animated": lambda: saved("WEBP", save_all=True, append_images=[noise(8), noise(9)]),
    "gif": lambda: saved("GIF"),
    "gif, animated": lambda: saved("GIF", save_all=True, append_images=[noise(8), noise(9)]),
    "wav": sound,
    **{path.name: path.read_bytes for path in sorted(MEDIA.iterdir()) if path.name not in (*OPEN, "README.md")},
}


@cache
def made(name: str) -> bytes:
    return MADE[name]()


def expected_kind(name: str) -> str:
    kind = name.split(",", maxsplit=1)[0].rsplit(".", 1)[-1]
    return kind


@pytest.mark.parametrize("name", MADE)
def test_a_whole_file_is_proven_and_named(name: str) -> None:
    proof = prove_bytes(made(name))
    assert proof == Proof(
        kind=expected_kind(name),
        whole=True,
        proven=True,
        bytes=len(made(name)),
        width=proof.width,
        height=proof.height,
    )
    if expected_kind(name) in ("png", "jpeg", "webp", "gif"):
        assert (proof.width, proof.height) == (24, 18)
    if expected_kind(name) in ("mp4", "mov"):
        assert (proof.width, proof.height) == (32, 24)


@pytest.mark.parametrize("name", MADE)
def test_a_file_cut_at_any_byte_is_not_whole(name: str) -> None:
    data = made(name)
    step = 1 if len(data) < 4000 else 7  # the long ones are cut at every seventh byte, and at each of the last 300
    cuts = {*range(0, len(data), step), *range(max(0, len(data) - 300), len(data))}
    assert [cut for cut in sorted(cuts) if prove_bytes(data[:cut]).whole] == []


@given(st.data())
@settings(max_examples=60, deadline=None)
def test_a_png_of_any_picture_cut_anywhere_is_not_whole(data: st.DataObject) -> None:
    size = data.draw(st.tuples(st.integers(1, 40), st.integers(1, 40)))
    out = io.BytesIO()
    noise(data.draw(st.integers(0, 255)), size).save(out, "PNG", compress_level=data.draw(st.integers(0, 9)))
    whole = out.getvalue()
    assert prove_bytes(whole).whole
    assert not prove_bytes(whole[: data.draw(st.integers(0, len(whole) - 1))]).whole


@given(st.data())
@settings(max_examples=400, deadline=None)
def test_a_png_with_one_wrong_byte_is_not_whole(data: st.DataObject) -> None:
    whole = bytearray(made("png"))
    at = data.draw(st.integers(0, len(whole) - 1))
    whole[at] ^= data.draw(st.integers(1, 255))
    assert not prove_bytes(bytes(whole)).whole


def test_a_png_with_one_flipped_bit_is_not_whole_wherever_it_is() -> None:
    whole = bytearray(made("png"))
    for at in range(len(whole)):
        whole[at] ^= 0x10
        assert not prove_bytes(bytes(whole)).whole, at
        whole[at] ^= 0x10


@given(st.sampled_from(sorted(MADE)), st.lists(st.integers(1, 4000), min_size=1, max_size=9), st.booleans())
@settings(max_examples=150, deadline=None)
def test_the_proof_does_not_depend_on_the_chunks(name: str, sizes: list[int], cut: bool) -> None:
    data = made(name)[:-5] if cut else made(name)
    prover, at, turn = Prover(), 0, 0
    while at < len(data):
        prover.feed(data[at : at + sizes[turn % len(sizes)]])
        at += sizes[turn % len(sizes)]
        turn += 1
    assert prover.finish() == prove_bytes(data)


@given(st.data())
@settings(max_examples=500, deadline=None)
def test_hostile_bytes_never_raise(data: st.DataObject) -> None:
    content = bytearray(made(data.draw(st.sampled_from(sorted(MADE)))))
    for _ in range(data.draw(st.integers(1, 5))):
        at = data.draw(st.integers(0, len(content) - 1))
        junk = data.draw(st.one_of(st.binary(min_size=0, max_size=12), st.sampled_from([b"\xff" * 8, b"\0" * 8])))
        content[at : at + data.draw(st.integers(0, 12))] = junk
        content = content or bytearray(b"\0")
    proof = prove_bytes(bytes(content))
    assert proof.bytes == len(content)
    assert proof.whole <= proof.proven


@given(st.binary(max_size=64))
@settings(max_examples=300, deadline=None)
def test_noise_is_never_whole(noise_bytes: bytes) -> None:
    assert not prove_bytes(noise_bytes).whole


def chunk(name: bytes, body: bytes) -> bytes:
    return struct.pack(">I", len(body)) + name + body + struct.pack(">I", zlib.crc32(name + body))


HEADER = chunk(b"IHDR", struct.pack(">IIBBBBB", 3, 2, 8, 2, 0, 0, 0))
PIXELS = chunk(b"IDAT", zlib.compress(b"\0" * 20))
SIGNATURE = b"\x89PNG\r\n\x1a\n"


@pytest.mark.parametrize(
    ("content", "why"),
    [
        (b"", "it is empty"),
        (SIGNATURE + PIXELS + chunk(b"IEND", b""), "the first chunk is not IHDR"),
        (SIGNATURE + HEADER + chunk(b"IEND", b""), "it has no pixels (IDAT)"),
        (SIGNATURE + HEADER + PIXELS, "it ends inside the chunks: no IEND"),
        (SIGNATURE + HEADER + PIXELS + chunk(b"IEND", b"x"), "chunk IEND is damaged"),
        (SIGNATURE + HEADER + PIXELS[:-1] + b"\x07", "chunk IDAT is damaged (CRC)"),
        (SIGNATURE + HEADER + b"\xff\xff\xff\xffIDAT", "a chunk header is damaged"),
        (SIGNATURE + HEADER + b"\x7f\xff\xff\xffIDAT" + b"z" * 99, "it ends inside chunk IDAT"),
        (SIGNATURE + HEADER + b"\0\0\0\0\x1b[2J", "a chunk header is damaged"),
        (SIGNATURE + chunk(b"IHDR", bytes(13)), "chunk IHDR describes no picture"),
        (b"\xff\xd8\xff\xd9padding here", "it has no picture before EOI"),
        (b"GIF89a" + bytes(7) + b";", "it has no image before its trailer"),
        (b"\0\0\0\x10ftypisom\0\0\0\0\0\0\0\x10mdat" + b"m" * 8, "its index is not written yet (no box moov)"),
        (b"\0\0\0\x10ftypisom\0\0\0\0\0\0\0\x08moov", "it has no media data (no box mdat)"),
        (b"\0\0\0\x10ftypisom\0\0\0\0\0\0\x10\0mdat", "it ends inside box mdat"),
        (b"\0\0\0\x10ftypisom\0\0\0\0\0\0\0\x11moov\0\0\0\x99trak\0", "the boxes inside moov do not fit it"),
    ],
)
def test_what_is_missing_is_said(content: bytes, why: str) -> None:
    proof = prove_bytes(content)
    assert (proof.whole, proof.proven, proof.why) == (False, True, why)


def test_bytes_after_the_end_of_a_picture_are_noted() -> None:
    proof = prove_bytes(made("png") + b"garbage")
    assert (proof.whole, proof.why) == (True, "7 bytes follow its end")


def test_a_wav_whose_header_is_not_patched_yet_is_not_whole() -> None:
    out = io.BytesIO()
    file = wave.open(out, "wb")  # noqa: SIM115 - it is looked at while it is open
    file.setnchannels(1)
    file.setsampwidth(2)
    file.setframerate(8000)
    file.setnframes(10)
    file.writeframesraw(b"ab" * 300)
    assert prove_bytes(out.getvalue()) == Proof(
        kind="wav", whole=False, proven=True, why="580 bytes follow its end", bytes=644
    )
    file.close()
    assert prove_bytes(out.getvalue()).whole


@pytest.mark.parametrize(
    ("content", "kind"),
    [
        ((MEDIA / "live.webm").read_bytes(), "webm"),
        ((MEDIA / "noxing.mp3").read_bytes(), "mp3"),
        (made("fragmented.mp4")[: made("fragmented.mp4").rindex(b"mfra") - 4], "mp4"),
        (b'{"a": "text file"}', "unknown"),
        (b"\xff\xfeu\0t\0f\0-\x001\x006\0t\0e\0x\0t\0", "unknown"),
    ],
)
def test_where_the_format_has_no_end_mark_nothing_is_concluded(content: bytes, kind: str) -> None:
    proof = prove_bytes(content)
    assert (proof.kind, proof.whole, proof.proven) == (kind, False, False)
    assert proof.why


def test_a_file_of_endless_parts_is_given_up(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(verify, "MOST_STEPS", 1000)
    proof = prove_bytes(SIGNATURE + HEADER + chunk(b"tEXt", b"") * 1000 + PIXELS + chunk(b"IEND", b""))
    assert (proof.whole, proof.proven, proof.why) == (False, True, "it has more parts than any honest file")


def test_memory_stays_small_whatever_a_file_claims() -> None:
    flac = made("tone.flac")
    prover = Prover()
    prover.feed(flac[:26] + b"\xff\xff\xff" * 3)
    for _ in range(64):
        prover.feed(b"\xff\xf8" * 65_536)
    assert len(prover._held) <= 262_144
    assert not prover.finish().whole


def test_a_file_on_disk_gives_the_proof_of_its_bytes(tmp_path: Path) -> None:
    for number, name in enumerate(MADE):
        path = tmp_path / str(number)
        path.write_bytes(made(name))
        assert prove(path) == prove_bytes(made(name)), name


def test_long_media_data_is_passed_over_and_still_counted(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(verify, "CHUNK", 4096)
    whole = made("plain.mp4")
    at = whole.index(b"mdat")
    length = int.from_bytes(whole[at - 4 : at], "big")
    extra = 300_000
    longer = whole[: at - 4] + struct.pack(">I", length + extra) + whole[at : at - 4 + length] + bytes(extra)
    longer += whole[at - 4 + length :]
    path = tmp_path / "clip.mp4"
    path.write_bytes(longer)
    assert prove(path) == prove_bytes(longer)
    assert prove(path).whole
    path.write_bytes(longer[:-1])
    assert not prove(path).whole


def test_what_cannot_be_read_is_said(tmp_path: Path) -> None:
    assert prove(tmp_path / "none.png") == Proof(kind="missing", whole=False, proven=True, why="it is not there")
    assert prove(tmp_path).kind == "unreadable"
    if hasattr(os, "mkfifo"):
        os.mkfifo(tmp_path / "pipe_00001_.png")
        assert prove(tmp_path / "pipe_00001_.png").kind == "unreadable"
