"""``rgru-eval demo``: one photo by two codecs at the same MS-SSIM, side by side in one PNG.

The enlarged detail is the square of the source with most fine detail, chosen before anything is
compressed, so that it favours no codec; ``--detail`` chooses another.
"""

from __future__ import annotations

import sys
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING

import numpy as np

from rgru_eval.match import Matcher, Shot, Target, first_with_steps
from rgru_eval.metrics import Judge, luma
from rgru_eval.pictures import EvalError, read_picture
from rgru_eval.registry import make_codecs

if TYPE_CHECKING:
    from PIL.Image import Image
    from PIL.ImageFont import FreeTypeFont, ImageFont

PANEL = 640  # width of a panel in pixels
MARGIN = 16
INK, SOFT = (25, 25, 25), (110, 110, 110)
FRAME = (213, 94, 0)
Box = tuple[int, int, int, int]


@dataclass(frozen=True)
class DemoOrder:
    """What the user asked for; ``max_pixels`` 0 = never scale down."""

    photo: Path
    output: Path
    codecs: tuple[str, ...]
    msssim: float = 0.95
    detail: str | None = None
    max_pixels: int = 2_000_000
    definitions: tuple[str, ...] = ()


def make_demo(order: DemoOrder) -> list[Shot]:
    """Write the PNG and return the files compared; raises EvalError on unusable input."""
    if not 0 < order.msssim < 1:
        raise EvalError(f"--msssim {order.msssim}: must lie between 0 and 1")
    if not order.photo.is_file():
        raise EvalError(f"{order.photo}: no such file")
    image, note = _scaled(read_picture(order.photo).image, order.max_pixels)
    box = parse_detail(order.detail, image) if order.detail else busiest_square(image)
    shots, labels = _matched(image, order)
    sheet(image, shots, labels, box, note).save(order.output)
    for shot, label in zip(shots, labels, strict=True):
        print(f"{label}: {caption(shot, image)}", file=sys.stderr)
    print(order.output, file=sys.stderr)
    return shots


def _scaled(image: Image, max_pixels: int) -> tuple[Image, str]:
    """Scale a large photo down to ``max_pixels``; say so."""
    from PIL import Image as Pil

    pixels = image.width * image.height
    if not max_pixels or pixels <= max_pixels:
        return image, ""
    ratio = (max_pixels / pixels) ** 0.5
    size = (max(1, round(image.width * ratio)), max(1, round(image.height * ratio)))
    note = f"photo scaled from {image.width}x{image.height} to {size[0]}x{size[1]} first"
    print(f"{note} (--max-pixels)", file=sys.stderr)
    return image.resize(size, Pil.Resampling.LANCZOS), note


def _matched(image: Image, order: DemoOrder) -> tuple[list[Shot], list[str]]:
    """Compress with each codec to the same MS-SSIM: that of the nearest step of rgru."""
    codecs = make_codecs(order.codecs, order.definitions)
    if not 2 <= len(codecs) <= 3:
        raise EvalError(f"the demo compares two or three codecs, not {len(codecs)}")
    for codec in codecs:
        codec.check()
    judge = Judge(image, ("msssim",))
    target = Target("msssim", order.msssim)
    found: dict[str, Shot] = {}
    leader = first_with_steps(codecs)
    if leader is not None:
        found[leader.identity()] = shot = Matcher(leader, image, judge).find(target)
        target = Target("msssim", shot.msssim)
    for codec in codecs:
        if codec is not leader:
            found[codec.identity()] = Matcher(codec, image, judge).find(target)
    return [found[c.identity()] for c in codecs], [c.label() for c in codecs]


def parse_detail(text: str, image: Image) -> Box:
    """``x,y,size`` -> (left, top, right, bottom) inside the picture."""
    try:
        x, y, size = (int(part) for part in text.split(","))
    except ValueError:
        raise EvalError(f"--detail {text}: expected three numbers, X,Y,SIZE") from None
    if x < 0 or y < 0 or size < 1 or x + size > image.width or y + size > image.height:
        raise EvalError(f"--detail {text}: not inside the {image.width}x{image.height} picture")
    return x, y, x + size, y + size


def busiest_square(image: Image) -> Box:
    """Return the square (a quarter of the shorter side, at least 96 px) with most fine detail.

    Detail is the mean absolute difference of neighbouring pixels of luma.
    """
    size = min(max(96, min(image.size) // 4), *image.size)
    grey = luma(image)[..., 0].astype(np.float32)
    across = np.abs(np.diff(grey, axis=1, append=grey[:, -1:]))
    down = np.abs(np.diff(grey, axis=0, append=grey[-1:]))
    detail = across + down
    step = max(1, size // 4)
    places = [
        (float(detail[y : y + size, x : x + size].mean()), x, y)
        for y in range(0, image.height - size + 1, step)
        for x in range(0, image.width - size + 1, step)
    ]
    _, x, y = max(places)
    return x, y, x + size, y + size


def caption(shot: Shot, image: Image) -> str:
    """Return bytes, bpp and MS-SSIM in words."""
    bpp = 8 * len(shot.data) / (image.width * image.height)
    return f"{len(shot.data):,} bytes, {bpp:.3f} bpp, MS-SSIM {shot.msssim:.4f}"


def _font(size: int) -> FreeTypeFont | ImageFont:
    from PIL import ImageFont as Fonts

    return Fonts.load_default(size)


def sheet(
    image: Image, shots: Sequence[Shot], labels: Sequence[str], box: Box, note: str = ""
) -> Image:
    """Lay out the panels: whole pictures above, the enlarged detail below, bytes under each."""
    from PIL import Image as Pil
    from PIL import ImageDraw

    height = max(1, round(PANEL * image.height / image.width))
    columns = [("original", f"{image.width}x{image.height}", "", image)]
    columns += [
        (label, caption(shot, image), _against(shot, shots[0], labels[0]), shot.picture)
        for label, shot in zip(labels, shots, strict=True)
    ]
    footer = 96 + (22 if note else 0)
    width = len(columns) * (PANEL + MARGIN) + MARGIN
    page = Pil.new("RGB", (width, height + PANEL + 3 * MARGIN + footer), "white")
    draw = ImageDraw.Draw(page)
    for number, (label, text, more, picture) in enumerate(columns):
        left = MARGIN + number * (PANEL + MARGIN)
        _panel(page, picture, box, left, height)
        y = height + PANEL + 3 * MARGIN
        draw.text((left, y), label, INK, _font(26))
        draw.text((left, y + 34), text, SOFT, _font(21))
        draw.text((left, y + 60), more, FRAME, _font(21))
    if note:
        draw.text((MARGIN, page.height - 30), note, SOFT, _font(16))
    return page


def _against(shot: Shot, first: Shot, label: str) -> str:
    """Return how a file compares in size with the first one."""
    if shot is first:
        return ""
    change = len(shot.data) / len(first.data) - 1
    return f"{100 * abs(change):.0f} % {'fewer' if change < 0 else 'more'} bytes than {label}"


def _panel(page: Image, picture: Image, box: Box, left: int, height: int) -> None:
    """Draw one column: the picture with the detail framed, and the detail enlarged."""
    from PIL import Image as Pil
    from PIL import ImageDraw

    colour = picture.convert("RGB")
    shrink = picture.width > PANEL
    how = Pil.Resampling.LANCZOS if shrink else Pil.Resampling.NEAREST
    whole = colour.resize((PANEL, height), how)
    scale = PANEL / picture.width
    ImageDraw.Draw(whole).rectangle([round(v * scale) for v in box], outline=FRAME, width=3)
    page.paste(whole, (left, MARGIN))
    detail = colour.crop(box).resize((PANEL, PANEL), Pil.Resampling.NEAREST)
    page.paste(detail, (left, height + 2 * MARGIN))
