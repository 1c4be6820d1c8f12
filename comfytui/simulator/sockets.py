"""The WebSockets: who is registered under which client id, and the one line all messages stand in.

As in ComfyUI, one task sends everything, one message after the other: a client that stops reading stalls everybody.
And a connection's cleanup unregisters its client id, whoever holds it by then: the deaf socket after a reconnect.
"""

from __future__ import annotations

import asyncio
import json
import uuid
from collections.abc import Callable, Iterable
from typing import Any

from aiohttp import ClientError, WSMsgType, web

from comfytui.simulator import messages
from comfytui.simulator.faults import (
    SocketDeaf,
    SocketDropped,
    SocketFault,
    SocketHalfOpen,
    SocketLingers,
    kind_of,
)
from comfytui.simulator.freeze import Freeze

Json = dict[str, Any]


class Connection:
    """One open WebSocket, with the faults that belong to it."""

    def __init__(self, request: web.Request, faults: tuple[SocketFault, ...]) -> None:
        self._request = request
        self._deaf = kind_of(faults, SocketDeaf) is not None
        self._dropped = kind_of(faults, SocketDropped)
        self._half_open = kind_of(faults, SocketHalfOpen)
        self._delivered = 0
        self.socket = web.WebSocketResponse(autoping=self._half_open is None, autoclose=self._half_open is None)

    async def open(self) -> None:
        """Answer the upgrade."""
        await self.socket.prepare(self._request)
        if self._dropped and self._dropped.before is None and not self._dropped.after_messages:
            await self.drop(clean=self._dropped.clean)

    @property
    def gone(self) -> bool:
        """Return whether the peer is to believe in a connection that is dead."""
        return self._half_open is not None and self._delivered >= self._half_open.after_messages

    async def deliver(self, event: str, payload: str | bytes) -> None:
        """Send one message, as the faults allow; an error of the connection is the reader's business."""
        if self._deaf or self.gone:
            return
        drop = self._dropped
        if drop and drop.before == event:
            await self.drop(clean=drop.clean)
            return
        try:
            if isinstance(payload, str):
                await self.socket.send_str(payload)
            else:
                await self.socket.send_bytes(payload)
        except (ClientError, OSError):
            return
        self._delivered += 1
        if drop and drop.after_messages == self._delivered:
            await self.drop(clean=drop.clean)

    async def drop(self, *, clean: bool) -> None:
        """End the connection: with a close frame, or just so."""
        if clean:
            await self.socket.close()
        elif self._request.transport is not None:
            self._request.transport.abort()


class Sockets:
    """The registered connections and the line of messages to them.

    `remaining` tells the length of the queue for `status`; `version` chooses the feature flags.
    """

    def __init__(self, version: str, remaining: Callable[[], int], freeze: Freeze) -> None:
        self._version = version
        self._remaining = remaining
        self._freeze = freeze
        self._connections: dict[str, Connection] = {}
        self._open: set[Connection] = set()
        self._flags: dict[str, Json] = {}
        self._line: asyncio.Queue[tuple[str, Json | bytes, str | None]] = asyncio.Queue()
        self.executing_for: str | None = None
        """The client of the prompt that runs, or ran last."""
        self.executing_node: str | None = None
        """The node that runs for that client."""

    def put(self, event: str, data: Json | bytes, client_id: str | None = None) -> None:
        """Put a message in line: for one client, or for everybody."""
        self._line.put_nowait((event, data, client_id))

    def put_status(self) -> None:
        """Put a `status` for everybody in line."""
        self.put("status", messages.status(self._remaining()))

    def wants_metadata(self, client_id: str | None) -> bool:
        """Return whether this client negotiated previews with metadata."""
        return client_id is not None and self._flags.get(client_id, {}).get("supports_preview_metadata") is True

    async def publish_forever(self) -> None:
        """Send what stands in line, one message after the other."""
        while True:
            event, data, client_id = await self._line.get()
            await self._freeze.over()
            await self._send(event, data, client_id)

    async def _send(self, event: str, data: Json | bytes, client_id: str | None) -> None:
        payload = data if isinstance(data, bytes) else json.dumps({"type": event, "data": data})
        if client_id is None:
            for connection in list(self._connections.values()):
                await connection.deliver(event, payload)
        elif client_id in self._connections:
            await self._connections[client_id].deliver(event, payload)

    async def serve(self, request: web.Request, faults: tuple[SocketFault, ...]) -> web.StreamResponse:
        """Handle one connection to /ws from its upgrade to its end."""
        connection = Connection(request, faults)
        await connection.open()
        sid = request.query.get("clientId", "")
        if sid:
            self._connections.pop(sid, None)
        else:
            sid = uuid.uuid4().hex
        self._connections[sid] = connection
        self._flags[sid] = {}
        self._open.add(connection)
        try:
            await self._send("status", messages.status(self._remaining(), sid), sid)
            if self.executing_for == sid and self.executing_node is not None:
                await self._send("executing", {"node": self.executing_node}, sid)
            await self._read(connection, sid)
            lingers = kind_of(faults, SocketLingers)
            if lingers is not None:
                await asyncio.sleep(lingers.seconds)
        finally:
            self._open.discard(connection)
            self._connections.pop(sid, None)
            self._flags.pop(sid, None)
        return connection.socket

    async def _read(self, connection: Connection, sid: str) -> None:
        """Read to the end; only the first message may negotiate features."""
        first = True
        async for message in connection.socket:
            if message.type is not WSMsgType.TEXT or connection.gone:
                continue
            try:
                data = json.loads(message.data)
            except ValueError:
                continue
            if first and isinstance(data, dict) and data.get("type") == "feature_flags":
                self._flags[sid] = dict(data.get("data") or {})
                await self._send("feature_flags", messages.feature_flags(self._version), sid)
            first = False

    async def close_all(self, *, clean: bool, client_ids: Iterable[str] | None = None) -> None:
        """End connections, all or those of some clients: with a close frame, or just so."""
        wanted = None if client_ids is None else {self._connections.get(one) for one in client_ids}
        for connection in list(self._open):
            if wanted is None or connection in wanted:
                await connection.drop(clean=clean)
