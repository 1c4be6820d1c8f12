"""``comfytui resume``: a run that was cut short goes on where it stands, and ``--plan`` tells beforehand how."""

import os
from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import TYPE_CHECKING, Any

import click

from comfytui.cli.faces import chosen_face, prepare_dashboard
from comfytui.clock import system_clock
from comfytui.errors import Failure
from comfytui.model.fold import fold_all
from comfytui.model.paged import Paged
from comfytui.model.plan import RunPlan
from comfytui.model.state import Scene, State
from comfytui.records import journal
from comfytui.records.journal import JournalReading
from comfytui.records.lock import holder_of, this_process
from comfytui.records.rundir import RunDir, find_run, read_plan
from comfytui.records.sweepdir import named_sweep
from comfytui.settings.merged import load
from comfytui.settings.secrets import headers_of
from comfytui.settings.servers_table import headers_in
from comfytui.untrusted import plain

if TYPE_CHECKING:
    from comfytui.engine.recovery import SceneRecovery, Whereabouts

LONGEST_LINE = 500


def resume_run(name: str | None, flags: Mapping[str, Any]) -> int:
    """Take up the run called ``name`` (an id, a folder, or the latest) and return its exit code.

    With the flag ``plan`` nothing is touched: it is told what would become of each scene, and 0 returned. Raises
    ``Failure``: ``run.not_found``, ``run.plan``, ``run.locked`` while a runner drives it.
    """
    settings = load(flags, os.environ, Path.cwd())
    if name is not None and named_sweep(settings.runs_dir, name) is not None and not flags.get("plan"):
        from comfytui.cli.sweeping import sweep_story

        return sweep_story(Path(name), {**flags, "resume": True})
    face = None if flags.get("plan") else chosen_face(flags)
    run = find_run(settings.runs_dir, name)
    plan = read_plan(run)
    refuse_driven(run)
    headers_of(os.environ)  # so that unusable ones are told here, not in the log of a runner
    for server in plan.servers:
        if server.headers_file is not None:
            headers_in(Path(server.headers_file), server.url, os.environ)
    if face is None:
        return _tell_plan(run, plan, as_json=bool(flags.get("as_json")))
    from comfytui.cli.rendering import in_dashboard, in_lines

    clock = system_clock()
    if face.headless:
        return in_lines(run, plan, face, clock, "resume")
    prepare_dashboard(settings)
    if (code := _exit_code_of_complete(run)) is not None:
        print(f"Run {run.run_id} is complete; there is nothing to resume. Look at it with: comfytui attach {run.path}")
        return code
    return in_dashboard(run, face, settings, clock, "resume")


def refuse_driven(run: RunDir) -> None:
    """Raise ``Failure`` ``run.locked`` (or ``run.locked_elsewhere``) while a process drives ``run``."""
    holder = holder_of(run)
    if holder is None:
        return
    if holder.host != this_process().host:
        words = {"run": run.run_id, "pid": holder.pid, "host": holder.host, "file": str(run.lock)}
        raise Failure("run.locked_elsewhere", **words)
    raise Failure("run.locked", run=run.run_id, pid=holder.pid)


def _known(run: RunDir, plan: RunPlan) -> tuple[State, JournalReading]:
    """Return what the journal of ``run`` tells; where that is nothing, the scenes of its plan, all of them waiting."""
    reading = journal.read(run.journal)
    state = fold_all(reading) if run.journal.exists() else State()
    if state.run is None:
        state = State(scenes=Paged(Scene(brief=brief) for brief in plan.scenes))
    return state, reading


def _exit_code_of_complete(run: RunDir) -> int | None:
    """Return the exit code of a run in which nothing is left to do, else ``None``."""
    from comfytui.engine.recovery import nothing_to_do, recovery_plan
    from comfytui.records.damage import damage, lost_frames

    state, _ = _known(run, read_plan(run))
    recoveries = recovery_plan(state, {}, damage(lost_frames(run, state)))
    return state.run.exit_code if state.run is not None and nothing_to_do(state, recoveries) else None


def _tell_plan(run: RunDir, plan: RunPlan, *, as_json: bool) -> int:
    from comfytui.engine.recovery import recovery_plan
    from comfytui.engine.taking_up import journal_notes
    from comfytui.records.damage import damage, lost_frames

    state, reading = _known(run, plan)
    notes = [note.text for note in journal_notes(reading, ())]
    damaged = damage(lost_frames(run, state))
    found: dict[str, Whereabouts] = {}
    if any(each.action != "skip" for each in recovery_plan(state, {}, damaged)):
        found, silence = _asked(plan, state)
        notes += silence
    recoveries = recovery_plan(state, found, damaged)
    click.echo("\n".join(_as_json(notes, recoveries) if as_json else _as_text(notes, recoveries)))
    return 0


def _as_text(notes: list[str], recoveries: "tuple[SceneRecovery, ...]") -> Iterator[str]:
    width = max((len(each.scene) for each in recoveries), default=0)
    for text in (*notes, *(f"{each.scene:<{width}}  {each.action:<7}  {each.why}" for each in recoveries)):
        yield plain(text, LONGEST_LINE)


def _as_json(notes: list[str], recoveries: "tuple[SceneRecovery, ...]") -> Iterator[str]:
    from comfytui.faces.headless import json_line

    for text in notes:
        yield json_line(note=plain(text, LONGEST_LINE))
    for each in recoveries:
        yield json_line(plan={"scene": each.scene, "action": each.action, "why": each.why})


def _asked(plan: RunPlan, state: State) -> tuple["dict[str, Whereabouts]", list[str]]:
    """Return where the open prompts are, and in words that the server does not tell."""
    import anyio

    from comfytui.cli.driving import credentials
    from comfytui.engine.recovery import open_attempts
    from comfytui.engine.server.witnesses import ask

    secrets = credentials(*plan.servers)
    found: dict[str, Whereabouts] = {}
    silence = []
    for server in plan.servers:
        there = [attempt for attempt in open_attempts(state.scenes) if attempt.server_name == server.name]
        if server.name and not there:
            continue
        try:
            found |= anyio.run(ask, server, secrets.of(server.name), there, system_clock())
        except Failure as failure:
            if not failure.code.startswith("server."):
                raise
            silence.append(f"{failure.what} What was sent is looked for when the run is resumed.")
    return found, silence
