"""Pictures of the dashboard: one SVG a shot, in ``snapshots/<ui test module>/`` at the top of the repository."""

from collections.abc import Callable
from pathlib import Path

import pytest
from syrupy.assertion import SnapshotAssertion
from syrupy.extensions.single_file import SingleFileSnapshotExtension, WriteMode
from syrupy.location import PyTestLocation

from tests.ui.stage import Stage

SNAPSHOTS = Path(__file__).resolve().parents[2] / "snapshots"


class SvgPicture(SingleFileSnapshotExtension):
    """One SVG file a picture. The module's name is the last folder: that is how syrupy finds the owner of a file."""

    file_extension = "svg"
    _write_mode = WriteMode.TEXT

    @classmethod
    def dirname(cls, *, test_location: PyTestLocation) -> str:
        """Return the folder of a test module's pictures."""
        return str(SNAPSHOTS / test_location.basename)


@pytest.fixture
def anyio_backend() -> str:
    """The one backend, unparametrised: its name would only lengthen the names of the pictures."""
    return "asyncio"


@pytest.fixture
def same_picture(snapshot: SnapshotAssertion) -> Callable[..., None]:
    """Hold what is on the stage to the picture of it; ``name`` tells several shots of one test apart."""

    def check(shown: Stage, name: str | None = None) -> None:
        held = snapshot.use_extension(SvgPicture)
        assert shown.picture() == (held(name=name) if name else held)

    return check
