"""Whether a language model is well: it lists its models within five seconds."""

from typing import Any, Final

from msgspec import Struct

from comfytui.clock import Clock
from comfytui.model.llm import HealthCheck, Provider
from comfytui.sources.llm.exchange import NoReply, ask, decoded
from comfytui.untrusted import plain

TIMEOUT: Final = 5.0
"""Seconds in which it must have answered."""
MAX_LIST: Final = 1024 * 1024
"""Bytes of a list of models."""


class Health(Struct, frozen=True, kw_only=True):
    """What was found: the ``check`` as it is recorded, and the names of the ``models``, in the server's order."""

    check: HealthCheck
    models: tuple[str, ...] = ()

    @property
    def chat_model(self) -> str | None:
        """The first of the models that is not one for embeddings."""
        return next((name for name in self.models if "embed" not in name.lower()), None)


async def check_health(provider: Provider, clock: Clock) -> Health:
    """Ask ``provider`` for its models and return what was found; it never raises.

    Lists are taken in the shapes of OpenAI (``data``: LM Studio, llama.cpp server, Ollama; null for none) and of
    older servers (``models``). What a person named instead is well with any answer of 2xx that is no web page.
    """
    moment = clock.now()
    override = provider.health_url if provider.health_override else None
    try:
        reply = await ask("GET", provider.health_url, timeout=TIMEOUT, limit=MAX_LIST)
        if (refusal := reply.refusal) is not None:
            raise NoReply(refusal)
        if reply.is_page:
            raise NoReply("it answers with a web page")
        names = _names(reply.body, strict=not provider.health_override)
    except NoReply as fault:
        failed = HealthCheck(
            status="failed", url=provider.health_url, override=override, models=None, error=str(fault),
            timestamp=moment, skipped=False, skip_reason=None,
        )  # fmt: skip
        return Health(check=failed)
    well = HealthCheck(
        status="success",
        url=provider.health_url,
        override=override,
        models=None if names is None else len(names),
        error=None,
        timestamp=moment,
        skipped=False,
        skip_reason=None,
    )
    return Health(check=well, models=names or ())


def unchecked(provider: Provider | None, clock: Clock) -> HealthCheck:
    """Return the record of a check that was not made: skipped by a person, or with nobody to ask (``None``)."""
    return HealthCheck(
        status="not requested" if provider is None else "skipped",
        url=None,
        override=provider.health_url if provider is not None and provider.health_override else None,
        models=None,
        error=None,
        timestamp=clock.now(),
        skipped=provider is not None,
        skip_reason="no local provider configured" if provider is None else "operator requested skip",
    )


def _names(body: bytes, *, strict: bool) -> tuple[str, ...] | None:
    """Return the names that a list of models holds. What is none: ``None``, or, if ``strict``, :class:`NoReply`."""
    try:
        return _listed(decoded(body))
    except NoReply:
        if strict:
            raise
        return None


def _listed(told: Any) -> tuple[str, ...]:
    if not isinstance(told, dict) or not ({"data", "models"} & told.keys()):
        raise NoReply("its reply is no list of models")
    listed = told["data"] if "data" in told else told["models"]
    if not isinstance(listed, list | None):
        raise NoReply("its reply is no list of models")
    names = []
    for model in listed or ():
        name = model.get("id", model.get("name")) if isinstance(model, dict) else model
        names.append(plain(name, 200) if isinstance(name, str) else "")
    return tuple(names)
