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

    Args:
        photos: files; those smaller than a crop are left out.
        side: of a crop in pixels.
        batch: crops a step, of all workers together.
        seed: with the step's number decides what is drawn.
        memory: gigabytes of decoded photos to keep.

    Raises:
        InvalidInput: no photo is large enough.
    """

    def __init__(
        self, photos: Sequence[Path], side: int, batch: int, seed: int, memory: float = 4.0
    ) -> None:
        self.side, self.batch, self.seed = side, batch, seed
        self.photos = [p for p in photos if min(_size(p)) >= side]
        if not self.photos:
            raise InvalidInput(f"no photo is at least {side} pixels wide and high")
        sources = _sources(self.photos)
        counts = Counter(sources)
        weights = np.array([counts[source] ** -0.5 for source in sources])
        self.weights = weights / weights.sum()
        self._kept: dict[int, NDArray[np.uint8]] = {}
        self._room = memory * 1e9

    def draw(self, step: int, part: range | None = None) -> NDArray[np.uint8]:
        """The crops of one step, or a part of them: (crops, side, side, 3), uint8."""
        crops = range(self.batch) if part is None else part
        return np.stack([self._crop(np.random.default_rng((self.seed, step, i))) for i in crops])

    def _picture(self, index: int) -> NDArray[np.uint8]:
        """A photo, from memory if it is there."""
        kept = self._kept.get(index)
        if kept is not None:
            return kept
        picture = load(self.photos[index])
        if picture.nbytes <= self._room:
            self._room -= picture.nbytes
            self._kept[index] = picture
        return picture

    def _crop(self, rng: np.random.Generator) -> NDArray[np.uint8]:
        """The more detailed of two random crops, three times out of four: sky teaches little."""
        picture = self._picture(int(rng.choice(len(self.photos), p=self.weights)))
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

    def dataset(
        self, first_step: int, last_step: int, part: range | None = None
    ) -> tf.data.Dataset:
        """Batches for steps ``first_step`` to ``last_step - 1``, prepared ahead of the step.

        Args:
            first_step: the first.
            last_step: one past the last.
            part: which crops of each batch; by default all.
        """
        shape = (len(part) if part is not None else self.batch, self.side, self.side, 3)

        def draw(step: tf.Tensor) -> tf.Tensor:
            drawn = tf.numpy_function(lambda step: self.draw(int(step), part), [step], tf.uint8)
            return tf.ensure_shape(drawn, shape)

        steps = tf.data.Dataset.range(first_step, last_step)
        return steps.map(draw, num_parallel_calls=2, deterministic=True).prefetch(8)


def _size(path: Path) -> tuple[int, int]:
    """Width and height of a photo, from its header."""
    with Image.open(path) as image:
        return image.size


def _detail(crop: NDArray[np.uint8]) -> float:
    """Mean absolute difference of neighbours, on a quarter of the pixels."""
    luma = crop[::2, ::2, 1].astype(np.int16)
    return float(np.abs(np.diff(luma, axis=0)).mean() + np.abs(np.diff(luma, axis=1)).mean())
