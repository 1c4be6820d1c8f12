"""The server's log on demand: somebody asks, it is read once, and everyone who watches is told."""

import anyio

from comfytui.engine.hub import HubLike
from comfytui.errors import Failure
from comfytui.model.events import ServerLog
from comfytui.sources.comfy.http import ComfyHttp

NOT_OFFERED = "This server does not offer its log (it has no /internal/logs/raw)."


class LogReader:
    """Reads the end of the log of the server behind ``http``; what is asked while it reads is answered once more."""

    def __init__(self, hub: HubLike, http: ComfyHttp) -> None:
        self._hub, self._http = hub, http
        self._asked = anyio.Event()

    def ask(self) -> None:
        """Have the log read; a ``ServerLog`` sample tells."""
        self._asked.set()

    async def keep(self) -> None:
        """Answer until cancelled."""
        while True:
            await self._asked.wait()
            self._asked = anyio.Event()
            self._hub.publish(await self._read())

    async def _read(self) -> ServerLog:
        try:
            lines = await self._http.logs_tail()
        except Failure as failure:
            return ServerLog(why=f"{failure.what} {failure.remedy}")
        return ServerLog(why=NOT_OFFERED) if lines is None else ServerLog(lines=lines)
