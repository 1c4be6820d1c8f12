"""What a language model is asked, in words and as JSON. Pure."""

from typing import Any

from comfytui.model.llm import Provider, StoryRequest
from comfytui.model.story_draft import draft_schema

_ROLE = """\
You are a film director who writes for image and video generation models. You plan a very short film as a sequence of \
single shots that belong together: one place or one journey, one recurring figure or object, a clear change of light \
from the first shot to the last.

For each scene write:
- title: two to five words
- summary: one sentence, what happens and why it matters
- prompt: 40 to 70 words for the image model. Name subject, action, place, time of day, light, lens or framing, \
materials and atmosphere. Describe the recurring figure again in every prompt, in the same words: each shot is \
rendered alone. No names, no dialogue, no camera brands, no text in the picture.
- negativePrompt: what must not be seen, separated by commas
- mood: two or three words
- cameraMovement: one slow movement that fits a shot of about two seconds
- palette: three colour words

Also write logline (one sentence, the whole film) and directorsVision (two or three sentences: light, colour, camera).

Answer with one JSON object and nothing else:
{"logline": "...", "directorsVision": "...", "scenes": [{"title": "...", "summary": "...", "prompt": "...", \
"negativePrompt": "...", "mood": "...", "cameraMovement": "...", "palette": ["...", "...", "..."]}]}"""


def chat_body(provider: Provider, request: StoryRequest, *, structured: bool) -> dict[str, Any]:
    """Return the body for ``/v1/chat/completions``; ``structured``: with the JSON Schema of the answer."""
    count = f"exactly {request.scenes} scene{'s' if request.scenes != 1 else ''}"
    about = f"about this idea: {request.idea}" if request.idea else "of your own invention"
    body: dict[str, Any] = {
        "messages": [
            {"role": "system", "content": _ROLE},
            {"role": "user", "content": f"Write a film of {count}, {about}"},
        ],
        "stream": False,
    }
    if structured:
        schema = {"name": "story", "strict": True, "schema": draft_schema(request.scenes)}
        body["response_format"] = {"type": "json_schema", "json_schema": schema}
    return body | _choices(provider)


def direct_body(provider: Provider, request: StoryRequest) -> dict[str, Any]:
    """Return the body for a server that answers with a story itself."""
    idea = {"idea": request.idea} if request.idea else {}
    return {"sceneCount": request.scenes, "format": "direct-json", **idea, **_choices(provider)}


def _choices(provider: Provider) -> dict[str, Any]:
    """Return what a person has chosen; what nobody chose is left to the server."""
    chosen = {"model": provider.model, "seed": provider.seed, "temperature": provider.temperature}
    return {name: value for name, value in chosen.items() if value is not None}
