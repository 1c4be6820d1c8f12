"""What can be set, and under which name in each place: in ``comfytui.toml``, in the environment, as a flag.

Plain data of the standard library, so that ``comfytui --help`` costs nothing else.
"""

from typing import Literal, NamedTuple

Kind = Literal["whole", "number", "switch", "text", "path", "server", "workflow", "watch", "url", "request_format"]
"""How a value is read: whole number, number, on/off, text, path, server address, workflow name or file, watch mode,
web address, format of a request to a language model."""

FILE_NAME = "comfytui.toml"
CONFIG_VARIABLE = "COMFYTUI_CONFIG"
"""Names the configuration file; set to nothing, no file is read."""

TOKEN_VARIABLE = "COMFYTUI_TOKEN"
HEADERS_VARIABLE = "COMFYTUI_HEADERS"
"""Logins come from the environment and from nowhere else."""
WEBHOOK_VARIABLE = "COMFYTUI_WEBHOOK"
"""The address that is told news; `[notify] webhook` is the same in a file."""

WATCH_MODES = ("auto", "events", "poll")
REQUEST_FORMATS = ("direct-json", "openai-chat")
DEFAULT_SERVER = "http://127.0.0.1:8188"
SIMULATOR = "sim"
"""The server address that stands for the built-in simulator."""


class Setting(NamedTuple):
    """One thing to set; with ``policy``, its field of ``QueuePolicy``, it stands under ``[queue]`` in the file.

    What has an ``llm`` stands under that key of the table ``[llm]``. ``least`` and ``most`` bound a number that is not
    the policy's.
    """

    name: str
    kind: Kind
    help: str
    metavar: str = ""
    variable: str | None = None
    policy: str | None = None
    default: str = ""
    """What help says of its default; held to the real one by a test."""
    llm: str | None = None
    least: float | None = None
    most: float | None = None

    @property
    def key(self) -> str:
        """Its key in ``comfytui.toml``: ``runs_dir``, ``queue.max_wait``, ``llm.url``."""
        if self.llm is not None:
            return f"llm.{self.llm}"
        return f"queue.{self.name}" if self.queue else self.name

    @property
    def flag(self) -> str:
        """Its flag on the command line: ``--runs-dir``."""
        return "--" + self.name.replace("_", "-")

    @property
    def queue(self) -> bool:
        """Whether it belongs to the policy of the queue."""
        return self.policy is not None or self.name == "fast_iteration"


PLACES = (
    Setting(
        "server",
        "server",
        "ComfyUI's address, or `sim` for the built-in simulator; may be given several times.",
        "URL",
        "COMFYTUI_SERVER",
        default="http://127.0.0.1:8188",
    ),
    Setting(
        "workflow",
        "workflow",
        "smoke, txt2img, svd, or a file in API format.",
        "NAME|FILE",
        "COMFYTUI_WORKFLOW",
        default="txt2img",
    ),
    Setting("output_dir", "path", "The server's output folder, as seen from here.", "DIR", "COMFYTUI_OUTPUT_DIR"),
    Setting("runs_dir", "path", "Where run folders are made.", "DIR", "COMFYTUI_RUNS_DIR", default="runs"),
    Setting("watch", "watch", "How the output folder is watched: auto, events or poll.", "MODE", default="auto"),
)
LOOKS = (
    Setting("theme", "text", "The colours of the dashboard; `comfytui themes` lists them.", "NAME", "COMFYTUI_THEME"),
    Setting("ascii", "switch", "Draw with ASCII only.", variable="COMFYTUI_ASCII"),
    Setting("ssh", "switch", "Fewer bytes for a slow line; on over SSH.", variable="COMFYTUI_SSH"),
)
QUEUE = (
    Setting(
        "max_wait",
        "whole",
        "Seconds a prompt may execute.",
        "SECONDS",
        "SCENE_MAX_WAIT_SECONDS",
        "max_wait_seconds",
        default="600",
    ),
    Setting(
        "max_total_wait",
        "whole",
        "Seconds from submitting a prompt to its end, waiting included.",
        "SECONDS",
        "SCENE_MAX_TOTAL_WAIT_SECONDS",
        "max_total_wait_seconds",
        default="7200",
    ),
    Setting(
        "server_wait",
        "whole",
        "Seconds a silent server is waited for.",
        "SECONDS",
        policy="server_wait_seconds",
        default="600",
    ),
    Setting(
        "stall_timeout",
        "whole",
        "Seconds without progress, frame or GPU activity until a prompt is stalled; 0 = never.",
        "SECONDS",
        policy="stall_seconds",
    ),
    Setting(
        "history_max_attempts",
        "whole",
        "Reads of a prompt's history before it is given up; 0 = unbounded.",
        "N",
        "SCENE_HISTORY_MAX_ATTEMPTS",
        "history_max_attempts",
        default="0",
    ),
    Setting(
        "poll_interval",
        "whole",
        "Seconds of silence after which history is read.",
        "SECONDS",
        "SCENE_HISTORY_POLL_INTERVAL_SECONDS",
        "poll_interval_seconds",
        default="2",
    ),
    Setting(
        "post_execution_timeout",
        "whole",
        "Seconds that frames may take after success.",
        "SECONDS",
        "SCENE_POST_EXECUTION_TIMEOUT_SECONDS",
        "post_execution_timeout_seconds",
        default="30",
    ),
    Setting(
        "retry_budget",
        "whole",
        "Attempts beyond the first.",
        "N",
        "SCENE_RETRY_BUDGET",
        "scene_retry_budget",
        default="1",
    ),
    Setting(
        "frame_floor", "whole", "Proven frames each scene must reach (else the story's).", "N", policy="frame_floor"
    ),
    Setting(
        "lookahead",
        "whole",
        "Prompts that wait on the server behind the one at work.",
        "N",
        policy="lookahead",
        default="1",
    ),
    Setting(
        "stability",
        "number",
        "Seconds a file rests where its format proves nothing.",
        "SECONDS",
        policy="stability_seconds",
        default="2",
    ),
    Setting("stability_retries", "whole", "Looks at such a file.", "N", policy="stability_retries", default="3"),
    Setting("done_marker", "switch", "Await the producer's <prefix>.done.", policy="done_marker"),
    Setting(
        "done_marker_timeout",
        "whole",
        "Seconds that is awaited.",
        "SECONDS",
        policy="done_marker_timeout_seconds",
        default="10",
    ),
    Setting(
        "gpu_interval",
        "number",
        "Seconds between two GPU readings.",
        "SECONDS",
        policy="gpu_interval_seconds",
        default="1",
    ),
    Setting("fast_iteration", "switch", "Short waits and no retry, for trying a workflow out."),
)

LLM = (
    Setting(
        "llm",
        "url",
        "The language model that writes stories: a base URL, or that of its chat completions.",
        "URL",
        "LOCAL_STORY_PROVIDER_URL",
        llm="url",
    ),
    Setting(
        "llm_model", "text", "Its name there; else the first that is listed.", "NAME", "LOCAL_LLM_MODEL", llm="model"
    ),
    Setting("llm_seed", "whole", "The seed it is given.", "N", "LOCAL_LLM_SEED", llm="seed", least=0, most=2**63 - 1),
    Setting(
        "llm_timeout_ms",
        "whole",
        "Milliseconds in which it must have answered.",
        "MS",
        "LOCAL_LLM_TIMEOUT_MS",
        default="8000",
        llm="timeout_ms",
        least=1,
    ),
    Setting(
        "llm_temperature",
        "number",
        "Its temperature; else its own.",
        "T",
        "LOCAL_LLM_TEMPERATURE",
        llm="temperature",
        least=0,
        most=2,
    ),
    Setting(
        "llm_request_format",
        "request_format",
        "direct-json or openai-chat; else as the URL looks.",
        "FORMAT",
        "LOCAL_LLM_REQUEST_FORMAT",
        llm="request_format",
    ),
    Setting(
        "llm_health_url",
        "url",
        "What is asked whether it is well; else its list of models.",
        "URL",
        "LOCAL_LLM_HEALTHCHECK_URL",
        llm="health_url",
    ),
    Setting(
        "llm_skip_health",
        "switch",
        "Do not ask whether it is well before a run.",
        variable="LOCAL_LLM_SKIP_HEALTHCHECK",
        llm="skip_health",
    ),
)

SETTINGS = (*PLACES, *LOOKS, *QUEUE, *LLM)
BY_NAME = {setting.name: setting for setting in SETTINGS}
BY_KEY = {setting.key: setting for setting in SETTINGS}
TABLES = ("queue", "bindings", "keymap", "retry", "notify", "llm")
"""The tables of ``comfytui.toml``; ``server`` may be one too, ``[[servers]]`` and ``[[suites]]`` any number of them."""

SERVER_KEYS = {
    "url": ("The same as `server`, where that is a table.", "http://127.0.0.1:8188"),
    "command": ("What starts ComfyUI where nothing answers: a list of words.", ""),
    "cwd": ("The folder in which it is started; else that of the file.", ""),
    "env": ("A table of variables for it, which are written nowhere else.", ""),
    "ready_timeout": ("Seconds in which it must answer.", "300"),
    "stop_grace": ("Seconds from asking it to end until it is killed.", "10"),
}
"""The keys of the table ``[server]``: what each is, and its default."""

SERVERS_KEYS = {
    "url": ("The address of one of several servers, or `sim`; each of them a table.", ""),
    "name": ("What it is called; else its host and port.", ""),
    "output_dir": ("Its output folder, as seen from here; else as `output_dir` says for all.", ""),
    "headers": ("A table of headers that it alone is sent; `${NAME}` stands for a variable.", ""),
    "tags": ("What scenes may ask for by `serverTags`: a list of texts.", ""),
    "weight": ("Of servers that are free the heaviest gets a scene first.", "1"),
    "command": ("What starts it; `cwd`, `env`, `ready_timeout` and `stop_grace` as under `[server]`.", ""),
    "cwd": ("", ""),
    "env": ("", ""),
    "ready_timeout": ("", ""),
    "stop_grace": ("", ""),
}
"""The keys of each table ``[[servers]]``: what each is, and its default; those that say nothing are explained above."""

SUITE_KEYS = {
    "label": (
        "The name of a check suite; `Vitest comfyUI`, `Vitest e2e` and `Vitest scripts` fill VitestLogs too.",
        "",
    ),
    "command": ("What it runs: a list of words, without a shell.", ""),
    "cwd": ("The folder in which it runs; else that of the file.", ""),
    "timeout": ("Seconds after which it is ended.", "600"),
}
"""The keys of each table ``[[suites]]``: what each is, and its default."""

NOTIFY_KEYS = {
    "bell": ("Ring the terminal's bell for news.", "true"),
    "desktop": ("How the terminal is asked to notify: auto, osc9, osc777 or off.", "auto"),
    "title": ("Show progress in the terminal's title.", "true"),
    "events": ("The news: a list of run_finished, scene_failed and server_lost.", "all"),
    "webhook": ("An address that is told the news by POST; `COMFYTUI_WEBHOOK` wins over it.", ""),
}
"""The keys of the table ``[notify]``: what each is, and its default."""
