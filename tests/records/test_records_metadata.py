"""The metadata: one attempt's figures a scene, pieces that heal, the same JSON whole as in pieces."""

import errno
import json
import tracemalloc
from collections.abc import Callable
from pathlib import Path

import msgspec
import pytest
from msgspec.structs import replace

from comfytui.errors import Failure
from comfytui.model import events as e
from comfytui.model.artifact import ArtifactMetadata, SceneArtifact, SuiteRecord
from comfytui.model.best import best_attempt
from comfytui.model.fold import fold_all
from comfytui.model.state import Attempt
from comfytui.model.telemetry import ExecutionFailure
from comfytui.records import journal
from comfytui.records.metadata import build_metadata, scene_artifact, write_scene
from tests.records.scripted import T0, Script, brief, telemetry

Make = Callable[..., Script]


def metadata(script: Script) -> ArtifactMetadata:
    return msgspec.json.decode(script.run.metadata.read_bytes(), type=ArtifactMetadata)


def artifact(script: Script, scene: str = "scene-001") -> SceneArtifact:
    found = script.state.scene(scene)
    assert found is not None and script.state.run is not None
    made = scene_artifact(found, script.state.run)
    assert made is not None
    return made


def test_the_metadata_of_a_run(good_run: Script) -> None:
    told = metadata(good_run)
    assert (told.run_id, told.run_dir) == (good_run.run.run_id, str(good_run.run.path))
    assert (told.story.id, told.story.scene_count, told.story.directors_vision) == ("tale", 2, "Slow\nand wide")
    assert told.queue_config.history_max_wait_seconds == 600
    assert told.timestamp == good_run.at
    assert told.archive == str(good_run.run.archive)
    assert told.scenes == (artifact(good_run), artifact(good_run, "scene-002"))
    raw = json.loads(good_run.run.metadata.read_bytes())
    assert raw["ContractVersion"] == 1
    assert raw["VitestLogs"] == {"ComfyUI": None, "E2E": None, "Scripts": None}
    assert raw["Scenes"][0] == json.loads((good_run.run.path / "scene-001" / "scene.json").read_bytes())


def test_a_scene_tells_of_its_best_attempt_only(good_run: Script) -> None:
    told = artifact(good_run, "scene-002")
    assert (told.frame_count, told.success, told.meets_frame_floor) == (3, True, True)
    assert (told.attempts_run, told.requeued, told.prompt_id) == (2, True, "id-scene-002-2")
    assert told.frame_prefix == "run/scene-002-a2"
    assert told.generated_frames_dir == "scene-002/generated-frames-attempt-2"
    assert [frame.name for frame in told.frames] == [f"scene-002-a2_0000{n}_.png" for n in (1, 2, 3)]
    assert [poll.status for poll in told.history_poll_log] == ["error", "pending", "success"]
    assert [poll.attempt for poll in told.history_poll_log] == [1, 2, 3]
    assert (told.history_errors, told.history_error) == (("server.timeout: no answer",), None)
    assert told.history_attempts == told.telemetry.history_attempts == 3
    assert told.warnings == told.errors == ()
    assert told.server == "http://127.0.0.1:8188"
    first, second = told.attempt_summaries
    assert (first.frame_count, first.meets_frame_floor, second.frame_count) == (1, False, 3)
    assert first.warnings[-1] == "Frame count below floor (1/3)"
    assert (good_run.run.path / "scene-002" / "history.json").read_bytes() == b'{"id": {"status": 2}}'


def test_a_failed_scene_is_a_scene_all_the_same(script: Make) -> None:
    run = script()
    error = ExecutionFailure(node_id="3", node_type="K", exception_type="E", message="boom", code="prompt.failed")
    run.attempt("scene-001", frames=0, status="error", error=error, reads=("pending", "pending"))
    run.publish(e.AttemptNoted(scene="scene-001", attempt=1, kind="error", text="boom"))
    run.end("scene-001")
    told = artifact(run)
    assert (told.success, told.frame_count, told.generated_frames_dir, told.history_path) == (False, 0, None, None)
    assert told.history_error == "history had no entry in 2 reads"
    assert told.errors == ("boom [prompt.failed]",)
    assert told.telemetry.execution_error == error


def test_the_server_is_the_one_that_the_attempt_was_meant_for(script: Make) -> None:
    run = script(2)
    run.attempt("scene-001")
    run.end("scene-001")
    run.publish(e.ServerReached(url="http://127.0.0.1:9999", version="0.8.0"))
    run.attempt("scene-002")
    run.end("scene-002")
    run.settle()
    assert [scene.server for scene in metadata(run).scenes] == ["http://127.0.0.1:8188", "http://127.0.0.1:9999"]


def test_a_scene_that_was_never_tried_is_in_neither(script: Make) -> None:
    run = script(2)
    run.attempt("scene-001")
    run.end("scene-001")
    assert write_scene(run.run, run.state, "scene-002") is None
    assert write_scene(run.run, run.state, "no such scene") is None
    run.settle()
    assert [scene.scene_id for scene in metadata(run).scenes] == ["scene-001"]
    assert metadata(run).story.scene_count == 2


def test_a_run_without_scenes_done_has_an_empty_list(script: Make) -> None:
    run = script()
    run.settle()
    assert metadata(run).scenes == ()


@pytest.mark.parametrize("content", [None, b"", b"{}", b"[" * 50_000, b'{"SceneId": "forged"}'])
def test_a_piece_that_is_missing_or_corrupt_comes_from_the_journal(good_run: Script, content: bytes | None) -> None:
    place, whole = good_run.run.scene_json("scene-001"), good_run.run.metadata.read_bytes()
    piece = place.read_bytes()
    if content is None:
        place.unlink()
    else:
        place.write_bytes(content)
    good_run.run.metadata.unlink()
    build_metadata(good_run.run, good_run.state)
    assert place.read_bytes() == piece
    assert good_run.run.metadata.read_bytes() == whole


def test_everything_is_rebuilt_from_the_journal(good_run: Script) -> None:
    run = good_run.run
    files = [run.metadata, run.scene_json("scene-001"), run.scene_json("scene-002"), run.history("scene-002")]
    before = [file.read_bytes() for file in files]
    for file in files:
        file.unlink()
    build_metadata(run, fold_all(journal.read(run.journal)))
    assert [file.read_bytes() for file in files] == before


def test_pieces_that_are_right_are_not_written_again(good_run: Script, monkeypatch: pytest.MonkeyPatch) -> None:
    written: list[Path] = []
    real = Path.replace

    def replaced(path: Path, to: Path) -> Path:
        written.append(to)
        return real(path, to)

    monkeypatch.setattr(Path, "replace", replaced)
    build_metadata(good_run.run, good_run.state)
    assert written == [good_run.run.metadata]


def test_memory_does_not_grow_with_the_scenes(script: Make) -> None:
    def peak(scenes: int) -> int:
        run = script(scenes)
        for number in range(1, scenes + 1):
            run.attempt(f"scene-{number:03d}", frames=1)
        tracemalloc.start()
        build_metadata(run.run, run.state)
        used = tracemalloc.get_traced_memory()[1]
        tracemalloc.stop()
        return used

    peak(2)  # what is made once
    assert peak(60) < 2 * peak(6)


def test_suites_stand_under_the_names_that_old_tools_know(script: Make) -> None:
    run = script()
    for label in ("Vitest e2e", "Vitest comfyUI", "other"):
        log = f"logs/{label}.log"
        suite = SuiteRecord(label=label, command="x", exit_code=0, duration_ms=5, log_path=log, started_at=run.at)
        run.publish(e.SuiteRan(suite=suite))
    run.settle()
    told = metadata(run)
    assert [suite.label for suite in told.suites] == ["Vitest e2e", "Vitest comfyUI", "other"]
    assert msgspec.to_builtins(told.vitest_logs) == {
        "ComfyUI": "logs/Vitest comfyUI.log",
        "E2E": "logs/Vitest e2e.log",
        "Scripts": None,
    }


def test_a_keyframe_lies_in_its_scene_and_its_source_is_told(tmp_path: Path) -> None:
    picture = tmp_path / "Key.PNG"
    picture.write_bytes(b"picture")
    run = Script(tmp_path / "runs", [brief(1, keyframe=str(picture))])
    run.run.story_keyframe(str(picture)).write_bytes(b"picture")
    run.attempt("scene-001")
    run.end("scene-001")
    run.close()
    told = artifact(run)
    assert (told.keyframe_source, told.story_keyframe) == (str(picture), "scene-001/keyframe.png")
    assert (run.run.path / "scene-001/keyframe.png").read_bytes() == b"picture"


def test_a_rerun_with_another_prompt_tells_the_prompt_that_was_rendered(script: Make) -> None:
    run = script()
    planned = e.AttemptPlanned(scene="scene-001", attempt=1, prompt_id="x", prefix="p", seed=1, prompt="changed")
    run.attempt("scene-001")
    found = run.state.scene("scene-001")
    assert found is not None and run.state.run is not None
    changed = replace(found, attempts=(replace(found.attempts[0], prompt=planned.prompt),))
    told = scene_artifact(changed, run.state.run)
    assert told is not None and told.prompt == "changed"


def test_a_folder_that_cannot_be_written_is_a_failure(good_run: Script) -> None:
    run = good_run.run
    run.scene_json("scene-001").unlink()
    run.scene_json("scene-001").mkdir()
    with pytest.raises(Failure) as told:
        write_scene(run, good_run.state, "scene-001")
    assert told.value.code == "run.unwritable"
    with pytest.raises(Failure) as told:
        build_metadata(run, good_run.state)
    assert told.value.code == "run.unwritable"


# --- the best attempt --------------------------------------------------------------------------------------------


def tried(number: int, proven: int, success: bool, ended: bool = True) -> Attempt:
    frames = tuple(e.Frame(name=str(n), bytes=1, sha256="x") for n in range(proven))
    frames += (e.Frame(name="torn", bytes=1, sha256="x", verified=False),) * 9
    success_at = T0 if success else None
    return Attempt(
        number=number, prompt_id="x", prefix="p", seed=1, planned_at=T0, frames=frames, success_at=success_at,
        telemetry=telemetry(success_at=success_at) if ended else None,
    )  # fmt: skip


@pytest.mark.parametrize(
    ("attempts", "best"),
    [
        ([tried(1, 3, True)], 1),
        ([tried(1, 3, False), tried(2, 4, False)], 2),
        ([tried(1, 3, True), tried(2, 4, False)], 2),  # frames come before success
        ([tried(1, 3, False), tried(2, 3, True)], 2),
        ([tried(1, 3, True), tried(2, 3, True)], 1),
        ([tried(3, 3, True), tried(2, 3, True)], 2),
        ([tried(1, 0, False), tried(2, 0, False)], 1),
        ([tried(1, 2, True), tried(2, 9, True, ended=False)], 1),
    ],
)
def test_the_best_attempt(attempts: list[Attempt], best: int) -> None:
    assert best_attempt(attempts).number == best


def test_of_no_attempts_none_is_the_best() -> None:
    with pytest.raises(ValueError, match="empty"):
        best_attempt([])


@pytest.mark.parametrize("links", [True, False], ids=["links", "no links"])
def test_a_scenes_history_is_its_attempts_file_or_a_copy_where_a_disk_has_no_links(
    good_run: Script, monkeypatch: pytest.MonkeyPatch, links: bool
) -> None:
    def refuse(self: Path, target: Path) -> None:
        raise OSError(errno.EPERM, "Operation not permitted")

    run = good_run.run
    kept, saved = run.history("scene-002"), run.attempt_history("scene-002", 2)
    kept.unlink()
    kept.write_bytes(b"torn")
    if not links:
        monkeypatch.setattr(Path, "hardlink_to", refuse)
    for _ in range(2):  # the second time there is nothing to do
        write_scene(run, good_run.state, "scene-002")
        assert kept.read_bytes() == saved.read_bytes() == b'{"id": {"status": 2}}'
        assert kept.samefile(saved) == links


def test_a_language_model_may_tell_anything_of_itself(good_run: Script) -> None:
    state = good_run.state
    assert state.run is not None
    llm = {"Scenes": [], "more": {"Scenes": []}}
    story = replace(state.run.story, llm=llm)
    build_metadata(good_run.run, replace(state, run=replace(state.run, story=story)))
    told = metadata(good_run)
    assert told.story.llm == llm
    assert len(told.scenes) == 2
