"""The sentinel as a process: it marks what comes to rest while it watches, and leaves in good order."""

import signal
import sys
import time
from pathlib import Path

import pytest

from tests.e2e.command import started
from tests.unit.test_marker_node import PNG


@pytest.mark.skipif(sys.platform == "win32", reason="Windows has no SIGTERM to be caught")
@pytest.mark.parametrize("number", [signal.SIGINT, signal.SIGTERM])
def test_it_marks_until_it_is_ended(tmp_path: Path, number: signal.Signals) -> None:
    output = tmp_path / "output"
    output.mkdir()
    sentinel = started("sentinel", str(output), "--rest", "0.2", cwd=tmp_path)
    try:
        (output / "s_00001_.png").write_bytes(PNG)
        end = time.monotonic() + 30
        while not (output / "s.done").exists() and time.monotonic() < end:
            time.sleep(0.05)
        sentinel.send_signal(number)
        out, err = sentinel.communicate(timeout=20)
    finally:
        sentinel.kill()
        sentinel.wait()
    assert b"marked      s: 1 frame" in out
    assert (sentinel.returncode, err) == (130, b"")
    assert sorted(path.name for path in output.iterdir()) == ["s.done", "s_00001_.png"]
