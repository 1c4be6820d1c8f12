"""What holds for all tests: the same examples in every build, and no terminal but the one that a test makes."""

import os

import pytest
from hypothesis import settings

settings.register_profile("ci", derandomize=True)
if os.environ.get("CI"):
    settings.load_profile("ci")

# Set by whoever starts the tests, also by pytest-xdist for its workers: they would outdo the size of a test's terminal.
for name in ("COLUMNS", "LINES"):
    os.environ.pop(name, None)


def pytest_xdist_auto_num_workers(config: pytest.Config) -> int:
    """Three processes for two cores: about a third of the time a test waits for a process, a socket or a disk."""
    return max(2, (os.cpu_count() or 1) * 3 // 2)
