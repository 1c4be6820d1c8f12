"""The routes that tell about the server: its device, its nodes, its models, its log."""

from __future__ import annotations

import sys
from typing import Any

from aiohttp import web

from comfytui.simulator import messages
from comfytui.simulator.answers import server_error
from comfytui.simulator.device import CHECKPOINTS, RAM_TOTAL
from comfytui.simulator.life import Life
from comfytui.simulator.nodes.catalogue import CATALOGUE
from comfytui.simulator.state import LIFE
from comfytui.simulator.writing import in_thread

Json = dict[str, Any]

routes = web.RouteTableDef()
internal = web.RouteTableDef()

MODELS = "/opt/ComfyUI/models"
MODEL_FOLDERS = [
    "checkpoints", "configs", "loras", "vae", "text_encoders", "diffusion_models", "clip_vision", "style_models",
    "embeddings", "diffusers", "vae_approx", "controlnet", "gligen", "upscale_models", "custom_nodes",
    "hypernetworks", "photomaker", "classifiers", "model_patches", "audio_encoders",
]  # fmt: skip
RELEASES = {
    "0.3.64": {"required_frontend_version": "1.27.10", "templates": "0.1.95"},
    "0.8.0": {"required_frontend_version": "1.35.9", "templates": "0.7.67"},
}


@routes.get("/system_stats")
async def system_stats(request: web.Request) -> web.Response:
    """Tell about the machine and its devices; all figures are bytes."""
    life = request.app[LIFE]
    release = RELEASES[life.version]
    system = {
        "os": sys.platform if life.version != "0.3.64" else ("nt" if sys.platform == "win32" else "posix"),
        "ram_total": RAM_TOTAL,
        "ram_free": life.device.ram_free(),
        "comfyui_version": life.version,
        "required_frontend_version": release["required_frontend_version"],
        "installed_templates_version": release["templates"],
        "required_templates_version": release["templates"],
        "python_version": sys.version,
        "pytorch_version": "2.8.0+simulated",
        "embedded_python": False,
        "argv": _argv(life),
    }
    return web.json_response({"system": system, "devices": [life.device.stats()]})


def _argv(life: Life) -> list[str]:
    argv = ["main.py", "--listen", "127.0.0.1", "--port", str(life.port)]
    argv += ["--output-directory", str(life.folders.output), "--input-directory", str(life.folders.input)]
    argv += ["--temp-directory", str(life.folders.temp)]
    return argv + (["--cpu"] if life.device.kind == "cpu" else [])


@routes.get("/object_info")
async def object_info(request: web.Request) -> web.Response:
    """Tell about every node class."""
    files = await in_thread(request.app[LIFE].folders.input_names)
    version = request.app[LIFE].version
    return web.json_response({name: kind.info(files, version) for name, kind in CATALOGUE.items()})


@routes.get("/object_info/{name}")
async def object_info_of(request: web.Request) -> web.Response:
    """Tell about one node class; `{}` for one that is not installed."""
    kind = CATALOGUE.get(request.match_info["name"])
    if kind is None:
        return web.json_response({})
    files = await in_thread(request.app[LIFE].folders.input_names)
    return web.json_response({kind.name: kind.info(files, request.app[LIFE].version)})


@routes.get("/features")
async def features(request: web.Request) -> web.Response:
    """Tell what the server can do."""
    return web.json_response(messages.feature_flags(request.app[LIFE].version))


@routes.get("/models")
async def models(request: web.Request) -> web.Response:
    """List the kinds of models."""
    return web.json_response(_model_folders(request.app[LIFE].version))


@routes.get("/models/{folder}")
async def models_in(request: web.Request) -> web.Response:
    """List the models of one kind; 404 for an unknown kind."""
    folder = request.match_info["folder"]
    if folder not in _model_folders(request.app[LIFE].version):
        return web.Response(status=404)
    return web.json_response(sorted(CHECKPOINTS) if folder == "checkpoints" else [])


def _model_folders(version: str) -> list[str]:
    if version == "0.3.64":
        return MODEL_FOLDERS
    place = MODEL_FOLDERS.index("upscale_models") + 1
    return [*MODEL_FOLDERS[:place], "latent_upscale_models", *MODEL_FOLDERS[place:]]


@routes.get("/embeddings")
@routes.get("/extensions")
async def none_installed(request: web.Request) -> web.Response:
    """List nothing: there are no embeddings and no front-end extensions."""
    return web.json_response([])


@routes.get("/settings")
@routes.get("/workflow_templates")
@routes.get("/i18n")
async def none_set(request: web.Request) -> web.Response:
    """Tell nothing: there are no settings, templates or translations."""
    return web.json_response({})


@routes.get("/users")
async def users(request: web.Request) -> web.Response:
    """Tell where the front end would keep its settings."""
    return web.json_response({"storage": "server", "migrated": False})


@routes.get("/")
async def front_page(request: web.Request) -> web.Response:
    """Show a page that says what this is."""
    version = request.app[LIFE].version
    page = (
        f"<!doctype html><html lang=en><meta charset=utf-8><title>ComfyUI simulator</title>"
        f"<body><h1>ComfyUI simulator {version}</h1><p>This server simulates ComfyUI; it has no web interface."
    )
    return web.Response(body=page.encode(), headers={"Content-Type": "text/html"})


@internal.get("/internal/logs")
async def logs(request: web.Request) -> web.Response:
    """Tell the log as one text."""
    return web.json_response(request.app[LIFE].log.plain())


@internal.get("/internal/logs/raw")
async def logs_raw(request: web.Request) -> web.Response:
    """Tell the log line by line."""
    return web.json_response(request.app[LIFE].log.raw())


@internal.patch("/internal/logs/subscribe")
async def logs_subscribe(request: web.Request) -> web.Response:
    """Begin or end the `logs` messages to a client."""
    try:
        body = await request.json()
        request.app[LIFE].log.subscribe(body["clientId"], bool(body["enabled"]))
    except (ValueError, KeyError, TypeError):
        return server_error()
    return web.Response()


@internal.get("/internal/folder_paths")
async def folder_paths(request: web.Request) -> web.Response:
    """Tell where models are looked for; four kinds are looked for in the output folder too."""
    life = request.app[LIFE]
    found = {name: [f"{MODELS}/{name}"] for name in _model_folders(life.version)}
    found["custom_nodes"] = ["/opt/ComfyUI/custom_nodes"]
    found["text_encoders"].append(f"{MODELS}/clip")
    found["diffusion_models"].insert(0, f"{MODELS}/unet")
    found["controlnet"].append(f"{MODELS}/t2i_adapter")
    inside = {"checkpoints": "checkpoints", "loras": "loras", "vae": "vae"}
    inside |= {"text_encoders": "clip", "diffusion_models": "diffusion_models"}
    for name, folder in inside.items():
        found[name].append(str(life.folders.output / folder))
    return web.json_response(found)


@internal.get("/internal/files/{kind}")
async def files(request: web.Request) -> web.Response:
    """List the files of a folder, newest first."""
    base = request.app[LIFE].folders.base(request.match_info["kind"])
    if base is None:
        return web.json_response({"error": "Invalid directory type"}, status=400)

    def newest_first() -> list[str]:
        found = [path for path in base.iterdir() if path.is_file()]
        return [path.name for path in sorted(found, key=lambda path: -path.stat().st_mtime)]

    return web.json_response(await in_thread(newest_first))
