"""Distortion between pictures: MS-SSIM and a mean absolute difference of scaled colours.

MS-SSIM as ``tf.image.ssim_multiscale`` defines it (11-tap Gaussian, sigma 1.5, valid windows,
K 0.01 and 0.03), on [0, 255]. A crop whose side is below 161 pixels holds fewer than five scales:
it gets the scales that fit, their weights renormalised. The Gaussian is two products with a band
matrix, whose gradient is a matrix product too; depthwise convolutions have a slow one on CPUs.
"""

from __future__ import annotations

import numpy as np
import tensorflow as tf

WEIGHTS = (0.0448, 0.2856, 0.3001, 0.2363, 0.1333)
_TAPS = 11
_SIGMA = 1.5
_C1 = (0.01 * 255.0) ** 2
_C2 = (0.03 * 255.0) ** 2

# Luma and two colour differences, the latter enlarged: MS-SSIM alone pulls weakly on chroma.
_COLOURS = np.array(
    [[0.299, 0.587, 0.114], [-0.169, -0.331, 0.5], [0.5, -0.419, -0.081]], np.float32
) * np.array([[1.0], [4.0], [4.0]], np.float32)


def scales_that_fit(side: int) -> int:
    """How many of the five scales a picture of this smallest side holds."""
    return max(s for s in range(1, 6) if s == 1 or side // 2 ** (s - 1) >= _TAPS)


def _band(side: int) -> tf.Tensor:
    """(side, side - 10): column j holds the Gaussian over rows j to j + 10."""
    offsets = np.arange(_TAPS) - _TAPS // 2
    taps = np.exp(-(offsets**2) / (2.0 * _SIGMA**2))
    matrix = np.zeros((side, side - _TAPS + 1), np.float32)
    for j in range(matrix.shape[1]):
        matrix[j : j + _TAPS, j] = taps / taps.sum()
    return tf.constant(matrix)


def _blur(x: tf.Tensor) -> tf.Tensor:
    """Gaussian over the last two axes, valid windows."""
    rows, columns = _band(x.shape[-2]), _band(x.shape[-1])
    return tf.matmul(rows, tf.matmul(x, columns), transpose_a=True)


def ms_ssim(pictures: tf.Tensor, target: tf.Tensor) -> tf.Tensor:
    """MS-SSIM of pictures against one target, mean of the channels.

    Args:
        pictures: (T, B, 3, H, W) in [0, 255] (channels before rows).
        target: (B, 3, H, W).

    Returns:
        (T, B) in [0, 1].
    """
    scales = scales_that_fit(min(target.shape[-2:]))
    weights = np.array(WEIGHTS[:scales]) / sum(WEIGHTS[:scales])
    x, y, product = pictures, target, 1.0
    for scale in range(scales):
        mu_y, yy = _blur(y), _blur(y * y)
        mu_x, xx, xy = tf.unstack(_blur(tf.stack([x, x * x, x * y])))
        structure = (2.0 * (xy - mu_x * mu_y) + _C2) / (xx - mu_x * mu_x + yy - mu_y * mu_y + _C2)
        if scale == scales - 1:
            structure *= (2.0 * mu_x * mu_y + _C1) / (mu_x * mu_x + mu_y * mu_y + _C1)
        mean = tf.reduce_mean(structure, axis=[-2, -1])
        # The small floor keeps the gradient of the power finite.
        product *= tf.maximum(mean, 1e-4) ** weights[scale]
        if scale < scales - 1:
            x, y = _halve(x), _halve(y)
    return tf.reduce_mean(product, axis=-1)


def _halve(x: tf.Tensor) -> tf.Tensor:
    """2x2 mean over the last two axes (even sides)."""
    *leading, height, width = x.shape
    return tf.reduce_mean(tf.reshape(x, (*leading, height // 2, 2, width // 2, 2)), axis=[-3, -1])


def colour_error(pictures: tf.Tensor, target: tf.Tensor) -> tf.Tensor:
    """Mean absolute difference in luma and (fourfold) chroma, in levels.

    Args and returns as :func:`ms_ssim`: (T, B).
    """
    difference = tf.einsum("dc,tbchw->tbdhw", tf.constant(_COLOURS), pictures - target)
    return tf.reduce_mean(tf.abs(difference), axis=[2, 3, 4])


def offset_error(pictures: tf.Tensor, target: tf.Tensor) -> tf.Tensor:
    """How far the mean of each channel is off, mean of the channels, in levels.

    MS-SSIM hardly sees a wrong mean; a network left to itself tints early layers by some levels.
    Args and returns as :func:`ms_ssim`: (T, B).
    """
    return tf.reduce_mean(tf.abs(tf.reduce_mean(pictures - target, axis=[-2, -1])), axis=-1)
