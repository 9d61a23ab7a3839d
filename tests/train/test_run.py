"""The steps of a run, its data, its losses and its checkpoints are what they say."""

from __future__ import annotations

import contextlib
import json
import os
import re
import shutil
import signal
import threading
from pathlib import Path
from typing import Any

import msgspec
import numpy as np
import pytest
import tensorflow as tf

from rgru_codec.metrics import decibels
from rgru_format import InvalidInput
from rgru_train import state
from rgru_train.batches import batches
from rgru_train.config import RunConfig
from rgru_train.crops import Crops
from rgru_train.log import Log
from rgru_train.losses import at_scales, ms_ssim, planes
from rgru_train.nets.config import Rnn
from rgru_train.objective import RateControl, log_near
from rgru_train.photos import find_photos
from rgru_train.run import Options, _Loop, average, train
from rgru_train.trainer import Trainer
from rgru_train.validation import Validator, _rates, score, validation_samples
from rgru_train.workers import Workers, one_process

from .tiny import eagerly, tiny


def crops(photos: Path, memory: float = 1.0) -> Crops:
    both = [photo for part in find_photos(photos) for photo in part]
    return Crops(both, msgspec.structs.replace(tiny().training, memory=memory))


@pytest.fixture(scope="module")
def rows_and_trainer(
    photos: Path, tmp_path_factory: pytest.TempPathFactory
) -> tuple[list[dict[str, Any]], Trainer]:
    trainer = Trainer(tiny(), tmp_path_factory.mktemp("run"))
    drawn = batches(crops(photos), 0, 20)
    return [trainer.train_step(batch, stop=i == 19) for i, batch in enumerate(drawn)], trainer


def test_loss_falls_in_20_steps(rows_and_trainer: tuple[list[dict[str, Any]], Trainer]) -> None:
    rows, trainer = rows_and_trainer
    first, last = (np.mean([r["loss"] for r in part]) for part in (rows[:5], rows[-5:]))
    assert last < first
    assert trainer.stopping


def test_branches_compute_what_one_does(photos: Path, tmp_path: Path) -> None:
    training = msgspec.structs.replace(tiny().training, branches=2)
    both = [
        Trainer(config, tmp_path)
        for config in (tiny(), msgspec.structs.replace(tiny(), training=training))
    ]
    batch = next(iter(batches(crops(photos), 0, 1)))
    with eagerly():
        whole, parts = (trainer.train_step(batch) for trainer in both)
    assert parts["loss"] == pytest.approx(whole["loss"], rel=1e-5)
    assert parts["norm"] == pytest.approx(whole["norm"], rel=1e-3)
    with pytest.raises(ValueError, match="3 branches cannot share"):
        msgspec.structs.replace(training, branches=3)


def test_products_in_bfloat16_are_of_training_steps_only(photos: Path, tmp_path: Path) -> None:
    wide = [
        msgspec.structs.replace(layer, depth=192) if isinstance(layer, Rnn) else layer
        for layer in tiny().network.decoder
    ]
    network = msgspec.structs.replace(tiny().network, decoder=tuple(wide))
    exact, rounded = (
        Trainer(
            RunConfig(network, msgspec.structs.replace(tiny().training, products=name)), tmp_path
        )
        for name in ("float32", "bfloat16")
    )
    batch = next(iter(batches(crops(photos), 0, 1)))
    same = [trainer.model.forward(batch, 1, training=False)[0] for trainer in (exact, rounded)]
    np.testing.assert_array_equal(*same)
    with eagerly():
        losses = [trainer.train_step(batch)["loss"] for trainer in (exact, rounded)]
    assert losses[0] != losses[1]
    assert losses[1] == pytest.approx(losses[0], rel=0.02)


def test_a_crop_counts_by_its_distortion_as_in_a_mean() -> None:
    """Not by its inverse, as with a logarithm, which made hard crops count least."""
    x = tf.constant([0.01, 0.1])
    with tf.GradientTape() as tape:
        tape.watch(x)
        loss = log_near(x, tf.constant(0.05))
    np.testing.assert_allclose(tape.gradient(loss, x), [20.0, 20.0])
    np.testing.assert_allclose(log_near(tf.constant(0.05), tf.constant(0.05)), np.log(0.05))


def test_the_mean_distortion_follows_and_comes_back(
    rows_and_trainer: tuple[list[dict[str, Any]], Trainer], tmp_path: Path
) -> None:
    rows, trainer = rows_and_trainer
    mean = np.array(rows[0]["distortion"])
    for row in rows[1:]:
        mean += 0.01 * (np.array(row["distortion"]) - mean)
    np.testing.assert_allclose(trainer.mean_distortion, mean, atol=1e-4)
    state.save(tmp_path, trainer.arrays())
    again = Trainer(tiny(), tmp_path)
    again.restore()
    np.testing.assert_array_equal(again.mean_distortion, trainer.mean_distortion)


def test_runs_go_on_from_their_mean(photos: Path, tmp_path: Path) -> None:
    runs = [tmp_path / "first", tmp_path / "twin"]
    with eagerly():
        train(tiny(), Options(photos, runs[0], steps=2))
    shutil.copytree(runs[0], runs[1])
    moved = {
        key: values * 1.5 if values.dtype.kind == "f" else values
        for key, values in state.load(runs[0]).items()
    }
    state.save(runs[1], {**moved, "step": moved["step"] + 1})
    out = tmp_path / "mean"
    average(runs, out)
    first, twin, mean = map(state.load, [*runs, out])
    assert (int(first["step"]), int(twin["step"]), int(mean["step"])) == (2, 3, 3)
    name = "weights/D/rnn0/W/pointwise"
    assert not np.array_equal(first[name], twin[name])
    for key in (name, "averages/P/conv4/kernel", "log_prices"):
        np.testing.assert_allclose(mean[key], (first[key] + twin[key]) / 2, rtol=1e-5, atol=1e-7)
    config = RunConfig.from_json((out / "config.json").read_text())
    with eagerly():
        train(config, Options(photos, out, resume=True, steps=4))
    assert int(state.load(out)["step"]) == 4
    with pytest.raises(InvalidInput, match="exists"):
        average(runs, out)
    with pytest.raises(InvalidInput, match="same network"):
        state.mean([first, {**twin, name: np.zeros(3)}])


@pytest.mark.parametrize("parts", [("C",), ("P",), ("E", "B")])
def test_some_parts_alone_can_be_trained(
    parts: tuple[str, ...], photos: Path, tmp_path: Path
) -> None:
    training = msgspec.structs.replace(tiny().training, only=parts)
    trainer = Trainer(msgspec.structs.replace(tiny(), training=training), tmp_path)
    before = {name: v.numpy() for name, v in trainer.model.named.items()}
    drawn = list(batches(crops(photos), 0, 3))
    with eagerly():
        for batch in drawn:
            trainer.train_step(batch)
    after = trainer.model.named
    changed = {name for name in before if not np.array_equal(after[name].numpy(), before[name])}
    assert changed
    assert all(name.startswith(parts) for name in changed)


def test_parts_that_are_not_there_are_named(tmp_path: Path) -> None:
    training = msgspec.structs.replace(tiny().training, only=("D/x",))
    with pytest.raises(InvalidInput, match="no weight's name begins so"):
        Trainer(msgspec.structs.replace(tiny(), training=training), tmp_path)


def test_parts_that_no_network_has_are_refused_before_one_is_built() -> None:
    tables = json.loads(tiny().as_json())
    for part in ("E/", "C", "log_gains"):
        tables["training"]["only"] = [part]
        assert RunConfig.from_json(json.dumps(tables)).training.only == (part,)
    tables["training"]["only"] = ["E", "X"]
    with pytest.raises(InvalidInput, match=r"at `\$\.training\.only"):
        RunConfig.from_json(json.dumps(tables))


def test_validation_reports_every_iteration_and_kind(
    rows_and_trainer: tuple[list[dict[str, Any]], Trainer], photos: Path
) -> None:
    _, trainer = rows_and_trainer
    samples = validation_samples(find_photos(photos)[1], tiny().training, 16)
    assert [sample.pixels.shape for sample in samples] == [(176, 176, 3)] * 2
    row, pictures = Validator(trainer.model, samples, shown=1).run(2)
    for name in ("bpp", "ms_ssim", "ms_ssim_luma", "ciede2000", "ssimulacra2", "flat"):
        assert len(row[name]) == 2, name
    assert row["bpp"][0] < row["bpp"][1]
    assert row["kinds"]["other sources"]["pictures"] == 2
    assert [picture.shape for picture in pictures] == [(2, 176, 176, 3)]


def test_rates_are_read_off_the_best_picture_so_far() -> None:
    """As the evaluator reads them off curves that rise; what a curve does not reach is none."""
    rng = np.random.default_rng(0)
    for _ in range(100):
        bpp, similarity = np.cumsum(rng.uniform(0.01, 0.5, 8)), rng.uniform(0.8, 0.995, 8)
        reached = decibels(np.maximum.accumulate(similarity))
        for name, rate in _rates(bpp, similarity).items():
            target = decibels(float(name))
            inside = reached[0] <= target <= reached[-1]
            expected = np.exp(np.interp(target, reached, np.log(bpp))) if inside else None
            assert rate == (None if expected is None else pytest.approx(expected, abs=5.1e-5))


def test_weights_of_another_network_are_refused(
    rows_and_trainer: tuple[list[dict[str, Any]], Trainer], tmp_path: Path
) -> None:
    """Also without, or with another shape of, what is no weight: that ended in a traceback."""
    _, trainer = rows_and_trainer
    other = Trainer(tiny(), tmp_path)
    for name in ("weights/D/rnn0/W/pointwise", "step", "mean_distortion", "optimizer/steps"):
        for wrong, words in (({}, "is missing, not"), ({name: np.zeros(3)}, r"is \(3,\), not")):
            arrays = {key: a for key, a in trainer.arrays().items() if key != name}
            state.save(tmp_path, arrays | wrong)
            with pytest.raises(InvalidInput, match=name.rsplit("/")[-1] + " " + words):
                other.restore()


def test_a_run_starts_from_what_fits_and_says_what_does_not(
    rows_and_trainer: tuple[list[dict[str, Any]], Trainer], tmp_path: Path
) -> None:
    _, trainer = rows_and_trainer
    arrays = {**trainer.arrays(), "log_prices": np.array([0.1, 0.2])}
    arrays["averages/D/rnn0/W/pointwise"] = np.zeros(3)
    del arrays["averages/P/conv4/bias"]
    other = Trainer(tiny(), tmp_path)
    assert sorted(other.start_from(arrays)) == ["D/rnn0/W/pointwise", "P/conv4/bias"]
    assert other.control is not None
    assert other.control.log_prices.tolist() == [0.1, 0.2]
    for variables in (other.model.named, other.averages):
        np.testing.assert_array_equal(variables["B/bias"].numpy(), arrays["averages/B/bias"])
    with pytest.raises(InvalidInput, match="none has a name and shape"):
        other.start_from({"averages/weight0": np.zeros(3)})


def test_a_kill_while_writing_leaves_the_checkpoint_before(tmp_path: Path) -> None:
    state.save(tmp_path, {"step": np.array(7)})
    state.save(tmp_path, {"step": np.array(8)})
    (tmp_path / ".rgru-a.part").write_bytes(b"half a checkpoint")
    assert state.load(tmp_path)["step"] == 8
    # Killed behind the renaming, or the disk lost the newest.
    (tmp_path / state.NEWEST).write_bytes(b"PK\3\4 not all of it")
    assert state.load(tmp_path)["step"] == 7
    (tmp_path / state.NEWEST).unlink()
    assert state.load(tmp_path)["step"] == 7


def test_damaged_checkpoints_are_named_whatever_is_wrong_with_them(tmp_path: Path) -> None:
    """Deflated data of another kind, one array alone, texts and a step of NaN were tracebacks."""
    path = tmp_path / state.NEWEST
    np.savez_compressed(path, step=np.arange(4000) % 1001)
    content = bytearray(path.read_bytes())
    for start in range(0, len(content), 7):
        path.write_bytes(content[:start] + b"\xff" + content[start + 1 :])
        with contextlib.suppress(InvalidInput):
            state.read(path)
    np.savez(path, step=np.array("words"))
    with pytest.raises(InvalidInput, match="step is not made of numbers"):
        state.read(path)
    for step in (np.nan, np.inf, -1, 2**63):
        np.savez(path, step=np.array(step))
        with pytest.raises(InvalidInput, match="step is not made of numbers fit for it"):
            state.read(path)
    np.savez(tmp_path / state.BEST, score=np.zeros(3))
    assert state.best_score(tmp_path) == float("inf")
    np.save(tmp_path / "one.npy", np.zeros(3))
    (tmp_path / "one.npy").replace(path)
    with pytest.raises(InvalidInput, match=r"checkpoint\.npz: no checkpoint, or damaged"):
        state.load(tmp_path)


def test_the_best_checkpoint_stays(tmp_path: Path) -> None:
    assert state.best_score(tmp_path) == float("inf")
    state.save_best(tmp_path, {"step": np.array(3)}, 1.5)
    assert state.best_score(tmp_path) == 1.5
    assert state.load(tmp_path, (state.BEST,))["step"] == 3


def test_resume_without_a_checkpoint_says_so(tmp_path: Path) -> None:
    with pytest.raises(InvalidInput, match="no checkpoint"):
        state.load(tmp_path)


def test_a_run_that_lost_its_configuration_is_named(
    rows_and_trainer: tuple[list[dict[str, Any]], Trainer], photos: Path, tmp_path: Path
) -> None:
    state.save(tmp_path, rows_and_trainer[1].arrays())
    with pytest.raises(InvalidInput, match="holds no run"):
        train(tiny(), Options(photos, tmp_path, resume=True))


def test_a_new_run_does_not_overwrite_another(photos: Path, tmp_path: Path) -> None:
    state.save(tmp_path, {"step": np.array(3)})
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


def noisy_pictures(shape: tuple[int, ...]) -> tuple[np.ndarray, np.ndarray]:
    rng = np.random.default_rng(1)
    target = rng.uniform(0, 255, shape).astype(np.float32)
    return target, np.clip(target + rng.normal(0, 30, shape), 0, 255).astype(np.float32)


def test_a_kill_loses_five_minutes_at_most_whatever_a_step_takes(
    rows_and_trainer: tuple[list[dict[str, Any]], Trainer], photos: Path, tmp_path: Path
) -> None:
    """A third step of two minutes would end too late: every second one is saved."""
    _, trainer = rows_and_trainer
    clock, saved = [0.0], []

    def step_of_two_minutes(*arguments: Any) -> dict[str, Any]:
        clock[0] += 120.0
        trainer.step += 1
        return {"step": trainer.step, "loss": 0.0, "distortion": [0.0], "bpp": [0.0], "norm": 0.0}

    with pytest.MonkeyPatch.context() as patch:
        patch.setattr("rgru_train.run.time.monotonic", lambda: clock[0])
        patch.setattr(trainer, "step", 0)
        patch.setattr(trainer, "stopping", False)
        patch.setattr(trainer, "train_step", step_of_two_minutes)
        patch.setattr(trainer, "save", lambda: saved.append(trainer.step))
        loop = _Loop(trainer, crops(photos), Validator(trainer.model, []), Log(tmp_path, ""))
        loop.training = msgspec.structs.replace(loop.training, save_minutes=5.0, steps=8)
        loop.run(None)
    assert saved == [2, 4, 6, 8]


def test_events_that_cannot_be_written_are_an_error_of_the_system(tmp_path: Path) -> None:
    (tmp_path / "events").write_bytes(b"")
    with pytest.raises(FileExistsError):
        Log(tmp_path, "")


def test_training_ms_ssim_is_tensorflows() -> None:
    target, picture = noisy_pictures((2, 176, 192, 3))
    found = ms_ssim(planes(tf.constant(picture[None])), planes(tf.constant(target[None])))[0]
    expected = tf.image.ssim_multiscale(picture, target, 255.0)
    np.testing.assert_allclose(np.mean(found[:3], axis=0), expected, atol=1e-4)
    weights = np.array([0.299, 0.587, 0.114], np.float32)[:, None]
    luma = tf.image.ssim_multiscale(picture @ weights, target @ weights, 255.0)
    np.testing.assert_allclose(found[3], luma, atol=1e-4)


def test_every_second_window_gives_all_but_the_same_ms_ssim(photos: Path) -> None:
    smooth = crops(photos).draw(0).astype(np.float32)
    smooth = np.tile(smooth, (1, 6, 6, 1))
    target, picture = noisy_pictures(smooth.shape)
    picture, target = smooth + 0.2 * (picture - target), smooth
    both = planes(tf.constant(picture[None])), planes(tf.constant(target[None]))
    np.testing.assert_allclose(ms_ssim(*both, sampled=True), ms_ssim(*both), rtol=0.01)


def test_crops_of_128_pixels_hold_four_scales() -> None:
    crops = [np.zeros((1, side, 1, 1, side), np.float32) for side in (16, 32, 128, 176)]
    assert [len(list(at_scales(crop, crop, False))) for crop in crops] == [1, 2, 4, 5]


def test_crops_depend_on_seed_and_step_alone(photos: Path) -> None:
    one, other = crops(photos), crops(photos, memory=0.0)
    np.testing.assert_array_equal(one.draw(5), other.draw(5))
    assert (one.draw(5) != one.draw(6)).any()
    (batch,) = batches(other, 5, 6)
    np.testing.assert_array_equal(batch, one.draw(5))


def test_no_thread_outlives_the_batches(photos: Path) -> None:
    """A run that was stopped had saved its checkpoint, and was still there half a minute later."""
    before = threading.active_count()
    drawn = batches(crops(photos), 0, 1000)
    next(drawn)
    assert threading.active_count() > before
    drawn.close()
    assert threading.active_count() == before


def test_workers_share_the_crops_of_a_step(photos: Path) -> None:
    data = crops(photos)
    parts = [Workers(one_process().strategy, index, 2).part_of(2) for index in range(2)]
    np.testing.assert_array_equal(np.concatenate([data.draw(3, p) for p in parts]), data.draw(3))
    (batch,) = batches(data, 3, 4, parts[1])
    np.testing.assert_array_equal(batch, data.draw(3)[1:])


def test_rate_control_raises_the_price_of_a_layer_that_takes_too_much() -> None:
    control = RateControl((0.1, 0.3), (1.0, 1.0))
    before = control.prices()
    for _ in range(50):
        control.observe(np.array([0.2, 0.1], np.float32))
    after = control.prices()
    assert after[0] > before[0]
    assert after[1] < before[1]


def test_a_layer_that_starts_far_too_large_is_not_priced_to_death() -> None:
    """A network that follows its price within 100 steps and starts at four times the rate."""
    control = RateControl((0.1,), (1.0,))
    start, rate, least = control.log_prices.copy(), 0.4, 0.4
    for _ in range(1500):
        control.observe(np.array([rate], np.float32))
        aim = 0.1 * float(np.exp(start - control.log_prices)[0])
        rate *= (aim / rate) ** 0.01
        least = min(least, rate)
    assert least > 0.04
    assert rate == pytest.approx(0.1, rel=0.1)


def test_an_iteration_of_a_low_weight_lowers_the_prices_of_the_layers_before_it() -> None:
    even = RateControl((0.1, 0.3), (1.0, 1.0)).prices()
    low = RateControl((0.1, 0.3), (1.0, 0.5)).prices()
    assert (low < even).all()


@pytest.mark.parametrize(
    ("key", "value", "words"),
    [
        ("iteration_weights", [1.0], "iteration_weights needs one entry"),
        ("squared_error", [1.0], "squared_error needs one entry"),
        ("targets", [1.0], "targets needs one entry"),
        ("targets", [0.3, 0.1], "entry of targets is above"),
        ("targets", [0.0, 0.1], "> 0.0 - at `$.training.targets"),
        ("tint", [-1.0, 1.0], ">= 0.0 - at `$.training.tint"),
        ("curriculum", [[5, 2], [0, 1]], "entry of curriculum is above"),
        ("curriculum", [[0, 1], [0, 2]], "entry of curriculum is above"),
        ("curriculum", [[0, 0]], ">= 1 - at `$.training.curriculum"),
        ("curriculum", [[0, 3]], "more than the network's 2 iterations"),
        ("crop", 40, "a multiple of 16 - at `$.training.crop"),
        ("crop", 0, ">= 16 - at `$.training.crop"),
        ("validation_crop", [176, 100], "a multiple of 16"),
        ("validation_crop", [176, 0], "two sides, or 0, 0"),
        ("learning_rate", -1e-3, "> 0.0 - at `$.training.learning_rate"),
        ("decay", 1.5, "<= 1.0 - at `$.training.decay"),
        ("average", -0.1, ">= 0.0 - at `$.training.average"),
        ("seed", -1, ">= 0 - at `$.training.seed"),
        ("seed", 2**32, "<= 2147483647 - at `$.training.seed"),
        ("validate_every", 0, ">= 1 - at `$.training.validate_every"),
    ],
)
def test_a_training_that_cannot_be_is_refused_when_it_is_read(
    key: str, value: object, words: str
) -> None:
    tables = json.loads(tiny().as_json())
    tables["training"][key] = value
    with pytest.raises(InvalidInput, match=re.escape(words)):
        RunConfig.from_json(json.dumps(tables))


def test_a_configuration_that_is_no_text_is_named(tmp_path: Path) -> None:
    for name, read in (("a.toml", RunConfig.from_toml), ("config.json", RunConfig.of_run)):
        for content in (b"\xff", b'{"training": {"only": ["\xff"]}}'):
            (tmp_path / name).write_bytes(content)
            with pytest.raises(InvalidInput, match=re.escape(str(tmp_path))):
                read(tmp_path if name == "config.json" else tmp_path / name)


def test_a_state_that_reaches_more_qualities_scores_better() -> None:
    assert score({"0.9": 0.2, "0.95": 0.4}) < score({"0.9": 0.1, "0.95": None})
    assert score({"0.9": 0.2, "0.95": 0.3}) < score({"0.9": 0.2, "0.95": 0.4})
