"""How a fault of the disk becomes a failure that the user can read: ``run.unwritable``, with the folder and why."""

from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

from comfytui.errors import Failure


def why(fault: OSError | ValueError) -> str:
    """Return the system's own words for ``fault`` (``No space left on device``)."""
    return getattr(fault, "strerror", None) or str(fault)


@contextmanager
def writing(place: Path) -> Iterator[None]:
    """Turn a fault of the disk (full, failing, not permitted, gone) into ``Failure`` ``run.unwritable``."""
    try:
        yield
    except OSError as fault:
        raise Failure("run.unwritable", place=str(place), why=why(fault)) from fault
