"""The steps of a run: gradient, optimizer, running means, and the state that a run resumes from."""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path
from typing import Any

import keras
import numpy as np
import tensorflow as tf
from numpy.typing import NDArray

from rgru_format import InvalidInput
from rgru_train import schedule, state
from rgru_train.config import RunConfig
from rgru_train.nets import module
from rgru_train.objective import Model, RateControl, loss_of, mean_after
from rgru_train.optimizer import clipped, make_optimizer
from rgru_train.workers import Workers, mean_of_replicas, one_process

_AVERAGED = 8
"""Steps between updates of the running means of the weights."""


class DivergenceError(FloatingPointError):
    """The loss is no longer a number; the last checkpoint is still good."""


class Trainer:
    """Runs the steps of one run; everything that a resumed run needs is in its checkpoint.

    Attributes:
        step: steps taken.
        averages: running means of the weights, by name.
        stopping: whether a worker asked to stop.
    """

    def __init__(self, config: RunConfig, folder: Path, workers: Workers | None = None) -> None:
        self.config, self.folder = config, folder
        self.workers = workers or one_process()
        keras.utils.set_random_seed(config.training.seed)
        with self.workers.strategy.scope():
            self.model = Model(config)
            self.averages = {
                name: keras.Variable(variable, trainable=False)
                for name, variable in self.model.named.items()
            }
            self.trained = self._trained()
            self.optimizer = make_optimizer(config.training, self.trained, self.model.codec)
            zeros = keras.initializers.Zeros()
            self.slots = {
                name: module.variable(zeros, shape, name="slot", trainable=False)
                for name, shape in self.optimizer.slots.items()
            }
            self.steps = keras.Variable(0, dtype="int64", trainable=False)
        targets, weights = config.training.targets, config.weights("iteration_weights")
        self.control = RateControl(targets, weights) if targets else None
        self.mean_distortion = np.ones(config.network.iterations, np.float32)
        self.step = 0
        self.stopping = False
        # No control flow depends on tensors: without autograph, tracing is faster. The step is
        # traced once for each number of iterations.
        self._step = tf.function(self._apply, autograph=False)
        self._average = tf.function(self._update_averages, autograph=False)

    @classmethod
    def of_run(cls, run: Path, best: bool = False) -> Trainer:
        """Return that of a run's newest checkpoint, or the best; the running means are in use.

        Raises:
            InvalidInput: the folder holds no run, or none of this network.
        """
        trainer = cls(RunConfig.of_run(run), run)
        trainer.restore(best)
        trainer.use_averages()
        return trainer

    def _trained(self) -> dict[str, keras.Variable]:
        """The variables that steps change (``only``)."""
        parts, named = self.config.training.only, self.model.named
        chosen = {n: v for n, v in named.items() if not parts or n.startswith(parts)}
        if not chosen:
            raise InvalidInput(f"[training] only = {list(parts)}: no weight's name begins so")
        return chosen

    # -- the step ------------------------------------------------------------------------------

    def train_step(self, crops: tf.Tensor, stop: bool = False) -> dict[str, Any]:
        """Take a step on (B, side, side, 3) uint8 crops; return what the log wants to know.

        The crops are this worker's part of the batch. ``stop`` asks all workers to stop after this
        step (see ``stopping``).

        Raises:
            DivergenceError: the loss is not finite.
        """
        training = self.config.training
        iterations = schedule.iterations_at(training, self.step, self.config.network.iterations)
        learning_rate = schedule.learning_rate_at(training, self.step)
        prices = np.zeros(self.config.network.iterations, np.float32)
        if self.control:
            prices = self.control.prices() * schedule.price_share_at(training, self.step)
        colour = schedule.colour_weight_at(training, self.step)
        settings = (learning_rate, colour, prices, self.mean_distortion, float(stop))
        tensors = [tf.constant(value, tf.float32) for value in settings]
        loss, distortion, rate, stopping, norm = self._step(iterations, crops, tensors)
        if not np.isfinite(float(loss)):
            raise DivergenceError(
                f"loss is {float(loss)} at step {self.step}; resume from {self.folder}"
            )
        if self.control and self.step >= training.rate_steps:
            self.control.observe(rate.numpy())
        mean = self.mean_distortion[: len(distortion)]
        mean[:] = mean_after(mean, distortion.numpy())
        self.stopping = float(stopping) > 0.0
        self.step += 1
        if self.step % _AVERAGED == 0:
            keep = schedule.averaged_at(training, self.step, _AVERAGED)
            self._average(tf.constant(keep, tf.float32))
        return {
            "step": self.step,
            "loss": float(loss),
            "distortion": [round(float(d), 5) for d in distortion],
            "bpp": [round(float(r), 4) for r in np.cumsum(rate)],
            "norm": float(norm),
        }

    def _apply(
        self, iterations: int, crops: tf.Tensor, settings: list[tf.Tensor]
    ) -> tuple[tf.Tensor, ...]:
        """Update all weights; loss, distortion, rate and stop (means of devices), and the norm."""
        learning_rate, colour, prices, means, stop = settings
        strategy = self.workers.strategy

        def replica(crops: tf.Tensor) -> tuple[Any, Any]:
            part = self.workers.part_of_replica(crops)
            with tf.GradientTape() as tape:
                loss, *parts = loss_of(
                    self.model, part, colour, prices, means, iterations, mean_of_replicas
                )
            weights = {name: variable.value for name, variable in self.trained.items()}
            zero = tf.UnconnectedGradients.ZERO
            gradients = tape.gradient(loss, weights, unconnected_gradients=zero)
            # identity: each device needs a tensor of its own to take a mean of
            report = [loss, *parts, tf.identity(stop)]
            return mean_of_replicas(gradients), mean_of_replicas(report)

        # Every device holds the same means by now: the first one's are as good as any.
        gradients, report = tf.nest.map_structure(
            lambda value: strategy.experimental_local_results(value)[0],
            strategy.run(replica, args=(crops,)),
        )
        gradients, norm = clipped(gradients, self.config.training.clip)
        weights = {name: variable.value for name, variable in self.trained.items()}
        slots = {name: variable.value for name, variable in self.slots.items()}
        with strategy.scope():
            self.steps.assign_add(1)
            weights, slots = self.optimizer.step(
                weights, slots, gradients, learning_rate, self.steps.value
            )
            for variables, values in ((self.trained, weights), (self.slots, slots)):
                for name, variable in variables.items():
                    variable.assign(values[name])
        return *report, norm

    def _update_averages(self, keep: tf.Tensor) -> None:
        """Move the running means towards the weights."""
        with self.workers.strategy.scope():
            for name, variable in self.trained.items():
                average = self.averages[name]
                average.assign_sub((1.0 - keep) * (average.value - variable.value))

    # -- the state -----------------------------------------------------------------------------

    def arrays(self) -> state.Arrays:
        """Return everything that a resumed run needs, by name (see ``rgru_train.state``)."""
        arrays: state.Arrays = {
            "step": np.array(self.step),
            "mean_distortion": self.mean_distortion,
            "optimizer/steps": self.steps.numpy(),
        }
        groups = {"weights": self.model.named, "averages": self.averages, "optimizer": self.slots}
        for group, variables in groups.items():
            arrays |= {f"{group}/{name}": v.numpy() for name, v in variables.items()}
        if self.control:
            arrays["log_prices"] = self.control.log_prices
            arrays["mean_rates"] = self.control.mean_rates
        return arrays

    def save(self) -> None:
        """Write the checkpoint; the one before is kept as ``previous.npz``."""
        state.save(self.folder, self.arrays())

    def save_best(self, score: float) -> None:
        """Keep this state if its validation score is the lowest so far."""
        if score < state.best_score(self.folder):
            state.save_best(self.folder, self.arrays(), score)

    def restore(self, best: bool = False) -> None:
        """Continue from the newest readable checkpoint, or from the best by validation.

        Raises:
            InvalidInput: there is none, or it belongs to another network.
        """
        names = (state.BEST,) if best else (state.NEWEST, state.PREVIOUS)
        arrays = state.load(self.folder, names)
        self._assign(self.model.named, state.part(arrays, "weights"))
        self._assign(self.averages, state.part(arrays, "averages"))
        slots = state.part(arrays, "optimizer")
        self._assign({"steps": self.steps}, slots)
        # Slots of other parts (``only``) start afresh.
        self._assign({n: v for n, v in self.slots.items() if n in slots}, slots)
        if self.control and "log_prices" in arrays:
            of_layers = self.control.wanted.shape
            self.control.log_prices = state.shaped(arrays, "log_prices", of_layers)
            self.control.mean_rates = state.shaped(arrays, "mean_rates", of_layers)
        self.mean_distortion = state.shaped(arrays, "mean_distortion", self.mean_distortion.shape)
        self.step = int(state.shaped(arrays, "step", ()))
        keras.utils.set_random_seed(self.config.training.seed + self.step)

    def start_from(self, arrays: Mapping[str, NDArray[Any]]) -> list[str]:
        """Take the averages that fit by name and shape, and rate control if it fits.

        All else starts afresh.

        Returns:
            Names of the weights that nothing was found for.

        Raises:
            InvalidInput: nothing fits.
        """
        named = self.model.named
        fitting = {
            name: array
            for name, array in state.part(arrays, "averages").items()
            if name in named and tuple(named[name].shape) == array.shape
        }
        if not fitting:
            raise InvalidInput("weights of another network: none has a name and shape of this one")
        self._assign({name: named[name] for name in fitting}, fitting)
        self._assign({name: self.averages[name] for name in fitting}, fitting)
        prices = arrays.get("log_prices")
        if self.control and prices is not None and prices.shape == self.control.log_prices.shape:
            self.control.log_prices = prices
        return [name for name in named if name not in fitting]

    def _assign(self, variables: Mapping[str, Any], values: Mapping[str, NDArray[Any]]) -> None:
        for name, variable in variables.items():
            variable.assign(state.shaped(values, name, variable.shape))

    def use_averages(self) -> state.Arrays:
        """Put the running means in place of the weights; return the weights."""
        weights = {name: v.numpy() for name, v in self.model.named.items()}
        self.use_weights({name: average.numpy() for name, average in self.averages.items()})
        return weights

    def use_weights(self, weights: state.Arrays) -> None:
        """Undo ``use_averages``."""
        self._assign(self.model.named, weights)
