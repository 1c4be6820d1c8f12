"""A connection to a runner of another process: what it tells, and what it is told."""

from pathlib import Path
from types import TracebackType
from typing import Self

import anyio
from anyio.abc import ByteStream

from comfytui.link import messages
from comfytui.link.endpoint import CONNECT_SECONDS, NobodyThere, connect
from comfytui.link.lines import LineReader, LineWriter, TooLong
from comfytui.link.messages import Hello, Refused, Taken, Told, Welcome, line, told_in
from comfytui.model.commands import AnyCommand
from comfytui.model.envelope import Envelope, decode

SEND_SECONDS = 10.0


class CommandRefused(Exception):
    """The runner could not use a command, and why."""


class Connection:
    """An admitted connection to a runner; leave its context to close it."""

    def __init__(self, stream: ByteStream) -> None:
        self._stream = stream
        self._reader = LineReader(stream, messages.MAX_FACT)
        self._writer = LineWriter(stream, SEND_SECONDS)
        self._early: list[bytes] = []

    @classmethod
    async def open(cls, folder: Path, after: int | None) -> Self:
        """Join the runner of the run in ``folder``: facts after number ``after``, or (``None``) commands only.

        Raises :class:`NobodyThere`.
        """
        stream, token = await connect(folder)
        joined = cls(stream)
        try:
            with anyio.fail_after(CONNECT_SECONDS):
                await joined._writer.write(line(Hello(after=after, token=token)))
                lines = await joined._reader.batch()
            reply = told_in(lines[0]) if lines else None
            if not isinstance(reply, Welcome):
                raise NobodyThere(reply.refused if isinstance(reply, Refused) else "what answers is no runner")
        except (OSError, TooLong, anyio.BrokenResourceError) as fault:
            await anyio.aclose_forcefully(stream)
            raise NobodyThere("its runner does not answer") from fault
        except BaseException:
            await anyio.aclose_forcefully(stream)
            raise
        joined._early = lines[1:]
        return joined

    async def __aenter__(self) -> Self:
        return self

    async def __aexit__(
        self, kind: type[BaseException] | None, fault: BaseException | None, trace: TracebackType | None
    ) -> None:
        await anyio.aclose_forcefully(self._stream)

    async def told(self) -> list[Envelope | Told]:
        """Return what has been told since, at least one thing; nothing at the end of the connection.

        What cannot be read, as a newer runner may tell it, is left out.
        """
        while True:
            lines, self._early = self._early, []
            try:
                lines = lines or await self._reader.batch()
            except TooLong:
                continue
            except anyio.ClosedResourceError:
                return []
            if not lines:
                return []
            if told := [each for each in map(_read, lines) if each is not None]:
                return told

    async def command(self, command: AnyCommand) -> None:
        """Hand ``command`` over on a connection for commands only.

        Raises :class:`CommandRefused`, and :class:`NobodyThere` when the runner goes before it took the command.
        """
        try:
            with anyio.fail_after(SEND_SECONDS):
                await self._writer.write(line(command))
                while told := await self.told():
                    for each in told:
                        if isinstance(each, Refused):
                            raise CommandRefused(each.refused)
                        if isinstance(each, Taken) and each.taken == command.id:
                            return
        except (OSError, anyio.BrokenResourceError) as fault:
            raise NobodyThere("its runner did not take the command") from fault
        raise NobodyThere("its runner left before it took the command")


async def deliver(folder: Path, command: AnyCommand) -> None:
    """Hand ``command`` to the runner of the run in ``folder``. Raises what :meth:`Connection.command` does."""
    async with await Connection.open(folder, None) as connection:
        await connection.command(command)


async def answers(folder: Path) -> bool:
    """Return whether a runner answers for the run in ``folder``."""
    try:
        async with await Connection.open(folder, None):
            return True
    except NobodyThere:
        return False


def _read(data: bytes) -> Envelope | Told | None:
    try:
        return decode(data)
    except ValueError:
        return told_in(data)
