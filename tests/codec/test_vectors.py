"""The conformance vectors with pixels: the installed model shows them within their tolerance."""

from __future__ import annotations

import json
import shutil
from pathlib import Path

import numpy as np
import pytest
from PIL import Image

import rgru_codec
from rgru_codec.vectors import TOLERANCE, check_pixels
from rgru_format.conformance import VECTORS

pytestmark = pytest.mark.skipif(
    not (VECTORS / "pixels").is_dir(), reason="the conformance files are part of a checkout"
)


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    """A copy of one vector, to be spoilt."""
    (tmp_path / "pixels").mkdir()
    for suffix in ("rgru", "json", "png"):
        shutil.copy(VECTORS / "pixels" / f"alpha.{suffix}", tmp_path / "pixels")
    return tmp_path


def test_every_vector_shows_its_picture() -> None:
    results = check_pixels(VECTORS)
    assert len(results) >= 4
    assert [one for one in results if one.problem is not None] == []


def test_they_are_files_of_the_default_model() -> None:
    for path in (VECTORS / "pixels").glob("*.json"):
        table = json.loads(path.read_text("utf-8"))
        assert table["model"] == rgru_codec.default_model().id.hex()
        assert table["tolerance"]["largest"] <= TOLERANCE["largest"]


@pytest.mark.parametrize(("levels", "words"), [(1, "1.000 levels"), (3, "3 at most")])
def test_pixels_off_the_reference_are_reported(folder: Path, levels: int, words: str) -> None:
    path = folder / "pixels" / "alpha.png"
    pixels = np.array(Image.open(path))
    pixels = np.where(pixels < 128, pixels + levels, pixels - levels).astype(np.uint8)
    Image.fromarray(pixels).save(path)
    (result,) = check_pixels(folder)
    assert words in str(result.problem)


def test_a_reference_of_another_size_is_reported(folder: Path) -> None:
    Image.new("RGBA", (3, 3)).save(folder / "pixels" / "alpha.png")
    (result,) = check_pixels(folder)
    assert "expected RGBA (3, 3)" in str(result.problem)


def test_other_codes_are_reported(folder: Path) -> None:
    (folder / "pixels" / "alpha.rgru").write_bytes(rgru_codec.compress(Image.new("RGB", (64, 48))))
    (result,) = check_pixels(folder)
    assert "expected" in str(result.problem)
    (folder / "pixels" / "alpha.rgru").write_bytes(b"")
    (result,) = check_pixels(folder)
    assert "NotRgru" in str(result.problem)
