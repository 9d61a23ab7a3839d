"""Runs can be cut anywhere and continued; losses and data are what they say."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest
import tensorflow as tf
from PIL import Image

from rgru_format import InvalidInput
from rgru_train.config import RunConfig
from rgru_train.data import Crops, find_photos
from rgru_train.loop import RateControl, Trainer
from rgru_train.losses import ms_ssim, scales_that_fit
from rgru_train.validation import bpp_at, validate

TABLES = {
    "network": {
        "cell": "residual_gru",
        "reconstruction": "additive",
        "codes": [16, 20],
        "gains": [1.0, 2.0],
        "groups": [1, 2],
        "binarizer_noise": 0.0,
        "context_states": 4,
        "context_hidden": 6,
        "linear": {"step": 200.0},
        "encoder": [
            {"kind": "conv", "depth": 8, "kernel": 8, "stride": 8, "init": "dct"},
            {"kind": "residual", "depth": 8},
            {"kind": "rnn", "depth": 8, "stride": 2},
        ],
        "decoder": [
            {"kind": "rnn", "depth": 16, "kernel": 1, "hidden": 3},
            {"kind": "depth_to_space"},
        ],
        "head": [
            {"kind": "conv", "depth": 192, "init": "dct", "init_scale": 0.1},
            {"kind": "depth_to_space", "factor": 8},
        ],
    },
    "training": {"crop": 32, "batch": 2, "steps": 100, "warmup": 1, "targets": [0.1, 0.3]},
}


@pytest.fixture(scope="module")
def config() -> RunConfig:
    return RunConfig.from_tables(TABLES)


@pytest.fixture(scope="module")
def photos(tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder = tmp_path_factory.mktemp("photos")
    rng = np.random.default_rng(0)
    for i in range(6):
        coarse = rng.integers(0, 256, (6, 8, 3), dtype=np.uint8)
        Image.fromarray(coarse).resize((96, 64), Image.Resampling.BICUBIC).save(folder / f"p{i}.png")
    return folder


def crops(config: RunConfig, photos: Path) -> Crops:
    training = config.training
    return Crops(sorted(photos.iterdir()), training.crop, training.batch, training.seed)


def test_loss_falls_in_20_steps(config: RunConfig, photos: Path, tmp_path: Path) -> None:
    trainer = Trainer(config, tmp_path)
    rows = [trainer.train_step(batch) for batch in crops(config, photos).dataset(0, 20)]
    first, last = (np.mean([r["loss"] for r in part]) for part in (rows[:5], rows[-5:]))
    assert last < first


def test_a_run_that_was_cut_continues_as_if_it_had_not(
    config: RunConfig, photos: Path, tmp_path: Path
) -> None:
    data = crops(config, photos)
    whole = Trainer(config, tmp_path / "whole")
    whole.folder.mkdir()
    start = [v.numpy() for v in whole.model.trainable]
    expected = [whole.train_step(batch)["loss"] for batch in data.dataset(0, 4)]
    first = Trainer(config, tmp_path / "cut")
    first.folder.mkdir()
    first.use_weights(start)
    for average, weight in zip(first.averages, start, strict=True):
        average.assign(weight)
    losses = [first.train_step(batch)["loss"] for batch in data.dataset(0, 2)]
    first.save()
    second = Trainer(config, tmp_path / "cut")
    second.restore()
    losses += [second.train_step(batch)["loss"] for batch in data.dataset(second.step, 4)]
    np.testing.assert_allclose(losses, expected, rtol=1e-4)


def test_a_kill_while_writing_leaves_the_checkpoint_before(config: RunConfig, tmp_path: Path) -> None:
    trainer = Trainer(config, tmp_path)
    trainer.step = 7
    trainer.save()
    (tmp_path / "writing.npz").write_bytes(b"half a checkpoint")
    again = Trainer(config, tmp_path)
    again.restore()
    assert again.step == 7


def test_resume_without_a_checkpoint_says_so(config: RunConfig, tmp_path: Path) -> None:
    with pytest.raises(InvalidInput, match="no checkpoint"):
        Trainer(config, tmp_path).restore()


def test_training_ms_ssim_is_tensorflows() -> None:
    rng = np.random.default_rng(1)
    target = rng.uniform(0, 255, (2, 3, 176, 192)).astype(np.float32)
    picture = np.clip(target + rng.normal(0, 30, target.shape), 0, 255).astype(np.float32)
    found = ms_ssim(tf.constant(picture[None]), tf.constant(target))[0]
    expected = tf.image.ssim_multiscale(
        picture.transpose(0, 2, 3, 1), target.transpose(0, 2, 3, 1), 255.0
    )
    np.testing.assert_allclose(found, expected, atol=1e-4)


def test_crops_of_128_pixels_hold_four_scales() -> None:
    assert [scales_that_fit(side) for side in (11, 32, 128, 176)] == [1, 2, 4, 5]


def test_crops_depend_on_seed_and_step_alone(config: RunConfig, photos: Path) -> None:
    one, other = crops(config, photos), crops(config, photos)
    np.testing.assert_array_equal(one.draw(5), other.draw(5))
    assert (one.draw(5) != one.draw(6)).any()
    (batch,) = other.dataset(5, 6)
    np.testing.assert_array_equal(batch, one.draw(5))


def test_held_out_photos_are_chosen_by_name(photos: Path) -> None:
    training, held_out = find_photos(photos)
    assert len(training) + len(held_out) == 6
    assert not set(training) & set(held_out)


def test_an_empty_folder_is_named(tmp_path: Path) -> None:
    with pytest.raises(InvalidInput, match="no photos found"):
        find_photos(tmp_path)


def test_rate_control_raises_the_price_of_a_layer_that_takes_too_much() -> None:
    control = RateControl((0.1, 0.3))
    before = control.multipliers()
    for _ in range(50):
        control.observe(np.array([0.2, 0.1], np.float32))
    after = control.multipliers()
    assert after[0] > before[0]
    assert after[1] < before[1]


def test_bpp_at_interpolates_log_rate_over_decibels() -> None:
    bpp, quality = np.array([0.1, 0.4]), np.array([0.9, 0.975])
    assert bpp_at(bpp, quality, 0.95) == pytest.approx(0.2, abs=1e-3)
    assert bpp_at(bpp, quality, 0.98) is None


def test_validation_reports_every_iteration(config: RunConfig, tmp_path: Path) -> None:
    picture = np.random.default_rng(0).integers(0, 256, (176, 176, 3), dtype=np.uint8)
    result = validate(Trainer(config, tmp_path).model, [picture], 2)
    assert len(result["bpp"]) == len(result["ms_ssim"]) == 2
    assert result["bpp"][0] < result["bpp"][1]
