"""Under which keys the web application holds the server's state."""

from __future__ import annotations

from typing import TYPE_CHECKING

from aiohttp import web

if TYPE_CHECKING:
    from comfytui.simulator.life import Life
    from comfytui.simulator.simulator import Simulator

LIFE: web.AppKey[Life] = web.AppKey("life")
SIMULATOR: web.AppKey[Simulator] = web.AppKey("simulator")
