"""The language model that writes stories: where it is, what it was asked for, how it is, and what came of it."""

from datetime import datetime
from typing import Annotated, Literal

from msgspec import Struct

from comfytui.model.telemetry import ContractStruct, Count, Moment, says

RequestFormat = Literal["direct-json", "openai-chat"]
"""``direct-json``: the server takes ``sceneCount`` and answers with a story. ``openai-chat``: OpenAI's chat API."""


class Provider(Struct, frozen=True, kw_only=True):
    """A language model: the ``url`` that stories are asked of, and ``health_url`` that tells whether it is well.

    ``timeout`` is in seconds, for a whole reply; ``None``: nobody said.
    """

    url: str
    format: RequestFormat
    health_url: str
    health_override: bool = False
    """``health_url`` was named by a person, and not derived from ``url``."""
    lists_models: bool = True
    """It may be asked for its models; a person may have said that it is not to be."""
    model: str | None = None
    seed: int | None = None
    timeout: float = 8.0
    temperature: float | None = None


class StoryRequest(Struct, frozen=True, kw_only=True):
    """What a story is to be: so many scenes, and what it is about (empty: anything)."""

    scenes: int
    idea: str = ""


class HealthCheck(ContractStruct, frozen=True, kw_only=True):
    """Whether the language model was well before the run."""

    status: Annotated[
        Literal["success", "failed", "skipped", "not requested"],
        says("`skipped`: a person said so; `not requested`: no model is configured"),
    ]
    url: Annotated[str | None, says("what was asked; null when nothing was")]
    override: Annotated[str | None, says("the address that a person named for it; null for the derived one")]
    models: Annotated[Count | None, says("models that it lists; null when it told none")]
    error: Annotated[str | None, says("what was wrong; null when nothing was")]
    timestamp: Annotated[Moment, says("when")]
    skipped: Annotated[bool, says("a person skipped it")]
    skip_reason: Annotated[str | None, says("why nothing was asked; null when it was")]


class StoryReport(Struct, frozen=True, kw_only=True, rename="camel", omit_defaults=True):
    """What a language model was asked for a story, and what came of it: ``llm`` in a story file, ``Story.LLM``.

    The names are those of older story files. ``duration_ms`` is in milliseconds; ``structured_output`` tells whether
    the server took the schema of the reply, or was asked once more without it.
    """

    enabled: bool
    status: Literal["success", "error"]
    scenes_requested: int
    provider_url: str | None = None
    request_format: RequestFormat | None = None
    model: str | None = None
    seed: int | None = None
    temperature: float | None = None
    scenes_received: int | None = None
    structured_output: Literal["json_schema", "plain"] | None = None
    error: str | None = None
    started_at: datetime | None = None
    completed_at: datetime | None = None
    duration_ms: int | None = None


def health_line(check: HealthCheck) -> str:
    """Return what the summary says of ``check``, word for word as other tools know it."""
    override = check.override or "default"
    match check.status:
        case "success":
            models = "n/a" if check.models is None else check.models
            return f"[LLM] Health check: success (url={check.url}, models={models}, override={override})"
        case "failed":
            return f"[LLM] Health check failed: {check.error} (url={check.url}, override={override})"
        case "skipped":
            return "[LLM] Health check skipped by operator request"
        case "not requested":
            return "[LLM] Health check skipped (no local provider configured)"
