"""What held-out pictures look like after each iteration: rate, and five measures of quality."""

from __future__ import annotations

import dataclasses
from collections import defaultdict
from collections.abc import Sequence
from typing import Any

import numpy as np
import tensorflow as tf
from numpy.typing import ArrayLike, NDArray

from rgru_codec.metrics import colour_differences, decibels, rates_at, ssimulacra2
from rgru_train.config import TrainingConfig
from rgru_train.losses import ms_ssim, planes
from rgru_train.objective import Model
from rgru_train.photos import Photo, Pixels, load, read_each

QUALITIES = (0.90, 0.95, 0.98)
"""MS-SSIM at which rates are told."""
_SMALLEST = 176
"""Sides below it do not hold the five scales of MS-SSIM in multiples of 16."""
_CUBE = (0, 64, 128, 192, 255)
"""Levels of R, G and B of the flat colours."""
_JUDGED = 16
"""SSIMULACRA2 takes half a second a picture: at most so many are judged by it, evenly spread."""

Measures = dict[str, NDArray[np.float64]]
"""Name to a value for each iteration."""


@dataclasses.dataclass(frozen=True)
class Sample:
    """A held-out picture."""

    pixels: Pixels
    """(H, W, 3), sides multiples of the stride."""
    group: str = ""
    """Its kind or source."""


def middle(photo: Pixels, height: int, width: int) -> Pixels | None:
    """Cut out the middle (height, width) of a photo, turned if upright; None if it is smaller."""
    if photo.shape[0] > photo.shape[1]:
        photo = photo.transpose(1, 0, 2)
    y, x = (photo.shape[0] - height) // 2, (photo.shape[1] - width) // 2
    return photo[y : y + height, x : x + width] if min(x, y) >= 0 else None


def whole(photo: Pixels, stride: int) -> Pixels | None:
    """Cut a photo to multiples of ``stride``; None if MS-SSIM needs a larger one."""
    height, width = (side // stride * stride for side in photo.shape[:2])
    return photo[:height, :width] if min(height, width) >= _SMALLEST else None


def validation_samples(
    photos: Sequence[Photo], training: TrainingConfig, stride: int
) -> list[Sample]:
    """Return what a run validates on: sound photos, large enough, see ``validation_crop``."""
    samples = []
    for photo, pixels in read_each(photos, lambda photo: load(photo.path)):
        sides = training.validation_crop
        cut = middle(pixels, *sides) if any(sides) else whole(pixels, stride)
        if cut is not None:
            samples.append(Sample(cut, photo.kind or "other sources"))
    return samples


@dataclasses.dataclass
class Validator:
    """Validates one model again and again; its networks are traced once for each size."""

    model: Model
    samples: Sequence[Sample]
    shown: int = 2
    """So many decoded pictures are handed out as well."""

    def __post_init__(self) -> None:
        """Start with nothing traced."""
        self._compiled = tf.function(self._look, autograph=False)

    def run(self, iterations: int) -> tuple[dict[str, Any], list[Pixels]]:
        """Measure each iteration's 8-bit pictures; all values are means of pictures.

        Returns:
            A row for the log, and the first decoded pictures, each (T, H, W, 3). In the row, as
            lists over iterations: ``bpp``, ``ms_ssim`` (RGB), ``ms_ssim_luma``, ``ssimulacra2``
            (if it is installed), ``ciede2000`` (of the means of 8x8 pixels) and ``flat`` (PSNR of
            the worst of 125 flat colours). Besides ``bpp_at`` and ``bpp_at_luma`` (MS-SSIM to
            bits per pixel), ``kinds`` (for each ``bpp_at`` and ``ciede2000``), and ``score``
            (``score``).
        """
        measured: list[Measures] = []
        pictures: list[Pixels] = []
        judged = range(0, len(self.samples), -(-len(self.samples) // _JUDGED))
        for i, sample in enumerate(self.samples):
            measures, decoded = self._measure(sample.pixels, iterations)
            if i in judged:
                measures |= _ssimulacra2(sample.pixels, decoded)
            measured.append(measures)
            if len(pictures) < self.shown:
                pictures.append(decoded)
        mean = _means(measured)
        row: dict[str, Any] = {name: _rounded(values) for name, values in mean.items()}
        row["flat"] = _rounded(self._flat(iterations))
        row["bpp_at"] = _rates(mean["bpp"], mean["ms_ssim"])
        row["bpp_at_luma"] = _rates(mean["bpp"], mean["ms_ssim_luma"])
        row["kinds"] = self._kinds(measured)
        row["score"] = score(row["bpp_at"])
        return row, pictures

    def _kinds(self, measured: Sequence[Measures]) -> dict[str, Any]:
        groups = defaultdict(list)
        for sample, measures in zip(self.samples, measured, strict=True):
            groups[sample.group].append(measures)
        rows = {}
        for group, members in sorted(groups.items()):
            mean = _means(members)
            rows[group] = {
                "pictures": len(members),
                "bpp_at": _rates(mean["bpp"], mean["ms_ssim"]),
                "ciede2000": _rounded(mean["ciede2000"]),
            }
        return rows

    def _measure(self, pixels: Pixels, iterations: int) -> tuple[Measures, Pixels]:
        rate, channels, decoded = self._compiled(iterations, tf.constant(pixels[None]))
        similarity = channels.numpy().astype(np.float64)
        shown: Pixels = decoded.numpy()
        measures = {
            "bpp": np.cumsum(rate.numpy().astype(np.float64)),
            "ms_ssim": similarity[:, :3].mean(axis=1),
            "ms_ssim_luma": similarity[:, 3],
            "ciede2000": np.array([colour_differences(pixels, one).mean() for one in shown]),
        }
        return measures, shown

    def _look(self, iterations: int, photo: tf.Tensor) -> tuple[tf.Tensor, ...]:
        """Rates and MS-SSIM of planes (T, ...), and 8-bit pictures, of one photo (1, H, W, 3)."""
        painted, rates, _ = self.model.forward(photo, iterations, training=False)
        rounded = tf.round(tf.clip_by_value(painted, 0.0, 255.0))
        target = tf.cast(photo, tf.float32)[None]
        similarity = ms_ssim(planes(rounded), planes(target))[:, :, 0]
        return rates[:, 0], similarity, tf.cast(rounded[:, 0], tf.uint8)

    def _flat(self, iterations: int) -> NDArray[np.float64]:
        """(T,): PSNR of the worst of 125 flat colours."""
        colours = np.array(np.meshgrid(*[_CUBE] * 3), np.uint8).reshape(3, -1).T
        side = 2 * self.model.codec.stride
        pixels = np.broadcast_to(colours[:, None, None], (len(colours), side, side, 3))
        levels, _, _ = self.model.forward(tf.constant(pixels), iterations, training=False)
        shown = np.clip(np.rint(levels.numpy()), 0.0, 255.0)
        errors = np.mean((shown - pixels) ** 2, axis=(2, 3, 4)).max(axis=1)
        return np.asarray(10.0 * np.log10(255.0**2 / np.maximum(errors, 1e-3)))


def _ssimulacra2(pixels: Pixels, shown: Pixels) -> Measures:
    """SSIMULACRA2 of each iteration's picture, where the package is installed."""
    try:
        return {"ssimulacra2": np.array([ssimulacra2(pixels, one) for one in shown])}
    except ModuleNotFoundError:
        return {}


def _means(measured: Sequence[Measures]) -> Measures:
    """Means over the pictures of which a measure was taken."""
    names = {name for measures in measured for name in measures}
    return {
        name: np.mean([measures[name] for measures in measured if name in measures], axis=0)
        for name in sorted(names)
    }


def _rates(bpp: NDArray[np.float64], similarity: NDArray[np.float64]) -> dict[str, float | None]:
    """Bits per pixel at ``QUALITIES``; where a longer file is worse, the best so far counts."""
    reached = decibels(np.maximum.accumulate(similarity))
    rates = {q: rates_at(bpp[None], reached[None], float(decibels(q)))[0] for q in QUALITIES}
    return {str(q): None if np.isnan(rate) else round(float(rate), 4) for q, rate in rates.items()}


def _rounded(values: ArrayLike) -> list[float]:
    return [round(float(value), 4) for value in np.asarray(values)]


def score(at: dict[str, float | None]) -> float:
    """Return one number to compare states of a run by, lower is better.

    The mean logarithm of the bits per pixel at the qualities reached, and 10 for each one that is
    not: a state whose layers span more qualities comes first.
    """
    reached = [float(np.log(value)) for value in at.values() if value is not None]
    missing = 10.0 * (len(at) - len(reached))
    return round(missing + (sum(reached) / len(reached) if reached else 0.0), 5)
