"""rgru thumbnail of a 12-megapixel file is several times faster than decoding it. Slow."""

from __future__ import annotations

import time
from pathlib import Path

import numpy as np
import pytest
from PIL import Image

import rgru_codec
from rgru_codec.iterations import encode
from rgru_format import CodesEncoder, Header, write_file

from .conftest import process

skimage_data = pytest.importorskip("skimage.data")


def twelve_megapixels() -> bytes:
    """A file of 4000x3000 pixels: the codes of one photo side by side, coded anew."""
    model = rgru_codec.default_model()
    header = Header(4000, 3000, model.id)
    encoder = CodesEncoder(model.context(), *header.grid)
    photo = np.ascontiguousarray(skimage_data.coffee()[:400, :400])
    layers = []
    for codes, _ in encode(model, photo):
        times = [-(-side // own) for side, own in zip(header.grid, codes.shape[:2], strict=True)]
        tiled = np.tile(codes, (*times, 1))[: header.grid[0], : header.grid[1]]
        layers.append(encoder.encode_layer(np.ascontiguousarray(tiled)))
    return write_file(header, layers)


def seconds(*words: object) -> float:
    start = time.perf_counter()
    result = process(*words)
    assert result.returncode == 0, result.stderr.decode()
    return time.perf_counter() - start


@pytest.mark.bench
def test_a_thumbnail_is_three_times_faster_than_the_picture(tmp_path: Path) -> None:
    (tmp_path / "large.rgru").write_bytes(twelve_megapixels())
    source = tmp_path / "large.rgru"
    thumbnail = min(seconds("thumbnail", source, tmp_path / "small.png") for _ in range(2))
    whole = seconds("decompress", source, "-o", tmp_path / "large.ppm")
    print(
        f"thumbnail {thumbnail:.1f} s, whole picture {whole:.1f} s, {whole / thumbnail:.1f} times"
    )
    with Image.open(tmp_path / "small.png") as small:
        assert small.size == (256, 192)
    assert whole > 3 * thumbnail
