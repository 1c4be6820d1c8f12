"""The language model that makes stories: only ``run --story-llm`` and ``story new`` need it."""

from comfytui.clock import Clock
from comfytui.engine.doctor.finding import Finding, ok, unknown, warn
from comfytui.errors import Failure
from comfytui.model.llm import Provider
from comfytui.sources.llm.health import Health, check_health

_CHECK = "language model"


async def language_model(provider: Provider | None, clock: Clock, *, skip: bool) -> Finding:
    """Return whether the model at ``provider`` is well; ``skip``: a person wants it not to be asked."""
    if provider is None:
        return ok(_CHECK, "none is set: stories are made from templates")
    if skip:
        return unknown(_CHECK, f"{provider.url} was not asked: its health check is skipped")
    return judged(provider, await check_health(provider, clock))


def judged(provider: Provider, health: Health) -> Finding:
    """Return what the health check of ``provider`` means. Pure."""
    check = health.check
    if check.status != "success":
        failure = Failure("llm.unhealthy", url=provider.health_url, why=check.error or "it does not answer")
        return warn(_CHECK, failure.what, failure.remedy)
    if check.models is None:
        return ok(_CHECK, f"{provider.health_url} answers")
    if provider.model is not None and not _listed(provider.model, health.models):
        what = f"{provider.health_url} does not list the model {provider.model}"
        return warn(_CHECK, what, "Load it there, or correct --llm-model (LOCAL_LLM_MODEL).")
    if provider.model is None and health.chat_model is None:
        return warn(_CHECK, f"{provider.health_url} lists no model for chats", "Load a model there.")
    return ok(_CHECK, f"{provider.model or health.chat_model} at {provider.url}")


def _listed(model: str, names: tuple[str, ...]) -> bool:
    """Tell whether a server takes ``model``: Ollama lists ``name:tag`` and takes the bare name, too."""
    return any(name == model or name.startswith(f"{model}:") for name in names)
