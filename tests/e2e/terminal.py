"""A real ``comfytui`` in a terminal of its own (a pty), read as a person reads it: what stands on the screen now."""

import os
import re
import subprocess
import sys
import threading
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path

import pyte

from tests.e2e.command import COMMAND, environment

if sys.platform != "win32":
    import fcntl
    import pty
    import struct
    import termios
    import tty

Size = tuple[int, int]
"""Columns and lines."""

BEAT = 0.05
"""Seconds between two readings of a slow terminal."""

_MODE = re.compile(rb"\x1b\[\?([0-9;]+)([hl])")
_KITTY_KEYS = re.compile(rb"\x1b\[([<>])[0-9;]*u")
_LINE_WRAP, _CURSOR = 7, 25
_ON_IN_A_SHELL = {_LINE_WRAP, _CURSOR}


class Terminal:
    """A command in a terminal of ``size``, everything it has written there, and the screen that this makes.

    Questions of the command (where the cursor is, say) are answered when they are read, unless ``answers`` is false.
    """

    def __init__(self, *arguments: str, cwd: Path, size: Size = (120, 40), answers: bool = True) -> None:
        columns, lines = size
        self.master, slave = pty.openpty()
        fcntl.ioctl(slave, termios.TIOCSWINSZ, struct.pack("HHHH", lines, columns, 0, 0))
        self.settings = termios.tcgetattr(slave)
        self.process = subprocess.Popen(
            [*COMMAND, *arguments], cwd=cwd, env=environment(TERM="xterm-256color"), stdin=slave, stdout=slave,
            stderr=slave, start_new_session=True,
        )  # fmt: skip
        self._name = os.ttyname(slave)
        os.close(slave)
        self.bytes_a_second: int | None = None
        """As much is read at most; ``None``: all at once."""
        self._gone = False
        self._raw = bytearray()
        self._screen = pyte.Screen(columns, lines)
        if answers:
            self._screen.write_process_input = self.press  # type: ignore[method-assign]
        self._stream, self._reading = pyte.ByteStream(self._screen), threading.Lock()
        self._reader = threading.Thread(target=self._read, daemon=True)
        self._reader.start()

    def _read(self) -> None:
        while True:
            slow = self.bytes_a_second
            if slow is not None:
                time.sleep(BEAT)
            try:
                data = os.read(self.master, 65536 if slow is None else max(1, int(slow * BEAT)))
            except OSError:  # the other end is closed
                return
            if not data or self._gone:
                return
            with self._reading:
                self._raw += data
                self._stream.feed(data)

    @property
    def raw(self) -> bytes:
        """What was written, byte for byte."""
        with self._reading:
            return bytes(self._raw)

    @property
    def text(self) -> str:
        """What stands on the screen."""
        with self._reading:
            return "\n".join(line.rstrip() for line in self._screen.display).rstrip()

    @property
    def left_on(self) -> list[str]:
        """The terminal modes that are not as a shell has them, by name; empty where all is as it was."""
        raw = self.raw
        modes: dict[int, bool] = {}
        for numbers, switch in _MODE.findall(raw):
            modes.update(dict.fromkeys(map(int, numbers.split(b";")), switch == b"h"))
        left = [f"?{mode}" for mode, on in modes.items() if on != (mode in _ON_IN_A_SHELL)]
        pushed = sum(1 if what == b">" else -1 for what in _KITTY_KEYS.findall(raw))
        if pushed > 0:
            left.append("kitty keys")
        if termios.tcgetattr(self.master) != self.settings:
            left.append("line discipline")
        return left

    @contextmanager
    def shell(self) -> Iterator[Callable[[], bytes]]:
        """Hold the terminal as the shell does that started the command; gives what then takes what is typed there."""
        held = os.open(self._name, os.O_RDWR | os.O_NOCTTY | os.O_NONBLOCK)

        def typed() -> bytes:
            tty.setraw(held, termios.TCSANOW)
            try:
                return os.read(held, 65536)
            except BlockingIOError:
                return b""

        try:
            yield typed
        finally:
            os.close(held)

    def press(self, keys: str) -> None:
        os.write(self.master, keys.encode())

    def shows(self, text: str) -> None:
        """Return once ``text`` stands on the screen."""
        eventually(lambda: text in self.text, lambda: f"{text!r} was never shown; this was:\n{self.text}")

    def shows_no_more(self, text: str) -> None:
        """Return once ``text`` stands there no longer."""
        eventually(lambda: text not in self.text, lambda: f"{text!r} went on being shown:\n{self.text}")

    def does(self, keys: str, then: str) -> None:
        """Press ``keys`` and return once ``then`` stands on the screen."""
        self.press(keys)
        self.shows(then)

    def hang_up(self) -> None:
        """Go away, as a terminal does whose window is closed."""
        self._gone = True
        self.press("?")  # what is written now ends the reading
        self._reader.join(20)
        os.close(self.master)

    def close(self) -> None:
        self.process.kill()
        self.process.wait()
        if not self._gone:
            self._reader.join(5)
            os.close(self.master)


def eventually(true: Callable[[], bool], otherwise: str | Callable[[], str] = "", seconds: float = 30.0) -> None:
    """Return once ``true``; fail with the words ``otherwise`` when that takes longer than ``seconds``."""
    deadline = time.monotonic() + seconds
    while not true():
        assert time.monotonic() < deadline, otherwise if isinstance(otherwise, str) else otherwise()
        time.sleep(0.05)


Opens = Callable[..., Terminal]
"""Starts ``comfytui`` with arguments in a terminal, of a ``size`` if that is given."""


@contextmanager
def terminals(folder: Path) -> Iterator[Opens]:
    """Give what opens terminals in ``folder``; all are closed at the end."""
    opened: list[Terminal] = []

    def start(*arguments: str, size: Size = (120, 40), answers: bool = True) -> Terminal:
        opened.append(Terminal(*arguments, cwd=folder, size=size, answers=answers))
        return opened[-1]

    try:
        yield start
    finally:
        for each in opened:
            each.close()
