"""The conformance vectors with pixels: the installed model shows them within their tolerance."""

from __future__ import annotations

import dataclasses
import json
import shutil
from pathlib import Path

import numpy as np
import pytest
from PIL import Image

import rgru_codec
from rgru_codec import models, vectors
from rgru_codec.models import Model
from rgru_codec.runtime.engine import best_engine, using
from rgru_codec.runtime.networks import DecodingHalf
from rgru_codec.runtime.reference import Reference
from rgru_codec.vectors import TOLERANCE, check_pixels
from rgru_format import coder
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


def networks(folder: Path) -> Path:
    """A copy of the vectors whose networks have every kind of layer."""
    shutil.copytree(VECTORS / "models", folder / "models")
    (folder / "pixels").mkdir()
    for path in (VECTORS / "pixels").glob("networks*"):
        shutil.copy(path, folder / "pixels")
    return folder


@pytest.mark.parametrize("plain", [False, True], ids=["libraries", "numpy and plain Python"])
def test_vectors_are_painted_alike_with_libraries_and_without(
    plain: bool, monkeypatch: pytest.MonkeyPatch
) -> None:
    if plain:
        monkeypatch.setattr(coder, "_library", lambda: None)
    with using(Reference if plain else best_engine()):
        results = check_pixels(VECTORS)
    assert len(results) == len(list(VECTORS.glob("pixels/*.rgru"))) >= 7
    assert [one for one in results if one.problem is not None] == []


@pytest.mark.parametrize("name", ["D/rnn0/U/pointwise", "P/conv0/bias", "L/steps/kernel", "gains"])
def test_weights_that_differ_a_little_are_seen(tmp_path: Path, name: str) -> None:
    """The pictures depend on every part of the networks, by more than the tolerance."""
    folder = networks(tmp_path)
    model = Model.load(next(folder.glob("models/*")))
    arrays = {key: a.copy() for key, a in model.half.arrays.items()}
    arrays[name] *= np.float32(1.3)
    changed = dataclasses.replace(model, half=DecodingHalf(model.half.table, arrays), digest=b"")
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(vectors, "model_of", lambda data, folder: changed)
        problems = [str(result.problem) for result in check_pixels(folder)]
    assert any("pixels differ" in problem for problem in problems)


def test_there_are_files_of_every_model_that_ships() -> None:
    found = set()
    for path in (VECTORS / "pixels").glob("*.json"):
        if path.name.startswith("networks"):
            continue
        table = json.loads(path.read_text("utf-8"))
        found.add(table["model"])
        assert table["tolerance"]["largest"] <= TOLERANCE["largest"]
    assert found == {table.parent.name for table in models.WEIGHTS.glob("*/model.json")}


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
