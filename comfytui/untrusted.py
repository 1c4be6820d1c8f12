"""What comes from outside is stripped at the source: text that may reach a terminal, names that may reach a disk."""

import os
import re
import stat
import unicodedata
from pathlib import Path, PurePosixPath

# Escape sequences go as a whole (CSI, OSC and the other string kinds), so that no `31m` is left behind.
_ESCAPES = re.compile(
    r"\x1b\[[0-?]*[ -/]*[@-~]|\x9b[0-?]*[ -/]*[@-~]"
    r"|(?:\x1b[\]PX^_]|[\x9d\x90\x98\x9e\x9f])[^\x07\x1b\x9c]*(?:\x07|\x1b\\|\x9c|$)"
    r"|\x1b[ -/]*[0-~]"
)


def plain(text: str, limit: int = 4000) -> str:
    """Return untrusted ``text`` without control characters, escape sequences and direction overrides.

    Line breaks and tabs become single spaces; more than ``limit`` characters are cut with an ellipsis. Lone
    surrogates become U+FFFD, so that the result can always be encoded.
    """
    if len(text) <= limit and text.isprintable():  # nearly every text: nothing below would change it
        return text
    cut = _ESCAPES.sub("", text[: limit * 4])
    cut = " ".join(cut.split()) if any(c in cut for c in "\n\r\t\x0b\x0c\x85\u2028\u2029") else cut
    kept = "".join("\ufffd" if "\ud800" <= c <= "\udfff" else c for c in cut if _visible(c))
    return kept if len(kept) <= limit else kept[: limit - 1] + "…"


def _visible(char: str) -> bool:
    """Tell whether ``char`` may reach a terminal: no control, no invisible formatting but joiners of real scripts."""
    if char in "\u200c\u200d":  # joiners are part of words in many scripts and of emoji
        return True
    return unicodedata.category(char) not in ("Cc", "Cf", "Co", "Cn")


_RESERVED = {"con", "prn", "aux", "nul", *(f"{port}{n}" for port in ("com", "lpt") for n in "0123456789¹²³")}
_UNFIT = re.compile(r"[^A-Za-z0-9._-]+")


def file_name(text: str, limit: int = 80) -> str:
    """Return ``text`` as a name that is a valid single path part on Linux, macOS and Windows.

    Letters, digits, ``.``, ``_`` and ``-`` stay; every other run becomes one ``-``. Never empty, never hidden, no
    trailing dot, no device name of Windows, at most ``limit`` characters.
    """
    name = _UNFIT.sub("-", plain(text)).strip(".-")[:limit].rstrip(".-")
    if name.split(".")[0].lower() in _RESERVED:
        name = f"{name}_" if "." not in name else name.replace(".", "_", 1)
    return name or "unnamed"


def inside(folder: Path, subfolder: str, filename: str) -> Path | None:
    """Return ``folder / subfolder / filename`` when that is proven to stay inside ``folder``, else ``None``.

    Both parts may come from a server (``subfolder`` and ``filename`` of an output, ComfyUI 0.3.64 and 0.8.0), with
    either kind of slash. Absolute parts, ``..``, drive letters, NUL and other control characters, device names,
    over-long names and symbolic links that leave the folder are refused. Nothing is created.
    """
    relative = below(subfolder, filename)
    if relative is None:
        return None
    try:
        path = folder / relative
        if not _leads_on(folder, relative):
            return path
        return path if path.resolve().is_relative_to(folder.resolve()) else None
    except (OSError, ValueError, RuntimeError):  # a loop of links, a name the file system cannot hold
        return None


def _leads_on(folder: Path, relative: PurePosixPath) -> bool:
    """Tell whether any part of ``relative`` under ``folder`` is a link, or what Windows has for one. Raises ``OSError``
    where that cannot be seen.
    """
    place = os.fspath(folder)
    for part in relative.parts:
        place = os.path.join(place, part)  # noqa: PTH118  (asked for every frame and record of a run)
        try:
            facts = os.lstat(place)
        except FileNotFoundError:
            return False  # what is not there leads nowhere
        if stat.S_ISLNK(facts.st_mode) or getattr(facts, "st_reparse_tag", 0) != 0:
            return True
    return False


def below(subfolder: str, filename: str) -> PurePosixPath | None:
    """Return ``subfolder / filename`` when no such name could lead out of a folder, else ``None``. No disk is asked.

    What links on a disk do is for :func:`inside` to see.
    """
    if not filename or "/" in filename or "\\" in filename:
        return None
    parts = [*PurePosixPath(subfolder.replace("\\", "/")).parts, filename]
    return PurePosixPath(*parts) if all(map(_fit_part, parts)) else None


def _fit_part(part: str) -> bool:
    return (
        part not in ("", ".", "..", "/")
        and ":" not in part
        and len(part.encode("utf-8", "replace")) <= 255
        and plain(part) == part
        and part.split(".", maxsplit=1)[0].rstrip(" ").lower() not in _RESERVED
    )
