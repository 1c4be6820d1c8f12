"""What a hostile or a merely odd server says: it becomes a message, an answer or a word, never a traceback."""

import json
import struct
from typing import Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from comfytui.sources.comfy import wire
from comfytui.sources.comfy.history import MAX_FILES, MAX_MESSAGE
from comfytui.sources.comfy.lenient import NotJson, WrongShape, clean, decode_json, moment, number, text, whole
from comfytui.sources.comfy.messages import MAX_IMAGE
from comfytui.sources.comfy.replies import (
    read_folder_paths,
    read_log_lines,
    read_object_info,
    read_prompt_rejection,
    read_prompt_reply,
    read_queue,
    read_system_stats,
    read_uploaded,
)

DEEP = "[" * 10_000 + "]" * 10_000
ESCAPES = "\x1b[2J\x1b]0;owned\x07\u202eend\r\nof"


def entry(**parts: Any) -> bytes:
    return json.dumps({"p": {"outputs": {}, **parts}}).encode()


# --- values -----------------------------------------------------------------------------------------------------------


def test_json_that_only_python_writes_is_read() -> None:
    assert decode_json(b'{"a": NaN, "b": [Infinity, -Infinity], "c": "\\ud800"}') == {
        "a": None,
        "b": [None, None],
        "c": "\ud800",
    }


@pytest.mark.parametrize("body", [b"", b"{", b"<html>", b'{"a":1} x', b"\xff\xfe\x00", DEEP.encode()])
def test_what_is_no_json_is_said_so(body: bytes) -> None:
    with pytest.raises(NotJson) as found:
        decode_json(body)
    assert str(found.value)


def test_numbers_of_the_wrong_kind_are_none() -> None:
    odd: Any
    for odd in ("1", None, True, [], {}, float("nan"), float("inf"), 10**400):
        assert number(odd) is None
        assert whole(odd) is None
    assert (whole(2.0), whole(2.5), whole(2**63), whole(-3)) == (2, None, None, -3)
    assert (moment(-1), moment(1e300), moment("x")) == (None, None, None)
    assert str(moment(1795341800664)) == "2026-11-22 10:03:20.664000+00:00"


def test_text_is_plain_and_bounded() -> None:
    assert text(ESCAPES) == "end of"
    assert text("x" * 10_000) == "x" * 399 + "…"
    assert (text(7), text(True), text(None), text({})) == ("7", None, None, None)


def test_nothing_that_is_kept_holds_control_characters_or_endless_depth() -> None:
    nested: Any = "bottom"
    for _ in range(50):
        nested = [nested]
    kept = clean({"\x1b[31mkey": [ESCAPES, 10**400, float("nan")], "deep": nested})
    assert kept["key"] == ["end of", None, None]
    assert "bottom" not in json.dumps(kept)


# --- the socket -------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    "received",
    [
        "",
        "not json",
        "[]",
        "null",
        "{}",
        DEEP,
        '{"type": 3, "data": {}}',
        '{"type": "progress", "data": 3}',
        '{"type": "progress"}',
        '{"type": "progress", "data": ' + DEEP + "}",
        '{"type": "executing", "data": {"prompt_id": "p"}}',
        '{"type": "executing", "data": {"node": {"a": 1}, "prompt_id": "p"}}',
    ],
)
def test_a_malformed_message_says_why(received: str) -> None:
    found = wire.decode_text(received)
    assert isinstance(found, wire.Malformed)
    assert found.why


def test_only_a_node_that_is_null_ends_a_prompt() -> None:
    assert wire.decode_text('{"type":"executing","data":{"node":null,"prompt_id":"p"}}') == wire.Executing(
        prompt_id="p", node=None
    )
    assert wire.decode_text('{"type":"executing","data":{"node":7}}') == wire.Executing(prompt_id=None, node="7")


def test_an_unknown_type_is_not_an_error_and_its_data_is_not_built() -> None:
    assert wire.decode_text('{"type":"crystools.monitor","data":' + "[" * 200 + "]" * 200 + "}") == wire.Unknown(
        kind="crystools.monitor"
    )
    assert wire.decode_text('{"type":"\\u001b[2Jx","data":NaN}') == wire.Unknown(kind="x")


def test_wrong_types_inside_a_message_become_none() -> None:
    odd = '{"type":"progress","data":{"value":"3","max":NaN,"prompt_id":["p"],"node":{}}}'
    assert wire.decode_text(odd) == wire.Progress(prompt_id=None, node=None, value=None, maximum=None)
    odd = '{"type":"progress_state","data":{"prompt_id":"p","nodes":{"1":3,"2":{"state":"running","value":"x"}}}}'
    assert wire.decode_text(odd) == wire.ProgressState(prompt_id="p", finished=0, running=(("2", None, None),))
    odd = '{"type":"status","data":{"status":[]}}'
    assert wire.decode_text(odd) == wire.Status(remaining=None)
    odd = '{"type":"executed","data":{"node":"1","prompt_id":"p","output":{"images":[3,{"filename":1},null]}}}'
    assert wire.decode_text(odd) == wire.Executed(prompt_id="p", node="1")


def test_an_error_is_told_without_traceback_and_tensors() -> None:
    data = {
        "prompt_id": "p",
        "node_id": "3",
        "node_type": "KSampler",
        "exception_type": "torch.cuda.OutOfMemoryError",
        "exception_message": ESCAPES + "y" * 10_000,
        "traceback": ["secret"] * 100,
        "current_inputs": {"image": ["tensor(" + "0" * 100_000]},
    }
    found = wire.decode_text(json.dumps({"type": "execution_error", "data": data}))
    assert isinstance(found, wire.ExecutionError)
    assert found.error.message.startswith("end ofyyy")
    assert len(found.error.message) == MAX_MESSAGE
    assert wire.is_out_of_memory(found.error.exception_type)
    assert "secret" not in repr(found)


def test_binary_messages_of_every_kind() -> None:
    metadata = json.dumps({"node_id": "4", "prompt_id": "p", "image_type": "image/png"}).encode()
    assert wire.decode_binary(struct.pack(">II", 1, 2) + b"PNG") == wire.Preview(format="png", size=3, image=b"PNG")
    assert wire.decode_binary(struct.pack(">II", 4, len(metadata)) + metadata + b"PNG") == wire.Preview(
        prompt_id="p", node="4", format="png", size=3, image=b"PNG"
    )
    assert wire.decode_binary(struct.pack(">II", 3, 1) + b"4" + ESCAPES.encode()) == wire.TextProgress(
        node="4", text="end of"
    )
    assert wire.decode_binary(struct.pack(">II", 77, 1)) == wire.Unknown(kind="binary 77")


def test_a_huge_preview_is_told_with_its_size_alone() -> None:
    found = wire.decode_binary(struct.pack(">II", 1, 1) + bytes(MAX_IMAGE + 1))
    assert found == wire.Preview(format="jpeg", size=MAX_IMAGE + 1, image=b"")


@pytest.mark.parametrize(
    "received",
    [
        b"",
        b"\x00\x00\x00\x01",
        struct.pack(">II", 3, 2**32 - 1) + b"x",
        struct.pack(">II", 4, 5) + b"x",
        struct.pack(">II", 4, 1) + b"{",
    ],
)
def test_broken_binary_messages_say_why(received: bytes) -> None:
    assert isinstance(wire.decode_binary(received), wire.Malformed)


@settings(max_examples=150, deadline=None)
@given(st.binary(max_size=60))
def test_no_bytes_raise(received: bytes) -> None:
    assert isinstance(wire.decode_binary(received), wire.Message)
    assert isinstance(wire.decode_text(received), wire.Message)


_JSON = st.recursive(
    st.none() | st.booleans() | st.integers() | st.floats() | st.text(max_size=5),
    lambda inner: st.lists(inner, max_size=3) | st.dictionaries(st.text(max_size=5), inner, max_size=3),
    max_leaves=8,
)
_KNOWN = ["prompt_id", "node", "nodes", "value", "max", "output", "status", "entries", "timestamp", "images", "state"]
_DATA = st.dictionaries(st.sampled_from(_KNOWN), _JSON | st.dictionaries(st.sampled_from(_KNOWN), _JSON), max_size=6)
_TYPES = ["status", "execution_start", "execution_cached", "executing", "progress", "progress_state", "executed"]
_TYPES += ["execution_success", "execution_error", "execution_interrupted", "feature_flags", "logs"]


@settings(max_examples=150, deadline=None)
@given(st.sampled_from(_TYPES), _DATA)
def test_no_data_raises(kind: str, data: dict[str, Any]) -> None:
    found = wire.decode_text(json.dumps({"type": kind, "data": data}))
    assert isinstance(found, wire.Message)
    assert not isinstance(found, wire.Unknown)


# --- history ----------------------------------------------------------------------------------------------------------


def test_files_are_found_under_any_key() -> None:
    file = {"filename": "a.mp4", "subfolder": "s", "type": "output", "format": "video/h264-mp4"}
    odd = [{"filename": "b.png"}, {"filename": 1, "subfolder": "", "type": "output"}, {"type": "output"}, "text", None]
    outputs = {"9": {"gifs": [file], "text": ["a caption"], "animated": [True]}, "7": {"images": odd}, "8": None}
    found = wire.read_history(entry(outputs=outputs), "p")
    assert found is not None
    assert [(one.node, one.key, one.filename, one.subfolder, one.type) for one in found.outputs] == [
        ("9", "gifs", "a.mp4", "s", "output"),
        ("7", "images", "b.png", "", "output"),  # what is left out is what GET /view takes it for
    ]


def test_hostile_names_stay_as_they_are_and_are_shown_plain() -> None:
    names = ["../../x.png", "/etc/passwd", "C:\\x.png", ESCAPES]
    files = [{"filename": name, "subfolder": "..", "type": "output"} for name in names]
    found = wire.read_history(entry(outputs={"1": {"images": files}}), "p")
    assert found is not None
    assert [one.filename for one in found.outputs] == names
    assert found.outputs[3].shown == "../end of"


def test_a_flood_of_files_is_bounded() -> None:
    file = {"filename": "a", "subfolder": "", "type": "output"}
    found = wire.read_history(entry(outputs={"1": {"images": [file] * (MAX_FILES + 5)}}), "p")
    assert found is not None
    assert len(found.outputs) == MAX_FILES


@pytest.mark.parametrize(
    ("status", "outcome"),
    [
        (None, None),
        ([], None),
        ({}, None),
        ({"status_str": "success", "completed": True}, "success"),
        ({"status_str": "success", "completed": False}, None),
        ({"status_str": "error", "messages": [["execution_error", {}]]}, "error"),
        ({"status_str": "error", "messages": "none"}, "error"),
        ({"status_str": "error", "messages": [["execution_interrupted", {}]]}, "interrupted"),
        ({"status_str": "error", "messages": [["execution_interrupted", {}], ["execution_error", {}]]}, "error"),
        ({"status_str": 3}, None),
    ],
)
def test_only_what_says_success_is_success(status: Any, outcome: str | None) -> None:
    found = wire.read_history(entry(status=status), "p")
    assert found is not None
    assert found.outcome == outcome


def test_history_tolerates_nan_and_keeps_the_reply_as_it_came() -> None:
    raw = b'{"p": {"prompt": [0, "p", {"1": {"is_changed": [NaN]}}, {}, ["1"]], "outputs": {}, "status": null}}'
    found = wire.read_history(raw, "p")
    assert found is not None
    assert found.raw == raw


@pytest.mark.parametrize("raw", [b"[]", b"3", b'{"q": {}}', b'{"p": 3}', b'{"p": {}}', b'{"p": {"outputs": []}}'])
def test_a_history_of_the_wrong_shape_is_no_pending_prompt(raw: bytes) -> None:
    with pytest.raises(WrongShape):
        wire.read_history(raw, "p")


# --- the other replies ------------------------------------------------------------------------------------------------


def test_a_queue_with_an_unreadable_item_is_unusable_as_a_whole() -> None:
    for body in (
        b"[]",
        b'{"queue_running": []}',
        b'{"queue_running": {}, "queue_pending": []}',
        b'{"queue_running": [], "queue_pending": [3]}',
        b'{"queue_running": [], "queue_pending": [[1]]}',
        b'{"queue_running": [], "queue_pending": [[1, null]]}',
    ):
        with pytest.raises(WrongShape):
            read_queue(body)
    with pytest.raises(NotJson):
        read_queue(b"{")
    with pytest.raises((NotJson, WrongShape)):
        read_queue(b'{"queue_running": [' + DEEP.encode() + b'], "queue_pending": []}')


def test_a_queue_is_ordered_and_tolerates_what_it_does_not_need() -> None:
    body = b"""{"queue_pending": [[5, "late", {"1": NaN}, {"client_id": 3}, [], "more"], [-2.5, "first"],
        ["x", "numberless", {}, {}]], "queue_running": [[1, "now", {}, {"client_id": "c", "create_time": 1}, []]]}"""
    queue = read_queue(body)
    assert [one.prompt_id for one in queue.pending] == ["first", "late", "numberless"]
    assert [one.number for one in queue.pending] == [-2.5, 5, None]
    assert (queue.running[0].client_id, queue.pending[1].client_id) == ("c", "3")
    assert (queue.where("now"), queue.where("late"), queue.where("gone")) == ("running", "pending", None)


def test_system_stats_with_odd_figures() -> None:
    body = {
        "system": {"os": ESCAPES, "comfyui_version": 3, "argv": ["main.py", 4, None], "ram_free": float("nan")},
        "devices": [{"name": None, "vram_total": "24 GB", "vram_free": -0.5, "index": True}, 3],
    }
    stats = read_system_stats(body)
    assert (stats.os, stats.version, stats.argv) == ("end of", "3", ("main.py",))
    assert stats.system["ram_free"] is None
    (device,) = stats.devices
    assert (device.name, device.vram_total, device.vram_free, device.index) == ("Unknown", None, None, None)
    odd: Any
    for odd in (None, [], {}, {"system": []}):
        with pytest.raises(WrongShape):
            read_system_stats(odd)


def test_replies_to_a_prompt() -> None:
    errors = {"6": {"class_type": "CLIPTextEncode", "errors": [{"message": "Required", "details": "clip"}, 3]}, "7": 1}
    reply = read_prompt_reply({"prompt_id": "p", "number": "x", "node_errors": errors})
    assert reply.warnings == ("node 6 (CLIPTextEncode): Required: clip", "node 6 (CLIPTextEncode): invalid")
    rejected = read_prompt_rejection({"error": {"message": ESCAPES}, "node_errors": []})
    assert (rejected.kind, rejected.message, rejected.why) == ("unknown", "end of", "end of")
    assert read_prompt_rejection({"error": "no good"}).message == "no good"
    flood = {"1": {"errors": [{"message": "m"}] * 500}}
    assert len(read_prompt_reply({"prompt_id": "p", "node_errors": flood}).warnings) == 50
    odd: Any
    for odd in (None, [], {}, {"prompt_id": None}, {"prompt_id": ""}):
        with pytest.raises(WrongShape):
            read_prompt_reply(odd)
    for odd in (None, {}, {"error": 3}, {"error": {}}):
        with pytest.raises(WrongShape):
            read_prompt_rejection(odd)


def test_the_small_replies() -> None:
    assert read_object_info({"A": {"input": {"max": None}}}, "A") == {"input": {"max": None}}
    assert read_object_info({}, "A") is None
    with pytest.raises(WrongShape):
        read_object_info({"B": {}}, "A")
    assert read_folder_paths({"vae": ["/m/vae", "/m/\x1bvae", 3], "x": 4}) == {"vae": ("/m/vae",), "x": ()}
    lines = read_log_lines({"entries": [{"m": "one\r\ntw"}, {"m": "o\n\x1b[31mred\n"}, 3, {"m": 4}]})
    assert lines == ["one", "two", "red"]
    assert read_uploaded({"name": "a.png", "subfolder": "s"}) == "s/a.png"
    assert read_uploaded({"name": "a.png", "subfolder": ""}) == "a.png"
    for read in (read_folder_paths, read_log_lines, read_uploaded):
        with pytest.raises(WrongShape):
            read([])
