"""Reads the recordings of real ComfyUI traffic in `recordings/`; see the README there.

For whoever tests a client or a server against them: `load("0.8.0", "a_success").messages()`.
"""

from __future__ import annotations

import base64
import json
from dataclasses import dataclass
from functools import cache
from pathlib import Path
from typing import Any

Json = dict[str, Any]

FOLDER = Path(__file__).parent / "recordings"
VERSIONS = {"0.3.64": "v0364", "0.8.0": "v080"}


@dataclass(frozen=True)
class Exchange:
    """One HTTP request and its answer; `status` None: there was no server. Times are seconds since the start."""

    t: float
    t_response: float | None
    method: str
    path: str
    request: Any
    status: int | None
    content_type: str
    headers: dict[str, str]
    body: Any

    @property
    def truncated(self) -> bool:
        """Return whether only the head of the body was kept."""
        return isinstance(self.body, dict) and self.body.get("__truncated__") is True


@dataclass(frozen=True)
class Message:
    """One message of a WebSocket: text (`type`, `data`), or binary (`type` is `binary1`, `binary3`, `binary4`)."""

    t: float
    socket: str
    type: str
    data: Json
    size: int
    raw: bytes | None
    """The bytes of a binary message, where they were kept."""

    @property
    def prompt_id(self) -> str | None:
        """Return the prompt it is about, if it says so."""
        return self.data.get("prompt_id")


@dataclass(frozen=True)
class Recording:
    """One scenario on one version: what was done and what came of it, in order."""

    scenario: str
    version: str
    t0_epoch: float
    summary: Json
    events: tuple[Json, ...]

    def exchanges(self) -> list[Exchange]:
        """Return the HTTP requests in order."""
        return [exchange(event) for event in self.events if event["kind"] == "http"]

    def messages(self, socket: str | None = None) -> list[Message]:
        """Return the WebSocket messages in order of arrival, of one socket or of all."""
        found = [message(event) for event in self.events if event["kind"] == "ws"]
        return [one for one in found if socket in {None, one.socket}]

    def sockets(self) -> list[str]:
        """Return the names of the sockets that were opened, in order."""
        return [event["ws"] for event in self.events if event["kind"] == "ws_open"]


def exchange(event: Json) -> Exchange:
    """Return an `http` event as an Exchange."""
    return Exchange(
        t=event["t"],
        t_response=event.get("t_response"),
        method=event["method"],
        path=event["path"],
        request=event.get("request"),
        status=event.get("status"),
        content_type=event.get("content_type") or "",
        headers=event.get("headers") or {},
        body=event.get("body"),
    )


def message(event: Json) -> Message:
    """Return a `ws` event as a Message."""
    binary = event.get("binary")
    if binary is None:
        data = event["data"]
        return Message(event["t"], event["ws"], data["type"], data["data"], event["bytes"], None)
    kept = binary.get("base64_full")
    raw = base64.b64decode(kept) if kept else None
    return Message(event["t"], event["ws"], f"binary{binary['binary_type']}", binary, binary["length"], raw)


@cache
def load(version: str, scenario: str) -> Recording:
    """Return the recording of a scenario on a version ("0.3.64" or "0.8.0"); raises OSError when there is none."""
    raw = json.loads((FOLDER / VERSIONS[version] / f"{scenario}.json").read_text(encoding="utf-8"))
    return Recording(raw["scenario"], version, raw["t0_epoch"], raw["summary"], tuple(raw["events"]))


def scenarios(version: str) -> list[str]:
    """Return the names of the scenarios recorded on a version."""
    return sorted(path.stem for path in (FOLDER / VERSIONS[version]).glob("*.json"))
