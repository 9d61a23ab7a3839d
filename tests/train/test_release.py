"""A run becomes a package with a card, and a package becomes the start of a run."""

from __future__ import annotations

import csv
import json
from pathlib import Path

import numpy as np
import pytest

from rgru_codec import models
from rgru_format import InvalidInput
from rgru_train import readback
from rgru_train.__main__ import main
from rgru_train.card import check_size, hours, packed_size
from rgru_train.log import read_log
from rgru_train.loop import Trainer
from rgru_train.manifest import summary
from rgru_train.nets.context import WEIGHT_MAX, WEIGHT_SCALE
from rgru_train.release import release

from .tiny import TINY, tiny


@pytest.fixture(scope="module")
def released(reference: Path, photos: Path, tmp_path_factory: pytest.TempPathFactory) -> Path:
    with (photos.parent / "train_manifest.csv").open("w", newline="") as file:
        rows = [("file", "width", "height", "source", "original", "licence")]
        rows += [(f"p{i}.png", 192, 176, "blobs", "", "CC0-1.0") for i in range(4)]
        csv.writer(file).writerows(rows)
    out = tmp_path_factory.mktemp("models")
    return release(reference, out, name="tiny", data=photos, notes="Bad at everything.", best=True)


@pytest.fixture(scope="module")
def trainer(reference: Path) -> Trainer:
    trainer = Trainer(tiny(), reference)
    trainer.restore()
    return trainer


def test_the_card_tells_what_the_model_is(released: Path) -> None:
    card = (released / "MODEL_CARD.md").read_text()
    assert card.startswith(f"# Model tiny ({released.name})")
    for words in (
        tiny().digest,
        "8 of 2 crops of 32x32 pixels",
        "Bad at everything.",
        "6 photos in training, 2 held out",
        "at step 8",
        "| 2 |",
        "kMAC",
    ):
        assert words in card, words


def test_the_manifest_gives_sources_and_licences(released: Path, photos: Path) -> None:
    assert summary(photos)["sources"] == [
        ["blobs", "CC0-1.0", 4],
        ["not recorded", "not recorded", 2],
    ]


def test_integers_cost_what_floats_cost(released: Path) -> None:
    (row,) = (
        line for line in (released / "MODEL_CARD.md").read_text().splitlines() if "| all |" in line
    )
    _, _, _, _, difference, _, _ = row.split("|")
    assert abs(float(difference.replace("%", ""))) < 1.0


def test_a_package_gives_its_weights_back_within_rounding(released: Path, trainer: Trainer) -> None:
    found = readback.starting_weights(str(released), trainer.model)
    networks = len(trainer.model.codec.trainable_variables)
    for i, (value, average) in enumerate(zip(found, trainer.averages, strict=True)):
        assert value is not None
        expected, relative, absolute = average.numpy(), 2.0**-10, 2.0**-20  # float16
        if expected.ndim > 1:  # kernels keep seven significant bits, small weights fewer
            relative, absolute = 2.0**-7, float(np.sqrt(np.mean(expected**2))) / 64
        if i >= networks and not value.any():
            continue  # of no use: see test_arrays_that_have_no_use_are_zero
        if i >= networks:  # the context model: kernels are clipped, and steps of 1/256
            relative, absolute = 0.0, 0.5 / WEIGHT_SCALE + 1e-6
            if expected.ndim > 1:
                expected = np.clip(expected, -WEIGHT_MAX, WEIGHT_MAX)
            if expected.ndim == 4 and expected.shape[0] == 3:
                # Taps on positions of this phase and later ones are left out: they meet zeros.
                blind = (value == 0).all(axis=-1)
                assert not blind.all(axis=(0, 1)).any()
                expected = np.where(blind[..., None], 0.0, expected)
        np.testing.assert_allclose(value, expected, rtol=relative, atol=absolute)


def test_a_run_starts_from_a_package_and_from_a_run(
    released: Path, reference: Path, trainer: Trainer
) -> None:
    before = [v.numpy() for v in trainer.model.trainable]
    trainer.start_from(readback.starting_weights(str(reference), trainer.model))
    np.testing.assert_array_equal(trainer.model.trainable[0].numpy(), trainer.averages[0].numpy())
    trainer.start_from(readback.starting_weights(str(released), trainer.model))
    trainer.use_weights(before)
    with pytest.raises(InvalidInput, match="neither a run, nor a model package"):
        readback.starting_weights("nothing", trainer.model)


def test_an_installed_model_is_found_by_its_id_and_as_default(
    released: Path, trainer: Trainer, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(models, "WEIGHTS", released.parent)
    (released.parent / "default").write_text(f"{released.name}\n")
    for name in (released.name, "default"):
        values = readback.starting_weights(name, trainer.model)
        assert all(value is not None for value in values)


def test_eval_only_measures_what_the_run_measured(
    reference: Path, photos: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    assert main(["--data", str(photos), "--out", str(reference), "--eval-only"]) == 0
    found = json.loads(capsys.readouterr().out)
    (expected,) = (row for row in read_log(reference) if row["kind"] == "validation")
    assert found["step"] == expected["step"] == 8
    np.testing.assert_allclose(found["ms_ssim"], expected["ms_ssim"], atol=2e-3)


def test_describe_prints_costs(capsys: pytest.CaptureFixture[str]) -> None:
    assert main(["describe", "--config", str(TINY)]) == 0
    assert "kMAC/px an iteration, decoding: 0." in capsys.readouterr().out


def test_a_command_line_that_makes_no_sense_says_why(
    photos: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    assert main(["--data", str(photos), "--out", str(tmp_path), "--resume"]) == 2
    assert "give --config" in capsys.readouterr().err


def test_a_package_that_is_too_large_is_refused(released: Path) -> None:
    size = packed_size(released)
    assert check_size(released) == size
    with pytest.raises(InvalidInput, match="MB packed, more than"):
        check_size(released, size / 2e6)


def test_hours_count_steps_that_a_kill_undid() -> None:
    def row(step: int) -> dict[str, object]:
        return {"kind": "train", "step": step, "seconds": 3.6}

    # Killed behind step 60, resumed from step 40: 100 steps were taken.
    rows = [row(step) for step in (20, 40, 60, 60, 80)]
    assert hours(rows) == pytest.approx(0.1)
