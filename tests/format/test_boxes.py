"""Boxes: where they stand, what they hold, and what a decoder does that does not know them."""

from __future__ import annotations

import tracemalloc

import pytest
from hypothesis import given
from hypothesis import strategies as st

from rgru_format import (
    BOX_COLOUR,
    BOX_EXIF,
    BOX_ICC,
    BOX_XMP,
    SRGB,
    Box,
    BoxRead,
    Colour,
    InvalidInput,
    LimitExceeded,
    Limits,
    UnsupportedVersion,
    inspect,
    pack_box,
    write_file,
)
from rgru_format.container import pack_element

from .test_reader import ALPHA, EXIF, FIRST, HEADER, NOTE


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
