"""The conformance vectors that are valid, and the small models that all of them are of."""

from __future__ import annotations

import dataclasses
import zlib
from collections.abc import Callable, Iterator, Sequence

import numpy as np
from numpy.typing import NDArray

from rgru_format import (
    BOX_ALPHA,
    BOX_COLOUR,
    BOX_EXIF,
    BOX_ICC,
    BOX_XMP,
    Box,
    Colour,
    ContextModel,
    Header,
    encode_alpha,
    inspect,
    pack_box,
    pack_group,
)
from rgru_format.container import CRC_START, pack_element, pack_head
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


def raw_box(name: bytes, content: bytes = b"") -> bytes:
    """Return the element of a box, whatever it holds."""
    return pack_element(2, name + content, CRC_START)


def flip(data: bytes, at: int) -> bytes:
    """Return data with the lowest bit of a byte flipped."""
    return data[:at] + bytes([data[at] ^ 1]) + data[at + 1 :]
