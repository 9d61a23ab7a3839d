"""Where a file ends: with the model the reader knows, and ignores what stands behind."""

from __future__ import annotations

from collections.abc import Iterator

import numpy as np
import pytest

from rgru_format import (
    BOX_ALPHA,
    Box,
    ContextModel,
    Damaged,
    Header,
    HeaderRead,
    ModelMissing,
    NeedMoreData,
    NotRgru,
    Reader,
    Report,
    encode_alpha,
    inspect,
    pack_box,
)
from rgru_format.container import pack_element, pack_head
from tools.random_files import random_model

from .test_reader import EXIF, FIRST, ICC, NOTE, group

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
    assert isinstance(with_model(start + layers + b"\3").error, Damaged)
    assert with_model(start + layers + alpha[:-1]).unfinished
    assert with_model(start + layers).alpha_missing
    ending = with_model(start + layers + alpha + bytes(3)).sound().ending
    assert ending is not None
    assert ending.ignored == 3


@pytest.mark.parametrize("step", [1, 5, 10**6])
@pytest.mark.parametrize("count", [1, 2, 3, 7, 8, 9, 5000])
def test_zeros_end_a_file_with_fewer_layers_than_the_model(count: int, step: int) -> None:
    """The default writes fewer, and a file padded with zeros used to be damaged."""
    fewer = WHOLE[: 21 + len(FIRST)]
    for rest in (bytes(count), bytes(count) + b"sent" if count >= 8 else b""):
        data = fewer + rest
        reader = Reader(find_model=lambda _: MODEL)
        for at in range(0, len(data), step):
            reader.feed(data[at : at + step])
        ending = reader.close()
        assert (ending.layers, ending.offset) == (1, len(fewer))
        assert (ending.ignored, ending.unfinished) == (len(rest), 0)
        assert reader.ended == bool(rest)


@pytest.mark.parametrize("count", range(8))
def test_fewer_than_eight_zeros_before_something_are_damage(count: int) -> None:
    data = WHOLE[: 21 + len(FIRST)] + bytes(count) + b"\3"
    assert isinstance(with_model(data).error, Damaged)


def test_a_group_without_bytes_is_no_end() -> None:
    data = Header(1, 1, b"tiny").pack() + FIRST + group(b"", 1, False) + group(b"", 2, False)
    report = inspect(data)
    assert len(report.sound().groups) == 3
    assert report.ignored == 0


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
