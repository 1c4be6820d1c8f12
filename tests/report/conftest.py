"""Report tests play whole runs as the engine tests do."""

from tests.engine.conftest import anyio_backend, stage, worker_threads_hold_the_clock
from tests.records.conftest import script

__all__ = ["anyio_backend", "script", "stage", "worker_threads_hold_the_clock"]
