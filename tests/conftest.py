"""What holds for all tests: the same examples in every build, and no terminal but the one that a test makes."""

import os

from hypothesis import settings

settings.register_profile("ci", derandomize=True)
if os.environ.get("CI"):
    settings.load_profile("ci")

# Set by whoever starts the tests, also by pytest-xdist for its workers: they would outdo the size of a test's terminal.
for name in ("COLUMNS", "LINES"):
    os.environ.pop(name, None)
