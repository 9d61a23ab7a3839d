"""Any size from 1x1, grey and RGB: the size and the mode come back exactly."""

from __future__ import annotations

import numpy as np
import pytest
from PIL import Image

import rgru_codec
from rgru_format import HEADER_SIZE

from .conftest import photo

SIZES = [(1, 1), (1, 7), (7, 1), (15, 17), (16, 16), (33, 97), (161, 161), (500, 333)]


@pytest.mark.parametrize(("width", "height"), SIZES)
@pytest.mark.parametrize("mode", ["RGB", "L"])
def test_size_and_mode(width: int, height: int, mode: str) -> None:
    image = Image.fromarray(photo(512, 512)).resize((width, height)).convert(mode)
    layers = None if width * height < 10_000 else 2
    result = rgru_codec.decompress(rgru_codec.compress(image, layers=layers))
    assert (result.size, result.mode) == ((width, height), mode)


@pytest.mark.parametrize("shape", [(9, 20), (9, 20, 1), (9, 20, 2), (9, 20, 3), (9, 20, 4)])
def test_arrays_keep_their_shape(shape: tuple[int, ...]) -> None:
    pixels = np.arange(np.prod(shape), dtype=np.uint8).reshape(shape)
    result = np.asarray(rgru_codec.decompress(rgru_codec.compress(pixels, layers=1)))
    assert result.shape == (shape[:2] if shape[-1] == 1 else shape)


@pytest.mark.parametrize(
    ("array", "words"),
    [
        (np.zeros((4, 4), np.uint16), "must be uint8"),
        (np.zeros((4, 4, 3), np.float32), "must be uint8.*use convert_depth=True"),
        (np.zeros((4, 4, 3), np.int64), "must be uint8.*convert them first"),
        (np.zeros((4, 4, 5), np.uint8), "pixels must be"),
        (np.zeros((0, 4, 3), np.uint8), "pixels must be"),
        (np.zeros(4, np.uint8), "pixels must be"),
    ],
)
def test_other_arrays_are_refused(array: np.ndarray, words: str) -> None:
    with pytest.raises(rgru_codec.InvalidInput, match=words):
        rgru_codec.compress(array)


def test_the_same_picture_gives_the_same_bytes() -> None:
    image = photo(40, 60)
    assert rgru_codec.compress(image, layers=3) == rgru_codec.compress(image, layers=3)


def test_overhead_of_a_photo_at_a_low_rate() -> None:
    """Header, lengths and checksums: about 30 bytes of 768x512 pixels at 0.12 bpp, 0.5 %."""
    image = Image.fromarray(photo(256, 384)).resize((768, 512))
    found = rgru_codec.info(rgru_codec.compress(image, bpp=0.12, strip=True))
    overhead = HEADER_SIZE + sum(layer.framing for layer in found.layers)
    assert overhead <= 33  # three groups at most: each has a length of two bytes and a checksum
