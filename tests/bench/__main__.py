"""``python -m tests.bench [NAME...] [--json] [--server URL]``: run benchmarks, all of them or the named ones."""

import argparse
import importlib
import sys
from collections.abc import Sequence

from tests.bench.table import Table, as_json, as_markdown, as_text, machine

NAMES = (
    "overhead",
    "completion",
    "start",
    "journal",
    "registry",
    "watcher",
    "imports",
    "servers",
    "scale",
    "dashboard",
)
WHEN_NAMED = ("scale", "dashboard")
"""Those that are only run when they are named: one takes many minutes, one needs a pty and a quiet machine."""
ON_A_SERVER = ("overhead", "completion")
"""Those that can be run on a real ComfyUI of this machine instead of the simulator."""


def main(arguments: Sequence[str], only: str | None = None) -> int:
    """Run what ``arguments`` name (or ``only`` that one) and print what was found; always 0: a figure is no verdict."""
    parser = argparse.ArgumentParser(prog="python -m tests.bench", description=__doc__)
    if only is None:
        parser.add_argument(
            "names", nargs="*", metavar="NAME", help=f"of {', '.join(NAMES)}; none: all but {', '.join(WHEN_NAMED)}"
        )
    parser.add_argument("--json", action="store_true", help="one line of JSON")
    parser.add_argument("--markdown", action="store_true", help="the ratios and what has a target, as in the README")
    parser.add_argument("--server", metavar="URL", help=f"a ComfyUI of this machine ({', '.join(ON_A_SERVER)})")
    given = parser.parse_args(arguments)
    names = [only] if only else given.names or [name for name in NAMES if name not in WHEN_NAMED]
    if unknown := [name for name in names if name not in NAMES]:
        parser.error(f"no benchmark is called {', '.join(unknown)}; there are {', '.join(NAMES)}")
    told = not given.json and not given.markdown
    if told:
        print(machine(), flush=True)
    tables: dict[str, Table] = {}
    for name in names:
        measure = importlib.import_module(f"tests.bench.{name}").measure
        tables[name] = measure(given.server) if name in ON_A_SERVER else measure()
        if told:
            print(f"\n{as_text(tables[name])}", flush=True)
    if given.json:
        print(as_json(tables))
    if given.markdown:
        print(as_markdown(tables))
    return 0


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
