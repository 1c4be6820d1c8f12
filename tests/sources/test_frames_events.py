"""The file events of a folder: what they ask to be looked at, and what becomes of them when the folder changes."""

import errno
import shutil
import threading
from pathlib import Path
from typing import Literal

import pytest
from watchfiles import _rust_notify

from comfytui.sources.frames.events import FolderEvents, NoEvents, NoFolder

Changes = set[tuple[int, str]] | Literal["signal", "stop", "timeout"]


class Notifier:
    """A stand-in for ``RustNotify`` that tells what is in ``script`` and remembers what was watched."""

    def __init__(self) -> None:
        self.script: list[Changes | BaseException] = []
        self.armed: list[Path] = []
        self.open_now = 0

    def __call__(self, paths: list[str], *_: object) -> "Notifier":
        self.armed.append(Path(paths[0]))
        if not Path(paths[0]).is_dir():
            raise FileNotFoundError(errno.ENOENT, "No such file or directory")
        self.open_now += 1
        return self

    def watch(self, *_: object) -> Changes:
        told = self.script.pop(0) if self.script else "timeout"
        if isinstance(told, BaseException):
            raise told
        return told

    def close(self) -> None:
        self.open_now -= 1


@pytest.fixture
def notifier(monkeypatch: pytest.MonkeyPatch) -> Notifier:
    scripted = Notifier()
    monkeypatch.setattr(_rust_notify, "RustNotify", scripted)
    return scripted


def wait(events: FolderEvents) -> object:
    return events.wait(threading.Event())


def test_names_are_told_after_a_look_at_everything(tmp_path: Path, notifier: Notifier) -> None:
    events = FolderEvents(tmp_path, tmp_path)
    notifier.script += [
        {(1, str(tmp_path / "a")), (2, str(tmp_path / "a")), (1, str(tmp_path / "b"))},
        "timeout",
        "stop",
    ]
    assert wait(events) is None
    assert wait(events) == {"a", "b"}
    assert not wait(events) and not wait(events)
    assert (notifier.armed, notifier.open_now) == ([tmp_path], 1), "a wait that was ended goes on without a gap"
    events.close()
    events.close()
    assert notifier.open_now == 0


def test_a_folder_that_is_exchanged_is_armed_anew(tmp_path: Path, notifier: Notifier) -> None:
    folder = tmp_path / "run"
    folder.mkdir()
    events = FolderEvents(folder, tmp_path)
    assert wait(events) is None
    folder.rename(tmp_path / "old")
    folder.mkdir()
    assert wait(events) is None
    shutil.rmtree(folder)
    assert wait(events) is None
    assert wait(events) is None, "events of an ancestor name nothing in the folder"
    folder.mkdir()
    assert wait(events) is None
    assert wait(events) == ()
    assert notifier.armed == [folder, folder, tmp_path, folder]
    assert notifier.open_now == 1


def test_without_any_folder_nothing_is_held(tmp_path: Path, notifier: Notifier) -> None:
    root = tmp_path / "output"
    root.mkdir()
    events = FolderEvents(root / "run", root)
    assert wait(events) is None
    root.rmdir()
    with pytest.raises(NoFolder):
        wait(events)
    assert notifier.open_now == 0


def test_a_folder_that_goes_as_it_is_armed_is_no_reason_to_poll(
    tmp_path: Path, notifier: Notifier, monkeypatch: pytest.MonkeyPatch
) -> None:
    with monkeypatch.context() as patch:
        patch.setattr("comfytui.sources.frames.events.nearest_folder", lambda *_: (tmp_path / "gone", (1, 1)))
        events = FolderEvents(tmp_path, tmp_path)
        assert wait(events) == ()
    assert wait(events) is None
    assert notifier.armed == [tmp_path / "gone", tmp_path]


@pytest.mark.parametrize(
    ("fault", "why"),
    [
        (OSError(errno.ENOSPC, "No space left on device"), "No space left on device"),
        (RuntimeError("the queue is broken"), "the queue is broken"),
        (RuntimeError(), "RuntimeError"),
    ],
)
def test_a_watch_that_fails_is_let_go_of_with_its_reason(
    tmp_path: Path, notifier: Notifier, fault: BaseException, why: str
) -> None:
    events = FolderEvents(tmp_path, tmp_path)
    notifier.script.append(fault)
    assert wait(events) is None
    with pytest.raises(NoEvents, match=why):
        wait(events)
    assert notifier.open_now == 0


def test_a_wait_ends_soon_when_it_is_told_to(tmp_path: Path) -> None:
    events = FolderEvents(tmp_path, tmp_path)
    ended = threading.Event()
    assert events.wait(ended) is None
    ended.set()
    assert events.wait(ended) == ()
    (tmp_path / "a").touch()
    assert any(wait(events) == {"a"} for _ in range(80)), "within 80 waits of a quarter of a second"
    events.close()
