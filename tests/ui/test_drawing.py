"""The library that draws pictures is brought in without a word to the terminal, whatever the terminal can do."""

import os
import subprocess
import sys
from pathlib import Path

import pytest

pty = pytest.importorskip("pty", reason="no pseudo terminals on this system")

DRAW = """
import sys
from PIL import Image
from comfytui.faces.tui.drawing import canvas
stdout = sys.__stdout__
for method in ("half", "kitty", "sixel"):
    canvas(method).image = Image.new("RGB", (8, 8))
assert sys.__stdout__ is stdout and stdout.isatty()
import textual_image._terminal as terminal
print(tuple(terminal.get_cell_size()))
"""


@pytest.mark.parametrize(("pixels", "cell"), [((0, 0), (10, 20)), ((960, 800), (8, 20))])
def test_nothing_is_asked_and_nothing_is_written(pixels: tuple[int, int], cell: tuple[int, int]) -> None:
    import fcntl
    import struct
    import termios

    master, slave = pty.openpty()
    fcntl.ioctl(slave, termios.TIOCSWINSZ, struct.pack("HHHH", 40, 120, *pixels))
    environ = {**os.environ, "TERM": "xterm-kitty", "PYTHONPATH": str(Path(__file__).parents[2])}
    process = subprocess.run(
        [sys.executable, "-c", DRAW], stdin=slave, stdout=slave, stderr=slave, env=environ, timeout=50, check=False
    )
    os.close(slave)
    said = os.read(master, 65536).decode()
    os.close(master)
    assert process.returncode == 0, said
    assert said.strip() == str(cell)
    assert "\x1b" not in said
