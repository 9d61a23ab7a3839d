"""imread, imwrite and thumbnails."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pytest

import rgru_codec
from rgru_codec.inspection import layers_for

from .conftest import photo


@pytest.mark.parametrize("shape", [(9, 20), (9, 20, 2), (9, 20, 3), (9, 20, 4)])
def test_arrays_to_files_and_back(shape: tuple[int, ...], tmp_path: Path) -> None:
    pixels = np.arange(np.prod(shape), dtype=np.uint8).reshape(shape)
    path = tmp_path / "a.rgru"
    size = rgru_codec.imwrite(path, pixels, layers=2)
    assert size == path.stat().st_size
    found = rgru_codec.imread(path)
    assert (found.shape, found.dtype) == (shape, np.dtype(np.uint8))
    assert found.flags.writeable
    assert np.array_equal(rgru_codec.imread(path.read_bytes(), 1).shape, shape)


def test_a_failure_leaves_the_old_file(tmp_path: Path) -> None:
    path = tmp_path / "a.rgru"
    path.write_bytes(b"old")
    with pytest.raises(rgru_codec.InvalidInput):
        rgru_codec.imwrite(path, np.zeros((4, 4), np.float32))
    assert path.read_bytes() == b"old"
    with pytest.raises(FileNotFoundError, match=r"no.a\.rgru'$"):
        rgru_codec.imwrite(tmp_path / "no" / "a.rgru", np.zeros((4, 4), np.uint8), layers=1)
    assert [p.name for p in tmp_path.iterdir()] == ["a.rgru"]


@pytest.mark.parametrize("call", [rgru_codec.compress, rgru_codec.decompress, rgru_codec.info])
def test_an_empty_name_is_no_folder(call: Callable[[str], object]) -> None:
    """It was taken for the folder that one is in."""
    with pytest.raises(rgru_codec.InvalidInput, match="empty name"):
        call("")


def test_thumbnail() -> None:
    data = rgru_codec.compress(photo(120, 200), layers="all")
    header, codes = rgru_codec.info(data).header, rgru_codec.default_model().codes
    layers = [layers_for(header, size, codes) for size in (1, 16, 64, 128, 200, 10_000)]
    assert layers == sorted(layers)
    assert 3 <= layers[1] < layers[-2] == layers[-1] == len(codes)
    image = rgru_codec.thumbnail(data, 20)
    assert image.size == (20, 12)
    assert image.info["layers"] == layers_for(header, 20, codes)
    assert rgru_codec.thumbnail(data, 1000).size == (200, 120)


def test_numbers_of_numpy_are_numbers_for_decoders_too() -> None:
    """Sums of small ones wrap around: 200 + 100 is 44 as uint8."""
    data = rgru_codec.compress(photo(8, 304), layers=1)
    small: Any = np.uint8
    one, size, region = small(1), small(152), (small(200), small(0), small(100), small(8))
    part = rgru_codec.decompress(data, region=region, layers=one, threads=one)
    assert part.tobytes() == rgru_codec.decompress(data, region=(200, 0, 100, 8)).tobytes()
    assert rgru_codec.thumbnail(data, size).size == (152, 4)
    assert rgru_codec.info(data).bytes_for(layers=one) == len(data)


def test_thumbnails_of_cut_and_damaged_files(data: bytes) -> None:
    assert rgru_codec.thumbnail(data[: len(data) // 2], 10).size == (8, 10)
    assert rgru_codec.thumbnail(data[:21], 10).size == (8, 10)
    broken = bytearray(data)
    broken[len(data) // 2] ^= 1
    with pytest.warns(UserWarning, match="the file is damaged"):
        assert rgru_codec.thumbnail(bytes(broken), 40).size == (33, 40)
    with pytest.raises(rgru_codec.NotRgru):
        rgru_codec.thumbnail(b"", 10)
