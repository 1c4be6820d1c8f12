"""The examination: every check in its order, each finding told as soon as it is known."""

import shutil
from collections.abc import AsyncIterator, Iterable, Iterator
from contextlib import AsyncExitStack, asynccontextmanager, contextmanager
from pathlib import Path

from anyio import to_thread
from msgspec import Struct
from msgspec.structs import replace

from comfytui.clock import Clock
from comfytui.engine.doctor import places, server
from comfytui.engine.doctor.finding import Finding, Tell, fail, of_failure, unknown, warn
from comfytui.engine.doctor.llm import language_model
from comfytui.engine.doctor.smoke import smoke
from comfytui.engine.doctor.workflow import by_itself, on_server
from comfytui.engine.frames.shelves import EitherShelf, Shelf
from comfytui.engine.server.connection import shelf_for, simulator
from comfytui.engine.server.credentials import Credentials
from comfytui.engine.server.gauges import Gauges
from comfytui.errors import Failure
from comfytui.model.events import SceneBrief
from comfytui.model.llm import Provider
from comfytui.model.plan import ServerPlan
from comfytui.model.workflow import Workflow
from comfytui.sources.comfy.address import ServerAddress
from comfytui.sources.comfy.connect import ServerFacts, check_server
from comfytui.sources.comfy.http import ComfyHttp

SMOKE_WAIT = 30.0
"""Seconds in which the smoke prompt must end."""

_BEHIND = ("login", "nodes", "models", "queue", "socket", "gpu", "output folder", "smoke prompt")
"""What only a server that answers can tell."""


class Patient(Struct, frozen=True, kw_only=True):
    """What is examined: where a run would render, what it would render, and where it would keep it.

    ``scenes`` are those of a story, if one was named; ``llm`` is the language model, if one is set, which ``llm_skip``
    leaves alone. Without ``smoke`` nothing is queued on the server. ``more_servers`` are examined as ``server`` is.
    """

    server: ServerPlan
    more_servers: tuple[ServerPlan, ...] = ()
    workflow: Workflow | None
    scenes: tuple[SceneBrief, ...] = ()
    runs_dir: Path
    llm: Provider | None = None
    llm_skip: bool = False
    smoke: bool = True
    smoke_wait: float = SMOKE_WAIT


async def examine(patient: Patient, clock: Clock, credentials: Credentials, tell: Tell) -> None:
    """Tell what is found. Bounded: each request, the socket and the smoke prompt have their own limits."""
    if patient.workflow is not None:
        _tell_all(tell, by_itself(patient.workflow))
    _tell_all(tell, await to_thread.run_sync(lambda: list(places.runs_folder(patient.runs_dir))))
    tell(await language_model(patient.llm, clock, skip=patient.llm_skip))
    disks: dict[str, Finding] = {}
    for plan in (patient.server, *patient.more_servers):
        own = replace(patient, server=plan)
        found = await _examine_server(own, clock, credentials.of(plan.name), _of_server(plan, tell))
        disks |= {finding.what: finding for finding in found}
    _tell_all(tell, disks.values() or await _room(patient, None))


def _of_server(plan: ServerPlan, tell: Tell) -> Tell:
    """Return a ``tell`` that adds the name of the server, where it has one."""
    return (lambda finding: tell(replace(finding, server=plan.name))) if plan.name else tell


async def _examine_server(patient: Patient, clock: Clock, credentials: Credentials, tell: Tell) -> list[Finding]:
    """Tell what is found of ``patient.server``; return the room on its disk and that of the runs."""
    async with AsyncExitStack() as stack:
        try:
            http = await stack.enter_async_context(_line(patient.server, clock, credentials))
            facts = await check_server(http)
        except Failure as failure:
            _tell_all(tell, _unreached(failure, patient.server))
            return []
        return await _room(patient, await _served(patient, http, facts, clock, tell))


async def _room(patient: Patient, shelf: Shelf | None) -> list[Finding]:
    output = shelf.output_dir if isinstance(shelf, EitherShelf) else None
    return await to_thread.run_sync(places.space, patient.workflow, patient.scenes, patient.runs_dir, output)


@asynccontextmanager
async def _line(plan: ServerPlan, clock: Clock, credentials: Credentials) -> AsyncIterator[ComfyHttp]:
    """Yield a client of the server, of a simulator that is started for this where that is the server."""
    async with AsyncExitStack() as stack:
        url = plan.url
        if plan.simulator_speed is not None:
            url = await stack.enter_async_context(simulator(plan.simulator_speed, None, clock))
        address = ServerAddress.parse(url, token=credentials.token, headers=credentials.headers)
        yield await stack.enter_async_context(ComfyHttp(address))


def _unreached(failure: Failure, plan: ServerPlan) -> Iterator[Finding]:
    """Yield what is wrong with a server that gives no facts, and what cannot be told because of it."""
    if failure.code == "server.auth":
        yield of_failure("login", failure)
    elif failure.code == "server.unreachable" and plan.command:
        yield _startable(plan, failure)
    else:
        yield of_failure("server", failure)
    yield unknown("the rest", f"not looked at, for want of a server: {', '.join(_BEHIND)}")


def _startable(plan: ServerPlan, failure: Failure) -> Finding:
    """Return whether the command that a run would start ComfyUI with can be found at all."""
    program = plan.command[0]
    path = Path(plan.cwd or ".") / program
    if shutil.which(program) is None and shutil.which(str(path)) is None:
        what = f"{failure.what} The program of [server] command, {program}, is not to be found either."
        return fail("server", what, "Correct [server] command, or start ComfyUI yourself.")
    what = f"{failure.what} A run would start it with {' '.join(plan.command)}."
    return warn("server", what, "Start it, and ask again: only a server that answers can be examined.")


async def _served(patient: Patient, http: ComfyHttp, facts: ServerFacts, clock: Clock, tell: Tell) -> Shelf | None:
    """Tell everything that a server which answers can tell, and return where frames are taken from."""
    address, workflow, stats = http.address, patient.workflow, facts.stats
    tell(server.version(stats.version, address.url))
    tell(server.login(address))
    if workflow is not None:
        with _told("nodes", tell):
            _tell_all(tell, on_server(workflow, await http.node_infos(workflow.classes), address.url))
    remaining: int | None = None
    with _told("queue", tell):
        remaining = await http.queue_remaining()
        tell(server.queue(remaining))
    with _told("socket", tell):
        tell(await server.socket(address, clock))
    _tell_all(tell, await server.gpus(stats, local=address.is_loopback))
    shelf: Shelf | None = None
    with _told("output folder", tell):
        shelf = shelf_for(patient.server, facts, http, clock)
        if isinstance(shelf, EitherShelf) and (fault := await to_thread.run_sync(places.readable, shelf.output_dir)):
            tell(fault)
        if why := _why_no_smoke(patient, remaining):
            tell(unknown("smoke prompt", f"left out: {why}"))
            tell(_unproven(shelf))
        else:
            named = patient.server.output_dir is not None
            with _told("smoke prompt", tell):
                async with Gauges(http, clock, local=address.is_loopback, interval=1.0) as gauges:
                    await smoke(http, shelf, gauges, clock, tell, patience=patient.smoke_wait, named=named)
    return shelf


def _why_no_smoke(patient: Patient, remaining: int | None) -> str:
    """Return why nothing is queued; empty: it is. Other people's prompts are neither held up nor waited for. Pure."""
    if not patient.smoke:
        return "nothing was to be queued"
    if remaining is None:
        return "the queue cannot be read"
    return "the server is busy, and nobody's prompt is to wait for it" if remaining else ""


def _unproven(shelf: Shelf) -> Finding:
    check, remedy = "output folder", "Ask again with the smoke prompt while the server's queue is empty."
    if isinstance(shelf, EitherShelf):
        return unknown(check, f"{shelf.output_dir} is there; whether the server writes to it is not proven", remedy)
    return unknown(check, "it is not on this machine; whether frames come over HTTP is not proven", remedy)


@contextmanager
def _told(check: str, tell: Tell) -> Iterator[None]:
    """Make a failure inside a finding: one check that fails keeps no other from being made."""
    try:
        yield
    except Failure as failure:
        tell(of_failure(check, failure))


def _tell_all(tell: Tell, findings: Iterable[Finding]) -> None:
    for finding in findings:
        tell(finding)
