"""Adam, or Muon for the kernels of the networks and Adam for all else."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

import keras
import numpy as np
import tensorflow as tf

from rgru_train.config import TrainingConfig
from rgru_train.nets.networks import Codec

_LEAST = 48
"""Kernels with fewer inputs or outputs are left to Adam."""


class Muon(keras.optimizers.Muon):
    """Muon (K. Jordan, 2024; step sizes of arXiv 2502.16982) for kernels of convolutions.

    A kernel (h, w, inputs, outputs) is one matrix (h·w·inputs, outputs); one that holds several
    gates side by side is a matrix for each. Keras's own optimizer knows matrices only.

    Args:
        gates: for each variable, in order, how many matrices its kernel holds; 0: take Adam.
        learning_rate: of both.
        products: type of the products of Newton and Schulz's iteration.
    """

    def __init__(
        self, gates: Mapping[str, int], learning_rate: float, products: str = "float32"
    ) -> None:
        super().__init__(learning_rate, weight_decay=None, adam_weight_decay=None)
        self._gates_of = gates
        self._products = products
        self._gates: list[int] = []

    def _should_use_adamw(self, variable: keras.Variable) -> bool:
        return variable.path not in self._gates_of

    def build(self, var_list: list[keras.Variable]) -> None:
        """Create the state for these variables."""
        self._gates = [self._gates_of.get(variable.path, 0) for variable in var_list]
        super().build(var_list)

    def _muon_update_step(self, gradient: Any, variable: Any, lr: Any, m: Any) -> None:
        m.assign(self.momentum * m + gradient)
        update = gradient + self.momentum * m
        *inputs, outputs = variable.shape
        gates = self._gates[self._get_variable_index(variable)]
        rows, columns = int(np.prod(inputs)), outputs // gates
        matrices = tf.transpose(tf.reshape(update, (rows, gates, columns)), (1, 0, 2))
        # Scaled before they are rounded: gradients may be too small for what follows.
        matrices /= tf.norm(matrices, axis=(-2, -1), keepdims=True) + 1e-7
        matrices = tf.cast(matrices, self._products)
        matrices = tf.cast(self.zeropower_via_newtonschulz5(matrices, self.ns_steps), tf.float32)
        step = tf.reshape(tf.transpose(matrices, (1, 0, 2)), variable.shape)
        variable.assign_sub(lr * self.rms_rate * np.sqrt(max(rows, columns)) * step)


def kernels(codec: Codec) -> dict[str, int]:
    """Path of each kernel that Muon takes, and the number of gates in it."""
    found = {}
    for layer in (codec.encoder, codec.binarizer, codec.decoder, codec.head):
        for variable in layer.trainable_variables:
            if len(variable.shape) == 4:
                found[variable.path] = 1
    for stack in (codec.encoder, codec.decoder):
        for block in stack.blocks:
            for kernel, gates in getattr(block, "gates", ()):
                found[kernel.path] = gates
    shapes = {v.path: tuple(v.shape) for v in codec.trainable_variables}
    return {path: gates for path, gates in found.items() if _least(shapes[path], gates) >= _LEAST}


def _least(shape: tuple[int, ...], gates: int) -> int:
    return min(int(np.prod(shape[:-1])), shape[-1] // gates)


def make_optimizer(training: TrainingConfig, codec: Codec) -> keras.optimizers.Optimizer:
    """The optimizer that a configuration names: ``adam`` or ``muon``."""
    if training.optimizer == "muon":
        return Muon(kernels(codec), training.learning_rate, training.products)
    return keras.optimizers.Adam(training.learning_rate, epsilon=1e-7)
