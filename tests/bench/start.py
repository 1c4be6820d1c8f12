"""From the start of a process to the first prompt that executes: the real command, a bare script, and comfy-cli.

All on the same instant simulator, in turns. The bare script does what cannot be left out: it opens the WebSocket, posts
one prompt and waits for its end. The moment is the server's own ``execution_start``, the same for all of them.
"""

import importlib.util
import json
import shutil
import subprocess
import sys
import tempfile
import time
from collections.abc import Callable, Mapping, Sequence
from pathlib import Path

from tests.bench.rendering import PATIENCE, ask, executed, render, run_alone, server
from tests.bench.scale import WORKFLOW
from tests.bench.table import Figure, Table, paired, quantile
from tests.e2e.command import environment

ROUNDS = 15

LIMITS = (
    "of the instructions until the POST of comfytui (cachegrind, CPython 3.11) three quarters import asyncio, anyio, "
    "httpx, httpx-ws, click and msgspec, which alone are 1.9 times the whole bare script, and a quarter its own "
    "modules; the checks before a run, the run folder and all requests hardly count. 2.5 times would take another HTTP "
    "client"
)

BARE = """
import json, sys, urllib.request, uuid
from websockets.sync.client import connect
url, client = sys.argv[1], uuid.uuid4().hex
with connect(f"ws{url.removeprefix('http')}/ws?clientId={client}") as socket:
    body = json.dumps({"prompt": json.load(open(sys.argv[2])), "client_id": client}).encode()
    request = urllib.request.Request(f"{url}/prompt", body, {"Content-Type": "application/json"})
    sent = json.load(urllib.request.urlopen(request))["prompt_id"]
    for text in socket:
        told = json.loads(text) if isinstance(text, str) else {}
        data = told.get("data", {})
        if told.get("type") == "executing" and data.get("node") is None and data.get("prompt_id") == sent:
            break
"""


def measure() -> Table:
    """Start each of them :data:`ROUNDS` times."""
    notes, times = [f"{ROUNDS} turns; each ratio is the median of those of one turn", LIMITS], dict[str, list[float]]()
    with tempfile.TemporaryDirectory(prefix="comfytui-bench-") as scratch, server(None, Path(scratch)) as url:
        folder = Path(scratch)
        prompt = folder / "prompt.json"
        values = {"__FRAME_COUNT__": 1, "__SEED__": 1, "__SCENE_PREFIX__": "bench"}
        text = json.dumps(WORKFLOW)
        for name, value in values.items():
            text = text.replace(json.dumps(name), json.dumps(value))
        prompt.write_text(text, encoding="utf-8")
        ways: dict[str, Callable[[int], float]] = {"comfytui run": lambda turn: _ours(url, folder / f"run-{turn}")}
        if importlib.util.find_spec("websockets") is None:
            notes.append("no bare script: the package websockets is not installed")
        else:
            ways["bare script"] = lambda _: _other(url, [sys.executable, "-c", BARE, url, str(prompt)])
        if (comfy := shutil.which("comfy")) is None:
            notes.append("no comfy-cli: there is no command comfy on the PATH")
        else:
            ways["comfy-cli run --wait"] = lambda _: _other(url, _comfy(comfy, url, prompt))
        for turn in range(ROUNDS):
            for name, way in ways.items():
                times.setdefault(name, []).append(way(turn))
    return Table("Process start to the first execution", _figures(times), notes)


def _figures(times: Mapping[str, Sequence[float]]) -> list[Figure]:
    ours, most = times["comfytui run"], {"bare script": 2.5, "comfy-cli run --wait": 0.5}
    ratios = [
        Figure(f"comfytui run / {name}", paired(ours, taken), most=most[name])
        for name, taken in times.items()
        if name in most
    ]
    return [*ratios, *(Figure(name, 1000 * quantile(taken, 0.5), "ms") for name, taken in times.items())]


def _ours(url: str, folder: Path) -> float:
    rendered = render(url, folder, workflow=WORKFLOW, scenes=1, frames=1)
    (prompt_id,) = rendered.prompts.values()
    return _start_of(url, prompt_id) - rendered.began


def _other(url: str, command: Sequence[str]) -> float:
    """Return the seconds from the start of ``command`` to the execution of the one prompt that it sends."""
    before = set(ask(url, "/history"))
    began = time.time()
    done = subprocess.run(
        command, env=environment(), stdin=subprocess.DEVNULL, capture_output=True, text=True, timeout=PATIENCE,
        check=False,
    )  # fmt: skip
    if done.returncode != 0:
        raise RuntimeError(f"{command[0]} ended with {done.returncode}: {done.stdout[-2000:]}{done.stderr[-2000:]}")
    (prompt_id,) = set(ask(url, "/history")) - before
    return _start_of(url, prompt_id) - began


def _comfy(comfy: str, url: str, prompt: Path) -> list[str]:
    host, _, port = url.removeprefix("http://").partition(":")
    return [comfy, "--skip-prompt", "run", "--workflow", str(prompt), "--wait", "--host", host, "--port", port]


def _start_of(url: str, prompt_id: str) -> float:
    times = executed(url, prompt_id)
    if times is None:
        raise RuntimeError("the server has no history of a prompt that ended")
    return times[0]


if __name__ == "__main__":
    run_alone("start")
