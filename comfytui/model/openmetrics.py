"""What is known of a run as OpenMetrics text, for those who scrape or import it. Pure.

Units are seconds, bytes, ratios from 0 to 1, degrees Celsius and watts. What is not known is left out: an absent sample
is not a 0. Format: OpenMetrics 1.0, https://prometheus.io/docs/specs/om/open_metrics_spec/
"""

from collections import Counter
from collections.abc import Iterable, Iterator
from typing import Literal, get_args

from msgspec import Struct

from comfytui.model.state import ScenePhase, Server, State

CONTENT_TYPE = "application/openmetrics-text; version=1.0.0; charset=utf-8"

Kind = Literal["gauge", "counter", "info"]
Labels = dict[str, str]
Sampled = tuple[Labels, float]


class Family(Struct, frozen=True, kw_only=True):
    """One metric: its name (without the suffix of its kind), what it is, its unit, and its samples."""

    name: str
    kind: Kind
    help: str
    samples: tuple[tuple[Labels, float], ...]
    unit: str = ""


def openmetrics(state: State) -> str:
    """Return the exposition of ``state``, which ends with ``# EOF``."""
    families = (*_run(state), *_scenes(state), *_server(state), *_gpus(state))
    lines = [line for family in families if family.samples for line in _lines(family)]
    return "\n".join([*lines, "# EOF"]) + "\n"


def _lines(family: Family) -> Iterator[str]:
    name = f"comfytui_{family.name}" + (f"_{family.unit}" if family.unit else "")
    yield f"# TYPE {name} {family.kind}"
    if family.unit:
        yield f"# UNIT {name} {family.unit}"
    yield f"# HELP {name} {_escaped(family.help)}"
    suffix = {"counter": "_total", "info": "_info"}.get(family.kind, "")
    for labels, value in family.samples:
        pairs = ",".join(f'{label}="{_escaped(text)}"' for label, text in labels.items())
        yield f"{name}{suffix}{{{pairs}}} {value:.15g}" if pairs else f"{name}{suffix} {value:.15g}"


def _escaped(text: str) -> str:
    return text.replace("\\", "\\\\").replace("\n", "\\n").replace('"', '\\"')


def _one(value: float | None, **labels: str) -> tuple[tuple[Labels, float], ...]:
    return () if value is None else ((labels, value),)


def _run(state: State) -> Iterator[Family]:
    run = state.run
    if run is None or run.observing:
        return
    about = {"run": run.id, "story": run.story.id, "workflow": run.workflow, "version": run.version}
    if run.sweep is not None:
        about |= {"sweep": run.sweep.sweep, "number": str(run.sweep.number)}
    yield Family(name="run", kind="info", help="The run that is told of.", samples=((about, 1),))
    opened, ended = run.opened_at, run.ended_at
    yield _gauge("run_opened_timestamp", "When the run was opened.", _one(opened.timestamp()), "seconds")
    yield _gauge(
        "run_ended_timestamp", "When it came to rest.", _one(ended.timestamp() if ended else None), "seconds"
    )  # fmt: skip
    yield _gauge("run_exit_code", "Its exit code, once it has one.", _one(run.exit_code))


def _scenes(state: State) -> Iterator[Family]:
    if state.run is None or state.run.observing:
        return
    scenes = state.scenes
    phases = Counter(scene.phase for scene in scenes)
    by_phase = tuple(({"phase": phase}, float(phases[phase])) for phase in get_args(ScenePhase))
    yield _gauge("scenes", "Scenes by what becomes of them.", by_phase)
    begun, proven, ends, durations = 0, 0, Counter[str](), list[tuple[Labels, float]]()
    for scene in scenes:  # one at a time: those of scenes that are over are unpacked for it
        attempts = tuple(scene.attempts)
        begun += len(attempts)
        proven += sum(attempt.proven for attempt in attempts)
        ends.update(attempt.status for attempt in attempts if attempt.phase == "ended" and attempt.status)
        chosen = scene.chosen if scene.over else None
        if chosen is not None and chosen.telemetry is not None and not chosen.unsent:
            durations.append(({"scene": scene.id}, chosen.telemetry.duration_seconds))
    yield Family(name="attempts", kind="counter", help="Attempts begun.", samples=(({}, float(begun)),))
    requeues = float(sum(max(0, len(scene.attempts) - 1) for scene in scenes))
    yield Family(name="requeues", kind="counter", help="Attempts beyond a scene's first.", samples=(({}, requeues),))
    yield Family(
        name="attempts_ended", kind="counter", help="Attempts that ended, by verdict.",
        samples=tuple(({"status": status}, float(count)) for status, count in sorted(ends.items())),
    )  # fmt: skip
    yield Family(name="frames_proven", kind="counter", help="Frames proven whole.", samples=(({}, float(proven)),))
    yield _gauge("scene_frames", "Proven frames of each scene.", [({"scene": s.id}, float(s.frames)) for s in scenes])
    over = [scene for scene in scenes if scene.over]
    yield _gauge(
        "scene_well", "1: the scene succeeded and met its floor; 0: not.",
        [({"scene": scene.id}, float(scene.success and scene.meets_floor)) for scene in over],
    )  # fmt: skip
    yield _gauge("scene_duration", "Duration of the attempt that counts.", durations, "seconds")


def _server(state: State) -> Iterator[Family]:
    ups, latencies, prompts = list[Sampled](), list[Sampled](), list[Sampled]()
    for server in state.servers:
        up = None if server.answering is None else float(server.answering)
        ups += _one(0.0 if server.left_out else up, **_named(server))
        latencies += _one(server.latency, **_named(server))
        prompts += _one(server.ours, **_named(server), owner="ours")
        prompts += _one(server.others, **_named(server), owner="others")
    yield _gauge("server_up", "1: the server answers; 0: it does not.", ups)
    yield _gauge("server_latency", "How long its last answer took.", latencies, "seconds")
    yield _gauge("queue_prompts", "Prompts on the server, running and waiting.", prompts)


def _named(server: Server) -> Labels:
    """Return the label that tells it from others, where there are any."""
    return {"server": server.name} if server.name else {}


def _gpus(state: State) -> Iterator[Family]:
    devices = [(_named(server), d) for server in state.servers if server.gpu for d in server.gpu[-1].devices]

    def told(field: str, scale: float = 1.0) -> list[Sampled]:
        known = [(name, device, getattr(device, field)) for name, device in devices]
        return [
            ({**name, "gpu": str(d.index), "name": d.name}, value * scale)
            for name, d, value in known
            if value is not None
        ]

    yield _gauge("gpu_utilization", "Load.", told("utilization", 0.01), "ratio")
    yield _gauge("gpu_memory_used", "VRAM in use.", told("vram_used"), "bytes")
    yield _gauge("gpu_memory", "VRAM in all.", told("vram_total"), "bytes")
    yield _gauge("gpu_temperature", "Temperature.", told("temperature"), "celsius")
    yield _gauge("gpu_power", "Power drawn.", told("power"), "watts")


def _gauge(name: str, help: str, samples: Iterable[tuple[Labels, float]], unit: str = "") -> Family:  # noqa: A002
    return Family(name=name, kind="gauge", help=help, samples=tuple(samples), unit=unit)
