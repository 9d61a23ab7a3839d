"""Kernels of convolutions: dense, or separable as in MobileNets (arXiv 1704.04861).

Each holds its weights under the names that a written model gives them, and has ``Products``
multiply by them.
"""

from __future__ import annotations

import keras
import tensorflow as tf

_LEAST = 48
"""Products with fewer inputs or outputs stay in float32: there is little to gain, and those that
read RGB see differences of a level."""


class Products:
    """Products of one pass through the networks, in float32 or another type.

    A processor that knows bfloat16 (AVX512_BF16, AMX) multiplies it about twice as fast as
    float32; that is for training steps only. Weights, states and losses stay in float32. Each
    weight is read, and rounded to the type, once.

    Args:
        kind: TensorFlow's name of the type.
    """

    def __init__(self, kind: str = "float32") -> None:
        self._type = tf.as_dtype(kind)
        self._read: dict[str, tf.Tensor] = {}

    def matmul(self, x: tf.Tensor, matrix: tf.Variable) -> tf.Tensor:
        """Multiply (B, H, W, C) by (C, depth)."""
        weight = self._value(matrix)
        return tf.cast(matmul(tf.cast(x, weight.dtype), weight), tf.float32)

    def convolve(self, x: tf.Tensor, kernel: tf.Variable, stride: int) -> tf.Tensor:
        """Convolve (B, H, W, C) with a kernel (h, w, C, depth)."""
        weight = self._value(kernel)
        x = tf.cast(x, weight.dtype)
        if kernel.shape[0] == stride:  # a product with each block, whose gradient is one too
            y = matmul(blocks(x, stride), tf.reshape(weight, (-1, weight.shape[-1])))
        else:
            y = tf.nn.conv2d(x, weight, stride, "SAME")
        return tf.cast(y, tf.float32)

    def depthwise(self, x: tf.Tensor, kernel: tf.Variable, stride: int) -> tf.Tensor:
        """Convolve (B, H, W, C) with kernels (h, w, C), each of its own channel."""
        weight = tf.expand_dims(self._value(kernel, keep=True), -1)
        return tf.nn.depthwise_conv2d(x, weight, (1, stride, stride, 1), "SAME")

    def _value(self, variable: tf.Variable, keep: bool = False) -> tf.Tensor:
        if variable.name not in self._read:
            small = keep or min(variable.shape[-2:]) < _LEAST
            value = tf.convert_to_tensor(variable)
            self._read[variable.name] = value if small else tf.cast(value, self._type)
        return self._read[variable.name]


def matmul(x: tf.Tensor, matrix: tf.Tensor) -> tf.Tensor:
    """Multiply (..., C) by (C, depth), as one product of two matrices: so is its gradient."""
    y = tf.matmul(tf.reshape(x, (-1, matrix.shape[0])), matrix)
    return tf.reshape(y, (*x.shape[:-1], matrix.shape[1]))


def blocks(x: tf.Tensor, side: int) -> tf.Tensor:
    """Do what ``tf.nn.space_to_depth`` does: (B, H, W, C) to (B, H/n, W/n, n·n·C).

    It is several times faster.
    """
    if side == 1:
        return x
    batch, height, width, depth = x.shape
    rows = tf.reshape(x, (batch * height // side, side, width // side, side * depth))
    shape = (batch, height // side, width // side, side * side * depth)
    return tf.reshape(tf.transpose(rows, (0, 2, 1, 3)), shape)


def unblocked(x: tf.Tensor, side: int) -> tf.Tensor:
    """Undo ``blocks``, as ``tf.nn.depth_to_space`` does."""
    batch, height, width, depth = x.shape
    rows = tf.reshape(x, (batch * height, width, side, depth // side))
    shape = (batch, height * side, width * side, depth // side**2)
    return tf.reshape(tf.transpose(rows, (0, 2, 1, 3)), shape)


class Dense(tf.Module):
    """A convolution with one kernel over all channels.

    Args:
        depth_in: input channels.
        depth: output channels.
        kernel: side of the kernel.
        stride: input positions an output position.
        bias: whether a constant is added.
        activation: Keras's name of the function behind it.
        init: of the kernel.
        parts: matrices that stand side by side in the kernel, such as gates.
        name: under which its weights are kept.
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
        init: keras.initializers.Initializer | None = None,
        parts: int = 1,
        name: str,
    ) -> None:
        super().__init__(name)
        self.stride, self.parts = stride, parts
        self.activation = keras.activations.get(activation)
        with self.name_scope:
            init = init or keras.initializers.GlorotUniform()
            self.matrix = self._matrix(depth_in, depth, kernel, init)
            self.bias = tf.Variable(tf.zeros(depth), name="bias") if bias else None

    def _matrix(
        self, depth_in: int, depth: int, kernel: int, init: keras.initializers.Initializer
    ) -> tf.Variable:
        return tf.Variable(init((kernel, kernel, depth_in, depth)), name="kernel")

    def __call__(self, x: tf.Tensor, products: Products) -> tf.Tensor:
        """(B, H, W, C) to (B, H / stride, W / stride, depth), both float32."""
        y = self._convolved(x, products)
        return self.activation(y if self.bias is None else y + self.bias)

    def _convolved(self, x: tf.Tensor, products: Products) -> tf.Tensor:
        return products.convolve(x, self.matrix, self.stride)


class Separable(Dense):
    """A kernel for each channel by itself, without a bias, then a matrix over the channels.

    The kernels start near the identity: what a position says reaches its own output. A kernel of
    one position and no stride is left out. Args as for ``Dense``.
    """

    def _matrix(
        self, depth_in: int, depth: int, kernel: int, init: keras.initializers.Initializer
    ) -> tf.Variable:
        self.depthwise = None
        if kernel > 1 or self.stride > 1:
            near = _near_identity(kernel, depth_in)
            self.depthwise = tf.Variable(near, name="depthwise")
        return tf.Variable(init((depth_in, depth)), name="pointwise")

    def _convolved(self, x: tf.Tensor, products: Products) -> tf.Tensor:
        if self.depthwise is not None:
            x = products.depthwise(x, self.depthwise, self.stride)
        return products.matmul(x, self.matrix)


KERNELS = {"dense": Dense, "separable": Separable}


def _near_identity(side: int, depth: int) -> tf.Tensor:
    """Kernels (side, side, depth): 1 in the middle, and normal noise of .2 everywhere."""
    noise = keras.initializers.RandomNormal(stddev=0.2)((side, side, depth))
    middle = tf.one_hot(side // 2 * side + side // 2, side * side)
    return noise + tf.reshape(middle, (side, side, 1))


def scaled(factor: float) -> keras.initializers.Initializer:
    """Return an initializer: Glorot's uniform numbers times a factor."""
    return keras.initializers.VarianceScaling(factor**2, "fan_avg", "uniform")
