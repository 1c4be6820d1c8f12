"""Textual's driver for POSIX terminals, which also asks the terminal how far it has read."""

from threading import Event
from typing import Any

from textual.drivers.linux_driver import LinuxDriver
from textual.events import CursorPosition
from textual.message import Message

from comfytui.clock import system_clock
from comfytui.faces.tui.flow import QUESTION, Flow
from comfytui.faces.tui.hangup import end_with


class AskingDriver(LinuxDriver):
    """A driver that knows what is on its way; its answers come in Textual's input thread."""

    def __init__(self, *given: Any, **more: Any) -> None:
        super().__init__(*given, **more)
        self._now = system_clock().monotonic
        self._flow, self._answered = Flow(), Event()
        if self.input_tty:
            end_with(self.fileno)

    @property
    def behind(self) -> bool:
        """Whether the terminal is so far behind that what only changed has to wait; it may be asked first."""
        self.ask()
        return self._flow.behind(self._now())

    @property
    def full(self) -> bool:
        """Whether it is so far behind that even a whole new screen has to wait."""
        return self._flow.full(self._now())

    def write(self, data: str) -> None:
        """Write ``data`` and count it."""
        super().write(data)
        self._flow.wrote(len(data.encode(errors="replace")), self._now())

    def ask(self) -> None:
        """Ask the terminal, behind all that was written, if that is due."""
        if self.input_tty and self._flow.wants_to_ask(self._now()):
            self._ask()

    def _ask(self) -> None:
        self._answered.clear()
        self._flow.asked(self._now())  # before it is sent: the answer comes in another thread
        super().write(QUESTION)

    def start_application_mode(self) -> None:
        """Begin, and find out whether the terminal answers while nothing is on its way yet."""
        super().start_application_mode()  # type: ignore[no-untyped-call]
        self._flow = Flow()
        if self.input_tty and self._writer_thread is not None:
            self._ask()

    def process_message(self, message: Message) -> None:
        """Keep the answer, hand on all else."""
        if isinstance(message, CursorPosition) and self._flow.answered(self._now()):
            self._answered.set()
        else:
            super().process_message(message)

    def disable_input(self) -> None:
        """Take no more input once the last answer is there, or was waited for long enough."""
        if self._key_thread is not None and self._key_thread.is_alive():
            self._answered.wait(self._flow.last_wait(self._now()))
        self._flow = Flow()
        super().disable_input()
