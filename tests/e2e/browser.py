"""A real headless Chromium, driven over its DevTools protocol."""

import base64
import itertools
import shutil
import subprocess
import time
from collections.abc import AsyncIterator, Callable
from contextlib import asynccontextmanager
from pathlib import Path
from typing import Any

import anyio
from httpx import AsyncClient
from httpx_ws import AsyncWebSocketSession, aconnect_ws

FLAGS = (
    "--headless", "--no-sandbox", "--disable-gpu", "--disable-quic", "--no-first-run",
    "--disable-background-networking", "--disable-component-update", "--disable-sync", "--hide-scrollbars",
    "--window-size=1200,800", "--remote-debugging-port=0",
)  # fmt: skip

BIGGEST = 64 * 1024 * 1024


def chromium() -> str | None:
    """Return the Chromium of this machine, or ``None``."""
    return next(filter(None, map(shutil.which, ("chromium", "chromium-browser", "google-chrome"))), None)


@asynccontextmanager
async def browsing(profile: Path) -> "AsyncIterator[Browser]":
    """Run a browser with one tab, its profile in a folder of its own."""
    program = chromium()
    assert program is not None
    command = [program, *FLAGS, f"--user-data-dir={profile}", "about:blank"]
    async with await anyio.open_process(command, stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL) as process:
        try:
            door = profile / "DevToolsActivePort"
            await until(lambda: door.exists() and "\n" in door.read_text())
            address = f"http://127.0.0.1:{door.read_text().splitlines()[0]}"
            async with AsyncClient(base_url=address, trust_env=False) as client:
                pages = [page for page in (await client.get("/json")).json() if page["type"] == "page"]
                tab = pages[0]["webSocketDebuggerUrl"]
                async with aconnect_ws(tab, client, max_message_size_bytes=BIGGEST) as socket:
                    browser = Browser(socket)
                    for domain in ("Page", "Network", "Runtime"):
                        await browser.ask(f"{domain}.enable")
                    yield browser
        finally:
            process.terminate()


class Browser:
    """A browser's tab."""

    def __init__(self, socket: AsyncWebSocketSession) -> None:
        self._socket = socket
        self._numbers = itertools.count(1)
        self.requested: list[str] = []
        """The address of everything that the page asked for."""

    async def ask(self, method: str, **params: Any) -> dict[str, Any]:
        """Ask for ``method`` and return its result; what the page requests meanwhile is noted."""
        number = next(self._numbers)
        await self._socket.send_json({"id": number, "method": method, "params": params})
        with anyio.fail_after(20):
            while True:
                told = await self._socket.receive_json()
                if told.get("method") in ("Network.requestWillBeSent", "Network.webSocketCreated"):
                    asked = told["params"]
                    self.requested.append(asked.get("url") or asked["request"]["url"])
                if told.get("id") == number:
                    assert "error" not in told, told
                    return dict(told["result"])

    async def goto(self, address: str) -> None:
        """Open ``address``."""
        await self.ask("Page.navigate", url=address)

    async def value(self, expression: str) -> Any:
        """Return what ``expression`` is in the page."""
        found = await self.ask("Runtime.evaluate", expression=expression, returnByValue=True)
        return found["result"].get("value")

    async def until(self, expression: str) -> None:
        """Return once ``expression`` is true in the page; at most 20 seconds."""
        with anyio.fail_after(20):
            while not await self.value(expression):
                await anyio.sleep(0.05)

    async def press(self, key: str) -> None:
        """Type one character."""
        await self.ask("Input.dispatchKeyEvent", type="keyDown", key=key, text=key)
        await self.ask("Input.dispatchKeyEvent", type="keyUp", key=key)

    async def screenshot(self) -> bytes:
        """Return what is on the page as a PNG."""
        return base64.b64decode((await self.ask("Page.captureScreenshot", format="png"))["data"])


async def until(true: Callable[[], bool], seconds: float = 20.0) -> None:
    """Return once ``true()`` is."""
    deadline = time.monotonic() + seconds
    while not true():
        assert time.monotonic() < deadline
        await anyio.sleep(0.05)
