"""The routes about prompts: submit, queue, history, interrupt, free."""

from __future__ import annotations

import uuid
from typing import Any

from aiohttp import web

from comfytui.simulator.answers import server_error
from comfytui.simulator.faults import IdIgnored, PartlyAccepted, PromptFault, QueueFilled, Rejected, kind_of
from comfytui.simulator.nodes.catalogue import CATALOGUE
from comfytui.simulator.state import LIFE, SIMULATOR
from comfytui.simulator.store import QueuedPrompt
from comfytui.simulator.validation import Verdict, problem, validate

Json = dict[str, Any]

routes = web.RouteTableDef()


@routes.get("/prompt")
async def get_prompt(request: web.Request) -> web.Response:
    """Tell how many prompts wait or run."""
    return web.json_response({"exec_info": {"queue_remaining": request.app[LIFE].queue.remaining}})


@routes.options("/prompt")
async def options_prompt(request: web.Request) -> web.Response:
    """Answer a preflight."""
    return web.Response()


@routes.post("/prompt")
async def post_prompt(request: web.Request) -> web.Response:
    """Check a workflow and queue it: 200 with its number, 400 with errors, 500 for what is no JSON or no graph."""
    life, simulator = request.app[LIFE], request.app[SIMULATOR]
    life.log.write("got prompt")
    ordinal = simulator.next_ordinal()
    try:
        body = await request.json()
        graph = body.get("prompt")
        number = _number(body, life.number)
    except (ValueError, TypeError, AttributeError):
        return server_error()
    life.number += "number" not in body
    prefixes = _prefixes(graph)
    faults = life.faults.for_prompt("arrival", ordinal, prefixes)
    if "prompt" not in body:
        message = "No prompt provided"
        return web.json_response({"error": problem("no_prompt", message, message), "node_errors": {}}, status=400)
    try:
        verdict = validate(graph, CATALOGUE, life.folders.has_input, body.get("partial_execution_targets"))
    except (TypeError, AttributeError):
        return server_error()
    verdict = _with_faults(verdict, faults)
    if verdict.error is not None:
        return web.json_response({"error": verdict.error, "node_errors": verdict.node_errors}, status=400)
    filled = kind_of(faults, QueueFilled)
    if filled is not None:
        simulator.queue_foreign(filled.count, seconds=filled.seconds, first=True)
    prompt = QueuedPrompt(
        number=number,
        prompt_id=_prompt_id(body, faults),
        graph=graph,
        extra_data=_extra_data(body, life.version, life.now()),
        outputs=verdict.outputs,
        ordinal=ordinal,
        prefixes=prefixes,
    )
    try:
        life.queue.put(prompt)
    except TypeError:
        return server_error()
    return web.json_response({"prompt_id": prompt.prompt_id, "number": number, "node_errors": verdict.node_errors})


def _prompt_id(body: Json, faults: tuple[PromptFault, ...]) -> str:
    """Return the client's own id for the prompt, else a new one."""
    chosen = None if kind_of(faults, IdIgnored) else body.get("prompt_id")
    return str(uuid.uuid4() if chosen is None else chosen)


def _number(body: Json, counter: int) -> float:
    """Return the place in the queue: the client's own number, else the counter; negative for `front`."""
    number: float = float(body["number"]) if "number" in body else counter
    if "number" not in body and body.get("front"):
        number = -number
    return number


def _prefixes(graph: object) -> tuple[str, ...]:
    """Return the `filename_prefix` of all nodes, as far as the graph is one."""
    if not isinstance(graph, dict):
        return ()
    inputs = [node.get("inputs") for node in graph.values() if isinstance(node, dict)]
    found = [values.get("filename_prefix") for values in inputs if isinstance(values, dict)]
    return tuple(prefix for prefix in found if isinstance(prefix, str))


def _extra_data(body: Json, version: str, now: float) -> Json:
    """Return the client's own keys, its id, and (0.8.0) the moment in epoch milliseconds."""
    extra: Json = dict(body.get("extra_data") or {})
    if "client_id" in body:
        extra["client_id"] = body["client_id"]
    if version != "0.3.64":
        extra["create_time"] = int(now * 1000)
    return extra


def _with_faults(verdict: Verdict, faults: tuple[PromptFault, ...]) -> Verdict:
    rejected, partly = kind_of(faults, Rejected), kind_of(faults, PartlyAccepted)
    if rejected is not None:
        return Verdict(problem(rejected.kind, rejected.message, rejected.details), [], {})
    if partly is not None and verdict.error is None:
        missing = problem("required_input_missing", "Required input is missing", "images", input_name="images")
        errors = {"errors": [missing], "dependent_outputs": [partly.node], "class_type": partly.class_type}
        return Verdict(None, verdict.outputs, verdict.node_errors | {partly.node: errors})
    return verdict


@routes.get("/queue")
async def get_queue(request: web.Request) -> web.Response:
    """List what runs, and what waits (the raw heap)."""
    queue = request.app[LIFE].queue
    return web.json_response(
        {
            "queue_running": [prompt.item() for prompt in queue.running],
            "queue_pending": [prompt.item() for prompt in queue.pending],
        }
    )


@routes.post("/queue")
async def post_queue(request: web.Request) -> web.Response:
    """Drop waiting prompts: all with `clear`, some with `delete`; unknown and running ids are passed over."""
    queue = request.app[LIFE].queue
    try:
        body = await request.json()
    except ValueError:
        return server_error()
    if body.get("clear"):
        queue.clear()
    for prompt_id in body.get("delete", []):
        queue.delete(prompt_id)
    return web.Response()


@routes.get("/history")
async def get_history(request: web.Request) -> web.Response:
    """List ended prompts, oldest first; `max_items` the newest ones, `offset` from the oldest on."""
    try:
        limit = request.query.get("max_items")
        page = request.app[LIFE].history.page(
            None if limit is None else int(limit), int(request.query.get("offset", -1))
        )
    except ValueError:
        return server_error()
    return web.json_response(page)


@routes.get("/history/{prompt_id}")
async def get_history_entry(request: web.Request) -> web.Response:
    """Tell how one prompt ended; `{}` when it is unknown, waiting or running."""
    return web.json_response(request.app[LIFE].history.one(request.match_info["prompt_id"]))


@routes.post("/history")
async def post_history(request: web.Request) -> web.Response:
    """Forget entries: all with `clear`, some with `delete`."""
    history = request.app[LIFE].history
    try:
        body = await request.json()
    except ValueError:
        return server_error()
    if body.get("clear"):
        history.clear()
    for prompt_id in body.get("delete", []):
        history.delete(prompt_id)
    return web.Response()


@routes.post("/interrupt")
async def post_interrupt(request: web.Request) -> web.Response:
    """Interrupt the prompt of that id if it runs; with an empty body whatever runs. Always 200."""
    try:
        body = await request.json()
    except ValueError:
        body = {}
    prompt_id = body.get("prompt_id") if isinstance(body, dict) else None
    request.app[LIFE].executor.interrupt(prompt_id)
    return web.Response()


@routes.post("/free")
async def post_free(request: web.Request) -> web.Response:
    """Unload models, and forget results with `free_memory`; 500 without a body."""
    try:
        body = await request.json()
    except ValueError:
        return server_error()
    request.app[LIFE].executor.free(
        models=bool(body.get("unload_models", False)), memory=bool(body.get("free_memory", False))
    )
    return web.Response()
