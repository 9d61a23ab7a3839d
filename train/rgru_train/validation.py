"""Rate and MS-SSIM of whole held-out pictures, and bits per pixel at equal quality."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path
from typing import Any

import numpy as np
import tensorflow as tf
from numpy.typing import NDArray

from rgru_train.data import load
from rgru_train.loop import Model

QUALITIES = (0.90, 0.95, 0.98)


def middle(photo: NDArray[np.uint8], height: int, width: int) -> NDArray[np.uint8] | None:
    """The middle (height, width) of a photo, turned if it is upright; None if it is smaller."""
    if photo.shape[0] > photo.shape[1]:
        photo = photo.transpose(1, 0, 2)
    y, x = (photo.shape[0] - height) // 2, (photo.shape[1] - width) // 2
    return photo[y : y + height, x : x + width] if min(x, y) >= 0 else None


def load_validation(photos: Sequence[Path], height: int, width: int) -> list[NDArray[np.uint8]]:
    """The photos that are large enough, cut to one size."""
    cut = [middle(load(path), height, width) for path in photos]
    return [photo for photo in cut if photo is not None]


def validate(model: Model, photos: Sequence[NDArray[np.uint8]], iterations: int) -> dict[str, Any]:
    """Mean bits per pixel and MS-SSIM after each iteration, on 8-bit pictures.

    Returns:
        ``bpp`` and ``ms_ssim`` (lists over iterations, means of pictures), ``colour`` (mean signed
        error of R, G, B in levels, last iteration) and ``bpp_at`` (quality to bits per pixel).
    """
    run = _compiled(model, iterations)
    rates, qualities, colours = [], [], []
    for photo in photos:
        rate, quality, colour = run(tf.constant(photo[None]))
        rates.append(np.cumsum(rate))
        qualities.append(quality.numpy())
        colours.append(colour.numpy())
    bpp, quality = np.mean(rates, axis=0), np.mean(qualities, axis=0)
    return {
        "bpp": [round(float(v), 4) for v in bpp],
        "ms_ssim": [round(float(v), 4) for v in quality],
        "colour": [round(float(v), 2) for v in np.mean(colours, axis=0)],
        "bpp_at": {str(q): bpp_at(bpp, quality, q) for q in QUALITIES},
    }


def _compiled(model: Model, iterations: int):  # type: ignore[no-untyped-def]
    @tf.function
    def run(photo: tf.Tensor) -> tuple[tf.Tensor, tf.Tensor, tf.Tensor]:
        painted, rates, _ = model.forward(photo, iterations, training=False)
        rounded = tf.round(tf.clip_by_value(tf.transpose(painted[:, 0], [0, 2, 3, 1]), 0.0, 255.0))
        target = tf.repeat(tf.cast(photo, tf.float32), iterations, axis=0)
        quality = tf.image.ssim_multiscale(rounded, target, 255.0)
        return rates[:, 0], quality, tf.reduce_mean(rounded[-1] - target[-1], axis=[0, 1])

    return run


def bpp_at(bpp: NDArray[np.float64], quality: NDArray[np.float64], wanted: float) -> float | None:
    """Bits per pixel at a quality: log bpp against -10·log10(1 - MS-SSIM); None outside."""
    decibels = -10.0 * np.log10(1.0 - np.maximum.accumulate(quality))
    target = -10.0 * np.log10(1.0 - wanted)
    if not decibels[0] <= target <= decibels[-1]:
        return None
    return round(float(np.exp(np.interp(target, decibels, np.log(bpp)))), 4)
