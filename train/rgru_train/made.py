"""Crops that photos hardly show: flat and saturated grounds, text and lines, nearly grey ones.

Each function makes a crop (side, side, 3), uint8, from one of a photo and random numbers.
"""

from __future__ import annotations

import string

import numpy as np
from PIL import Image, ImageDraw, ImageFont

from rgru_train.photos import Pixels

_LUMA = np.array([0.299, 0.587, 0.114], np.float32)
_LETTERS = string.ascii_letters + string.digits + "    .,;:!?&%()"


def made(crop: Pixels, rng: np.random.Generator) -> Pixels:
    """Make a crop of one of the kinds below, each as often as another."""
    kinds = (flat, shapes, exchanged, lettered, nearly_grey)
    return kinds[int(rng.integers(len(kinds)))](crop, rng)


def colour(rng: np.random.Generator) -> tuple[int, int, int]:
    """Draw a colour: half of the time a corner or an edge of the cube, else anywhere in it."""
    if rng.random() < 0.5:
        r, g, b = rng.choice([0, 255], 3)
        if rng.random() < 0.3:
            b = rng.integers(256)
    else:
        r, g, b = rng.integers(0, 256, 3)
    return int(r), int(g), int(b)


def flat(crop: Pixels, rng: np.random.Generator) -> Pixels:
    """Make one colour, or two that meet at a line, or that flow into each other."""
    side = len(crop)
    first, second = np.array(colour(rng), np.float32), np.array(colour(rng), np.float32)
    angle = rng.uniform(0.0, 2.0 * np.pi)
    y, x = np.mgrid[:side, :side].astype(np.float32) / side - 0.5
    along = np.cos(angle) * x + np.sin(angle) * y
    kind = int(rng.integers(3))
    part = np.zeros_like(along) if kind == 0 else along + 0.5
    if kind == 1:
        part = np.clip((along - rng.uniform(-0.3, 0.3)) * side + 0.5, 0.0, 1.0)
    mixed = first + np.clip(part, 0.0, 1.0)[..., None] * (second - first)
    return np.rint(mixed).astype(np.uint8)


def shapes(crop: Pixels, rng: np.random.Generator) -> Pixels:
    """Draw flat shapes over the photo, or leave a part of it before a flat ground."""
    side = len(crop)
    mask = Image.new("L", (2 * side, 2 * side))
    draw = ImageDraw.Draw(mask)
    for _ in range(int(rng.integers(1, 4))):
        points = [tuple(point) for point in rng.integers(0, 2 * side, (3, 2)).tolist()]
        (x0, x1), (y0, y1) = (sorted(p[axis] for p in points[:2]) for axis in (0, 1))
        kind = int(rng.integers(3))
        if kind == 0:
            draw.rectangle((x0, y0, x1, y1), fill=255)
        elif kind == 1:
            draw.ellipse((x0, y0, x1, y1), fill=255)
        else:
            draw.polygon(points, fill=255)
    covered = np.asarray(mask.resize((side, side), Image.Resampling.BOX), np.float32)[..., None]
    covered = covered / 255.0 if rng.random() < 0.5 else 1.0 - covered / 255.0
    ground = np.array(colour(rng), np.float32)
    return np.rint(crop + covered * (ground - crop)).astype(np.uint8)


def exchanged(crop: Pixels, rng: np.random.Generator) -> Pixels:
    """Exchange the photo's channels, and make its colours up to three times as strong."""
    pixels = crop[..., rng.permutation(3)].astype(np.float32)
    luma = (pixels @ _LUMA)[..., None]
    stronger = luma + rng.uniform(1.0, 3.0) * (pixels - luma)
    return np.rint(np.clip(stronger, 0.0, 255.0)).astype(np.uint8)


def lettered(crop: Pixels, rng: np.random.Generator) -> Pixels:
    """Draw text and lines over the photo, or on a flat ground."""
    side = len(crop)
    over = rng.random() < 0.6
    image = Image.fromarray(crop) if over else Image.new("RGB", (side, side), colour(rng))
    draw = ImageDraw.Draw(image)
    ink = colour(rng)
    if rng.random() < 0.7:
        size = int(rng.integers(8, 40))
        font = ImageFont.load_default(size)
        words = "".join(rng.choice(list(_LETTERS), 6 * (side // size) ** 2 // 2))
        width = max(2 * side // size, 4)
        lines = "\n".join(words[i : i + width] for i in range(0, len(words), width))
        draw.multiline_text(tuple(rng.integers(-size, side // 3, 2).tolist()), lines, ink, font)
    for _ in range(int(rng.integers(0, 8))):
        x0, y0, x1, y1 = rng.integers(-side // 4, side + side // 4, 4).tolist()
        if rng.random() < 0.7:
            draw.line((x0, y0, x1, y1), fill=ink, width=int(rng.integers(1, 5)))
        else:
            box = (min(x0, x1), min(y0, y1), max(x0, x1), max(y0, y1))
            draw.arc(box, 0, int(rng.integers(60, 360)), fill=ink, width=int(rng.integers(1, 5)))
    return np.asarray(image)


def nearly_grey(crop: Pixels, rng: np.random.Generator) -> Pixels:
    """Leave the photo next to none of its colours, or none, perhaps a tint."""
    pixels = crop.astype(np.float32)
    luma = (pixels @ _LUMA)[..., None]
    left = 0.0 if rng.random() < 0.5 else rng.uniform(0.0, 0.2)
    tint = rng.normal(0.0, 4.0, 3).astype(np.float32) if rng.random() < 0.3 else np.float32(0.0)
    return np.rint(np.clip(luma + left * (pixels - luma) + tint, 0.0, 255.0)).astype(np.uint8)
