"""Before the first prompt: what costs a request or two and would cost hours if it were found out later.

The server knows the nodes of the workflow and has its model files; the run folder takes what is written, the frames can
be read, and there is room for them.
"""

import os
from collections import Counter
from collections.abc import Mapping, Sequence
from pathlib import Path

from anyio import to_thread

from comfytui.engine.frames.shelves import EitherShelf, Shelf
from comfytui.engine.hub import Hub
from comfytui.engine.server.side import side_of
from comfytui.errors import Failure
from comfytui.model import events as e
from comfytui.model.choices import unavailable
from comfytui.model.plan import RunPlan, ServerPlan
from comfytui.model.space import estimate
from comfytui.model.workflow import Workflow
from comfytui.records.faults import why
from comfytui.records.room import free_bytes, prove_writable, same_disk
from comfytui.records.rundir import RunDir
from comfytui.sources.comfy.http import ComfyHttp

TIGHT = 2.0
"""A disk with less than this many times what is needed is warned of: another attempt keeps its frames too."""


async def check_workflow(http: ComfyHttp, workflow: Workflow) -> None:
    """Return when the server can be expected to take ``workflow``: one request for each class of node.

    Raises ``Failure`` ``workflow.nodes_missing``, ``workflow.models_missing``, and what the requests fail with. Other
    choices that the server does not offer are left to itself: it refuses the prompt with its own reason.
    """
    infos = await http.node_infos(workflow.classes)
    if missing := [name for name, info in infos.items() if info is None]:
        raise Failure("workflow.nodes_missing", server=http.address.url, file=workflow.file, nodes=", ".join(missing))
    if lacking := [str(choice) for choice in unavailable(workflow, infos) if choice.is_model]:
        models = "; ".join(lacking)
        raise Failure("workflow.models_missing", server=http.address.url, file=workflow.file, models=models)


async def check_disk(hub: Hub, plan: RunPlan, run_dir: RunDir, shelves: Sequence[tuple[ServerPlan, Shelf]]) -> None:
    """Return when the disks are fit for what the run still has to do; a doubt is a warning among the facts.

    Of several servers with a folder of frames each is expected to fill its share.

    Raises ``Failure``: ``run.unwritable``, ``disk.space``, and ``config.value`` for an output folder that a person
    named and that cannot be read.
    """
    for folder in (run_dir.path, run_dir.archive.parent):
        await to_thread.run_sync(prove_writable, folder)
    outputs = await _outputs(hub, shelves)
    needed = estimate(plan.workflow, hub.state.scenes)
    shares = {output: needed.frames * count // len(shelves) for output, count in outputs.items()}
    for place, amount in await to_thread.run_sync(_demands, run_dir.path, needed.runs, shares):
        free = await to_thread.run_sync(free_bytes, place)
        if (warning := judged(place, free, amount, needed.basis, run=str(run_dir.path))) is not None:
            hub.publish(e.RunNoted(level="warning", text=warning))


async def check_share(hub: Hub, plan: RunPlan, run_dir: RunDir, joins: tuple[ServerPlan, Shelf], sharers: int) -> None:
    """Return when the disk of a server that ``joins`` a run under way, as one of so many ``sharers``, takes its share.

    Raises ``Failure``: ``disk.server_space``, and ``config.value`` as :func:`check_disk` does.
    """
    needed = estimate(plan.workflow, hub.state.scenes)
    for output in await _outputs(hub, [joins]):
        shares = {output: needed.frames // sharers}
        place, amount = (await to_thread.run_sync(_demands, run_dir.path, needed.runs, shares))[-1]
        free = await to_thread.run_sync(free_bytes, place)
        if (warning := judged(place, free, amount, needed.basis)) is not None:
            side_of(hub, joins[0].name).publish(e.RunNoted(level="warning", text=warning))


async def _outputs(hub: Hub, shelves: Sequence[tuple[ServerPlan, Shelf]]) -> Counter[Path]:
    """Return the folders that frames are read from, with how many servers write into each; warn of unreadable ones.

    Raises ``Failure`` ``config.value`` for one that a person named.
    """
    outputs: Counter[Path] = Counter()
    for server, shelf in shelves:
        if not isinstance(shelf, EitherShelf):
            continue
        output = shelf.output_dir
        outputs[output] += 1
        if outputs[output] > 1:
            continue
        if fault := await to_thread.run_sync(_unreadable, output):
            if server.output_dir is not None:
                raise Failure("config.value", place=f"--output-dir {output}", why=fault)
            text = f"The output folder {output} cannot be read ({fault}): reported frames are fetched over HTTP"
            side_of(hub, server.name).publish(e.RunNoted(level="warning", text=text))
    return outputs


def judged(place: Path, free: int | None, needed: int, basis: str, *, run: str | None = None) -> str | None:
    """Return a warning for a disk that is tight, or whose ``free`` bytes nobody knows; ``None`` for one with room.

    Raises ``Failure`` when less than the ``needed`` bytes are free: ``disk.space`` for a ``run`` that cannot begin,
    ``disk.server_space`` for one that goes on without the server. Pure.
    """
    if free is None:
        return f"The free space at {place} cannot be told; about {in_words(needed)} are needed ({basis})"
    if free < needed:
        words = {"place": str(place), "free": in_words(free), "needed": in_words(needed), "basis": basis}
        raise Failure("disk.server_space", **words) if run is None else Failure("disk.space", **words, run=run)
    if free < needed * TIGHT:
        return f"Space is tight at {place}: {in_words(free)} free, about {in_words(needed)} needed ({basis})"
    return None


def in_words(size: int) -> str:
    """Return ``size`` bytes in MB or GB (of 1024), as disks are spoken of."""
    return f"{size / 2**20:.0f} MB" if size < 10 * 2**30 else f"{size / 2**30:.1f} GB"


def _demands(runs: Path, needed: int, shares: Mapping[Path, int]) -> list[tuple[Path, int]]:
    """Return each disk (by a folder on it) with the bytes that it must take; nothing is asked where none come."""
    demands = {runs: needed}
    for output, share in shares.items():
        if share:
            place = next((folder for folder in demands if same_disk(folder, output)), output)
            demands[place] = demands.get(place, 0) + share
    return list(demands.items())


def _unreadable(folder: Path) -> str:
    """Return why the files of ``folder`` cannot be listed; empty when they can."""
    try:
        with os.scandir(folder) as entries:
            next(entries, None)
    except OSError as fault:
        return why(fault)
    return ""
