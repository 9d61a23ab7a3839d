"""Training crops: drawn by kind and source, some of them made.

The crop of step n is a function of the seed and n alone, so a resumed run sees what an
uninterrupted one would have seen.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Sequence

import numpy as np
from numpy.typing import NDArray

from rgru_format import InvalidInput
from rgru_train.made import made
from rgru_train.photos import Photo, load

Pixels = NDArray[np.uint8]


class Crops:
    """Random crops, drawn by kind and source rather than by photo, flipped and turned.

    A kind's weight is the square root of its number of photos, and so is a source's within it, so
    that a large collection of landscapes does not drown a small one of people. Photos whose kind
    is not known count by their source as by a kind.

    Args:
        photos: those smaller than a crop are left out.
        side: of a crop in pixels.
        batch: crops a step, of all workers together.
        seed: with the step's number decides what is drawn.
        memory: gigabytes of decoded photos to keep.
        made: share of crops that are made (``rgru_train.made``).

    Raises:
        InvalidInput: no photo is large enough.
    """

    def __init__(
        self,
        photos: Sequence[Photo],
        side: int,
        batch: int,
        seed: int,
        memory: float = 4.0,
        made: float = 0.0,
    ) -> None:
        self.side, self.batch, self.seed, self.made = side, batch, seed, made
        self.photos = [p for p in photos if min(p.size) >= side]
        if not self.photos:
            raise InvalidInput(f"no photo is at least {side} pixels wide and high")
        self.weights = draw_weights(self.photos)
        self._kept: dict[int, Pixels] = {}
        self._room = memory * 1e9

    def draw(self, step: int, part: range | None = None) -> Pixels:
        """Return the crops of one step, or a part of them: (crops, side, side, 3), uint8."""
        crops = range(self.batch) if part is None else part
        return np.stack([self._crop(np.random.default_rng((self.seed, step, i))) for i in crops])

    def _picture(self, index: int) -> Pixels:
        """A photo, from memory if it is there."""
        kept = self._kept.get(index)
        if kept is not None:
            return kept
        picture = load(self.photos[index].path)
        if picture.nbytes <= self._room:
            self._room -= picture.nbytes
            self._kept[index] = picture
        return picture

    def _crop(self, rng: np.random.Generator) -> Pixels:
        """The more detailed of two random crops, three times out of four: sky teaches little."""
        picture = self._picture(int(rng.choice(len(self.photos), p=self.weights)))
        first, second = self._cut(picture, rng), self._cut(picture, rng)
        busier = first if _detail(first) >= _detail(second) else second
        crop = busier if rng.random() < 0.75 else first
        if rng.random() < self.made:
            crop = made(crop, rng)
        crop = crop[:, ::-1] if rng.random() < 0.5 else crop
        return np.ascontiguousarray(crop.transpose(1, 0, 2) if rng.random() < 0.5 else crop)

    def _cut(self, picture: Pixels, rng: np.random.Generator) -> Pixels:
        y, x = (int(rng.integers(0, side - self.side + 1)) for side in picture.shape[:2])
        return picture[y : y + self.side, x : x + self.side]


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
