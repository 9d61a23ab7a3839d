"""Bad bytes: only RgruError leaves, and what was sound stays usable."""

from __future__ import annotations

import time

import numpy as np
import pytest

import rgru_codec
from rgru_format import Header


def attempt(data: bytes) -> bool:
    """Whether a picture came out; any other error than ours fails the test."""
    try:
        rgru_codec.decompress(data, partial=True)
    except rgru_codec.RgruError:
        return False
    return True


def test_flipped_bits(alpha_data: bytes) -> None:
    generator = np.random.default_rng(0)
    for position in generator.integers(0, 8 * len(alpha_data), 120):
        broken = bytearray(alpha_data)
        broken[position // 8] ^= 1 << position % 8
        found = attempt(bytes(broken))
        assert found == (position >= 21 * 8), position


def test_rubbish() -> None:
    generator = np.random.default_rng(0)
    for size in (0, 1, 20, 21, 22, 100, 5000):
        assert not attempt(generator.bytes(size))


def test_rubbish_behind_a_header() -> None:
    generator = np.random.default_rng(0)
    header = Header(40, 48, rgru_codec.default_model().id, alpha=True).pack()
    for size in (1, 5, 50, 500, 5000):
        assert attempt(header + generator.bytes(size))


def test_rubbish_behind_a_file(data: bytes) -> None:
    with pytest.raises(rgru_codec.Damaged):
        rgru_codec.decompress(data + b"\x03rubbish")
    assert attempt(data + b"\x03rubbish")


def test_a_file_that_claims_to_be_huge_fails_at_once() -> None:
    header = Header(65535, 65535, rgru_codec.default_model().id).pack()
    start = time.process_time()
    with pytest.raises(rgru_codec.LimitExceeded, match="max_pixels: 4294836225"):
        rgru_codec.decompress(header + bytes(39))
    assert time.process_time() - start < 0.1


def test_info_of_rubbish_and_of_damage(data: bytes) -> None:
    with pytest.raises(rgru_codec.NotRgru):
        rgru_codec.info(b"")
    with pytest.raises(rgru_codec.Damaged):
        rgru_codec.info(data[:10])
    broken = bytearray(data)
    broken[-1] ^= 1
    with pytest.raises(rgru_codec.Damaged, match="checksum"):
        rgru_codec.info(bytes(broken))
