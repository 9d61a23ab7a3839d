"""The network in training: losses, the step, rate control, and the state of a run.

Checkpoints are :mod:`rgru_train.checkpoint`'s, the run around the steps :mod:`rgru_train.run`'s.
"""

from __future__ import annotations

import contextlib
import math
from collections.abc import Callable
from pathlib import Path
from typing import Any

import keras
import numpy as np
import tensorflow as tf
from numpy.typing import NDArray

from rgru_format import InvalidInput
from rgru_train import checkpoint
from rgru_train.config import RunConfig
from rgru_train.losses import colour_error, ms_ssim, offset_error
from rgru_train.nets.context import ContextModel
from rgru_train.nets.networks import Codec
from rgru_train.optimizer import make_optimizer
from rgru_train.products import bfloat16_products
from rgru_train.workers import Workers, mean_of_replicas, one_process

LEVELS = 0.9 / 127.5
"""Pictures enter the network as (level - 127.5)·LEVELS (arXiv 1511.06085)."""
_OFFSET_WEIGHT = 0.3
"""Of the error of a crop's mean colour in the loss."""
_FOLLOW = 0.003
"""How fast the logarithm of a layer's rate multiplier follows its relative miss, a step: slower
than the networks follow the multiplier, or a layer swings between far too much and nothing."""

_FORGET = 0.01
"""Share of a step in the running mean of the distortion."""


class DivergenceError(RuntimeError):
    """The loss is no longer a number; the last checkpoint is still good."""


def _log_near(x: tf.Tensor, mean: tf.Tensor) -> tf.Tensor:
    """The tangent of the logarithm at the mean.

    As with a logarithm each iteration counts for its relative gain, so that none is drowned. But a
    crop that is hard to code counts in full, as it does in a mean over pictures, and is given the
    bits that it needs: the logarithm's own slope would be least where the distortion is greatest.
    """
    return tf.math.log(mean) + x / mean - 1.0


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
        wanted = self.config.training.branches if training else 1
        parts = tf.split(pictures, math.gcd(wanted, pictures.shape[0]))
        branches = [self._branch(part, iterations, training) for part in parts]
        gathered = zip(*branches, strict=True)
        levels, of_model, of_codes = (tf.concat(values, axis=1) for values in gathered)
        return levels, of_model, of_codes

    def _branch(
        self, pictures: tf.Tensor, iterations: int, training: bool
    ) -> tuple[tf.Tensor, tf.Tensor, tf.Tensor]:
        """:meth:`forward` of some pictures, which nothing connects with the others."""
        x = (tf.cast(pictures, tf.float32) - 127.5) * LEVELS
        in_bfloat16 = training and self.config.training.products == "bfloat16"
        with bfloat16_products(self.codec) if in_bfloat16 else contextlib.nullcontext():
            codes, painted = self.codec.iterate(x, iterations, training)
        pixels = pictures.shape[1] * pictures.shape[2]
        of_model, of_codes = (tf.stack(bits) / pixels for bits in self.context.bits(codes))
        levels = tf.transpose(tf.stack(painted), [0, 1, 4, 2, 3]) / LEVELS + 127.5
        return levels, of_model, of_codes


class RateControl:
    """One multiplier a layer, moved until the layer takes the rate wanted of it."""

    def __init__(self, targets: tuple[float, ...], weights: tuple[float, ...]) -> None:
        self.wanted = np.diff(np.array([0.0, *targets]))
        # The logarithm of a distortion falls about as that of the rate so far, and the bits of a
        # layer serve all iterations from its own on: near where trained networks settle.
        slopes = np.array(weights) / np.array(targets)
        self.log_multipliers = np.log(np.cumsum(slopes[::-1])[::-1])
        self.mean_rates = self.wanted.copy()

    def multipliers(self) -> NDArray[np.float32]:
        """Weight of each layer's rate in the loss."""
        return np.exp(self.log_multipliers).astype(np.float32)

    def observe(self, rates: NDArray[np.float32]) -> None:
        """Take in the rates of one step (bits per pixel, of the layers that ran)."""
        n = len(rates)
        self.mean_rates[:n] += 0.05 * (rates - self.mean_rates[:n])
        miss = np.clip(self.mean_rates[:n] / self.wanted[:n] - 1.0, -1.0, 1.0)
        self.log_multipliers[:n] = np.clip(self.log_multipliers[:n] + _FOLLOW * miss, -7.0, 7.0)


class Trainer:
    """Runs the steps of one run; everything that a resumed run needs is in its checkpoint.

    Args:
        config: of the run.
        folder: of the run.
        workers: the devices; by default this process alone.
    """

    def __init__(self, config: RunConfig, folder: Path, workers: Workers | None = None) -> None:
        self.config, self.folder = config, folder
        self.workers = workers or one_process()
        keras.utils.set_random_seed(config.training.seed)
        with self.workers.strategy.scope():
            self.model = Model(config)
            self.optimizer = make_optimizer(config.training, self.model.codec)
            self.optimizer.build(self.model.trainable)
            self.averages = [tf.Variable(v.numpy()) for v in self.model.trainable]
        # The context model's variables come last.
        fixed = len(self.model.codec.trainable_variables) if config.training.context_only else 0
        self._trained = slice(fixed, None)
        targets = config.training.targets
        self.control = RateControl(targets, config.iteration_weights) if targets else None
        self.mean_distortion = np.ones(config.network.iterations)
        """Running mean over steps, of each iteration; 1, the largest there is, before the first."""
        self.step = 0
        self.stopping = False
        """Whether any worker has asked for a stop."""
        self._steps: dict[int, Callable[..., Any]] = {}

    # -- one step ------------------------------------------------------------------------------

    def losses(
        self,
        crops: tf.Tensor,
        colour: tf.Tensor,
        multipliers: tf.Tensor,
        means: tf.Tensor,
        iterations: int,
    ) -> tuple[tf.Tensor, tf.Tensor, tf.Tensor]:
        """Loss, distortion of each iteration (T,), rate of each layer (T,) of a batch.

        Args:
            crops: (B, side, side, 3) uint8.
            colour: weight of the colour error.
            multipliers: (all T,), weight of each layer's rate.
            means: (all T,), distortion of each iteration over many steps.
            iterations: how many iterations to run.
        """
        painted, of_model, of_codes = self.model.forward(crops, iterations, training=True)
        target = tf.transpose(tf.cast(crops, tf.float32), [0, 3, 1, 2])
        rate = tf.reduce_mean(of_codes, axis=1)
        if self.config.training.distortion == "l1":
            distortion = tf.reduce_mean(tf.abs(painted - target), axis=[1, 2, 3, 4])
            return tf.reduce_sum(distortion), distortion, rate
        structure = tf.reduce_mean(1.0 - ms_ssim(painted, target), axis=1)
        colours = tf.reduce_mean(colour_error(painted, target), axis=1)
        offsets = tf.reduce_mean(offset_error(painted, target), axis=1)
        # Of the whole batch, before the logarithm: a worker's share alone has another mean.
        distortion, colours, offsets = tf.unstack(
            mean_of_replicas(tf.stack([structure, colours, offsets]))
        )
        losses = _log_near(distortion, means[:iterations]) + colour * tf.math.log(colours + 0.1)
        losses += _OFFSET_WEIGHT * tf.math.log(offsets + 0.5)
        loss = tf.tensordot(losses, self.config.iteration_weights[:iterations], 1)
        loss += tf.reduce_sum(multipliers[:iterations] * rate)
        return loss + tf.reduce_sum(tf.reduce_mean(of_model, axis=1)), distortion, rate

    def _compiled(self, iterations: int) -> Callable[..., Any]:
        """The step for so many iterations, traced once."""
        if iterations not in self._steps:
            self._steps[iterations] = tf.function(
                lambda *values: self._apply(iterations, *values),
                autograph=False,  # no control flow depends on tensors: trace faster
            )
        return self._steps[iterations]

    def _apply(
        self,
        iterations: int,
        crops: tf.Tensor,
        colour: tf.Tensor,
        multipliers: tf.Tensor,
        means: tf.Tensor,
        stop: tf.Tensor,
    ) -> tuple[tf.Tensor, ...]:
        """Update all weights; loss, distortion, rate and stop (means of devices), and the norm."""
        strategy = self.workers.strategy

        def replica(crops: tf.Tensor) -> tuple[Any, Any]:
            part = self.workers.part_of_replica(crops)
            with tf.GradientTape() as tape:
                loss, *parts = self.losses(part, colour, multipliers, means, iterations)
            gradients = tape.gradient(
                loss,
                [v.value for v in self.model.trainable[self._trained]],
                unconnected_gradients=tf.UnconnectedGradients.ZERO,
            )
            # identity: each device needs a tensor of its own to take a mean of
            report = [loss, *parts, tf.identity(stop)]
            return mean_of_replicas(gradients), mean_of_replicas(report)

        # Every device holds the same means by now: the first one's are as good as any.
        gradients, report = tf.nest.map_structure(
            lambda value: strategy.experimental_local_results(value)[0],
            strategy.run(replica, args=(crops,)),
        )
        gradients, norm = tf.clip_by_global_norm(gradients, self.config.training.clip)
        self._update(gradients)
        return *report, norm

    def _update(self, gradients: list[tf.Tensor]) -> None:
        """One step of the optimizer on every device, and of the running means of the weights."""
        strategy, rate = self.workers.strategy, self.optimizer.learning_rate
        variables = [v.value for v in self.model.trainable[self._trained]]
        averages = self.averages[self._trained]
        # Near the start, the mean of the steps so far.
        steps = tf.cast(self.optimizer.iterations, tf.float32) + 1.0
        keep = tf.minimum(self.config.training.average, (1.0 + steps) / (10.0 + steps))

        def update(variable: tf.Variable, gradient: tf.Tensor, average: tf.Variable) -> None:
            self.optimizer.update_step(gradient, variable, rate)
            average.assign(keep * average + (1.0 - keep) * variable)

        # The optimizer's own apply() would add up gradients that are means of all devices already.
        for variable, gradient, average in zip(variables, gradients, averages, strict=True):
            strategy.extended.update(variable, update, args=(gradient, average), group=False)
        self.optimizer.iterations.assign_add(1)

    def train_step(self, crops: tf.Tensor, stop: bool = False) -> dict[str, Any]:
        """One step on (B, side, side, 3) uint8 crops; returns what the log wants to know.

        Args:
            crops: this worker's part of the batch.
            stop: ask all workers to stop after this step (see :attr:`stopping`).

        Raises:
            DivergenceError: the loss is not finite.
        """
        training = self.config.training
        iterations = training.iterations_at(self.step, self.config.network.iterations)
        self.optimizer.learning_rate = training.rate_at(self.step)
        self.model.codec.binarizer.hardness.assign(training.hardness_at(self.step))
        multipliers = np.zeros(self.config.network.iterations, np.float32)
        if self.control:
            multipliers = self.control.multipliers() * training.rate_share_at(self.step)
        means = self.mean_distortion
        settings = (training.colour_weight_at(self.step), multipliers, means, float(stop))
        loss, distortion, rate, stopping, norm = self._compiled(iterations)(
            crops, *(tf.constant(value, tf.float32) for value in settings)
        )
        if not np.isfinite(float(loss)):
            raise DivergenceError(
                f"loss is {float(loss)} at step {self.step}; resume from {self.folder}"
            )
        if self.control and self.step >= training.rate_steps:
            self.control.observe(rate.numpy())
        self._observe(distortion.numpy())
        self.stopping = float(stopping) > 0.0
        self.step += 1
        return {
            "step": self.step,
            "loss": float(loss),
            "distortion": [round(float(d), 5) for d in distortion],
            "bpp": [round(float(r), 4) for r in np.cumsum(rate)],
            "norm": float(norm),
        }

    def _observe(self, distortion: NDArray[np.float32]) -> None:
        """Take in the distortion of one step; the first one is the mean so far."""
        mean = self.mean_distortion[: len(distortion)]
        mean += np.where(mean == 1.0, 1.0, _FORGET) * (distortion - mean)

    # -- checkpoints ---------------------------------------------------------------------------

    def _arrays(self) -> checkpoint.Arrays:
        arrays: checkpoint.Arrays = {"step": np.array(self.step)}
        arrays["mean_distortion"] = self.mean_distortion
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
        checkpoint.save(self.folder, self._arrays())

    def save_best(self, score: float) -> None:
        """Keep this state if its validation score is the lowest so far."""
        if score < checkpoint.best_score(self.folder):
            checkpoint.save_best(self.folder, self._arrays(), score)

    def restore(self, best: bool = False) -> None:
        """Continue from the newest readable checkpoint, or from the best by validation.

        Raises:
            InvalidInput: there is none, or it belongs to another network.
        """
        names = (checkpoint.BEST,) if best else (checkpoint.NEWEST, checkpoint.PREVIOUS)
        arrays = checkpoint.load(self.folder, names)
        self._check_shapes([arrays.get(f"weight{i}") for i in range(len(self.averages))])
        for i, (variable, average) in enumerate(
            zip(self.model.trainable, self.averages, strict=True)
        ):
            variable.assign(arrays[f"weight{i}"])
            average.assign(arrays[f"average{i}"])
        for i, variable in enumerate(self.optimizer.variables):
            variable.assign(arrays[f"optimizer{i}"])
        if self.control and "log_multipliers" in arrays:
            self.control.log_multipliers = arrays["log_multipliers"]
            self.control.mean_rates = arrays["mean_rates"]
        self.mean_distortion = arrays.get("mean_distortion", self.mean_distortion)
        self.step = int(arrays["step"])
        keras.utils.set_random_seed(self.config.training.seed + self.step)

    def start_from(self, values: list[NDArray[np.float32] | None]) -> None:
        """Take these weights, in the order of ``Model.trainable``; all else starts afresh.

        Raises:
            InvalidInput: they belong to another network.
        """
        self._check_shapes(values)
        for variable, average, value in zip(
            self.model.trainable, self.averages, values, strict=True
        ):
            variable.assign(value)
            average.assign(value)

    def _check_shapes(self, values: list[NDArray[np.float32] | None]) -> None:
        for variable, value in zip(self.model.trainable, values, strict=False):
            if value is None or tuple(variable.shape) != value.shape:
                found = "missing" if value is None else value.shape
                shapes = f"{variable.path} is {found}, not {tuple(variable.shape)}"
                raise InvalidInput(f"weights of another network: {shapes}")
        if len(values) != len(self.averages):
            counts = f"{len(values)} arrays, not {len(self.averages)}"
            raise InvalidInput(f"weights of another network: {counts}")

    def use_averages(self) -> list[NDArray[np.float32]]:
        """Put the running means in place of the weights; returns the weights."""
        weights = [v.numpy() for v in self.model.trainable]
        for variable, average in zip(self.model.trainable, self.averages, strict=True):
            variable.assign(average.numpy())
        return weights

    def use_weights(self, weights: list[NDArray[np.float32]]) -> None:
        """Undo :meth:`use_averages`."""
        for variable, weight in zip(self.model.trainable, weights, strict=True):
            variable.assign(weight)
