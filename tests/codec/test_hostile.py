"""Bad bytes: only RgruError leaves, and what was sound stays usable."""

from __future__ import annotations

import contextlib
import io
import os
import time
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from PIL import Image

import rgru_codec
from rgru_codec.source import read_planes
from rgru_format import Header

from .conftest import photo


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


@pytest.mark.parametrize("rubbish", [b"\x03rubbish", bytes(1000), b"\x01", bytes(range(256))])
def test_bytes_behind_the_last_layer_of_the_model_are_ignored_and_counted(
    data: bytes, rubbish: bytes
) -> None:
    whole = rgru_codec.decompress(data)
    assert rgru_codec.decompress(data + rubbish).tobytes() == whole.tobytes()
    for size in (1, 100, len(data) + len(rubbish)):
        decoder = rgru_codec.Decoder()
        for at in range(0, len(data) + len(rubbish), size):
            decoder.feed((data + rubbish)[at : at + size])
        decoder.close()
        assert decoder.ignored == len(rubbish)


def test_bytes_behind_a_layer_that_others_can_follow_are_damage(data: bytes) -> None:
    end = rgru_codec.info(data).layers[1].end
    decoder = rgru_codec.Decoder()
    decoder.feed(data[:end] + b"\x03rubbish")
    assert isinstance(decoder.error, rgru_codec.Damaged)
    with pytest.raises(rgru_codec.Damaged):
        decoder.close()
    assert decoder.ignored == 0
    assert decoder.close(partial=True).layers == 2


def test_a_file_that_claims_to_be_huge_fails_at_once() -> None:
    header = Header(65535, 65535, rgru_codec.default_model().id).pack()
    start = time.process_time()
    with pytest.raises(rgru_codec.LimitExceeded, match="max_pixels: 4294836225"):
        rgru_codec.decompress(header + bytes(39))
    assert time.process_time() - start < 0.1


def damaged_pictures() -> Iterator[bytes]:
    """Pictures of other formats with bytes changed."""
    generator = np.random.default_rng(0)
    image = Image.fromarray(photo(16, 24))
    exif = Image.Exif()
    exif[0x0112], exif[0x010F] = 6, "Cam"
    for kind in ("PNG", "JPEG", "WEBP", "GIF", "BMP", "TGA", "PPM", "MPO"):
        file = io.BytesIO()
        image.save(file, kind, **({"exif": exif} if kind in ("PNG", "JPEG", "WEBP") else {}))
        for _ in range(60):
            broken = bytearray(file.getvalue())
            for _ in range(generator.integers(1, 5)):
                broken[generator.integers(len(broken))] = generator.integers(256)
            yield bytes(broken)


@pytest.mark.filterwarnings("ignore")
def test_damaged_pictures_of_other_formats() -> None:
    limits = rgru_codec.Limits(max_pixels=10_000)
    for number, content in enumerate(damaged_pictures()):
        with contextlib.suppress(rgru_codec.RgruError):
            rgru_codec.compress(content, layers=1, limits=limits, frame=number % 2 or None)


def test_frames_that_cannot_be_counted() -> None:
    file = io.BytesIO()
    image = Image.fromarray(photo(16, 24))
    image.save(file, "GIF", save_all=True, append_images=[image.rotate(90)])
    content = file.getvalue()
    for size in range(len(content) // 2, len(content), 7):
        with contextlib.suppress(rgru_codec.RgruError):
            rgru_codec.compress(content[:size], layers=1)


def test_info_of_rubbish_and_of_damage(data: bytes) -> None:
    with pytest.raises(rgru_codec.NotRgru):
        rgru_codec.info(b"")
    with pytest.raises(rgru_codec.Damaged):
        rgru_codec.info(data[:10])
    broken = bytearray(data)
    broken[-1] ^= 1
    with pytest.raises(rgru_codec.Damaged, match="checksum"):
        rgru_codec.info(bytes(broken))


def test_a_thumbnail_of_a_damaged_file_is_no_grey_square(data: bytes) -> None:
    last = rgru_codec.info(data).layers[-1]
    broken = bytearray(data)
    broken[last.end - 1] ^= 1
    with pytest.warns(UserWarning, match=f"damaged.*layer {last.number}, byte {last.offsets[-1]}"):
        picture = rgru_codec.thumbnail(bytes(broken), 48)
    assert (picture.size, picture.info["layers"]) == ((40, 48), last.number - 1)
    rgru_codec.thumbnail(bytes(broken), 8)  # takes fewer layers: no warning
    assert rgru_codec.thumbnail(data[:21], 48).getcolors() == [(40 * 48, (128, 128, 128))]
    broken[30] ^= 1
    with pytest.raises(rgru_codec.Damaged, match="layer 1, byte 21"):
        rgru_codec.thumbnail(bytes(broken), 48)


class Endless(io.RawIOBase):
    """A stream of zeros behind a beginning that counts what was taken of it."""

    def __init__(self, begin: bytes) -> None:
        self.begin, self.given = begin, 0

    def readable(self) -> bool:
        return True

    def read(self, size: int = -1) -> bytes:
        assert size > 0, "all of it was asked for"
        piece = self.begin[self.given : self.given + size].ljust(size, b"\0")
        self.given += size
        return piece


@pytest.mark.parametrize("what", [{"max_memory": 2**20}, {"max_pixels": 2**16}])
def test_no_more_is_read_of_a_picture_file_than_the_limits_allow(
    what: dict[str, int], tmp_path: Path
) -> None:
    """All of it was read: 1.6 GB of a file, and of a stream until memory ended."""
    limits = rgru_codec.Limits(**what, max_metadata_bytes=0)
    file = io.BytesIO()
    Image.new("L", (16, 16)).save(file, "PNG")
    for call in (rgru_codec.compress, read_planes):
        stream: Any = Endless(file.getvalue())
        with pytest.raises(rgru_codec.LimitExceeded, match=f"of {2**20}; .*max_memory"):
            call(stream, limits=limits)
        assert 2**20 < stream.given < 2**20 + 2**17
    path = tmp_path / "big.png"
    path.write_bytes(file.getvalue())
    os.truncate(path, 3 << 30)
    with path.open("rb") as opened:
        for source in (path, opened):
            with pytest.raises(rgru_codec.LimitExceeded, match=rf"max_memory: {3 << 30} is over"):
                rgru_codec.compress(source)
    os.truncate(path, 2**20)
    rgru_codec.compress(path, layers=1, limits=rgru_codec.Limits(max_pixels=2**16))
