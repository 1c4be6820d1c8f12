"""The smoke prompt: one small picture, rendered end to end, proves what nobody can be asked about.

That the server executes and writes, that the folder which is watched is its own, that both clocks agree and that VRAM
can be read. It loads no model and takes milliseconds; it is never interrupted, only taken out of the queue again.
"""

import secrets
import uuid
from contextlib import suppress
from datetime import datetime, timedelta
from pathlib import Path

import anyio
from anyio import to_thread
from msgspec import Struct

from comfytui.clock import Clock, from_epoch
from comfytui.engine.doctor.finding import Finding, Tell, fail, ok, unknown, warn
from comfytui.engine.frames.shelves import EitherShelf, Shelf
from comfytui.engine.server.gauges import Gauges
from comfytui.errors import Failure
from comfytui.model.workflow import Values, load_workflow, render
from comfytui.sources.comfy.history import HistoryEntry, OutputFile
from comfytui.sources.comfy.http import ComfyHttp
from comfytui.sources.comfy.replies import PromptRejection
from comfytui.sources.frames.folder import stamp
from comfytui.sources.frames.verify import Prover, prove
from comfytui.untrusted import inside, plain

LOOK_EVERY = 0.1
"""Seconds between two looks."""
SHARE_WAIT = 3.0
"""Seconds that a file may take to show on a share of the network."""
SKEW = timedelta(seconds=2)
"""How far two clocks may be apart: file times are no finer on some disks."""
LARGEST = 16 << 20
"""Bytes of the picture that are fetched; it has less than one megabyte."""
CLEANING = 5.0
"""Seconds that cleaning up may take."""

_CHECK = "smoke prompt"
_FOLDER = "comfytui-doctor-"


class Seen(Struct, frozen=True, kw_only=True):
    """The rendered picture: when we sent its prompt and knew of its end, and what history tells."""

    sent: datetime
    ended: datetime
    entry: HistoryEntry


async def smoke(
    http: ComfyHttp, shelf: Shelf, gauges: Gauges, clock: Clock, tell: Tell, *, patience: float, named: bool
) -> None:
    """Render the picture and tell what it proves; ``patience`` in seconds for its end.

    ``named``: a person named the output folder of ``shelf``. What was made is removed again as far as a client may.
    Raises ``Failure`` for requests that fail.
    """
    prompt_id, folder = str(uuid.uuid4()), f"{_FOLDER}{secrets.token_hex(6)}"
    made: list[Path | str] = []
    try:
        seen = await _rendered(http, clock, prompt_id, folder, patience)
        if isinstance(seen, Finding):
            tell(seen)
            return
        tell(ok(_CHECK, f"rendered in {max(0.0, (seen.ended - seen.sent).total_seconds()):.1f} s"))
        file = next((one for one in seen.entry.outputs if one.type == "output"), None)
        landed = None
        if file is None:
            tell(unknown("output folder", "the server names no file that it wrote", "Look at the server's log."))
        else:
            landed = await _landed(shelf, file, clock)
            made.append(landed or file.shown)
            tell(await _output(http, shelf, file, landed, named=named))
        tell(clocks(seen, await to_thread.run_sync(_mtime, landed) if landed is not None else None))
        tell(await _vram(gauges))
    finally:
        left = True
        with anyio.move_on_after(CLEANING, shield=True):
            left = await _clean_up(http, prompt_id, made)
        if left and made:
            what = f"{made[0]} stays in the server's output folder: it cannot be deleted from here"
            tell(ok("cleaning up", what))


async def _rendered(http: ComfyHttp, clock: Clock, prompt_id: str, folder: str, patience: float) -> Seen | Finding:
    values = Values(prefix=f"{folder}/smoke", prompt="", seed=secrets.randbelow(2**24), frame_count=1)
    graph = render(load_workflow("smoke"), values)
    sent = clock.now()
    until = clock.monotonic() + patience
    reply = await http.submit(graph, prompt_id, uuid.uuid4().hex)
    if isinstance(reply, PromptRejection):
        failure = Failure("prompt.rejected", why=reply.why)
        return fail(
            _CHECK, failure.what, "It needs EmptyImage and SaveImage, which every ComfyUI has: mend the server."
        )
    while (entry := await http.history(prompt_id)) is None:
        if clock.monotonic() >= until:
            if (await http.queue()).where(prompt_id) == "pending":
                return unknown(_CHECK, "somebody else's prompt came first: ours was taken out of the queue again")
            what = f"a picture without any model was not rendered within {patience:g} s, and may yet land in {folder}"
            return fail(_CHECK, what, "Look at the server's queue and its log: it takes prompts and executes none.")
        await clock.sleep(LOOK_EVERY)
    if entry.outcome != "success":
        why = entry.error.message if entry.error is not None else "it did not say why"
        what = f"the server failed to render and save a picture: {plain(why, 300).rstrip('.')}"
        return fail(_CHECK, what, "Look at the server's log, and at the space and permissions of its output folder.")
    return Seen(sent=sent, ended=clock.now(), entry=entry)


async def _landed(shelf: Shelf, file: OutputFile, clock: Clock) -> Path | None:
    """Return where the picture is on this machine, waiting a little for it; ``None``: it is not here."""
    if not isinstance(shelf, EitherShelf):
        return None
    path = inside(shelf.output_dir, file.subfolder, file.filename)
    until = clock.monotonic() + SHARE_WAIT
    while path is not None and not (await to_thread.run_sync(prove, path)).whole:
        if clock.monotonic() >= until:
            return None
        await clock.sleep(LOOK_EVERY)
    return path


async def _output(http: ComfyHttp, shelf: Shelf, file: OutputFile, landed: Path | None, *, named: bool) -> Finding:
    check = "output folder"
    if landed is not None and isinstance(shelf, EitherShelf):
        return ok(check, f"{shelf.output_dir} is the server's: the picture landed there, whole")
    prover = Prover()
    try:
        async with http.view(file, LARGEST) as viewed:
            async for chunk in viewed.chunks:
                prover.feed(chunk)
        fetched = prover.finish().whole
    except Failure:
        fetched = False
    if isinstance(shelf, EitherShelf) and fetched and await to_thread.run_sync(_is_there, shelf.output_dir, file):
        what = f"the picture is in {shelf.output_dir}, but may not be read: frames come over HTTP"
        return warn(check, what, "Let the server write files that this user may read.")
    if isinstance(shelf, EitherShelf):
        what = f"{shelf.output_dir} is not the folder that the server writes: the picture never showed up there"
        remedy = "Name the server's own output folder with --output-dir, or leave that out: frames then come over HTTP."
        if named or not fetched:
            return fail(check, what, remedy)
        return warn(check, f"{what}; frames come over HTTP", remedy)
    if fetched:
        return ok(check, "it is not on this machine: the picture came over HTTP, whole")
    what = "the picture can neither be found here nor fetched from the server's /view"
    return fail(check, what, "Mount the server's output folder and name it with --output-dir, or let /view pass.")


def clocks(seen: Seen, written: datetime | None) -> Finding:
    """Return whether the server's clock, and that of the disk it writes to, agree with ours. Pure."""
    stamps = {"server": seen.entry.success_at or seen.entry.started_at, "disk": written}
    known = {whose: at for whose, at in stamps.items() if at is not None}
    if not known:
        return unknown("clock", "neither the server nor a file tells what time it is there")
    for whose, at in known.items():
        off = skew(at, seen.sent, seen.ended)
        if off:
            side = "ahead of" if off > timedelta() else "behind"
            what = f"the clock of the {whose} is {abs(off).total_seconds():.0f} s {side} ours"
            return warn("clock", what, "Set both by NTP: times would not fit, and done markers may be taken for stale.")
    return ok("clock", f"{' and '.join(known)} agree with our clock")


def skew(at: datetime, earliest: datetime, latest: datetime) -> timedelta:
    """Return how far ``at`` lies outside of what it can be, zero where that is within :data:`SKEW`. Pure."""
    off = max(timedelta(), at - latest) or min(timedelta(), at - earliest)
    return off if abs(off) > SKEW else timedelta()


async def _vram(gauges: Gauges) -> Finding:
    reading = await gauges.measure("after")
    device = reading.device
    if device is not None and device.vram_free is not None and not reading.notes:
        return ok("vram", f"{device.vram_free / 2**20:.0f} MB free, by {reading.source}")
    told = "; ".join(reading.notes) or "nobody tells it"
    return warn("vram", f"VRAM of a prompt: {told}", "Telemetry says null or notes it; see gpu and gpu drivers.")


def _is_there(output: Path, file: OutputFile) -> bool:
    path = inside(output, file.subfolder, file.filename)
    return path is not None and path.is_file()


def _mtime(path: Path) -> datetime | None:
    try:
        found = stamp(path)
    except OSError:
        return None
    return from_epoch(found.mtime_ns / 1e9) if found is not None else None


async def _clean_up(http: ComfyHttp, prompt_id: str, made: list[Path | str]) -> bool:
    """Take the prompt out of queue and history and its picture off the disk; tell whether the picture stays."""
    with suppress(Failure):
        await http.delete_pending([prompt_id])
        await http.forget(prompt_id)
    return not all([isinstance(one, Path) and await to_thread.run_sync(_removed, one) for one in made])


def _removed(path: Path) -> bool:
    if not path.parent.name.startswith(_FOLDER):  # no folder of ours, whatever the server says
        return False
    try:
        path.unlink(missing_ok=True)
        path.parent.rmdir()
    except OSError:
        return False
    return True
