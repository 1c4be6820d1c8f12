"""The routes about files: look at an output, upload an input."""

from __future__ import annotations

import hashlib
import io
import mimetypes
from dataclasses import dataclass
from pathlib import Path

from aiohttp import BodyPartReader, web
from PIL import Image, UnidentifiedImageError

from comfytui.simulator.folders import Folders, inside
from comfytui.simulator.state import LIFE
from comfytui.simulator.writing import in_thread

routes = web.RouteTableDef()


@routes.get("/view")
async def view(request: web.Request) -> web.StreamResponse:
    """Send a file of the output, input or temp folder: whole, or converted by `preview` or `channel`.

    A frame that is half-written is sent as far as it goes, with 200. Range, HEAD and conditional requests work.
    """
    folders, query = request.app[LIFE].folders, request.query
    name = query.get("filename", "")
    if not name:
        return web.Response(status=404)
    base = folders.base(query.get("type", "output"))
    if name.startswith("/") or ".." in name or base is None:
        return web.Response(status=400)
    folder = inside(base, query.get("subfolder", ""))
    if folder is None:
        return web.Response(status=403)
    path = folder / Path(name).name
    if not await in_thread(path.is_file):
        return web.Response(status=404)
    disposition = {"Content-Disposition": f'filename="{path.name}"'}
    if "preview" in query:
        form, _, quality = query["preview"].partition(";")
        return await _converted(path, disposition, form, int(quality) if quality.isdigit() else 90, "")
    if query.get("channel", "rgba") != "rgba":
        return await _converted(path, disposition, "png", 90, query["channel"])
    kind = mimetypes.guess_type(path.name)[0] or "application/octet-stream"
    return web.FileResponse(path, headers=disposition | {"Content-Type": kind})


async def _converted(path: Path, headers: dict[str, str], form: str, quality: int, channel: str) -> web.Response:
    form = form if form in {"webp", "jpeg", "png"} else "webp"
    try:
        body = await in_thread(lambda: _convert(path, form, quality, channel))
    except (UnidentifiedImageError, OSError):
        return web.Response(status=500)
    return web.Response(body=body, content_type=f"image/{form}", headers=headers)


def _convert(path: Path, form: str, quality: int, channel: str) -> bytes:
    """Return the picture in another format, or one channel of it (`a`: the opacity)."""
    with Image.open(path) as opened:
        picture = opened.convert("RGBA" if channel == "a" else "RGB")
    if channel == "a":
        opacity = picture.getchannel("A")
        picture = Image.new("RGBA", picture.size)
        picture.putalpha(opacity)
    buffer = io.BytesIO()
    picture.save(buffer, format=form.upper(), quality=quality)
    return buffer.getvalue()


@dataclass
class _Upload:
    """The fields of a multipart upload."""

    name: str = ""
    data: bytes | None = None
    kind: str = "input"
    subfolder: str = ""
    overwrite: bool = False


@routes.post("/upload/image")
async def upload_image(request: web.Request) -> web.Response:
    """Store a picture: 200 with the name it got, which is another one when that name holds other bytes."""
    upload = await _read(request)
    if upload.data is None or not upload.name:
        return web.Response(status=400)
    folders = request.app[LIFE].folders
    stored = await in_thread(lambda: _store(folders, upload))
    if stored is None:
        return web.Response(status=400)
    return web.json_response({"name": stored, "subfolder": upload.subfolder, "type": upload.kind})


async def _read(request: web.Request) -> _Upload:
    upload = _Upload()
    if not request.content_type.startswith("multipart/"):
        return upload
    async for part in await request.multipart():
        if not isinstance(part, BodyPartReader):
            continue
        if part.name == "image":
            upload.name, upload.data = part.filename or "", bytes(await part.read(decode=True))
            continue
        value = await part.text()
        if part.name == "type":
            upload.kind = value
        elif part.name == "subfolder":
            upload.subfolder = value
        elif part.name == "overwrite":
            upload.overwrite = value in {"true", "1"}
    return upload


def _store(folders: Folders, upload: _Upload) -> str | None:
    """Write the upload; return its name, or None when it would leave its folder."""
    assert upload.data is not None
    base = folders.base(upload.kind)
    folder = None if base is None else inside(base, upload.subfolder)
    name = Path(upload.name).name
    if folder is None or not name:
        return None
    folder.mkdir(parents=True, exist_ok=True)
    stem, suffix, copy = Path(name).stem, Path(name).suffix, 0
    digest = hashlib.sha256(upload.data).digest()
    while (folder / name).exists() and not upload.overwrite:
        if hashlib.sha256((folder / name).read_bytes()).digest() == digest:
            return name
        copy += 1
        name = f"{stem} ({copy}){suffix}"
    (folder / name).write_bytes(upload.data)
    return name
