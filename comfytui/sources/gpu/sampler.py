"""A steady sample of the GPUs for the sparkline: NVML, else ``nvidia-smi``, else the server's ``/system_stats``."""

from collections.abc import Awaitable, Callable
from types import TracebackType
from typing import TypeAlias

from comfytui.clock import Clock
from comfytui.model.events import GpuFigures, GpuSampled
from comfytui.model.telemetry import GpuSource
from comfytui.sources.gpu.local import LocalGpus
from comfytui.sources.gpu.measure import AskServer, ask
from comfytui.sources.gpu.reading import Reader
from comfytui.sources.gpu.system_stats import figures_of

#: Seconds after which a driver that gave no answer is asked again.
RETRY = 30.0
#: The server is asked again sooner, since it may only be starting; and how long it may take to answer.
SERVER_RETRY, SERVER_PATIENCE = 5.0, 5.0
#: A source may be busy with our questions for at most this share of the time.
LARGEST_SHARE = 0.2

Figures: TypeAlias = tuple[GpuFigures, ...]


class _Turn:
    """A source in the order of asking, and when it may be asked again: after an answer, and after none."""

    def __init__(self, source: GpuSource, read: Callable[[], Awaitable[Figures | None]], retry: float) -> None:
        self.source = source
        self.read = read
        self.retry = retry
        self.failed_until = 0.0
        self.resting_until = 0.0


class GpuSampler:
    """An async iterator of samples, one every ``interval`` seconds of ``clock`` at most; an async context manager.

    The first source that answers is kept until it fails; one that failed is tried again after a while. A source that
    takes long is asked less often, and ticks that pass meanwhile are skipped. When there is nothing to be told any
    more, one sample without devices says so, and then there is silence until there is something again.
    """

    def __init__(
        self,
        ask_server: AskServer,
        clock: Clock,
        *,
        local: bool,
        interval: float = 1.0,
        gpus: LocalGpus | None = None,
    ) -> None:
        """Prepare to sample. ``local``: the server runs on this machine, so its drivers may be asked.

        ``gpus``: the drivers, when somebody else holds them open and closes them; otherwise they are ours.
        """
        self._clock = clock
        self._interval = interval
        self._ask_server = ask_server
        self._own = LocalGpus() if local and gpus is None else None
        drivers = gpus if local and gpus is not None else self._own
        readers = drivers.readers if drivers is not None else ()
        self._turns = [_Turn(source, _figures(reader), RETRY) for source, reader in readers]
        self._turns.append(_Turn("system_stats", self._server, SERVER_RETRY))
        self._next: float | None = None
        self._told: GpuSampled | None = None

    async def __aenter__(self) -> "GpuSampler":
        return self

    async def __aexit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        if self._own is not None:
            await self._own.aclose()

    def __aiter__(self) -> "GpuSampler":
        return self

    async def __anext__(self) -> GpuSampled:
        while True:
            await self._tick()
            sample = await self._sample()
            if sample is not None and (sample.devices or sample != self._told):
                self._told = sample
                return sample

    async def _tick(self) -> None:
        """Wait for the next tick of the grid; ticks that are over already are skipped."""
        now = self._clock.monotonic()
        self._next = now if self._next is None else max(now, self._next + self._interval)
        await self._clock.sleep(self._next - now)

    async def _sample(self) -> GpuSampled | None:
        """Ask the sources in their order; ``None`` when the one whose turn it is has to rest."""
        for turn in self._turns:
            began = self._clock.monotonic()
            if began < turn.failed_until:
                continue
            if began < turn.resting_until:
                return None
            figures = await turn.read()
            ended = self._clock.monotonic()
            if figures is not None:
                turn.resting_until = ended + (ended - began) * (1 / LARGEST_SHARE - 1)
                return GpuSampled(source=turn.source, devices=figures)
            turn.failed_until = ended + turn.retry
        return GpuSampled(source="none", devices=())

    async def _server(self) -> Figures | None:
        stats = await ask(self._ask_server, SERVER_PATIENCE)
        return None if stats is None else figures_of(stats)


def _figures(reader: Reader) -> Callable[[], Awaitable[Figures | None]]:
    async def read() -> Figures | None:
        readings = await reader.read()
        return tuple(reading.figures() for reading in readings) if readings else None

    return read
