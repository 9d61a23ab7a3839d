"""Write conformance vectors, or random valid files for testing other programs.

    python -m tools.make_vectors                             # adds vectors that are missing
    python -m tools.make_vectors --random 100 --seed 7 --out /tmp/files

The script leaves existing files alone and appends new ones to the list of hashes. What a release
had is never edited or replaced. SPEC section 12 describes the folder.
"""

from __future__ import annotations

import argparse
import dataclasses
import hashlib
import json
import zlib
from collections.abc import Callable, Iterable, Iterator, Sequence
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from rgru_format import (
    BOX_ALPHA,
    BOX_COLOUR,
    BOX_EXIF,
    BOX_ICC,
    BOX_XMP,
    Box,
    CodesEncoder,
    Colour,
    ContextModel,
    Header,
    encode_alpha,
    inspect,
    pack_box,
    pack_group,
    write_file,
)
from rgru_format.conformance import VECTORS, decode_vector
from rgru_format.container import CRC_START, crc16, pack_element, pack_head
from rgru_format.context.adaptation import Adaptation, Entries, code_group
from rgru_format.context.evaluator import Codes, Evaluator
from rgru_format.context.order import phase_positions
from tools.random_files import encode_file, random_codes, random_file, random_model

CONTEXTS: dict[str, Callable[[], ContextModel]] = {
    "tiny": lambda: random_model(1, codes=(3, 4, 5), groups=(1, 2, 3), phases=(2, 4, 5)),
    # Groups end inside a pair of partners; a layer has fewer channels than the one before.
    "mixed": lambda: random_model(
        2, codes=(5, 7, 4, 9), groups=(1, 2, 2, 4), states=6, hidden=8, phases=(5, 4, 2, 5)
    ),
    # Every sum can reach its bound.
    "extreme": lambda: random_model(
        3, codes=(4, 5, 3), groups=(1, 2, 1), states=3, hidden=4, extreme=True, phases=(5, 2, 4)
    ),
    # The least sizes: no channel has a partner.
    "least": lambda: random_model(4, codes=(1,), groups=(1,), states=1, hidden=1),
    # Probabilities that no formula gives.
    "odd_table": lambda: dataclasses.replace(
        random_model(5, codes=(6, 4), groups=(2, 1), phases=(4, 5)), table=odd_table()
    ),
}
WIDTH, HEIGHT = 208, 144
"""Of most valid vectors: 13 x 9 positions, so that each phase has several chunks."""


def odd_table() -> NDArray[np.uint16]:
    """Return a table that is neither symmetric nor like that of ordinary models."""
    steps = np.random.default_rng(5).integers(0, 370, 353)
    return np.clip(np.cumsum(steps), 1, 65535).astype(np.uint16)


def header(context: str, width: int, height: int, **flags: bool) -> Header:
    """Return a header that names one of the small models."""
    return Header(width, height, CONTEXTS[context]().digest()[:4], **flags)


def plain(
    width: int,
    height: int,
    layers: int,
    *,
    context: str = "tiny",
    boxes: Sequence[Box] = (),
    fill: int = 0,
    **flags: bool,
) -> bytes:
    """Return a file with random codes, or codes that are all `fill`."""
    model = CONTEXTS[context]()
    head = header(context, width, height, **flags)
    codes = random_codes(width * 1000 + height, model, *head.grid, layers)
    if fill:
        codes = [np.full_like(layer, fill) for layer in codes]
    return encode_file(model, head, codes, boxes)


def ramp(width: int, height: int) -> Box:
    """Return an alpha box whose rows use different filters."""
    y, x = np.mgrid[0:height, 0:width]
    return Box(BOX_ALPHA, encode_alpha((x * 7 * (y % 3 == 0) + y * (x % 5)).astype(np.uint8)))


def every_box() -> list[Box]:
    """Return a box of each kind, and one that nobody knows; the profile will be deflated."""
    return [
        Box(BOX_ICC, b"not a real profile" * 9),
        Box(BOX_EXIF, b"II*\0\x08\0\0\0\0\0\0\0\0\0"),
        Box(BOX_XMP, b"<x:xmpmeta xmlns:x='adobe:ns:meta/'/>"),
        Box(b"note", b"unknown boxes are kept"),
    ]


def valid() -> Iterator[tuple[str, bytes]]:
    """Yield name and content of the valid vectors."""
    yield "example", plain(20, 12, 2, boxes=[Box(b"note", b"hi")])
    for width, height in [(1, 1), (16, 16), (17, 17), (33, 1), (1, 33), (97, 33)]:
        yield f"size_{width}x{height}", plain(width, height, 3)
    for layers in (0, 1, 2, 3):
        yield f"layers_{layers}", plain(WIDTH, HEIGHT, layers)
    yield from _codes()
    yield from _chunks()
    yield from _boxes()
    yield from _cuts()
    for name in ("tiny", "mixed"):
        model = CONTEXTS[name]()
        for seed in range(4):
            yield f"random_{name}_{seed}", random_file(seed, model, model.digest()[:4])


def _codes() -> Iterator[tuple[str, bytes]]:
    """Yield files in which the context model meets what is rare."""
    yield "mixed", plain(WIDTH, HEIGHT, 4, context="mixed")
    yield "mixed_wide", plain(560, 20, 4, context="mixed")
    yield "mixed_high", plain(20, 560, 4, context="mixed")
    for name, fill in [("minus", -1), ("plus", 1)]:
        yield f"mixed_all_{name}", plain(WIDTH, HEIGHT, 4, context="mixed", fill=fill)
        yield f"extreme_all_{name}", plain(WIDTH, HEIGHT, 3, context="extreme", fill=fill)
    yield "extreme", plain(WIDTH, HEIGHT, 3, context="extreme")
    yield "odd_table", plain(WIDTH, HEIGHT, 2, context="odd_table")
    yield "odd_table_all_plus", plain(WIDTH, HEIGHT, 2, context="odd_table", fill=1)


def _chunks() -> Iterator[tuple[str, bytes]]:
    """Yield files whose chunks grow to the longest, and what is learned to its bounds."""
    yield "chunks_grow", plain(400, 300, 2, context="mixed")
    yield "chunks_longest", plain(900, 900, 1, context="least")
    yield "chunks_longest_all_plus", plain(900, 900, 1, context="least", fill=1)
    model, head = CONTEXTS["extreme"](), header("extreme", 640, 640)
    yield "learned_to_all_bounds", encode_file(model, head, turning_codes(model, *head.grid))


def turning_codes(model: ContextModel, rows: int, columns: int) -> list[Codes]:
    """Return codes that are what is likelier, and from some point in each group what is not.

    Shift and slope of section 7.7 run into their bounds on both sides.
    """
    evaluator, layers = Evaluator(model, rows, columns), list[Codes]()
    for layer in model.layers:
        evaluator.start_layer(layers[-1] if layers else None)
        codes = np.zeros((rows, columns, layer.codes), np.int8)
        phases = [phase_positions(rows, columns, f, layer.phases) for f in range(layer.phases)]
        for group, (start, stop) in enumerate(layer.bounds):
            adaptation = Adaptation(model.table, stop - start)
            choose = _turning_after(rows * columns, model.table)
            code_group(layer, group, evaluator, phases, codes, adaptation, choose)
        layers.append(codes)
    return layers


def _turning_after(count: int, table: NDArray[np.uint16]) -> Callable[[Codes, Entries], None]:
    """Return what sets so many codes to the likelier value, and further ones to the other."""
    seen = 0

    def choose(codes: Codes, entries: Entries) -> None:
        nonlocal seen
        likelier = np.where(table[entries] >= 2**15, 1, -1)
        codes[:] = likelier if seen < count else -likelier
        seen += codes.size

    return choose


def _boxes() -> Iterator[tuple[str, bytes]]:
    """Yield files with flags and boxes."""
    yield "grey", plain(WIDTH, HEIGHT, 2, grey=True)
    yield "alpha", plain(40, 24, 2, alpha=True, boxes=[ramp(40, 24)])
    # Rows of all filters, on a picture so narrow that many rows are worked on at once.
    yield "alpha_narrow", plain(5, 400, 1, alpha=True, boxes=[ramp(5, 400)])
    rows = bytearray(b"\2" + bytes(range(40))) + bytes(41 * 23)  # the row above the first is 0
    box = Box(BOX_ALPHA, zlib.compress(bytes(rows)))
    yield "alpha_first_row_of_above", plain(40, 24, 1, alpha=True, boxes=[box])
    yield "alpha_before_layers", plain(5, 4, 0, alpha=True, boxes=[ramp(5, 4)])
    yield "boxes", plain(WIDTH, HEIGHT, 2, boxes=every_box())
    yield "colour", plain(20, 20, 1, boxes=[Box(BOX_COLOUR, Colour(12, 13).pack())])
    # Metadata before layer 1, as it is although deflating would be smaller.
    stored = [raw_box(name, b"\0" + b"content " * 9) for name in (BOX_ICC, BOX_EXIF, BOX_XMP)]
    whole = plain(20, 20, 1)
    yield "boxes_not_deflated", whole[:21] + b"".join(stored) + whole[21:]
    yield "box_long", plain(20, 20, 1, boxes=[Box(b"long", bytes(range(256)) * 20)])
    yield "box_empty", plain(20, 20, 1, boxes=[Box(b"void", b""), Box(BOX_EXIF, b"")])


def _cuts() -> Iterator[tuple[str, bytes]]:
    """Yield beginnings of files, and files with something behind their end."""
    whole = plain(WIDTH, HEIGHT, 3)
    groups = inspect(whole).groups
    yield "cut_after_group", whole[: groups[1].end]
    yield "cut_after_layer", whole[: groups[2].end]
    yield "cut_inside_group", whole[: groups[4].end - 3]
    yield "cut_inside_checksum", whole[: groups[3].offset + 2]
    yield "cut_inside_layer_1", whole[: groups[0].end - 1]
    alpha = plain(40, 24, 3, alpha=True, boxes=[ramp(40, 24)])
    (box,) = inspect(alpha).boxes
    yield "cut_inside_alpha", alpha[: box.offset + 9]
    # One of two groups; one, two and three of four; partners may be known or not.
    mixed = plain(WIDTH, HEIGHT, 4, context="mixed")
    for number, group in enumerate(inspect(mixed).groups):
        if number in (1, 3, 5, 6, 7):
            yield f"cut_mixed_{group.layer}_{group.group}", mixed[: group.end]
    note, exif = (pack_box(Box(name, b"late")) for name in (b"note", BOX_EXIF))
    yield "behind_zeros", whole + bytes(100)
    fewer = whole[: groups[2].end]
    for count in (1, 2, 7, 8):  # zeros end a file of fewer layers too
        yield f"zeros_{count}", fewer + bytes(count)
    yield "zeros_and_text", fewer + bytes(8) + b"sent from my telephone"
    yield "zeros_and_layer", fewer + bytes(8) + whole[groups[2].end :]
    yield "zeros_behind_group", whole[: groups[1].end] + bytes(64)
    yield "zeros_behind_header", whole[:21] + bytes(64)
    nearly = pack_head(2, 2**24 + 1) + b"\0\0"  # with type, without the byte before content
    yield "cut_inside_box_at_limit", whole[:21] + nearly + BOX_EXIF
    yield "behind_text", whole + note + exif + b"\n-- \nsent from my telephone"
    yield "behind_layer", whole + pack_group(b"", 6, True) + note
    yield "behind_cut_box", whole + note[:-1]
    # What would be damage, or not be understood, before that point.
    yield "behind_critical", whole + raw_box(b"Tile") + note
    yield "behind_colour", whole + pack_box(Box(BOX_COLOUR, Colour(1, 1).pack())) + note
    yield "behind_exif_twice", whole + exif + exif + note
    yield "behind_metadata", whole + raw_box(BOX_EXIF, b"\2late") + note
    yield "behind_checksum", whole + flip(note, len(note) - 1) + note
    # Alpha belongs to the file wherever it stands: it is not complete before.
    late = alpha[: box.offset] + alpha[box.end :] + alpha[box.offset : box.end]
    yield "alpha_at_the_end", late + bytes(3)
    yield "cut_inside_alpha_at_the_end", late[:-1]


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


def flip(data: bytes, at: int) -> bytes:
    """Return data with the lowest bit of a byte flipped."""
    return data[:at] + bytes([data[at] ^ 1]) + data[at + 1 :]


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


def raw_box(name: bytes, content: bytes = b"") -> bytes:
    """Return the element of a box, whatever it holds."""
    return pack_element(2, name + content, CRC_START)


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


def describe(data: bytes) -> dict[str, Any]:
    """Return what a decoder has to find in a valid vector."""
    models = {make().digest()[:4]: (name, make()) for name, make in CONTEXTS.items()}
    name, _ = models[inspect(data).header.model_id]
    return {"context": f"{name}.bin"} | decode_vector(data, lambda one: models[one][1])


def _sha256(data: bytes) -> str:
    return hashlib.sha256(data).hexdigest()


def vectors() -> Iterator[tuple[str, bytes]]:
    """Yield path and content of every file of the folder but SHA256SUMS."""
    for name, make in CONTEXTS.items():
        yield f"context/{name}.bin", make().to_bytes()
    for name, data in valid():
        yield f"valid/{name}.rgru", data
        yield f"valid/{name}.json", _json(describe(data))
    for name, data, expected in invalid():
        yield f"invalid/{name}.rgru", data
        yield f"invalid/{name}.json", _json(expected)


def _json(value: dict[str, Any]) -> bytes:
    return (json.dumps(value, indent=1) + "\n").encode()


def write_vectors(folder: Path) -> int:
    """Add the files that are missing, and a line for each to the list; return how many."""
    return add_files(folder, vectors())


def add_files(folder: Path, files: Iterable[tuple[str, bytes]]) -> int:
    """Add files (path, content) that are missing, and a line for each to the list."""
    added = []
    for path, data in files:
        target = folder / path
        if not target.exists():
            target.parent.mkdir(parents=True, exist_ok=True)
            target.write_bytes(data)
            added.append(f"{_sha256(data)}  {path}\n")
    with list_of(folder).open("a") as sums:
        sums.writelines(added)
    return len(added)


def list_of(folder: Path) -> Path:
    """Return the list of hashes, which only grows."""
    return folder / "SHA256SUMS"


def write_random(folder: Path, count: int, seed: int) -> None:
    """Write random valid files and their descriptions, as in vectors/valid."""
    folder.mkdir(parents=True, exist_ok=True)
    models = [CONTEXTS[name]() for name in ("tiny", "mixed")]
    for number in range(seed, seed + count):
        model = models[number % len(models)]
        data = random_file(number, model, model.digest()[:4])
        (folder / f"random_{number}.rgru").write_bytes(data)
        (folder / f"random_{number}.json").write_bytes(_json(describe(data)))


def main() -> None:
    """Read the command line."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0] if __doc__ else None)
    parser.add_argument("--random", type=int, metavar="N", help="write N random valid files")
    parser.add_argument("--seed", type=int, default=0, help="of the first random file")
    parser.add_argument("--out", type=Path, default=VECTORS, help="folder to write to")
    arguments = parser.parse_args()
    if arguments.random is not None:
        write_random(arguments.out, arguments.random, arguments.seed)
    else:
        print(f"{write_vectors(arguments.out)} files added to {arguments.out}")


if __name__ == "__main__":
    main()
