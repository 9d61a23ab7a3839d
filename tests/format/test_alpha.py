"""The alpha plane: lossless, and never inflated beyond the picture."""

from __future__ import annotations

import time
import tracemalloc
import zlib

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from numpy.typing import NDArray

from rgru_format import Damaged, InvalidInput, LimitExceeded, Limits, decode_alpha, encode_alpha


@given(st.integers(1, 40), st.integers(1, 40), st.integers(0, 2**32), st.integers(1, 8))
def test_planes_come_back(height: int, width: int, seed: int, bits: int) -> None:
    plane = np.random.default_rng(seed).integers(0, 2**bits, (height, width)).astype(np.uint8)
    assert (decode_alpha(encode_alpha(plane), height, width) == plane).all()


def test_planes_of_several_bands_come_back() -> None:
    y, x = np.mgrid[0:1500, 0:1600]
    plane = ((x * x + y * 3) // 997).astype(np.uint8)
    content = encode_alpha(plane)
    assert (decode_alpha(content, 1500, 1600) == plane).all()


def test_smooth_planes_are_small() -> None:
    across = np.tile(np.arange(256, dtype=np.uint8), (64, 1))
    assert len(encode_alpha(across)) < 100
    assert len(encode_alpha(np.ascontiguousarray(across.T))) < 500


@pytest.mark.parametrize(
    ("rows", "word"),
    [
        (b"\x00ab\x00cd\x00ef", "larger than the picture"),
        (b"\x00ab\x00c", "too early"),
        (b"\x00ab\x03cd", "unknown filter 3"),
        (b"", "too early"),
    ],
)
def test_planes_of_another_size_are_damage(rows: bytes, word: str) -> None:
    with pytest.raises(Damaged, match=word):
        decode_alpha(zlib.compress(rows), 2, 2)


@pytest.mark.parametrize(
    ("content", "word"),
    [
        (b"", "has 0 bytes"),
        (b"no zlib stream", "cannot be inflated"),
        (zlib.compress(b"\x00ab\x00cd")[:-1], "has no end"),
        (zlib.compress(b"\x00ab\x00cd") + b"x", "bytes follow"),
        (zlib.compress(b"\x00ab\x00cd")[:-1] + b"x", "cannot be inflated"),
    ],
)
def test_broken_streams_are_damage(content: bytes, word: str) -> None:
    with pytest.raises(Damaged, match=word):
        decode_alpha(content, 2, 2)


def test_a_small_content_cannot_claim_a_large_picture() -> None:
    tracemalloc.start()
    try:
        with pytest.raises(Damaged, match="has 100 bytes"):
            decode_alpha(bytes(100), 8000, 8000)
        with pytest.raises(LimitExceeded, match="max_pixels"):
            decode_alpha(bytes(100), 2**16, 2**16)
        _, peak = tracemalloc.get_traced_memory()
    finally:
        tracemalloc.stop()
    assert peak < 2**20


def test_a_bomb_is_not_inflated() -> None:
    bomb = zlib.compress(bytes(2**24), 9)
    tracemalloc.start()
    try:
        with pytest.raises(Damaged, match=r"larger than the picture|more than"):
            decode_alpha(bomb, 200, 200)
        _, peak = tracemalloc.get_traced_memory()
    finally:
        tracemalloc.stop()
    assert peak < 2**20
    with pytest.raises(LimitExceeded, match="max_pixels"):
        decode_alpha(bomb, 200, 200, Limits(max_pixels=39_999))


@pytest.mark.parametrize(
    "plane", [np.zeros((2, 2, 1), np.uint8), np.zeros((2, 2), np.int16), np.zeros((0, 2), np.uint8)]
)
def test_other_arrays_are_refused(plane: NDArray[np.uint8]) -> None:
    with pytest.raises(InvalidInput, match="alpha must be"):
        encode_alpha(plane)


def test_a_tall_plane_costs_what_a_square_one_costs() -> None:
    """Rows were put together one by one: 1 x 16 777 215 took 200 times as long as 4096 x 4096."""
    taken = {}
    for height, width in ((2**10, 2**12), (2**18, 16)):
        content = encode_alpha(np.zeros((height, width), np.uint8))
        start = time.process_time()
        assert not decode_alpha(content, height, width).any()
        taken[height] = time.process_time() - start
    assert taken[2**18] < 4 * taken[2**10] + 0.2
