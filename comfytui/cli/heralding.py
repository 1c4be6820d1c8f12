"""The webhook of a run: where its address comes from, in whichever process drives the run."""

import os
from pathlib import Path

from comfytui.clock import Clock
from comfytui.engine.herald import Herald
from comfytui.engine.hub import Hub
from comfytui.errors import Failure
from comfytui.model.plan import RunPlan
from comfytui.settings.notify_table import webhook_of
from comfytui.sources.webhook import Untold, Webhook


def herald_of(plan: RunPlan, hub: Hub, clock: Clock) -> Herald | None:
    """Return who tells the news of ``hub``, ``None`` where there is no webhook to tell.

    An address that cannot be read by now fails like a webhook that does not answer: it never ends a run.
    """
    try:
        address = webhook_of(os.environ, Path(plan.notify_file) if plan.notify_file is not None else None)
    except Failure as failure:
        why = failure.what.removesuffix(".")

        async def refuse(body: bytes) -> None:
            raise Untold(why, again=False)

        return Herald(hub, refuse, plan.news, clock)
    return Herald(hub, Webhook(address).post, plan.news, clock) if address is not None else None
