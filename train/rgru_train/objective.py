"""What training minimises: distortion of every iteration, and the rate of every layer.

loss = Σ_t w_t·D_t + m_t·MSE_t + c·colour_t + o·offset_t + s·tint_t + λ_t·R_t

over iterations t. D is 1 - MS-SSIM, in the tangent of its logarithm; the errors of colours, of the
mean colour, of the mean colours of squares and the squared error enter by their logarithms. R is
the ideal code length in bits per pixel, and λ, its price, moves until a layer takes the rate that
is wanted of it.
"""

from __future__ import annotations

import math

import numpy as np
import tensorflow as tf
from numpy.typing import NDArray

from rgru_codec.metrics import LEVELS
from rgru_train.config import RunConfig
from rgru_train.losses import colour_error, ms_ssim, offset_error, planes, squared_error, tint
from rgru_train.nets.context import ContextModel
from rgru_train.nets.networks import Codec
from rgru_train.workers import mean_of_replicas

_OFFSET_WEIGHT = 0.3
"""Of the error of a crop's mean colour in the loss."""
_FOLLOW = 0.003
"""How fast the logarithm of a layer's price follows its relative miss, a step: slower than the
networks follow the price, or a layer swings between far too much and nothing."""
_MEAN = 0.05
"""Share of a step in the mean rates that prices follow."""


class Model:
    """Codec and context model together, with every variable under a stable name."""

    def __init__(self, config: RunConfig) -> None:
        self.config = config
        self.codec = Codec(config.network)
        self.context = ContextModel(config.network)

    @property
    def named(self) -> dict[str, tf.Variable]:
        """Variables that training changes, by their names: ``D/rnn0/W/pointwise``."""
        variables = (*self.codec.trainable_variables, *self.context.trainable_variables)
        return {variable.name.removesuffix(":0"): variable for variable in variables}

    def forward(
        self, pictures: tf.Tensor, iterations: int, training: bool
    ) -> tuple[tf.Tensor, tf.Tensor, tf.Tensor]:
        """Return pictures after each iteration and the rate of each layer.

        Args:
            pictures: (B, H, W, 3) uint8.
            iterations: how many iterations to run.
            training: binarize and multiply as in training.

        Returns:
            (T, B, H, W, 3) in levels, not clipped; and twice (T, B), bits per pixel, as a function
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
        """``forward`` of some pictures, which nothing connects with the others."""
        x = (tf.cast(pictures, tf.float32) - 127.5) * LEVELS
        products = self.config.training.products if training else "float32"
        codes, painted = self.codec.iterate(x, iterations, training, products)
        pixels = pictures.shape[1] * pictures.shape[2]
        of_model, of_codes = (tf.stack(bits) / pixels for bits in self.context.bits(codes))
        return tf.stack(painted) / LEVELS + 127.5, of_model, of_codes


def loss_of(
    model: Model,
    crops: tf.Tensor,
    colour: tf.Tensor,
    prices: tf.Tensor,
    means: tf.Tensor,
    iterations: int,
) -> tuple[tf.Tensor, tf.Tensor, tf.Tensor]:
    """Return loss, distortion of each iteration (T,), rate of each layer (T,) of a batch.

    Args:
        model: networks and context model.
        crops: (B, side, side, 3) uint8.
        colour: weight of the colour error.
        prices: (all T,), weight of each layer's rate.
        means: (all T,), distortion of each iteration over many steps.
        iterations: how many iterations to run.
    """
    config = model.config
    painted, of_model, of_codes = model.forward(crops, iterations, training=True)
    target = tf.cast(crops, tf.float32)[None]
    rate = tf.reduce_mean(of_codes, axis=1)
    price = tf.reduce_sum(prices[:iterations] * rate)
    price += tf.reduce_sum(tf.reduce_mean(of_model, axis=1))
    if config.training.distortion == "l1":
        distortion = tf.reduce_mean(tf.abs(painted - target), axis=[1, 2, 3, 4])
        return tf.reduce_sum(distortion) + price, distortion, rate
    painted, target = planes(painted), planes(target)
    errors = [
        1.0 - structure(painted, target, config.training.luma),
        colour_error(painted, target),
        offset_error(painted, target),
        tint(painted, target),
    ]
    squares = config.squared_error[:iterations]
    if any(squares):
        errors.append(squared_error(painted, target))
    # Of the whole batch, before the logarithm: a worker's share alone has another mean.
    distortion, colours, offsets, tints, *squared = tf.unstack(
        mean_of_replicas(tf.reduce_mean(tf.stack(errors), axis=2))
    )
    relative = log_near(distortion, means[:iterations])
    loss = tf.tensordot(relative, config.iteration_weights[:iterations], 1)
    loss += tf.reduce_sum(colour * tf.math.log(colours + 0.1))
    loss += tf.reduce_sum(_OFFSET_WEIGHT * tf.math.log(offsets + 0.5))
    loss += tf.reduce_sum(config.training.tint_weight * tf.math.log(tints))
    if squared:
        loss += tf.tensordot(tf.math.log(squared[0] + 1.0), squares, 1)
    return loss + price, distortion, rate


def structure(pictures: tf.Tensor, target: tf.Tensor, luma: float) -> tf.Tensor:
    """Return MS-SSIM of planes as trained for, a share of luma, the rest of R, G and B: (T, B)."""
    weights = [(1.0 - luma) / 3.0] * 3 + [luma]
    return tf.tensordot(ms_ssim(pictures, target, sampled=True), tf.constant(weights), [[1], [0]])


def log_near(x: tf.Tensor, mean: tf.Tensor) -> tf.Tensor:
    """Return the tangent of the logarithm at the mean.

    As with a logarithm each iteration counts for its relative gain, so that none is drowned. But a
    crop that is hard to code counts in full, as it does in a mean over pictures, and is given the
    bits that it needs: the logarithm's own slope would be least where the distortion is greatest.
    """
    return tf.math.log(mean) + x / mean - 1.0


class RateControl:
    """One price a layer, moved until the layer takes the rate wanted of it."""

    def __init__(self, targets: tuple[float, ...], weights: tuple[float, ...]) -> None:
        self.wanted = np.diff(np.array([0.0, *targets]))
        # The logarithm of a distortion falls about as that of the rate so far, and the bits of a
        # layer serve all iterations from its own on: near where trained networks settle.
        slopes = np.array(weights) / np.array(targets)
        self.log_prices = np.log(np.cumsum(slopes[::-1])[::-1])
        self.mean_rates = self.wanted.copy()

    def prices(self) -> NDArray[np.float32]:
        """Return the weight of each layer's rate in the loss."""
        return np.exp(self.log_prices).astype(np.float32)

    def observe(self, rates: NDArray[np.float32]) -> None:
        """Take in the rates of one step (bits per pixel, of the layers that ran)."""
        n = len(rates)
        self.mean_rates[:n] += _MEAN * (rates - self.mean_rates[:n])
        miss = np.clip(self.mean_rates[:n] / self.wanted[:n] - 1.0, -1.0, 1.0)
        self.log_prices[:n] = np.clip(self.log_prices[:n] + _FOLLOW * miss, -7.0, 7.0)
