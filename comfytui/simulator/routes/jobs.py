"""GET /api/jobs of version 0.8.0: queue and history in one list. 0.3.64 knows no such route."""

from __future__ import annotations

from typing import Any

from aiohttp import web

from comfytui.simulator.life import Life
from comfytui.simulator.state import LIFE
from comfytui.simulator.store import QueuedPrompt

Json = dict[str, Any]

STATUSES = ("pending", "in_progress", "completed", "failed")

routes = web.RouteTableDef()


@routes.get("/api/jobs")
async def jobs(request: web.Request) -> web.Response:
    """List jobs, newest first; `status`, `limit` and `offset` narrow the list."""
    query = request.query
    wanted = [status.strip() for status in query.get("status", ",".join(STATUSES)).split(",")]
    unknown = [status for status in wanted if status not in STATUSES]
    if unknown:
        valid = ", ".join(STATUSES)
        message = f"Invalid status value(s): {', '.join(unknown)}. Valid values: {valid}"
        return web.json_response({"error": message}, status=400)
    try:
        limit = int(query["limit"]) if "limit" in query else None
        offset = int(query.get("offset", 0))
    except ValueError:
        return web.json_response({"error": "limit and offset must be integers"}, status=400)
    found = [job for job in _all(request.app[LIFE]) if job["status"] in wanted]
    found.sort(key=lambda job: int(job["create_time"]), reverse=True)
    page = found[offset:] if limit is None else found[offset : offset + limit]
    return web.json_response(
        {
            "jobs": page,
            "pagination": {
                "offset": offset,
                "limit": limit,
                "total": len(found),
                "has_more": offset + len(page) < len(found),
            },
        }
    )


@routes.get("/api/jobs/{prompt_id}")
async def job(request: web.Request) -> web.Response:
    """Tell about one job, with its outputs and its workflow once it ended; 404 when it is unknown."""
    life, prompt_id = request.app[LIFE], request.match_info["prompt_id"]
    for status, prompts in (("in_progress", life.queue.running), ("pending", life.queue.pending)):
        for prompt in prompts:
            if prompt.prompt_id == prompt_id:
                return web.json_response(_waiting(prompt, status))
    entry = life.history.one(prompt_id).get(prompt_id)
    if entry is None:
        return web.json_response({"error": "Job not found"}, status=404)
    graph, extra = entry["prompt"][2], entry["prompt"][3]
    return web.json_response(
        _ended(prompt_id, entry)
        | {
            "outputs": entry["outputs"],
            "execution_status": entry["status"],
            "workflow": {"prompt": graph, "extra_data": extra},
        }
    )


def _all(life: Life) -> list[Json]:
    waiting = [_waiting(prompt, "pending") for prompt in life.queue.pending]
    running = [_waiting(prompt, "in_progress") for prompt in life.queue.running]
    return running + waiting + [_ended(name, entry) for name, entry in life.history.page().items()]


def _waiting(prompt: QueuedPrompt, status: str) -> Json:
    return {
        "id": prompt.prompt_id,
        "status": status,
        "priority": prompt.number,
        "create_time": prompt.extra_data["create_time"],
        "outputs_count": 0,
    }


def _ended(prompt_id: str, entry: Json) -> Json:
    """Return the job of a history entry; what is not known is left out."""
    status = entry["status"]
    events = dict(status["messages"])
    last = status["messages"][-1][1]
    job: Json = {
        "id": prompt_id,
        "status": "completed" if status["status_str"] == "success" else "failed",
        "priority": entry["prompt"][0],
        "create_time": entry["prompt"][3]["create_time"],
        "execution_start_time": events["execution_start"]["timestamp"],
        "execution_end_time": last["timestamp"],
    }
    if "execution_error" in events:
        job["execution_error"] = events["execution_error"]
    shown = [
        (node, media, item)
        for node, output in entry["outputs"].items()
        for media, items in output.items()
        for item in items
        if isinstance(item, dict)
    ]
    job["outputs_count"] = len(shown)
    if shown:
        node, media, item = shown[0]
        job["preview_output"] = {**item, "nodeId": node, "mediaType": media}
    return job
