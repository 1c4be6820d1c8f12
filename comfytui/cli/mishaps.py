"""Errors of our own: told in words, written down for a report, with every secret blotted out."""

import os
import platform
import re
import tempfile
import traceback
from collections.abc import Mapping, Sequence
from pathlib import Path

from comfytui import __version__
from comfytui.errors import Failure
from comfytui.settings.table import HEADERS_VARIABLE, TOKEN_VARIABLE, WEBHOOK_VARIABLE
from comfytui.untrusted import plain

_LOGIN = re.compile(r"(?<=://)[^/\s@]*@")


def internal_failure(fault: BaseException, arguments: Sequence[str], environ: Mapping[str, str]) -> Failure:
    """Return ``fault``, which nobody foresaw, as the ``Failure`` ``internal``; its traceback is in a debug file."""
    debug = write_debug_file(fault, arguments, environ)
    return Failure("internal", why=_words(fault, environ), debug=str(debug or "that could not be written"))


def _words(fault: BaseException, environ: Mapping[str, str]) -> str:
    words = plain(without_secrets(str(fault), environ), 300).rstrip(".")
    return f"{type(fault).__name__}: {words}" if words else type(fault).__name__


def write_debug_file(fault: BaseException, arguments: Sequence[str], environ: Mapping[str, str]) -> Path | None:
    """Write what is needed to report ``fault`` into a new private file of the temporary folder, and return its path.

    Secrets of ``environ`` and logins in addresses are blotted out. ``None`` when no file can be made.
    """
    trace = "".join(traceback.format_exception(fault))
    text = (
        f"comfytui {__version__}, Python {platform.python_version()}, {platform.platform()}\n"
        f"arguments: {list(arguments)}\n\n{trace}"
    )
    try:
        handle, name = tempfile.mkstemp(prefix="comfytui-error-", suffix=".txt")
        with os.fdopen(handle, "w", encoding="utf-8", errors="replace") as file:
            file.write(without_secrets(text, environ))
    except OSError:
        return None
    return Path(name)


def without_secrets(text: str, environ: Mapping[str, str]) -> str:
    """Return ``text`` with every secret of ``environ``, and every login in an address, blotted out."""
    secrets = {environ.get(name, "") for name in (TOKEN_VARIABLE, HEADERS_VARIABLE, WEBHOOK_VARIABLE)}
    secrets |= set(re.split(r'["\n;,:{}\s]+', environ.get(HEADERS_VARIABLE, "")))
    for secret in sorted((each.strip() for each in secrets), key=len, reverse=True):
        if len(secret) >= 4:
            text = text.replace(secret, "***")
    return _LOGIN.sub("***@", text)
