"""Settings: defaults < ``comfytui.toml`` < environment < flags, merged and checked before anything else is done."""

from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any, Literal, cast

from msgspec import Struct, field, structs

from comfytui.errors import Failure
from comfytui.settings.layers import Layer, find_file, from_environment, from_file, from_flags
from comfytui.settings.notify_table import Notify, webhook_of
from comfytui.settings.table import DEFAULT_SERVER, LLM, QUEUE, SIMULATOR

if TYPE_CHECKING:
    from comfytui.model.failure_classes import FailureClass, RetryRule
    from comfytui.model.policy import QueuePolicy
    from comfytui.settings.server_table import ServerStart
    from comfytui.settings.servers_table import ServerEntry
    from comfytui.settings.suites_table import Suite

__all__ = ["DEMO", "Layer", "LlmSettings", "Settings", "load", "merge"]

DEFAULT_WORKFLOW = "txt2img"
DEFAULT_RUNS_DIR = "runs"

DEMO = Layer({"server": SIMULATOR, "workflow": DEFAULT_WORKFLOW, "suites": ()}, bindings={})
"""What ``comfytui demo`` puts above file and environment, which speak of real work; flags still win."""


class LlmSettings(Struct, frozen=True):
    """The language model that writes stories; ``None``: nobody said. ``timeout_ms`` is in milliseconds."""

    url: str | None = None
    model: str | None = None
    seed: int | None = None
    timeout_ms: int = 8000
    temperature: float | None = None
    request_format: Literal["direct-json", "openai-chat"] | None = None
    health_url: str | None = None
    skip_health: bool = False


class Settings(Struct, frozen=True, kw_only=True):
    """Everything that can be set. Paths are absolute; ``output_dir`` and ``theme`` are ``None`` where nobody said."""

    server: str
    workflow: str
    runs_dir: Path
    policy: "QueuePolicy"
    output_dir: Path | None = None
    watch: Literal["auto", "events", "poll"] = "auto"
    bindings: Mapping[str, object] = field(default_factory=dict)
    theme: str | None = None
    ascii: bool = False
    ssh: bool = False
    """Whether the dashboard is to be sparing with a slow line."""
    notify: Notify = field(default_factory=Notify)
    """What calls a person who is not looking."""
    keymap: Mapping[str, str] = field(default_factory=dict)
    start: "ServerStart | None" = None
    """How ComfyUI is started where nothing answers at ``server``."""
    servers: "tuple[ServerEntry, ...]" = ()
    """The servers, the first being ``server``, where there are several or one has a table of its own."""
    retry: "Mapping[FailureClass, RetryRule]" = field(default_factory=dict)
    """What is changed of the table of failure classes."""
    suites: "tuple[Suite, ...]" = ()
    """The check commands that run once every scene is over."""
    llm: LlmSettings = field(default_factory=LlmSettings)

    @property
    def simulated(self) -> bool:
        """Whether the server (each of several) is the built-in simulator."""
        return all(url == SIMULATOR for url in self.urls)

    @property
    def urls(self) -> tuple[str, ...]:
        """The addresses of all servers."""
        return tuple(entry.url for entry in self.servers) or (self.server,)


def load(flags: Mapping[str, object], environ: Mapping[str, str], cwd: Path, above: Layer | None = None) -> Settings:
    """Return the settings of one command: of ``flags``, ``environ`` and the configuration file that holds in ``cwd``.

    ``above`` stands between environment and flags. Raises ``Failure`` ``config.unreadable`` or ``config.value``.
    """
    file = find_file(environ, cwd, _home())
    webhook_of(environ, None)  # so that an unusable one is told here, not in the log of a runner
    layers = [Layer({"ssh": bool(environ.get("SSH_CONNECTION"))})]
    if file is not None:
        layers.append(from_file(file))
    layers.append(from_environment(environ, cwd))
    if above is not None:
        layers.append(above)
    settings = merge([*layers, from_flags(flags, cwd)], cwd)
    if settings.simulated and flags.get("output_dir") is not None:
        raise Failure("config.value", place="--output-dir", why="the simulator has an output folder of its own")
    for server in settings.servers:
        if server.file is not None:  # so that an unusable header is told here, not in the log of a runner
            from comfytui.settings.servers_table import headers_in

            headers_in(server.file, server.url, environ)
    return settings


def _home() -> Path | None:
    """Return the user's home folder; ``None`` for one who has none, as in a container."""
    try:
        return Path.home()
    except RuntimeError:
        return None


def merge(layers: Sequence[Layer], cwd: Path) -> Settings:
    """Return the settings that ``layers`` make over the defaults, the later ones winning. Pure.

    A table of bindings belongs to the workflow that is named with it or below it: it is dropped when a later layer
    names another workflow. An output folder belongs to its server in the same way, and so does a command that
    starts it; the simulator has its own.
    """
    said: dict[str, Any] = {}
    bindings: Mapping[str, object] = {}
    keymap: dict[str, str] = {}
    for layer in layers:
        values = layer.values
        if said.get("server", values.get("server")) != values.get("server", said.get("server")):
            said.pop("output_dir", None)
            said.pop("start", None)
        if "workflow" in values and said.get("workflow", values["workflow"]) != values["workflow"]:
            bindings = {}
        bindings = layer.bindings if layer.bindings is not None else bindings
        keymap |= layer.keymap
        said |= values
    named = said.get("server", DEFAULT_SERVER)
    servers = _servers(named, said)
    return Settings(
        server=named if isinstance(named, str) else named[0],
        workflow=said.get("workflow", DEFAULT_WORKFLOW),
        runs_dir=said.get("runs_dir", cwd / DEFAULT_RUNS_DIR),
        policy=policy_of(layers),
        output_dir=None if named == SIMULATOR else said.get("output_dir"),
        watch=cast(Any, said.get("watch", "auto")),
        bindings=bindings,
        theme=said.get("theme"),
        ascii=said.get("ascii", False),
        ssh=said.get("ssh", False),
        notify=said.get("notify", Notify()),
        keymap=keymap,
        start=said.get("start"),
        servers=servers,
        retry=said.get("retry", {}),
        suites=said.get("suites", ()),
        llm=LlmSettings(**{s.llm: said[s.name] for s in LLM if s.llm and s.name in said}),
    )


def _servers(named: str | tuple[str, ...], said: Mapping[str, Any]) -> "tuple[ServerEntry, ...]":
    """Return the servers at the ``named`` addresses, with what their tables say; none where there is but a plain one.

    An output folder that is set for all is that of each which has none of its own.
    """
    known = said.get("servers", ())
    if isinstance(named, str) and not known:
        return ()
    from comfytui.settings.servers_table import chosen

    entries = chosen((named,) if isinstance(named, str) else named, known)
    if len(entries) == 1 and entries[0] not in known:
        return ()
    shared = said.get("output_dir")
    return tuple(
        entry if entry.output_dir or entry.url == SIMULATOR else structs.replace(entry, output_dir=shared)
        for entry in entries
    )


def policy_of(layers: Sequence[Layer]) -> "QueuePolicy":
    """Return the queue policy that ``layers`` make over the defaults.

    ``fast_iteration`` shortens the waits of every layer below the one that switches it on; what is said beside it or
    above it wins over it.
    """
    from comfytui.model.policy import QueuePolicy, fast_iteration

    switched = [(place, layer.values["fast_iteration"]) for place, layer in enumerate(layers)
                if "fast_iteration" in layer.values]  # fmt: skip
    place, fast = switched[-1] if switched else (len(layers), False)
    policy = structs.replace(QueuePolicy(), **_fields(layers[:place]))
    if fast:
        policy = fast_iteration(policy)
    return structs.replace(policy, **_fields(layers[place:]))


def _fields(layers: Sequence[Layer]) -> dict[str, Any]:
    fields: dict[str, Any] = {}
    for layer in layers:
        fields |= {s.policy: layer.values[s.name] for s in QUEUE if s.policy and s.name in layer.values}
    return fields
