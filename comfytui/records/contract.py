"""The telemetry contract as it is in force: printed from the structs that write and validate it.

What a field means is said once, beside it, in :mod:`comfytui.model.telemetry` and :mod:`comfytui.model.artifact`.
"""

from collections.abc import Iterator
from datetime import datetime
from types import NoneType, UnionType
from typing import Annotated, Any, Literal, Union, get_args, get_origin

import msgspec
from msgspec import Meta, Struct, UnsetType, structs

from comfytui.model.artifact import (
    ArtifactMetadata,
    AttemptSummary,
    FrameRecord,
    HistoryConfig,
    HistoryPoll,
    QueueConfig,
    SceneArtifact,
    StoryArtifact,
    SuiteLogs,
    SuiteRecord,
)
from comfytui.model.llm import HealthCheck
from comfytui.model.telemetry import (
    CONTRACT_VERSION,
    FALLBACK_NOTES,
    ContractStruct,
    ExecutionFailure,
    GpuTelemetry,
    SystemTelemetry,
    Telemetry,
)

SECTIONS: tuple[tuple[str, type[ContractStruct]], ...] = (
    ("Telemetry: one for every scene and every attempt", Telemetry),
    ("Telemetry.GPU", GpuTelemetry),
    ("Telemetry.System", SystemTelemetry),
    ("Telemetry.ExecutionError", ExecutionFailure),
    ("artifact-metadata.json", ArtifactMetadata),
    ("Story", StoryArtifact),
    ("Story.HealthCheck", HealthCheck),
    ("QueueConfig", QueueConfig),
    ("Scenes[]: also scene.json", SceneArtifact),
    ("Scenes[].HistoryPollLog[]", HistoryPoll),
    ("Scenes[].AttemptSummaries[]", AttemptSummary),
    ("Scenes[].HistoryConfig", HistoryConfig),
    ("Scenes[].Frames[]", FrameRecord),
    ("Suites[]", SuiteRecord),
    ("VitestLogs", SuiteLogs),
)

_PRELUDE = f"""\
# Telemetry contract, version {CONTRACT_VERSION}

Names are exact. Times are UTC, ISO 8601, ending in `Z`. MB are bytes / 1048576, rounded to one decimal. What could not
be read is `null`, with a note in `System.FallbackNotes`; a number is never invented. Every field is always there, but
where its meaning says that it may be left out. Paths are relative to `RunDir` and written with `/`, or absolute.

## The best attempt

A scene is tried once, and again within its budget or when a person asks for it. Its own fields and its `Telemetry` all
come from ONE attempt, the best: the most frames proven whole, then success over failure, then the earliest. Figures of
different attempts are never mixed; `AttemptSummaries` has an entry for each of them.

`FrameCount` counts frames that are proven whole. `Success` is ComfyUI's report of success for that attempt and at least
one such frame; `MeetsFrameFloor` is `FrameCount >= FrameFloor`. A run exits with 0 only when every scene has both,
every check suite passed, and the run validates.
"""

_NOTES = """\
## Fallback notes

`System.FallbackNotes` has one note for each thing that did not go the first way. It is empty when everything did: GPU
name and VRAM came from `/system_stats`, before and after. Otherwise it says what was asked instead, or why a figure is
`null`; no figure is ever missing without a note. Notes never make an attempt fail. They are kept of the best attempt,
like every other figure, and stand behind `fallback=` in the Telemetry line of the summary.

- **unavailable**: `/system_stats` gave no usable answer at that moment.
- **present but missing VRAM**: it answered, but told no memory of the device.
- **used nvml fallback**, **used nvidia-smi fallback**: this machine's driver was asked, in that order. It answers only
  where the server runs on this machine; a figure of another machine's GPU is never taken for it.
- a note without a fallback: nobody could answer, and the VRAM fields of that moment are `null`.

Other tools know these, word for word:
"""

_WORDS: dict[Any, str] = {
    str: "string",
    int: "int",
    float: "float",
    bool: "bool",
    datetime: "time",
    NoneType: "null",
    Any: "any",
}


def contract_markdown() -> str:
    """Return the whole contract as Markdown: every field with its type, unit and meaning."""
    parts = [_PRELUDE]
    for title, shape in SECTIONS:
        parts.append(f"## {title}\n\n{_sentence(shape)}\n\n" + "".join(_table(shape)))
    parts.append(_NOTES + "".join(f"\n- `{note}`" for note in FALLBACK_NOTES) + "\n")
    return "\n".join(parts)


def contract_schema() -> dict[str, Any]:
    """Return the JSON Schema (2020-12) of ``artifact-metadata.json``; each struct stands under ``$defs`` by name.

    A Telemetry by itself is ``#/$defs/Telemetry``, a ``scene.json`` is ``#/$defs/SceneArtifact``.
    """
    schema = msgspec.json.schema(ArtifactMetadata)
    return {
        "$schema": "https://json-schema.org/draft/2020-12/schema",
        "title": f"comfytui telemetry contract, version {CONTRACT_VERSION}",
        **schema,
    }


def _sentence(shape: type[Struct]) -> str:
    return " ".join((shape.__doc__ or "").replace("``", "`").split())


def _table(shape: type[Struct]) -> Iterator[str]:
    yield "| field | type | unit | meaning |\n|---|---|---|---|\n"
    for field in structs.fields(shape):
        unit, meaning = _said(field.type)
        words = type_words(field.type).replace("|", "\\|")
        yield f"| {field.encode_name} | {words} | {unit} | {meaning} |\n"


def _said(wanted: Any) -> tuple[str, str]:
    """Return the unit (empty for none) and the meaning that stand beside a field."""
    notes = [note for note in get_args(wanted)[1:] if isinstance(note, Meta)] if get_origin(wanted) is Annotated else []
    unit = next((str(note.extra_json_schema["unit"]) for note in notes if note.extra_json_schema), "")
    return unit, next((note.description for note in notes if note.description), "")


def type_words(wanted: Any) -> str:
    """Return the type of a field as the contract words it: ``int >= 0 or null``, ``list of string``."""
    origin, parts = get_origin(wanted), get_args(wanted)
    if origin is Annotated:
        least = next((note.ge for note in parts[1:] if isinstance(note, Meta) and note.ge is not None), None)
        return type_words(parts[0]) + ("" if least is None else f" >= {least}")
    if origin in (Union, UnionType):
        return " or ".join(type_words(part) for part in parts if part is not UnsetType)
    if origin is Literal:
        return ", ".join(f"`{word}`" for word in parts)
    if origin is tuple:
        return f"list of {type_words(parts[0])}"
    if origin is dict:
        return "object"
    if isinstance(wanted, type) and issubclass(wanted, Struct):
        return wanted.__name__
    return _WORDS[wanted]
