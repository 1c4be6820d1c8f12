"""Where a server writes: told by its command line or by its model folders, on whatever machine it runs."""

import pytest

from comfytui.sources.comfy.connect import output_folder
from comfytui.sources.comfy.wire import SystemStats

MODELS = {
    "checkpoints": ("/opt/ComfyUI/models/checkpoints", "/srv/out/checkpoints"),
    "loras": ("/opt/ComfyUI/models/loras", "/srv/out/loras"),
    "vae": ("/opt/ComfyUI/models/vae", "/srv/out/vae"),
    "embeddings": ("/opt/ComfyUI/models/embeddings",),
}
WINDOWS = {
    "checkpoints": ("C:\\ComfyUI\\models\\checkpoints", "D:\\renders\\checkpoints"),
    "loras": ("C:\\ComfyUI\\models\\loras", "D:\\renders\\loras"),
    "vae": ("C:\\ComfyUI\\models\\vae", "D:\\renders\\vae"),
    "embeddings": ("C:\\ComfyUI\\models\\embeddings",),
}
LONG = "/srv/" + "x" * 900


def stats(*argv: object) -> SystemStats:
    return SystemStats(system={"argv": ["main.py", *argv]}, devices=())


@pytest.mark.parametrize(
    ("argv", "folder"),
    [
        (("--output-directory", "/srv/out"), "/srv/out"),
        (("--output-directory=/srv/out",), "/srv/out"),
        (("--output-dir", "/srv/out"), "/srv/out"),
        (("--cpu", "--output-directory", "/first", "--output-directory", "/last"), "/last"),
        (("--output-directory", "D:\\renders"), "D:\\renders"),
        (("--output-directory", "\\\\nas\\renders"), "\\\\nas\\renders"),
        (("--output-directory", "/a path/with = and blanks"), "/a path/with = and blanks"),
        (("--output-directory", LONG), LONG),
        (("--base-directory", "/srv/comfy"), "/srv/comfy/output"),
        (("--base-directory", "D:\\comfy"), "D:\\comfy\\output"),
        (("--base-directory", "/srv/comfy", "--output-directory", "/srv/out"), "/srv/out"),
        (("--output-directory",), None),
        (("--output-directory", "relative/out"), None),
        (("--base-directory", "."), None),
        (("--input-directory", "/srv/in", "--temp-directory", "/tmp"), None),
        ((1, None, ["--output-directory"], {}), None),
        ((), None),
    ],
)
def test_the_command_line_tells(argv: tuple[object, ...], folder: str | None) -> None:
    assert output_folder(stats(*argv), None) == folder


def test_no_command_line_at_all() -> None:
    systems: list[dict[str, object]] = [{}, {"argv": None}, {"argv": "main.py --output-directory /x"}, {"argv": {}}]
    for system in systems:
        assert output_folder(SystemStats(system=system, devices=()), None) is None
        assert output_folder(SystemStats(system=system, devices=()), MODELS) == "/srv/out"


def test_a_relative_folder_is_told_by_the_model_folders() -> None:
    assert output_folder(stats("--output-directory", "relative/out"), MODELS) == "/srv/out"
    assert output_folder(stats("--output-directory", "/said"), MODELS) == "/said"


def test_model_folders_of_windows_are_read_on_any_machine() -> None:
    assert output_folder(stats(), WINDOWS) == "D:\\renders"


@pytest.mark.parametrize(
    "paths",
    [
        {},
        {"checkpoints": ()},
        {kind: found[:1] for kind, found in MODELS.items()},
        {kind: (*found, f"/extra/{kind}") for kind, found in MODELS.items() if kind != "embeddings"},
        {"checkpoints": MODELS["checkpoints"], "loras": ("/else/loras",), "vae": MODELS["vae"]},
    ],
)
def test_what_is_not_certain_is_not_guessed(paths: dict[str, tuple[str, ...]]) -> None:
    assert output_folder(stats(), paths) is None
