"""Misbehaviour on request: every way a real server, its network or its nodes let a client down.

A test hands a :class:`Faults` to the simulator, or changes it while the server runs. There are three families:

* a :class:`PromptFault` belongs to a prompt. `nth` picks the n-th POST /prompt (1-based, counted over the whole
  life of the Simulator, restarts included), `prefix` a pattern on any `filename_prefix` of the workflow;
* a :class:`SocketFault` belongs to a WebSocket connection, picked by `nth` connection or `client_id`;
* a :class:`RequestFault` belongs to an HTTP request, picked by `method` and a pattern on its `path` (the `/api`
  prefix left away; `/ws` is a path too).

All of them may be limited to a number of `times`. To add one: write the class here, and ask for it with
`kind_of(...)` at the place where the server should misbehave.
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator
from dataclasses import dataclass
from fnmatch import fnmatchcase
from typing import ClassVar, Literal, TypeVar

LOGIN_PAGE = (
    "<!doctype html><html><head><title>Sign in</title></head>"
    "<body><form method=post action=/login><input name=user><input name=password type=password></form></body></html>"
)
HOSTILE_NAMES = (
    "../../escape_00001_.png",
    "/etc/passwd",
    "C:\\Windows\\win.ini",
    "\x1b[2J\x1b]0;owned\x07frame_00001_.png",
    "\u202egnp.emarf_00001_.png",
    "n" * 10_000 + ".png",
)


@dataclass(frozen=True, kw_only=True)
class Fault:
    """Something that goes wrong, at most `times` times (None: always)."""

    times: int | None = None


# --- faults of a prompt ---------------------------------------------------------------------------------------


@dataclass(frozen=True, kw_only=True)
class PromptFault(Fault):
    """A fault of the prompts that `nth` and `prefix` pick; with neither, of every prompt."""

    nth: int | None = None
    prefix: str | None = None
    stage: ClassVar[Literal["arrival", "execution"]] = "execution"

    def picks(self, ordinal: int, prefixes: Iterable[str]) -> bool:
        """Return whether the fault belongs to the prompt that arrived as number `ordinal`."""
        if self.nth is not None and self.nth != ordinal:
            return False
        return self.prefix is None or any(fnmatchcase(one, self.prefix) for one in prefixes)


@dataclass(frozen=True, kw_only=True)
class Rejected(PromptFault):
    """POST /prompt answers 400, as for a node that is not installed."""

    stage = "arrival"
    kind: str = "invalid_prompt"
    message: str = "Cannot execute because node NotInstalled does not exist."
    details: str = "Node ID '#1'"


@dataclass(frozen=True, kw_only=True)
class PartlyAccepted(PromptFault):
    """POST /prompt answers 200 with node_errors: one output is valid and runs, another is not and does not."""

    stage = "arrival"
    node: str = "999"
    class_type: str = "SaveImage"


@dataclass(frozen=True, kw_only=True)
class IdIgnored(PromptFault):
    """The server queues the prompt under an id of its own, as servers did before clients could choose one."""

    stage = "arrival"


@dataclass(frozen=True, kw_only=True)
class QueueFilled(PromptFault):
    """When the prompt arrives, `count` prompts of other clients stand before it, each running `seconds`."""

    stage = "arrival"
    count: int = 3
    seconds: float = 1.0


@dataclass(frozen=True, kw_only=True)
class NodeFault(PromptFault):
    """A fault at one node: `at` is its id or class (empty: the first node that runs).

    With `step` it strikes when the node has reported that step (SaveImage and SlowFrameWriter: that frame), else
    before the node's body. `after_outputs` waits until so many output nodes are done.
    """

    at: str = ""
    step: int | None = None
    after_outputs: int = 0


@dataclass(frozen=True, kw_only=True)
class NodeError(NodeFault):
    """The node raises."""

    message: str = "Simulated failure"
    exception_type: str = "RuntimeError"


@dataclass(frozen=True, kw_only=True)
class OutOfMemory(NodeFault):
    """The node runs out of GPU memory; `older_torch` uses the exception name of torch before 2.5."""

    message: str = "CUDA out of memory. Tried to allocate 2.00 GiB (simulated)"
    older_torch: bool = False


@dataclass(frozen=True, kw_only=True)
class Hang(NodeFault):
    """The node never ends; only an interrupt ends it, and not even that when not `interruptible`."""

    interruptible: bool = True


@dataclass(frozen=True, kw_only=True)
class Death(NodeFault):
    """The server dies there, as by SIGKILL; it comes back empty after `restart_after` seconds (None: never)."""

    restart_after: float | None = None


@dataclass(frozen=True, kw_only=True)
class InterruptLost(PromptFault):
    """The first `count` interrupts of the prompt are answered 200 and have no effect (None: all of them)."""

    count: int | None = None


@dataclass(frozen=True, kw_only=True)
class HistoryMissing(PromptFault):
    """GET /history knows nothing of the prompt until `seconds` after its end; the messages come as usual."""

    seconds: float = 1.0


@dataclass(frozen=True, kw_only=True)
class FewerFrames(PromptFault):
    """Only the first `keep` frames are written, and success is told; `reported`: the outputs name them all."""

    keep: int = 0
    reported: bool = False


@dataclass(frozen=True, kw_only=True)
class UnreportedFrames(PromptFault):
    """All frames are written, but no `executed` is sent and the outputs stay empty."""


@dataclass(frozen=True, kw_only=True)
class TruncatedFrame(PromptFault):
    """Frame number `frame` (1-based, negative from the end) stops at `fraction` of its bytes, for good."""

    frame: int = 1
    fraction: float = 0.5


@dataclass(frozen=True, kw_only=True)
class HalfWritten(PromptFault):
    """Frame number `frame` stands half-written for `pause` seconds before the rest of it is written."""

    frame: int = 1
    pause: float = 1.0


@dataclass(frozen=True, kw_only=True)
class LateFrame(PromptFault):
    """Frame number `frame` is reported, but appears only `seconds` after `execution_success`."""

    frame: int = -1
    seconds: float = 1.0


@dataclass(frozen=True, kw_only=True)
class HostileNames(PromptFault):
    """The outputs name files that nobody should join to a path; `replace`: instead of the true ones.

    `folders` are subfolders, each with a file of a harmless name in it.
    """

    names: tuple[str, ...] = HOSTILE_NAMES
    folders: tuple[str, ...] = ()
    replace: bool = False


@dataclass(frozen=True, kw_only=True)
class VramLeak(PromptFault):
    """The prompt keeps `size` bytes of GPU memory for ever (until the server restarts)."""

    size: int = 1 << 30


# --- faults of a WebSocket ------------------------------------------------------------------------------------


@dataclass(frozen=True, kw_only=True)
class SocketFault(Fault):
    """A fault of the n-th WebSocket connection (1-based), or of those with `client_id`; else of every one."""

    nth: int | None = None
    client_id: str | None = None

    def picks(self, ordinal: int, client_id: str) -> bool:
        """Return whether the fault belongs to connection number `ordinal` of `client_id`."""
        if self.nth is not None and self.nth != ordinal:
            return False
        return self.client_id is None or self.client_id == client_id


@dataclass(frozen=True, kw_only=True)
class SocketRefused(SocketFault):
    """The upgrade is answered with `status` instead of 101."""

    status: int = 500


@dataclass(frozen=True, kw_only=True)
class SocketDeaf(SocketFault):
    """The socket opens and answers pings, but not one message ever comes; feature flags are not answered."""


@dataclass(frozen=True, kw_only=True)
class SocketDropped(SocketFault):
    """The connection ends after `after_messages`, or right before a message of type `before`.

    Abruptly (reset, close code 1006), or with a close frame when `clean`. With neither limit, at once.
    """

    after_messages: int | None = None
    before: str | None = None
    clean: bool = False


@dataclass(frozen=True, kw_only=True)
class SocketHalfOpen(SocketFault):
    """After `after_messages` the peer is gone, but nobody says so: no message, no pong, no close."""

    after_messages: int = 0


@dataclass(frozen=True, kw_only=True)
class SocketLingers(SocketFault):
    """The server notices only `seconds` late that the connection ended.

    Until then the client id stays registered; and if the client came back meanwhile under the same id, it is the new
    connection that the late cleanup unregisters: it stays open and hears nothing (recorded in h3 to h5).
    """

    seconds: float = 1.0


# --- faults of an HTTP request --------------------------------------------------------------------------------


@dataclass(frozen=True, kw_only=True)
class RequestFault(Fault):
    """A fault of the HTTP requests that `method` and the pattern `path` pick."""

    path: str = "*"
    method: str = "*"

    def picks(self, method: str, path: str) -> bool:
        """Return whether the fault belongs to this request; `path` comes without `/api` and query."""
        return self.method in {"*", method} and fnmatchcase(path, self.path)


@dataclass(frozen=True, kw_only=True)
class Answered(RequestFault):
    """The request gets this answer, and the server does nothing: a proxy error, a 401, a page of somebody else."""

    status: int = 500
    text: str = "500 Internal Server Error\n\nServer got itself in trouble"
    content_type: str = "text/plain"
    location: str | None = None

    @classmethod
    def login_page(cls, *, path: str = "*", times: int | None = None) -> Answered:
        """Return the fault of a captive portal: 200 with an HTML form for everything."""
        return cls(path=path, times=times, status=200, text=LOGIN_PAGE, content_type="text/html")

    @classmethod
    def redirect(cls, location: str = "/login", *, path: str = "*", times: int | None = None) -> Answered:
        """Return the fault of a proxy that sends everybody to its login (302)."""
        return cls(path=path, times=times, status=302, text="", content_type="text/html", location=location)


@dataclass(frozen=True, kw_only=True)
class Slow(RequestFault):
    """The answer comes `seconds` late."""

    seconds: float = 5.0


@dataclass(frozen=True, kw_only=True)
class ConnectionReset(RequestFault):
    """The connection is reset without an answer: before the server acts, or `after` it did."""

    path: str = "/prompt"
    method: str = "POST"
    after: bool = False


@dataclass(frozen=True, kw_only=True)
class BrokenJson(RequestFault):
    """The body of the answer stops in the middle of its JSON."""

    path: str = "/history*"


@dataclass(frozen=True, kw_only=True)
class WrongTypes(RequestFault):
    """The answer is valid JSON of the wrong shape: objects where lists should be, numbers where names should be."""

    path: str = "/history*"


@dataclass(frozen=True, kw_only=True)
class StatsWithoutVram(RequestFault):
    """GET /system_stats tells no memory figures; `devices` False: not even a device."""

    path: str = "/system_stats"
    method: str = "GET"
    devices: bool = True


# --- who is picked --------------------------------------------------------------------------------------------

F = TypeVar("F", bound=Fault)


def kind_of(faults: Iterable[Fault], kind: type[F]) -> F | None:
    """Return the first of `faults` that is a `kind`, or None."""
    return next((fault for fault in faults if isinstance(fault, kind)), None)


class Faults:
    """The faults in force, in order; may be changed while the server runs."""

    def __init__(self, *faults: Fault) -> None:
        self._faults: list[Fault] = list(faults)
        self._used: dict[int, int] = {}

    def add(self, *faults: Fault) -> None:
        """Put faults in force from now on."""
        self._faults.extend(faults)

    def remove(self, fault: Fault) -> None:
        """Take one fault away; raises ValueError when it is not in force."""
        self._faults.remove(fault)

    def clear(self) -> None:
        """Take all faults away."""
        self._faults.clear()

    def __iter__(self) -> Iterator[Fault]:
        """Iterate over the faults in force."""
        return iter(tuple(self._faults))

    def used(self, fault: Fault) -> int:
        """Return how often `fault` has struck: a test can assert that its fault was met at all."""
        return self._used.get(id(fault), 0)

    def for_prompt(
        self, stage: Literal["arrival", "execution"], ordinal: int, prefixes: Iterable[str]
    ) -> tuple[PromptFault, ...]:
        """Return the faults of a prompt at this stage, and count one use of each."""
        names = tuple(prefixes)
        found = (f for f in self if isinstance(f, PromptFault) and f.stage == stage and f.picks(ordinal, names))
        return tuple(self._counted(found))

    def for_socket(self, ordinal: int, client_id: str) -> tuple[SocketFault, ...]:
        """Return the faults of a WebSocket connection, and count one use of each."""
        return tuple(self._counted(f for f in self if isinstance(f, SocketFault) and f.picks(ordinal, client_id)))

    def for_request(self, method: str, path: str) -> tuple[RequestFault, ...]:
        """Return the faults of an HTTP request, and count one use of each."""
        return tuple(self._counted(f for f in self if isinstance(f, RequestFault) and f.picks(method, path)))

    def _counted(self, faults: Iterable[F]) -> Iterator[F]:
        for fault in faults:
            used = self._used.get(id(fault), 0)
            if fault.times is None or used < fault.times:
                self._used[id(fault)] = used + 1
                yield fault
