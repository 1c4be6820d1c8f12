"""Importing much at once, as a command that drives a run does."""

import gc
from collections.abc import Iterator
from contextlib import contextmanager


@contextmanager
def importing() -> Iterator[None]:
    """Import inside the block: no garbage is looked for meanwhile, and never again in what is there at its end.

    Modules leave none behind, but every few thousand of their objects the collector looks through all of them: a
    twentieth of the time to the first prompt, and 20 ms of a full collection later.
    """
    gc.disable()
    try:
        yield
    finally:
        gc.freeze()
        gc.enable()
