"""The runner's end of the link: it tells every face what happens, and takes their commands. It can slow nobody down."""

import hmac
import sys
import traceback
from collections.abc import AsyncIterator, Callable
from contextlib import asynccontextmanager, suppress
from pathlib import Path

import anyio
import anyio.to_thread
from anyio.abc import Listener, SocketStream, TaskGroup

from comfytui.clock import Clock
from comfytui.errors import Failure
from comfytui.link import messages
from comfytui.link.backlog import Backlog, lines_of, next_batch
from comfytui.link.endpoint import Transport
from comfytui.link.hub import HubLike, MailboxLike
from comfytui.link.lines import LineReader, LineWriter, TooLong
from comfytui.link.listening import endpoint
from comfytui.link.messages import CaughtUp, Refused, Taken, Welcome, line
from comfytui.model.commands import AnyCommand
from comfytui.untrusted import plain

PATIENCE = 30.0
"""Seconds in which a client must take what it is sent, 64 kB at a time; else it is dropped, and may come again."""

GREETING_SECONDS = 10.0
FAREWELL_SECONDS = 3.0
"""How long clients may take to read the last facts when the run is over."""

MAX_LAG = 20_000
"""Facts that a client may be behind; beyond that it is dropped, and finds them in the journal."""

MAX_CLIENTS = 64

_MAY_COME_AGAIN = "It may come again, and finds what it missed in the journal."


class LinkServer:
    """Serves the run in ``folder`` to other processes while :meth:`open` is.

    ``on_command`` gets each command, on the event loop; it answers through events of the hub. On leaving, clients have
    :data:`FAREWELL_SECONDS` to read to the end of what the hub told before it closed.
    """

    def __init__(
        self,
        folder: Path,
        hub: HubLike,
        backlog: Backlog,
        on_command: Callable[[AnyCommand], None],
        clock: Clock,
        *,
        transport: Transport | None = None,
        patience: float = PATIENCE,
    ) -> None:
        self._folder = folder
        self._hub = hub
        self._backlog = backlog
        self._on_command = on_command
        self._clock = clock
        self._transport = transport
        self._patience = patience
        self._token = ""
        self._clients = 0
        self._empty = anyio.Event()

    @asynccontextmanager
    async def open(self) -> AsyncIterator[None]:
        """Be there for clients within this context. Raises ``Failure`` ``run.unwritable``."""
        async with (
            endpoint(self._folder, self._transport) as (listener, self._token),
            anyio.create_task_group() as tasks,
        ):
            listening = anyio.CancelScope()
            tasks.start_soon(self._listen, listener, tasks, listening)
            try:
                yield
                listening.cancel()
                await self._farewell()
            finally:
                tasks.cancel_scope.cancel()

    async def _farewell(self) -> None:
        """Wait until every client has read to the end, or has had time to."""
        with anyio.move_on_after(FAREWELL_SECONDS):
            while self._clients:
                self._empty = anyio.Event()
                await self._empty.wait()

    async def _listen(self, listener: Listener[SocketStream], tasks: TaskGroup, scope: anyio.CancelScope) -> None:
        with scope:
            while True:
                try:
                    await listener.serve(self._serve, tasks)
                except OSError:  # no file descriptor is free just now
                    await self._clock.sleep(1.0)

    async def _serve(self, stream: SocketStream) -> None:
        """Serve one client to its end. Whatever happens to it, neither the run nor another client notices."""
        self._clients += 1
        try:
            async with stream:
                await self._converse(stream)
        except* TimeoutError:
            _log(f"A client of the run was dropped: it took nothing for {self._patience:g} s. {_MAY_COME_AGAIN}")
        except* (ConnectionError, anyio.BrokenResourceError, anyio.ClosedResourceError):
            pass  # it went away, as faces do at any time: what it did not hear is in the journal
        except* Exception:  # noqa: BLE001  (a fault of ours or of the disk: into the runner's log, and the run goes on)
            _log(traceback.format_exc().rstrip())
        finally:
            self._clients -= 1
            self._empty.set()

    async def _converse(self, stream: SocketStream) -> None:
        reader, writer = LineReader(stream, messages.MAX_COMMAND), LineWriter(stream, self._patience)
        lines: list[bytes] = []
        with anyio.move_on_after(GREETING_SECONDS):
            lines = await self._next(reader, writer)
        if not lines:
            return
        try:
            hello = messages.hello_in(lines[0])
        except ValueError as fault:
            await writer.write(line(Refused(refused=f"not a hello: {plain(str(fault), 200)}")))
            return
        if not hmac.compare_digest(hello.token.encode(), self._token.encode()):
            await writer.write(line(Refused(refused="the token does not fit")))
        elif self._clients > MAX_CLIENTS:
            await writer.write(line(Refused(refused=f"there are {MAX_CLIENTS} others already")))
        else:
            await self._admitted(hello.after, lines[1:], reader, writer)

    async def _admitted(self, after: int | None, early: list[bytes], reader: LineReader, writer: LineWriter) -> None:
        """Tell and listen at the same time, until the client leaves or the hub closes."""
        async with anyio.create_task_group() as tasks:

            async def listen() -> None:
                await self._commands(early, reader, writer)
                tasks.cancel_scope.cancel()

            if after is None:
                await writer.write(line(Welcome(run=self._hub.run_id)))
                await listen()
                return
            with self._hub.subscribe() as mailbox:
                await writer.write(line(Welcome(run=self._hub.run_id)))
                tasks.start_soon(listen)
                await self._tell(after, mailbox, writer)
                tasks.cancel_scope.cancel()

    async def _tell(self, after: int, mailbox: MailboxLike, writer: LineWriter) -> None:
        """Send the facts from ``after`` on: those of the past, then what comes into ``mailbox``."""
        past = self._backlog.since(after, mailbox.after)
        while batch := await anyio.to_thread.run_sync(next_batch, past):
            await writer.write(lines_of(batch))
        await writer.write(line(CaughtUp(caught_up=mailbox.after)))
        async for batch in mailbox.batches():
            for start in range(0, len(batch), 100):
                part = batch[start : start + 100]
                if self._hub.state.seq - part[-1].seq > MAX_LAG:
                    _log(f"A client of the run was dropped: it is more than {MAX_LAG} facts behind. {_MAY_COME_AGAIN}")
                    return
                await writer.write(lines_of(part))

    async def _commands(self, early: list[bytes], reader: LineReader, writer: LineWriter) -> None:
        """Take the client's commands until it closes its end."""
        lines = early or await self._next(reader, writer)
        while lines:
            for each in lines:
                await writer.write(line(self._take(each)))
            lines = await self._next(reader, writer)

    async def _next(self, reader: LineReader, writer: LineWriter) -> list[bytes]:
        while True:
            try:
                return await reader.batch()
            except TooLong:
                refusal = Refused(refused=f"the line is longer than {messages.MAX_COMMAND} bytes")
                await writer.write(line(refusal))

    def _take(self, data: bytes) -> Taken | Refused:
        try:
            command = messages.command_in(data)
        except ValueError as fault:
            return Refused(refused=f"not a command: {plain(str(fault), 200)}")
        try:
            self._on_command(command)
        except Failure as failure:
            return Refused(refused=str(failure))
        return Taken(taken=command.id)


def _log(text: str) -> None:
    """Write ``text`` into the runner's log; its disk may be full, and the run goes on."""
    with suppress(OSError):
        print(text, file=sys.stderr, flush=True)
