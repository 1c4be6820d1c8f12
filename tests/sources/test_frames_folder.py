"""Looking at a folder: what changed since the last look, and only that."""

import errno
import os
import shutil
import sys
from pathlib import Path

import pytest

from comfytui.sources.frames import folder as looking
from comfytui.sources.frames import mounts
from comfytui.sources.frames.folder import FolderSeen, FolderView, FrameSeen, nearest_folder, stamp
from comfytui.sources.frames.mounts import events_reach, is_remote


def changes(batch: tuple[object, ...]) -> list[tuple[str, str]]:
    return [(seen.name, seen.change) for seen in batch if isinstance(seen, FrameSeen)]


def test_each_look_tells_only_what_changed(tmp_path: Path) -> None:
    (tmp_path / "a.png").write_bytes(b"1")
    view = FolderView(tmp_path)
    first = view.look()
    assert first[0] == FolderSeen(path=tmp_path, present=True)
    assert changes(first) == [("a.png", "present")]
    assert view.look() == ()
    (tmp_path / "b.png").write_bytes(b"")
    assert changes(view.look()) == [("b.png", "added")]
    (tmp_path / "b.png").write_bytes(b"12345")
    (seen,) = view.look()
    assert isinstance(seen, FrameSeen)
    assert (seen.name, seen.bytes, seen.change, seen.path) == ("b.png", 5, "changed", tmp_path / "b.png")
    (tmp_path / "new").write_bytes(b"12345")
    (tmp_path / "new").replace(tmp_path / "b.png")
    assert changes(view.look()) == [("b.png", "replaced")]
    (tmp_path / "a.png").unlink()
    assert changes(view.look()) == [("a.png", "deleted")]


def test_a_change_of_mtime_alone_is_a_change(tmp_path: Path) -> None:
    path = tmp_path / "a.png"
    path.write_bytes(b"1")
    view = FolderView(tmp_path)
    view.look()
    os.utime(path, ns=(1, 1_700_000_000_000_000_001))
    (seen,) = view.look()
    assert isinstance(seen, FrameSeen)
    assert (seen.change, seen.mtime_ns) == ("changed", 1_700_000_000_000_000_001)
    assert seen.mtime.isoformat() == "2023-11-14T22:13:20+00:00"


def test_a_look_at_names_leaves_the_others_for_later(tmp_path: Path) -> None:
    view = FolderView(tmp_path)
    view.look()
    for name in ("a", "b", "c"):
        (tmp_path / name).write_bytes(b"")
    assert changes(view.look({"b", "never"})) == [("b", "added")]
    assert changes(view.look()) == [("a", "added"), ("c", "added")]
    (tmp_path / "a").unlink()
    (tmp_path / "b").unlink()
    assert changes(view.look({"a"})) == [("a", "deleted")]
    assert changes(view.look()) == [("b", "deleted")]


def test_only_regular_files_of_the_prefix_are_seen(tmp_path: Path) -> None:
    outside = tmp_path / "secret"
    outside.write_bytes(b"not ours")
    folder = tmp_path / "out"
    folder.mkdir()
    (folder / "s-1_00001_.png").write_bytes(b"")
    (folder / "other_00001_.png").write_bytes(b"")
    (folder / "s-1_dir.png").mkdir()
    if sys.platform != "win32":
        (folder / "s-1_00002_.png").symlink_to(outside)
        os.mkfifo(folder / "s-1_00003_.png")
    view = FolderView(folder, "s-1_")
    assert changes(view.look()) == [("s-1_00001_.png", "present")]
    assert view.look({"other_00001_.png", "s-1_00002_.png", "s-1_00003_.png", "s-1_dir.png"}) == ()


@pytest.mark.skipif(sys.platform != "linux", reason="other systems refuse such names")
def test_a_hostile_name_is_fit_to_be_shown_and_still_opens(tmp_path: Path) -> None:
    for raw in (b"s_\x1b[2J\xff.png", b"s_\nline.png"):
        Path(os.fsdecode(os.fsencode(tmp_path) + b"/" + raw)).write_bytes(b"xy")
    seen = [found for found in FolderView(tmp_path).look() if isinstance(found, FrameSeen)]
    assert sorted(found.name for found in seen) == ["s_ line.png", "s_�.png"]
    assert [found.path.read_bytes() for found in seen] == [b"xy", b"xy"]


def test_a_folder_that_goes_and_comes_back(tmp_path: Path) -> None:
    folder = tmp_path / "run"
    view = FolderView(folder)
    assert view.look() == (FolderSeen(path=folder, present=False),)
    assert view.look() == ()
    folder.mkdir()
    (folder / "a").write_bytes(b"")
    assert view.look({"nothing"}) == (
        FolderSeen(path=folder, present=True),
        FrameSeen(path=folder / "a", name="a", bytes=0, mtime_ns=(folder / "a").stat().st_mtime_ns, change="added"),
    )
    shutil.rmtree(folder)
    gone = view.look(set())
    assert gone[0] == FolderSeen(path=folder, present=False)
    assert changes(gone) == [("a", "deleted")]


def test_a_folder_that_is_exchanged_between_two_looks_is_looked_at_anew(tmp_path: Path) -> None:
    folder = tmp_path / "run"
    folder.mkdir()
    (folder / "a").write_bytes(b"")
    view = FolderView(folder)
    view.look()
    folder.rename(tmp_path / "old")
    folder.mkdir()
    (folder / "b").write_bytes(b"")
    assert changes(view.look(set())) == [("a", "deleted"), ("b", "added")]


def test_our_own_shortage_says_nothing_about_the_folder(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    (tmp_path / "a").write_bytes(b"")
    view = FolderView(tmp_path)
    view.look()

    def no_descriptor(_: object) -> None:
        raise OSError(errno.EMFILE, "Too many open files")

    with monkeypatch.context() as patch:
        patch.setattr(os, "scandir", no_descriptor)
        assert view.look() == ()
    assert view.look() == ()


def test_a_folder_that_may_not_be_listed_counts_as_gone(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    view = FolderView(tmp_path)

    def forbidden(_: object) -> None:
        raise PermissionError(errno.EACCES, "Permission denied")

    with monkeypatch.context() as patch:
        patch.setattr(os, "scandir", forbidden)
        assert view.look() == (FolderSeen(path=tmp_path, present=False),)
    assert view.look() == (FolderSeen(path=tmp_path, present=True),)


def test_a_file_that_cannot_be_asked_for_a_moment_is_not_deleted(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    (tmp_path / "a").write_bytes(b"1")
    view = FolderView(tmp_path)
    view.look()

    def stale(_: object) -> None:
        raise OSError(errno.EIO, "Input/output error")

    with monkeypatch.context() as patch:
        patch.setattr(looking, "stamp", stale)
        assert view.look() == ()
    (tmp_path / "a").unlink()
    assert changes(view.look()) == [("a", "deleted")]


def test_the_nearest_folder_is_never_above_the_root(tmp_path: Path) -> None:
    root = tmp_path / "output"
    deep = root / "comfytui" / "run"
    assert nearest_folder(deep, root) is None
    root.mkdir()
    found = nearest_folder(deep, root)
    assert found is not None
    assert found[0] == root
    deep.mkdir(parents=True)
    found = nearest_folder(deep, root)
    assert found is not None
    assert found[0] == deep
    shutil.rmtree(root / "comfytui")
    (root / "comfytui").write_bytes(b"a file in the way")
    assert nearest_folder(deep, root) == (root, (root.stat().st_dev, root.stat().st_ino))


def test_a_stamp_is_of_a_regular_file(tmp_path: Path) -> None:
    (tmp_path / "a").write_bytes(b"123")
    found = stamp(tmp_path / "a")
    assert found is not None
    assert found.size == 3
    assert stamp(tmp_path) is None
    assert stamp(tmp_path / "none") is None
    assert stamp(tmp_path / "a" / "below") is None


MOUNTS = [
    ("/", "ext4", "rw"),
    ("/mnt/nas", "nfs4", "rw,vers=4.2"),
    ("/mnt/nas/local", "xfs", "rw"),
    ("/home/me/far", "fuse.sshfs", "rw"),
    ("/mnt/usb", "fuseblk", "rw"),
    ("/mnt/ntfs", "fuse.fuseblk", "rw"),
    ("/share", "ext4", "rw"),
    ("/share", "cifs", "rw"),
    ("/z", "NTFS", "rw,remote"),
]


@pytest.mark.skipif(sys.platform == "win32", reason="paths of POSIX")
@pytest.mark.parametrize(
    ("place", "remote"),
    [
        ("/srv/out", False),
        ("/mnt/nas", True),
        ("/mnt/nas/out", True),
        ("/mnt/nas/local/out", False),
        ("/mnt/nasty", False),
        ("/home/me/far/out", True),
        ("/mnt/usb/out", False),
        ("/mnt/ntfs/out", False),
        ("/share/out", True),
        ("/z/out", True),
    ],
)
def test_the_innermost_mount_decides(place: str, remote: bool) -> None:
    assert is_remote(Path(place), MOUNTS) is remote


def test_where_the_mounts_cannot_be_read_events_are_tried(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    import psutil  # type: ignore[import-untyped,unused-ignore]

    assert isinstance(events_reach(tmp_path), bool)

    def unreadable(**_: object) -> None:
        raise PermissionError

    monkeypatch.setattr(psutil, "disk_partitions", unreadable)
    assert events_reach(tmp_path)
    monkeypatch.setattr(mounts, "is_remote", lambda *_: True)
    monkeypatch.setattr(psutil, "disk_partitions", lambda **_: [])
    assert not events_reach(tmp_path)
