"""The dashboard in a real browser, served by the real command: one link, one page, nothing from elsewhere."""

import io
import re
import signal
import subprocess
import sys
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import anyio
import httpx
import psutil
import pytest
from PIL import Image

from tests.e2e.browser import Browser, browsing, chromium, until
from tests.e2e.command import COMMAND, comfytui, environment, story

LINK = re.compile(r"Open in one browser, once: (http://127\.0\.0\.1:(\d+)/\?token=\S+)")

pytestmark = pytest.mark.skipif(sys.platform == "win32", reason="needs POSIX signals")


class Served:
    """``comfytui serve`` and what it has printed."""

    def __init__(self, process: "subprocess.Popen[str]", log: Path) -> None:
        self.process, self._log = process, log

    @property
    def links(self) -> list[str]:
        return [found[0] for found in LINK.findall(self._log.read_text(encoding="utf-8"))]

    @property
    def origin(self) -> str:
        return self.links[0].partition("/?")[0]

    def dashboards(self) -> list[psutil.Process]:
        return [child for child in psutil.Process(self.process.pid).children() if "attach" in child.cmdline()]


@contextmanager
def serving(folder: Path, *more: str) -> Iterator[Served]:
    log = folder / "serve.log"
    with log.open("w") as output:
        process = subprocess.Popen(
            [*COMMAND, "serve", "--port", "0", *more], cwd=folder, env=environment(PYTHONUNBUFFERED="1"),
            stdin=subprocess.DEVNULL, stdout=output, stderr=output, text=True, start_new_session=True,
        )  # fmt: skip
    try:
        yield Served(process, log)
    finally:
        process.send_signal(signal.SIGINT)
        try:
            process.wait(15)
        except subprocess.TimeoutExpired:
            process.kill()
            process.wait()


@pytest.fixture
def rendered(tmp_path: Path) -> Path:
    """A folder with a run that is over."""
    done = comfytui("run", str(story(tmp_path, scenes=2)), "--headless", "--server", "sim", "--workflow", "smoke",
                    cwd=tmp_path)  # fmt: skip
    assert done.returncode == 0, done.stderr
    return tmp_path


def colours(png: bytes) -> int:
    """Return how many colours a picture has."""
    with Image.open(io.BytesIO(png)) as picture:
        found = picture.convert("RGB").getcolors(1 << 24)
    assert found is not None
    return len(found)


@pytest.mark.skipif(chromium() is None, reason="no Chromium is installed here")
async def test_a_browser_shows_the_dashboard_and_types_into_it(rendered: Path) -> None:
    with serving(rendered) as served:
        await until(lambda: bool(served.links))
        async with browsing(rendered / "profile") as browser:
            await browser.goto(served.links[0])
            await browser.until("document.body && document.body.classList.contains('-first-byte')")
            assert await browser.value("location.href") == f"{served.origin}/", "the token leaves the address"
            assert await browser.value("document.cookie") == "", "no script reads the session"
            first = await painted(browser)
            (rendered / "browser.png").write_bytes(first)
            await browser.press("?")
            assert await painted(browser, unlike=first) != first, "a key is felt"
            await browser.press("q")
            await browser.press("q")
            await browser.until("document.body.classList.contains('-closed')")
            foreign = [url for url in browser.requested if not url.startswith(("data:", "about:", *_own(served)))]
            assert foreign == [], "the page fetches nothing from elsewhere"
        assert len(served.links) == 2, "there is a link for the next browser"
        await until(lambda: served.dashboards() == [])


async def painted(browser: Browser, unlike: bytes = b"") -> bytes:
    """Return what the page shows once it is a dashboard at rest, and other than ``unlike``."""
    before = b""
    with anyio.fail_after(20):
        while True:
            picture = await browser.screenshot()
            if picture == before and picture != unlike and colours(picture) > 30:
                return picture
            before = picture
            await anyio.sleep(0.2)


def _own(served: Served) -> tuple[str, str]:
    return served.origin, served.origin.replace("http:", "ws:")


async def test_only_the_link_of_the_moment_lets_anybody_in(rendered: Path) -> None:
    with serving(rendered) as served:
        await until(lambda: bool(served.links))
        async with httpx.AsyncClient(base_url=served.origin, trust_env=False) as stranger:
            for path in ("/", "/ws", "/static/js/textual.js", "/page/page.css", "/?token=", "/?token=guess"):
                assert (await stranger.get(path)).status_code == 403, path
        async with httpx.AsyncClient(base_url=served.origin, trust_env=False) as browser:
            let_in = await browser.get(served.links[0])
            assert (let_in.status_code, let_in.headers["location"]) == (303, "/")
            assert "HttpOnly" in let_in.headers["set-cookie"]
            assert "SameSite=Strict" in let_in.headers["set-cookie"]
            page = await browser.get("/")
            assert page.status_code == 200
            assert "http://" not in page.text.replace(served.origin, "")
            assert "https://" not in page.text
            assert "default-src 'none'" in page.headers["content-security-policy"]
            for wrong in ({"Host": "evil.example"}, {"Host": "evil.example:80"}):
                assert (await browser.get("/", headers=wrong)).status_code == 403
            for origin in ({}, {"Origin": "http://evil.example"}):
                upgrade = {"Connection": "Upgrade", "Upgrade": "websocket", "Sec-WebSocket-Version": "13",
                           "Sec-WebSocket-Key": "dGhlIHNhbXBsZSBub25jZQ==", **origin}  # fmt: skip
                assert (await browser.get("/ws", headers=upgrade)).status_code == 403
        async with httpx.AsyncClient(base_url=served.origin, trust_env=False) as late:
            assert (await late.get(served.links[0])).status_code == 403, "a link is good once"
            odd = "comfytui_session=\u00e9".encode()
            assert (await late.get("/", headers=[(b"Cookie", odd)])).status_code == 403
            assert (await late.get("/?token=%ED%A0%80")).status_code == 403
        await until(lambda: len(served.links) == 2)
        assert served.dashboards() == []


def test_a_port_that_is_taken_is_told(rendered: Path) -> None:
    with serving(rendered) as served:
        import time

        deadline = time.monotonic() + 20
        while not served.links:
            assert time.monotonic() < deadline
            time.sleep(0.05)
        port = served.origin.rpartition(":")[2]
        done = comfytui("serve", "--port", port, cwd=rendered)
    assert done.returncode == 2
    assert "[serve.port]" in done.stderr
    assert "Traceback" not in done.stderr
