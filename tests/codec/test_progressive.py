"""The push decoder: any cut of the bytes, many at once, limits, damage, streams, time."""

from __future__ import annotations

import asyncio
import concurrent.futures
import gc
import io
import os
import subprocess
import sys
import threading
import time
import weakref
from collections.abc import AsyncIterator, Iterator
from pathlib import Path

import numpy as np
import pytest
from PIL import Image

import rgru_codec
from rgru_codec.decoder import DecoderEvent
from rgru_codec.iterations import Painter
from rgru_codec.memory import decoding_bytes
from rgru_codec.processes import for_each
from rgru_codec.runtime.windows import sweep
from rgru_codec.whole import EagerDecoder
from rgru_format import BoxRead, GroupRead, Header, HeaderRead, NeedMoreData, OutOfMemory, inspect

from .conftest import photo


def shown(decoder: rgru_codec.Decoder) -> bytes:
    return decoder.picture().tobytes()


def pieces(data: bytes, size: int) -> Iterator[bytes]:
    for at in range(0, len(data), size):
        yield data[at : at + size]


def ends(data: bytes) -> list[int]:
    return [layer.end for layer in rgru_codec.info(data).layers]


def test_events(alpha_data: bytes) -> None:
    decoder = rgru_codec.Decoder()
    assert decoder.feed(b"") == [NeedMoreData(21)]
    assert decoder.feed(alpha_data[:20]) == [NeedMoreData(1)]
    events = decoder.feed(alpha_data[20:])
    kinds = [type(event) for event in events]
    assert kinds[0] is HeaderRead
    assert [kind for kind in kinds if kind is BoxRead] == [BoxRead] * 3  # profile, alpha, XMP
    assert kinds[-1] is NeedMoreData
    layers = [e for e in events if isinstance(e, rgru_codec.LayerDecoded)]
    assert [e.layer for e in layers] == [1, 2]
    assert [e.end for e in layers] == ends(alpha_data)
    assert decoder.layers == 2
    ending = decoder.close()
    assert (ending.layers, ending.unfinished) == (2, 0)
    assert set(decoder.info) == {"icc_profile", "xmp"}


def test_events_have_their_names_in_the_package(alpha_data: bytes) -> None:
    for event in rgru_codec.Decoder().feed(alpha_data):
        name = type(event).__name__
        assert name in rgru_codec.__all__
        assert getattr(rgru_codec, name) is type(event)


def test_need_more_data_tells_how_much(data: bytes) -> None:
    """Feeding exactly what is asked for reads the file with nothing to spare."""
    decoder, position, asked = rgru_codec.Decoder(), 0, 21
    while position < len(data):
        events = decoder.feed(data[position : position + asked])
        position += asked
        last = events[-1]
        assert isinstance(last, NeedMoreData)
        asked = last.at_least
    assert position == len(data)


def test_nothing_is_read_behind_the_layers_that_are_wanted(data: bytes) -> None:
    end = ends(data)[1]
    broken = data[: end + 3] + bytes(len(data) - end - 3)
    decoder = rgru_codec.Decoder(layers=2)
    assert decoder.feed(broken)
    assert decoder.done
    assert decoder.feed(b"anything") == []
    assert decoder.close().unfinished == 0
    assert shown(decoder) == rgru_codec.decompress(data, layers=2).tobytes()


@pytest.mark.parametrize("size", [1, 3, 17, 120, 700])
def test_the_pieces_do_not_matter(size: int, data: bytes) -> None:
    whole, split = rgru_codec.Decoder(), rgru_codec.Decoder()
    whole.feed(data)
    seen: list[DecoderEvent] = []
    for piece in pieces(data, size):
        seen += [e for e in split.feed(piece) if isinstance(e, GroupRead)]
    assert tuple(seen) == inspect(data).groups
    assert split.layers == whole.layers
    assert shown(split) == shown(whole)


def test_a_cut_file_is_the_file_with_fewer_layers(data: bytes, pixels: np.ndarray) -> None:
    for layers, end in enumerate(ends(data), 1):
        if layers > 4:
            break
        assert rgru_codec.compress(pixels, layers=layers) == data[:end]
        cut = rgru_codec.decompress(data[:end])
        assert cut.tobytes() == rgru_codec.decompress(data, layers).tobytes()
        assert cut.info["layers"] == layers


def test_every_prefix_gives_the_picture_of_its_last_whole_element(data: bytes) -> None:
    decoder = rgru_codec.Decoder()
    decoder.feed(data[:21])
    reference = {21: shown(decoder)}
    for group in inspect(data).groups:
        decoder.feed(data[group.offset : group.end])
        reference[group.end] = shown(decoder)
    for size in range(21, len(data), 61):
        last = max(end for end in reference if end <= size)
        assert rgru_codec.decompress(data[:size]).tobytes() == reference[last], size


def test_a_group_of_an_unfinished_layer_is_used() -> None:
    model = rgru_codec.default_model()
    if max(model.context().groups) < 2:
        pytest.skip("no layer of this model has two groups")
    data = rgru_codec.compress(photo(32, 32), layers="all")
    group = next(g for g in inspect(data).groups if g.group > 0)
    with_group, without = data[: group.offset], data[: ends(data)[group.layer - 2]]
    assert len(with_group) > len(without)
    assert rgru_codec.decompress(with_group).tobytes() != rgru_codec.decompress(without).tobytes()


def test_no_layers_is_mid_grey(data: bytes) -> None:
    assert set(rgru_codec.decompress(data, 0).tobytes()) == {128}
    assert rgru_codec.decompress(data[:21]).tobytes() == rgru_codec.decompress(data, 0).tobytes()


def test_no_picture_before_the_header(data: bytes) -> None:
    decoder = rgru_codec.Decoder()
    decoder.feed(data[:20])
    with pytest.raises(rgru_codec.InvalidInput, match=r"header .* has not arrived"):
        decoder.picture()
    with pytest.raises(rgru_codec.Damaged, match="ends inside the header, after 20 bytes"):
        decoder.close()


def test_alpha_that_has_not_arrived_is_opaque(alpha_data: bytes) -> None:
    first = ends(alpha_data)[0]
    decoder = rgru_codec.Decoder()
    decoder.feed(alpha_data[:first])
    assert decoder.alpha_missing
    assert decoder.picture().getchannel("A").getextrema() == (255, 255)
    decoder.feed(alpha_data[first:])
    assert not decoder.alpha_missing
    assert decoder.picture().getchannel("A").getextrema() == (0, 255)


def test_damage_leaves_what_came_before(data: bytes) -> None:
    end = ends(data)[1]
    broken = bytearray(data)
    broken[end + 10] ^= 4
    decoder = rgru_codec.Decoder()
    events = decoder.feed(bytes(broken))
    assert sum(isinstance(e, rgru_codec.LayerDecoded) for e in events) == 2
    for act in (decoder.close, lambda: decoder.feed(b"more")):
        with pytest.raises(rgru_codec.Damaged, match="layer 3") as caught:
            act()
        assert (caught.value.layer, caught.value.offset) == (3, end)
    intact = rgru_codec.decompress(data[:end])
    assert decoder.picture().tobytes() == intact.tobytes()
    assert rgru_codec.decompress(bytes(broken), partial=True).tobytes() == intact.tobytes()
    assert rgru_codec.decompress(bytes(broken), 2).tobytes() == intact.tobytes()
    with pytest.raises(rgru_codec.Damaged):
        rgru_codec.decompress(bytes(broken), 3)


def test_a_missing_model_is_named(data: bytes) -> None:
    from rgru_format import Header

    stranger = Header(8, 8, b"\x01\x02\x03\x04").pack()
    decoder = rgru_codec.Decoder()
    assert isinstance(decoder.feed(stranger)[0], HeaderRead)
    for act in (decoder.picture, decoder.close):
        with pytest.raises(rgru_codec.ModelMissing, match="01020304"):
            act()


def test_limits_come_before_work(data: bytes) -> None:
    for limits, name in (
        (rgru_codec.Limits(max_pixels=1919), "max_pixels: 1920"),
        (rgru_codec.Limits(max_memory=1000), "max_memory"),
    ):
        with pytest.raises(rgru_codec.LimitExceeded, match=name):
            rgru_codec.decompress(data, limits=limits)
    model = rgru_codec.default_model()
    enough = rgru_codec.Limits(max_memory=decoding_bytes(model, 48, 40))
    rgru_codec.decompress(data, 1, limits=enough)


def test_metadata_has_a_limit(alpha_data: bytes) -> None:
    with pytest.raises(rgru_codec.LimitExceeded, match="max_metadata_bytes"):
        rgru_codec.decompress(alpha_data, limits=rgru_codec.Limits(max_metadata_bytes=8))


def test_several_at_once(data: bytes, alpha_data: bytes) -> None:
    """Two decoders taking turns do not disturb each other."""
    expected = [rgru_codec.decompress(d).tobytes() for d in (data, alpha_data)]
    decoders = [rgru_codec.Decoder(), rgru_codec.Decoder()]
    for one, two in zip(pieces(data, len(data) // 9), pieces(alpha_data, 50), strict=False):
        for decoder, piece in zip(decoders, (one, two), strict=True):
            decoder.feed(piece)
            if decoder.header is not None:
                decoder.picture()
    decoders[0].feed(data[9 * (len(data) // 9) :])
    rest = alpha_data[50 * len(list(pieces(data, len(data) // 9))) :]
    decoders[1].feed(rest)
    assert decoders[0].layers <= rgru_codec.default_model().iterations
    assert shown(decoders[1]) == expected[1]


def test_in_threads() -> None:
    files = [rgru_codec.compress(photo(40 + 8 * n, 33 + 5 * n), layers=4) for n in range(4)]
    expected = [rgru_codec.decompress(data, threads=1).tobytes() for data in files]

    def decode(number: int) -> bytes:
        decoder = rgru_codec.Decoder(threads=1)
        for piece in pieces(files[number % 4], 97):
            decoder.feed(piece)
            if decoder.header is not None:
                decoder.picture()
        return shown(decoder)

    with concurrent.futures.ThreadPoolExecutor(4) as pool:
        results = list(pool.map(decode, range(16)))
    assert results == [expected[n % 4] for n in range(16)]


STDERR = """
import concurrent.futures, sys, numpy, rgru_codec
shapes = [(16 + 16 * n, 32, 3) for n in range(4)]
files = [rgru_codec.compress(numpy.zeros(shape, "uint8"), layers=1) for shape in shapes]
with concurrent.futures.ThreadPoolExecutor(8) as pool:
    list(pool.map(lambda n: rgru_codec.decompress(files[n % 4], threads=1).size, range(64)))
print("still heard", file=sys.stderr)
"""


def test_threads_that_call_one_decoder_wait_for_each_other(data: bytes) -> None:
    decoder = rgru_codec.Decoder()
    decoder.feed(data)
    found: list[Image.Image] = []
    threads = [threading.Thread(target=lambda: found.append(decoder.picture())) for _ in range(4)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    expected = rgru_codec.decompress(data).tobytes()
    assert [picture.tobytes() for picture in found] == [expected] * 4


def test_threads_leave_standard_error_alone() -> None:
    root = Path(__file__).parents[2]
    paths = os.pathsep.join([str(root), str(root / "format")])
    result = subprocess.run(
        [sys.executable, "-c", STDERR],
        capture_output=True,
        env={**os.environ, "PYTHONPATH": paths},
        check=True,
    )
    assert result.stderr == b"still heard\n"


def test_iter_pictures(data: bytes) -> None:
    for source in (io.BytesIO(data), list(pieces(data, 50))):
        stages = list(rgru_codec.iter_pictures(source))
        assert [s.layers for s in stages] == sorted(s.layers for s in stages)
        assert stages[-1].layers == rgru_codec.default_model().iterations
        assert stages[-1].picture.tobytes() == rgru_codec.decompress(data).tobytes()
    assert len(stages) >= rgru_codec.default_model().iterations
    assert all(s.bytes <= len(data) for s in stages)


@pytest.mark.parametrize("size", [50, 1 << 20])
def test_the_last_picture_of_a_stream_has_what_stands_behind_its_only_layer(size: int) -> None:
    """The alpha plane and XMP of a file with one layer were never shown."""
    image = Image.fromarray(photo(96, 128))
    image.putalpha(Image.linear_gradient("L").resize(image.size))
    data = rgru_codec.compress(image, layers=1, xmp=b"<x/>")
    whole = rgru_codec.decompress(data)
    for source in (data, io.BytesIO(data), list(pieces(data, size))):
        *before, last = rgru_codec.iter_pictures(source)
        assert last.picture.tobytes() == whole.tobytes()
        assert last.picture.info["xmp"] == whole.info["xmp"]
        assert last.bytes == len(data)
        assert all(stage.layers or stage.groups for stage in before)


def test_a_closed_decoder_takes_no_bytes(data: bytes) -> None:
    """It painted what came then without the layers that it had painted before."""
    decoder = rgru_codec.Decoder()
    decoder.feed(data[: ends(data)[2]])
    decoder.picture()
    decoder.close()
    before = shown(decoder)
    with pytest.raises(rgru_codec.InvalidInput, match="the decoder is closed"):
        decoder.feed(data[ends(data)[2] :])
    assert shown(decoder) == before


def test_views_of_bytes_are_bytes(data: bytes) -> None:
    apart = memoryview(bytes(byte for byte in data for _ in range(2)))[::2]
    wide = memoryview(data + bytes(-len(data) % 4)).cast("i")
    for view in (apart, wide):
        decoder = rgru_codec.Decoder()
        decoder.feed(view)
        assert shown(decoder) == rgru_codec.decompress(data).tobytes()
        assert decoder.ignored == view.nbytes - len(data)
    assert inspect(memoryview(data)).end == inspect(bytearray(data)).end == len(data)


def test_a_file_gives_a_picture_for_each_group(data: bytes, tmp_path: Path) -> None:
    path = tmp_path / "a.rgru"
    path.write_bytes(data)
    expected = [group.end for group in inspect(data).groups]
    with path.open("rb") as file:
        for source in (file, io.BytesIO(data), path, str(path), data, bytearray(data)):
            assert [stage.bytes for stage in rgru_codec.iter_pictures(source)] == expected


def test_iter_pictures_of_a_damaged_stream(data: bytes) -> None:
    broken = bytearray(data)
    broken[ends(data)[1] + 9] ^= 1
    stages = rgru_codec.iter_pictures(pieces(bytes(broken), 40))
    seen: list[int] = []
    with pytest.raises(rgru_codec.Damaged):
        seen.extend(stage.layers for stage in stages)
    assert max(seen) == 2


def test_iter_pictures_of_no_rgru() -> None:
    with pytest.raises(rgru_codec.NotRgru):
        list(rgru_codec.iter_pictures([b"GIF89a", b"...."]))
    with pytest.raises(rgru_codec.NotRgru, match="ends after 0 bytes"):
        list(rgru_codec.iter_pictures([]))


def test_asynchronous_streams(data: bytes) -> None:
    async def packets() -> AsyncIterator[bytes]:
        for piece in pieces(data, 60):
            await asyncio.sleep(0)
            yield piece

    async def both() -> tuple[list[rgru_codec.Stage], list[rgru_codec.Stage]]:
        async def collect() -> list[rgru_codec.Stage]:
            return [stage async for stage in rgru_codec.aiter_pictures(packets())]

        return await asyncio.gather(collect(), collect())

    expected = [(s.layers, s.bytes) for s in rgru_codec.iter_pictures(list(pieces(data, 60)))]
    for stages in asyncio.run(both()):
        assert [(s.layers, s.bytes) for s in stages] == expected
        assert stages[-1].picture.tobytes() == rgru_codec.decompress(data).tobytes()


def test_asynchronous_readers(data: bytes) -> None:
    async def collect() -> list[int]:
        reader = asyncio.StreamReader()
        reader.feed_data(data)
        reader.feed_eof()
        return [stage.bytes async for stage in rgru_codec.aiter_pictures(reader)]

    assert asyncio.run(collect()) == [group.end for group in inspect(data).groups]


def test_layers_below_zero() -> None:
    with pytest.raises(rgru_codec.InvalidInput, match="a whole number, 0 or more, got -1"):
        rgru_codec.Decoder(layers=-1)


def cost(data: bytes, cuts: list[int]) -> float:
    """CPU seconds of feeding a file cut there, with a picture after each layer."""
    decoder, position = rgru_codec.Decoder(threads=1), 0
    start = time.process_time()
    for cut in cuts:
        events = decoder.feed(data[position:cut])
        position = cut
        if any(isinstance(event, rgru_codec.LayerDecoded) for event in events):
            decoder.picture()
    return time.process_time() - start


@pytest.mark.bench
def test_a_hundred_pieces_cost_no_more_than_the_layers() -> None:
    data = rgru_codec.compress(photo(160, 160), layers="all", threads=1)
    hundred = [len(data) * n // 100 for n in range(1, 101)]
    cost(data, hundred)
    pairs = [(cost(data, hundred), cost(data, ends(data))) for _ in range(5)]
    ratio = min(first for first, _ in pairs) / min(second for _, second in pairs)
    assert ratio < 1.3, ratio  # 1.2 is promised; the rest is the machine's noise


def test_an_eager_decoder_shows_the_same_and_tells_the_same(
    alpha_data: bytes, monkeypatch: pytest.MonkeyPatch
) -> None:
    """It runs the networks beside the decoding of codes; where they fail, `picture` tells."""
    monkeypatch.setattr(rgru_codec.processes, "cores", lambda: 2)
    patient, eager = rgru_codec.Decoder(), EagerDecoder()
    for piece in pieces(alpha_data, 700):
        assert eager.feed(piece) == patient.feed(piece)
    assert eager._begun
    assert shown(eager) == shown(patient)

    def fails(*_: object) -> None:
        raise OutOfMemory("a window")

    monkeypatch.setattr(Painter, "add_layer", fails)
    eager = EagerDecoder()
    eager.feed(alpha_data)
    with pytest.raises(OutOfMemory):
        eager.picture()


@pytest.mark.parametrize("kind", [rgru_codec.Decoder, EagerDecoder])
@pytest.mark.parametrize("error", [OutOfMemory, MemoryError, KeyboardInterrupt])
def test_no_picture_follows_one_that_an_error_broke_off(
    data: bytes,
    kind: type[rgru_codec.Decoder],
    error: type[BaseException],
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    """The layer at which it broke off was left out of the next picture without a word."""
    monkeypatch.setattr(rgru_codec.processes, "cores", lambda: 2)
    windows = iter(range(99))

    def second_fails(*args: object, **options: object) -> None:
        if next(windows) == 1:
            raise error("a window")
        sweep(*args, **options)  # type: ignore[arg-type]

    monkeypatch.setattr(rgru_codec.iterations, "sweep", second_fails)
    decoder = kind()
    decoder.feed(data)
    with pytest.raises(error):
        decoder.picture()
    for _ in range(2):
        with pytest.raises(rgru_codec.InvalidInput, match="make a new decoder"):
            decoder.picture()


def test_threads_that_outlive_the_main_one_compress_and_decompress(tmp_path: Path) -> None:
    """They start threads of their own, which Python refuses then."""
    Image.fromarray(photo(200, 300)).save(tmp_path / "a.png")
    script = """
import atexit, hashlib, sys, threading
import rgru_codec, rgru_codec.processes
rgru_codec.processes.cores = lambda: 2
def work():
    data = rgru_codec.compress(sys.argv[1], msssim=0.9)
    pixels = rgru_codec.decompress(data).tobytes()
    print(hashlib.sha256(data + pixels).hexdigest())
def late():
    threading.main_thread().join()
    work()
if sys.argv[2] == "now":
    work()
else:
    atexit.register(work)
    threading.Thread(target=late).start()
    threading.Thread(target=work).start()
"""
    results = []
    for when in ("now", "late"):
        command = [sys.executable, "-c", script, str(tmp_path / "a.png"), when]
        result = subprocess.run(command, capture_output=True, text=True, check=False)
        assert not result.stderr
        results.append(result.stdout.split())
    assert results[1] == 3 * results[0]


def test_where_there_is_no_thread_to_start_the_work_is_done(
    data: bytes, monkeypatch: pytest.MonkeyPatch
) -> None:
    """`decompress` of 1.3.7 failed, and `compress` always."""
    pixels = photo(64, 96)
    packed = rgru_codec.compress(pixels, msssim=0.9, threads=1)
    expected = rgru_codec.decompress(data, threads=1).tobytes()
    monkeypatch.setattr(rgru_codec.processes, "cores", lambda: 2)

    def refused(self: threading.Thread) -> None:
        raise RuntimeError("can't start new thread")

    monkeypatch.setattr(threading.Thread, "start", refused)
    assert rgru_codec.decompress(data).tobytes() == expected
    assert rgru_codec.compress(pixels, msssim=0.9) == packed
    with pytest.raises(ZeroDivisionError):
        for_each(lambda divisor: 1 // divisor, [1, 0], 2)


def test_damage_leaves_no_thread_and_no_memory_of_networks_behind(
    data: bytes, monkeypatch: pytest.MonkeyPatch
) -> None:
    """An error and the decoder that it came from hold each other: 1.3.7 kept all until gc ran."""
    monkeypatch.setattr(rgru_codec.processes, "cores", lambda: 2)
    painters: list[weakref.ref[Painter]] = []
    whole = EagerDecoder._painter_of

    def painter_of(self: EagerDecoder, header: Header) -> Painter:
        painter = whole(self, header)
        painters.append(weakref.ref(painter))
        return painter

    monkeypatch.setattr(EagerDecoder, "_painter_of", painter_of)
    before = set(threading.enumerate())
    gc.disable()
    try:
        with pytest.raises(rgru_codec.Damaged):
            rgru_codec.decompress(data[:-1] + bytes([data[-1] ^ 1]))
        for thread in set(threading.enumerate()) - before:
            thread.join(60)
            assert not thread.is_alive()
        assert painters
        assert not any(painter() for painter in painters)
    finally:
        gc.enable()
