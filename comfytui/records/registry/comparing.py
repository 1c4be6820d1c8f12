"""Two runs side by side, scene by scene: what came of each scene, and which fields of its Telemetry differ."""

import json
from collections.abc import Iterator, Mapping
from typing import Any

from comfytui.errors import Failure
from comfytui.model.catalog import FieldChange, SceneChange, SceneSide
from comfytui.records.report.fields import Fields
from comfytui.records.report.reading import read_metadata
from comfytui.records.rundir import RunDir
from comfytui.untrusted import plain

ALWAYS_DIFFERENT = frozenset({"QueueStart", "QueueEnd", "ExecutionSuccessAt", "System.Before", "System.After"})
"""Fields that differ between any two runs: moments, and free memory as the server told it."""

_LONGEST = 200


def compare(before: RunDir, after: RunDir) -> list[SceneChange]:
    """Return the scenes of both runs in the order of ``after``, then those that only ``before`` has.

    Raises ``Failure`` ``run.no_record`` where a run has no metadata that can be read.
    """
    left, right = _scenes(before), _scenes(after)
    return [_change(scene, left.get(scene), right.get(scene)) for scene in dict.fromkeys((*right, *left))]


def _scenes(run: RunDir) -> dict[str, Fields]:
    metadata, why = read_metadata(run.metadata)
    if metadata is None:
        raise Failure("run.no_record", run=run.run_id, why=why)
    return {each.text("SceneId") or "?": each for each in metadata.children("Scenes")}


def _change(scene: str, before: Fields | None, after: Fields | None) -> SceneChange:
    return SceneChange(
        scene=scene,
        before=_side(before) if before is not None else None,
        after=_side(after) if after is not None else None,
        telemetry=tuple(_differences(before, after)) if before is not None and after is not None else (),
    )


def _side(scene: Fields) -> SceneSide:
    told = scene.child("Telemetry")
    success, floor = scene.flag("Success"), scene.flag("MeetsFrameFloor")
    verdict = told.text("ExecutionStatus") or told.text("HistoryExitReason") or "unknown"
    if success and floor is False:
        verdict = f"{verdict}, below its floor"
    return SceneSide(
        verdict=verdict, frames=scene.whole("FrameCount"), floor=scene.whole("FrameFloor"),
        seconds=scene.number("DurationSeconds"), attempts=scene.whole("AttemptsRun"),
    )  # fmt: skip


def _differences(before: Fields, after: Fields) -> Iterator[FieldChange]:
    left, right = dict(_flat(before.child("Telemetry").raw)), dict(_flat(after.child("Telemetry").raw))
    for name in dict.fromkeys((*right, *left)):
        was, now = left.get(name, "-"), right.get(name, "-")
        if was != now:
            yield FieldChange(field=name, before=was, after=now)


def _flat(raw: Mapping[str, Any], above: str = "") -> Iterator[tuple[str, str]]:
    for key, value in raw.items():
        name = f"{above}{plain(str(key), 80)}"
        if name in ALWAYS_DIFFERENT:
            continue
        if isinstance(value, dict) and not above:
            yield from _flat(value, f"{name}.")
        else:
            text = value if isinstance(value, str) else json.dumps(value, ensure_ascii=False, default=str)
            yield name, plain(text, _LONGEST)
