"""The steps of a run, its data, its losses and its checkpoints are what they say."""

from __future__ import annotations

import dataclasses
import json
import os
import signal
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import tensorflow as tf

from rgru_format import InvalidInput
from rgru_train import checkpoint
from rgru_train.config import PRODUCTS, RunConfig
from rgru_train.data import Crops, find_photos
from rgru_train.loop import RateControl, Trainer, _log_near
from rgru_train.losses import ms_ssim, scales_that_fit
from rgru_train.run import Options, _Loop, average, train
from rgru_train.validation import Validator, bpp_at, score, validate, validation_pictures
from rgru_train.workers import Workers, one_process

from .tiny import tiny


def crops(photos: Path, memory: float = 1.0) -> Crops:
    training = tiny().training
    return Crops(sorted(photos.iterdir()), training.crop, training.batch, training.seed, memory)


@pytest.fixture(scope="module")
def rows_and_trainer(
    photos: Path, tmp_path_factory: pytest.TempPathFactory
) -> tuple[list[dict[str, Any]], Trainer]:
    trainer = Trainer(tiny(), tmp_path_factory.mktemp("run"))
    batches = crops(photos).dataset(0, 20)
    return [trainer.train_step(batch, stop=i == 19) for i, batch in enumerate(batches)], trainer


def test_loss_falls_in_20_steps(rows_and_trainer: tuple[list[dict[str, Any]], Trainer]) -> None:
    rows, trainer = rows_and_trainer
    first, last = (np.mean([r["loss"] for r in part]) for part in (rows[:5], rows[-5:]))
    assert last < first
    assert trainer.stopping


def test_branches_compute_what_one_does(photos: Path, tmp_path: Path) -> None:
    training = dataclasses.replace(tiny().training, branches=2)
    both = [
        Trainer(config, tmp_path)
        for config in (tiny(), dataclasses.replace(tiny(), training=training))
    ]
    batch = next(iter(crops(photos).dataset(0, 1)))
    whole, parts = (trainer.train_step(batch) for trainer in both)
    assert parts["loss"] == pytest.approx(whole["loss"], rel=1e-5)
    assert parts["norm"] == pytest.approx(whole["norm"], rel=1e-3)
    with pytest.raises(InvalidInput, match="3 branches cannot share"):
        dataclasses.replace(training, branches=3)


def test_products_in_bfloat16_are_of_training_steps_only(photos: Path, tmp_path: Path) -> None:
    wide = [
        dataclasses.replace(spec, depth=192) if spec.kind == "rnn" else spec
        for spec in tiny().network.decoder
    ]
    network = dataclasses.replace(tiny().network, decoder=tuple(wide))
    exact, rounded = (
        Trainer(RunConfig(network, dataclasses.replace(tiny().training, products=name)), tmp_path)
        for name in PRODUCTS
    )
    batch = next(iter(crops(photos).dataset(0, 1)))
    same = [trainer.model.forward(batch, 1, training=False)[0] for trainer in (exact, rounded)]
    np.testing.assert_array_equal(*same)
    losses = [trainer.train_step(batch)["loss"] for trainer in (exact, rounded)]
    assert losses[0] != losses[1]
    assert losses[1] == pytest.approx(losses[0], rel=0.02)
    with pytest.raises(InvalidInput, match="unknown products 'float16'"):
        dataclasses.replace(tiny().training, products="float16")


def test_a_crop_counts_by_its_distortion_as_in_a_mean() -> None:
    """Not by its inverse, as with a logarithm, which made hard crops count least."""
    x = tf.constant([0.01, 0.1])
    with tf.GradientTape() as tape:
        tape.watch(x)
        loss = _log_near(x, tf.constant(0.05))
    np.testing.assert_allclose(tape.gradient(loss, x), [20.0, 20.0])
    np.testing.assert_allclose(_log_near(tf.constant(0.05), tf.constant(0.05)), np.log(0.05))


def test_the_mean_distortion_follows_and_comes_back(
    rows_and_trainer: tuple[list[dict[str, Any]], Trainer], tmp_path: Path
) -> None:
    rows, trainer = rows_and_trainer
    mean = np.array(rows[0]["distortion"])
    for row in rows[1:]:
        mean += 0.01 * (np.array(row["distortion"]) - mean)
    np.testing.assert_allclose(trainer.mean_distortion, mean, atol=1e-4)
    checkpoint.save(tmp_path, trainer._arrays())
    again = Trainer(tiny(), tmp_path)
    again.restore()
    np.testing.assert_array_equal(again.mean_distortion, trainer.mean_distortion)


def test_runs_go_on_from_their_mean(photos: Path, tmp_path: Path) -> None:
    runs = [tmp_path / "first", tmp_path / "twin"]
    for seed, folder in enumerate(runs):
        training = dataclasses.replace(tiny().training, seed=seed)
        options = Options(photos, folder, steps=2 + seed)
        train(dataclasses.replace(tiny(), training=training), options)
    out = tmp_path / "mean"
    average(runs, out)
    first, twin, mean = map(checkpoint.load, [*runs, out])
    assert (int(first["step"]), int(twin["step"]), int(mean["step"])) == (2, 3, 3)
    assert not np.array_equal(first["weight0"], twin["weight0"])
    for name in ("weight0", "average0", "log_multipliers"):
        np.testing.assert_allclose(mean[name], (first[name] + twin[name]) / 2, rtol=1e-5, atol=1e-7)
    config = RunConfig.from_json((out / "config.json").read_text())
    train(config, Options(photos, out, resume=True, steps=4))
    assert int(checkpoint.load(out)["step"]) == 4
    with pytest.raises(InvalidInput, match="exists"):
        average(runs, out)
    with pytest.raises(InvalidInput, match="same network"):
        checkpoint.mean([first, {**twin, "weight0": np.zeros(3)}])


def test_the_context_model_alone_can_be_trained(photos: Path, tmp_path: Path) -> None:
    training = dataclasses.replace(tiny().training, context_only=True)
    trainer = Trainer(dataclasses.replace(tiny(), training=training), tmp_path)
    before = [v.numpy() for v in trainer.model.trainable]
    rows = [trainer.train_step(batch) for batch in crops(photos).dataset(0, 8)]
    changed = [
        not np.array_equal(v.numpy(), value)
        for v, value in zip(trainer.model.trainable, before, strict=True)
    ]
    networks = len(trainer.model.codec.trainable_variables)
    assert not any(changed[:networks])
    assert sum(changed[networks:]) > len(changed[networks:]) / 2  # some meet zeros only
    assert rows[-1]["bpp"][-1] < rows[0]["bpp"][-1]


def test_validation_reports_every_iteration(
    rows_and_trainer: tuple[list[dict[str, Any]], Trainer], photos: Path
) -> None:
    _, trainer = rows_and_trainer
    pictures = validation_pictures(find_photos(photos)[1], tiny().training, 16)
    assert [picture.shape for picture in pictures] == [(176, 176, 3)] * 2
    result = validate(trainer.model, pictures, 2)
    assert len(result["bpp"]) == len(result["ms_ssim"]) == 2
    assert result["bpp"][0] < result["bpp"][1]


def test_weights_of_another_network_are_refused(
    rows_and_trainer: tuple[list[dict[str, Any]], Trainer],
) -> None:
    _, trainer = rows_and_trainer
    values = [v.numpy() for v in trainer.model.trainable]
    with pytest.raises(InvalidInput, match="is missing, not"):
        trainer.start_from([None, *values[1:]])
    with pytest.raises(InvalidInput, match="arrays, not"):
        trainer.start_from(values[:-1])


def test_a_kill_while_writing_leaves_the_checkpoint_before(tmp_path: Path) -> None:
    checkpoint.save(tmp_path, {"step": np.array(7)})
    checkpoint.save(tmp_path, {"step": np.array(8)})
    (tmp_path / "writing.npz").write_bytes(b"half a checkpoint")
    assert checkpoint.load(tmp_path)["step"] == 8
    # Killed between the two renames, or the disk lost the newest.
    (tmp_path / checkpoint.NEWEST).write_bytes(b"PK\3\4 not all of it")
    assert checkpoint.load(tmp_path)["step"] == 7
    (tmp_path / checkpoint.NEWEST).unlink()
    assert checkpoint.load(tmp_path)["step"] == 7


def test_the_best_checkpoint_stays(tmp_path: Path) -> None:
    assert checkpoint.best_score(tmp_path) == float("inf")
    checkpoint.save_best(tmp_path, {"step": np.array(3)}, 1.5)
    assert checkpoint.best_score(tmp_path) == 1.5
    assert checkpoint.load(tmp_path, (checkpoint.BEST,))["step"] == 3


def test_resume_without_a_checkpoint_says_so(tmp_path: Path) -> None:
    with pytest.raises(InvalidInput, match="no checkpoint"):
        checkpoint.load(tmp_path)


def test_a_new_run_does_not_overwrite_another(photos: Path, tmp_path: Path) -> None:
    checkpoint.save(tmp_path, {"step": np.array(3)})
    with pytest.raises(InvalidInput, match="continue it with --resume"):
        train(tiny(), Options(photos, tmp_path))


@pytest.mark.parametrize("number", [signal.SIGTERM, signal.SIGINT])
def test_a_stop_signal_waits_for_the_step_to_end(
    rows_and_trainer: tuple[list[dict[str, Any]], Trainer], photos: Path, number: signal.Signals
) -> None:
    _, trainer = rows_and_trainer
    loop = _Loop(trainer, crops(photos), Validator(trainer.model, []), None)

    def stop_in_the_middle(*arguments: Any) -> dict[str, Any]:
        os.kill(os.getpid(), number)
        return Trainer.train_step(trainer, *arguments)

    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(trainer, "step", 0)
        patch.setattr(trainer, "train_step", stop_in_the_middle)
        loop.run(None)
        assert trainer.step == 2  # the one in progress, and the one that tells all workers
    assert trainer.stopping


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


def test_crops_depend_on_seed_and_step_alone(photos: Path) -> None:
    one, other = crops(photos), crops(photos, memory=0.0)
    np.testing.assert_array_equal(one.draw(5), other.draw(5))
    assert (one.draw(5) != one.draw(6)).any()
    (batch,) = other.dataset(5, 6)
    np.testing.assert_array_equal(batch, one.draw(5))


def test_workers_share_the_crops_of_a_step(photos: Path) -> None:
    data = crops(photos)
    parts = [Workers(one_process().strategy, index, 2).part_of(2) for index in range(2)]
    np.testing.assert_array_equal(np.concatenate([data.draw(3, p) for p in parts]), data.draw(3))
    (batch,) = data.dataset(3, 4, parts[1])
    np.testing.assert_array_equal(batch, data.draw(3)[1:])


def test_held_out_photos_are_chosen_by_name(photos: Path) -> None:
    training, held_out = find_photos(photos)
    assert [p.name for p in held_out] == ["p45.png", "p63.png"]
    assert len(training) == 6


def test_an_empty_folder_is_named(tmp_path: Path) -> None:
    with pytest.raises(InvalidInput, match="no photos found"):
        find_photos(tmp_path)


def test_rate_control_raises_the_price_of_a_layer_that_takes_too_much() -> None:
    control = RateControl((0.1, 0.3), (1.0, 1.0))
    before = control.multipliers()
    for _ in range(50):
        control.observe(np.array([0.2, 0.1], np.float32))
    after = control.multipliers()
    assert after[0] > before[0]
    assert after[1] < before[1]


def test_a_layer_that_starts_far_too_large_is_not_priced_to_death() -> None:
    """A network that follows its price within 100 steps and starts at four times the rate."""
    control = RateControl((0.1,), (1.0,))
    start, rate, least = control.log_multipliers.copy(), 0.4, 0.4
    for _ in range(1500):
        control.observe(np.array([rate], np.float32))
        aim = 0.1 * float(np.exp(start - control.log_multipliers)[0])
        rate *= (aim / rate) ** 0.01
        least = min(least, rate)
    assert least > 0.04
    assert rate == pytest.approx(0.1, rel=0.1)


def test_an_iteration_of_a_low_weight_lowers_the_prices_of_the_layers_before_it() -> None:
    even = RateControl((0.1, 0.3), (1.0, 1.0)).multipliers()
    low = RateControl((0.1, 0.3), (1.0, 0.5)).multipliers()
    assert (low < even).all()


def test_iteration_weights_of_another_length_are_refused() -> None:
    tables = json.loads(tiny().as_json())
    tables["training"]["iteration_weights"] = [1.0]
    with pytest.raises(InvalidInput, match="iteration_weights"):
        RunConfig.from_tables(tables)


def test_bpp_at_interpolates_log_rate_over_decibels() -> None:
    bpp, quality = np.array([0.1, 0.4]), np.array([0.9, 0.975])
    assert bpp_at(bpp, quality, 0.95) == pytest.approx(0.2, abs=1e-3)
    assert bpp_at(bpp, quality, 0.98) is None


def test_a_state_that_reaches_more_qualities_scores_better() -> None:
    assert score({"0.9": 0.2, "0.95": 0.4}) < score({"0.9": 0.1, "0.95": None})
    assert score({"0.9": 0.2, "0.95": 0.3}) < score({"0.9": 0.2, "0.95": 0.4})
