"""Metadata whose scenes stay in the file: what is read from there is what the file as a whole holds."""

import json
from collections.abc import Callable
from contextlib import closing

import pytest

from comfytui.records.checks import record
from comfytui.records.checks.laid_out import laid_out
from comfytui.records.checks.reading import Unreadable, content
from comfytui.records.rundir import RunDir
from comfytui.records.validate import validate_run
from tests.records.scripted import Script

Change = Callable[[bytes], bytes]


def test_the_scenes_of_our_own_metadata_are_found_in_the_file(good_run: Script) -> None:
    whole = json.loads(good_run.run.metadata.read_bytes())
    laid = laid_out(good_run.run.metadata)
    assert laid is not None
    head, mark, pieces = laid
    with closing(pieces):
        assert [json.loads(piece) for piece in pieces] == whole["Scenes"]
        assert json.loads(head) == whole | {"Scenes": json.loads(mark)}


@pytest.mark.parametrize(
    "change",
    [
        pytest.param(lambda data: json.dumps(json.loads(data)).encode(), id="on one line"),
        pytest.param(lambda data: data.replace(b"\n", b"\r\n"), id="other line breaks"),
        pytest.param(lambda data: data.replace(b'  "Scenes": [\n', b'  "Other": {\n  "Scenes": [\n'), id="within"),
        pytest.param(lambda data: data.replace(b"{\n", b'{\n  "Scenes": [\n{\n}],\n', 1), id="twice, ours last"),
        pytest.param(lambda data: data.rstrip()[:-1] + b', "Scenes": []}\n', id="twice, ours first"),
        pytest.param(lambda data: data.replace(b"},\n{\n", b"},\n\n{\n", 1), id="an empty line"),
        pytest.param(lambda data: data.replace(b"},\n{\n", b"{\n", 1), id="no comma"),
        pytest.param(lambda data: data.replace(b"},\n{\n", b"},\n5,\n{\n", 1), id="a number among them"),
        pytest.param(lambda data: data.replace(b"}],\n", b"},\n],\n", 1), id="a comma too many"),
        pytest.param(lambda data: data.replace(b'"Prompt": "', b'"Prompt": "\n', 1), id="a text over two lines"),
        pytest.param(lambda data: data[: len(data) // 2], id="cut off"),
        pytest.param(lambda data: data + b"{}", id="more behind it"),
    ],
)
def test_any_other_file_is_judged_as_a_whole(good_run: Script, change: Change) -> None:
    path = good_run.run.metadata
    before = path.read_bytes()
    path.write_bytes(change(before))
    assert path.read_bytes() != before
    metadata, found = record.load(path)
    with closing(metadata.scenes):
        expected, wrong = record.load_whole(content(path))
        assert found == wrong
        assert dict(metadata.scenes) == dict(expected.scenes)
        assert metadata[2:] == expected[2:]


def test_metadata_that_are_written_to_while_they_are_read_are_a_finding(
    good_copy: RunDir, monkeypatch: pytest.MonkeyPatch
) -> None:
    path, check = good_copy.metadata, record.check

    def written_to(metadata: record.Metadata) -> object:
        path.write_bytes(b"?" * path.stat().st_size)
        return check(metadata)

    monkeypatch.setattr(record, "check", written_to)
    found = [str(finding) for finding in validate_run(good_copy.path)]
    assert found == [f"{record.PLACE}: {Unreadable('is written to while it is read')}"]
