"""The push parser: events, order of elements, cuts and damage, however the bytes arrive."""

from __future__ import annotations

import itertools
import zlib
from collections.abc import Callable, Iterable

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from rgru_format import (
    BOX_ALPHA,
    BOX_COLOUR,
    BOX_EXIF,
    BOX_ICC,
    Box,
    BoxRead,
    Colour,
    Damaged,
    Ending,
    Event,
    GroupRead,
    Header,
    HeaderRead,
    InvalidInput,
    LimitExceeded,
    Limits,
    NeedMoreData,
    NotRgru,
    Reader,
    RgruError,
    Writer,
    cut_to_layers,
    cut_to_size,
    inspect,
    pack_box,
    pack_group,
    write_file,
)
from rgru_format.container import pack_element, pack_head

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
            assert ending.offset + ending.unfinished + ending.ignored == size
            assert not any(data[ending.offset : ending.offset + ending.ignored])
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
    ("before the first layer", lambda: group(b"x", 0, False)),
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
    assert not contents.unfinished
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
