"""Which addresses of a language model are asked, and in which format: worked out of the one that a person gives."""

from urllib.parse import urlsplit, urlunsplit

from comfytui.model.llm import Provider, RequestFormat

_CHAT = "/chat/completions"


def provider_at(
    url: str,
    *,
    request_format: RequestFormat | None = None,
    health_url: str | None = None,
    lists_models: bool = True,
    model: str | None = None,
    seed: int | None = None,
    timeout: float = 8.0,
    temperature: float | None = None,
) -> Provider:
    """Return the provider at ``url``, an address without a trailing slash; ``timeout`` is in seconds.

    Of a bare server, and of its ``/v1``, the chat completions are meant; any other path is asked as it stands.
    """
    form = request_format or inferred_format(url)
    path = urlsplit(url).path
    if form == "openai-chat" and not path.endswith(_CHAT):
        url += _CHAT if path else f"/v1{_CHAT}"
    return Provider(
        url=url,
        format=form,
        health_url=health_url or derived_health_url(url),
        health_override=health_url is not None,
        lists_models=lists_models,
        model=model,
        seed=seed,
        timeout=timeout,
        temperature=temperature,
    )


def inferred_format(url: str) -> RequestFormat:
    """Return ``openai-chat`` for an address of OpenAI's API or a bare server, ``direct-json`` for any other."""
    path = urlsplit(url).path.lower()
    chat = not path or path.endswith("/v1") or "/v1/chat" in path or _CHAT in path
    return "openai-chat" if chat else "direct-json"


def derived_health_url(url: str) -> str:
    """Return the list of models that belongs to ``url``: ``.../v1/chat/completions`` -> ``.../v1/models``."""
    parts = urlsplit(url)
    path = parts.path.rstrip("/")
    if path.endswith(f"/v1{_CHAT}"):
        path = path.removesuffix(_CHAT) + "/models"
    elif path.endswith("/v1"):
        path += "/models"
    else:
        path = "/v1/models"
    return urlunsplit((parts.scheme, parts.netloc, path, "", ""))
