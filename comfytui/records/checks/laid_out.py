"""The metadata of a long story without holding them: each scene is read from the file when it is asked for.

That is possible for a file that is laid out as comfytui writes it, each scene from a line ``{`` to a line ``}``. JSON
has no line breaks within texts, so when the head without its scenes is sound, and every one of those parts, then the
file as a whole holds just these. Any other file, and one in which anything is wrong, is read as a whole.
"""

import secrets
from array import array
from collections.abc import Sequence
from io import BufferedReader
from pathlib import Path
from typing import overload

from comfytui.records.checks.reading import Unreadable, opened

LONGEST_LINE = 1024 * 1024
LARGEST_HEAD = 16 * 1024 * 1024
"""Bytes of a line, and of everything but the scenes, that are read here."""

_BEGIN, _NEXT, _END = b'  "Scenes": [\n', b"},\n", (b"}],\n", b"}]\n")


class Pieces(Sequence[bytes]):
    """The JSON of the scenes, in the order of the file, which stays open until :meth:`close`."""

    def __init__(self, file: BufferedReader, spans: Sequence[int]) -> None:
        """``spans``: where each piece begins, and where it ends."""
        self._file, self._spans = file, spans

    def __len__(self) -> int:
        return len(self._spans) // 2

    @overload
    def __getitem__(self, number: int) -> bytes: ...
    @overload
    def __getitem__(self, number: slice) -> Sequence[bytes]: ...
    def __getitem__(self, number: int | slice) -> bytes | Sequence[bytes]:
        """Return the piece of that number. Raises :class:`Unreadable`."""
        if isinstance(number, slice):
            return [self[one] for one in range(len(self))[number]]
        if not 0 <= number < len(self):
            raise IndexError(number)
        start, end = self._spans[2 * number : 2 * number + 2]
        try:
            self._file.seek(start)
            return self._file.read(end - start)
        except OSError as fault:
            raise Unreadable(f"cannot be read: {fault.strerror}") from None

    def close(self) -> None:
        """Let go of the file."""
        self._file.close()


def laid_out(path: Path) -> tuple[bytes, bytes, Pieces] | None:
    """Return the metadata at ``path`` with a mark in place of the list of scenes, the mark, and the scenes.

    ``None`` when they are laid out in another way. Raises :class:`Unreadable`.
    """
    file, found = opened(path), None
    mark = b'"%s"' % secrets.token_hex(16).encode()
    try:
        found = _parts(file, mark)
    except OSError:  # reading it as a whole tells why
        return None
    finally:
        if found is None:
            file.close()
    return None if found is None else (found[0], mark, Pieces(file, found[1]))


def _parts(file: BufferedReader, mark: bytes) -> tuple[bytes, "array[int]"] | None:
    """Return the head with ``mark`` for the scenes, and where each scene begins and ends."""
    head, spans = bytearray(), array("Q")
    place, start, within = 0, -1, False
    while line := file.readline(LONGEST_LINE):
        if len(line) == LONGEST_LINE or len(head) > LARGEST_HEAD:
            return None
        if not within:
            within = line == _BEGIN and not spans
            head += line.replace(b"[\n", mark) if within else line
        elif start < 0:
            if line != b"{\n":
                return None
            start = place
        elif line == _NEXT or line in _END:
            spans.extend((start, place + 1))
            start, within = -1, line == _NEXT
            head += b"" if within else line[2:]
        place += len(line)
    return None if within or not spans else (bytes(head), spans)
