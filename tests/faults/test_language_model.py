"""A language model that is slow, broken, hostile or merely careless: there is a story all the same, and it is said."""

import asyncio
import json
import time
from collections.abc import AsyncIterator
from typing import Any

import pytest
from aiohttp import web
from msgspec import structs

from comfytui.cli import storytelling
from comfytui.cli.storytelling import TEMPLATES, Made
from comfytui.clock import system_clock
from comfytui.errors import Failure
from comfytui.model.llm import StoryRequest, health_line
from comfytui.settings.merged import LlmSettings
from comfytui.sources.llm import exchange
from comfytui.sources.llm.endpoint import provider_at
from comfytui.sources.llm.health import check_health
from tests.sources.llm_replies import LOADING, NO_JSON_OBJECT, NO_SCHEMA, STORY, as_text, lm_studio, story
from tests.sources.llm_server import Answer, LlmServer, llm_server, saying, writing


@pytest.fixture
def anyio_backend() -> str:
    """Use the real clock: the time limits here are the point."""
    return "asyncio"


@pytest.fixture
async def server() -> AsyncIterator[LlmServer]:
    async with llm_server() as serving:
        yield serving


async def made(server: LlmServer, *, scenes: int = 3, health: bool = False, **llm: Any) -> Made:
    """Return the story that comes of asking ``server``."""
    settings = LlmSettings(**{"url": server.url, "model": "m", "seed": 4, "timeout_ms": 3000, **llm})
    provider = storytelling.provider_of(settings)
    assert provider is not None
    return await storytelling._from_model(provider, settings, StoryRequest(scenes=scenes), health, system_clock())


async def failing(server: LlmServer, *answers: Answer, **llm: Any) -> str:
    """Return why the answers of ``server`` were not used; the story is then one of the templates, and says so."""
    server.chat = list(answers)
    told = await made(server, **llm)
    assert told.story.generator == TEMPLATES
    assert len(told.story.scenes) == 3
    assert told.story.llm is not None
    error = told.story.llm["error"]
    assert told.story.llm["status"] == "error"
    assert told.story.warnings == (f"LLM_FAILURE: {error}; the story is from the bundled templates.",)
    return str(error)


# --- answers that are of no use ----------------------------------------------------------------------------------


async def test_an_answer_that_never_comes(server: LlmServer) -> None:
    async def silent(request: web.Request) -> web.StreamResponse:
        await asyncio.sleep(60)
        raise AssertionError

    assert await failing(server, silent, timeout_ms=200) == "it did not answer within 0.2 s"


async def test_an_answer_that_trickles(server: LlmServer) -> None:
    async def trickle(request: web.Request) -> web.StreamResponse:
        answer = web.StreamResponse()
        await answer.prepare(request)
        while True:
            await answer.write(b" ")
            await asyncio.sleep(0.02)

    began = time.monotonic()
    assert await failing(server, trickle, timeout_ms=300) == "it did not answer within 0.3 s"
    assert time.monotonic() - began < 3


async def test_an_answer_without_an_end(server: LlmServer, monkeypatch: pytest.MonkeyPatch) -> None:
    sent = 0

    async def endless(request: web.Request) -> web.StreamResponse:
        nonlocal sent
        answer = web.StreamResponse()
        await answer.prepare(request)
        while True:
            await answer.write(b"x" * 65536)
            sent += 65536

    assert await failing(server, endless) == "its reply is larger than 4 MiB"
    assert sent < 4 * exchange.MAX_REPLY, "it is not read on"


@pytest.mark.parametrize(
    ("answer", "why"),
    [
        (saying(LOADING, 503), "it answers 503: Loading model"),
        (saying("boom\x1b[31m", 500, "text/plain"), "it answers 500: boom"),
        (saying("<html>login</html>", 200, "text/html"), "it answers with a web page"),
        (saying("<html>login</html>", 502, "text/html"), "it answers 502: a web page"),
        (
            saying("", 302, Location="http://127.0.0.1:1/elsewhere"),
            "it answers 302, which leads elsewhere; give the address that it leads to",
        ),
        (saying("what?"), "its reply is no JSON"),
        (saying(b"[" * 200_000), "its reply is no JSON"),
        (saying(STORY), "its reply is no chat completion"),
        (saying({"error": "model crashed\x07"}), "it reports an error: model crashed"),
        (saying({"choices": []}), "its reply is no chat completion"),
        (saying({"choices": [{"message": {"content": None}}]}), "its answer is empty"),
        (saying({"choices": [{"message": {"content": " "}}]}), "its answer is empty"),
        (saying({"choices": [{"message": {"content": None, "refusal": "no"}}]}), "it refuses: no"),
        (
            saying({"choices": [{"message": {"content": "{"}, "finish_reason": "length"}]}),
            "its answer was cut off at its limit of tokens",
        ),
        (saying(lm_studio(as_text(story())), **{"Content-Encoding": "br"}), "its reply is compressed"),
    ],
)
async def test_replies_that_are_none(server: LlmServer, answer: Answer, why: str) -> None:
    assert (await failing(server, answer)).startswith(why)


@pytest.mark.parametrize(
    ("content", "why"),
    [
        ("Once upon a time", "there is no JSON in it"),
        (f"Here is your story:\n{as_text(story())}", "there is other text around its JSON"),
        (f"{as_text(story())}\nEnjoy!", "there is other text around its JSON"),
        (f"Sure!\n```json\n{as_text(story())}\n```", "there is other text around its JSON"),
        (f"```json\n{as_text(story())}", "there is other text around its JSON"),
        (as_text(story())[:-40], "it ends in the middle of its JSON"),
        ("<think>hm</think>", "it is empty"),
        ('{"scenes": [}', "its JSON is broken"),
        (as_text(story()) + as_text(story()), "its JSON is broken"),
        (as_text({"scenes": []}), "it has no scenes"),
        (as_text({"title": "x"}), "the top level: Object missing required field `scenes`"),
        (as_text({"scenes": "three"}), "scenes: a list is expected, not text"),
        (as_text(story(logline=7)), "logline: text is expected, not a whole number"),
        (
            as_text({"scenes": [{"prompt": ["a", "b"]}]}),
            "scenes[0].prompt: text is expected, not a list",
        ),
        (as_text({"scenes": [{"prompt": "ok"}, {"prompt": " \x1b[0m "}]}), "scenes[1].prompt is blank"),
        (as_text({"scenes": [{"prompt": "ok", "expectedFrames": "25"}]}), "scenes[0].expectedFrames: a whole number"),
    ],
)
async def test_stories_that_are_none(server: LlmServer, content: str, why: str) -> None:
    assert (await failing(server, writing(content))).startswith(f"its answer cannot be used: {why}")


async def test_numbers_out_of_range_are_told(server: LlmServer) -> None:
    why = await failing(server, writing({"scenes": [{"prompt": "ok", "expectedFrames": 10**9}]}))
    assert why == "its answer cannot be used: scenes[0].expectedFrames: 1000000000 is not between 1 and 100000"


# --- answers that are used, with a word ----------------------------------------------------------------------------


async def test_fewer_scenes_than_were_asked_for(server: LlmServer) -> None:
    server.chat = [writing(story(2))]
    told = await made(server)
    assert [scene.title for scene in told.story.scenes] == ["Step 1", "Step 2"], "nothing is made up"
    assert told.story.warnings == ("LLM_SCENE_SHORTFALL: the language model wrote 2 scenes of 3.",)
    assert told.story.llm is not None and told.story.llm["scenesReceived"] == 2


async def test_more_scenes_and_fields_than_were_asked_for(server: LlmServer) -> None:
    scene = {"prompt": "a fox", "keyframePath": "/etc/passwd", "id": "../x", "\x1b[31mbad": 1}
    server.chat = [writing({"scenes": [scene, scene], "theme": "x"})]
    told = await made(server, scenes=1)
    assert [(scene.id, scene.keyframe_path) for scene in told.story.scenes] == [("scene-001", None)]
    assert told.story.warnings == (
        "The language model wrote 2 scenes; the first 1 are used.",
        "Fields of the language model's answer that are not used: theme, scenes[].keyframePath, scenes[].id, "
        "scenes[].bad.",
    )


async def test_control_characters_are_taken_out(server: LlmServer) -> None:
    text = "a \x1b[31mred\x1b[0m fox\u202e\x07, [bold]not markup[/bold]"
    server.chat = [writing({"logline": text, "scenes": [{"prompt": text, "palette": ["\x9b2J", text]}]})]
    told = await made(server, scenes=1)
    clean = "a red fox, [bold]not markup[/bold]"
    assert (told.story.logline, told.story.scenes[0].prompt) == (clean, clean)
    assert told.story.scenes[0].palette == (clean,)
    assert all(ord(char) >= 32 or char == "\n" for char in told.file.decode())


@pytest.mark.parametrize("refusal", [saying(NO_JSON_OBJECT, 400), saying(NO_SCHEMA, 500), saying({}, 422)])
async def test_a_server_that_knows_no_schema_is_asked_without(server: LlmServer, refusal: Answer) -> None:
    server.chat = [refusal, writing(f"```json\n{as_text(story())}\n```")]
    told = await made(server)
    assert [bool(body.get("response_format")) for body in server.bodies] == [True, False]
    assert told.story.warnings == ()
    assert told.story.llm is not None and told.story.llm["structuredOutput"] == "plain"


async def test_both_tries_share_the_time_limit(server: LlmServer) -> None:
    async def late(request: web.Request) -> web.StreamResponse:
        await asyncio.sleep(0.25)
        return web.json_response(NO_SCHEMA, status=400)

    assert await failing(server, late, timeout_ms=400) == "it did not answer within 0.4 s"


# --- its health --------------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("answer", "why"),
    [
        (saying(LOADING, 503), "it answers 503: Loading model"),
        (saying("<html>", kind="text/html"), "it answers with a web page"),
        (saying("{"), "its reply is no JSON"),
        (saying({"data": 3}), "its reply is no list of models"),
        (saying([]), "its reply is no list of models"),
    ],
)
async def test_a_model_that_is_not_well_stops_the_run(server: LlmServer, answer: Answer, why: str) -> None:
    server.models = answer
    with pytest.raises(Failure) as caught:
        await made(server, health=True)
    assert caught.value.code == "llm.unhealthy"
    assert f"{server.url}/v1/models is not well: {why}" in caught.value.what
    assert server.bodies == [], "no story is asked of it"


async def test_a_model_that_does_not_answer_is_given_up(server: LlmServer, monkeypatch: pytest.MonkeyPatch) -> None:
    async def silent(request: web.Request) -> web.StreamResponse:
        await asyncio.sleep(60)
        raise AssertionError

    monkeypatch.setattr("comfytui.sources.llm.health.TIMEOUT", 0.2)
    server.models = silent
    found = await check_health(provider_at(server.url), system_clock())
    assert (found.check.status, found.check.error) == ("failed", "it did not answer within 0.2 s")
    assert health_line(found.check) == (
        f"[LLM] Health check failed: it did not answer within 0.2 s (url={server.url}/v1/models, override=default)"
    )


@pytest.mark.parametrize(("answer", "well"), [({"status": "ok"}, True), ("OK", True), (LOADING, False)])
async def test_an_address_that_a_person_names_need_list_no_models(server: LlmServer, answer: Any, well: bool) -> None:
    server.models = saying(answer, 200 if well else 503)
    found = await check_health(provider_at(server.url, health_url=f"{server.url}/health"), system_clock())
    assert (found.check.status == "success", found.check.models) == (well, None)
    line = f"[LLM] Health check: success (url={server.url}/health, models=n/a, override={server.url}/health)"
    assert (health_line(found.check) == line) == well


async def test_a_skipped_check_asks_nothing(server: LlmServer) -> None:
    server.models = saying(LOADING, 503)
    told = await made(server, health=True, skip_health=True, model=None)
    assert len(server.headers) == 1, "not for its models either"
    assert told.health is not None
    assert (told.health.status, told.health.skipped) == ("skipped", True)
    assert health_line(told.health) == "[LLM] Health check skipped by operator request"
    assert len(told.story.scenes) == 3


async def test_no_secret_of_ours_goes_along(server: LlmServer, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("COMFYTUI_TOKEN", "hush-hush")
    monkeypatch.setenv("COMFYTUI_HEADERS", "X-Key: hush-hush")
    await made(server, health=True)
    assert "hush-hush" not in json.dumps([server.headers, server.bodies])


def test_a_model_that_nobody_names_is_missed() -> None:
    told = storytelling.make_story(LlmSettings(seed=4), StoryRequest(scenes=2), wanted=True, health=True)
    assert told.story.warnings[0].startswith("LLM_PROVIDER_MISSING: ")
    assert told.story.llm == {
        "enabled": True, "status": "error", "scenesRequested": 2, "error": "LOCAL_STORY_PROVIDER_URL not configured.",
    }  # fmt: skip
    assert told.health is not None
    assert health_line(told.health) == "[LLM] Health check skipped (no local provider configured)"
    again = storytelling.make_story(LlmSettings(seed=4), StoryRequest(scenes=2), wanted=False, health=False)
    assert again.story.scenes == told.story.scenes
    assert (again.story.warnings, again.story.llm, again.health) == ((), None, None)
    assert structs.asdict(again.story)["generator"] == TEMPLATES
