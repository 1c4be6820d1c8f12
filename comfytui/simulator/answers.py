"""Answers that several routes give, word for word as the real server."""

from __future__ import annotations

from aiohttp import web


def server_error() -> web.Response:
    """Return the 500 of an exception in a handler: plain text, and the connection ends."""
    response = web.Response(status=500, text="500 Internal Server Error\n\nServer got itself in trouble")
    response.force_close()
    return response


def nothing_here() -> web.Response:
    """Return the 404 of a path that no route serves: empty, as of a static file."""
    return web.Response(status=404, headers={"Content-Type": "application/octet-stream"})
