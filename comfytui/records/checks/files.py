"""The files that the metadata names: there, inside the run folder, and with the size and SHA-256 that are told."""

import hashlib
from collections.abc import Iterator, Mapping
from pathlib import Path

from comfytui.model.artifact import FrameRecord, SceneArtifact
from comfytui.model.events import Frame
from comfytui.model.telemetry import ContractStruct
from comfytui.records.atomic import is_temporary
from comfytui.records.checks.finding import Finding, at, shown
from comfytui.records.checks.reading import Unreadable, content, is_plain_file, within
from comfytui.records.checks.record import Metadata
from comfytui.records.checks.typed import decoded
from comfytui.records.faults import why
from comfytui.untrusted import inside


def check(folder: Path, metadata: Metadata, *, hashes: bool) -> Iterator[Finding]:
    """Yield what is wrong with the files of the run in ``folder``; nothing outside of it is opened.

    Without ``hashes`` frames are held to their sizes only, which reads none of them.
    """
    if metadata.head is not None:
        yield from at("artifact-metadata.json", _absent(folder, {"Story.File": metadata.head.story.file}))
        for suite in metadata.head.suites:
            yield from at(f"suite {suite.label}", _absent(folder, {"LogPath": suite.log_path}))
    for scene_id, scene in metadata.scenes.items():
        place = f"scene {scene_id}"
        named: dict[str, str | None] = {
            "SceneOutputDir": scene.scene_output_dir,
            "HistoryPath": scene.history_path,
            "StoryKeyframe": scene.story_keyframe,
            "ForcedCopyDebugPath": scene.telemetry.forced_copy_debug_path,
        }
        yield from at(place, _absent(folder, named))
        yield from _piece(folder, scene, metadata.scenes.raw(scene_id), place)
        yield from at(place, _frames(folder, scene, hashes=hashes))


def _absent(folder: Path, named: Mapping[str, str | None]) -> Iterator[str]:
    for name, relative in named.items():
        if not relative:
            continue
        path = within(folder, relative)
        if path is None:
            yield f"{name} {shown(relative)} leads out of the run folder"
        elif not path.exists():
            yield f"{name} {shown(relative)} does not exist"


def _piece(folder: Path, scene: SceneArtifact, raw: bytes, place: str) -> Iterator[Finding]:
    """Hold ``scene.json`` to the ``scene`` that the metadata have as ``raw``: nearly always the very same bytes."""
    path = within(folder, f"{scene.scene_output_dir}/scene.json")
    if path is None:
        yield Finding(place, "scene.json leads out of the run folder")
        return
    try:
        data = content(path)
    except Unreadable as fault:
        yield Finding(place, f"scene.json {fault}")
        return
    if data.rstrip(b"\n") == raw:
        return
    piece, wrong = decoded(data, SceneArtifact, f"{place} scene.json")
    yield from wrong
    if piece is not None and piece != scene:
        names = ", ".join(differences(piece, scene))
        yield Finding(place, f"scene.json differs from the metadata in {names}")


def differences(one: ContractStruct, other: ContractStruct) -> list[str]:
    """Return the names of the fields in which two records of one kind differ."""
    pairs = zip(one.__struct_encode_fields__, one.__struct_fields__, strict=True)
    return [told for told, name in pairs if getattr(one, name) != getattr(other, name)]


def _frames(folder: Path, scene: SceneArtifact, *, hashes: bool) -> Iterator[str]:
    if scene.generated_frames_dir is None:
        return
    place = within(folder, scene.generated_frames_dir)
    if place is None:
        yield f"GeneratedFramesDir {shown(scene.generated_frames_dir)} leads out of the run folder"
        return
    try:
        there = {path.name for path in place.iterdir() if not is_temporary(path.name)}
    except OSError as fault:
        yield f"GeneratedFramesDir {shown(scene.generated_frames_dir)} cannot be read: {why(fault)}"
        return
    for frame in scene.frames:
        if frame.name in there:  # which proves the name: it is one of this very folder
            wrong = frame_fault(place / frame.name, frame, hashes=hashes)
        elif inside(place, "", frame.name) is None:
            wrong = "has a name that leads out of its folder"
        else:
            wrong = "is listed and not on disk"
        if wrong is not None:
            yield f"frame {shown(frame.name)} {wrong}"
    for name in sorted(there - {frame.name for frame in scene.frames}):
        yield f"frame {shown(name)} is on disk and not listed"


def frame_fault(path: Path, frame: FrameRecord | Frame, *, hashes: bool) -> str | None:
    """Return in words how the file at ``path`` differs from ``frame`` (without ``hashes``: in size), else ``None``."""
    if not is_plain_file(path):
        return "is no plain file"
    try:
        size = path.stat().st_size
        if size != frame.bytes:
            return f"has {size} bytes, not {frame.bytes}"
        if hashes:
            with path.open("rb") as file:
                digest = hashlib.file_digest(file, "sha256").hexdigest()
            if digest != frame.sha256:
                return "does not have the SHA-256 that is listed"
    except OSError as fault:
        return f"cannot be read: {why(fault)}"
    return None
