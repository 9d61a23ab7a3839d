"""Training crops and validation pictures from any folder of photos.

The crop of step n is a function of the seed and n alone, so a resumed run sees what an
uninterrupted one would have seen.
"""

from __future__ import annotations

import hashlib
from collections import Counter
from collections.abc import Sequence
from pathlib import Path

import numpy as np
import tensorflow as tf
from numpy.typing import NDArray
from PIL import Image

from rgru_format import InvalidInput

SUFFIXES = (".png", ".jpg", ".jpeg", ".webp", ".tif", ".tiff", ".bmp")
_HELD_OUT_OF = 32
"""One file name in so many is held out for validation."""


def find_photos(folder: Path) -> tuple[list[Path], list[Path]]:
    """(training, validation) photos under ``folder``; a hash of the file name decides.

    Raises:
        InvalidInput: the folder holds no photo.
    """
    photos = sorted(p for p in folder.rglob("*") if p.suffix.lower() in SUFFIXES)
    if not photos:
        raise InvalidInput(f"{folder}: no photos found (looked for {', '.join(SUFFIXES)})")
    held_out = [p for p in photos if _digest(p.name) % _HELD_OUT_OF == 0]
    return [p for p in photos if p not in set(held_out)], held_out


def _digest(name: str) -> int:
    return int.from_bytes(hashlib.sha256(name.encode()).digest()[:4], "little")


def load(path: Path) -> NDArray[np.uint8]:
    """The photo as (H, W, 3), uint8."""
    with Image.open(path) as image:
        return np.asarray(image.convert("RGB"))


def _sources(photos: Sequence[Path]) -> list[str]:
    """The name without its trailing number: photos of one source share it."""
    return [p.stem.rstrip("0123456789").rstrip("_-") for p in photos]


class Crops:
    """Random crops, drawn by source rather than by photo, flipped and turned.

    A source's weight is the square root of its number of photos, so that a large collection of
    landscapes does not drown a small one of people.
    """

    def __init__(self, photos: Sequence[Path], side: int, batch: int, seed: int) -> None:
        self.side, self.batch, self.seed = side, batch, seed
        pictures = [load(p) for p in photos]
        sources = _sources(photos)
        keep = [i for i, p in enumerate(pictures) if min(p.shape[:2]) >= side]
        if not keep:
            raise InvalidInput(f"no photo is at least {side} pixels wide and high")
        self.pictures = [pictures[i] for i in keep]
        counts = Counter(sources[i] for i in keep)
        weights = np.array([counts[sources[i]] ** -0.5 for i in keep])
        self.weights = weights / weights.sum()

    def draw(self, step: int) -> NDArray[np.uint8]:
        """The crops of one step: (batch, side, side, 3), uint8."""
        rng = np.random.default_rng((self.seed, int(step)))
        return np.stack([self._crop(rng) for _ in range(self.batch)])

    def _crop(self, rng: np.random.Generator) -> NDArray[np.uint8]:
        """The more detailed of two random crops, three times out of four: sky teaches little."""
        picture = self.pictures[rng.choice(len(self.pictures), p=self.weights)]
        first, second = self._cut(picture, rng), self._cut(picture, rng)
        busier = first if _detail(first) >= _detail(second) else second
        crop = busier if rng.random() < 0.75 else first
        if rng.random() < 0.03:
            grey = np.asarray(Image.fromarray(crop).convert("L"))
            crop = np.repeat(grey[..., None], 3, axis=2)
        crop = crop[:, ::-1] if rng.random() < 0.5 else crop
        return np.ascontiguousarray(crop.transpose(1, 0, 2) if rng.random() < 0.5 else crop)

    def _cut(self, picture: NDArray[np.uint8], rng: np.random.Generator) -> NDArray[np.uint8]:
        y, x = (int(rng.integers(0, side - self.side + 1)) for side in picture.shape[:2])
        return picture[y : y + self.side, x : x + self.side]

    def dataset(self, first_step: int, last_step: int) -> tf.data.Dataset:
        """Batches for steps ``first_step`` to ``last_step - 1``, prepared ahead of the step."""
        shape = (self.batch, self.side, self.side, 3)

        def draw(step: tf.Tensor) -> tf.Tensor:
            crops = tf.numpy_function(self.draw, [step], tf.uint8)
            return tf.ensure_shape(crops, shape)

        steps = tf.data.Dataset.range(first_step, last_step)
        return steps.map(draw, num_parallel_calls=1, deterministic=True).prefetch(4)


def _detail(crop: NDArray[np.uint8]) -> float:
    """Mean absolute difference of neighbours, on a quarter of the pixels."""
    luma = crop[::2, ::2, 1].astype(np.int16)
    return float(np.abs(np.diff(luma, axis=0)).mean() + np.abs(np.diff(luma, axis=1)).mean())
