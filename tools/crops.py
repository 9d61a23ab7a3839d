"""Draw crops at 2x of photos beside AVIF of as many bytes: python -m tools.crops --out SHEET.webp.

Photos of scikit-image; whoever names others (``--photos``) gets their middles.
"""

from __future__ import annotations

import argparse
import io
from collections.abc import Sequence
from pathlib import Path

import numpy as np
import skimage.data
from numpy.typing import NDArray
from PIL import Image, ImageDraw

import rgru_codec

SIDE = 160
"""Of a crop, in pixels of the photo."""
_SHOWN = (
    ("astronaut", 60, 180),
    ("chelsea", 60, 100),
    ("coffee", 120, 200),
    ("immunohistochemistry", 180, 180),
    ("rocket", 120, 240),
    ("page", 10, 30),
)
"""Photo, top and left of its crop."""

Pixels = NDArray[np.uint8]


def main() -> None:
    """Read the command line."""
    parser = argparse.ArgumentParser(description=(__doc__ or "").splitlines()[0])
    parser.add_argument("--out", type=Path, required=True)
    parser.add_argument("--layers", type=int, default=3)
    parser.add_argument("--photos", type=Path, nargs="+", default=[])
    args = parser.parse_args()
    if args.photos:
        pictures = [np.asarray(Image.open(path).convert("RGB")) for path in args.photos]
        corners = [((p.shape[0] - SIDE) // 2, (p.shape[1] - SIDE) // 2) for p in pictures]
    else:
        pictures = [_rgb(getattr(skimage.data, name)()) for name, _, _ in _SHOWN]
        corners = [(y, x) for _, y, x in _SHOWN]
    sheet(pictures, corners, args.layers).save(args.out, quality=92, method=6)


def _rgb(photo: Pixels) -> Pixels:
    return np.asarray(Image.fromarray(photo).convert("RGB"))


def sheet(
    pictures: Sequence[Pixels], corners: Sequence[tuple[int, int]], layers: int
) -> Image.Image:
    """Return a row for each picture: the original, rgru, AVIF."""
    cell = 2 * SIDE + 4
    drawn = Image.new("RGB", (3 * cell, (cell + 16) * len(pictures)), "white")
    pen = ImageDraw.Draw(drawn)
    for row, (pixels, (y, x)) in enumerate(zip(pictures, corners, strict=True)):
        coded = rgru_codec.compress(Image.fromarray(pixels), layers=layers)
        mine = np.asarray(rgru_codec.decompress(coded).convert("RGB"))
        size, other = avif_of(pixels, len(coded))
        names = ("original", f"rgru, {len(coded)} bytes", f"AVIF, {size} bytes")
        for column, (name, one) in enumerate(zip(names, (pixels, mine, other), strict=True)):
            crop = Image.fromarray(np.ascontiguousarray(one[y : y + SIDE, x : x + SIDE]))
            left, top = column * cell, row * (cell + 16)
            drawn.paste(crop.resize((2 * SIDE,) * 2, Image.Resampling.NEAREST), (left, top + 16))
            pen.text((left + 4, top + 2), name, "black")
    return drawn


def avif_of(pixels: Pixels, size: int) -> tuple[int, Pixels]:
    """Return bytes and picture of the best AVIF 4:4:4 (speed 4) of at most so many bytes."""
    low, high = 0, 100
    best = _avif(pixels, low)
    while low < high:
        quality = (low + high + 1) // 2
        coded = _avif(pixels, quality)
        if len(coded) <= size:
            low, best = quality, coded
        else:
            high = quality - 1
    with Image.open(io.BytesIO(best)) as picture:
        return len(best), np.asarray(picture.convert("RGB"))


def _avif(pixels: Pixels, quality: int) -> bytes:
    file = io.BytesIO()
    Image.fromarray(pixels).save(file, "AVIF", quality=quality, subsampling="4:4:4", speed=4)
    return file.getvalue()


if __name__ == "__main__":
    main()
