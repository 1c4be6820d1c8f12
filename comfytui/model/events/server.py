"""Facts about the server and the way to it."""

from typing import Literal

from comfytui.model.events.base import ServerFact
from comfytui.model.events.parts import Device

SocketWord = Literal["open", "closed", "refused", "silent"]


class ServerReached(ServerFact, frozen=True, kw_only=True):
    """The server answered. ``frames_by`` tells whether its output folder is read here or frames are fetched."""

    url: str
    version: str | None
    os: str | None = None
    python: str | None = None
    pytorch: str | None = None
    output_dir: str | None = None
    frames_by: Literal["disk", "http"] = "disk"
    devices: tuple[Device, ...] = ()
    managed: bool = False
    """Whether comfytui started this server itself."""


class ServerStarted(ServerFact, frozen=True, kw_only=True):
    """We started ComfyUI as process ``pid``; ``created`` (epoch seconds) and ``executable`` prove later that it is it.

    It comes at once, so that a runner after us knows the process again, and once more when it is ``ready``: by then a
    launcher may have put another program in its place. ``restarts`` counts the restarts of this run, with this one.
    """

    pid: int
    created: float
    executable: str
    host: str
    ready: bool = False
    restarts: int = 0


class ServerDied(ServerFact, frozen=True, kw_only=True):
    """The ComfyUI that we started as ``pid`` has ended without having been asked to."""

    pid: int
    why: str


class ServerStopped(ServerFact, frozen=True, kw_only=True):
    """The ComfyUI that we started as ``pid`` was ended, or ``skipped`` says why it was left alone."""

    pid: int
    skipped: str = ""


class ServerTroubled(ServerFact, frozen=True, kw_only=True):
    """The server gave a failure: code, what happened, what to do."""

    code: str
    what: str
    remedy: str


class ServerLeftOut(ServerFact, frozen=True, kw_only=True):
    """One of several servers takes no part until it is reached: code, what happened, what to do, next try in seconds.

    ``next_try`` is ``None`` where trying again is of no use.
    """

    code: str
    what: str
    remedy: str
    next_try: float | None = None


class ServerAway(ServerFact, frozen=True, kw_only=True):
    """The server does not answer: it just went (``away`` 0), or is still away after so many seconds.

    Told when it goes, then at most once a minute. ``next_try`` in seconds; ``wait`` is how long it is waited for in
    all, ``None`` without an end.
    """

    code: str
    what: str
    remedy: str
    away: float
    next_try: float
    wait: float | None = None


class ServerGivenUp(ServerFact, frozen=True, kw_only=True):
    """The server stayed away for as long as it is waited for: what is not rendered yet fails as lost."""

    away: float


class ServerBack(ServerFact, frozen=True, kw_only=True):
    """The server answers again, after ``away`` seconds."""

    away: float


class ServerRestarted(ServerFact, frozen=True, kw_only=True):
    """The server was restarted, and has forgotten every prompt it had; ``why`` we think so."""

    why: str


class SocketChanged(ServerFact, frozen=True, kw_only=True):
    """The WebSocket changed its state; ``silent`` is an open socket that no longer answers."""

    state: SocketWord
    why: str = ""
