"""Models beside each other: what the small one costs, and that both are at hand in one process."""

from __future__ import annotations

import importlib.metadata
import io
from collections.abc import Iterator
from pathlib import Path

import numpy as np
import pytest
from PIL import Image

import rgru_codec
from rgru_codec import models
from rgru_codec.cli import main
from rgru_codec.models import Model
from rgru_format import ModelMissing
from tools.speed import macs_of

from .conftest import photo

ROOT = Path(__file__).parents[2]
DISTRIBUTIONS = sorted(path.parent for path in ROOT.glob("models/*/pyproject.toml"))


@pytest.fixture
def nano(monkeypatch: pytest.MonkeyPatch) -> Iterator[Model]:
    monkeypatch.setenv(models.VARIABLE, str(ROOT / "models" / "nano" / "rgru_nano"))
    yield models.model_named("nano")
    models._find.cache_clear()


def test_nano_decodes_with_less_than_a_third_of_the_arithmetic(nano: Model) -> None:
    compact = models.model_named("compact")
    for layers in (3, nano.iterations):
        small, large = (
            macs["decoder"] + macs["painter"]
            for macs in (macs_of(model, layers) for model in (nano, compact))
        )
        assert small <= large / 3


def test_two_models_work_side_by_side(nano: Model) -> None:
    import rgru_codec.RgruImagePlugin

    pixels = photo(48, 64)
    files = {
        name: rgru_codec.compress(pixels, layers=2, model=name) for name in ("compact", "nano")
    }
    assert rgru_codec.info(files["nano"]).header.model_id == nano.id
    assert files["nano"] != files["compact"]
    for data in (*files.values(), *files.values()):
        with Image.open(io.BytesIO(data)) as image:
            shown = np.asarray(image)
        np.testing.assert_array_equal(shown, np.asarray(rgru_codec.decompress(data)))
        assert np.abs(shown.astype(int) - pixels).mean() < 40


def test_a_thumbnail_takes_the_layers_that_the_model_of_the_file_needs(nano: Model) -> None:
    """Those of the model that was passed, though the file names another, were taken."""
    data = rgru_codec.compress(photo(256, 256), layers="all")
    own = rgru_codec.thumbnail(data, 240)
    other = rgru_codec.thumbnail(data, 240, model=nano)
    assert other.info["layers"] == own.info["layers"]
    assert other.tobytes() == own.tobytes()


def test_without_its_package_a_file_of_nano_says_what_to_install(
    nano: Model, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    file = tmp_path / "a.rgru"
    file.write_bytes(rgru_codec.compress(photo(32, 32), layers=1, model=nano))
    monkeypatch.delenv(models.VARIABLE)
    monkeypatch.setattr(importlib.metadata, "entry_points", lambda group: [])
    models._find.cache_clear()
    with pytest.raises(ModelMissing, match="pip install rgru-nano"):
        rgru_codec.decompress(file.read_bytes())
    assert main(["decompress", str(file), "-o", str(tmp_path / "a.png")]) == 5
    assert nano.id.hex() in capsys.readouterr().err


@pytest.mark.parametrize("folder", DISTRIBUTIONS, ids=lambda folder: folder.name)
def test_a_distribution_holds_the_released_model_of_its_name(folder: Path) -> None:
    module = folder / f"rgru_{folder.name}"
    (package,) = (path.parent for path in module.glob("*/model.json"))
    model = Model.load(package)
    released = models._released()[package.name]
    assert (model.name, package.name) == (folder.name, model.id.hex())
    assert (released["name"], released["sha256"]) == (model.name, model.digest.hex())
    assert released["install"] == f"pip install rgru-{folder.name}"
    text = (folder / "pyproject.toml").read_text()
    assert f'{folder.name} = "{module.name}"' in text
    assert f'name = "rgru-{folder.name}"' in text
