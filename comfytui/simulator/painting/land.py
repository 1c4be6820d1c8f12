"""The land of a scene, in layers from far to near that pass at different speeds, and what flies over it."""

from __future__ import annotations

import itertools
import math
import random
from collections.abc import Callable
from functools import lru_cache

from PIL import Image, ImageDraw

from comfytui.simulator.painting.composition import Composition, Wave
from comfytui.simulator.painting.palette import Colour, mixed
from comfytui.simulator.painting.sky import horizon_of, light_place

SMOOTH = 2
"""Edges are drawn so many times larger, and scaled down."""
LAYERS = 4
Points = list[tuple[float, float]]


def paint_on(picture: Image.Image, scene: Composition, index: int) -> None:
    """Paint the land onto a sky."""
    if scene.scenery == "sea":
        _add_water(picture, scene, index)
    width, height = picture.size
    base = mixed(scene.palette.far, scene.palette.sky[3], 0.5)
    layer = Image.new("RGBA", (width * SMOOTH, height * SMOOTH), (*base, 0))
    draw = ImageDraw.Draw(layer)
    sceneries: dict[str, Callable[[ImageDraw.ImageDraw, Composition, int, tuple[int, int]], None]] = {
        "mountains": _mountains,
        "forest": _forest,
        "city": _city,
        "dunes": _dunes,
        "sea": _shore,
        "space": _asteroids,
    }
    sceneries[scene.scenery](draw, scene, index, layer.size)
    _add_motes(draw, scene, index, layer.size)
    if scene.scenery in {"mountains", "sea", "dunes"} and scene.palette.stars < 0.5:
        _add_birds(draw, scene, index, layer.size)
    layer = layer.reduce(SMOOTH)
    picture.paste(layer, (0, 0), layer)
    if scene.scenery in {"mountains", "forest", "city"}:
        _add_mist(picture, scene, index)


def _add_mist(picture: Image.Image, scene: Composition, index: int) -> None:
    """Lay a breath of light over the middle of the land, stronger on one side, on its way to the other."""
    strip = Image.new("L", (5, 9))
    sides = [0.55 + 0.45 * math.sin(index * 0.06 + k * 1.4 + scene.light_at[0] * 6.3) for k in range(5)]
    strip.putdata([round(level * side) for level in (0, 12, 52, 74, 60, 34, 16, 6, 0) for side in sides])
    width, height = picture.size
    top, bottom = round(0.5 * height), round(0.98 * height)
    mist = strip.resize((width, bottom - top), Image.Resampling.BICUBIC)
    picture.paste(mixed(scene.palette.sky[3], scene.palette.light, 0.35), (0, top), mist)


def _pan(scene: Composition, index: int, depth: float) -> float:
    """Return how far a layer of `depth` (0 far, 1 near) has moved, in picture widths."""
    way = 1 if scene.wind > 0 else -1
    return way * index * (0.0006 + 0.0062 * depth * depth)


def _hill(wave: Wave, base: float, tall: float, pan: float, size: tuple[int, int]) -> Points:
    """Return the outline of a line of hills, closed along the bottom of the picture."""
    width, height = size
    step = 8
    points: Points = [
        (x, (base - tall * (0.5 + 4.2 * wave.at(x / width + pan))) * height)
        for x in range(-step, width + 2 * step, step)
    ]
    return [(-step, height), *points, (width + step, height)]


def _tone(scene: Composition, depth: float) -> Colour:
    """Return the colour of land at a depth: hazy far away, dark in front."""
    hazy = mixed(scene.palette.far, scene.palette.sky[3], 0.45 * (1 - depth))
    return mixed(hazy, scene.palette.near, depth**1.15)


def _mountains(draw: ImageDraw.ImageDraw, scene: Composition, index: int, size: tuple[int, int]) -> None:
    for layer in range(LAYERS):
        depth = layer / (LAYERS - 1)
        base, tall = 0.62 + 0.28 * depth, 0.32 - 0.2 * depth
        outline = _hill(scene.waves[layer], base, tall, _pan(scene, index, depth) + layer * 0.37, size)
        draw.polygon(outline, fill=_tone(scene, depth))
        if layer == 0:
            _snow(draw, scene, outline, size)


def _snow(draw: ImageDraw.ImageDraw, scene: Composition, outline: Points, size: tuple[int, int]) -> None:
    """Cap what rises high in the farthest range."""
    line = (min(y for _, y in outline) + 0.085 * size[1]) if outline else 0.0
    colour = mixed(_tone(scene, 0.0), scene.palette.light, 0.62)
    capped: Points = []
    for x, y in outline[1:-1]:
        if y < line:
            capped.append((x, y))
        elif capped:
            _cap(draw, capped, line, colour)
            capped = []
    if capped:
        _cap(draw, capped, line, colour)


def _cap(draw: ImageDraw.ImageDraw, ridge: Points, line: float, colour: Colour) -> None:
    """Fill between a ridge and a ragged line below it: long tongues where the mountain is high."""
    if len(ridge) < 3:
        return
    ragged: Points = []
    for number, (x, y) in enumerate(ridge):
        tongue = (0.25 + 0.75 * _fate(7, 50, number)[0]) if number % 2 else 0.12
        ragged.append((x, min(line, y) + (line - y) * tongue * 0.9))
    draw.polygon([*ridge, *reversed(ragged)], fill=colour)


def _dunes(draw: ImageDraw.ImageDraw, scene: Composition, index: int, size: tuple[int, int]) -> None:
    for layer in range(LAYERS):
        depth = layer / (LAYERS - 1)
        soft = Wave(scene.waves[layer].terms[:2])
        base, tall = 0.66 + 0.22 * depth, 0.13 - 0.01 * layer
        outline = _hill(soft, base, tall, _pan(scene, index, depth) + layer * 0.41, size)
        tone = _tone(scene, depth * 0.86)
        draw.polygon(outline, fill=tone)
        lit = mixed(tone, scene.palette.light, 0.3 - 0.16 * depth)
        for (x0, y0), (x1, y1) in itertools.pairwise(outline[1:-1]):
            if y1 < y0:
                deep = (y0 - y1) * 7 + 5
                draw.polygon([(x0, y0), (x1, y1), (x1 + deep * 0.5, y1 + deep), (x0 + deep * 0.4, y0 + deep)], fill=lit)


def _forest(draw: ImageDraw.ImageDraw, scene: Composition, index: int, size: tuple[int, int]) -> None:
    width, height = size
    for layer in range(LAYERS):
        depth = layer / (LAYERS - 1)
        pan = _pan(scene, index, depth) + layer * 0.53
        base, tall = 0.64 + 0.27 * depth, 0.15 - 0.06 * depth
        tone = _tone(scene, depth)
        spacing = 0.016 + 0.03 * depth
        first = math.floor(pan / spacing) - 1
        for number in range(first, first + math.ceil(1 / spacing) + 4):
            rng = _fate(scene.rng_seed, layer, number)
            x = number * spacing - pan + rng[0] * spacing * 0.7
            ground = base - tall * (0.5 + 4.2 * scene.waves[layer].at(x + pan))
            tree = (0.06 + 0.2 * depth) * (0.55 + 0.75 * rng[1])
            sway = 0.004 * depth * math.sin(index * 0.22 + rng[2] * 6.3)
            _pine(draw, (x * width, (ground + 0.11 * tree + 0.006) * height), tree * height, sway * width, tone)
        draw.polygon(_hill(scene.waves[layer], base, tall, pan, size), fill=tone)


def _pine(draw: ImageDraw.ImageDraw, foot: tuple[float, float], tall: float, sway: float, colour: Colour) -> None:
    x, y = foot
    half = tall * 0.21
    for tier in range(3):
        low, top = y - tall * (0.1 + 0.26 * tier), y - tall * (0.52 + 0.24 * tier)
        wide, lean = half * (1 - 0.27 * tier), sway * (tier + 1) / 3
        draw.polygon([(x - wide + lean * 0.5, low), (x + lean, top), (x + wide + lean * 0.5, low)], fill=colour)
    draw.rectangle((x - half * 0.1, y - tall * 0.12, x + half * 0.1, y), fill=colour)


def _city(draw: ImageDraw.ImageDraw, scene: Composition, index: int, size: tuple[int, int]) -> None:
    width, height = size
    for layer in range(3):
        depth = layer / 2
        pan = _pan(scene, index, depth)
        tone = _tone(scene, 0.15 + 0.85 * depth)
        lot = 0.045 + 0.05 * depth
        first = math.floor(pan / lot) - 1
        for number in range(first, first + math.ceil(1 / lot) + 3):
            rng = _fate(scene.rng_seed, 10 + layer, number)
            left, right = (number * lot - pan) * width, ((number + 0.94) * lot - pan) * width
            top = (0.74 + 0.1 * depth - (0.14 + 0.3 * rng[0]) * (1 - 0.42 * depth)) * height
            draw.rectangle((left, top, right, height), fill=tone)
            if rng[1] > 0.72:
                middle = (left + right) / 2
                draw.line((middle, top, middle, top - 0.06 * height * rng[2]), fill=tone, width=3)
            _windows(draw, scene, (left, top, right, height), tone, (layer, number, index))
    ground = mixed(scene.palette.near, scene.palette.spark, 0.06)
    draw.rectangle((0, 0.945 * height, width, height), fill=ground)


def _windows(
    draw: ImageDraw.ImageDraw,
    scene: Composition,
    house: tuple[float, float, float, float],
    tone: Colour,
    which: tuple[int, int, int],
) -> None:
    left, top, right, bottom = house
    layer, number, index = which
    pitch = 11 + 7 * layer
    rng = random.Random(scene.rng_seed ^ (layer * 7919 + number * 104729))
    warm = mixed(scene.palette.spark, scene.palette.light, 0.4)
    neon = mixed(tone, scene.palette.spark, 0.85)
    for row in range(int((bottom - top) / pitch) - 1):
        for column in range(int((right - left - 6) / pitch)):
            dice = rng.random()
            flickers = dice < 0.015 and (index + number) % 7 < 2
            if dice < 0.34 and not flickers:
                x, y = left + 5 + column * pitch, top + 7 + row * pitch
                colour = neon if dice < 0.05 else mixed(tone, warm, 0.25 + dice * 1.9)
                draw.rectangle((x, y, x + pitch * 0.45, y + pitch * 0.5), fill=colour)


def _shore(draw: ImageDraw.ImageDraw, scene: Composition, index: int, size: tuple[int, int]) -> None:
    """Put an island on the horizon, a sail before it, and a dark shore in front."""
    width, height = size
    horizon = horizon_of(scene) * height
    outline = _hill(scene.waves[0], horizon_of(scene) + 0.005, 0.13, _pan(scene, index, 0.1), size)
    island = [(x, min(y, horizon)) for x, y in outline]
    draw.polygon(island, fill=_tone(scene, 0.12))
    where = (scene.light_at[0] + 0.31 + scene.wind * 0.5 * index) % 1.1 * width
    rock = 2.0 * math.sin(index * 0.3)
    tall = 0.1 * height
    deck = horizon + 0.055 * height + rock
    dark = mixed(scene.palette.near, scene.palette.far, 0.15)
    draw.polygon([(where - tall * 0.5, deck), (where + tall * 0.55, deck), (where + tall * 0.38, deck + tall * 0.17),
                  (where - tall * 0.36, deck + tall * 0.17)], fill=dark)  # fmt: skip
    lean = rock * 1.6
    sail = mixed(scene.palette.light, scene.palette.far, 0.22)
    draw.polygon([(where + lean, deck - tall), (where + 2, deck - 4), (where + tall * 0.48, deck - 4)], fill=sail)
    draw.polygon(
        [(where + lean - 3, deck - tall * 0.86), (where - 3, deck - 4), (where - tall * 0.33, deck - 4)], fill=sail
    )
    near = Wave(scene.waves[3].terms[:3])
    draw.polygon(_hill(near, 0.97, 0.07, _pan(scene, index, 0.8), size), fill=scene.palette.near)


def _add_water(picture: Image.Image, scene: Composition, index: int) -> None:
    """Mirror the sky below the horizon, darker, with ripples and a path of light."""
    width, height = picture.size
    horizon = round(horizon_of(scene) * height)
    depth = height - horizon
    mirrored = picture.crop((0, max(0, horizon - round(depth * 1.4)), width, horizon))
    mirrored = mirrored.transpose(Image.Transpose.FLIP_TOP_BOTTOM).resize((width, depth))
    picture.paste(Image.blend(mirrored, Image.new("RGB", mirrored.size, scene.palette.near), 0.34), (0, horizon))
    draw = ImageDraw.Draw(picture, "RGBA")
    x, _ = light_place(scene, picture.size, index)
    for row in range(46):
        y = horizon + depth * (row / 46) ** 1.45
        fate = _fate(scene.rng_seed, 20, row)
        phase = index * (0.16 + 0.2 * fate[0]) + fate[1] * 6.3
        spread = width * (0.03 + 0.12 * row / 46)
        middle = x + math.sin(phase) * spread * 0.5
        length = spread * (0.3 + 0.7 * fate[2])
        glint = round(150 * (0.45 + 0.55 * math.sin(phase * 1.7)) * (1 - 0.55 * row / 46))
        draw.line(
            (middle - length, y, middle + length, y), fill=(*scene.palette.light, max(0, glint)), width=1 + row // 24
        )
        far = (fate[1] * width + index * (0.4 + fate[0])) % width
        draw.line((far - length * 0.7, y + 2, far + length * 0.7, y + 2), fill=(*scene.palette.near, 46), width=1)


def _asteroids(draw: ImageDraw.ImageDraw, scene: Composition, index: int, size: tuple[int, int]) -> None:
    width, height = size
    for number in range(16):
        fate = _fate(scene.rng_seed, 30, number)
        depth = fate[2]
        x = (fate[0] + _pan(scene, index, 0.3 + 0.7 * depth) * 1.6) % 1.2 - 0.1
        y = 0.2 + 0.75 * fate[1]
        radius = (0.006 + 0.034 * depth**3) * height
        turn = index * (0.05 + 0.1 * fate[0])
        corners = [
            (x * width + radius * (0.7 + 0.3 * math.sin(k * 2.3 + fate[1] * 9)) * math.cos(turn + k * 0.785),
             y * height + radius * (0.7 + 0.3 * math.sin(k * 2.3 + fate[1] * 9)) * math.sin(turn + k * 0.785))
            for k in range(8)
        ]  # fmt: skip
        draw.polygon(corners, fill=mixed(_tone(scene, 0.35 + 0.6 * depth), scene.palette.spark, 0.12))


def _add_motes(draw: ImageDraw.ImageDraw, scene: Composition, index: int, size: tuple[int, int]) -> None:
    """Let fireflies, dust or snow drift through the air."""
    width, height = size
    falls = 0.006 if scene.palette.stars == 0 else -0.003
    for x, y, big, phase in scene.motes:
        left = (x + scene.wind * 1.3 * index * (0.5 + big) + 0.012 * math.sin(index * 0.21 + phase * 6.3)) % 1.0
        top = (y + falls * index * (0.4 + big)) % 1.0
        shine = 0.5 + 0.5 * math.sin(index * 0.37 + phase * 12)
        radius = height * 0.0034 * (0.5 + big)
        fill = (*scene.palette.spark, round(60 + 170 * shine * big))
        draw.ellipse(
            (left * width - radius, top * height - radius, left * width + radius, top * height + radius), fill=fill
        )


def _add_birds(draw: ImageDraw.ImageDraw, scene: Composition, index: int, size: tuple[int, int]) -> None:
    width, height = size
    colour = mixed(scene.palette.near, scene.palette.far, 0.2)
    for number in range(scene.birds):
        fate = _fate(scene.rng_seed, 40, number)
        x = (0.2 + 0.25 * fate[0] + scene.wind * 1.7 * index + number * 0.012) % 1.2 - 0.1
        y = 0.14 + 0.16 * fate[1] + 0.01 * math.sin(index * 0.15 + number)
        span = height * (0.014 + 0.01 * fate[2])
        flap = math.sin(index * 0.9 + fate[0] * 6.3) * span * 0.6
        left, top = x * width, y * height
        draw.line((left - span, top - flap, left, top, left + span, top - flap), fill=colour, width=4, joint="curve")


@lru_cache(maxsize=8192)
def _fate(seed: int, layer: int, number: int) -> tuple[float, float, float]:
    """Return three numbers from 0 to 1 that belong to a thing of a scene."""
    rng = random.Random(seed ^ (layer * 0x9E3779B1 + number * 0x85EBCA77))
    return rng.random(), rng.random(), rng.random()
