"""Distortion between pictures: MS-SSIM, and differences of colours.

MS-SSIM as ``rgru_codec.msssim`` defines it, with a gradient. A crop whose side is below 161 pixels
holds fewer than five scales: it gets the scales that fit, their weights renormalised. The Gaussian
is two products with a band matrix, whose gradient is a product of matrices too; depthwise
convolutions have a slow one on CPUs.

Pictures come as planes (T, H, 4, B, W), see ``planes``: T pictures of each of B targets, of
which there is one (T = 1). Both products are then of large matrices.
"""

from __future__ import annotations

from collections.abc import Iterator

import numpy as np
from keras import ops

from rgru_codec.msssim import C1, C2, TAPS, WEIGHTS, band, count_scales
from rgru_train.nets.module import Tensor

_LUMA = (0.299, 0.587, 0.114)
_CHROMA = 4.0
"""Weight of colour differences beside luma: MS-SSIM alone pulls weakly on them."""


def planes(pictures: Tensor) -> Tensor:
    """Return planes (T, H, 4, B, W) of pictures (T, B, H, W, 3): R, G, B and luma."""
    r, g, b = ops.unstack(pictures, axis=-1)
    luma = _LUMA[0] * r + _LUMA[1] * g + _LUMA[2] * b
    return ops.transpose(ops.stack([r, g, b, luma]), (1, 3, 0, 2, 4))


def blur(x: Tensor, apart: int) -> Tensor:
    """Gaussian over rows and columns of planes, valid windows, so many pixels apart."""
    number, height, *middle, width = x.shape
    rows, columns = (band(side - TAPS + 1)[::apart] for side in (height, width))
    x = ops.matmul(ops.reshape(x, (-1, width)), columns.T)
    x = ops.matmul(rows, ops.reshape(x, (number, height, -1)))
    return ops.reshape(x, (number, len(rows), *middle, len(columns)))


def ms_ssim(pictures: Tensor, target: Tensor, *, sampled: bool = False) -> Tensor:
    """Return MS-SSIM of each plane of pictures against one target.

    Args:
        pictures: planes (T, H, C, B, W), in levels.
        target: planes (1, H, C, B, W).
        sampled: look at every second window along both axes at the two finest scales: their means
            are all but the same, and the work is a third.

    Returns:
        (T, C, B) in [0, 1].
    """
    scales = count_scales(target.shape[1], target.shape[-1])
    weights = np.array(WEIGHTS[:scales]) / sum(WEIGHTS[:scales])
    product = 1.0
    for scale, (x, y, apart) in enumerate(at_scales(pictures, target, sampled)):
        structure, mu_x, mu_y = structure_of(x, y, apart, C2)
        if scale == scales - 1:
            structure *= (2.0 * mu_x * mu_y + C1) / (mu_x * mu_x + (mu_y * mu_y + C1))
        mean = ops.mean(structure, axis=[1, 4])
        # The small floor keeps the gradient of the power finite.
        product *= ops.maximum(mean, 1e-4) ** weights[scale]
    return product


def at_scales(x: Tensor, y: Tensor, sampled: bool) -> Iterator[tuple[Tensor, Tensor, int]]:
    """Yield planes at the scales that y holds, and how many pixels apart their windows are."""
    scales = count_scales(y.shape[1], y.shape[-1])
    for scale in range(scales):
        if scale:
            x, y = halve(x), halve(y)
        yield x, y, 2 if sampled and scale < min(2, scales - 1) else 1


def structure_of(x: Tensor, y: Tensor, apart: int, c2: float) -> tuple[Tensor, Tensor, Tensor]:
    """Return SSIM's term of contrast and structure in each window, and the means of both."""
    mu_x, mu_y = blur(x, apart), blur(y, apart)
    variances = blur(x * x, apart) - mu_x * mu_x + (blur(y * y, apart) - mu_y * mu_y + c2)
    return (2.0 * (blur(x * y, apart) - mu_x * mu_y) + c2) / variances, mu_x, mu_y


def halve(x: Tensor) -> Tensor:
    """2x2 mean over rows and columns of planes (even sides)."""
    number, height, *middle, width = x.shape
    upper, lower = ops.unstack(ops.reshape(x, (number, height // 2, 2, *middle, width)), axis=2)
    pairs = np.kron(np.eye(width // 2), [[0.25], [0.25]]).astype(np.float32)
    halves = ops.matmul(ops.reshape(upper + lower, (-1, width)), pairs)
    return ops.reshape(halves, (number, height // 2, *middle, width // 2))


def colour_error(pictures: Tensor, target: Tensor) -> Tensor:
    """Return the mean absolute difference in luma and (fourfold) chroma, in levels: (T, B)."""
    difference = pictures - target
    r, _, b, luma = ops.unstack(difference, axis=2)
    chroma = 0.564 * _CHROMA * ops.abs(b - luma) + 0.713 * _CHROMA * ops.abs(r - luma)
    return ops.mean(ops.abs(luma) + chroma, axis=[1, 3]) / 3.0


def offset_error(pictures: Tensor, target: Tensor) -> Tensor:
    """Return how far the means of R, G and B are off, their mean, in levels: (T, B).

    MS-SSIM hardly sees a wrong mean; a network left to itself tints early layers by some levels.
    """
    off = ops.mean(pictures, axis=[1, 4]) - ops.mean(target, axis=[1, 4])
    return ops.mean(ops.abs(off[:, :3]), axis=1)


def tint(pictures: Tensor, target: Tensor) -> Tensor:
    """Return the mean distance of the mean colours of squares of 8x8 pixels, in levels: (T, B).

    What a person sees of a first layer from afar; chroma counts two and a half times.
    """
    difference = pictures - target
    r, _, b, luma = ops.unstack(difference, axis=2)
    channels = ops.stack([luma, 1.41 * (b - luma), 1.7825 * (r - luma)], axis=2)
    number, height, count, batch, width = channels.shape
    shape = (number, height // 8, 8, count, batch, width // 8, 8)
    means = ops.mean(ops.reshape(channels, shape), axis=[2, 6])
    distance = ops.sqrt(ops.sum(ops.square(means), axis=2) + 1.0)
    return ops.mean(distance, axis=[1, 3])


def squared_error(pictures: Tensor, target: Tensor) -> Tensor:
    """Return the mean squared difference of R, G and B, in squared levels: (T, B)."""
    return ops.mean(ops.mean(ops.square(pictures - target), axis=[1, 4])[:, :3], axis=1)
