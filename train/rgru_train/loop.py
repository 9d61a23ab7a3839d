"""The training loop: step, rate control, checkpoints, validation.

A run is a folder: ``config.json``, ``checkpoint.npz`` (the newest), ``previous.npz``,
``log.jsonl`` and TensorBoard events. Checkpoints are written under another name and renamed, so a
kill at any moment leaves a good one.
"""

from __future__ import annotations

import json
import os
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any

import keras
import numpy as np
import tensorflow as tf
from numpy.typing import NDArray

from rgru_codec.nets.context import ContextModel
from rgru_codec.nets.networks import Codec
from rgru_format import InvalidInput
from rgru_train.config import RunConfig
from rgru_train.losses import colour_error, ms_ssim

LEVELS = 0.9 / 127.5
"""Pictures enter the network as (level - 127.5)·LEVELS (arXiv 1511.06085)."""
_CONTROL = 0.005
"""How fast a layer's rate multiplier follows its relative miss, a step."""


class DivergenceError(RuntimeError):
    """The loss is no longer a number; the last checkpoint is still good."""


class Model:
    """Codec and context model together, with every variable under a stable name."""

    def __init__(self, config: RunConfig) -> None:
        self.config = config
        self.codec = Codec(config.network)
        self.codec.build_all()
        self.context = ContextModel(config.network)
        self.context.bits([tf.zeros((1, 2, 2, codes)) for codes in config.network.codes])

    @property
    def trainable(self) -> list[keras.Variable]:
        """Variables that the optimiser changes."""
        return self.codec.trainable_variables + self.context.trainable_variables

    def forward(
        self, pictures: tf.Tensor, iterations: int, training: bool
    ) -> tuple[tf.Tensor, tf.Tensor, tf.Tensor]:
        """Pictures after each iteration and the rate of each layer.

        Args:
            pictures: (B, H, W, 3) uint8.
            iterations: how many iterations to run.
            training: binarize as in training.

        Returns:
            (T, B, 3, H, W) in levels, not clipped; and twice (T, B), bits per pixel, as a function
            of the context model and of the codes.
        """
        x = (tf.cast(pictures, tf.float32) - 127.5) * LEVELS
        codes, painted = self.codec.iterate(x, iterations, training)
        pixels = pictures.shape[1] * pictures.shape[2]
        of_model, of_codes = (tf.stack(bits) / pixels for bits in self.context.bits(codes))
        levels = tf.transpose(tf.stack(painted), [0, 1, 4, 2, 3]) / LEVELS + 127.5
        return levels, of_model, of_codes


class RateControl:
    """One multiplier a layer, moved until the layer takes the rate wanted of it."""

    def __init__(self, targets: tuple[float, ...]) -> None:
        self.wanted = np.diff(np.array([0.0, *targets]))
        self.log_multipliers = np.log(0.1 / self.wanted)
        self.mean_rates = self.wanted.copy()

    def multipliers(self) -> NDArray[np.float32]:
        """Weight of each layer's rate in the loss."""
        return np.exp(self.log_multipliers).astype(np.float32)

    def observe(self, rates: NDArray[np.float32]) -> None:
        """Take in the rates of one step (bits per pixel, of the layers that ran)."""
        n = len(rates)
        self.mean_rates[:n] += 0.05 * (rates - self.mean_rates[:n])
        miss = np.clip(self.mean_rates[:n] / self.wanted[:n] - 1.0, -1.0, 1.0)
        self.log_multipliers[:n] = np.clip(self.log_multipliers[:n] + _CONTROL * miss, -7.0, 7.0)


class Trainer:
    """Runs the steps of one run; everything that a resumed run needs is in its checkpoint."""

    def __init__(self, config: RunConfig, folder: Path) -> None:
        self.config, self.folder = config, folder
        self.model = Model(config)
        self.optimizer = keras.optimizers.Adam(config.training.learning_rate, epsilon=1e-7)
        self.optimizer.build(self.model.trainable)
        self.averages = [tf.Variable(v.value) for v in self.model.trainable]
        self.control = RateControl(config.training.targets) if config.training.targets else None
        self.step = 0
        self._steps: dict[int, Callable[..., Any]] = {}

    # -- one step ------------------------------------------------------------------------------

    def losses(
        self, crops: tf.Tensor, colour: tf.Tensor, multipliers: tf.Tensor, iterations: int
    ) -> tuple[tf.Tensor, tf.Tensor, tf.Tensor]:
        """Loss, distortion of each iteration (T,), rate of each layer (T,) of a batch."""
        painted, of_model, of_codes = self.model.forward(crops, iterations, training=True)
        target = tf.transpose(tf.cast(crops, tf.float32), [0, 3, 1, 2])
        rate = tf.reduce_mean(of_codes, axis=1)
        if self.config.training.distortion == "l1":
            distortion = tf.reduce_mean(tf.abs(painted - target), axis=[1, 2, 3, 4])
            return tf.reduce_sum(distortion), distortion, rate
        distortion = tf.reduce_mean(1.0 - ms_ssim(painted, target), axis=1)
        colours = tf.reduce_mean(colour_error(painted, target), axis=1)
        # Logarithms: each iteration counts for its relative gain, so that none is drowned.
        loss = tf.reduce_sum(tf.math.log(distortion + 1e-4) + colour * tf.math.log(colours + 0.1))
        loss += tf.reduce_sum(multipliers[:iterations] * rate)
        return loss + tf.reduce_sum(tf.reduce_mean(of_model, axis=1)), distortion, rate

    def _compiled(self, iterations: int) -> Callable[..., Any]:
        """The step for so many iterations, traced once."""
        if iterations not in self._steps:
            self._steps[iterations] = tf.function(
                lambda crops, colour, multipliers: self._apply(
                    crops, colour, multipliers, iterations
                )
            )
        return self._steps[iterations]

    def _apply(
        self, crops: tf.Tensor, colour: tf.Tensor, multipliers: tf.Tensor, iterations: int
    ) -> tuple[tf.Tensor, tf.Tensor, tf.Tensor, tf.Tensor]:
        variables = self.model.trainable
        with tf.GradientTape() as tape:
            loss, distortion, rate = self.losses(crops, colour, multipliers, iterations)
        gradients = tape.gradient(
            loss, [v.value for v in variables], unconnected_gradients=tf.UnconnectedGradients.ZERO
        )
        gradients, norm = tf.clip_by_global_norm(gradients, self.config.training.clip)
        self.optimizer.apply(gradients, variables)
        # Near the start, the mean of the steps so far.
        steps = tf.cast(self.optimizer.iterations, tf.float32)
        keep = tf.minimum(self.config.training.average, (1.0 + steps) / (10.0 + steps))
        for average, variable in zip(self.averages, variables, strict=True):
            average.assign(keep * average + (1.0 - keep) * variable.value)
        return loss, distortion, rate, norm

    def train_step(self, crops: tf.Tensor) -> dict[str, Any]:
        """One step on (B, side, side, 3) uint8 crops; returns what the log wants to know.

        Raises:
            DivergenceError: the loss is not finite.
        """
        training = self.config.training
        iterations = training.iterations_at(self.step, self.config.network.iterations)
        self.optimizer.learning_rate = training.rate_at(self.step)
        self.model.codec.binarizer.hardness.assign(training.hardness_at(self.step))
        count = self.config.network.iterations
        multipliers = np.zeros(count, np.float32)
        if self.control:
            multipliers = self.control.multipliers() * training.rate_share_at(self.step)
        loss, distortion, rate, norm = self._compiled(iterations)(
            crops, tf.constant(training.colour_weight_at(self.step), tf.float32), multipliers
        )
        if not np.isfinite(float(loss)):
            raise DivergenceError(
                f"loss is {float(loss)} at step {self.step}; resume from {self.folder}"
            )
        if self.control and self.step >= training.rate_steps:
            self.control.observe(rate.numpy())
        self.step += 1
        return {
            "step": self.step,
            "loss": float(loss),
            "distortion": [round(float(d), 5) for d in distortion],
            "bpp": [round(float(r), 4) for r in np.cumsum(rate)],
            "norm": float(norm),
        }

    # -- checkpoints ---------------------------------------------------------------------------

    def _arrays(self) -> dict[str, NDArray[Any]]:
        arrays: dict[str, NDArray[Any]] = {"step": np.array(self.step)}
        for i, (variable, average) in enumerate(
            zip(self.model.trainable, self.averages, strict=True)
        ):
            arrays[f"weight{i}"] = variable.numpy()
            arrays[f"average{i}"] = average.numpy()
        for i, variable in enumerate(self.optimizer.variables):
            arrays[f"optimizer{i}"] = variable.numpy()
        if self.control:
            arrays["log_multipliers"] = self.control.log_multipliers
            arrays["mean_rates"] = self.control.mean_rates
        return arrays

    def save(self) -> None:
        """Write the checkpoint; the one before is kept as ``previous.npz``."""
        newest, temporary = self.folder / "checkpoint.npz", self.folder / "writing.npz"
        with temporary.open("wb") as file:
            np.savez(file, **self._arrays())  # type: ignore[arg-type]
            file.flush()
            os.fsync(file.fileno())
        if newest.exists():
            newest.replace(self.folder / "previous.npz")
        temporary.replace(newest)

    def restore(self) -> None:
        """Continue from the newest readable checkpoint.

        Raises:
            InvalidInput: there is none, or it belongs to another network.
        """
        for name in ("checkpoint.npz", "previous.npz"):
            path = self.folder / name
            if path.exists():
                with np.load(path) as arrays:
                    self._assign({key: arrays[key] for key in arrays.files})
                return
        raise InvalidInput(f"{self.folder}: no checkpoint to resume from")

    def start_from(self, source: Path) -> None:
        """Take the weights of another run's newest checkpoint; everything else starts afresh.

        Raises:
            InvalidInput: there is none, or it belongs to another network.
        """
        path = source / "checkpoint.npz"
        if not path.exists():
            raise InvalidInput(f"{source}: no checkpoint.npz to start from")
        with np.load(path) as arrays:
            for i, (variable, average) in enumerate(
                zip(self.model.trainable, self.averages, strict=True)
            ):
                values = arrays[f"average{i}"]
                if variable.shape != values.shape:
                    raise InvalidInput(f"{path}: {variable.path} has another shape there")
                variable.assign(values)
                average.assign(values)

    def _assign(self, arrays: dict[str, NDArray[Any]]) -> None:
        for i, (variable, average) in enumerate(
            zip(self.model.trainable, self.averages, strict=True)
        ):
            if variable.shape != arrays[f"weight{i}"].shape:
                raise InvalidInput(f"checkpoint of another network: {variable.path} differs")
            variable.assign(arrays[f"weight{i}"])
            average.assign(arrays[f"average{i}"])
        for i, variable in enumerate(self.optimizer.variables):
            variable.assign(arrays[f"optimizer{i}"])
        if self.control:
            self.control.log_multipliers = arrays["log_multipliers"]
            self.control.mean_rates = arrays["mean_rates"]
        self.step = int(arrays["step"])

    def use_averages(self) -> list[NDArray[np.float32]]:
        """Put the running means in place of the weights; returns the weights."""
        weights = [v.numpy() for v in self.model.trainable]
        for variable, average in zip(self.model.trainable, self.averages, strict=True):
            variable.assign(average)
        return weights

    def use_weights(self, weights: list[NDArray[np.float32]]) -> None:
        """Undo :meth:`use_averages`."""
        for variable, weight in zip(self.model.trainable, weights, strict=True):
            variable.assign(weight)


class Log:
    """Lines of JSON, a line on the terminal, and TensorBoard scalars."""

    def __init__(self, folder: Path) -> None:
        self.file = (folder / "log.jsonl").open("a")
        self.events = tf.summary.create_file_writer(str(folder / "events"))
        self.started = time.perf_counter()

    def write(self, kind: str, row: dict[str, Any]) -> None:
        """Add one row; numbers and lists of numbers become scalars."""
        self.file.write(json.dumps({"kind": kind, "time": time.time(), **row}) + "\n")
        self.file.flush()
        with self.events.as_default(step=row["step"]):
            for key, value in row.items():
                values = value if isinstance(value, list) else [value]
                for i, number in enumerate(values):
                    if isinstance(number, (int, float)):
                        name = f"{kind}/{key}" + (f"/{i + 1}" if isinstance(value, list) else "")
                        tf.summary.scalar(name, number)


def machine_rate() -> float:
    """Measured multiply-adds a second of a 1024 x 1024 float32 matrix product on this machine."""
    a = tf.random.normal((1024, 1024))
    product = tf.function(lambda: tf.reduce_sum(tf.matmul(a, a)))
    product()
    begin = time.perf_counter()
    for _ in range(10):
        product().numpy()
    return float(10 * 1024**3 / (time.perf_counter() - begin))
