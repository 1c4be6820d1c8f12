"""Runs the queued prompts, one after the other, and says so in the order that real servers do."""

from __future__ import annotations

import asyncio
import hashlib
import itertools
from typing import TYPE_CHECKING, Any

from comfytui.simulator import messages
from comfytui.simulator.cache import Cached, NodeCache
from comfytui.simulator.execution import Interrupted, NodeFailed, NodeRun, PromptRun
from comfytui.simulator.faults import HistoryMissing, VramLeak, kind_of
from comfytui.simulator.folders import inside
from comfytui.simulator.graph import ExecutionList, is_link
from comfytui.simulator.nodes.catalogue import CATALOGUE
from comfytui.simulator.nodes.schema import NodeClass, Outcome
from comfytui.simulator.store import QueuedPrompt
from comfytui.simulator.writing import in_thread

if TYPE_CHECKING:
    from comfytui.simulator.life import Life

Json = dict[str, Any]

SECRETS = ("auth_token_comfy_org", "api_key_comfy_org")


class Executor:
    """Takes prompts from the queue of a server and runs them; `current` is the one that can be interrupted."""

    def __init__(self, life: Life) -> None:
        self._life = life
        self._cache = NodeCache()
        self._free_asked = False
        self._moments = itertools.count()
        self.current: PromptRun | None = None

    async def run_forever(self) -> None:
        """Run prompts as they come."""
        while True:
            prompt = await self._life.queue.get()
            await asyncio.sleep(0)
            await self._run(prompt)
            self._free_if_asked()

    def interrupt(self, prompt_id: str | None) -> None:
        """Interrupt the prompt that runs; with an id, only if it is that one. Lost when nothing runs yet."""
        run = self.current
        if run is not None and prompt_id in {None, run.prompt.prompt_id}:
            run.interrupt()

    def free(self, *, models: bool, memory: bool) -> None:
        """Take the models out, and forget all results when `memory` is asked for; after the prompt that runs."""
        self._free_asked = self._free_asked or memory
        if models or memory:
            self._life.device.unload()
        if self.current is None:
            self._free_if_asked()

    def _free_if_asked(self) -> None:
        if self._free_asked:
            self._free_asked = False
            self._cache.clear()

    async def _run(self, prompt: QueuedPrompt) -> None:
        life = self._life
        loop = asyncio.get_running_loop()
        prompt.faults = life.faults.for_prompt("execution", prompt.ordinal, prompt.prefixes)
        begun = loop.time()
        run = self.current = PromptRun(life, prompt)
        telling = _Telling(run)
        life.sockets.executing_for = prompt.client_id
        outputs = await self._execute(run, telling)
        life.sockets.executing_node = None
        life.device.rest()
        leak = kind_of(prompt.faults, VramLeak)
        life.device.leaked += leak.size if leak else 0
        self.current = None
        life.prompts_executed.append(prompt.prompt_id)
        if telling.completed:
            life.start_late_work(run)
        await asyncio.sleep(life.speed().history_lag)
        for secret in SECRETS:
            prompt.extra_data.pop(secret, None)
        missing = kind_of(prompt.faults, HistoryMissing)
        life.history.add(prompt, outputs, telling.status(), hidden_for=missing.seconds if missing else 0.0)
        life.queue.done(prompt)
        if prompt.client_id is not None:
            run.send("executing", messages.executing_none(prompt.prompt_id))
        life.log.write(f"Prompt executed in {loop.time() - begun:.2f} seconds")
        life.freeze.begin(life.speed().gc_freeze, life.speed().gc_interval)

    async def _execute(self, run: PromptRun, telling: _Telling) -> Json:
        """Run the nodes; return the `outputs` and `meta` of the history entry."""
        graph = run.prompt.graph
        telling.tell("execution_start", {})
        fingerprints = await in_thread(lambda: self._fingerprints(graph))
        self._cache.begin(graph, lambda node: _class_of(graph, node), fingerprints.__getitem__)
        telling.tell("execution_cached", {"nodes": [node for node in graph if self._cache.get(node)]})
        shown: dict[str, Cached] = {}
        left = ExecutionList(
            graph,
            run.prompt.outputs,
            lambda node: self._cache.get(node) is not None,
            lambda node: _class_of(graph, node).output_node,
        )
        while left:
            node = left.next()
            work = NodeRun(run, node, _class_of(graph, node), {})
            try:
                cached = self._cache.get(node)
                result = self._again(work, cached) if cached else await self._work(work)
                if result.ui is not None and (not cached or self._cached_is_shown(run)):
                    shown[node] = result
                run.outputs_done += work.kind.output_node
                left.done(node)
                if not left:
                    await work.finished()
            except Interrupted:
                telling.interrupted(work)
                break
            except Exception as error:  # noqa: BLE001 - whatever a node raises is told to the client, as on the real server
                telling.failed(work, error)
                break
        else:
            telling.succeeded()
        return {
            "outputs": {node: result.ui for node, result in shown.items()},
            "meta": {node: result.meta for node, result in shown.items()},
        }

    def _cached_is_shown(self, run: PromptRun) -> bool:
        """0.8.0 leaves cached outputs out of the history of a prompt without client_id; 0.3.64 does not."""
        return run.prompt.client_id is not None or self._life.version == "0.3.64"

    def _again(self, work: NodeRun, cached: Cached) -> Cached:
        """Show a cached output node once more, under its old file names."""
        run = work.run
        if run.prompt.client_id is not None:
            run.send("executed", messages.executed(work.node, work.node, cached.ui, run.prompt.prompt_id))
        run.board.finish(work.node)
        run.send_progress_state()
        return cached

    async def _work(self, work: NodeRun) -> Cached:
        """Run one node, and keep what it gives."""
        run, node, prompt_id = work.run, work.node, work.run.prompt.prompt_id
        run.board.start(node)
        run.send_progress_state()
        work.inputs = self._inputs(run.prompt.graph, node, work.kind)
        if run.prompt.client_id is not None:
            self._life.sockets.executing_node = node
            run.send("executing", messages.executing(node, node, prompt_id))
        await work.begin()
        outcome: Outcome = await work.kind.work(work)
        meta = None
        if outcome.ui is not None:
            meta = {"node_id": node, "display_node": node, "parent_node": None, "real_node_id": node}
            if run.prompt.client_id is not None:
                run.send("executed", messages.executed(node, node, outcome.ui, prompt_id))
        result = Cached(outcome.values, outcome.ui, meta)
        self._cache.put(node, result)
        run.board.finish(node)
        run.send_progress_state()
        run.executed.append(node)
        return result

    def _inputs(self, graph: dict[str, Json], node: str, kind: NodeClass) -> Json:
        """Return the inputs of a node with its links resolved; links to a cached node come from the cache."""
        inputs: Json = {}
        for name, value in graph[node]["inputs"].items():
            if is_link(value):
                source = self._cache.get(value[0])
                if source is None:
                    raise LookupError(f"node {node} runs before node {value[0]}, which its input {name} needs")
                inputs[name] = source.values[value[1]]
            elif kind.spec(name) is not None:
                inputs[name] = value
        return inputs

    def _fingerprints(self, graph: dict[str, Json]) -> dict[str, str]:
        """Return for each node what it depends on outside the graph: the content of a file, or the moment."""
        found = {}
        for node, body in graph.items():
            kind = _class_of(graph, node)
            found[node] = ""
            if kind.never_cached:
                found[node] = str(next(self._moments))
            elif kind.loads_file:
                path = inside(self._life.folders.input, str(body["inputs"].get(kind.loads_file, "")))
                if path is not None and path.is_file():
                    found[node] = hashlib.sha256(path.read_bytes()).hexdigest()
        return found


class _Telling:
    """The messages about one prompt, which also make the `status` of its history entry."""

    def __init__(self, run: PromptRun) -> None:
        self._run = run
        self._messages: list[list[Any]] = []
        self.completed = False

    def tell(self, event: str, data: Json, *, to_everybody: bool = False) -> None:
        """Note a message, and send it: to the client that asked, if any, or to everybody."""
        prompt = self._run.prompt
        stamp = {"timestamp": int(self._run.life.now() * 1000)}
        full = (data if "prompt_id" in data else data | {"prompt_id": prompt.prompt_id}) | stamp
        self._messages.append([event, full])
        if prompt.client_id is not None or to_everybody:
            self._run.send(event, full)

    def succeeded(self) -> None:
        """All nodes ran."""
        self.completed = True
        self.tell("execution_success", {})

    def interrupted(self, work: NodeRun) -> None:
        """Somebody interrupted the prompt: this one is told to everybody if the prompt has no client."""
        self._run.life.log.write("Processing interrupted")
        self.tell("execution_interrupted", self._place(work), to_everybody=True)

    def failed(self, work: NodeRun, error: Exception) -> None:
        """A node raised."""
        life = self._run.life
        life.log.write(f"!!! Exception during processing !!! {error}")
        message, kind = f"{error}\n", type(error).__name__
        if isinstance(error, NodeFailed):
            message, kind = error.message, error.exception_type
            if "OutOfMemory" in kind:
                life.log.write("Got an OOM, unloading all loaded models.")
                life.device.unload()
        data = self._place(work) | {
            "exception_message": message,
            "exception_type": kind,
            "traceback": _traceback(work, message),
            "current_inputs": work.quoted_inputs(),
            "current_outputs": list(self._run.prompt.graph),
        }
        self.tell("execution_error", data)

    def status(self) -> Json:
        """Return the `status` of the history entry."""
        return {
            "status_str": "success" if self.completed else "error",
            "completed": self.completed,
            "messages": self._messages,
        }

    def _place(self, work: NodeRun) -> Json:
        return {
            "prompt_id": self._run.prompt.prompt_id,
            "node_id": work.node,
            "node_type": work.kind.name,
            "executed": list(self._run.executed),
        }


def _class_of(graph: dict[str, Json], node: str) -> NodeClass:
    return CATALOGUE[graph[node]["class_type"]]


def _traceback(work: NodeRun, message: str) -> list[str]:
    """Return a traceback of the shape the server quotes: files below /opt/ComfyUI, one string a frame."""
    root = '  File "/opt/ComfyUI/'
    module = work.kind.python_module.replace(".", "/") + ".py"
    first = message.splitlines()[0] if message.splitlines() else ""
    return [
        f'{root}execution.py", line 518, in execute\n    output_data, output_ui = await get_output_data(...)\n',
        f'{root}execution.py", line 329, in get_output_data\n    return_values = await map_node(...)\n',
        f'{root}execution.py", line 291, in process_inputs\n    result = f(**inputs)\n',
        f'{root}{module}", line 50, in {work.kind.name}\n    raise ...  # {first}\n',
    ]
