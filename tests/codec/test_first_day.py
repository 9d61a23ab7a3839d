"""What a new user of the library tries on the first day."""

from __future__ import annotations

import asyncio
import io
import os
import subprocess
import sys
import threading
import time
from collections.abc import AsyncIterator, Iterator
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from PIL import Image

import rgru_codec
from rgru_codec.inspection import layers_for

from .conftest import photo

untyped: Any = rgru_codec
"""For arguments that no type checker lets through."""


def test_pillow_is_registered_after_importing_the_package_alone() -> None:
    code = (
        "import rgru_codec; rgru_codec.pillow.register(); from PIL import Image; Image.SAVE['RGRU']"
    )
    subprocess.run([sys.executable, "-c", code], check=True)


@pytest.mark.parametrize(
    "name",
    ["streams.stages_at", "source.read_planes", "encoder.DEFAULT_MSSSIM", "metrics.ms_ssim"],
)
def test_documented_names_are_found_after_importing_the_package_alone(name: str) -> None:
    """They gave an AttributeError, unless something else had loaded their module."""
    heavy = "{'ai_edge_litert', 'tensorflow', 'matplotlib'}"
    code = f"import sys, rgru_codec; rgru_codec.{name}; assert not {heavy} & set(sys.modules)"
    subprocess.run([sys.executable, "-c", code], check=True)


def test_other_names_are_not_found() -> None:
    for name in ("no_such", "_private", "__wrapped__"):
        with pytest.raises(AttributeError, match=f"has no attribute '{name}'"):
            getattr(rgru_codec, name)


def test_what_a_file_says_is_short_when_printed() -> None:
    """The numbers of the model and the bytes of the file filled thousands of lines."""
    data = rgru_codec.compress(photo(64, 64), layers="all", xmp=b"<x/>" * 999)
    assert len(repr(rgru_codec.info(data))) < 4000
    assert max(len(repr(event)) for event in rgru_codec.Decoder().feed(data)) < 200


def saved(image: Image.Image, **options: Any) -> bytes:
    rgru_codec.pillow.register()
    file = io.BytesIO()
    image.save(file, "RGRU", **options)
    return file.getvalue()


def test_the_options_of_pillow_are_those_of_compress() -> None:
    image = Image.fromarray(photo(32, 48))
    for options in ({"bpp": 2.0}, {"quality": 40}, {"layers": 2}, {"keep_icc": True}):
        assert saved(image, **options) == rgru_codec.compress(image, **options)


@pytest.mark.parametrize("name", ["qualty", "target_bpp", "optimize", "limits"])
def test_options_that_are_not_known_are_refused(name: str) -> None:
    with pytest.raises(ValueError, match=f"unknown options for .rgru: {name}; known are bpp,"):
        saved(Image.fromarray(photo(32, 48)), **{name: 1})


@pytest.mark.parametrize("name", ["x.png", "x.JPG", "x.jxl", "x.tif", "x.webp"])
def test_imwrite_does_not_give_the_name_of_another_format(name: str, tmp_path: Path) -> None:
    with pytest.raises(rgru_codec.InvalidInput, match=r"imwrite writes \.rgru files"):
        rgru_codec.imwrite(tmp_path / name, photo(16, 24))
    assert not list(tmp_path.iterdir())
    for allowed in ("x.rgru", "x", "photo.2024-05-01"):
        rgru_codec.imwrite(tmp_path / allowed, photo(16, 24), layers=1)


def test_info_says_size_mode_and_rate(pixels: np.ndarray, data: bytes) -> None:
    found = rgru_codec.info(data)
    assert (found.width, found.height, found.mode) == (40, 48, "RGB")
    assert found.bpp == pytest.approx(8 * len(data) / (40 * 48))


def test_bytes_for_is_enough_and_no_more(alpha_data: bytes, data: bytes) -> None:
    for file in (data, alpha_data):
        found = rgru_codec.info(file)
        for layers in range(len(found.layers) + 1):
            head = file[: found.bytes_for(layers=layers)]
            decoder = rgru_codec.Decoder()
            decoder.feed(head)
            assert decoder.close().unfinished == 0
            assert decoder.layers == layers
            if layers:
                assert not decoder.alpha_missing
                assert decoder.picture().tobytes() == rgru_codec.decompress(file, layers).tobytes()
        assert found.bytes_for(layers=99) == len(file)
        with pytest.raises(rgru_codec.InvalidInput):
            found.bytes_for()
        with pytest.raises(rgru_codec.InvalidInput):
            found.bytes_for(layers=-1)
        with pytest.raises(rgru_codec.InvalidInput):
            found.bytes_for(thumbnail=0)


def test_a_thumbnail_of_the_bytes_that_it_needs_is_the_thumbnail() -> None:
    data = rgru_codec.compress(photo(120, 200), layers="all")
    found = rgru_codec.info(data)
    for size in (16, 64, 150):
        head = data[: found.bytes_for(thumbnail=size)]
        assert (
            rgru_codec.thumbnail(head, size).tobytes() == rgru_codec.thumbnail(data, size).tobytes()
        )
    assert found.bytes_for(thumbnail=64) < found.bytes_for(thumbnail=150) < len(data)
    table = found.as_dict()["bytes_for_thumbnail"]
    assert table == {"64": found.bytes_for(thumbnail=64), "128": found.bytes_for(thumbnail=128)}


@pytest.mark.parametrize("size", [32, 64, 128])
def test_thumbnails_have_the_colours_of_the_picture(size: int) -> None:
    original = Image.fromarray(photo(256, 256))
    small = rgru_codec.thumbnail(rgru_codec.compress(original, layers="all"), size)
    original.thumbnail((size, size), Image.Resampling.LANCZOS, reducing_gap=None)
    difference = np.asarray(small).astype(float) - np.asarray(original)
    assert np.abs(difference).mean() < 5


def test_a_thumbnail_costs_no_more_layers_than_its_size_needs() -> None:
    """Also of a file whose layers take hardly any bytes."""
    data = rgru_codec.compress(np.full((400, 400, 3), 128, np.uint8), layers="all")
    codes = rgru_codec.default_model().codes
    header = rgru_codec.info(data).header
    assert (
        rgru_codec.thumbnail(data, 50).info["layers"] == layers_for(header, 50, codes) < len(codes)
    )


class Slow:
    """A source that has everything at once, but is read by pieces of a given size."""

    def __init__(self, data: bytes, pause: float = 0.0) -> None:
        self._file, self._pause = io.BytesIO(data), pause

    def read(self, size: int) -> bytes:
        time.sleep(self._pause)
        return self._file.read(min(size, 300))


def test_latest_skips_to_the_newest_picture(data: bytes) -> None:
    whole = rgru_codec.decompress(data).tobytes()
    every = list(untyped.iter_pictures(Slow(data)))
    for source in (Slow(data), data, io.BytesIO(data), iter([data[:50], data[50:]])):
        newest = list(untyped.iter_pictures(source, latest=True))
        assert 1 <= len(newest) < len(every)
        assert newest[-1].picture.tobytes() == whole
        assert newest[-1].bytes <= len(data)
    slow = list(untyped.iter_pictures(Slow(data, pause=0.05), latest=True))
    assert slow[-1].picture.tobytes() == whole


def test_latest_tells_what_went_wrong_and_ends_its_thread(data: bytes) -> None:
    before = set(threading.enumerate())

    def broken() -> Iterator[bytes]:
        yield data[: len(data) // 2]
        raise OSError("the line is dead")

    with pytest.raises(OSError, match="the line is dead"):
        list(rgru_codec.iter_pictures(broken(), latest=True))
    with pytest.raises(rgru_codec.NotRgru):
        list(rgru_codec.iter_pictures(iter([b"rubbish" * 9]), latest=True))

    def endless() -> Iterator[bytes]:
        yield data
        while True:
            yield bytes(10)

    assert list(rgru_codec.iter_pictures(endless(), latest=True))
    deadline = time.monotonic() + 10
    while set(threading.enumerate()) - before and time.monotonic() < deadline:
        time.sleep(0.01)
    assert not set(threading.enumerate()) - before


class Response:
    """As httpx has it: read() takes no number, iter_bytes gives packets."""

    def __init__(self, data: bytes) -> None:
        self._data = data

    def read(self) -> bytes:
        return self._data

    def iter_bytes(self) -> Iterator[bytes]:
        for at in range(0, len(self._data), 500):
            yield self._data[at : at + 500]

    async def aiter_bytes(self) -> AsyncIterator[bytes]:
        for packet in self.iter_bytes():
            yield packet


class Whole:
    """What only gives all at once (aiohttp's response)."""

    def read(self) -> bytes:
        return b""


async def collect(source: Any, **options: Any) -> list[rgru_codec.Stage]:
    return [stage async for stage in rgru_codec.aiter_pictures(source, **options)]


def test_a_response_of_httpx_is_read(data: bytes) -> None:
    import asyncio

    whole = rgru_codec.decompress(data).tobytes()
    assert list(rgru_codec.iter_pictures(Response(data)))[-1].picture.tobytes() == whole  # type: ignore[arg-type]
    for latest in (False, True):
        found = asyncio.run(collect(Response(data), latest=latest))
        assert found[-1].picture.tobytes() == whole


def test_a_response_that_cannot_be_read_by_pieces_says_how() -> None:
    import asyncio

    with pytest.raises(rgru_codec.InvalidInput, match=r"response\.iter_bytes\(\)"):
        list(rgru_codec.iter_pictures(Whole()))  # type: ignore[arg-type]
    with pytest.raises(rgru_codec.InvalidInput, match=r"response\.content"):
        asyncio.run(collect(Whole()))
    with pytest.raises(rgru_codec.InvalidInput, match="an iterable of packets is needed, got int"):
        list(rgru_codec.iter_pictures(3))  # type: ignore[arg-type]
    with pytest.raises(rgru_codec.InvalidInput, match="asynchronous iterable"):
        asyncio.run(collect([b""]))


def test_a_model_can_be_given_by_its_folder(pixels: np.ndarray) -> None:
    folder = rgru_codec.default_model().folder
    data = rgru_codec.compress(pixels, layers=1, model=str(folder))
    assert data == rgru_codec.compress(pixels, layers=1)
    assert rgru_codec.decompress(data, model=folder).size == (40, 48)
    with pytest.raises(rgru_codec.RgruError):
        rgru_codec.compress(pixels, layers=1, model="no such model")


def _closed(file: io.BytesIO) -> io.BytesIO:
    file.close()
    return file


async def _texts() -> Any:
    yield "text"


async def _all_of(source: Any) -> list[Any]:
    return [stage async for stage in rgru_codec.aiter_pictures(source)]


def test_more_threads_than_cores_are_no_more_than_cores(data: bytes) -> None:
    picture = rgru_codec.decompress(data, threads=2**40)
    assert picture.tobytes() == rgru_codec.decompress(data).tobytes()


@pytest.mark.parametrize(
    "call",
    [
        untyped.compress,
        untyped.decompress,
        untyped.info,
        lambda source: untyped.thumbnail(source, 8),
        lambda source: list(untyped.iter_pictures(source)),
        lambda source: list(untyped.iter_pictures(source, latest=True)),
    ],
)
def test_a_stream_that_does_not_block_is_refused_in_words(call: Any) -> None:
    """It gave a bare ``TypeError: cannot convert 'NoneType' object to bytes``."""
    ends = os.pipe()
    for end in ends:
        os.set_blocking(end, False)
    with (
        os.fdopen(ends[0], "rb", buffering=0) as source,
        os.fdopen(ends[1], "wb"),
        pytest.raises(rgru_codec.InvalidInput, match="a stream that blocks is needed"),
    ):
        call(source)


@pytest.mark.parametrize(
    "call",
    [
        lambda d: untyped.thumbnail(d, 0),
        lambda d: untyped.thumbnail(d, 2.5),
        lambda d: untyped.thumbnail(d, True),
        lambda d: untyped.decompress(d, threads=0),
        lambda d: untyped.decompress(d, threads=-1),
        lambda d: untyped.decompress(d, threads=1.5),
        lambda d: untyped.decompress(d, layers=1.5),
        lambda d: untyped.decompress(d, layers="2"),
        lambda d: untyped.decompress(d, region=(0, 0, 8)),
        lambda d: untyped.decompress(d, region=(0, 0, 8.0, 8)),
        lambda d: untyped.decompress(d, region=8),
        lambda d: untyped.decompress(io.StringIO("x")),
        lambda d: untyped.decompress("a\0b"),
        lambda d: untyped.decompress(None),
        lambda d: untyped.compress(io.StringIO("x")),
        lambda d: untyped.compress("a\0b"),
        lambda d: untyped.compress(np.zeros((4, 4, 3), np.uint8), threads=0),
        lambda d: untyped.compress(np.zeros((4, 4, 3), np.uint8), strip=3),
        lambda d: untyped.compress(np.zeros((4, 4, 3), np.uint8), frame="1"),
        lambda d: untyped.compress(np.zeros((4, 4, 3), np.uint8), icc_profile=b"x"),
        lambda d: untyped.compress(np.zeros((4, 4, 3), np.uint8), icc_profile="x"),
        lambda d: untyped.compress(np.zeros((4, 4, 3), np.complex64), convert_depth=True),
        lambda d: untyped.compress(np.zeros((4, 4, 3), np.uint8), limits=3),
        lambda d: untyped.compress(np.zeros((4, 4, 3), np.uint8), model="none"),
        lambda d: untyped.compress(np.zeros((), np.uint8)),
        lambda d: untyped.compress(np.zeros((), np.float32), convert_depth=True),
        lambda d: untyped.compress(np.array(["text"])),
        lambda d: untyped.compress([[1, 2], [3, 4]]),
        lambda d: untyped.compress(Image.new("RGB", (0, 5))),
        lambda d: untyped.compress(Image.new("F", (0, 5)), convert_depth=True),
        lambda d: untyped.decompress(d, limits=3),
        lambda d: untyped.thumbnail(d, 8, limits=3),
        lambda d: untyped.info(d, limits=3),
        lambda d: untyped.Decoder().feed("text"),
        lambda d: untyped.imwrite(3, np.zeros((4, 4, 3), np.uint8)),
        lambda d: untyped.compress(np.zeros((0, 4, 3), np.uint16), convert_depth=True),
        lambda d: untyped.compress(np.zeros((2, 2, 2, 2), np.float32), convert_depth=True),
        lambda d: untyped.compress(np.zeros((4, 4, 3), np.uint8), layers=True),
        lambda d: untyped.compress(np.zeros((4, 4, 3), np.uint8), encoder="no such"),
        lambda d: untyped.compress(np.zeros((4, 4, 3), np.uint8), encoder=3),
        lambda d: untyped.compress(np.zeros((4, 4, 3), np.uint8), model=3),
        lambda d: untyped.decompress(d, model=b"00112233"),
        lambda d: untyped.thumbnail(d, 8, model=["a"]),
        lambda d: untyped.Decoder(model=3),
        lambda d: untyped.Model.load(3),
        lambda d: untyped.Limits(max_pixels="9"),
        lambda d: untyped.Limits(max_pixels=float("nan")),
        lambda d: untyped.Limits(max_metadata_bytes=None),
        lambda d: untyped.Limits(max_memory=-1),
        lambda d: untyped.imwrite("a\0b", np.zeros((4, 4, 3), np.uint8)),
        lambda d: untyped.imread("\ud800"),
        lambda d: untyped.decompress(_closed(io.BytesIO(d))),
        lambda d: untyped.compress(_closed(io.BytesIO(d))),
        lambda d: untyped.decompress(io.TextIOWrapper(io.BytesIO(b"\xff" * 9), "utf-8")),
        lambda d: list(untyped.iter_pictures(io.TextIOWrapper(io.BytesIO(d), "latin-1"))),
        lambda d: list(untyped.iter_pictures(_closed(io.BytesIO(d)), latest=True)),
        lambda d: list(untyped.iter_pictures("a\0b")),
        lambda d: list(untyped.iter_pictures([3])),
        lambda d: list(untyped.iter_pictures(["text"], latest=True)),
        lambda d: asyncio.run(_all_of(io.BytesIO(d))),
        lambda d: asyncio.run(_all_of(_texts())),
    ],
)
@pytest.mark.filterwarnings("ignore:unclosed")
def test_every_error_of_an_argument_is_ours(call: Any, data: bytes) -> None:
    with pytest.raises(rgru_codec.RgruError):
        call(data)


def test_content_given_as_text_is_not_quoted_whole(data: bytes) -> None:
    with pytest.raises(rgru_codec.InvalidInput, match="to give content rather than") as raised:
        rgru_codec.decompress(data.decode("latin-1"))
    assert len(str(raised.value)) < 300


def test_what_is_not_rgru_is_not_read_to_its_end(tmp_path: Path) -> None:
    """A file of 20 gigabytes that takes no room on the disk."""
    with (tmp_path / "large").open("wb") as file:
        file.truncate(20 * 2**30)
    start = time.monotonic()
    for call in (rgru_codec.info, rgru_codec.decompress, rgru_codec.imread):
        with pytest.raises(rgru_codec.NotRgru):
            call(tmp_path / "large")
    with (tmp_path / "large").open("rb") as file, pytest.raises(rgru_codec.NotRgru):
        rgru_codec.decompress(file)
    assert time.monotonic() - start < 5


def test_settings_are_the_keywords_of_compress() -> None:
    """And they travel to other processes."""
    import dataclasses
    import inspect
    import pickle

    keywords = list(inspect.signature(rgru_codec.compress).parameters)[1:]
    assert keywords == [field.name for field in dataclasses.fields(rgru_codec.Settings)]
    settings = rgru_codec.Settings(bpp=0.5, strip="gps", limits=rgru_codec.Limits(max_pixels=9))
    assert pickle.loads(pickle.dumps(settings)) == settings
    with pytest.raises(dataclasses.FrozenInstanceError):
        settings.bpp = 1.0  # type: ignore[misc]


def test_what_is_shown_of_a_compressed_picture_is_what_a_decoder_shows() -> None:
    """Whole, cut inside a layer, grey: computed only when it is asked for."""
    from rgru_codec.encoder import encode, prepare

    image = Image.fromarray(photo(40, 56))
    for picture in (image, image.convert("L")):
        for options in ({"layers": 2}, {"quality": 60}, {"quality": 95}, {"bpp": 3.0}):
            settings = rgru_codec.Settings(**options)
            encoded = encode(prepare(picture, settings), settings)
            decoder = rgru_codec.Decoder()
            decoder.feed(encoded.data)
            assert (decoder.layers, decoder.groups) == (encoded.layers, encoded.groups)
            assert np.array_equal(encoded.shown, np.asarray(decoder.picture().convert("RGB")))
