"""A language model as a process of its own: ``python llm_server.py REPLIES`` says its port, and answers from a file."""

import json
import sys
from http.server import BaseHTTPRequestHandler, HTTPServer
from pathlib import Path

REPLIES = json.loads(Path(sys.argv[1]).read_text(encoding="utf-8"))


class Handler(BaseHTTPRequestHandler):
    """Answers GET with ``models`` and POST with ``chat``."""

    def do_GET(self) -> None:
        self._say(REPLIES["models"])

    def do_POST(self) -> None:
        self.rfile.read(int(self.headers["Content-Length"]))
        self._say(REPLIES["chat"])

    def _say(self, told: object) -> None:
        body = json.dumps(told).encode()
        self.send_response(200)
        self.send_header("Content-Type", "application/json")
        self.send_header("Content-Length", str(len(body)))
        self.end_headers()
        self.wfile.write(body)

    def log_message(self, format: str, *args: object) -> None:  # noqa: A002  (the name is http.server's)
        """Say nothing."""


if __name__ == "__main__":
    server = HTTPServer(("127.0.0.1", 0), Handler)
    print(server.server_address[1], flush=True)
    server.serve_forever()
