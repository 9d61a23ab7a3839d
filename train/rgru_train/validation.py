"""Rate and MS-SSIM of held-out pictures, and bits per pixel at equal quality."""

from __future__ import annotations

import dataclasses
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Any

import numpy as np
import tensorflow as tf
from numpy.typing import NDArray

from rgru_train.config import TrainingConfig
from rgru_train.data import load
from rgru_train.loop import Model

QUALITIES = (0.90, 0.95, 0.98)
_SMALLEST = 176
"""Sides below it do not hold the five scales of MS-SSIM in multiples of 16."""

Pixels = NDArray[np.uint8]


def middle(photo: Pixels, height: int, width: int) -> Pixels | None:
    """The middle (height, width) of a photo, turned if it is upright; None if it is smaller."""
    if photo.shape[0] > photo.shape[1]:
        photo = photo.transpose(1, 0, 2)
    y, x = (photo.shape[0] - height) // 2, (photo.shape[1] - width) // 2
    return photo[y : y + height, x : x + width] if min(x, y) >= 0 else None


def whole(photo: Pixels, stride: int) -> Pixels | None:
    """A photo up to the last multiple of ``stride``; None if MS-SSIM needs a larger one."""
    height, width = (side // stride * stride for side in photo.shape[:2])
    return photo[:height, :width] if min(height, width) >= _SMALLEST else None


def load_validation(photos: Sequence[Path], height: int, width: int) -> list[Pixels]:
    """The photos that are large enough, cut to one size."""
    cut = [middle(load(path), height, width) for path in photos]
    return [photo for photo in cut if photo is not None]


def validation_pictures(
    photos: Sequence[Path], training: TrainingConfig, stride: int
) -> list[Pixels]:
    """What a run validates on: see ``validation_crop``."""
    if training.whole_pictures:
        cut = [whole(load(path), stride) for path in photos]
        return [photo for photo in cut if photo is not None]
    return load_validation(photos, *training.validation_crop)


@dataclasses.dataclass
class Validator:
    """Validates one model again and again; its networks are traced once for each size."""

    model: Model
    photos: Sequence[Pixels]
    shown: int = 2
    """So many decoded pictures are handed out as well."""

    def __post_init__(self) -> None:
        """Start with nothing traced."""
        self._compiled: dict[int, Callable[..., Any]] = {}

    def run(self, iterations: int) -> tuple[dict[str, Any], list[Pixels]]:
        """Mean bits per pixel and MS-SSIM after each iteration, on 8-bit pictures.

        Returns:
            A row for the log, and the first decoded pictures, each (T, H, W, 3). In the row:
            ``bpp`` and ``ms_ssim`` (lists over iterations, means of pictures), ``colour`` (mean
            signed error of R, G, B in levels, last iteration), ``bpp_at`` (quality to bits per
            pixel) and ``score`` (:func:`score`).
        """
        rates, qualities, colours = [], [], []
        pictures: list[Pixels] = []
        for photo in self.photos:
            rate, quality, colour, decoded = self._function(iterations)(tf.constant(photo[None]))
            rates.append(np.cumsum(rate))
            qualities.append(quality.numpy())
            colours.append(colour.numpy())
            if len(pictures) < self.shown:
                pictures.append(decoded.numpy())
        bpp, quality = np.mean(rates, axis=0), np.mean(qualities, axis=0)
        at = {str(q): bpp_at(bpp, quality, q) for q in QUALITIES}
        row = {
            "bpp": [round(float(v), 4) for v in bpp],
            "ms_ssim": [round(float(v), 4) for v in quality],
            "colour": [round(float(v), 2) for v in np.mean(colours, axis=0)],
            "bpp_at": at,
            "score": score(at),
        }
        return row, pictures

    def _function(self, iterations: int) -> Callable[..., Any]:
        if iterations not in self._compiled:
            self._compiled[iterations] = _compile(self.model, iterations)
        return self._compiled[iterations]


def validate(model: Model, photos: Sequence[Pixels], iterations: int) -> dict[str, Any]:
    """One validation: the row of :meth:`Validator.run`."""
    row, _ = Validator(model, photos, shown=0).run(iterations)
    return row


def _compile(model: Model, iterations: int) -> Callable[..., Any]:
    def run(photo: tf.Tensor) -> tuple[tf.Tensor, ...]:
        painted, rates, _ = model.forward(photo, iterations, training=False)
        rounded = tf.round(tf.clip_by_value(tf.transpose(painted[:, 0], [0, 2, 3, 1]), 0.0, 255.0))
        target = tf.repeat(tf.cast(photo, tf.float32), iterations, axis=0)
        quality = tf.image.ssim_multiscale(rounded, target, 255.0)
        colour = tf.reduce_mean(rounded[-1] - target[-1], axis=[0, 1])
        return rates[:, 0], quality, colour, tf.cast(rounded, tf.uint8)

    return tf.function(run, autograph=False)


def bpp_at(bpp: NDArray[np.float64], quality: NDArray[np.float64], wanted: float) -> float | None:
    """Bits per pixel at a quality: log bpp against -10·log10(1 - MS-SSIM); None outside."""
    decibels = -10.0 * np.log10(1.0 - np.maximum.accumulate(quality))
    target = -10.0 * np.log10(1.0 - wanted)
    if not decibels[0] <= target <= decibels[-1]:
        return None
    return round(float(np.exp(np.interp(target, decibels, np.log(bpp)))), 4)


def score(at: dict[str, float | None]) -> float:
    """One number to compare states of a run by, lower is better.

    The mean logarithm of the bits per pixel at the qualities reached, and 10 for each one that is
    not: a state whose layers span more qualities comes first.
    """
    reached = [float(np.log(value)) for value in at.values() if value is not None]
    missing = 10.0 * (len(at) - len(reached))
    return round(missing + (sum(reached) / len(reached) if reached else 0.0), 5)
