"""What the fuzzer does with its input; runs without the fuzzer too, on single inputs.

The last four bytes of an input choose the target and how it is driven; the rest is the data. Only
RgruError may leave the library, and where the independent reader of the tests can be asked (small
grids, usual limits) it has to find the same codes or the same kind of error.
"""

from __future__ import annotations

import contextlib
import importlib.util
import itertools
import zlib
from collections.abc import Iterator
from pathlib import Path
from typing import Any

from rgru_format import (
    CodesDecoder,
    CodesEncoder,
    ContextModel,
    Damaged,
    Event,
    Header,
    Limits,
    ModelMissing,
    NeedMoreData,
    Reader,
    RgruError,
    check,
    decode_alpha,
    inspect,
    pack_group,
)
from rgru_format.conformance import VECTORS, decode_vector, describe_error
from rgru_format.container import CRC_START, pack_element

FOUND_BY_BOTH = 16
"""Largest grid, in positions, that the slow independent reader is asked about."""


def _independent_reader() -> Any:
    """The reader lies with the tests, which stand above the tools."""
    path = Path(__file__).parents[2] / "tests" / "format" / "independent_reader.py"
    spec = importlib.util.spec_from_file_location("independent_reader", path)
    assert spec is not None
    assert spec.loader is not None
    module = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(module)
    return module


other = _independent_reader()
_files = [path.read_bytes() for path in sorted((VECTORS / "context").glob("*.bin"))]
MODELS = {model.digest()[:4]: model for model in map(ContextModel.from_bytes, _files)}
OTHER_MODELS = {other.hashlib.sha256(data).digest()[:4]: other.Context(data) for data in _files}
IDS = sorted(MODELS)


def one_input(data: bytes) -> None:
    """Try one input; an exception that leaves this function is a finding."""
    if len(data) < 4:
        return
    body, (target, *drive) = data[:-4], data[-4:]
    TARGETS[target % len(TARGETS)](body, drive)


def raw_file(body: bytes, drive: list[int]) -> None:
    """Take the bytes as a file."""
    _in_pieces(body, drive)
    _against_the_other(body)
    with contextlib.suppress(RgruError):
        check(body)  # as a program does that does not know the model


def built_file(body: bytes, drive: list[int]) -> None:
    """Take the bytes as instructions for a file whose checksums are right."""
    raw_file(_build(body), drive)


def alpha(body: bytes, drive: list[int]) -> None:
    """Take the bytes as an alpha plane, as they are or as what it expands to."""
    height, width = 1 + drive[0] % 32, 1 + drive[1] % 32
    content = zlib.compress(body) if drive[2] % 2 else body
    try:
        found = decode_alpha(content, height, width).tobytes()
    except Damaged:
        found = None
    try:
        expected = other.read_alpha(content, height, width, other.Fault("Damaged"))
    except other.Fault:
        expected = None
    if len(content) * 1032 >= height * (width + 1):  # which the other reader does not look at
        assert found == expected


def context_model(body: bytes, drive: list[int]) -> None:
    """Take the bytes as a model file, with or without a new checksum."""
    if drive[0] % 2:
        body = body + zlib.crc32(body).to_bytes(4, "little")
    try:
        model = ContextModel.from_bytes(body)
    except Damaged:
        return
    assert model.to_bytes() == body


TARGETS = [raw_file, built_file, alpha, context_model]


def _build(body: bytes) -> bytes:
    """Return a file: six bytes for the header, then elements of a kind, a length, a payload."""
    head = body[:6].ljust(6, b"\0")
    header = Header(
        width=1 + head[0] % 64,
        height=1 + head[1] % 64,
        model_id=IDS[head[2] % len(IDS)],
        grey=bool(head[3] & 1),
        alpha=bool(head[3] & 2),
    )
    parts, at, ordinal = [header.pack()], 6, 0
    while at + 2 <= len(body):
        kind, size = body[at] % 8, body[at + 1]
        payload = body[at + 2 : at + 2 + size]
        at += 2 + size
        if kind < 6:
            parts.append(pack_group(payload, ordinal, first_of_layer=kind > 2))
            ordinal += 1
        else:
            names = [b"cicp", b"iccp", b"exif", b"xmp ", b"ALPH", b"note", b"Tile"]
            content = b"\1" * (size % 7 < 4) + zlib.compress(payload) if kind == 7 else payload
            parts.append(pack_element(2, names[size % 7] + content, CRC_START))
    return b"".join(parts)


def _in_pieces(body: bytes, drive: list[int]) -> None:
    """Events and errors must not depend on the pieces; memory must not pass the data."""
    limits = Limits(max_pixels=2 ** (drive[0] % 28), max_metadata_bytes=drive[1])
    for one in (limits, Limits()):
        sizes = itertools.cycle([1 + drive[0] % 40, 1 + drive[1], 1 + drive[2] * 3])
        assert _events(body, sizes, one) == _events(body, itertools.repeat(len(body) + 1), one)


def _events(body: bytes, sizes: Iterator[int], limits: Limits) -> tuple[list[Event], str]:
    reader = Reader(limits)
    events: list[Event] = []
    at = 0
    try:
        while at < len(body):
            size = next(sizes)
            new = reader.feed(body[at : at + size])
            at += size
            if isinstance(new[-1], NeedMoreData):
                assert new.pop().at_least > 0  # type: ignore[union-attr]
            events += new
        return events, repr(reader.close())
    except RgruError as error:
        return events, repr(error)


def _against_the_other(body: bytes) -> None:
    try:
        header = inspect(body[:21]).header
    except RgruError:
        header = None
    if header is not None and header.grid[0] * header.grid[1] > FOUND_BY_BOTH:
        return
    try:
        expected = other.read(body, OTHER_MODELS)
    except other.Fault as fault:
        expected = fault.report
    assert _ours(body) == expected
    if header is not None and header.model_id in MODELS:
        _encoded_again(body, header)


def _ours(body: bytes) -> dict[str, Any]:
    def find(model_id: bytes) -> ContextModel:
        if model_id not in MODELS:
            raise ModelMissing(model_id)
        return MODELS[model_id]

    try:
        return decode_vector(body, find)
    except RgruError as error:
        return describe_error(error)


def _encoded_again(body: bytes, header: Header) -> None:
    """Make sure that the encoder's stream for the codes that were found is the shortest."""
    model = MODELS[header.model_id]
    decoder, encoder = CodesDecoder(model, *header.grid), CodesEncoder(model, *header.grid)
    payloads: list[bytes] = []
    for group in inspect(body, find_model=MODELS.get).groups:
        before = decoder.layer
        try:
            decoder.decode(group)
        except Damaged:
            return
        payloads.append(group.payload)
        if decoder.layer > before:
            assert decoder.last is not None
            again = encoder.encode_layer(decoder.last)
            for ours, theirs in zip(again, payloads, strict=True):
                assert len(ours) <= len(theirs.rstrip(b"\0"))
            payloads = []
