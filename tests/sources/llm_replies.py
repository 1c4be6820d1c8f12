"""How real servers answer, written down from what they send: LM Studio 0.3, llama.cpp's server, Ollama from 0.5 on."""

import json
from typing import Any

STORY: dict[str, Any] = {
    "logline": "A fox carries the winter's last letter.",
    "directorsVision": "Snow, one lantern, a patient camera.",
    "scenes": [
        {
            "title": f"Step {number}",
            "summary": "The fox goes on.",
            "prompt": f"A red fox with a letter satchel in falling snow, step {number}, lantern light, 35mm",
            "negativePrompt": "text, watermark",
            "mood": "quiet",
            "cameraMovement": "slow push in",
            "palette": ["rust", "snow", "amber"],
        }
        for number in (1, 2, 3)
    ],
}


def story(scenes: int = 3, **fields: Any) -> dict[str, Any]:
    """Return a story of up to three scenes, with ``fields`` over it."""
    return {**STORY, "scenes": STORY["scenes"][:scenes], **fields}


def lm_studio(content: str) -> dict[str, Any]:
    """Return a chat completion as LM Studio sends it."""
    message = {"role": "assistant", "content": content, "reasoning_content": "", "tool_calls": []}
    return {
        "id": "chatcmpl-6pq6kw4ze2q1u5y3c7hk0n",
        "object": "chat.completion",
        "created": 1763986401,
        "model": "mistralai/mistral-7b-instruct-v0.3",
        "choices": [{"index": 0, "message": message, "logprobs": None, "finish_reason": "stop"}],
        "usage": {"prompt_tokens": 402, "completion_tokens": 517, "total_tokens": 919},
        "stats": {},
        "system_fingerprint": "mistralai/mistral-7b-instruct-v0.3",
    }


def llama_cpp(content: str) -> dict[str, Any]:
    """Return a chat completion as llama.cpp's server sends it."""
    return {
        "choices": [{"finish_reason": "stop", "index": 0, "message": {"role": "assistant", "content": content}}],
        "created": 1763986401,
        "model": "models/gemma-3-4b-it-Q4_K_M.gguf",
        "system_fingerprint": "b6901-c22473b58",
        "object": "chat.completion",
        "usage": {"completion_tokens": 517, "prompt_tokens": 402, "total_tokens": 919},
        "id": "chatcmpl-hD4TjwYf1n0qGZkAfyx0V4pmVZjrfJ5G",
        "timings": {"prompt_n": 402, "prompt_ms": 310.5, "predicted_n": 517, "predicted_ms": 8211.0},
    }


def ollama(content: str) -> dict[str, Any]:
    """Return a chat completion as Ollama's OpenAI endpoint sends it."""
    message = {"role": "assistant", "content": content}
    return {
        "id": "chatcmpl-308",
        "object": "chat.completion",
        "created": 1763986401,
        "model": "llama3.2",
        "system_fingerprint": "fp_ollama",
        "choices": [{"index": 0, "message": message, "finish_reason": "stop"}],
        "usage": {"prompt_tokens": 402, "completion_tokens": 517, "total_tokens": 919},
    }


CHATS = {"LM Studio": lm_studio, "llama.cpp": llama_cpp, "Ollama": ollama}

MODELS: dict[str, dict[str, Any]] = {
    "LM Studio": {
        "data": [
            {"id": "text-embedding-nomic-embed-text-v1.5", "object": "model", "owned_by": "organization_owner"},
            {"id": "mistralai/mistral-7b-instruct-v0.3", "object": "model", "owned_by": "organization_owner"},
        ],
        "object": "list",
    },
    "llama.cpp": {
        "models": [{"name": "models/gemma-3-4b-it-Q4_K_M.gguf", "model": "models/gemma-3-4b-it-Q4_K_M.gguf"}],
        "object": "list",
        "data": [
            {
                "id": "models/gemma-3-4b-it-Q4_K_M.gguf",
                "object": "model",
                "created": 1763986401,
                "owned_by": "llamacpp",
                "meta": {"vocab_type": 1, "n_vocab": 262208, "n_ctx_train": 131072, "n_embd": 2560},
            }
        ],
    },
    "Ollama": {
        "object": "list",
        "data": [{"id": "llama3.2:latest", "object": "model", "created": 1763986401, "owned_by": "library"}],
    },
    "Ollama without a model": {"object": "list", "data": None},
}

NO_JSON_OBJECT = {"error": "'response_format.type' must be 'json_schema' or 'text'"}
"""LM Studio's answer (400) to a ``response_format`` that it does not know."""

NO_SCHEMA = {
    "error": {
        "code": 500,
        "message": 'response_format type must be one of "text" or "json_object", but got: json_schema',
        "type": "server_error",
    }
}
"""llama.cpp's answer (500) of 2024, before it knew ``json_schema``."""

LOADING = {"error": {"code": 503, "message": "Loading model", "type": "unavailable_error"}}
"""llama.cpp's answer (503) while it loads."""


def as_text(content: Any) -> str:
    """Return ``content`` as a model would write it."""
    return json.dumps(content, ensure_ascii=False, indent=1)
