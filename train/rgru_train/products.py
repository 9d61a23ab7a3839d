"""Products of training steps in bfloat16.

A processor that knows bfloat16 (AVX512_BF16, AMX, TPUs) multiplies it about twice as fast as
float32. Inputs, kernels and results of a convolution are rounded to it; weights, states and losses
stay in float32. Validation and export do not come here.
"""

from __future__ import annotations

import contextlib
import functools
from collections.abc import Iterator

import keras
import tensorflow as tf

from rgru_train.nets.networks import Codec

_LEAST = 48
"""Convolutions with fewer inputs or outputs are left in float32: there is little to gain."""


@contextlib.contextmanager
def bfloat16_products(codec: Codec) -> Iterator[None]:
    """Have the convolutions that run (or are traced) meanwhile multiply in bfloat16.

    Small ones excepted, and with them those that read RGB, which see differences of a level.

    Args:
        codec: built; as it was before when the context ends.
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
    depth_in, depth = layer.kernel.shape[-2:]
    return min(depth_in, depth) >= _LEAST


def _convolution(
    strides: tuple[int, int], padding: str, x: tf.Tensor, kernel: tf.Tensor
) -> tf.Tensor:
    """(B, H, W, C_in) float32 and a kernel (h, w, C_in, C) to (B, H', W', C) float32."""
    x, kernel = (tf.cast(value, tf.bfloat16) for value in (x, tf.convert_to_tensor(kernel)))
    return tf.cast(tf.nn.conv2d(x, kernel, strides, padding.upper()), tf.float32)
