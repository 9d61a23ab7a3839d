"""Codes of one layer as points for TensorBoard's Embedding Projector: what does a layer know?

A point is a block of 16x16 pixels: its codes are the coordinates, the block itself is its
thumbnail. The folder holds what the projector's plugin reads: ``projector_config.pbtxt``,
``tensors.tsv``, ``metadata.tsv`` and ``sprite.png``.
"""

from __future__ import annotations

import csv
import math
from collections.abc import Iterable, Iterator, Sequence
from pathlib import Path

import numpy as np
from numpy.typing import NDArray
from PIL import Image as Pil
from PIL.Image import Image

from rgru_codec import compress, default_model
from rgru_codec.files import write_file
from rgru_codec.terminal import printable
from rgru_eval.errors import EvalError
from rgru_eval.measure.pictures import pixels_of
from rgru_format import CodesDecoder, GroupRead, inspect

BLOCK = 16
"""Side of a block in pixels: the stride of the codes (SPEC 7.1)."""
CONFIG = """\
embeddings {
  tensor_name: "layer %d"
  tensor_path: "tensors.tsv"
  metadata_path: "metadata.tsv"
  sprite {
    image_path: "sprite.png"
    single_image_dim: 16
    single_image_dim: 16
  }
}
"""
Codes = NDArray[np.int8]
"""(rows, columns, channels), -1 and 1 (SPEC 7.1)."""
Point = tuple[NDArray[np.int8], tuple[str, int, int, str], NDArray[np.uint8]]
"""Codes, name and place and mean colour, and thumbnail of a block."""


def write_projector(
    pictures: Iterable[tuple[str, Image]], layer: int, folder: Path, most: int
) -> int:
    """Write the projector's files, of codes of a layer (from 1); return the number of points.

    Among more than ``most`` points a seeded choice is made.

    Raises:
        EvalError: the model has fewer layers.
    """
    points = [point for name, image in pictures for point in _points(name, image, layer)]
    if not points:
        raise EvalError(f"the pictures have no whole block of {BLOCK}x{BLOCK} pixels")
    if len(points) > most:
        chosen = np.random.default_rng(0).choice(len(points), most, replace=False)
        points = [points[i] for i in sorted(chosen)]
    codes, about, thumbnails = zip(*points, strict=True)
    folder.mkdir(parents=True, exist_ok=True)
    _write_table(folder / "tensors.tsv", (code.tolist() for code in codes))
    heads = ("picture", "x", "y", "mean colour")
    _write_table(folder / "metadata.tsv", [heads, *about])
    _sprite(thumbnails).save(folder / "sprite.png")
    write_file(folder / "projector_config.pbtxt", (CONFIG % layer).encode())
    return len(points)


def _points(name: str, image: Image, layer: int) -> Iterator[Point]:
    """Return a point for every whole block of a picture."""
    contents = inspect(compress(image, layers="all", strip=True))
    layers = decode_groups(contents.groups, contents.header.grid)
    if not 1 <= layer <= len(layers):
        raise EvalError(f"--layer {layer}: the model has layers 1 to {len(layers)}")
    samples = pixels_of(image.convert("RGB"))
    for row, column in np.ndindex(image.height // BLOCK, image.width // BLOCK):
        y, x = row * BLOCK, column * BLOCK
        block = samples[y : y + BLOCK, x : x + BLOCK]
        colour = "#{:02x}{:02x}{:02x}".format(*block.mean(axis=(0, 1)).astype(int))
        yield layers[layer - 1][row, column], (printable(name), x, y, colour), block


def decode_groups(groups: Iterable[GroupRead], grid: tuple[int, int]) -> list[Codes]:
    """Return the codes of every layer, of all groups of a file and its rows and columns."""
    decoder, layers = CodesDecoder(default_model().context(), *grid), []
    for group in groups:
        decoder.decode(group)
        if decoder.group == 0 and decoder.last is not None:
            layers.append(decoder.last)
    return layers


def _write_table(path: Path, rows: Iterable[Iterable[object]]) -> None:
    with path.open("w", encoding="utf-8", newline="") as file:
        csv.writer(file, delimiter="\t", lineterminator="\n").writerows(rows)


def _sprite(thumbnails: Sequence[NDArray[np.uint8]]) -> Image:
    """Return thumbnails row by row in a square grid, as the projector counts them."""
    side = math.ceil(math.sqrt(len(thumbnails)))
    sheet = np.zeros((side, side, BLOCK, BLOCK, 3), np.uint8)
    sheet.reshape(side * side, BLOCK, BLOCK, 3)[: len(thumbnails)] = thumbnails
    return Pil.fromarray(sheet.transpose(0, 2, 1, 3, 4).reshape(side * BLOCK, side * BLOCK, 3))
