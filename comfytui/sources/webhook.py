"""A webhook that is told news by POST: one attempt at a time, bounded in time, its answer never read.

Its address is a secret: it is in no word that leaves this room.
"""

import anyio
import httpx

PATIENCE = 10.0
"""Seconds that one attempt may take in all, from looking the name up to the status of the answer."""


class Untold(Exception):
    """Why the webhook did not take what it was told, without its address; ``again``: it may take it later."""

    def __init__(self, why: str, *, again: bool) -> None:
        self.why, self.again = why, again
        super().__init__(why)


class Webhook:
    """Posts to ``url``, which shows in no ``repr`` and no error."""

    def __init__(self, url: str, patience: float = PATIENCE) -> None:
        self._url, self._patience = url, patience

    async def post(self, body: bytes) -> None:
        """Post ``body``, which is JSON. Raises :class:`Untold`. A redirect is not followed: it leads elsewhere."""
        status: int | None = None
        try:
            with anyio.move_on_after(self._patience):
                status = await self._status(body)
        except httpx.ConnectError:
            raise Untold("no connection: its name, the network or TLS fails", again=True) from None
        except (httpx.InvalidURL, httpx.UnsupportedProtocol):
            raise Untold("its address is unusable", again=False) from None
        except httpx.HTTPError as fault:
            raise Untold(f"the connection broke ({type(fault).__name__})", again=True) from None
        if status is None:
            raise Untold(f"no answer within {self._patience:g} s", again=True)
        if 300 <= status < 400:
            raise Untold(f"it redirects elsewhere ({status}), which is not followed", again=False)
        if status >= 400:
            raise Untold(f"it answers {status}", again=status >= 500 or status in (408, 429))

    async def _status(self, body: bytes) -> int:
        headers = {"Content-Type": "application/json"}
        async with (
            httpx.AsyncClient(timeout=self._patience, follow_redirects=False) as client,
            client.stream("POST", self._url, content=body, headers=headers) as reply,
        ):
            return reply.status_code
