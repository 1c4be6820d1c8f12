"""``comfytui story new`` and ``run --story-llm``: a story from a language model, else from the bundled templates."""

import os
import secrets
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import anyio
import click
from msgspec import Struct, structs

from comfytui.clock import Clock, system_clock
from comfytui.errors import Failure
from comfytui.model.llm import HealthCheck, Provider, StoryReport, StoryRequest
from comfytui.model.story import Story, decode_story
from comfytui.model.story_draft import StoryDraft
from comfytui.model.story_file import story_file
from comfytui.model.story_templates import LONGEST_IDEA, story_from_templates
from comfytui.records.faults import why
from comfytui.settings.merged import LlmSettings, Settings, load
from comfytui.sources.llm.endpoint import provider_at
from comfytui.sources.llm.health import check_health, unchecked
from comfytui.sources.llm.storyteller import Told, ask_for_story
from comfytui.untrusted import plain

FILE_NAME = "story.json"
TEMPLATES = "comfytui templates"
DEFAULT_SCENES = 3


class Made(Struct, frozen=True, kw_only=True):
    """A story that was made: the ``file`` that holds it, the ``story`` in it, and how the model was before."""

    file: bytes
    story: Story
    health: HealthCheck | None = None


def new_story(flags: Mapping[str, Any]) -> int:
    """Make a story, write it to the file ``out`` or to standard output, and return 0.

    It is of a language model when one is set, and of templates else; what went otherwise is told on standard error.
    Raises ``Failure`` ``story.unwritten``, ``story.format``, ``config.value``.
    """
    out: Path | None = flags.get("out")
    if out is not None:
        _check_free(out)
    settings = load(flags, os.environ, Path.cwd())
    made = make_story(settings.llm, request_of(flags), wanted=_speaks_of_a_model(settings.llm), health=False)
    for warning in made.story.warnings:
        click.echo(warning, err=True)
    if out is None:
        click.echo(made.file.decode(), nl=False)
        return 0
    try:
        with out.open("xb") as file:
            file.write(made.file)
    except OSError as fault:
        raise Failure("story.unwritten", file=str(out), why=why(fault)) from None
    count = len(made.story.scenes)
    click.echo(f"Story {made.story.story_id} written to {out} ({count} scene{'s' if count != 1 else ''})")
    return 0


def story_for_run(flags: Mapping[str, Any], settings: Settings) -> Made:
    """Return a story for a run. Raises ``Failure`` ``llm.unhealthy`` when its language model is not well."""
    return make_story(settings.llm, request_of(flags), wanted=True, health=True)


def request_of(flags: Mapping[str, Any]) -> StoryRequest:
    """Return what the flags ``scenes`` and ``idea`` ask for."""
    return StoryRequest(
        scenes=flags.get("scenes") or DEFAULT_SCENES, idea=plain(flags.get("idea") or "", LONGEST_IDEA).strip()
    )


def provider_of(llm: LlmSettings) -> Provider | None:
    """Return the language model that ``llm`` sets, ``None`` without an address."""
    if llm.url is None:
        return None
    return provider_at(
        llm.url,
        request_format=llm.request_format,
        health_url=llm.health_url,
        lists_models=not llm.skip_health,
        model=llm.model,
        seed=llm.seed,
        timeout=llm.timeout_ms / 1000,
        temperature=llm.temperature,
    )


def make_story(llm: LlmSettings, request: StoryRequest, *, wanted: bool, health: bool) -> Made:
    """Return a story as ``request`` has it.

    ``wanted``: that no model is set is worth a warning; ``health``: the model is asked first whether it is well, unless
    a person skips that. Raises ``Failure`` ``llm.unhealthy``.
    """
    clock = system_clock()
    provider = provider_of(llm)
    if provider is not None:
        return anyio.run(_from_model, provider, llm, request, health, clock)
    if not wanted:
        return _from_templates(llm, request)
    error = "LOCAL_STORY_PROVIDER_URL not configured."
    return _from_templates(
        llm,
        request,
        report=StoryReport(enabled=True, status="error", scenes_requested=request.scenes, error=error),
        warnings=(
            "LLM_PROVIDER_MISSING: a language model was asked for, but neither --llm nor LOCAL_STORY_PROVIDER_URL names"
            " one; the story is from the bundled templates.",
        ),
        health=unchecked(None, clock) if health else None,
    )


async def _from_model(provider: Provider, llm: LlmSettings, request: StoryRequest, health: bool, clock: Clock) -> Made:
    checked = None
    if health and llm.skip_health:
        checked = unchecked(provider, clock)
    elif health:
        found = await check_health(provider, clock)
        checked = found.check
        if checked.status != "success":
            raise Failure("llm.unhealthy", url=provider.health_url, why=checked.error or "it does not say why")
        if provider.format == "openai-chat":
            provider = structs.replace(provider, model=provider.model or found.chat_model)
    click.echo(f"Asking the language model at {provider.url} for a story, {provider.timeout:g} s at most", err=True)
    told = await ask_for_story(provider, request, clock)
    if told.draft is None:
        warning = f"LLM_FAILURE: {told.report.error}; the story is from the bundled templates."
        return _from_templates(llm, request, report=told.report, warnings=(warning,), health=checked)
    return _made(_as_many(told.draft, request), _told_by(told), told.report, _warnings(told, request), checked)


def _from_templates(
    llm: LlmSettings,
    request: StoryRequest,
    *,
    report: StoryReport | None = None,
    warnings: tuple[str, ...] = (),
    health: HealthCheck | None = None,
) -> Made:
    seed = secrets.randbelow(2**31) if llm.seed is None else llm.seed
    return _made(story_from_templates(request.scenes, seed, request.idea), TEMPLATES, report, warnings, health)


def _made(
    draft: StoryDraft, generator: str, report: StoryReport | None, warnings: tuple[str, ...], health: HealthCheck | None
) -> Made:
    file = story_file(draft, generator=generator, report=report, warnings=warnings)
    return Made(file=file, story=decode_story(file, FILE_NAME, "json"), health=health)


def _told_by(told: Told) -> str:
    name = (told.draft.generator if told.draft is not None else None) or told.report.model
    return f"local-llm:{plain(name or 'custom', 200)}"


def _as_many(draft: StoryDraft, request: StoryRequest) -> StoryDraft:
    return structs.replace(draft, scenes=draft.scenes[: request.scenes])


def _warnings(told: Told, request: StoryRequest) -> tuple[str, ...]:
    """Return what is to be said of an answer that is used: nothing of it is mended or dropped in silence."""
    got = told.report.scenes_received or 0
    warnings = []
    if got < request.scenes:
        warnings.append(f"LLM_SCENE_SHORTFALL: the language model wrote {got} scenes of {request.scenes}.")
    if got > request.scenes:
        warnings.append(f"The language model wrote {got} scenes; the first {request.scenes} are used.")
    if told.unused:
        warnings.append(f"Fields of the language model's answer that are not used: {', '.join(told.unused[:20])}.")
    return tuple(warnings)


def _speaks_of_a_model(llm: LlmSettings) -> bool:
    return any(each is not None for each in (llm.model, llm.request_format, llm.temperature, llm.health_url))


def _check_free(out: Path) -> None:
    """Raise ``Failure`` before a model is asked, where the story could not be kept."""
    if out.suffix.lower() != ".json":
        raise Failure("story.format", file=str(out))
    try:
        taken, room = out.exists(), out.absolute().parent.is_dir()
    except OSError as fault:
        raise Failure("story.unwritten", file=str(out), why=why(fault)) from None
    if taken or not room:
        reason = "there is such a file already" if taken else "there is no such folder"
        raise Failure("story.unwritten", file=str(out), why=reason)
