"""Products of training steps in bfloat16.

A processor that knows bfloat16 (AVX512_BF16, AMX, TPUs) multiplies it about twice as fast as
float32. Weights, sums, states and losses stay in float32; validation and export do not come here.
"""

from __future__ import annotations

import contextlib
import functools
from collections.abc import Iterator

import keras
import tensorflow as tf

from rgru_codec.nets.networks import Codec

_LEAST = 48
"""Convolutions with fewer outputs are left in float32: there is nothing to gain."""


@contextlib.contextmanager
def bfloat16_products(codec: Codec) -> Iterator[None]:
    """Have the convolutions that run (or are traced) meanwhile multiply in bfloat16.

    All but those that read RGB, which see differences of a level, and small ones.
    """
    taken = [layer for layer in codec._flatten_layers() if _is_taken(layer)]
    for layer in taken:
        layer.convolution_op = functools.partial(_convolution, layer.strides, layer.padding)
    try:
        yield
    finally:
        for layer in taken:
            del layer.convolution_op


def _is_taken(layer: keras.layers.Layer) -> bool:
    if not isinstance(layer, keras.layers.Conv2D):
        return False
    _, _, depth_in, depth = layer.kernel.shape
    return bool(depth_in > 3 and depth >= _LEAST)


def _convolution(
    strides: tuple[int, int], padding: str, x: tf.Tensor, kernel: tf.Tensor
) -> tf.Tensor:
    x, kernel = (tf.cast(value, tf.bfloat16) for value in (x, tf.convert_to_tensor(kernel)))
    return tf.cast(tf.nn.conv2d(x, kernel, strides, padding.upper()), tf.float32)
