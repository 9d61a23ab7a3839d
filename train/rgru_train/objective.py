"""What training minimises: distortion of every iteration, and the rate of every layer.

loss = Σ_t w_t·D_t + m_t·MSE_t + e_t·S_t + c·colour_t + o·offset_t + s·tint_t + λ_t·R_t

over iterations t. D is 1 - MS-SSIM, in the tangent of its logarithm; the errors of colours, of the
mean colour, of the mean colours of squares, the squared error and SSIMULACRA2's sum of errors
enter by their logarithms. R is
the ideal code length in bits per pixel, and λ, its price, moves until a layer takes the rate that
is wanted of it.
"""

from __future__ import annotations

import math
from collections.abc import Callable

import keras
import numpy as np
from keras import ops
from numpy.typing import NDArray

from rgru_codec.metrics import LEVELS
from rgru_train.config import RunConfig
from rgru_train.eye import ssimulacra2_error
from rgru_train.losses import colour_error, ms_ssim, offset_error, planes, squared_error, tint
from rgru_train.nets.context import ContextModel
from rgru_train.nets.module import Tensor
from rgru_train.nets.networks import Codec

_OFFSET_WEIGHT = 0.3
"""Of the error of a crop's mean colour in the loss."""
_FOLLOW = 0.003
"""How fast the logarithm of a layer's price follows its relative miss, a step: slower than the
networks follow the price, or a layer swings between far too much and nothing."""
_FORGET = 0.01
"""Share of a step in the running mean of the distortion."""
_MEAN = 0.05
"""Share of a step in the mean rates that prices follow."""


class Model:
    """Codec and context model together, with every variable under a stable name."""

    def __init__(self, config: RunConfig) -> None:
        self.config = config
        self.codec = Codec(config.network)
        self.context = ContextModel(config.network)

    @property
    def named(self) -> dict[str, keras.Variable]:
        """Variables that training changes, by their names: ``D/rnn0/W/pointwise``."""
        variables = (*self.codec.trainable_variables, *self.context.trainable_variables)
        return {variable.path: variable for variable in variables}

    def forward(
        self, pictures: Tensor, iterations: int, training: bool
    ) -> tuple[Tensor, Tensor, Tensor]:
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
        parts = ops.split(pictures, math.gcd(wanted, pictures.shape[0]))
        branches = [self._branch(part, iterations, training) for part in parts]
        gathered = zip(*branches, strict=True)
        levels, of_model, of_codes = (ops.concatenate(values, axis=1) for values in gathered)
        return levels, of_model, of_codes

    def _branch(
        self, pictures: Tensor, iterations: int, training: bool
    ) -> tuple[Tensor, Tensor, Tensor]:
        """``forward`` of some pictures, which nothing connects with the others."""
        x = (ops.cast(pictures, "float32") - 127.5) * LEVELS
        products = self.config.training.products if training else "float32"
        codes, painted = self.codec.iterate(x, iterations, training, products)
        pixels = pictures.shape[1] * pictures.shape[2]
        of_model, of_codes = (ops.stack(bits) / pixels for bits in self.context.bits(codes))
        return ops.stack(painted) / LEVELS + 127.5, of_model, of_codes


def loss_of(
    model: Model,
    crops: Tensor,
    colour: Tensor,
    prices: Tensor,
    means: Tensor,
    iterations: int,
    mean: Callable[[Tensor], Tensor] = lambda value: value,
) -> tuple[Tensor, Tensor, Tensor]:
    """Return loss, distortion of each iteration (T,), rate of each layer (T,) of a batch.

    Args:
        model: networks and context model.
        crops: (B, side, side, 3) uint8.
        colour: weight of the colour error.
        prices: (all T,), weight of each layer's rate.
        means: (all T,), distortion of each iteration over many steps.
        iterations: how many iterations to run.
        mean: of the devices that share a batch.
    """
    config = model.config
    painted, of_model, of_codes = model.forward(crops, iterations, training=True)
    target = ops.cast(crops, "float32")[None]
    rate = ops.mean(of_codes, axis=1)
    price = ops.sum(prices[:iterations] * rate)
    price += ops.sum(ops.mean(of_model, axis=1))
    if config.training.distortion == "l1":
        distortion = ops.mean(ops.abs(painted - target), axis=[1, 2, 3, 4])
        return ops.sum(distortion) + price, distortion, rate
    painted, target = planes(painted), planes(target)
    errors = [
        1.0 - structure(painted, target, config.training.luma),
        colour_error(painted, target),
        offset_error(painted, target),
        tint(painted, target),
    ]
    # Where it is wanted: (weights, floor in the logarithm, error) each.
    others = [
        (config.weights("squared_error"), 1.0, squared_error),
        (config.weights("ssimulacra2"), 0.5, ssimulacra2_error),
    ]
    others = [other for other in others if any(other[0][:iterations])]
    errors += [error(painted, target) for _, _, error in others]
    # Of the whole batch, before the logarithm: a worker's share alone has another mean.
    distortion, colours, offsets, tints, *rest = ops.unstack(
        mean(ops.mean(ops.stack(errors), axis=2))
    )
    relative = log_near(distortion, means[:iterations])
    loss = _sum(config.weights("iteration_weights"), relative)
    loss += ops.sum(colour * ops.log(colours + 0.1))
    loss += ops.sum(_OFFSET_WEIGHT * ops.log(offsets + 0.5))
    loss += _sum(config.weights("tint"), ops.log(tints))
    for (weights, floor, _), value in zip(others, rest, strict=True):
        loss += _sum(weights, ops.log(value + floor))
    return loss + price, distortion, rate


def _sum(weights: tuple[float, ...], values: Tensor) -> Tensor:
    """Weighted sum over the iterations that ran."""
    return ops.sum(np.array(weights[: values.shape[0]], np.float32) * values)


def structure(pictures: Tensor, target: Tensor, luma: float) -> Tensor:
    """Return MS-SSIM of planes as trained for, a share of luma, the rest of R, G and B: (T, B)."""
    weights = np.array([(1.0 - luma) / 3.0] * 3 + [luma], np.float32)[:, None]
    return ops.sum(ms_ssim(pictures, target, sampled=True) * weights, axis=1)


def log_near(x: Tensor, mean: Tensor) -> Tensor:
    """Return the tangent of the logarithm at the mean.

    As with a logarithm each iteration counts for its relative gain, so that none is drowned. But a
    crop that is hard to code counts in full, as it does in a mean over pictures, and is given the
    bits that it needs: the logarithm's own slope would be least where the distortion is greatest.
    """
    return ops.log(mean) + x / mean - 1.0


def wanted_rates(targets: tuple[float, ...]) -> NDArray[np.float64]:
    """Return the bits per pixel wanted of each layer, from those wanted after each."""
    return np.diff(np.array([0.0, *targets]))


class RateControl:
    """One price a layer, moved until the layer takes the rate wanted of it."""

    def __init__(self, targets: tuple[float, ...], weights: tuple[float, ...]) -> None:
        self.wanted = wanted_rates(targets)
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
        self.log_prices[:n], self.mean_rates[:n] = followed(
            self.log_prices[:n], self.mean_rates[:n], self.wanted[:n], rates
        )


def followed(
    log_prices: Tensor, mean_rates: Tensor, wanted: NDArray[np.float64], rates: Tensor
) -> tuple[Tensor, Tensor]:
    """Return logarithms of the prices, and mean rates, after a step's rates, all (T,)."""
    mean_rates = mean_rates + _MEAN * (rates - mean_rates)
    miss = (mean_rates / wanted - 1.0).clip(-1.0, 1.0)
    return (log_prices + _FOLLOW * miss).clip(-7.0, 7.0), mean_rates


def mean_after(mean: Tensor, distortion: Tensor) -> Tensor:
    """Return the running mean of the distortion after a step; the first one is the mean so far."""
    return mean + (1.0 + (_FORGET - 1.0) * (mean != 1.0)) * (distortion - mean)
