"""Kernels of convolutions: dense, or separable as in MobileNets (arXiv 1704.04861).

Each holds its weights under the names that a written model gives them, and has ``Products``
multiply by them.
"""

from __future__ import annotations

from collections.abc import Sequence

import keras
import numpy as np
from keras import ops

from rgru_train.nets.module import Initializer, Module, Tensor, variable

_LEAST = 48
"""Products with fewer inputs or outputs stay in float32: there is little to gain, and those that
read RGB see differences of a level."""


class Products:
    """Products of one pass through the networks, in float32 or another type.

    A processor that knows bfloat16 (AVX512_BF16, AMX) multiplies it about twice as fast as
    float32; that is for training steps only. Weights, states and losses stay in float32. Each
    weight is read, and rounded to the type, once.

    Args:
        kind: Keras's name of the type.
    """

    def __init__(self, kind: str = "float32") -> None:
        self._type = kind
        self._read: dict[str, Tensor] = {}

    def matmul(self, x: Tensor, matrix: keras.Variable) -> Tensor:
        """Multiply (B, H, W, C) by (C, depth)."""
        weight = self._value(matrix)
        return ops.cast(matmul(ops.cast(x, weight.dtype), weight), "float32")

    def convolve(self, x: Tensor, kernel: keras.Variable, stride: int) -> Tensor:
        """Convolve (B, H, W, C) with a kernel (h, w, C, depth)."""
        weight = self._value(kernel)
        x = ops.cast(x, weight.dtype)
        if kernel.shape[0] == stride:  # a product with each block, whose gradient is one too
            y = matmul(blocks(x, stride), ops.reshape(weight, (-1, weight.shape[-1])))
        else:
            y = ops.conv(x, weight, stride, "same")
        return ops.cast(y, "float32")

    def depthwise(self, x: Tensor, kernel: keras.Variable, stride: int) -> Tensor:
        """Convolve (B, H, W, C) with kernels (h, w, C), each of its own channel."""
        weight = self._value(kernel, keep=True)
        if stride == 1 and keras.backend.backend() == "jax":
            return shifted_sum(x, weight)
        return ops.depthwise_conv(x, ops.expand_dims(weight, -1), stride, "same")

    def _value(self, variable: keras.Variable, keep: bool = False) -> Tensor:
        if variable.path not in self._read:
            small = keep or min(variable.shape[-2:]) < _LEAST
            value = ops.convert_to_tensor(variable)
            self._read[variable.path] = value if small else ops.cast(value, self._type)
        return self._read[variable.path]


def shifted_sum(x: Tensor, kernel: Tensor) -> Tensor:
    """Do what a depthwise convolution (h, w, C) does, one product for each tap.

    A compiler makes one loop of them, forward and back; GPU libraries have slow gradients for it.
    """
    height, width = x.shape[1:3]
    rows, columns = kernel.shape[:2]
    around = [[0, 0], [(rows - 1) // 2, rows // 2], [(columns - 1) // 2, columns // 2], [0, 0]]
    padded = ops.pad(x, around)
    taps = [(i, j) for i in range(rows) for j in range(columns)]
    return sum(padded[:, i : i + height, j : j + width] * kernel[i, j] for i, j in taps)


def matmul(x: Tensor, matrix: Tensor) -> Tensor:
    """Multiply (..., C) by (C, depth), as one product of two matrices: so is its gradient."""
    y = ops.matmul(ops.reshape(x, (-1, matrix.shape[0])), matrix)
    return ops.reshape(y, (*x.shape[:-1], matrix.shape[1]))


def blocks(x: Tensor, side: int) -> Tensor:
    """Turn squares of n x n positions into channels: (B, H, W, C) to (B, H/n, W/n, n·n·C).

    ``tf.nn.space_to_depth`` does so several times slower.
    """
    if side == 1:
        return x
    batch, height, width, depth = x.shape
    rows = ops.reshape(x, (batch * height // side, side, width // side, side * depth))
    shape = (batch, height // side, width // side, side * side * depth)
    return ops.reshape(ops.transpose(rows, (0, 2, 1, 3)), shape)


def unblocked(x: Tensor, side: int) -> Tensor:
    """Undo ``blocks``."""
    batch, height, width, depth = x.shape
    rows = ops.reshape(x, (batch * height, width, side, depth // side))
    shape = (batch, height * side, width * side, depth // side**2)
    return ops.reshape(ops.transpose(rows, (0, 2, 1, 3)), shape)


class Dense(Module):
    """A convolution with one kernel over all channels, of side ``kernel``.

    ``parts``: matrices that stand side by side in the kernel, such as gates.
    """

    def __init__(
        self,
        depth_in: int,
        depth: int,
        kernel: int = 1,
        stride: int = 1,
        *,
        bias: bool = False,
        activation: str = "linear",
        init: Initializer | None = None,
        parts: int = 1,
        name: str,
    ) -> None:
        super().__init__(name)
        self.stride, self.parts = stride, parts
        self.activation = keras.activations.get(activation)
        with self.name_scope:
            init = init or keras.initializers.GlorotUniform()
            self.matrix = self._matrix(depth_in, depth, kernel, init)
            self.bias = variable(np.zeros(depth), name="bias") if bias else None

    def _matrix(self, depth_in: int, depth: int, kernel: int, init: Initializer) -> keras.Variable:
        return variable(init, (kernel, kernel, depth_in, depth), name="kernel")

    def __call__(self, x: Tensor, products: Products) -> Tensor:
        """(B, H, W, C) to (B, H / stride, W / stride, depth), both float32."""
        y = self._convolved(x, products)
        return self.activation(y if self.bias is None else y + self.bias)

    def _convolved(self, x: Tensor, products: Products) -> Tensor:
        return products.convolve(x, self.matrix, self.stride)


class Separable(Dense):
    """A kernel for each channel by itself, without a bias, then a matrix over the channels.

    The kernels start near the identity: what a position says reaches its own output. A kernel of
    one position and no stride is left out. Args as for ``Dense``.
    """

    def _matrix(self, depth_in: int, depth: int, kernel: int, init: Initializer) -> keras.Variable:
        self.depthwise = None
        if kernel > 1 or self.stride > 1:
            shape = (kernel, kernel, depth_in)
            self.depthwise = variable(_near_identity, shape, name="depthwise")
        return variable(init, (depth_in, depth), name="pointwise")

    def _convolved(self, x: Tensor, products: Products) -> Tensor:
        if self.depthwise is not None:
            x = products.depthwise(x, self.depthwise, self.stride)
        return products.matmul(x, self.matrix)


KERNELS = {"dense": Dense, "separable": Separable}


def _near_identity(shape: Sequence[int], dtype: str) -> Tensor:
    """Kernels (side, side, depth): 1 in the middle, and normal noise of .2 everywhere."""
    middle = np.zeros((*shape[:2], 1), np.float32)
    middle[shape[0] // 2, shape[1] // 2] = 1.0
    return keras.initializers.RandomNormal(stddev=0.2)(shape, dtype) + middle


def scaled(factor: float) -> Initializer:
    """Return an initializer: Glorot's uniform numbers times a factor."""
    return keras.initializers.VarianceScaling(factor**2, "fan_avg", "uniform")
