"""The command line: commands to settings to a face, and every ending in an exit code.

0: what was asked for went well; 1: a run finished otherwise, or does not validate; 2: usage, configuration or
preflight; 130: interrupted.
"""

from collections.abc import Sequence

from comfytui.cli.endings import guarded
from comfytui.cli.importing import importing
from comfytui.cli.streams import stand_in


def run(arguments: Sequence[str]) -> int:
    """Carry out one command line and return its exit code; failures are told, never raised."""

    stand_in()

    def carry_out() -> int:
        with importing():
            from comfytui.cli.commands import comfytui

        # click returns what the command returned, or the code of an early exit such as --help
        return comfytui.main(args=list(arguments), prog_name="comfytui", standalone_mode=False) or 0

    return guarded(carry_out, arguments)
