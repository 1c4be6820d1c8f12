"""The standard streams of a process that was started without them, as a daemon or a script may do it."""

import os
import sys


def stand_in() -> None:
    """Put nothing in the place of each that is missing: nothing is read there, and nothing written.

    Else the next file that is opened takes its number, and a child of ours would write into it.
    """
    for name, mode in (("stdin", "r"), ("stdout", "w"), ("stderr", "w")):
        if getattr(sys, name) is None:
            setattr(sys, name, open(os.devnull, mode, encoding="utf-8"))  # noqa: PTH123, SIM115  (for good)
