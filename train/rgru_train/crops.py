"""Training crops: drawn by kind and source, some of them made.

The crop of step n is a function of the seed and n alone, so a resumed run sees what an
uninterrupted one would have seen.
"""

from __future__ import annotations

import warnings
from collections import Counter
from collections.abc import Sequence
from operator import attrgetter

import numpy as np
from numpy.typing import NDArray

from rgru_format import InvalidInput, Unreadable
from rgru_train.config import TrainingConfig
from rgru_train.made import made
from rgru_train.photos import Photo, Pixels, load, read_each


class Crops:
    """Random crops, drawn by kind and source rather than by photo, flipped and turned.

    A kind's weight is the square root of its number of photos, and so is a source's within it, so
    that a large collection of landscapes does not drown a small one of people. Photos whose kind
    is not known count by their source as by a kind.

    Args:
        photos: those smaller than a crop, and those that cannot be opened, are left out.
        training: says how large crops are and how many a step has, how many are made, and how many
            decoded photos are kept; its seed and the step's number decide what is drawn.

    Raises:
        InvalidInput: no photo is large enough.
    """

    def __init__(self, photos: Sequence[Photo], training: TrainingConfig) -> None:
        self.training = training
        self.photos = large_enough(photos, training.crop)
        self.weights = draw_weights(self.photos)
        self._kept: dict[int, Pixels] = {}
        self._unreadable: set[int] = set()
        self._room = training.memory * 1e9

    def draw(self, step: int, part: range | None = None) -> Pixels:
        """Return the crops of one step, or a part of them: (crops, side, side, 3), uint8."""
        crops, seed = part or range(self.training.batch), self.training.seed
        return np.stack([self._crop(np.random.default_rng((seed, step, i))) for i in crops])

    def _picture(self, index: int) -> Pixels:
        """A photo, from memory if it is there; the next one stands in where it cannot be read."""
        kept = self._kept.get(index)
        if kept is not None:
            return kept
        try:
            picture = load(self.photos[index].path)
        except Unreadable as error:
            self._unreadable.add(index)
            if len(self._unreadable) == len(self.photos):
                raise
            warnings.warn(f"{error}; another one stands in for it", stacklevel=2)
            return self._picture((index + 1) % len(self.photos))
        if picture.nbytes <= self._room:
            self._room -= picture.nbytes
            self._kept[index] = picture
        return picture

    def _crop(self, rng: np.random.Generator) -> Pixels:
        """The more detailed of two random crops, three times out of four: sky teaches little."""
        picture = self._picture(int(rng.choice(len(self.photos), p=self.weights)))
        first, second = (square(picture, self.training.crop, rng) for _ in range(2))
        busier = first if _detail(first) >= _detail(second) else second
        crop = busier if rng.random() < 0.75 else first
        if rng.random() < self.training.made:
            crop = made(crop, rng)
        crop = crop[:, ::-1] if rng.random() < 0.5 else crop
        return np.ascontiguousarray(crop.transpose(1, 0, 2) if rng.random() < 0.5 else crop)


def square(picture: Pixels, side: int, rng: np.random.Generator) -> Pixels:
    """Cut a square of so many pixels a side out of a picture, anywhere."""
    y, x = (int(rng.integers(0, length - side + 1)) for length in picture.shape[:2])
    return picture[y : y + side, x : x + side]


def large_enough(photos: Sequence[Photo], side: int) -> list[Photo]:
    """Return the photos that can be read and hold a square of so many pixels a side.

    Raises:
        InvalidInput: none does.
    """
    found = [photo for photo, size in read_each(photos, attrgetter("size")) if min(size) >= side]
    if not found:
        raise InvalidInput(f"no photo is at least {side} pixels wide and high")
    return found


def draw_weights(photos: Sequence[Photo]) -> NDArray[np.float64]:
    """Return how often each photo is drawn, sum 1 (see ``Crops``)."""
    in_source = Counter((photo.group, photo.source) for photo in photos)
    weights = np.array([in_source[photo.group, photo.source] ** -0.5 for photo in photos])
    groups = Counter(photo.group for photo in photos)
    sums: Counter[str] = Counter()
    for photo, weight in zip(photos, weights, strict=True):
        sums[photo.group] += weight
    weights *= [groups[photo.group] ** 0.5 / sums[photo.group] for photo in photos]
    return np.asarray(weights / weights.sum())


def _detail(crop: Pixels) -> float:
    """Mean absolute difference of neighbours, on a quarter of the pixels."""
    luma = crop[::2, ::2, 1].astype(np.int16)
    return float(np.abs(np.diff(luma, axis=0)).mean() + np.abs(np.diff(luma, axis=1)).mean())
