"""The sky of a scene: gradient, clouds, light, stars."""

from __future__ import annotations

import math

from PIL import Image, ImageDraw

from comfytui.simulator.painting.composition import CLOUD_GRID, Composition
from comfytui.simulator.painting.palette import Colour, mixed

SHRINK = 6
"""Soft things are painted so many times smaller, and scaled up."""
LIFE_OF_A_GLIMMER = 9.0


def painted(scene: Composition, size: tuple[int, int], index: int) -> Image.Image:
    """Return the sky as RGB."""
    small = (max(4, size[0] // SHRINK), max(4, size[1] // SHRINK))
    picture = _gradient(scene.palette.sky, small)
    _add_glow(picture, scene, index)
    _add_clouds(picture, scene, index)
    picture = picture.resize(size, Image.Resampling.BICUBIC)
    if scene.stars:
        _add_stars(picture, scene, index)
    if scene.scenery == "space":
        _add_planet(picture, scene, index)
    else:
        _add_disc(picture, light_place(scene, size, index), scene.light_size * size[1], scene.palette.light)
    return picture


def horizon_of(scene: Composition) -> float:
    """Return where the land begins, as a share of the height."""
    return {"sea": 0.6, "space": 1.0, "dunes": 0.62}.get(scene.scenery, 0.66)


def light_place(scene: Composition, size: tuple[int, int], index: int) -> tuple[float, float]:
    """Return where the sun or moon stands, in pixels."""
    x = scene.light_at[0] + scene.wind * 0.08 * index
    y = scene.light_at[1] + scene.light_rise * index
    return x * size[0], y * size[1]


def _gradient(stops: tuple[Colour, ...], size: tuple[int, int]) -> Image.Image:
    strip = Image.new("RGB", (1, len(stops)))
    strip.putdata(list(stops))
    return strip.resize(size, Image.Resampling.BICUBIC, box=(0, 0.35, 1, len(stops) - 0.2))


def _add_glow(picture: Image.Image, scene: Composition, index: int) -> None:
    """Brighten the sky around the light."""
    x, y = light_place(scene, picture.size, index)
    for reach, strength in ((1.5, 0.34), (0.62, 0.5)):
        side = max(4, round(picture.height * reach * (1.0 + 0.02 * math.sin(index * 0.35))))
        glow = Image.radial_gradient("L").resize((side, side))
        glow = glow.point([round(strength * max(0, 255 - value * 1.42) ** 1.35 / 255**0.35) for value in range(256)])
        picture.paste(scene.palette.light, (round(x - side / 2), round(y - side / 2)), glow)


def _add_clouds(picture: Image.Image, scene: Composition, index: int) -> None:
    """Lay two drifting veils over the sky: one lit, one in shade."""
    grid = Image.frombytes("L", CLOUD_GRID, scene.clouds)
    wide = Image.new("L", (CLOUD_GRID[0] * 2, CLOUD_GRID[1]))
    wide.paste(grid, (0, 0))
    wide.paste(grid, (CLOUD_GRID[0], 0))
    lit = mixed(scene.palette.sky[3], scene.palette.light, 0.55)
    shade = mixed(scene.palette.sky[0], scene.palette.sky[1], 0.35)
    for colour, speed, part, strength in ((shade, 0.6, 9.0, 0.55), (lit, 1.0, 6.0, 0.75)):
        offset = (index * scene.wind * speed * part) % CLOUD_GRID[0]
        drift = 0.5 + 0.4 * math.sin(index * 0.05 * speed)
        box = (offset, drift, offset + part, drift + CLOUD_GRID[1] * 0.8)
        veil = wide.resize(picture.size, Image.Resampling.BICUBIC, box=box)
        fine = wide.resize(picture.size, Image.Resampling.BICUBIC, box=(offset / 2, drift, offset / 2 + part * 2, 9.5))
        veil = Image.blend(veil, fine, 0.4)
        floor = 190 - 90 * scene.cloudiness
        veil = veil.point([round(min(255, max(0.0, (value - floor) * 2.1)) * strength) for value in range(256)])
        picture.paste(colour, (0, 0), veil)


def _add_stars(picture: Image.Image, scene: Composition, index: int) -> None:
    width, height = picture.size
    draw = ImageDraw.Draw(picture)
    lowest = horizon_of(scene) * height
    drift = scene.wind * 0.25 * index
    for x, y, brightness in scene.stars:
        glimmer = 0.55 + 0.45 * math.sin(index / LIFE_OF_A_GLIMMER * 6.3 + brightness * 40)
        left, top = (x + drift) % 1.0 * width, y * lowest
        behind = picture.getpixel((int(left) % width, int(top) % height))
        assert isinstance(behind, tuple)
        share = min(1.0, brightness * 1.1) * glimmer * (1 - 0.7 * y) * min(1.0, scene.palette.stars + 0.2)
        colour = mixed((behind[0], behind[1], behind[2]), (255, 252, 240), share)
        if brightness > 0.93:
            draw.ellipse((left - 1, top - 1, left + 1, top + 1), fill=colour)
        else:
            draw.point((left, top), fill=colour)


def _add_disc(picture: Image.Image, place: tuple[float, float], radius: float, colour: Colour) -> None:
    """Paste a disc with a smooth edge, at a place between pixels."""
    side, factor = math.ceil(2 * radius) + 4, 4
    left, top = math.floor(place[0] - side / 2), math.floor(place[1] - side / 2)
    mask = Image.new("L", (side * factor, side * factor))
    x, y, r = (place[0] - left) * factor, (place[1] - top) * factor, radius * factor
    ImageDraw.Draw(mask).ellipse((x - r, y - r, x + r, y + r), fill=255)
    picture.paste(colour, (left, top), mask.reduce(factor))


def _add_planet(picture: Image.Image, scene: Composition, index: int) -> None:
    """Put a banded planet with a ring, lit from one side, and a moon on its way around it."""
    width, height = picture.size
    radius = height * (0.2 + scene.light_size)
    x, y = scene.light_at[0] * width, (0.42 + scene.light_rise * index) * height
    turn = index * 0.06
    moon = (x + math.cos(turn) * radius * 2.1, y + math.sin(turn) * radius * 0.5)
    behind = math.sin(turn) < 0
    if behind:
        _add_disc(picture, moon, radius * 0.12, mixed(scene.palette.light, scene.palette.near, 0.4))
    side = math.ceil(radius * 2)
    bands = Image.new("RGB", (1, 14))
    far, spark = scene.palette.far, scene.palette.light
    bands.putdata([mixed(far, spark, (byte / 255) * 0.7 + 0.1) for byte in scene.clouds[:14]])
    wobble = 0.8 * math.sin(index * 0.08)
    body = bands.resize((side, side), Image.Resampling.BICUBIC, box=(0, 1 + wobble, 1, 13 + wobble))
    night = Image.radial_gradient("L").resize((side * 3, side * 3))
    night = night.crop((side + side // 4, side + side // 5, 2 * side + side // 4, 2 * side + side // 5))
    body.paste(scene.palette.near, (0, 0), night.point([min(235, round(max(0, v - 62) * 2.6)) for v in range(256)]))
    mask = Image.new("L", (side * 3, side * 3))
    ImageDraw.Draw(mask).ellipse((3, 3, side * 3 - 4, side * 3 - 4), fill=255)
    picture.paste(body, (round(x - side / 2), round(y - side / 2)), mask.reduce(3))
    _add_ring(picture, (x, y), radius, mixed(scene.palette.spark, scene.palette.far, 0.3))
    if not behind:
        _add_disc(picture, moon, radius * 0.12, scene.palette.light)


def _add_ring(picture: Image.Image, place: tuple[float, float], radius: float, colour: Colour) -> None:
    """Draw the front half of a thin, tilted ring."""
    wide, high, factor = radius * 1.75, radius * 0.36, 2
    size = (math.ceil(wide * 2 * factor) + 8, math.ceil(high * 2 * factor) + 8)
    mask = Image.new("L", size)
    draw = ImageDraw.Draw(mask)
    for part, strength in ((1.0, 150), (0.9, 210), (0.82, 120)):
        box = (
            size[0] / 2 - wide * part * factor,
            size[1] / 2 - high * part * factor,
            size[0] / 2 + wide * part * factor,
            size[1] / 2 + high * part * factor,
        )
        draw.arc(box, -8, 188, fill=strength, width=max(2, round(radius * 0.05 * factor)))
    mask = mask.rotate(11, Image.Resampling.BILINEAR, expand=True).reduce(factor)
    picture.paste(colour, (round(place[0] - mask.width / 2), round(place[1] - mask.height / 2)), mask)
