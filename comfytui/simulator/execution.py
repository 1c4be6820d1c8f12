"""One node at work: what it may ask of the server, and how it ends early."""

from __future__ import annotations

import asyncio
import json
from collections.abc import Callable, Iterable
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any

from PIL import Image

from comfytui.simulator import messages
from comfytui.simulator.encoding import preview_bytes
from comfytui.simulator.faults import Death, Hang, InterruptLost, NodeError, NodeFault, OutOfMemory, kind_of
from comfytui.simulator.nodes.schema import NodeClass
from comfytui.simulator.progress import ProgressBoard
from comfytui.simulator.store import QueuedPrompt
from comfytui.simulator.writing import in_thread

if TYPE_CHECKING:
    from comfytui.simulator.life import Life

Json = dict[str, Any]

OOM_TIPS = (
    "This error means you ran out of memory on your GPU.\n\n"
    "TIPS: If the workflow worked before you might have accidentally set the batch_size to a large number."
)


class Interrupted(Exception):
    """The prompt was interrupted."""


class NodeFailed(Exception):
    """The node raised: `exception_type` and `message` as the server reports them."""

    def __init__(self, message: str, exception_type: str, tips: str = "") -> None:
        super().__init__(message)
        self.message = f"{message}\n{tips}"
        self.exception_type = exception_type

    @classmethod
    def out_of_memory(cls, message: str, *, older_torch: bool = False) -> NodeFailed:
        """Return the error of a GPU that is full."""
        name = "torch.cuda.OutOfMemoryError" if older_torch else "torch.OutOfMemoryError"
        return cls(message, name, OOM_TIPS)


@dataclass(eq=False)
class PromptRun:
    """One prompt in execution: its progress, what is done, and whether it was interrupted."""

    life: Life
    prompt: QueuedPrompt
    board: ProgressBoard = field(init=False)
    executed: list[str] = field(default_factory=list)
    outputs_done: int = 0
    nodes_begun: int = 0
    interrupts: int = 0
    struck: set[int] = field(default_factory=set)
    interrupted: asyncio.Event = field(default_factory=asyncio.Event)

    def __post_init__(self) -> None:
        """Begin with an empty board."""
        self.board = ProgressBoard(self.prompt.prompt_id)

    def interrupt(self) -> None:
        """Ask the prompt to end at its next step or node; a fault may lose the request."""
        self.interrupts += 1
        lost = kind_of(self.prompt.faults, InterruptLost)
        if lost is None or (lost.count is not None and self.interrupts > lost.count):
            self.interrupted.set()

    def check(self) -> None:
        """Raise Interrupted when somebody interrupted the prompt."""
        if self.interrupted.is_set():
            raise Interrupted

    def send(self, event: str, data: Json | bytes) -> None:
        """Put a message in line for the prompt's client, or for everybody when it has none."""
        self.life.sockets.put(event, data, self.prompt.client_id)

    def send_progress_state(self) -> None:
        """Put the state of all visited nodes in line."""
        self.send("progress_state", self.board.state())


@dataclass(eq=False)
class NodeRun:
    """What the body of a node works with: its inputs with links resolved, and the server around it."""

    run: PromptRun
    node: str
    kind: NodeClass
    inputs: Json

    @property
    def life(self) -> Life:
        """Return the server."""
        return self.run.life

    async def wait(self, seconds: float) -> None:
        """Let `seconds` of work go by; even 0 gives other tasks a turn."""
        await asyncio.sleep(max(0.0, seconds))

    async def begin(self) -> None:
        """Check for interrupts and strike the faults that strike before a node's body."""
        self.run.nodes_begun += 1
        await asyncio.sleep(0)
        self.run.check()
        await self.wait(self.life.speed().node_overhead)
        await self._strike(None)

    async def report(
        self, value: float, maximum: float, draw: Callable[[], Image.Image] | None = None, form: str = "JPEG"
    ) -> None:
        """Tell that `value` of `maximum` steps are done, with a preview when `draw` gives one.

        Raises Interrupted when the prompt was interrupted, and whatever a fault at this step raises.
        """
        self.run.check()
        run, sockets = self.run, self.life.sockets
        run.board.update(self.node, value, maximum)
        run.send_progress_state()
        image = None if draw is None else await in_thread(lambda: preview_bytes(draw(), form))
        prompt_id = run.prompt.prompt_id
        if image is not None and sockets.wants_metadata(run.prompt.client_id):
            run.send("preview", messages.preview_with_metadata(form, image, self.node, prompt_id))
            image = None
        run.send("progress", messages.progress(value, maximum, prompt_id, self.node))
        if image is not None:
            run.send("preview", messages.preview(form, image))
        await self._strike(int(value))

    async def step_done(self, step: int) -> None:
        """Strike the faults of this step of a node that reports no progress (a saved frame)."""
        await self._strike(step)

    async def finished(self) -> None:
        """The last node of the prompt is done: a fault that waited for its output strikes now."""
        await self._strike(None)

    def send_text(self, words: str) -> None:
        """Send a line of text for this node."""
        self.run.send("text", messages.text(self.node, words))

    def quoted_inputs(self) -> Json:
        """Return the inputs as `execution_error` quotes them: lists, tensors as kilobytes of text."""
        return {name: [_quoted(value)] for name, value in self.inputs.items()}

    async def _strike(self, step: int | None) -> None:
        for fault in self._faults_here(step):
            self.run.struck.add(id(fault))
            if isinstance(fault, Hang):
                await self._hang(fault)
            elif isinstance(fault, Death):
                self.life.die(fault.restart_after)
                await asyncio.Event().wait()
            elif isinstance(fault, OutOfMemory):
                raise NodeFailed.out_of_memory(fault.message, older_torch=fault.older_torch)
            elif isinstance(fault, NodeError):
                raise NodeFailed(fault.message, fault.exception_type)

    def _faults_here(self, step: int | None) -> Iterable[NodeFault]:
        for fault in self.run.prompt.faults:
            if not isinstance(fault, NodeFault) or id(fault) in self.run.struck or fault.step != step:
                continue
            here = fault.at in {self.node, self.kind.name} if fault.at else self._first_that_fits(fault)
            if here and self.run.outputs_done >= fault.after_outputs:
                yield fault

    def _first_that_fits(self, fault: NodeFault) -> bool:
        """A fault that names no node takes the first one; with a step or an output to wait for, the next one."""
        return fault.step is not None or fault.after_outputs > 0 or self.run.nodes_begun == 1

    async def _hang(self, fault: Hang) -> None:
        if not fault.interruptible:
            await asyncio.Event().wait()
        await self.run.interrupted.wait()
        raise Interrupted


def _quoted(value: object) -> object:
    if hasattr(value, "tensor_text"):
        return value.tensor_text()
    if isinstance(value, (str, int, float, bool)) or value is None:
        return value
    return json.dumps(value, default=repr)
