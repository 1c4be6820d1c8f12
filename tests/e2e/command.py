"""The real ``comfytui`` in a process of its own, for tests."""

import os
import subprocess
import sys
from pathlib import Path

ROOT = Path(__file__).parents[2]

COMMAND = [sys.executable, "-m", "comfytui"]


def environment(**more: str) -> dict[str, str]:
    """Return an environment without settings of the person who runs the tests.

    The program is compiled once and not at every start, as where it is installed.
    """
    others = ("COMFYTUI_", "SCENE_", "LOCAL_", "PYTHONDONTWRITEBYTECODE")
    kept = {name: value for name, value in os.environ.items() if not name.startswith(others)}
    return {**kept, "PYTHONPATH": str(ROOT), "COMFYTUI_CONFIG": "", **more}


def comfytui(*arguments: str, cwd: Path, timeout: float = 50, **more: str) -> "subprocess.CompletedProcess[str]":
    """Run a command to its end. Standard input is empty, and no stream is a terminal."""
    return subprocess.run(
        [*COMMAND, *arguments], cwd=cwd, env=environment(**more), stdin=subprocess.DEVNULL, capture_output=True,
        encoding="utf-8", timeout=timeout, check=False,
    )  # fmt: skip


def started(*arguments: str, cwd: Path, **more: str) -> "subprocess.Popen[bytes]":
    """Start a command with pipes for its output, in a process group of its own."""
    return subprocess.Popen(
        [*COMMAND, *arguments], cwd=cwd, env=environment(**more), stdin=subprocess.DEVNULL, stdout=subprocess.PIPE,
        stderr=subprocess.PIPE, start_new_session=True,
    )  # fmt: skip


def story(folder: Path, scenes: int = 2, frames: int = 3) -> Path:
    """Write a small story into ``folder`` and return its path."""
    path = folder / "story.toml"
    lines = ['storyId = "small"']
    for number in range(scenes):
        lines += ["[[scenes]]", f'prompt = "a lighthouse in the fog, {number}"', f"expectedFrames = {frames}"]
    path.write_text("\n".join(lines), encoding="utf-8")
    return path
