"""The conformance vectors that are not valid, and what a decoder has to say about each."""

from __future__ import annotations

import zlib
from collections.abc import Callable, Iterator
from typing import Any

from rgru_format import (
    BOX_ALPHA,
    BOX_COLOUR,
    BOX_EXIF,
    BOX_ICC,
    BOX_XMP,
    Box,
    CodesEncoder,
    Colour,
    inspect,
    pack_box,
    pack_group,
    write_file,
)
from rgru_format.container import CRC_START, crc16, pack_element, pack_head
from tools.random_files import random_codes
from tools.valid_vectors import CONTEXTS, flip, header, plain, ramp, raw_box


def with_header(change: Callable[[bytearray], None]) -> bytes:
    """Return a file of no layers with a changed header and a checksum that fits it."""
    body = bytearray(plain(20, 12, 0)[:19])
    change(body)
    return bytes(body) + crc16(bytes(body)).to_bytes(2, "little")


def put(at: int, value: bytes) -> Callable[[bytearray], None]:
    """Return a change that writes `value` at `at`."""

    def change(body: bytearray) -> None:
        body[at : at + len(value)] = value

    return change


def payloads(width: int, height: int) -> list[list[bytes]]:
    """Return the group payloads of all layers of a picture of the tiny model."""
    model = CONTEXTS["tiny"]()
    grid = header("tiny", width, height).grid
    encoder = CodesEncoder(model, *grid)
    return [encoder.encode_layer(codes) for codes in random_codes(4, model, *grid)]


def invalid() -> Iterator[tuple[str, bytes, dict[str, Any]]]:
    """Yield name, content and expected error of the invalid vectors."""
    yield from _bad_headers()
    yield from _bad_elements()
    yield from _bad_boxes()
    yield from _bad_codes()


def error(name: str, layer: int | None = None, offset: int | None = None) -> dict[str, Any]:
    """Return what a decoder has to say about a vector."""
    return {"error": name, "layer": layer, "offset": offset}


def _bad_headers() -> Iterator[tuple[str, bytes, dict[str, Any]]]:
    good = plain(20, 12, 1)
    damaged = error("Damaged", None, 0)
    yield "empty", b"", error("NotRgru")
    yield "signature_png", b"\x89PNG\r\n\x1a\n" + good[8:], error("NotRgru")
    yield "signature_without_cr", good.replace(b"\r\n", b"\n", 1), error("NotRgru")
    yield "signature_with_more_cr", good.replace(b"\n", b"\r\n", 1), error("NotRgru")
    yield "signature_seven_bits", bytes([good[0] & 0x7F]) + good[1:], error("NotRgru")
    yield "signature_cut", good[:5], error("NotRgru")
    yield "header_cut", good[:20], damaged
    yield "header_cut_behind_signature", good[:8], damaged
    yield "header_checksum", flip(good, 9), damaged
    yield "width_zero", with_header(put(8, bytes(3))), damaged
    yield "height_zero", with_header(put(11, bytes(3))), damaged
    wrong = bytes(with_header(put(14, b"\x02"))[:19]) + bytes(2)
    yield "version_2_checksum", wrong, damaged
    yield "version_0", with_header(put(14, b"\x00")), error("UnsupportedVersion")
    yield "version_2", with_header(put(14, b"\x02")), error("UnsupportedVersion")
    yield "flag_bit_6", with_header(put(14, b"\x41")), error("UnsupportedVersion")
    yield "flag_bit_7", with_header(put(14, b"\x81")), error("UnsupportedVersion")
    # Nothing behind the header counts then.
    unknown = with_header(put(15, b"none")) + pack_element(3, b"", 0)
    yield "model_unknown", unknown, error("ModelMissing")
    huge = with_header(put(8, b"\x00\x00\x01\x00\x00\x01")) + pack_group(bytes(34), 0, True)
    yield "pixels_over_limit", huge, error("LimitExceeded")
    both = bytearray(huge[:19])
    both[15:19] = b"none"
    both += crc16(bytes(both)).to_bytes(2, "little")
    yield "model_unknown_pixels_over_limit", bytes(both), error("LimitExceeded")
    thin = with_header(put(8, b"\x01\x00\x00\xff\xff\xff"))
    yield "positions_over_limit", thin, error("LimitExceeded")


def _bad_elements() -> Iterator[tuple[str, bytes, dict[str, Any]]]:
    head = header("tiny", 40, 24).pack()
    layers = payloads(40, 24)
    first = pack_group(layers[0][0], 0, True)
    second = pack_group(layers[1][0], 1, True)
    third = pack_group(layers[1][1], 2, False)
    at = 21 + len(first)
    yield "group_checksum", flip(head + first + second, at + 5), error("Damaged", 2, at)
    yield "group_checksum_layer_1", flip(head + first, 21 + 4), error("Damaged", 1, 21)
    yield "group_doubled", head + first + first, error("Damaged", 2, at)
    at += len(second)
    yield "groups_swapped", head + second + first, error("Damaged", 1, 21)
    yield "group_lost", head + first + third, error("Damaged", 1, at - len(second))
    yield "group_before_layer", head + pack_group(b"x", 0, False), error("Damaged", 1, 21)
    yield "kind_3", head + pack_element(3, b"", 0), error("Damaged", 1, 21)
    reserved = head + first + pack_element(3, b"", 1)
    yield "kind_3_behind_layer", reserved, error("Damaged", 2, 21 + len(first))
    yield "cut_behind_kind_3", head + b"\x03", error("Damaged", 1, 21)
    yield "cut_behind_kind_0", head + b"\x80", error("Damaged", 1, 21)
    yield "zeros_too_few", head + bytes(7) + b"x", error("Damaged", 1, 21)
    yield "length_not_shortest", head + _element(b"\x85\x00", b"x", 0), error("Damaged", 1, 21)
    # Whose lowest 32 bits are the head of a sound box.
    beyond_32_bits = _element(b"\x9a\x80\x80\x80\x10", b"notehi", CRC_START)
    yield "length_beyond_32_bits", head + beyond_32_bits, error("Damaged", 1, 21)
    yield "length_2_30", head + b"\x82\x80\x80\x80\x10\0\0note", error("Damaged", 1, 21)
    yield "length_without_end", head + b"\x81\x80\x80\x80\x80\x01", error("Damaged", 1, 21)
    yield "length_too_large", head + b"\x81\x80\x80\x80\x7f", error("Damaged", 1, 21)
    yield "length_over_codes", head + pack_head(1, 2 * 6 * 1024 + 9), error("Damaged", 1, 21)
    whole = write_file(header("tiny", 40, 24, alpha=True), layers)
    for kind, layer in [("group", 3), ("layer", 4)]:  # all layers are there, the plane is not
        data = whole + pack_group(b"", 6, kind == "layer")
        yield f"{kind}_before_alpha", data, error("Damaged", layer, len(whole))
    behind = error("Damaged", 2, 21 + len(first))
    yield "trailing_text", head + first + b"sent", behind


def _element(head: bytes, payload: bytes, start: int) -> bytes:
    """Return an element whose checksum fits a head that no encoder writes."""
    return head + crc16(head + payload, start).to_bytes(2, "little") + payload


def _bad_boxes() -> Iterator[tuple[str, bytes, dict[str, Any]]]:
    head = header("tiny", 40, 24).pack()
    layers = payloads(40, 24)
    first, second = pack_group(layers[0][0], 0, True), pack_group(layers[1][0], 1, True)
    icc, note = pack_box(Box(BOX_ICC, b"x")), pack_box(Box(b"note", b""))
    exif, colour = pack_box(Box(BOX_EXIF, b"x")), pack_box(Box(BOX_COLOUR, Colour(1, 1).pack()))
    late = 21 + len(first)
    early = error("Damaged", 1, 21)
    yield "box_checksum", flip(head + icc, 21 + 7), early
    for name, kind in [
        ("not_printable", b"ab\nc"),
        ("without_letter", b"1abc"),
        ("below_space", b"ab\x1fc"),
        ("delete", b"ab\x7fc"),
    ]:
        yield f"box_type_{name}", head + raw_box(kind), early
        # Found before the content arrives.
        yield f"cut_behind_type_{name}", head + pack_head(2, 90) + b"\0\0" + kind, early
    xmp = pack_box(Box(BOX_XMP, b"x"))
    yield "box_xmp_twice", head + xmp + xmp, error("Damaged", 1, 21 + len(xmp))
    yield "box_without_type", head + raw_box(b"abc"), early
    yield "box_twice", head + exif + note + exif, error("Damaged", 1, 21 + len(exif + note))
    yield "box_of_colour_twice", head + icc + colour, error("Damaged", 1, 21 + len(icc))
    yield "box_late", head + first + icc, error("Damaged", 2, late)
    yield "box_late_colour", head + first + colour, error("Damaged", 2, late)
    between = head + first + note + pack_group(b"", 1, False)
    yield "box_between_groups", between, error("Damaged", 1, late + len(note))
    inside = head + first + second + note
    yield "box_in_layer", inside, error("Damaged", 3, late + len(second))
    yield "boxes_257", head + 257 * note, error("Damaged", 1, 21 + 256 * len(note))
    yield "critical_unknown", head + raw_box(b"Tile", b"\0") + first, error("UnsupportedVersion")
    yield "critical_late", head + first + raw_box(b"Tile"), error("Damaged", 2, late)
    yield "critical_checksum", head + flip(raw_box(b"Tile"), 1), early
    yield from _bad_contents(head)
    yield from _bad_alpha(first)


def _bad_contents(head: bytes) -> Iterator[tuple[str, bytes, dict[str, Any]]]:
    early = error("Damaged", 1, 21)
    for name, content in [
        ("short", b"\1\1\0"),
        ("long", b"\1\1\0\1\0"),
        ("matrix", b"\1\1\6\1"),
        ("range", b"\1\1\0\0"),
    ]:
        yield f"colour_{name}", head + raw_box(BOX_COLOUR, content), early
    deflated = zlib.compress(b"content")
    for name, content in [
        ("no_form", b""),
        ("form_2", b"\2content"),
        ("no_zlib", b"\1content"),
        ("cut", b"\1" + deflated[:-1]),
        ("checksum", b"\1" + deflated[:-1] + b"\0"),
        ("bytes_follow", b"\1" + deflated + b"x"),
        ("dictionary", b"\1" + _with_dictionary(b"content")),
    ]:
        yield f"metadata_{name}", head + raw_box(BOX_EXIF, content), early
    big = pack_head(2, 2**24 + 1) + b"\0\0note"
    yield "metadata_over_limit", head + big, error("LimitExceeded")
    bomb = raw_box(BOX_XMP, b"\1" + zlib.compress(bytes(2**24), 9))
    yield "metadata_bomb", head + bomb, error("LimitExceeded")


def _with_dictionary(data: bytes) -> bytes:
    """Return a zlib stream that asks for a preset dictionary."""
    squeeze = zlib.compressobj(9, zdict=b"content of a picture")
    return squeeze.compress(data) + squeeze.flush()


def _bad_alpha(first: bytes) -> Iterator[tuple[str, bytes, dict[str, Any]]]:
    head, with_alpha = header("tiny", 40, 24).pack(), header("tiny", 40, 24, alpha=True).pack()
    alpha = pack_box(ramp(40, 24))
    yield "alpha_without_flag", head + first + alpha, error("Damaged", 2, 21 + len(first))
    yield "alpha_twice", with_alpha + alpha + alpha, error("Damaged", 1, 21 + len(alpha))
    cut = head + first + pack_head(2, 90) + b"\0\0ALPH"
    yield "cut_behind_alpha_without_flag", cut, error("Damaged", 2, 21 + len(first))
    too_long = pack_head(2, 4 + 24 * 41 + 24 * 41 // 1024 + 65) + b"\0\0ALPH"
    yield "alpha_too_long", with_alpha + too_long, error("Damaged", 1, 21)
    for name, content in _bad_planes():
        data = with_alpha + first + pack_box(Box(BOX_ALPHA, content)) + bytes(9)
        yield f"alpha_{name}", data, error("Damaged", 2, 21 + len(first))


def _bad_planes() -> Iterator[tuple[str, bytes]]:
    rows = bytes(41 * 24)
    yield "no_zlib", b"x" * 40
    yield "too_short", zlib.compress(rows[:-1])
    yield "bomb", zlib.compress(bytes(900_000), 9)
    yield "dictionary", _with_dictionary(rows)
    yield "filter_3", zlib.compress(b"\x03" + rows[1:])
    yield "bytes_follow", zlib.compress(rows) + b"x"
    yield "checksum", zlib.compress(rows)[:-1] + b"\x7f"


def _bad_codes() -> Iterator[tuple[str, bytes, dict[str, Any]]]:
    head = header("tiny", 40, 24)
    layers = payloads(40, 24)
    first = 21 + len(pack_group(layers[0][0], 0, True))
    more = write_file(head, [[layers[0][0], b""]])
    yield "model_has_fewer_groups", more, error("Damaged", 1, first)
    fewer = write_file(head, [layers[0], layers[1][:1], layers[2]])
    offset = [one.offset for one in inspect(fewer).groups]
    yield "model_has_more_groups", fewer, error("Damaged", 3, offset[2])
    beyond = write_file(header("tiny", 40, 24, alpha=True), [*layers, [b""]])
    yield "model_has_fewer_layers", beyond, error("Damaged", 4, len(beyond) - 3)
    long = write_file(head, [[bytes(2 * 6 * 3 + 8) + b"\x01"]])
    yield "stream_over_codes", long, error("Damaged", 1, 21)
    refused = write_file(head, [layers[0], [b"\xff" * 8]])
    yield "stream_refused", refused, error("Damaged", 2, first)
