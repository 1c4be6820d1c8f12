"""Disks that misbehave for real: a small one that fills up, one that turns read-only, files that may not grow."""

import contextlib
import os
import shutil
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path

import pytest


@contextlib.contextmanager
def small_disk(place: Path, megabytes: int) -> Iterator[Path]:
    """Mount a disk of that size (tmpfs) at ``place``; the test is skipped where that is not allowed."""
    place.mkdir()
    _mount("-t", "tmpfs", "-o", f"size={megabytes}m", "tmpfs", str(place))
    try:
        yield place
    finally:
        _unmount(place)


@contextlib.contextmanager
def read_only(folder: Path) -> Iterator[None]:
    """Make ``folder`` read-only, for root too, by mounting it over itself."""
    _mount("--bind", str(folder), str(folder))
    try:
        _mount("-o", "remount,bind,ro", str(folder))
        yield
    finally:
        _unmount(folder)


def fill(disk: Path, leave: int = 0) -> Path:
    """Take all space of ``disk`` but ``leave`` bytes, with one file of somebody else, and return its path."""
    ballast = disk / "ballast"
    with ballast.open("wb", buffering=0) as file:
        rest = shutil.disk_usage(disk).free - leave
        with contextlib.suppress(OSError):
            while rest > 0:
                rest -= file.write(b"\0" * min(rest, 1 << 20))
    return ballast


@contextlib.contextmanager
def files_no_larger_than(size: int) -> Iterator[None]:
    """Let no write of this process reach beyond byte ``size`` of any file (EFBIG), as a quota would."""
    if sys.platform == "win32":
        pytest.skip("Windows has no limit on the size of files")
    import resource

    soft, hard = resource.getrlimit(resource.RLIMIT_FSIZE)
    resource.setrlimit(resource.RLIMIT_FSIZE, (size, hard))
    try:
        yield
    finally:
        resource.setrlimit(resource.RLIMIT_FSIZE, (soft, hard))


def _mount(*arguments: str) -> None:
    if shutil.which("mount") is None or not hasattr(os, "geteuid") or os.geteuid() != 0:
        pytest.skip("a disk of its own needs mount, and to be root")
    done = subprocess.run(["mount", *arguments], capture_output=True, encoding="utf-8", timeout=10, check=False)
    if done.returncode:
        pytest.skip(f"a disk of its own cannot be mounted here: {done.stderr.strip()}")


def _unmount(place: Path) -> None:
    subprocess.run(["umount", "-l", str(place)], capture_output=True, timeout=10, check=True)
