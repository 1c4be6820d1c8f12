"""One tab: a dashboard process of its own, started without a shell, and ended with the tab."""

import asyncio
from asyncio.subprocess import Process
from collections.abc import Mapping, Sequence
from contextlib import suppress

from aiohttp import web
from textual_serve.app_service import AppService
from textual_serve.download_manager import DownloadManager

GOODBYE_SECONDS = 5.0
"""How long a dashboard may take to leave once its tab is closed."""


class Session(AppService):
    """The dashboard behind one WebSocket; what it writes goes to the browser, what is typed there comes back."""

    def __init__(
        self,
        command: Sequence[str],
        environment: Mapping[str, str],
        socket: web.WebSocketResponse,
        downloads: DownloadManager,
    ) -> None:

        async def close() -> None:
            await socket.close()

        super().__init__(
            command[0], write_bytes=socket.send_bytes, write_str=socket.send_str, close=close,
            download_manager=downloads,
        )  # fmt: skip
        self._words, self._environment = tuple(command), environment

    def _build_environment(self, width: int = 80, height: int = 24) -> dict[str, str]:
        # 60 frames a second, as textual-serve has it, are for loopback; a slow line keeps what it was given.
        fps = {"TEXTUAL_FPS": self._environment["TEXTUAL_FPS"]} if "TEXTUAL_FPS" in self._environment else {}
        return {**self._environment, **super()._build_environment(width, height), "COLORTERM": "truecolor", **fps}

    async def _open_app_process(self, width: int = 80, height: int = 24) -> Process:
        self._process = process = await asyncio.create_subprocess_exec(
            *self._words, stdin=asyncio.subprocess.PIPE, stdout=asyncio.subprocess.PIPE,
            stderr=asyncio.subprocess.PIPE, env=self._build_environment(width, height),
        )  # fmt: skip
        self._stdin = process.stdin
        return process

    async def stop(self) -> None:
        """Ask the dashboard to leave, and end it when it does not within :data:`GOODBYE_SECONDS`."""
        process = self._process
        try:
            with suppress(TimeoutError):
                await asyncio.wait_for(super().stop(), GOODBYE_SECONDS)
        finally:
            if process is not None and process.returncode is None:
                await self._end(process)

    async def _end(self, process: Process) -> None:
        try:
            await asyncio.wait_for(process.wait(), 1.0)
        except TimeoutError:
            process.kill()
            await process.wait()
