"""Conformance tests run on a virtual clock: a recorded minute takes a moment."""

from __future__ import annotations

import asyncio
from collections.abc import Callable
from typing import Any

import pytest

from tests.conformance.virtual_time import VirtualTimeLoop


@pytest.fixture
def anyio_backend() -> tuple[str, dict[str, Any]]:
    """Run async tests on asyncio, with the jumping clock."""
    return "asyncio", {"loop_factory": VirtualTimeLoop}


@pytest.fixture
def epoch() -> Callable[[], float]:
    """Return a wall clock for the simulator that goes with the loop: epoch seconds."""
    return lambda: 1_795_341_000.0 + asyncio.get_running_loop().time()
