"""The messages of the WebSocket, as ComfyUI 0.3.64 and 0.8.0 send them: keys in the recorded order.

Text messages are `{"type", "data"}`; the functions here return the data part. Binary messages begin with a
big-endian u32 that names their kind.
"""

from __future__ import annotations

import json
import struct
from typing import Any

Json = dict[str, Any]

PREVIEW, TEXT, PREVIEW_WITH_METADATA = 1, 3, 4
IMAGE_FORMATS = {"JPEG": 1, "PNG": 2}


def status(remaining: int, sid: str | None = None) -> Json:
    """Return the data of `status`; `sid` only on the first message of a connection."""
    data: Json = {"status": {"exec_info": {"queue_remaining": remaining}}}
    return data if sid is None else data | {"sid": sid}


def executing(node: str, display_node: str, prompt_id: str) -> Json:
    """Return the data of `executing` for a node that begins."""
    return {"node": node, "display_node": display_node, "prompt_id": prompt_id}


def executing_none(prompt_id: str) -> Json:
    """Return the data of the `executing` that ends a prompt."""
    return {"node": None, "prompt_id": prompt_id}


def progress(value: float, maximum: float, prompt_id: str, node: str) -> Json:
    """Return the data of `progress`."""
    return {"value": value, "max": maximum, "prompt_id": prompt_id, "node": node}


def executed(node: str, display_node: str, output: Json | None, prompt_id: str) -> Json:
    """Return the data of `executed`; `output` is null for a cached node that has nothing to show."""
    return {"node": node, "display_node": display_node, "output": output, "prompt_id": prompt_id}


def feature_flags(version: str) -> Json:
    """Return what the server of this version says it can do (also GET /features)."""
    flags: Json = {"supports_preview_metadata": True, "max_upload_size": 104857600}
    return flags if version == "0.3.64" else flags | {"extension": {"manager": {"supports_v4": True}}}


def preview(image_format: str, image: bytes) -> bytes:
    """Return a binary message of kind 1: format, then the encoded image."""
    return struct.pack(">II", PREVIEW, IMAGE_FORMATS[image_format]) + image


def preview_with_metadata(image_format: str, image: bytes, node: str, prompt_id: str) -> bytes:
    """Return a binary message of kind 4: length of the JSON, the JSON, then the encoded image."""
    metadata = {
        "node_id": node,
        "prompt_id": prompt_id,
        "display_node_id": node,
        "parent_node_id": None,
        "real_node_id": node,
        "image_type": f"image/{image_format.lower()}",
    }
    head = json.dumps(metadata).encode()
    return struct.pack(">II", PREVIEW_WITH_METADATA, len(head)) + head + image


def text(node: str, words: str) -> bytes:
    """Return a binary message of kind 3: length of the node id, the id, then the text."""
    name = node.encode()
    return struct.pack(">II", TEXT, len(name)) + name + words.encode()
