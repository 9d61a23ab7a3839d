"""The tables of tools/studies for the pages of docs/: cuts, grey."""

from __future__ import annotations

import csv
import itertools
import math
from pathlib import Path

import numpy as np
import pytest
from PIL import Image

from rgru_eval.show.tables import markdown, signed
from tools.studies import cuts, grey
from tools.studies.__main__ import main


def test_markdown() -> None:
    text = markdown(("a", "b"), [("1", "2"), ("3", "4")])
    assert text == "| a | b |\n| --- | ---: |\n| 1 | 2 |\n| 3 | 4 |"


def test_what_rounds_to_nothing_has_no_sign() -> None:
    """README said "-0 %" of half a percent."""
    assert [signed(change) for change in (-0.5, 0.4, -0.51, 3.0)] == ["0", "0", "-1", "+3"]
    assert signed(-0.5, 1) == "-0.5"


def test_a_file_is_cut_at_so_many_places(
    photo: Image.Image, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    pytest.importorskip("matplotlib")
    photo.save(tmp_path / "face.png")
    words = ["cuts", "--images", tmp_path / "face.png", "--cuts", 40]
    words += ["--csv", tmp_path / "cuts.csv", "--png", tmp_path / "cuts.png"]
    main([str(word) for word in words])
    assert "| face |" in capsys.readouterr().out
    with (tmp_path / "cuts.csv").open() as file:
        rows = list(csv.DictReader(file))
    assert len(rows) == 40
    sizes = [int(row["bytes"]) for row in rows]
    assert sizes == sorted(set(sizes))
    values = [float(row["db"]) for row in rows]
    assert all(b >= a - cuts.LARGEST_DROP for a, b in itertools.pairwise(values))
    assert (tmp_path / "cuts.png").stat().st_size > 5000


def arrival(layers: int, groups: int, db: float) -> cuts.Arrival:
    return cuts.Arrival("p", 0, 0.0, layers, groups, 1 - 10 ** (-db / 10), db)


def test_a_group_that_makes_the_picture_worse_is_named() -> None:
    steps = [arrival(0, 0, 1.0), arrival(1, 0, 5.0), arrival(1, 1, 4.9), arrival(2, 0, 4.88)]
    curve = cuts.Curve("p", [], steps)
    assert curve.drops() == pytest.approx([-4.0, 0.1, 0.02])
    assert cuts.failures([curve]) == ["p: group 1 of layer 2 costs 0.100 dB"]
    assert cuts.table([curve]).endswith("| p | 3 | 0.6749 | 0.100 |")


def test_a_fault_ends_the_program(
    photo: Image.Image, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    photo.resize((32, 32)).save(tmp_path / "p.png")
    monkeypatch.setattr(cuts, "LARGEST_DROP", -math.inf)
    with pytest.raises(SystemExit, match="costs"):
        main(["cuts", "--images", str(tmp_path), "--cuts", "3"])


def test_grey_is_measured_against_colour(photo: Image.Image) -> None:
    colour, plain = grey.measure([photo, photo.convert("L")])
    assert colour.bpp.shape == plain.bpp.shape == colour.msssim.shape
    assert plain.bpp[-1] < 0.9 * colour.bpp[-1]
    text = grey.table(colour, plain)
    assert text.splitlines()[2].startswith("| all layers |")


def test_grey_table() -> None:
    colour = grey.Ladder(np.array([0.1, 0.4, 1.0]), np.array([0.8, 0.9, 0.97]))
    plain = grey.Ladder(np.array([0.1, 0.3, 0.5]), np.array([0.8, 0.9, 0.97]))
    lines = grey.table(colour, plain).splitlines()
    assert lines[2] == "| all layers | 1.000 | .500 | 50 % |"
    assert lines[3] == "| luma MS-SSIM 0.90 | .400 | .300 | 25 % |"
    assert lines[5] == "| luma MS-SSIM 0.98 | >1.00 | >.50 | n/a |"
