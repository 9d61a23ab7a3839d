"""The push parser: events, order of elements, cuts and damage, however the bytes arrive."""

from __future__ import annotations

import itertools
import tracemalloc
import zlib
from collections.abc import Callable, Iterable, Iterator

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from rgru_format import (
    BOX_ALPHA,
    BOX_COLOUR,
    BOX_EXIF,
    BOX_ICC,
    BOX_XMP,
    SRGB,
    Box,
    BoxRead,
    Colour,
    ContextModel,
    Damaged,
    Ending,
    Event,
    GroupRead,
    Header,
    HeaderRead,
    InvalidInput,
    LimitExceeded,
    Limits,
    ModelMissing,
    NeedMoreData,
    NotRgru,
    Reader,
    Report,
    RgruError,
    UnsupportedVersion,
    Writer,
    cut_to_layers,
    cut_to_size,
    encode_alpha,
    inspect,
    pack_box,
    pack_group,
    write_file,
)
from rgru_format.container import pack_element, pack_head
from rgru_format.testing import random_model

HEADER = Header(width=33, height=17, model_id=b"tiny", alpha=True)
ICC, EXIF, ALPHA = Box(BOX_ICC, b"profile"), Box(BOX_EXIF, b"II*"), Box(BOX_ALPHA, b"plane")


def split(data: bytes, sizes: Iterable[int]) -> Iterable[bytes]:
    at = 0
    for size in sizes:
        if at >= len(data):
            return
        yield data[at : at + size]
        at += size


def events_of(data: bytes, sizes: Iterable[int]) -> tuple[list[Event], str]:
    """Return all events but "more data", and how it ended, in words."""
    reader = Reader()
    events: list[Event] = []
    try:
        for chunk in split(data, sizes):
            new = reader.feed(chunk)
            events += [event for event in new if not isinstance(event, NeedMoreData)]
        return events, repr(reader.close())
    except RgruError as error:
        return events, repr(error)


def whole(data: bytes) -> tuple[list[Event], str]:
    return events_of(data, [len(data)])


def example() -> bytes:
    layers = [[b"first"], [b"second", b"", b"third" * 30]]
    return write_file(HEADER, layers, [ICC, EXIF, ALPHA])


def test_events_tell_what_the_file_holds() -> None:
    data = example()
    contents = inspect(data).sound()
    assert contents.header == HEADER
    assert [one.box for one in contents.boxes] == [ICC, ALPHA, EXIF]
    groups = contents.groups
    assert [(one.layer, one.group) for one in groups] == [(1, 0), (2, 0), (2, 1), (2, 2)]
    assert [one.payload for one in groups] == [b"first", b"second", b"", b"third" * 30]
    starts = sorted([one.offset for one in groups] + [one.offset for one in contents.boxes])
    assert starts[0] == 21
    assert groups[-1].end == len(data) == contents.end
    assert contents.ending == Ending(2, 3, len(data), 0, 0, None)
    for one in groups:
        assert data[one.offset : one.end].endswith(one.payload)


INCREMENTS = [1, 3, 17, 23, 120, 700, 1050]


@pytest.mark.parametrize("increment", INCREMENTS)
def test_increments_change_nothing(files: list[bytes], increment: int) -> None:
    for data in files:
        assert events_of(data, itertools.repeat(increment)) == whole(data)


@settings(max_examples=60)
@given(st.integers(0, 11), st.lists(st.integers(0, 90)), st.integers(0, 10**6), st.integers(0, 7))
def test_random_pieces_change_nothing_even_for_damaged_files(
    files: list[bytes], index: int, sizes: list[int], place: int, bit: int
) -> None:
    data = bytearray(files[index])
    sizes = [*sizes, len(data)]
    assert events_of(bytes(data), sizes) == whole(bytes(data))
    data[place % len(data)] ^= 1 << bit
    assert events_of(bytes(data), sizes) == whole(bytes(data))


def test_every_prefix_gives_the_first_events(files: list[bytes]) -> None:
    for data in [example(), *files[:4]]:
        all_events, _ = whole(data)
        for size in range(21, len(data)):
            reader = Reader()
            events = reader.feed(data[:size])
            more = events.pop()
            assert isinstance(more, NeedMoreData)
            assert more.at_least >= 1
            assert events == all_events[: len(events)]
            ending = reader.close()
            assert ending.offset + ending.unfinished == size
            assert cut_to_size(data, size) == data[: ending.offset]


def test_at_least_is_never_too_much() -> None:
    """No event can come before `at_least` bytes have come."""
    data = example()
    reader, wanted = Reader(), 0
    for index in range(len(data)):
        events = reader.feed(data[index : index + 1])
        more = events.pop()
        assert isinstance(more, NeedMoreData)
        assert not (events and wanted > 1)
        wanted = more.at_least
    reader.close()


def test_at_least_names_the_whole_element() -> None:
    data = HEADER.pack() + pack_group(bytes(range(100)), 0, first_of_layer=True)
    reader = Reader()
    *_, more = reader.feed(data[:30])
    assert more == NeedMoreData(len(data) - 30)
    ending = reader.close()
    assert (ending.unfinished, ending.missing, ending.cut_layer) == (9, len(data) - 30, 1)


@pytest.mark.parametrize("size", range(21))
def test_a_file_cut_inside_its_header_is_an_error(size: int) -> None:
    reader = Reader()
    (more,) = reader.feed(example()[:size])
    assert more == NeedMoreData(21 - size)
    with pytest.raises((NotRgru, Damaged), match=f"after {size} bytes"):
        reader.close()


def test_events_before_damage_are_delivered_then_the_error() -> None:
    data = bytearray(example())
    data[-1] ^= 1
    reader = Reader()
    events = reader.feed(bytes(data))
    assert [one.group for one in events if isinstance(one, GroupRead)] == [0, 0, 1]
    for _ in range(2):
        with pytest.raises(Damaged, match=r"checksum of a group .*\(layer 2, byte \d+\)"):
            reader.feed(b"more")
    with pytest.raises(Damaged, match="checksum"):
        reader.close()
    assert reader.error is not None


def test_every_flipped_bit_is_an_error_or_looks_like_a_cut(files: list[bytes]) -> None:
    """No flip changes an event. A flipped length may make the file look cut; never longer."""
    for data in [example(), *files[:6]]:
        groups = [event for event in whole(data)[0] if not isinstance(event, HeaderRead)]
        starts = [event.offset for event in groups if isinstance(event, GroupRead | BoxRead)]
        for bit in range(8 * 21, 8 * len(data)):
            flipped = bytearray(data)
            flipped[bit // 8] ^= 1 << bit % 8
            reader = Reader()
            events = [e for e in reader.feed(bytes(flipped)) if isinstance(e, GroupRead | BoxRead)]
            hit = sum(start <= bit // 8 for start in starts) - 1
            assert events == groups[:hit]
            if reader.error is None:
                ending = reader.close()
                assert ending.offset == starts[hit]
                assert ending.missing > 0
            elif isinstance(reader.error, Damaged):
                assert reader.error.offset == starts[hit]
                assert reader.error.layer is not None
            else:
                assert isinstance(reader.error, LimitExceeded)


def group(payload: bytes, ordinal: int, first: bool) -> bytes:
    return pack_group(payload, ordinal, first)


FIRST = group(b"one", 0, True)
NOTE = Box(b"note", b"")
DEFLATED = zlib.compress(b"content")
BAD_ORDERS: list[tuple[str, Callable[[], bytes]]] = [
    ("before the first layer", lambda: group(b"", 0, False)),
    ("between the groups", lambda: FIRST + pack_box(Box(b"abcd", b"")) + group(b"", 1, False)),
    ("iccp stands after a layer", lambda: FIRST + pack_box(ICC)),
    ("occurs twice", lambda: pack_box(ICC) + pack_box(EXIF) + pack_box(ICC)),
    ("occurs twice", lambda: pack_box(ALPHA) + pack_box(ALPHA)),
    ("reserved kind 3", lambda: FIRST + pack_element(3, b"", 0)),
    ("has the type", lambda: pack_element(2, b"ab\nc", 0xFFFF)),
    ("has the type", lambda: pack_element(2, b"1abc", 0xFFFF)),
    ("two boxes of colour", lambda: pack_box(ICC) + pack_box(Box(BOX_COLOUR, b"\1\1\0\1"))),
    ("Tile stands after a layer", lambda: FIRST + pack_element(2, b"Tile", 0xFFFF)),
    ("has 3 bytes, not 4", lambda: pack_element(2, BOX_COLOUR + b"\1\1\0", 0xFFFF)),
    ("not two code points", lambda: pack_element(2, BOX_COLOUR + b"\1\1\1\1", 0xFFFF)),
    ("unknown form of no bytes", lambda: pack_element(2, BOX_EXIF, 0xFFFF)),
    ("unknown form 02", lambda: pack_element(2, BOX_EXIF + b"\2", 0xFFFF)),
    ("cannot be inflated", lambda: pack_element(2, BOX_EXIF + b"\1xy", 0xFFFF)),
    ("ends too early", lambda: pack_element(2, BOX_EXIF + b"\1" + DEFLATED[:-1], 0xFFFF)),
    ("bytes follow", lambda: pack_element(2, BOX_EXIF + b"\1" + DEFLATED + b"x", 0xFFFF)),
    ("more than 64 layers", lambda: b"".join(group(b"", n, True) for n in range(65))),
    ("no room for its type", lambda: pack_element(2, b"ABC", 0xFFFF)),
    ("more than it can need", lambda: pack_head(2, 1000) + b"xxALPH"),
    ("more than its codes can need", lambda: pack_head(1, 2**20)),
    ("not in its shortest form", lambda: b"\x81\x00"),
    ("does not end", lambda: b"\x81\x80\x80\x80\x80"),
    ("claims", lambda: b"\x81\x80\x80\x80\x7f"),
    ("more than 64 groups", lambda: FIRST + b"".join(group(b"", n, False) for n in range(1, 65))),
    ("more than 256 boxes", lambda: 257 * pack_box(Box(b"abcd", b""))),
    ("checksum of a group", lambda: FIRST + FIRST),
    ("checksum of a group", lambda: group(b"one", 1, True)),
]


@pytest.mark.parametrize(("word", "make"), BAD_ORDERS)
def test_what_spec_forbids_is_damage(word: str, make: Callable[[], bytes]) -> None:
    reader = Reader()
    reader.feed(HEADER.pack() + make())
    with pytest.raises(Damaged, match=word):
        reader.close()


def test_an_alpha_box_needs_its_flag() -> None:
    reader = Reader()
    reader.feed(Header(1, 1, b"tiny").pack() + pack_box(ALPHA))
    with pytest.raises(Damaged, match="says it has none"):
        reader.close()


def test_zero_layers_are_legal() -> None:
    contents = inspect(HEADER.pack()).sound()
    assert contents.groups == ()
    assert contents.ending == Ending(0, 0, 21, 0, 0, None)


@pytest.mark.parametrize(
    ("limits", "name", "value"),
    [
        (Limits(max_pixels=33 * 17 - 1), "max_pixels", 33 * 17),
        (Limits(max_metadata_bytes=17), "max_metadata_bytes", 18),
    ],
)
def test_limits_name_themselves(limits: Limits, name: str, value: int) -> None:
    with pytest.raises(LimitExceeded, match=rf"{name}: {value} is over .*Limits\({name}") as caught:
        inspect(example(), limits).sound()
    assert (caught.value.name, caught.value.value) == (name, value)
    assert caught.value.limit == value - 1


def test_limits_that_are_just_met_are_kept() -> None:
    assert inspect(example(), Limits(max_pixels=33 * 17, max_metadata_bytes=18)).error is None


@pytest.mark.parametrize("layers", [0, 1, 2, 3])
def test_a_file_with_fewer_layers_is_a_prefix(layers: int) -> None:
    data = example()
    cut = cut_to_layers(data, layers)
    assert data.startswith(cut)
    contents = inspect(cut).sound()
    assert max((one.layer for one in contents.groups), default=0) == min(layers, 2)
    assert not contents.cut
    assert len(contents.boxes) == (1 if layers == 0 else 3)


def test_cut_to_size_needs_room_for_the_header() -> None:
    assert cut_to_size(example(), 21) == HEADER.pack()
    with pytest.raises(InvalidInput, match="at least 21"):
        cut_to_size(example(), 20)


def test_the_writer_refuses_what_the_reader_would() -> None:
    writer = Writer(Header(1, 1, b"tiny"))
    with pytest.raises(InvalidInput, match="open layer"):
        writer.add_group(b"", first_of_layer=False)
    with pytest.raises(InvalidInput, match="alpha flag"):
        writer.add_box(ALPHA)
    with pytest.raises(InvalidInput, match="at least one group"):
        writer.add_layer([])
    with pytest.raises(InvalidInput, match="critical box Tile"):
        writer.add_box(Box(b"Tile", b""))
    with pytest.raises(InvalidInput, match="not two code points"):
        writer.add_box(Box(BOX_COLOUR, b"\1\1\1\1"))
    writer = Writer(Header(1, 1, b"tiny"), [ICC])
    with pytest.raises(InvalidInput, match="once only"):
        writer.add_box(ICC)
    with pytest.raises(InvalidInput, match="one box of colour"):
        writer.add_box(Box(BOX_COLOUR, Colour(9, 16).pack()))
    writer.add_layer([b"x"] * 64)
    with pytest.raises(InvalidInput, match="open layer"):
        writer.add_group(b"", first_of_layer=False)
    writer.add_layer([b"x"])
    for _ in range(255):
        writer.add_box(Box(b"abcd", b""))
    with pytest.raises(InvalidInput, match="open layer"):
        writer.add_group(b"", first_of_layer=False)
    with pytest.raises(InvalidInput, match="at most 256"):
        writer.add_box(Box(b"abcd", b""))
    data = writer.getvalue()
    assert len(data) == writer.size
    assert len(inspect(data).sound().groups) == 65
    late = Writer(Header(1, 1, b"tiny"))
    for _ in range(64):
        late.add_layer([b""])
    with pytest.raises(InvalidInput, match="before the first layer"):
        late.add_box(ICC)
    with pytest.raises(InvalidInput, match="at most 64 layers"):
        late.add_layer([b""])


def test_overhead_is_small() -> None:
    """Header, one length and one checksum: under 30 bytes, and 64 bytes hold a small picture."""
    data = write_file(Header(768, 512, b"tiny"), [[bytes(4000)]])
    assert len(data) - 4000 <= 26
    # 16x16 pixels: one position of at most 256 codes, uncoded.
    assert len(write_file(Header(16, 16, b"tiny"), [[bytes(32)]])) <= 64


def test_alpha_exif_and_xmp_stand_behind_layer_1_and_colour_before_it() -> None:
    xmp, colour, note = Box(BOX_XMP, b"<x/>"), Box(BOX_COLOUR, Colour(12, 13).pack()), NOTE
    data = write_file(HEADER, [[b"first"], [b"second"]], [xmp, EXIF, note, ALPHA, colour])
    elements = inspect(data).sound().elements
    names = [one.box.type if isinstance(one, BoxRead) else one.layer for one in elements]
    assert names == [b"note", b"cicp", 1, b"ALPH", b"exif", b"xmp ", 2]
    one_layer = write_file(HEADER, [[b"first"]], [xmp, EXIF, note, ALPHA, colour])
    assert data.startswith(one_layer)
    assert {one.box.type for one in inspect(one_layer).boxes} >= {b"ALPH", b"exif", b"xmp "}


@given(st.binary(max_size=300), st.integers(1, 40))
def test_metadata_comes_back_whether_deflated_or_not(content: bytes, times: int) -> None:
    for name in (BOX_ICC, BOX_EXIF, BOX_XMP):
        box = Box(name, content * times)
        data = HEADER.pack() + pack_box(box)
        (found,) = inspect(data).sound().boxes
        assert found.box == box
        assert found.end - found.offset <= 5 + 2 + 4 + 1 + len(box.content)
        assert found.end == len(data)


def test_metadata_is_deflated_where_that_is_smaller() -> None:
    assert len(pack_box(Box(BOX_ICC, bytes(3144)))) < 50
    assert len(pack_box(Box(BOX_ICC, bytes(range(100))))) == 2 + 2 + 4 + 1 + 100
    assert len(pack_box(Box(b"note", bytes(3144)))) == 2 + 2 + 4 + 3144


def test_deflated_metadata_never_expands_beyond_the_limit() -> None:
    bomb = HEADER.pack() + pack_box(Box(BOX_EXIF, bytes(2**24 - 3)))
    assert len(bomb) < 2**15
    tracemalloc.start()
    try:
        error = inspect(bomb).error
        assert isinstance(error, LimitExceeded)
        assert "max_metadata_bytes: 16777217" in str(error)
        assert isinstance(inspect(bomb, Limits(max_metadata_bytes=1000)).error, LimitExceeded)
        _, peak = tracemalloc.get_traced_memory()
    finally:
        tracemalloc.stop()
    assert peak < 2.5 * 2**24
    fits = HEADER.pack() + pack_box(Box(BOX_EXIF, bytes(2**24 - 4)))
    assert inspect(fits).error is None
    several = fits + pack_box(Box(b"note", b""))
    assert isinstance(inspect(several).error, LimitExceeded)


def test_colour_is_two_code_points() -> None:
    assert Colour(12, 13).pack().hex() == "0c0d0001"
    assert Colour.unpack(bytes.fromhex("0c0d0001")) == Colour(12, 13)
    assert Colour(1, 13) == SRGB
    with pytest.raises(InvalidInput, match="code points are"):
        Colour(256, 1).pack()


def test_a_critical_box_that_is_not_known_is_a_later_edition() -> None:
    unknown = pack_element(2, b"Tile" + b"x", 0xFFFF)
    report = inspect(HEADER.pack() + unknown + FIRST)
    assert isinstance(report.error, UnsupportedVersion)
    assert "the box Tile" in str(report.error)
    assert report.elements == ()
    ancillary = pack_element(2, b"tile" + b"x", 0xFFFF)
    assert len(inspect(HEADER.pack() + ancillary + FIRST).sound().elements) == 2


MODEL = random_model(1, codes=(3, 4), groups=(1, 2))
WHOLE = Header(16, 16, b"tiny").pack() + FIRST + group(b"", 1, True) + group(b"", 2, False)


def with_model(data: bytes) -> Report:
    return inspect(data, find_model=lambda _: MODEL)


@pytest.mark.parametrize(
    "rest",
    [
        *(
            b"\0",
            bytes(5000),
            b"\n",
            b"-- \nsent",
            FIRST,
            group(b"", 3, True),
            b"\x83",
            b"\xfe" * 9,
        ),
        *(pack_box(ICC), pack_element(2, b"Tile", 0xFFFF), pack_box(EXIF)[:-1]),
    ],
)
@pytest.mark.parametrize("step", [1, 7, 10**6])
def test_what_stands_behind_the_last_layer_of_the_model_is_ignored(rest: bytes, step: int) -> None:
    note = pack_box(NOTE)
    for end in (WHOLE, WHOLE + note):
        data = end + rest
        reader = Reader(find_model=lambda _: MODEL)
        events = [
            event
            for at in range(0, len(data), step)
            for event in reader.feed(data[at : at + step])
            if not isinstance(event, NeedMoreData)
        ]
        ending = reader.close()
        assert (ending.ignored, ending.unfinished, ending.offset) == (len(rest), 0, len(end))
        assert len(events) == 4 + (end != WHOLE)
        assert reader.complete


def test_a_file_is_complete_with_its_alpha_plane_only() -> None:
    start = Header(1, 1, b"tiny", alpha=True).pack()
    layers = WHOLE[21:]
    alpha = pack_box(Box(BOX_ALPHA, encode_alpha(np.zeros((1, 1), np.uint8))))
    assert isinstance(with_model(start + layers + bytes(3)).error, Damaged)
    assert with_model(start + layers + alpha[:-1]).cut
    assert with_model(start + layers).alpha_missing
    ending = with_model(start + layers + alpha + bytes(3)).sound().ending
    assert ending is not None
    assert ending.ignored == 3


def test_files_with_fewer_layers_than_the_model_are_not_padded() -> None:
    assert isinstance(with_model(WHOLE[: 21 + len(FIRST)] + bytes(100)).error, Damaged)


@pytest.mark.parametrize(
    ("data", "words"),
    [
        (FIRST + group(b"", 1, False), "layer 1 has more groups"),
        (FIRST + group(b"", 1, True) + group(b"", 2, True), "layer 2 has fewer groups"),
        (FIRST + group(b"", 1, True) + pack_box(NOTE), "behind a layer that lacks groups"),
        (pack_head(1, 2 * 3 + 9), "more than its codes can need"),
    ],
)
def test_with_the_model_the_reader_knows_how_many_groups_there_are(data: bytes, words: str) -> None:
    report = with_model(Header(16, 16, b"tiny").pack() + data)
    with pytest.raises(Damaged, match=words):
        report.sound()
    assert inspect(Header(16, 16, b"tiny").pack() + data).error is None


def test_the_header_is_handed_out_before_a_model_that_is_missing() -> None:
    def none(model_id: bytes) -> ContextModel:
        raise ModelMissing(model_id)

    reader = Reader(find_model=none)
    assert reader.feed(WHOLE) == [HeaderRead(Header(16, 16, b"tiny"))]
    with pytest.raises(ModelMissing):
        reader.feed(b"")
    report = inspect(WHOLE + b"\3", find_model=none)
    assert isinstance(report.error, ModelMissing)
    assert report.header.width == 16


@pytest.mark.parametrize("piece", [1, 20, 1000])
def test_a_report_is_the_same_for_files_in_pieces(files: list[bytes], piece: int) -> None:
    for data in [*files, files[0][:-1]]:
        pieces = (data[at : at + piece] for at in range(0, len(data), piece))
        assert inspect(pieces) == inspect(data)


def test_no_further_piece_is_asked_for_after_a_fault() -> None:
    def pieces() -> Iterator[bytes]:
        yield b"GIF89a..."
        raise AssertionError("asked for more")

    with pytest.raises(NotRgru):
        inspect(pieces())
