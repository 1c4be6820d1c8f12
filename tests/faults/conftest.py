"""Fault tests play whole runs as the engine tests do."""

from tests.engine.conftest import anyio_backend, stage, worker_threads_hold_the_clock

__all__ = ["anyio_backend", "stage", "worker_threads_hold_the_clock"]
