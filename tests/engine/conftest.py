"""Engine tests: the real engine and the real sources against the simulator, on a virtual clock."""

from collections.abc import Callable
from typing import Any

import anyio.to_thread
import pytest

from tests.conformance.virtual_time import VirtualTimeLoop
from tests.engine.stage import Stage


@pytest.fixture
def anyio_backend() -> tuple[str, dict[str, Any]]:
    """Run async tests on asyncio, with the jumping clock."""
    return "asyncio", {"loop_factory": VirtualTimeLoop}


@pytest.fixture(autouse=True)
def worker_threads_hold_the_clock(monkeypatch: pytest.MonkeyPatch) -> None:
    """The clock must not jump while a worker thread of anyio is at work."""
    import asyncio

    run_sync: Callable[..., Any] = anyio.to_thread.run_sync

    async def counted(*args: Any, **kwargs: Any) -> Any:
        loop = asyncio.get_running_loop()
        if not isinstance(loop, VirtualTimeLoop):
            return await run_sync(*args, **kwargs)
        loop.threads_at_work += 1
        try:
            return await run_sync(*args, **kwargs)
        finally:
            loop.threads_at_work -= 1

    monkeypatch.setattr(anyio.to_thread, "run_sync", counted)


@pytest.fixture
def stage(tmp_path: Any) -> Stage:
    """A place to play a run on."""
    return Stage(tmp_path)
