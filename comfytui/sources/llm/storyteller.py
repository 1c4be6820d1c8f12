"""Asking a language model for a story: the one call that is made, and what came of it, good or bad."""

from typing import Any, Literal

import anyio
from msgspec import Struct, structs

from comfytui.clock import Clock
from comfytui.model.llm import Provider, StoryReport, StoryRequest
from comfytui.model.story_draft import StoryDraft, Unfit, read_draft
from comfytui.model.story_file import checked_draft
from comfytui.sources.llm.exchange import NoReply, Reply, ask, decoded
from comfytui.sources.llm.health import check_health
from comfytui.sources.llm.wording import chat_body, direct_body
from comfytui.untrusted import plain

Structured = Literal["json_schema", "plain"]

_NO_SCHEMA = (400, 404, 415, 422, 501)
"""What servers that know no ``json_schema`` answer to it; llama.cpp of 2024 answers 500 and names the field."""


class Told(Struct, frozen=True, kw_only=True):
    """What came of asking: the ``draft`` (``None``: there is none, and the report says why) and the ``report``."""

    report: StoryReport
    draft: StoryDraft | None = None
    unused: tuple[str, ...] = ()
    """Fields of the answer that are not used."""


async def ask_for_story(provider: Provider, request: StoryRequest, clock: Clock) -> Told:
    """Ask ``provider`` for a story and return what came of it; it never raises for what a server does.

    Where no model is named, the first of its list is asked for, if there is one. A server that does not take the schema
    of the answer is asked once more without it; both together have ``provider.timeout`` seconds.
    """
    started, began = clock.now(), clock.monotonic()
    report = StoryReport(
        enabled=True, status="success", scenes_requested=request.scenes, provider_url=provider.url,
        request_format=provider.format, model=provider.model, seed=provider.seed, temperature=provider.temperature,
        started_at=started,
    )  # fmt: skip
    draft: StoryDraft | None = None
    unused: tuple[str, ...] = ()
    try:
        with anyio.fail_after(provider.timeout):
            if provider.model is None and provider.lists_models and provider.format == "openai-chat":
                provider = structs.replace(provider, model=(await check_health(provider, clock)).chat_model)
                report = structs.replace(report, model=provider.model)
            answer, structured = await _answer(provider, request)
        report = structs.replace(report, structured_output=structured)
        read, unused = read_draft(answer)
        draft = checked_draft(read)
        report = structs.replace(report, scenes_received=len(draft.scenes))
    except TimeoutError:
        report = structs.replace(report, status="error", error=f"it did not answer within {provider.timeout:g} s")
    except NoReply as fault:
        report = structs.replace(report, status="error", error=str(fault))
    except Unfit as fault:
        report = structs.replace(report, status="error", error=f"its answer cannot be used: {fault}")
    took = round((clock.monotonic() - began) * 1000)
    report = structs.replace(report, completed_at=clock.now(), duration_ms=took)
    return Told(report=report, draft=draft, unused=unused)


async def _answer(provider: Provider, request: StoryRequest) -> tuple[str, Structured | None]:
    """Return the text that should be a story, and how it was asked for. Raises :class:`NoReply`."""
    if provider.format == "direct-json":
        reply = await _post(provider, direct_body(provider, request))
        return _checked(reply).body.decode("utf-8", "replace"), None
    structured: Structured = "json_schema"
    reply = await _post(provider, chat_body(provider, request, structured=True))
    if reply.status in _NO_SCHEMA or (reply.status == 500 and b"response_format" in reply.body):
        structured = "plain"
        reply = await _post(provider, chat_body(provider, request, structured=False))
    return _content(decoded(_checked(reply).body)), structured


async def _post(provider: Provider, body: dict[str, Any]) -> Reply:
    return await ask("POST", provider.url, timeout=provider.timeout, json=body)


def _checked(reply: Reply) -> Reply:
    if (refusal := reply.refusal) is not None:
        raise NoReply(refusal, reply.status)
    if reply.is_page:
        raise NoReply("it answers with a web page")
    return reply


def _content(told: Any) -> str:
    """Return the text of the one choice of a chat completion. Raises :class:`NoReply`."""
    match told:
        case {"choices": [{"message": {"content": str(content)}, **choice}, *_]} if content.strip():
            if choice.get("finish_reason") == "length":
                raise NoReply("its answer was cut off at its limit of tokens")
            return content
        case {"choices": [{"message": {"refusal": str(refusal)}}, *_]}:
            raise NoReply(f"it refuses: {plain(refusal, 300)}")
        case {"choices": [{"message": {**_message}}, *_]}:
            raise NoReply("its answer is empty")
        case {"error": {"message": str(error)}} | {"error": str(error)}:
            raise NoReply(f"it reports an error: {plain(error, 300)}")
        case _:
            raise NoReply("its reply is no chat completion")
