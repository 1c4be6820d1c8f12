"""Other people's prompts on the server. ``GET /queue`` is heavy on a busy one, so it is asked seldom, and for a reader.

With 500 prompts the reply weighs 22 MB and takes the server 0.3 to 0.6 s (ComfyUI 0.3.64 and 0.8.0); how many there are
is known from replies of 37 bytes.
"""

from contextlib import suppress

from comfytui.clock import Clock
from comfytui.engine.hub import HubLike
from comfytui.errors import Failure
from comfytui.model import events as e
from comfytui.sources.comfy.http import ComfyHttp
from comfytui.sources.comfy.replies import QueueSnapshot

LOOK_EVERY = 2.0
"""Seconds between two looks at the known depth; only what stays for two of them is asked about."""
REST, REST_PER_COST = 10.0, 60.0
"""Seconds between two requests: at least so many, and so many for each second that the last one took."""
AGAIN = 60.0
"""Seconds after which a list of the same length is read anew."""
MOST = 100
"""Prompts that are listed; of the others only their number is told."""


async def watch_others(hub: HubLike, http: ComfyHttp, clock: Clock, client_id: str | None) -> None:
    """List the prompts that are not of ``client_id`` for whoever reads along, until cancelled.

    The server is asked when their number has changed, and now and then while there are any.
    """
    told = before = 0
    asked_at = -AGAIN
    while True:
        await clock.sleep(LOOK_EVERY)
        depth = hub.server.others or 0
        steady, before = depth == before, depth
        began = clock.monotonic()
        if not depth:
            told = 0
        elif steady and (depth != told or began - asked_at >= AGAIN) and hub.has_readers:
            with suppress(Failure):  # whoever needs the queue tells of it; this is only to look at
                hub.publish(listed(await http.queue(), client_id))
                told = depth
            asked_at = clock.monotonic()
            await clock.sleep(REST + (asked_at - began) * REST_PER_COST)


def listed(queue: QueueSnapshot, client_id: str | None) -> e.QueueListed:
    """Return the prompts of ``queue`` that are not of ``client_id``: what runs, then what waits. Pure."""
    others = [
        e.OthersPrompt(id=item.prompt_id, number=item.number, nodes=item.nodes, running=running)
        for items, running in ((queue.running, True), (queue.pending, False))
        for item in items
        if client_id is None or item.client_id != client_id
    ]
    return e.QueueListed(others=tuple(others[:MOST]), more=max(0, len(others) - MOST))
