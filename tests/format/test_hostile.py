"""Hostile and broken files: only our errors, at once, and what came before stays usable."""

from __future__ import annotations

import contextlib
import pickle
import subprocess
import sys
import time
import tracemalloc

import numpy as np
import pytest

from rgru_format import (
    Box,
    CodesDecoder,
    ContextModel,
    Damaged,
    GroupRead,
    Header,
    LimitExceeded,
    NeedMoreData,
    Reader,
    RgruError,
    check,
    codes_digest,
    encode_alpha,
    inspect,
    pack_box,
    pack_group,
)
from rgru_format.codes import working_bytes
from rgru_format.conformance import VECTORS, models_of
from rgru_format.container import pack_head
from rgru_format.errors import (
    InvalidInput,
    ModelMissing,
    NotRgru,
    OutOfMemory,
    UnsupportedVersion,
)

SMALL = ["example", "size_97x33", "alpha", "colour", "box_empty", "boxes_not_deflated"]
PREFIXES = [*SMALL, "boxes", "cut_inside_group", "extreme"]


find_model = models_of(VECTORS)


def decode(data: bytes, step: int = 10**9) -> tuple[list[str], RgruError | None]:
    """Return the digests of whole layers, and of what arrived of the next; and the error."""
    reader, digests = Reader(find_model=find_model), []
    decoder = None
    error: RgruError | None = None
    try:
        for start in range(0, len(data), step):
            for event in reader.feed(data[start : start + step]):
                if decoder is None and reader.model is not None:
                    assert reader.header is not None
                    decoder = CodesDecoder(reader.model, *reader.header.grid)
                if isinstance(event, GroupRead):
                    assert decoder is not None
                    decoder.decode(event)
                    if decoder.current is None and decoder.last is not None:
                        digests.append(codes_digest(decoder.last))
        reader.close()
    except RgruError as caught:
        error = caught
    if decoder is not None and decoder.current is not None:
        digests.append(f"{decoder.group} groups: {codes_digest(decoder.current)}")
    return digests, error


def load(name: str) -> bytes:
    return (VECTORS / "valid" / f"{name}.rgru").read_bytes()


@pytest.mark.parametrize("name", PREFIXES)
def test_every_prefix_decodes_to_its_whole_groups(name: str) -> None:
    """And the file that is cut at the last whole element gives exactly the same."""
    data = load(name)
    known: dict[int, list[str]] = {}
    for size in range(21, len(data) + 1):
        prefix = data[:size]
        end = inspect(prefix, find_model=find_model).sound().end
        if end not in known:
            known[end], error = decode(data[:end])
            assert error is None
        digests, error = decode(prefix)
        assert error is None
        assert digests == known[end]
    assert known[max(known)] == decode(data)[0]


@pytest.mark.parametrize("name", SMALL)
def test_every_flipped_bit_is_told_and_earlier_layers_stay(name: str) -> None:
    data = load(name)
    good, _ = decode(data)
    for bit in range(8 * len(data)):
        flipped = bytearray(data)
        flipped[bit // 8] ^= 1 << bit % 8
        digests, error = decode(bytes(flipped))
        whole = [one for one in digests if "groups" not in one]
        assert whole == good[: len(whole)]
        if bit < 8 * 21:
            with pytest.raises((NotRgru, Damaged)):
                inspect(bytes(flipped))
            continue
        report, _ = check(bytes(flipped), find_model=find_model)
        if report.error is not None:
            assert repr(error) == repr(report.error) or "alpha" in str(report.error)
            assert isinstance(report.error, Damaged | LimitExceeded)
            if isinstance(report.error, Damaged):
                assert report.error.offset is not None
                assert report.error.offset <= bit // 8
        else:
            # A length that grew: the file looks cut, which is told; and one bit explains it.
            assert report.unfinished
            assert report.end <= bit // 8
            assert report.suspicion is not None
            assert f"byte {bit // 8} " in report.suspicion


@pytest.mark.parametrize("step", [1, 3, 17, 23, 120, 700, 1050])
def test_codes_do_not_depend_on_the_pieces(step: int) -> None:
    for path in sorted(VECTORS.glob("*valid/*.rgru")):
        data = path.read_bytes()
        digests, error = decode(data)
        again, other = decode(data, step)
        assert again == digests
        assert repr(other) == repr(error)


def test_cut_files_are_not_suspected_of_damage() -> None:
    for path in sorted(VECTORS.glob("valid/*.rgru")):
        data = path.read_bytes()
        for size in range(21, len(data), 3):
            assert inspect(data[:size], find_model=find_model).suspicion is None


def test_pixels_over_the_limit_fail_at_once() -> None:
    """60 bytes that claim 4 Gpx."""
    data = (VECTORS / "invalid" / "pixels_over_limit.rgru").read_bytes()
    assert len(data) <= 60
    tracemalloc.start()
    try:
        started = time.process_time()
        with pytest.raises(LimitExceeded, match=r"max_pixels: 42949\d{5}") as caught:
            Reader().feed(data)
        taken = time.process_time() - started
        _, peak = tracemalloc.get_traced_memory()
    finally:
        tracemalloc.stop()
    assert caught.value.value > 4 * 10**9
    assert taken < 0.1
    assert peak < 2**20


@pytest.mark.parametrize("kind", [0, 1, 2])
@pytest.mark.parametrize("length", [2**19, 2**24, 2**28, 2**30 - 1])
def test_lengths_cost_nothing_before_the_bytes_arrive(kind: int, length: int) -> None:
    header = Header(8000, 8000, b"tiny", alpha=True).pack()
    data = header + pack_group(b"", 0, True) + pack_head(kind, length) + b"\0\0ALPH"
    tracemalloc.start()
    try:
        reader = Reader()
        reader.feed(data)
        _, peak = tracemalloc.get_traced_memory()
    finally:
        tracemalloc.stop()
    assert peak < 2**20
    with contextlib.suppress(Damaged, LimitExceeded):
        assert reader.close().missing > 0


def test_the_reader_holds_one_element_at_most() -> None:
    header = Header(4000, 4000, b"tiny").pack()
    element = pack_group(bytes(2**16), 0, True)
    reader = Reader()
    reader.feed(header)
    tracemalloc.start()
    try:
        for ordinal in range(40):
            element = pack_group(bytes(2**16), ordinal, True)
            for start in range(0, len(element), 4096):
                reader.feed(element[start : start + 4096])
        _, peak = tracemalloc.get_traced_memory()
    finally:
        tracemalloc.stop()
    assert peak < 8 * 2**16


def test_bytes_one_by_one_take_linear_time() -> None:
    data = Header(4000, 4000, b"tiny").pack() + pack_group(bytes(2**16), 0, True)
    started = time.process_time()
    reader = Reader()
    for index in range(len(data)):
        reader.feed(data[index : index + 1])
    assert reader.layer == 1
    assert time.process_time() - started < 2


def test_a_short_stream_for_a_large_grid_is_bounded_work(model: ContextModel) -> None:
    """Nothing but the header's size makes work: an empty stream is legal, and costs its codes."""
    decoder = CodesDecoder(model, 128, 128)
    started = time.process_time()
    decoder.decode_group(b"")
    assert time.process_time() - started < 2
    assert decoder.last is not None
    assert set(np.unique(decoder.last)) <= {-1, 1}


def test_memory_of_the_context_model_is_bounded_on_large_grids(model: ContextModel) -> None:
    for grid in [(400, 400), (1, 160_000), (160_000, 1)]:
        tracemalloc.start()
        try:
            CodesDecoder(model, *grid).decode_group(b"")
            _, peak = tracemalloc.get_traced_memory()
        finally:
            tracemalloc.stop()
        assert peak < working_bytes(model, *grid)


def test_errors_have_words_and_survive_pickling() -> None:
    errors = [
        NotRgru("no"),
        UnsupportedVersion("version 2"),
        Damaged("torn", layer=2, offset=99),
        Damaged("torn"),
        LimitExceeded("max_pixels", 9, 8),
        LimitExceeded("max_pixels", 9, 8, "it is thin", "thin"),
        ModelMissing(b"\x01\x02\x03\x04", "pip install it"),
        InvalidInput("odd"),
        OutOfMemory("a window of 9x9 pixels"),
    ]
    words = [
        "no",
        "version 2",
        "torn (layer 2, byte 99)",
        "torn",
        "max_pixels: 9 is over the limit of 8; pass Limits(max_pixels=...) to allow more",
        "max_pixels: 9 is over the limit of 8; it is thin",
        "the file needs model 01020304, which is not installed; install it with: pip install it",
        "odd",
        "not enough memory for a window of 9x9 pixels; close other programs or use fewer processes",
    ]
    for error, text in zip(errors, words, strict=True):
        assert str(error) == text
        again = pickle.loads(pickle.dumps(error))
        assert type(again) is type(error)
        assert str(again) == text
        assert vars(again) == vars(error)
        assert vars(again) == vars(error)
    direct = set(RgruError.__subclasses__())
    assert {type(error) for error in errors} == direct | set(LimitExceeded.__subclasses__())


def test_importing_the_format_costs_numpy_only() -> None:
    program = (
        f"import sys; sys.path[:0] = {[p for p in sys.path if p]!r}\n"
        "import rgru_format, rgru_format.conformance\n"
        "heavy = {'constriction', 'PIL', 'tensorflow', 'keras', 'ai_edge_litert', 'matplotlib'}\n"
        "assert not heavy & set(sys.modules), heavy & set(sys.modules)\n"
    )
    done = subprocess.run([sys.executable, "-c", program], capture_output=True, check=False)
    assert (done.returncode, done.stdout, done.stderr) == (0, b"", b"")


def test_a_report_tells_layers_boxes_and_alpha() -> None:
    report, decoded = check(load("boxes"), find_model=find_model)
    assert report.sound() is report
    assert not report.unfinished
    names = [one.box.type for one in report.boxes]
    assert names == [b"iccp", b"note", b"exif", b"xmp "]
    assert [(one.number, len(one.groups)) for one in report.layers] == [(1, 1), (2, 2)]
    assert report.layers[-1].end == report.size
    assert report.layers[1].bytes == report.layers[1].framing + sum(
        len(group.payload) for group in report.layers[1].groups
    )
    assert [layer.complete for layer in report.layers] == [True, True]
    assert [layer.complete for layer in inspect(load("boxes")).layers] == [None, None]
    assert len(decoded.digests) == 2
    header = Header(9, 7, b"tiny", alpha=True)
    plane = encode_alpha(np.zeros((7, 8), np.uint8))
    wrong, decoded = check(header.pack() + pack_box(Box(b"ALPH", plane)))
    assert isinstance(wrong.error, Damaged)
    assert (wrong.error.layer, wrong.error.offset) == (1, 21)
    assert "alpha plane" in str(wrong.error)
    assert wrong.elements == ()
    assert decoded.alpha is None


def test_more_data_is_wanted_until_it_is_there() -> None:
    data = load("example")
    reader = Reader()
    at, events = 0, 0
    while at < len(data):
        *new, more = reader.feed(b"")
        assert isinstance(more, NeedMoreData)
        assert new == []
        *new, _ = reader.feed(data[at : at + more.at_least])
        at += more.at_least
        events += len(new)
    assert events == 5
