"""Convolutional recurrent cells (paper, section 3).

Every cell maps ``(x, states)`` to ``(output, new states)``, x of shape (B, H, W, C_in), output and
states of shape (B, H', W', depth) with H' = ceil(H / stride). W are kernels on the input, U on the
state; a dot is the elementwise product. Kernels that read the same tensor are one kernel with
their outputs side by side. ``products`` multiplies.
"""

from __future__ import annotations

from keras import ops

from rgru_codec.runtime.layers import ALPHA
from rgru_train.nets.config import Rnn
from rgru_train.nets.kernels import Dense, Products
from rgru_train.nets.module import Module, Tensor

States = list[Tensor]


class GRU(Module):
    """z = σ(W_z x + U_z h'), r = σ(W_r x + U_r h'), h = (1-z)·h' + z·tanh(W x + U(r·h'))."""

    states = 1

    def __init__(self, depth_in: int, layer: Rnn, kernel: type[Dense], name: str) -> None:
        super().__init__(name)
        depth, side, hidden = layer.depth, layer.kernel, layer.hidden
        with self.name_scope:
            self.W = kernel(depth_in, 3 * depth, side, layer.stride, bias=True, parts=3, name="W")
            self.U_gates = kernel(depth, 2 * depth, hidden, parts=2, name="U_gates")
            self.U = kernel(depth, depth, hidden, name="U")

    def __call__(self, x: Tensor, states: States, products: Products) -> tuple[Tensor, States]:
        """Run one step: (output, new states)."""
        h = self.step(x, states[0], products)
        return h, [h]

    def step(self, x: Tensor, previous: Tensor, products: Products) -> Tensor:
        """Return the GRU's new state, and nothing added to it."""
        w_z, w_r, w = ops.split(self.W(x, products=products), 3, axis=-1)
        u_z, u_r = ops.split(self.U_gates(previous, products=products), 2, axis=-1)
        z = ops.sigmoid(w_z + u_z)
        r = ops.sigmoid(w_r + u_r)
        candidate = ops.tanh(w + self.U(r * previous, products=products))
        return previous + z * (candidate - previous)


class ResidualGRU(GRU):
    """h = GRU(x, h') + α·W_h h', output o = h + α·W_ox x (paper, equations 7 and 8)."""

    def __init__(self, depth_in: int, layer: Rnn, kernel: type[Dense], name: str) -> None:
        super().__init__(depth_in, layer, kernel, name)
        self.stride = layer.stride
        with self.name_scope:
            self.W_h = kernel(layer.depth, layer.depth, name="W_h")
            self.W_ox = kernel(depth_in, layer.depth, name="W_ox")

    def __call__(self, x: Tensor, states: States, products: Products) -> tuple[Tensor, States]:
        """Run one step: (output, new states)."""
        h = self.step(x, states[0], products) + ALPHA * self.W_h(states[0], products=products)
        # Not a strided convolution: TensorFlow 2.21 writes outside its memory in the gradient of
        # one whose kernel is 1x1, with respect to an input of few channels.
        there = x if self.stride == 1 else x[:, :: self.stride, :: self.stride]
        return h + ALPHA * self.W_ox(there, products=products), [h]


class LSTM(Module):
    """[f,i,o,j] = [σ,σ,σ,tanh](W x + U h' + b), c = f·c' + i·j, h = o·tanh(c)."""

    states = 2

    def __init__(self, depth_in: int, layer: Rnn, kernel: type[Dense], name: str) -> None:
        super().__init__(name)
        depth, side = layer.depth, layer.kernel
        with self.name_scope:
            self.W = kernel(depth_in, 4 * depth, side, layer.stride, bias=True, parts=4, name="W")
            self.U = kernel(depth, 4 * depth, layer.hidden, parts=4, name="U")

    def __call__(self, x: Tensor, states: States, products: Products) -> tuple[Tensor, States]:
        """Run one step: (output, new states)."""
        previous, memory = states
        gates = self.W(x, products=products) + self.U(previous, products=products)
        f, i, o, j = ops.split(gates, 4, axis=-1)
        memory = ops.sigmoid(f) * memory + ops.sigmoid(i) * ops.tanh(j)
        h = ops.sigmoid(o) * ops.tanh(memory)
        return h, [h, memory]


CELL_TYPES = {"residual_gru": ResidualGRU, "gru": GRU, "lstm": LSTM}
