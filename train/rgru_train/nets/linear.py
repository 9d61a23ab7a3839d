"""A linear path beside the recurrent networks: a block transform that codes from the first step.

Encoder side: inner products of the residual with cosine functions of 16x16 blocks, each told as
minus, nothing or plus one step by a pair of codes. Decoder side: the functions that the codes
name, added to what the recurrent decoder paints. With the gains of the iterations this is an
embedded transform coder before any training; every weight is then trained with the rest, and the
recurrent networks learn what it lacks.

What the decoder knows of a place, its first recurrent state, sets the step of each function there:
textures hide errors, smooth regions do not, and what was told before narrows what is left. It is
residual scaling (paper, section 2) by position and function instead of by block.
"""

from __future__ import annotations

import keras
import numpy as np
from keras import ops

from rgru_codec.metrics import LEVELS
from rgru_format.limits import POSITION
from rgru_train.nets.config import LinearConfig
from rgru_train.nets.kernels import Dense, Products, blocks, matmul, unblocked
from rgru_train.nets.module import Module, Tensor, variable
from rgru_train.nets.transform import basis

_CHROMA_PENALTY = 1.8
"""Chroma functions stand among luma functions of so much higher a frequency."""
UNIT = 0.1
"""Kernels are stored as multiples of it: good from the start, they should move slowly, and Adam
moves every number about equally fast."""


def functions(size: int, count: int) -> list[tuple[int, int, int]]:
    """List (colour, vertical, horizontal frequency): means, then by frequency."""
    means = [(colour, 0, 0) for colour in range(3)]
    rest = [(c, u, v) for c in range(3) for u in range(size) for v in range(size) if u or v]

    def rank(function: tuple[int, int, int]) -> tuple[float, tuple[int, int, int]]:
        colour, u, v = function
        return float(np.hypot(u, v)) * (_CHROMA_PENALTY if colour else 1.0), function

    return means + sorted(rest, key=rank)[: count - 3]


class LinearPath(Module):
    """Analysis of residuals into pre-activations of code pairs, and synthesis from codes.

    Args:
        config: its first step.
        codes: most codes a position of an iteration.
        state: channels of the decoder's first state.
    """

    def __init__(self, config: LinearConfig, codes: int, state: int) -> None:
        super().__init__("L")
        self.config = config
        self._digits = digits = config.mean_digits
        self.pairs = codes // 2
        self._coefficients = self.pairs - sum(map(len, digits)) + len(digits)
        told = basis(POSITION, functions(POSITION, self._coefficients))
        worth = [(i, weight) for i, weights in enumerate(digits) for weight in weights]
        worth += [(i, 1.0) for i in range(len(digits), self._coefficients)]
        flat = told.reshape(-1, self._coefficients) * (LEVELS * config.step)
        with self.name_scope:
            self.analysis = variable(told / (LEVELS * config.step) / UNIT, name="analysis")
            synthesis = np.stack([weight * flat[:, i] for i, weight in worth])
            self.synthesis = variable(synthesis / UNIT, name="synthesis")
            self.fineness = _from_state(state, self.pairs, "fineness")
            self.thresholds = _from_state(state, codes, "thresholds")
            self.steps = _from_state(state, self.pairs, "steps")

    def analyse(self, residual: Tensor, state: Tensor, products: Products) -> Tensor:
        """Return pre-activations of codes, (B, H/16, W/16, pairs·2): plus and minus detectors.

        Args:
            residual: (B, H, W, 3).
            state: the decoder's first state before this iteration, (B, H/16, W/16, C).
            products: multiplies what the state says; the transform itself stays in float32.
        """
        matrix = ops.reshape(self.analysis, (-1, self._coefficients))
        y = UNIT * matmul(blocks(residual, POSITION), matrix)
        means = len(self._digits)
        told = [*self._mean_digits(y[..., :means]), y[..., means:]]
        z = ops.concatenate(told, axis=-1) * _factor(self.fineness(state, products=products))
        both = ops.reshape(ops.stack([z, -z], axis=-1), (*z.shape[:-1], 2 * self.pairs))
        return both + self.thresholds(state, products=products) - self.config.threshold

    def _mean_digits(self, means: Tensor) -> list[Tensor]:
        """Successive digits: each is told of what the ones before it left over."""
        told = []
        for i, weights in enumerate(self._digits):
            left = means[..., i : i + 1]
            for weight in weights:
                z = left / weight
                told.append(z)
                digit = ops.sign(z) * ops.where(ops.abs(z) >= self.config.threshold, 1.0, 0.0)
                left = left - weight * ops.stop_gradient(digit)
        return told

    def coefficients(self, codes: Tensor, state: Tensor, products: Products) -> Tensor:
        """Turn codes (B, H/16, W/16, C) into (B, H/16, W/16, pairs): minus, no or plus one step.

        ``state`` and ``products`` as for ``analyse``.
        """
        pairs = ops.reshape(codes, (*codes.shape[:-1], self.pairs, 2))
        plus, minus = ops.unstack(pairs, axis=-1)
        return 0.5 * (plus - minus) * _factor(self.steps(state, products=products))

    def synthesise(self, coefficients: Tensor) -> Tensor:
        """Turn coefficients (B, H/16, W/16, pairs) into their picture (B, H, W, 3)."""
        picture = matmul(UNIT * coefficients, ops.convert_to_tensor(self.synthesis))
        return unblocked(picture, POSITION)


def _from_state(state: int, depth: int, name: str) -> Dense:
    """A function of the decoder's state at the same place; zero before training."""
    return Dense(state, depth, bias=True, init=keras.initializers.Zeros(), name=name)


def _factor(x: Tensor) -> Tensor:
    """A positive factor: 1 for 0, about e^x near it, never beyond e^±2."""
    return ops.exp(2.0 * ops.tanh(x / 2.0))
