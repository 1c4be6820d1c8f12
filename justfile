# What developers do with comfytui. Every recipe is a plain command: `just --list` shows them, `just NAME` runs one.

set windows-shell := ["powershell.exe", "-NoLogo", "-Command"]

python := env("PYTHON", if os_family() == "windows" { "python" } else { "python3" })

# Everything that must pass
check: lint types walls test

# All tests; more arguments go to pytest (just test tests/engine -x)
test *args:
    {{ python }} -m pytest {{ args }}

# Style
lint:
    {{ python }} -m ruff check comfytui tests
    {{ python }} -m ruff format --check comfytui tests

# Strict types
types:
    {{ python }} -m mypy

# Which room may import which
walls:
    {{ python }} -c "from importlinter.cli import lint_imports_command; lint_imports_command()"

# The fault table: every test that it names, and no other
faults *args:
    {{ python }} -m tests.faults {{ args }}

# Tests against a real ComfyUI of this machine (just real http://127.0.0.1:8188)
real $COMFYTUI_TEST_SERVER *args:
    {{ python }} -m pytest -m real_server tests/e2e tests/conformance {{ args }}

# Benchmarks, all but the long story's and the dashboard's, or those that are named (just bench scale --json)
bench *args:
    {{ python }} -m tests.bench {{ args }}

# What the dashboard costs in a terminal
bench-ui *args:
    {{ python }} -m tests.bench dashboard {{ args }}

# Draw the pictures of the dashboard anew, after a change that is meant to be seen
snapshots-update *args:
    {{ python }} -m pytest tests/ui --snapshot-update {{ args }}

# The bundled story on the built-in simulator
demo *args:
    {{ python }} -m comfytui demo {{ args }}
