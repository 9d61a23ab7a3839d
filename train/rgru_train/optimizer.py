"""Muon for the matrices of the networks, Adam for all else.

Muon (K. Jordan, 2024; step sizes of arXiv 2502.16982) takes each matrix of a kernel: a dense
kernel (h, w, inputs, outputs) is one matrix (h·w·inputs, outputs), and one that holds several side
by side, as gates are, is a matrix for each. Matrices of one shape are worked on together.
"""

from __future__ import annotations

import math
from collections import defaultdict
from collections.abc import Mapping, Sequence

import keras
import numpy as np
from keras import ops

from rgru_train.config import TrainingConfig
from rgru_train.nets.kernels import Dense
from rgru_train.nets.module import Tensor, split_at
from rgru_train.nets.networks import Codec

_LEAST = 48
"""Matrices with fewer inputs or outputs are left to Adam."""
_MOMENTUM = 0.95
_NEWTON_SCHULZ = (3.4445, -4.7750, 2.0315)
_ITERATIONS = 5
_SIZE = 0.2
"""Root mean square of Muon's step at a learning rate of 1: about that of Adam's."""
_BETA_1, _BETA_2, _EPSILON = 0.9, 0.999, 1e-7

Tensors = dict[str, Tensor]


class Optimizer:
    """A step's new weights, and what is remembered for the next, as a function of the gradients.

    Attributes:
        slots: shapes of what it remembers, by name; zeros at the start.

    Args:
        shapes: of all weights that it will change, by name.
        matrices: names of those that Muon takes, and how many matrices stand in each.
        products: type of the products of Newton and Schulz's iteration.
    """

    def __init__(
        self, shapes: Mapping[str, Sequence[int]], matrices: Mapping[str, int], products: str
    ) -> None:
        self.matrices, self.products = matrices, products
        self.slots = {
            f"{slot}/{name}": tuple(shape)
            for name, shape in shapes.items()
            for slot in (("momentum",) if name in matrices else ("first", "second"))
        }

    def step(
        self,
        weights: Mapping[str, Tensor],
        slots: Mapping[str, Tensor],
        gradients: Mapping[str, Tensor],
        rate: Tensor,
        steps: Tensor,
    ) -> tuple[Tensors, Tensors]:
        """Return new weights and new slots, by name, of step number ``steps``, the first being 1.

        ``rate``: the learning rate.
        """
        changed, kept = dict(weights), dict(slots)
        by_shape = defaultdict(list)
        for name, gradient in gradients.items():
            if name in self.matrices:
                *inputs, outputs = gradient.shape
                by_shape[math.prod(inputs), outputs // self.matrices[name]].append(name)
                slot = f"momentum/{name}"
                kept[slot] = _MOMENTUM * slots[slot] + gradient
            else:
                step, first, second = _adam(
                    gradient, slots[f"first/{name}"], slots[f"second/{name}"], steps
                )
                kept[f"first/{name}"], kept[f"second/{name}"] = first, second
                changed[name] = weights[name] - rate * step
        for names in by_shape.values():
            # Nesterov's momentum
            updates = [gradients[n] + _MOMENTUM * kept[f"momentum/{n}"] for n in names]
            for name, step in zip(names, self._muon(names, updates), strict=True):
                changed[name] = weights[name] - rate * step
        return changed, kept

    def _muon(self, names: Sequence[str], updates: Sequence[Tensor]) -> list[Tensor]:
        """Steps of kernels whose matrices have one shape."""
        parts = [self.matrices[name] for name in names]
        stacked = []
        for update, count in zip(updates, parts, strict=True):
            matrices = ops.reshape(update, (-1, count, update.shape[-1] // count))
            stacked.append(ops.transpose(matrices, (1, 0, 2)))
        together = ops.concatenate(stacked, axis=0)
        steps = orthogonal(together, self.products)
        steps *= _SIZE * math.sqrt(max(together.shape[1:]))
        split = split_at(steps, np.cumsum(parts)[:-1].tolist(), axis=0)
        return [
            ops.reshape(ops.transpose(step, (1, 0, 2)), update.shape)
            for step, update in zip(split, updates, strict=True)
        ]


def _adam(
    gradient: Tensor, first: Tensor, second: Tensor, steps: Tensor
) -> tuple[Tensor, Tensor, Tensor]:
    """Adam's step at a learning rate of 1 (arXiv 1412.6980), and its two moments."""
    first = first + (1.0 - _BETA_1) * (gradient - first)
    second = second + (1.0 - _BETA_2) * (gradient * gradient - second)
    steps = ops.cast(steps, "float32")
    factor = ops.sqrt(1.0 - ops.power(_BETA_2, steps)) / (1.0 - ops.power(_BETA_1, steps))
    return factor * first / (ops.sqrt(second) + _EPSILON), first, second


def orthogonal(matrices: Tensor, products: str = "float32") -> Tensor:
    """Return about the nearest orthogonal matrices of (n, rows, columns), by Newton and Schulz.

    Singular values come out between about .7 and 1.2.
    """
    wide = matrices.shape[1] <= matrices.shape[2]
    # Scaled before they are rounded: gradients may be too small for what follows.
    size = ops.sqrt(ops.sum(ops.square(matrices), axis=(-2, -1), keepdims=True))
    x = ops.cast(matrices / (size + 1e-7), products)
    a, b, c = _NEWTON_SCHULZ
    for _ in range(_ITERATIONS):
        turned = ops.swapaxes(x, 1, 2)
        gram = ops.matmul(x, turned) if wide else ops.matmul(turned, x)
        factor = b * gram + c * ops.matmul(gram, gram)
        x = a * x + (ops.matmul(factor, x) if wide else ops.matmul(x, factor))
    return ops.cast(x, "float32")


def clipped(gradients: Mapping[str, Tensor], norm: float) -> tuple[Tensors, Tensor]:
    """Return gradients scaled down to a global norm, if theirs is larger, and their own norm."""
    squares = [ops.sum(ops.square(gradient)) for gradient in gradients.values()]
    own = ops.sqrt(ops.sum(ops.stack(squares)))
    factor = norm / ops.maximum(own, norm)
    return {name: factor * gradient for name, gradient in gradients.items()}, own


def matrices_among(kernels: Mapping[str, Sequence[int]], least: int) -> dict[str, int]:
    """Name the kernels, each one matrix, with so many inputs and outputs at least."""
    return {
        name: 1
        for name, (*inputs, outputs) in kernels.items()
        if min(math.prod(inputs), outputs) >= least
    }


def matrices_of(codec: Codec) -> dict[str, int]:
    """Name the weights that Muon takes, and say how many matrices stand side by side in each."""
    found = {}
    networks = (codec.binarizer, codec.encoder, codec.decoder, codec.painter)
    for kernel in (one for network in networks for one in network.held(Dense)):
        *inputs, outputs = kernel.matrix.shape
        parts = kernel.parts if outputs // kernel.parts >= _LEAST else 1
        if min(math.prod(inputs), outputs) >= _LEAST:
            found[kernel.matrix.path] = parts
    return found


def make_optimizer(
    training: TrainingConfig, variables: Mapping[str, keras.Variable], codec: Codec
) -> Optimizer:
    """Make the optimizer that a configuration names: ``adam`` or ``muon``."""
    matrices = matrices_of(codec) if training.optimizer == "muon" else {}
    shapes = {name: variable.shape for name, variable in variables.items()}
    return Optimizer(shapes, matrices, training.products)
