"""The registry of failures that a user can meet: a code, what happened, what to do about it.

A :class:`Failure` is raised with a registered code and the words that fill its two sentences. The command line
prints both sentences and the code; a traceback is never shown for one. :data:`REGISTRY` is held to the code both
ways by a test: every code that is raised is registered, and every registered code is raised somewhere.
"""

import re
from typing import NamedTuple

from comfytui.untrusted import plain


class Entry(NamedTuple):
    """One kind of failure: ``what`` happened and the ``remedy``, both format strings; ``exit_code`` of a command."""

    what: str
    remedy: str
    exit_code: int = 2


REGISTRY: dict[str, Entry] = {
    # --- story -------------------------------------------------------------------------------------------
    "story.unreadable": Entry(
        "The story {file} cannot be read: {why}.", "Check the path and that you may read the file."
    ),
    "story.syntax": Entry("The story {file} is not valid {format}: {why}.", "Mend the file at that place."),
    "story.format": Entry(
        "The story {file} is neither .json nor .toml.", "Save it as JSON or TOML and give it that ending."
    ),
    "story.shape": Entry(
        "The story {file} is wrong at {place}: {why}.",
        "Correct that field; `comfytui demo` shows a story that works.",
    ),
    "story.empty": Entry("The story {file} has no scenes.", "Give it at least one entry under `scenes`."),
    "story.duplicate_scene": Entry(
        "The story {file} names scene {scene!r} twice, at {place}.",
        "Give every scene an id of its own, or leave the ids out.",
    ),
    "story.keyframe_missing": Entry(
        "The keyframe of scene {scene!r} in {file} does not exist: {path}.",
        "Correct keyframePath (it is relative to the story file) or remove it.",
    ),
    "story.keyframe_unreadable": Entry(
        "The keyframe {path} cannot be sent to the server: {why}.",
        "Check that you may read the file and that it is an image.",
    ),
    "story.server_tags": Entry(
        "No server has the tags that scene {scene!r} asks for: {tags}.",
        "Give a server these `tags` under [[servers]], or take them out of the scene's `serverTags`.",
    ),
    "story.unwritten": Entry("The story cannot be written to {file}: {why}.", "Choose another path for --out."),
    "llm.unhealthy": Entry(
        "The language model at {url} is not well: {why}.",
        "Start it, correct --llm (LOCAL_STORY_PROVIDER_URL), or skip this check with --llm-skip-health.",
    ),
    # --- workflow ----------------------------------------------------------------------------------------
    "workflow.unreadable": Entry(
        "The workflow {file} cannot be read: {why}.",
        "Check the path, or use a bundled workflow: smoke, txt2img, svd.",
    ),
    "workflow.syntax": Entry(
        "The workflow {file} is not valid {format}: {why}.",
        "Mend the file at that place, or export it again from ComfyUI with `Export (API)`.",
    ),
    "workflow.gui_format": Entry(
        "The workflow {file} is in ComfyUI's GUI format, which a server cannot run.",
        "Open it in ComfyUI and export it with `Workflow > Export (API)`.",
    ),
    "workflow.shape": Entry(
        "The workflow {file} is wrong at {place}: {why}.",
        "Mend that place, or export it again from ComfyUI with `Export (API)`.",
    ),
    "workflow.binding": Entry(
        "The binding {name} = {target!r} of workflow {file} reaches nothing: {why}.",
        'Write it as "NODE.INPUT", with a node and an input that the workflow has.',
    ),
    "workflow.nodes_missing": Entry(
        "The server at {server} does not know these nodes of workflow {file}: {nodes}.",
        "Install the node packages on the server, or choose another workflow.",
    ),
    "workflow.models_missing": Entry(
        "The server at {server} does not have what workflow {file} loads: {models}.",
        "Put these files into the server's models folder, or choose others in the workflow.",
    ),
    # --- settings ----------------------------------------------------------------------------------------
    "config.unreadable": Entry("The configuration {file} cannot be read: {why}.", "Mend the file or remove it."),
    "config.value": Entry("{place} is not usable: {why}.", "Correct that setting."),
    "config.keymap": Entry(
        "The key {keys!r} for {command!r} under [keymap] is not usable: {why}.",
        "Correct it; the README lists the commands under Keys, and `?` in the dashboard shows the keys.",
    ),
    # --- server ------------------------------------------------------------------------------------------
    "server.unreachable": Entry(
        "No ComfyUI answers at {server}: {why}.",
        "Start ComfyUI there, correct --server, or try `--server sim` for the built-in simulator.",
    ),
    "server.not_comfyui": Entry(
        "What answers at {server} is not ComfyUI: {why}.",
        "Check the address and port; behind a proxy, include the path prefix.",
    ),
    "server.auth": Entry(
        "The server at {server} wants a login ({why}).",
        "Set COMFYTUI_TOKEN (bearer) or COMFYTUI_HEADERS in the environment.",
    ),
    "server.reply": Entry(
        "The server at {server} gave an unusable reply to {request}: {why}.",
        "Look at the server's own log; if it is healthy, report this reply.",
    ),
    "server.timeout": Entry(
        "The server at {server} did not answer {request} within {seconds} s.",
        "It may be overloaded or frozen; look at its log.",
    ),
    "server.lost": Entry(
        "The server at {server} went away: {why}.",
        "Look at the server's log; rerun the scenes that were lost.",
    ),
    "server.start_failed": Entry(
        "The server could not be started: {why}.", "Run the command by hand to see what it says."
    ),
    # --- prompts and frames ------------------------------------------------------------------------------
    "prompt.rejected": Entry(
        "ComfyUI rejected the prompt: {why}.",
        "Correct the workflow or the story; a retry would be rejected again.",
    ),
    "prompt.failed": Entry("Node {node} failed: {why}.", "Look at the node's inputs and the server's log."),
    "prompt.out_of_memory": Entry(
        "Node {node} ran out of GPU memory: {why}.", "Lower the resolution or the frames, or free VRAM."
    ),
    "prompt.interrupted": Entry("The prompt was interrupted on the server.", "Rerun the scene when you are ready."),
    "prompt.lost": Entry(
        "The prompt is neither queued, running nor in the server's history.",
        "The server was restarted or the prompt was deleted; rerun the scene.",
    ),
    "prompt.timeout": Entry(
        "The prompt was given up after {seconds} s ({limit}).",
        "Raise --max-wait or --max-total-wait if the scene really needs longer.",
    ),
    "prompt.handed_over": Entry(
        "The prompt was taken from {server}: {why}.",
        "Another server renders the scene; the attempt does not cost the retry budget.",
    ),
    "prompt.stalled": Entry(
        "The prompt gave no sign of life (progress, frame, GPU activity) for {seconds} s; {limit} s are allowed.",
        "Look at the server's log; raise --stall-timeout if it really works in silence for so long, 0 = off.",
    ),
    "prompt.history_limit": Entry(
        "History was read {limit} times without an end of the prompt.",
        "Raise --history-max-attempts, or set it to 0.",
    ),
    "frame.unshowable": Entry(
        "The frame {name} cannot be shown: {why}.",
        "Look for it in the run folder; `comfytui validate` checks them all.",
    ),
    "frame.unsafe_name": Entry(
        "The server named a frame that leads outside the output folder: {name}.",
        "Nothing was read there. Look at the custom node that made the name.",
    ),
    # --- run folder --------------------------------------------------------------------------------------
    "run.not_found": Entry("There is no run at {place}.", "Name a run folder or a run id; see --runs-dir."),
    "run.unwritable": Entry(
        "The folder {place} cannot be written: {why}.",
        "Free space, correct its permissions or name another folder; a run that had begun is then resumed.",
    ),
    "run.paused": Entry(
        "The run is paused, and can be resumed: {why}.",
        "Free space or correct the permissions, then go on with `comfytui resume {run}`.",
        1,
    ),
    "run.gone": Entry(
        "The folder of the run, {run}, went away while the run was under way.",
        "Bring it or its disk back, then `comfytui resume {run}`; the server's output folder keeps what was rendered.",
        1,
    ),
    "disk.space": Entry(
        "There is too little space at {place}: {free} are free, about {needed} are needed ({basis}).",
        "Free space there, or choose another disk with --runs-dir; `comfytui resume {run}` goes on with this run.",
    ),
    "disk.server_space": Entry(
        "There is too little space for its frames at {place}: {free} are free, about {needed} are needed ({basis}).",
        "Free space there: it is looked at again every minute, and the run goes on without this server meanwhile.",
    ),
    "disk.full": Entry(
        "A disk took no more: {why}.",
        "Free space where the output goes, in the temporary and in the runs folder; what was asked for may be done.",
        1,
    ),
    "archive.unwritten": Entry(
        "The run is whole, but its archive could not be written: {why}.",
        "Free space or correct the permissions, then `comfytui resume {run}` writes it.",
        1,
    ),
    "archive.unreadable": Entry(
        "The archive {file} cannot be used: {why}.",
        "Check that it is the zip of a run, and whole; fetch it again where it was copied from.",
    ),
    "run.locked": Entry(
        "The run {run} is already being driven by process {pid}.",
        "Use `comfytui attach` to watch it; stop it there first to drive it from here.",
    ),
    "run.locked_elsewhere": Entry(
        "The run {run} is being driven by process {pid} on {host}, which cannot be seen from here.",
        "Stop it there first; if that machine is gone, delete {file}.",
    ),
    "run.plan": Entry(
        "The plan of the run, {file}, cannot be used: {why}.",
        "What it recorded can be watched and validated; to render again, start a new run.",
    ),
    "run.no_record": Entry(
        "The run {run} has no record that can be read: {why}.",
        "`comfytui resume {run}` completes the records of a run that was cut short.",
    ),
    "serve.port": Entry(
        "The dashboard cannot be served at {host}:{port}: {why}.",
        "Choose another port with --port (0: a free one), or an address of this machine with --host.",
    ),
    "runs.age": Entry("{text!r} is no age.", "Write a number and m, h, d or w: 30m, 12h, 7d, 2w."),
    "runs.limit": Entry("Nothing says which runs are to stay.", "Name --keep-last N, --keep-days N, or both."),
    "run.no_runner": Entry(
        "No runner answers for run {run}.",
        "It has ended or died; what it recorded is shown from its journal.",
    ),
    "run.none_failed": Entry(
        "No scene of run {run} has failed.",
        "Name the scenes that are to be rendered again; `comfytui attach {run}` shows them.",
        1,
    ),
    "run.no_answer": Entry(
        "The runner of run {run} did not answer within {seconds} s.",
        "Look at the run with `comfytui attach`: the answer may still come, and stands in its log.",
    ),
    "journal.unreadable": Entry("The journal {file} cannot be read: {why}.", "Check that the file is there and yours."),
    # --- markers and their node --------------------------------------------------------------------------
    "marker.unwritable": Entry(
        "The done marker of {sequence} cannot be written: {why}.",
        "Free space or correct the permissions of its folder; the sentinel tries again.",
    ),
    "node.no_comfyui": Entry(
        "The folder {folder} is no ComfyUI: {why}.",
        "Name the folder that holds ComfyUI's main.py and custom_nodes.",
    ),
    "node.foreign": Entry(
        "The file {file} is not the node of comfytui.", "Look what it is, and move it out of custom_nodes."
    ),
    "node.unwritable": Entry(
        "The node {file} cannot be changed: {why}.", "Free space or correct the permissions of custom_nodes."
    ),
    # --- sweeps and reports ------------------------------------------------------------------------------
    "sweep.count": Entry(
        "The number of runs {count!r} is not usable: it is neither N nor LEAST..MOST, with 1 to {most}.",
        "Write -n 5, or -n 5..10 for five good runs in a row within ten.",
    ),
    "sweep.matrix": Entry(
        "The matrix {matrix!r} is not usable: {why}.",
        "Write NAME=VALUE,VALUE or NAME=1..3, where NAME is seed, frames or an input of the workflow (NODE.INPUT).",
    ),
    "sweep.not_found": Entry("There is no sweep at {place}.", "Name the folder of a sweep, or its id; see --runs-dir."),
    "sweep.no_story": Entry(
        "A sweep needs a story, and none was named.", "Name one, or go on with a sweep: `comfytui sweep --resume`."
    ),
    "gate.syntax": Entry(
        "The gate {gate!r} is not usable at {place!r}: {why}.",
        "Write conditions that must not hold, such as 'success<0.95,p95>1.2x'; `comfytui report --gates` lists them.",
    ),
    "report.no_runs": Entry(
        "There is no run to report on at {place}.", "Name run folders, a sweep, or a folder with runs in it."
    ),
    "export.incomplete": Entry(
        "The run {run} cannot be exported: {why}.", "Wait for its end, or `comfytui resume {run}` first."
    ),
    "metrics.port": Entry(
        "Metrics cannot be served on 127.0.0.1:{port}: {why}.", "Choose another --metrics-port, or 0 for a free one."
    ),
    # --- notifications -----------------------------------------------------------------------------------
    "notify.webhook": Entry(
        "The webhook was not told the news: {why}.",
        "Check its address ([notify] webhook or COMFYTUI_WEBHOOK) and post there by hand; the run needs none of it.",
    ),
    # --- terminal ----------------------------------------------------------------------------------------
    "terminal.none": Entry(
        "The dashboard needs a terminal, and standard output is not one.",
        "Add --headless, or --json for scripts.",
    ),
    "internal": Entry("comfytui met an error of its own: {why}.", "Please report it with the file {debug}.", 1),
}


def registry_markdown() -> str:
    """Return a Markdown table of every failure: its code, what happened, what to do."""
    rows = ["| code | what happened | what to do |", "|---|---|---|"]
    rows += [f"| `{code}` | {_prose(entry.what)} | {_prose(entry.remedy)} |" for code, entry in REGISTRY.items()]
    return "\n".join(rows) + "\n"


def explained(sentence: str) -> str:
    """Return a format string for people: ``{file}`` as ``FILE``."""
    return _WORD.sub(lambda word: word[1].upper(), sentence)


_WORD = re.compile(r"\{(\w+)(?:![rs])?\}")


def _prose(sentence: str) -> str:
    """Return a format string as Markdown: ``{file}`` as *file*, and as ``FILE`` within code."""
    parts = sentence.split("`")
    told = "`".join(explained(part) if at % 2 else _WORD.sub(r"*\1*", part) for at, part in enumerate(parts))
    return told.replace("<", "&lt;").replace("|", "\\|")


def _ended_once(sentence: str) -> str:
    """Return ``sentence`` without the full stop after words that already ended: ``did you mean x?.``"""
    return sentence[:-1] if sentence.endswith(("?.", "!.", "..")) else sentence


class Failure(Exception):
    """A failure that a user can meet: ``code``, the sentences ``what`` and ``remedy``, and the ``exit_code``."""

    def __init__(self, code: str, **words: object) -> None:
        entry = REGISTRY[code]
        clean = {name: plain(word) if isinstance(word, str) else word for name, word in words.items()}
        self.code = code
        self.words = clean
        self.what = _ended_once(entry.what.format(**clean))
        self.remedy = entry.remedy.format(**clean)
        self.exit_code = entry.exit_code
        super().__init__(self.what)

    def __str__(self) -> str:
        return f"{self.what} {self.remedy} [{self.code}]"
