"""Muon for the matrices of the networks, Adam for all else.

Muon (K. Jordan, 2024; step sizes of arXiv 2502.16982) takes each matrix of a kernel: a dense
kernel (h, w, inputs, outputs) is one matrix (h·w·inputs, outputs), and one that holds several side
by side, as gates are, is a matrix for each. Matrices of one shape are worked on together.
"""

from __future__ import annotations

import math
from collections import defaultdict
from collections.abc import Mapping, Sequence

import numpy as np
import tensorflow as tf

from rgru_train.config import TrainingConfig
from rgru_train.nets.networks import Codec

_LEAST = 48
"""Matrices with fewer inputs or outputs are left to Adam."""
_MOMENTUM = 0.95
_NEWTON_SCHULZ = (3.4445, -4.7750, 2.0315)
_ITERATIONS = 5
_SIZE = 0.2
"""Root mean square of Muon's step at a learning rate of 1: about that of Adam's."""
_BETA_1, _BETA_2, _EPSILON = 0.9, 0.999, 1e-7


class Optimizer:
    """Changes variables by gradients; what it remembers is in ``slots``, by name.

    Args:
        variables: all that it will change, by name.
        matrices: names of those that Muon takes, and how many matrices stand in each.
        products: type of the products of Newton and Schulz's iteration.
    """

    def __init__(
        self, variables: Mapping[str, tf.Variable], matrices: Mapping[str, int], products: str
    ) -> None:
        self.matrices, self.products = matrices, products
        self.learning_rate = tf.Variable(0.0, trainable=False)
        self.steps = tf.Variable(0, dtype=tf.int64, trainable=False)
        self.slots: dict[str, tf.Variable] = {}
        self.variables = dict(variables)
        for name, variable in variables.items():
            for slot in ("momentum",) if name in matrices else ("first", "second"):
                zeros = tf.zeros(variable.shape)
                self.slots[f"{slot}/{name}"] = tf.Variable(zeros, trainable=False)

    def apply(self, gradients: Sequence[tf.Tensor]) -> None:
        """Take a step on every device; gradients are means of devices, in the variables' order."""
        self.steps.assign_add(1)
        by_shape = defaultdict(list)
        for (name, variable), gradient in zip(self.variables.items(), gradients, strict=True):
            if name in self.matrices:
                columns = variable.shape[-1] // self.matrices[name]
                by_shape[math.prod(variable.shape[:-1]), columns].append((name, gradient))
            else:
                self._adam(name, gradient)
        for (rows, columns), members in by_shape.items():
            self._muon(rows, columns, members)

    def _adam(self, name: str, gradient: tf.Tensor) -> None:
        steps = tf.cast(self.steps, tf.float32)
        powers = _BETA_1**steps, _BETA_2**steps
        rate = self.learning_rate.read_value()

        def update(
            weight: tf.Variable, first: tf.Variable, second: tf.Variable, gradient: tf.Tensor
        ) -> None:
            tf.raw_ops.ResourceApplyAdam(
                var=weight.handle,
                m=first.handle,
                v=second.handle,
                beta1_power=powers[0],
                beta2_power=powers[1],
                lr=rate,
                beta1=_BETA_1,
                beta2=_BETA_2,
                epsilon=_EPSILON,
                grad=gradient,
            )

        slots = (self.slots[f"{slot}/{name}"] for slot in ("first", "second"))
        _on_every_device(self.variables[name], update, (*slots, gradient))

    def _muon(self, rows: int, columns: int, members: Sequence[tuple[str, tf.Tensor]]) -> None:
        """One step of all matrices of one shape."""
        parts = [self.matrices[name] for name, _ in members]
        stacked = []
        for (name, gradient), count in zip(members, parts, strict=True):
            slot = self.slots[f"momentum/{name}"]
            momentum = _MOMENTUM * slot + gradient
            _on_every_device(slot, _assign, (momentum,))
            update = gradient + _MOMENTUM * momentum  # Nesterov's
            stacked.append(tf.transpose(tf.reshape(update, (rows, count, columns)), (1, 0, 2)))
        steps = orthogonal(tf.concat(stacked, axis=0), self.products)
        steps *= self.learning_rate * (_SIZE * np.sqrt(max(rows, columns)))
        for (name, _), step in zip(members, tf.split(steps, parts), strict=True):
            variable = self.variables[name]
            step = tf.reshape(tf.transpose(step, (1, 0, 2)), variable.shape)
            _on_every_device(variable, _subtract, (step,))


def orthogonal(matrices: tf.Tensor, products: str = "float32") -> tf.Tensor:
    """Return about the nearest orthogonal matrices of (n, rows, columns), by Newton and Schulz.

    Singular values come out between about .7 and 1.2.
    """
    wide = matrices.shape[1] <= matrices.shape[2]
    # Scaled before they are rounded: gradients may be too small for what follows.
    x = matrices / (tf.norm(matrices, axis=(-2, -1), keepdims=True) + 1e-7)
    x = tf.cast(x, products)
    a, b, c = _NEWTON_SCHULZ
    for _ in range(_ITERATIONS):
        gram = tf.matmul(x, x, transpose_a=not wide, transpose_b=wide)
        factor = b * gram + c * tf.matmul(gram, gram)
        x = a * x + (tf.matmul(factor, x) if wide else tf.matmul(x, factor))
    return tf.cast(x, tf.float32)


def _on_every_device(variable: tf.Variable, update, arguments) -> None:  # type: ignore[no-untyped-def]
    strategy = tf.distribute.get_strategy()
    strategy.extended.update(variable, update, args=arguments, group=False)


def _assign(variable: tf.Variable, value: tf.Tensor) -> None:
    variable.assign(value)


def _subtract(variable: tf.Variable, value: tf.Tensor) -> None:
    variable.assign_sub(value)


def matrices_of(codec: Codec) -> dict[str, int]:
    """Name the weights that Muon takes, and say how many matrices stand side by side in each."""
    found = {}
    for kernel in codec.kernels:
        *inputs, outputs = kernel.matrix.shape
        parts = kernel.parts if outputs // kernel.parts >= _LEAST else 1
        if min(math.prod(inputs), outputs) >= _LEAST:
            found[kernel.matrix.name.removesuffix(":0")] = parts
    return found


def make_optimizer(
    training: TrainingConfig, variables: Mapping[str, tf.Variable], codec: Codec
) -> Optimizer:
    """Make the optimizer that a configuration names: ``adam`` or ``muon``."""
    matrices = matrices_of(codec) if training.optimizer == "muon" else {}
    return Optimizer(variables, matrices, training.products)
