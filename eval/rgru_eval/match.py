"""Files of equal quality, or of equal size, for looking at codecs side by side.

A codec with a quality setting is searched: first over its ladder, then between two neighbours.
A codec that makes all rates in one go (rgru) has steps it cannot leave, so it goes first and the
others are matched to it.
"""

from __future__ import annotations

import math
from collections.abc import Callable, Iterable
from dataclasses import dataclass
from typing import TYPE_CHECKING

from rgru_eval.codecs import Codec, Failure, Step
from rgru_eval.pictures import EvalError
from rgru_eval.rgru import Rgru

if TYPE_CHECKING:
    from PIL.Image import Image

    from rgru_eval.metrics import Judge

REFINEMENTS = 6  # encodings between two neighbours of the ladder


@dataclass(frozen=True)
class Target:
    """What to meet: ``kind`` is ``msssim`` (RGB MS-SSIM 0..1) or ``bytes``."""

    kind: str
    value: float

    def distance(self, shot: Shot) -> float:
        """How far a file is off: dB of MS-SSIM, or octaves of size."""
        if self.kind == "bytes":
            return abs(math.log2(len(shot.data) / self.value))
        return abs(_db(shot.msssim) - _db(self.value))

    def reached(self, shot: Shot) -> bool:
        """Whether a file is at or above the target."""
        if self.kind == "bytes":
            return len(shot.data) >= self.value
        return shot.msssim >= self.value


def _db(msssim: float) -> float:
    return -10 * math.log10(max(1 - msssim, 1e-10))


@dataclass(frozen=True)
class Shot:
    """One file and its picture, measured."""

    codec: str
    setting: float
    data: bytes
    picture: Image
    msssim: float


def has_fixed_steps(codec: Codec) -> bool:
    """Whether the codec makes all its rates in one go and none between."""
    return type(codec).steps is not Codec.steps


class Matcher:
    """Searches files of one codec for one picture; every encoding is kept and used again."""

    def __init__(self, codec: Codec, image: Image, judge: Judge) -> None:
        self.codec, self.image, self.judge = codec, image, judge
        self._shots: dict[float, Shot] = {}
        self._whole_ladder = has_fixed_steps(codec)
        if self._whole_ladder:
            self._take(codec.settings)

    def _take(self, settings: Iterable[float]) -> None:
        for step in self.codec.steps(self.image, tuple(settings)):
            if isinstance(step, Step):
                picture = step.picture.convert(self.image.mode)
                quality = self.judge.msssim(picture)
                name = self.codec.identity()
                shot = Shot(name, step.setting, step.data, picture, quality)
                self._shots[step.setting] = shot
            elif isinstance(step, Failure):
                raise EvalError(f"{self.codec.identity()}: {step.reason}")

    def _at(self, setting: float) -> Shot:
        if setting not in self._shots:
            self._take([setting])
        return self._shots[setting]

    def find(self, target: Target) -> Shot:
        """Return the file nearest to the target, the closest end if it is out of reach."""
        if not self._whole_ladder:
            self._search(target)
        if not self._shots:
            raise EvalError(f"{self.codec.identity()}: made no file of this picture")
        return min(self._shots.values(), key=target.distance)

    def _search(self, target: Target) -> None:
        ladder = self.codec.settings
        low, high = _bisect(range(len(ladder)), lambda i: target.reached(self._at(ladder[i])))
        if low is None or high is None:
            return
        a, b = ladder[low], ladder[high]
        for _ in range(REFINEMENTS):
            middle = (a + b) / 2
            if self.codec.WHOLE_NUMBERS:
                middle = float(math.floor(middle))
            if middle in (a, b) or target.distance(self._at(middle)) < 0.005:
                return
            a, b = (a, middle) if target.reached(self._at(middle)) else (middle, b)


def _bisect(places: range, reached: Callable[[int], bool]) -> tuple[int | None, int | None]:
    """Return the neighbours between which ``reached`` turns true; None beyond an end."""
    low, high = places.start - 1, places.stop
    while high - low > 1:
        middle = (low + high) // 2
        if reached(middle):
            high = middle
        else:
            low = middle
    return (None if low < places.start else low), (None if high >= places.stop else high)


def first_with_steps(codecs: Iterable[Codec]) -> Codec | None:
    """Return the codec the others are matched to: rgru, or another with fixed steps."""
    fixed = [c for c in codecs if has_fixed_steps(c)]
    return next((c for c in fixed if isinstance(c, Rgru)), fixed[0] if fixed else None)
