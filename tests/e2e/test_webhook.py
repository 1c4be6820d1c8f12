"""A real run tells a real webhook that it is over; its address is in the configuration and nowhere else."""

import json
import threading
from collections.abc import Iterator
from http.server import BaseHTTPRequestHandler, HTTPServer
from pathlib import Path

import pytest

from tests.e2e.command import comfytui, story
from tests.e2e.test_secrets import everything_in

SECRET = "/services/T0/sEcReT-5f0c"


@pytest.fixture
def told() -> Iterator[tuple[str, list[tuple[str, dict[str, object]]]]]:
    """A webhook: its address, and path and body of each POST."""
    posts: list[tuple[str, dict[str, object]]] = []

    class Hook(BaseHTTPRequestHandler):
        def do_POST(self) -> None:
            body = self.rfile.read(int(self.headers["Content-Length"]))
            posts.append((self.path, json.loads(body)))
            self.send_response(204)
            self.end_headers()

        def log_message(self, *_words: object) -> None:
            return

    with HTTPServer(("127.0.0.1", 0), Hook) as server:
        threading.Thread(target=server.serve_forever, daemon=True).start()
        yield f"http://127.0.0.1:{server.server_port}{SECRET}", posts
        server.shutdown()


def test_a_run_tells_its_webhook_that_it_is_over(
    tmp_path: Path, told: tuple[str, list[tuple[str, dict[str, object]]]]
) -> None:
    address, posts = told
    (tmp_path / "comfytui.toml").write_text(f'[notify]\nwebhook = "{address}"\n', encoding="utf-8")
    ordered = ("run", str(story(tmp_path, scenes=1)), "--server", "sim", "--workflow", "smoke", "--headless")
    done = comfytui(*ordered, cwd=tmp_path, COMFYTUI_CONFIG="comfytui.toml")
    assert done.returncode == 0, done.stderr
    assert [(path, body["event"]) for path, body in posts] == [(SECRET, "run_finished")]
    assert str(posts[0][1]["text"]).endswith("finished, exit 0: 1 of 1 scene, 3 frames")
    assert "sEcReT" not in done.stdout + done.stderr
    holding = [name for name, data in everything_in(tmp_path) if b"sEcReT" in data]
    assert [Path(name).name for name in holding] == ["comfytui.toml"]
