"""Header, heads and boxes, byte for byte."""

from __future__ import annotations

import binascii

import pytest
from hypothesis import given
from hypothesis import strategies as st

from rgru_format import (
    Box,
    Damaged,
    Header,
    InvalidInput,
    NotRgru,
    UnsupportedVersion,
    pack_box,
    pack_group,
)
from rgru_format.container import check_signature, pack_head

SAMPLE = Header(width=768, height=513, model_id=b"\x01\x02\x03\x04", grey=True, alpha=False)


def with_crc(body: bytes) -> bytes:
    return body + binascii.crc_hqx(body, 0xFFFF).to_bytes(2, "little")


def test_the_header_has_its_fields_where_spec_says() -> None:
    data = SAMPLE.pack()
    assert data[:19].hex(" ") == "89 52 47 52 55 0d 0a 1a 00 03 00 01 02 00 11 01 02 03 04"
    assert data == with_crc(data[:19])


@given(
    st.integers(1, 2**24 - 1),
    st.integers(1, 2**24 - 1),
    st.binary(min_size=4, max_size=4),
    st.booleans(),
    st.booleans(),
)
def test_headers_come_back(width: int, height: int, name: bytes, grey: bool, alpha: bool) -> None:
    header = Header(width, height, name, grey, alpha)
    assert Header.unpack(header.pack()) == header


@pytest.mark.parametrize(
    ("start", "word"),
    [
        (b"\x89RGRU\n\x1a", "line endings"),
        (b"\x89RGRU\r\r\n\x1a", "line endings"),
        (b"\tRGRU\r\n\x1a", "eighth bit"),
        (b"\x89PNG\r\n\x1a\n", "signature"),
        (b"GIF89a", "signature"),
    ],
)
def test_another_beginning_is_no_rgru_file(start: bytes, word: str) -> None:
    with pytest.raises(NotRgru, match=word):
        check_signature(start)


def test_every_flipped_bit_of_a_header_is_found() -> None:
    data = SAMPLE.pack()
    for bit in range(8 * len(data)):
        flipped = bytearray(data)
        flipped[bit // 8] ^= 1 << bit % 8
        with pytest.raises((NotRgru, Damaged), match=r"signature|checksum|transfer"):
            Header.unpack(bytes(flipped))


@pytest.mark.parametrize(
    ("at", "value", "error", "word"),
    [
        (14, 0x12, UnsupportedVersion, "version 2"),
        (14, 0x10, UnsupportedVersion, "version 0"),
        (14, 0x51, UnsupportedVersion, "flags"),
        (14, 0x91, UnsupportedVersion, "flags"),
    ],
)
def test_unknown_versions_and_flags_are_refused(
    at: int, value: int, error: type[Exception], word: str
) -> None:
    body = bytearray(SAMPLE.pack()[:19])
    body[at] = value
    with pytest.raises(error, match=word):
        Header.unpack(with_crc(bytes(body)))


@pytest.mark.parametrize("at", [8, 11])
def test_a_side_of_zero_is_damage(at: int) -> None:
    body = bytearray(SAMPLE.pack()[:19])
    body[at : at + 3] = bytes(3)
    with pytest.raises(Damaged, match="side of zero"):
        Header.unpack(with_crc(bytes(body)))


@pytest.mark.parametrize(
    "header",
    [
        Header(0, 1, b"tiny"),
        Header(1, 2**24, b"tiny"),
        Header(1, 1, b"id"),
        Header(1, 1, b"tiny", version=2),
    ],
)
def test_what_does_not_fit_the_header_is_refused(header: Header) -> None:
    with pytest.raises(InvalidInput, match=r"must be|model id|version"):
        header.pack()


@pytest.mark.parametrize(
    ("kind", "length", "expected"),
    [
        (0, 0, "00"),
        (1, 0, "01"),
        (1, 31, "7d"),
        (1, 32, "8101"),
        (2, 4095, "fe7f"),
        (0, 4096, "808001"),
    ],
)
def test_heads_are_shortest_varints(kind: int, length: int, expected: str) -> None:
    assert pack_head(kind, length).hex() == expected


def test_elements_are_head_checksum_payload() -> None:
    group = pack_group(b"abc", ordinal=2, first_of_layer=True)
    crc = binascii.crc_hqx(b"\x0dabc", 2)
    assert group == b"\x0d" + crc.to_bytes(2, "little") + b"abc"
    box = pack_box(Box(b"note", b"x"))
    crc = binascii.crc_hqx(b"\x16notex", 0xFFFF)
    assert box == b"\x16" + crc.to_bytes(2, "little") + b"notex"


@pytest.mark.parametrize(
    "name", [b"ABC", b"ABCDE", b"AB\x00C", b"ABC\x7f", b"\xe4BCD", b"1BCD", b" abc"]
)
def test_box_types_are_printable(name: bytes) -> None:
    with pytest.raises(InvalidInput, match="printable"):
        Box(name, b"")
