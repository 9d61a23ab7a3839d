"""Cards of known text, and what is counted of it."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pandas as pd
import pytest
from PIL import Image

from rgru_eval.errors import UnavailableError
from rgru_eval.measure.registry import make_codec, make_codecs
from rgru_eval.studies import legibility
from rgru_eval.studies.legibility import (
    SIZES,
    Reader,
    cut_out,
    error_rate,
    make_cards,
    measure,
    plot,
    rapid_ocr,
    table,
)


def sharpness(line: Image.Image) -> str:
    """Read a line as so many letters as it is sharp: worse when blurred."""
    return "x" * int(np.abs(np.diff(np.asarray(line.convert("L"), int))).mean())


def test_cards_are_the_same_for_a_seed_and_differ_between_seeds() -> None:
    first, again, other = make_cards(2, 5), make_cards(2, 5), make_cards(2, 6)
    assert [card.image.tobytes() for card in first] == [card.image.tobytes() for card in again]
    assert [card.lines for card in first] == [card.lines for card in again]
    assert first[0].lines != other[0].lines
    assert [card.ground for card in first] == ["plain", "astronaut"]
    assert make_cards(4, 5)[:2] == first


def test_each_card_has_a_line_of_each_size_inside() -> None:
    for card in make_cards(6):
        assert sorted(line.size for line in card.lines) == list(SIZES)
        for line in card.lines:
            assert line.centre[1] - line.box[1] // 2 > 0
            assert line.centre[1] + line.box[1] // 2 < card.image.height
            assert line.box[0] < card.image.width


def test_lines_are_cut_out_upright() -> None:
    (card,) = make_cards(1)
    for line in card.lines:
        part = np.asarray(cut_out(card.image, line).convert("L"), float)
        ink = np.abs(part - np.median(part)) > 25
        rows = np.flatnonzero(ink.mean(axis=1) > 0.02)
        assert part.shape[0] == 48
        assert ink.mean() > 0.03
        assert rows.min() > 1  # a line that leans would touch the edges
        assert rows.max() < 47


@pytest.mark.parametrize(
    ("read", "text", "rate"),
    [
        ("abcd", "abcd", 0),
        ("ab cd", "abc d", 0),  # spaces aside
        ("abxd", "abcd", 1 / 4),
        ("abd", "abcd", 1 / 4),
        ("xabcd", "abcd", 1 / 4),
        ("", "abcd", 1),
        ("something else altogether", "abcd", 1),
    ],
)
def test_the_error_is_the_edit_distance_over_the_length(read: str, text: str, rate: float) -> None:
    assert error_rate(read, text) == pytest.approx(rate)


def test_every_line_of_every_card_is_read_at_each_rate(tmp_path: Path) -> None:
    codecs = make_codecs(["jpeg:optimize,q=5+30+90", "webp:q=5+80"])
    rows = measure(make_cards(2), codecs, Reader("sharpness", sharpness))
    assert len(rows) == 2 * len(SIZES) * (1 + 3 + 2)
    assert set(rows["codec"]) == {"uncompressed", *(codec.identity() for codec in codecs)}
    whole = rows[rows["codec"] == codecs[0].identity()].groupby("setting")["bpp"].mean()
    assert whole.is_monotonic_increasing
    plot(rows, {codec.identity(): codec.label() for codec in codecs}, tmp_path / "curve.png")
    with Image.open(tmp_path / "curve.png") as picture:
        assert picture.width > 1000


def test_the_table_reads_the_error_off_the_curve() -> None:
    rows = pd.DataFrame(
        [
            {"codec": codec, "setting": setting, "bpp": bpp, "size": size, "error": error}
            for size in (10, 20)
            for codec, setting, bpp, error in (
                ("uncompressed", 0, 24.0, 0.02),
                ("a", 1, 0.1, 0.8),
                ("a", 2, 0.4, 0.4),
                ("a", 3, 0.8, 0.1 * (size == 10)),
            )
        ]
    )
    lines = table(rows, {"a": "codec a"}).splitlines()
    assert lines[2] == "| **all sizes** | at 0.1 bpp | at 0.2 bpp | at 0.4 bpp | at 0.8 bpp |"
    assert lines[3] == "| uncompressed | 2 % | 2 % | 2 % | 2 % |"
    assert lines[4] == "| codec a | 80 % | 60 % | 40 % | 5 % |"
    assert lines[7] == "| codec a | 80 % | 60 % | 40 % | 10 % |"
    assert len(lines) == 11


def test_the_engine_reads_what_was_drawn_and_less_of_it_when_coded() -> None:
    pytest.importorskip("rapidocr_onnxruntime", reason="pip install 'rgru-codec[legibility]'")
    rows = measure(make_cards(1), [make_codec("jpeg:optimize,q=1")], rapid_ocr())
    errors = rows.groupby("codec")["error"].mean()
    assert errors["uncompressed"] < 0.1
    assert errors["jpeg:subsampling=420,optimize,q=1"] > 0.3


def test_without_an_engine_it_is_said_what_to_install(monkeypatch: pytest.MonkeyPatch) -> None:
    def missing() -> None:
        raise ModuleNotFoundError("no module", name="rapidocr_onnxruntime")

    monkeypatch.setattr(legibility, "rapid_ocr", missing)
    monkeypatch.setenv("PATH", "")
    with pytest.raises(UnavailableError, match=r"pip install 'rgru-codec\[legibility\]'"):
        legibility.make_reader()
