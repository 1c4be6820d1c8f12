"""Making stories: which address is asked and how, what real servers answer, the templates, the file that is kept."""

from collections.abc import AsyncIterator, Callable
from pathlib import Path
from typing import Any

import click
import msgspec
import pytest
from click.testing import CliRunner

from comfytui.cli.commands import comfytui
from comfytui.clock import system_clock
from comfytui.errors import Failure
from comfytui.model.llm import Provider, StoryRequest
from comfytui.model.story import decode_story, load_story
from comfytui.model.story_draft import SceneDraft, StoryDraft, Unfit, draft_schema, read_draft
from comfytui.model.story_file import story_file
from comfytui.model.story_templates import MOST_SCENES, bundled_templates, story_from_templates
from comfytui.sources.llm.endpoint import provider_at
from comfytui.sources.llm.health import check_health
from comfytui.sources.llm.storyteller import ask_for_story
from comfytui.sources.llm.wording import chat_body, direct_body
from tests.sources.llm_replies import CHATS, MODELS, as_text, story
from tests.sources.llm_server import LlmServer, llm_server, saying


@pytest.fixture
def anyio_backend() -> str:
    return "asyncio"


@pytest.fixture
async def server() -> AsyncIterator[LlmServer]:
    async with llm_server() as serving:
        yield serving


BASE = "http://box:1234"


@pytest.mark.parametrize(
    ("given", "asked", "form", "health"),
    [
        (BASE, "/v1/chat/completions", "openai-chat", "/v1/models"),
        (f"{BASE}/v1", "/v1/chat/completions", "openai-chat", "/v1/models"),
        (f"{BASE}/v1/chat/completions", "/v1/chat/completions", "openai-chat", "/v1/models"),
        (f"{BASE}/proxy/v1/chat/completions", "/proxy/v1/chat/completions", "openai-chat", "/proxy/v1/models"),
        (f"{BASE}/api/chat/completions", "/api/chat/completions", "openai-chat", "/v1/models"),
        (f"{BASE}/stories", "/stories", "direct-json", "/v1/models"),
    ],
)
def test_addresses_are_worked_out(given: str, asked: str, form: str, health: str) -> None:
    provider = provider_at(given)
    assert (provider.url, provider.format, provider.health_url) == (BASE + asked, form, BASE + health)


def test_what_a_person_says_wins_over_the_address() -> None:
    provider = provider_at(f"{BASE}/v1/chat/completions", request_format="direct-json", health_url=f"{BASE}/up")
    assert (provider.format, provider.health_url, provider.health_override) == ("direct-json", f"{BASE}/up", True)
    assert provider_at(f"{BASE}/api", request_format="openai-chat").url == f"{BASE}/api/chat/completions"


def test_the_schema_is_that_of_the_draft() -> None:
    schema = draft_schema(4)
    scene = schema["properties"]["scenes"]["items"]
    assert (schema["properties"]["scenes"]["minItems"], schema["properties"]["scenes"]["maxItems"]) == (4, 4)
    assert set(schema["properties"]) <= set(StoryDraft.__struct_encode_fields__)
    assert set(scene["properties"]) <= set(SceneDraft.__struct_encode_fields__)
    for table in (schema, scene):
        assert set(table["required"]) == set(table["properties"])
        assert table["additionalProperties"] is False


def test_a_request_says_what_was_chosen_and_nothing_else() -> None:
    provider = provider_at(BASE)
    body = chat_body(provider, StoryRequest(scenes=1, idea="a fox"), structured=True)
    assert set(body) == {"messages", "stream", "response_format"}
    assert body["messages"][-1]["content"] == "Write a film of exactly 1 scene, about this idea: a fox"
    chosen = provider_at(BASE, model="m", seed=0, temperature=0.0)
    assert {name: chat_body(chosen, StoryRequest(scenes=2), structured=False).get(name) for name in (
        "model", "seed", "temperature", "response_format")} == {
        "model": "m", "seed": 0, "temperature": 0.0, "response_format": None}  # fmt: skip
    assert direct_body(chosen, StoryRequest(scenes=2, idea="x")) == {
        "sceneCount": 2, "format": "direct-json", "idea": "x", "model": "m", "seed": 0, "temperature": 0.0,
    }  # fmt: skip


@pytest.mark.parametrize(
    "wrap",
    ["{}", " \n{}\n", "```json\n{}\n```", "```\n{}\n```\n", "<think>Hm, {{}}.</think>\n{}", "```JSON\r\n{}\r\n```"],
)
def test_wrapping_is_taken_off(wrap: str) -> None:
    text = as_text(story(1))
    draft, unused = read_draft(wrap.replace("{{}}", "braces").replace("{}", text))
    assert (draft.scenes[0].title, unused) == ("Step 1", ())


def test_what_may_be_missing_may_be_null_too() -> None:
    draft, _ = read_draft(
        '{"logline": null, "scenes": [{"prompt": "a fox", "palette": null, "negativePrompt": ["x"]}]}'
    )
    assert story_file(draft, generator="g").decode().count("null") == 0
    with pytest.raises(Unfit, match="prompt"):
        read_draft('{"scenes": [{"prompt": null}]}')


# --- real servers ------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("name", CHATS)
async def test_every_server_tells_a_story(name: str, server: LlmServer) -> None:
    server.chat, server.models = [saying(CHATS[name](as_text(story())))], saying(MODELS[name])
    told = await ask_for_story(provider_at(server.url, seed=3), StoryRequest(scenes=3), system_clock())
    assert told.draft is not None and len(told.draft.scenes) == 3
    wanted = {"LM Studio": "mistralai/mistral-7b-instruct-v0.3", "llama.cpp": "models/gemma-3-4b-it-Q4_K_M.gguf",
              "Ollama": "llama3.2:latest"}[name]  # fmt: skip
    assert (told.report.model, server.bodies[0]["model"]) == (wanted, wanted), "the first that is not for embeddings"
    assert (told.report.status, told.report.structured_output, told.report.scenes_received) == (
        "success", "json_schema", 3,
    )  # fmt: skip
    assert server.bodies[0]["response_format"]["type"] == "json_schema"


@pytest.mark.parametrize(
    ("name", "models"), [("LM Studio", 2), ("llama.cpp", 1), ("Ollama", 1), ("Ollama without a model", 0)]
)
async def test_every_server_is_well(name: str, models: int, server: LlmServer) -> None:
    server.models = saying(MODELS[name])
    found = await check_health(provider_at(f"{server.url}/v1"), system_clock())
    assert (found.check.status, found.check.models, found.check.error) == ("success", models, None)
    assert len(found.models) == models


async def test_a_server_that_answers_with_a_story_itself(server: LlmServer) -> None:
    server.chat = [saying(story(2, storyId="mine", generator="north"))]
    told = await ask_for_story(provider_at(f"{server.url}/stories", seed=3), StoryRequest(scenes=2), system_clock())
    assert told.draft is not None and (told.draft.story_id, told.draft.generator) == ("mine", "north")
    assert server.bodies == [{"sceneCount": 2, "format": "direct-json", "seed": 3}]
    assert told.report.structured_output is None


# --- templates ---------------------------------------------------------------------------------------------------


def test_a_seed_makes_one_story_and_seeds_make_many() -> None:
    def made(seed: int, idea: str = "") -> bytes:
        return story_file(story_from_templates(3, seed, idea), generator="t")

    assert made(7) == made(7)
    assert len({made(seed) for seed in range(40)}) == 40
    assert (
        len({decode_story(made(seed), "s", "json").logline for seed in range(40)}) == len(bundled_templates().arc) - 1
    )


@pytest.mark.parametrize("scenes", [1, 2, 5, 6, 7, 20, MOST_SCENES])
def test_every_number_of_scenes_keeps_the_arc(scenes: int) -> None:
    told = story_from_templates(scenes, 5)
    arc = next(arc for arc in bundled_templates().arc if (told.story_id or "").startswith(arc.id))
    beats = [next(at for at, beat in enumerate(arc.beat) if scene.summary == beat.summary) for scene in told.scenes]
    assert len(beats) == scenes
    assert beats == sorted(beats)
    assert beats[0] == 0 and (scenes == 1 or beats[-1] == len(arc.beat) - 1)
    assert len({scene.prompt for scene in told.scenes}) == min(scenes, len(arc.beat) * len(bundled_templates().shot))


def test_an_idea_stands_in_every_prompt() -> None:
    told = story_from_templates(6, 1, "a fox {with} a \x1b[31mlamp")
    assert all("a fox {with} a lamp" in scene.prompt for scene in told.scenes)


def test_the_templates_are_worth_rendering() -> None:
    for arc in bundled_templates().arc:
        for beat in arc.beat:
            assert "{figure}" in beat.prompt, f"{arc.id}: each shot is rendered alone"
            assert 18 <= len(beat.prompt.replace("{figure}", arc.figure).split()) <= 75, beat.title
            assert len(beat.palette) == 3


# --- the command -------------------------------------------------------------------------------------------------


@pytest.fixture
def command(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Callable[..., Any]:
    monkeypatch.chdir(tmp_path)
    monkeypatch.setenv("COMFYTUI_CONFIG", "")
    return lambda *words: CliRunner().invoke(comfytui, ["story", "new", *words], standalone_mode=False)


def test_the_command_writes_a_story_that_loads(command: Callable[..., Any]) -> None:
    done = command("--scenes", "2", "--seed", "9", "--idea", "a fox", "--out", "tale.json")
    assert (done.return_value, done.stderr) == (0, "")
    assert done.stdout == "Story idea-9 written to tale.json (2 scenes)\n"
    told = load_story(Path("tale.json"))
    assert (told.story_id, len(told.scenes), told.warnings) == ("idea-9", 2, ())
    again = command("--scenes", "2", "--seed", "9", "--idea", "a fox")
    assert again.stdout.encode() == Path("tale.json").read_bytes(), "without --out it goes to standard output"


def test_no_file_is_written_over(command: Callable[..., Any]) -> None:
    Path("tale.json").write_text("mine")
    failure = command("--out", "tale.json").exception
    assert isinstance(failure, Failure) and failure.code == "story.unwritten"
    assert Path("tale.json").read_text() == "mine"
    for out, code in (("no/where.json", "story.unwritten"), ("tale.txt", "story.format")):
        failure = command("--out", out).exception
        assert isinstance(failure, Failure) and failure.code == code


def test_a_model_without_an_address_is_missed(command: Callable[..., Any], monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("LOCAL_LLM_MODEL", "m")
    done = command("--scenes", "1")
    assert done.return_value == 0
    assert done.stderr.startswith("LLM_PROVIDER_MISSING: ")
    assert decode_story(done.stdout.encode(), "s.json", "json").warnings == (done.stderr.strip(),)


# --- a story file of older tools -----------------------------------------------------------------------------------


def test_what_a_file_says_of_its_model_is_kept_plain() -> None:
    report = {"status": "success", "seed": "42", "error": "\x1b[31mred", "nested": {"x": 1}, "durationMs": 12.5}
    data = msgspec.json.encode(
        {"generatedAt": "x", "llm": report, "warnings": ["late\x07"], "scenes": [{"prompt": "a"}]}
    )
    told = decode_story(data, "story.json", "json")
    assert told.llm == {"status": "success", "seed": "42", "error": "red", "durationMs": 12.5}
    assert told.warnings == ("late",)


def test_a_provider_is_what_settings_say() -> None:
    assert provider_at(BASE) == Provider(
        url=f"{BASE}/v1/chat/completions", format="openai-chat", health_url=f"{BASE}/v1/models"
    )


@pytest.mark.parametrize(
    ("words", "why"),
    [
        ([], "either a STORY, --story-llm, or --from RUN"),
        (["story.json", "--story-llm"], "either a STORY, --story-llm, or --from RUN"),
        (["story.json", "--idea", "a fox"], "--scenes and --idea belong to --story-llm"),
        (["story.json", "--scenes", "4"], "--scenes and --idea belong to --story-llm"),
    ],
)
def test_a_run_has_one_story(words: list[str], why: str) -> None:
    done = CliRunner().invoke(comfytui, ["run", *words, "--headless"], standalone_mode=False)
    assert isinstance(done.exception, click.UsageError)
    assert why in str(done.exception)
