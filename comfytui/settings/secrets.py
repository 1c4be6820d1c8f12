"""The secrets of the environment, which log in to a server: read here, handed on in memory, written nowhere."""

import json
from collections.abc import Mapping

from comfytui.errors import Failure
from comfytui.settings.table import HEADERS_VARIABLE, TOKEN_VARIABLE

_SECRETS = ("token", "api_key", "apikey", "password", "headers", "header", "authorization", "auth", "secret")


def about_secret(key: str) -> str:
    """Return what is to be said of a ``key`` that names a secret; empty when it does not."""
    if key.rpartition(".")[2].lower().replace("-", "_") not in _SECRETS:
        return ""
    return f"secrets are not kept in files; set {TOKEN_VARIABLE} or {HEADERS_VARIABLE} in the environment"


def token_of(environ: Mapping[str, str]) -> str | None:
    """Return the bearer token, ``None`` without one."""
    return environ.get(TOKEN_VARIABLE, "").strip() or None


def headers_of(environ: Mapping[str, str]) -> dict[str, str]:
    """Return the extra headers: of a JSON object of texts, or of lines ``Name: value``.

    Raises ``Failure`` ``config.value``, with no secret in it.
    """
    text = environ.get(HEADERS_VARIABLE, "").strip()
    if text.startswith("{"):
        return _from_json(text)
    headers: dict[str, str] = {}
    for number, line in enumerate(filter(None, map(str.strip, text.splitlines())), start=1):
        name, colon, value = line.partition(":")
        if not colon or not name.strip():
            raise _unusable(f"line {number} is not `Name: value`")
        headers[name.strip()] = value.strip()
    return headers


def _from_json(text: str) -> dict[str, str]:
    try:
        headers = json.loads(text)
    except (ValueError, RecursionError):
        raise _unusable("it begins like a JSON object and is none") from None
    if not all(isinstance(value, str) for value in headers.values()):
        raise _unusable("a header in it is not text")
    return dict(headers)


def _unusable(why: str) -> Failure:
    return Failure("config.value", place=f"The variable {HEADERS_VARIABLE}", why=why)
