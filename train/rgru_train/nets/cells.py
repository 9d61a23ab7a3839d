"""Convolutional recurrent cells (paper, section 3).

Every cell maps ``(x, states)`` to ``(output, new states)``, x of shape (B, H, W, C_in), output and
states of shape (B, H', W', depth) with H' = ceil(H / stride). W are kernels on the input, U on the
state; a dot is the elementwise product. Convolutions that read the same tensor are one
convolution with their outputs side by side.
"""

from __future__ import annotations

import keras
import tensorflow as tf

from rgru_train.nets.config import LayerSpec

ALPHA = 0.1
"""Weight of both residual connections of the residual GRU (paper, equation 8)."""


def _conv(depth: int, kernel: int, stride: int = 1, bias: bool = False) -> keras.layers.Conv2D:
    return keras.layers.Conv2D(depth, kernel, stride, padding="same", use_bias=bias)


class GRU(keras.layers.Layer):
    """z = σ(W_z x + U_z h'), r = σ(W_r x + U_r h'), h = (1-z)·h' + z·tanh(W x + U(r·h'))."""

    states = 1

    def __init__(self, spec: LayerSpec, name: str) -> None:
        super().__init__(name=name)
        self.depth = spec.depth
        self.W = _conv(3 * spec.depth, spec.kernel, spec.stride, spec.bias)
        self.U_gates = _conv(2 * spec.depth, spec.hidden)
        self.U = _conv(spec.depth, spec.hidden)

    @property
    def gates(self) -> list[tuple[keras.Variable, int]]:
        """Kernels that hold several gates side by side, and how many."""
        return [(self.W.kernel, 3), (self.U_gates.kernel, 2)]

    def call(self, x: tf.Tensor, states: list[tf.Tensor]) -> tuple[tf.Tensor, list[tf.Tensor]]:
        """Run one step: (output, new states)."""
        h, _ = self.step(x, states[0])
        return h, [h]

    def step(self, x: tf.Tensor, previous: tf.Tensor) -> tuple[tf.Tensor, tf.Tensor]:
        """The GRU's new state, and nothing added to it."""
        w_z, w_r, w = tf.split(self.W(x), 3, axis=-1)
        u_z, u_r = tf.split(self.U_gates(previous), 2, axis=-1)
        z = tf.sigmoid(w_z + u_z)
        r = tf.sigmoid(w_r + u_r)
        candidate = tf.tanh(w + self.U(r * previous))
        return (1.0 - z) * previous + z * candidate, z


class ResidualGRU(GRU):
    """h = GRU(x, h') + α·W_h h', output o = h + α·W_ox x (paper, equations 7 and 8)."""

    def __init__(self, spec: LayerSpec, name: str) -> None:
        super().__init__(spec, name)
        self.stride = spec.stride
        self.W_h = _conv(spec.depth, 1)
        self.W_ox = _conv(spec.depth, 1)

    def call(self, x: tf.Tensor, states: list[tf.Tensor]) -> tuple[tf.Tensor, list[tf.Tensor]]:
        """Run one step: (output, new states)."""
        h, _ = self.step(x, states[0])
        h = h + ALPHA * self.W_h(states[0])
        # Not a strided convolution: TensorFlow 2.21 writes outside its memory in the gradient of
        # one whose kernel is 1x1, with respect to an input of few channels.
        there = x if self.stride == 1 else x[:, :: self.stride, :: self.stride]
        return h + ALPHA * self.W_ox(there), [h]


class LSTM(keras.layers.Layer):
    """[f,i,o,j] = [σ,σ,σ,tanh](W x + U h' + b), c = f·c' + i·j, h = o·tanh(c)."""

    states = 2

    def __init__(self, spec: LayerSpec, name: str) -> None:
        super().__init__(name=name)
        self.depth = spec.depth
        self.W = _conv(4 * spec.depth, spec.kernel, spec.stride, spec.bias)
        self.U = _conv(4 * spec.depth, spec.hidden)

    @property
    def gates(self) -> list[tuple[keras.Variable, int]]:
        """Kernels that hold several gates side by side, and how many."""
        return [(self.W.kernel, 4), (self.U.kernel, 4)]

    def call(self, x: tf.Tensor, states: list[tf.Tensor]) -> tuple[tf.Tensor, list[tf.Tensor]]:
        """Run one step: (output, new states)."""
        previous, memory = states
        f, i, o, j = tf.split(self.W(x) + self.U(previous), 4, axis=-1)
        memory = tf.sigmoid(f) * memory + tf.sigmoid(i) * tf.tanh(j)
        h = tf.sigmoid(o) * tf.tanh(memory)
        return h, [h, memory]


CELL_TYPES = {"residual_gru": ResidualGRU, "gru": GRU, "lstm": LSTM}
