"""``rgru-train fit``: the context model alone, fitted to the codes that whole photos have.

The networks stay as they are, and so do the codes: each photo is coded once, by the package of the
run, and a step looks at windows of the grids. Crops of 192 pixels are 12 x 12 positions, most of
them near a border; here the context model sees pictures as files hold them, and many more codes in
a second, since no network runs.
"""

from __future__ import annotations

import dataclasses
import math
import tempfile
from collections.abc import Sequence
from functools import partial
from pathlib import Path

import keras
import numpy as np
import tensorflow as tf
from keras import ops
from numpy.typing import NDArray

from rgru_codec.iterations import encode
from rgru_codec.models import Model as Package
from rgru_format import POSITION, InvalidInput
from rgru_train.export import export
from rgru_train.nets.context import WEIGHT_MAX, ContextModel, code_lengths
from rgru_train.nets.module import Tensor
from rgru_train.optimizer import Optimizer, matrices_among
from rgru_train.photos import Photo, find_photos, load, read_each
from rgru_train.trainer import Trainer

_SIDE = 32
"""Positions on a side of a window."""
_MARGIN = 3
"""Positions at a cut through the picture that do not count: they know too few neighbours."""
_WINDOWS = 2
"""Windows a step."""
_RATE = 1e-3
_WARMUP = 50
_CONSTANT = 0.3
"""Share of the steps before the rate falls, as a cosine, to a hundredth."""
_AVERAGE = 0.995
_LEAST = 32
"""Matrices with fewer inputs or outputs are left to Adam: a state has fewer than networks have."""

Floats = NDArray[np.float32]


@dataclasses.dataclass(frozen=True)
class Window:
    """A piece of the grids of a picture."""

    codes: list[Floats]
    """(side, side, C_t) of each layer: -1, 1, and 0 where the picture has ended."""
    inside: Floats
    """(side, side, 1), 1 where the picture is."""
    counted: Floats
    """(side, side, 1), 1 where lengths count."""


@dataclasses.dataclass(frozen=True)
class Grids:
    """The codes of a whole picture, eight in a byte."""

    size: tuple[int, int]
    layers: list[NDArray[np.uint8]]

    @classmethod
    def of(cls, package: Package, photo: Photo) -> Grids:
        """Compress a photo to all layers."""
        coded = [codes for codes, _ in encode(package, load(photo.path))]
        return cls(coded[0].shape[:2], [np.packbits(codes > 0, axis=2) for codes in coded])

    def window(self, codes: Sequence[int], rng: np.random.Generator, side: int = _SIDE) -> Window:
        """Draw a window, which holds the whole picture where that is smaller."""
        starts = [int(rng.integers(max(length - side, 0) + 1)) for length in self.size]
        cuts = [_cut(start, length, side) for start, length in zip(starts, self.size, strict=True)]
        place, inner = zip(*cuts, strict=True)
        values = []
        for count, bits in zip(codes, self.layers, strict=True):
            part = np.unpackbits(bits[place], axis=2, count=count)
            values.append(_filled(2.0 * part.astype(np.float32) - 1.0, side))
        inside = _filled(np.ones((*part.shape[:2], 1), np.float32), side)
        counted = np.zeros_like(inside)
        counted[inner] = 1.0
        return Window(values, inside, counted)


def _cut(start: int, length: int, side: int) -> tuple[slice, slice]:
    """A side of a window: where it lies in the picture, and what counts of it."""
    stop = min(start + side, length)
    first, last = (_MARGIN if start else 0), (_MARGIN if stop < length else 0)
    return slice(start, stop), slice(first, stop - start - last)


def _filled(values: Floats, side: int) -> Floats:
    """Zeros below and to the right, up to a square."""
    height, width = values.shape[:2]
    return np.pad(values, [(0, side - height), (0, side - width), (0, 0)])


def fit(run: Path, data: Path, steps: int) -> None:
    """Teach a run's context model on; the checkpoint then holds it and the running means.

    Steps are of two windows each; ``data`` is the folder with the photos.

    Raises:
        InvalidInput: no photo to learn from, or no package can be made of the run.
    """
    trainer = Trainer.of_run(run)
    training, held_out = find_photos(data)
    with tempfile.TemporaryDirectory() as place:
        package = export(trainer.model, "fitted", Path(place))
        print(f"coding {len(training)} photos, and {len(held_out)} to measure by")
        unseen, seen = (_coded(package, of, data) for of in (held_out, training))
    fitting = _Fitting(trainer.model.context, package.codes)
    before = fitting.lengths(unseen)
    fitting.run(seen, steps, before)
    after = fitting.lengths(unseen)
    for t, values in enumerate(zip(before, after, strict=True), start=1):
        print("layer {}: {:.5f} to {:.5f} bits per pixel".format(t, *values))
    for name, variable in fitting.weights.items():
        trainer.averages[name].assign(variable)
    trainer.use_averages()  # the package's kernels were rounded
    trainer.save()


def _coded(package: Package, photos: Sequence[Photo], data: Path) -> list[Grids]:
    """The codes of photos, of which there has to be one."""
    found = [grids for _, grids in read_each(photos, partial(Grids.of, package))]
    if not found:
        raise InvalidInput(f"{data}: too few photos, none is left to learn from, or to measure by")
    return found


class _Fitting:
    def __init__(self, context: ContextModel, codes: Sequence[int]) -> None:
        self.context, self.codes = context, codes
        self.weights = {one.path: one for one in context.trainable_variables}
        shapes = {name: variable.shape for name, variable in self.weights.items()}
        kernels = {name: shape for name, shape in shapes.items() if _is_kernel(name)}
        self.optimizer = Optimizer(shapes, matrices_among(kernels, _LEAST), "float32")
        self.slots = {n: keras.Variable(np.zeros(s, "f")) for n, s in self.optimizer.slots.items()}
        self.averages = {n: keras.Variable(v.numpy()) for n, v in self.weights.items()}
        self.steps = keras.Variable(0, dtype="int64")
        self._measure = tf.function(self._bits, autograph=False)
        self._step = tf.function(self._apply, autograph=False)

    def lengths(self, pictures: Sequence[Grids]) -> Floats:
        """Bits per pixel of each layer, over one window of each picture: always the same."""
        rng = np.random.default_rng(0)
        found = [self._measure(*self._tensors([one], rng)).numpy() for one in pictures]
        return np.asarray(np.mean(found, axis=0), np.float32)

    def run(self, pictures: Sequence[Grids], steps: int, typical: Floats) -> None:
        """Take steps, and put the running means in place of the weights."""
        rng = np.random.default_rng(1)
        areas = np.array([min(math.prod(one.size), 4 * _SIDE**2) for one in pictures], float)
        for step in range(steps):
            drawn = rng.choice(len(pictures), _WINDOWS, p=areas / areas.sum())
            tensors = self._tensors([pictures[i] for i in drawn], rng)
            numbers = (rate_at(step, steps), min(_AVERAGE, step / (step + 10.0)))
            found = self._step(*tensors, typical, *(tf.constant(n, tf.float32) for n in numbers))
            if step % 100 == 0:
                print(f"step {step}: {' '.join(f'{bits:.4f}' for bits in found.numpy())}")
        for name, variable in self.weights.items():
            variable.assign(self.averages[name])

    def _tensors(
        self, pictures: Sequence[Grids], rng: np.random.Generator
    ) -> tuple[list[Tensor], Tensor, Tensor]:
        windows = [one.window(self.codes, rng) for one in pictures]
        layers = zip(*(one.codes for one in windows), strict=True)
        codes = [tf.constant(np.stack(layer)) for layer in layers]
        inside = tf.constant(np.stack([one.inside for one in windows]))
        counted = tf.constant(np.stack([one.counted for one in windows]))
        return codes, inside, counted

    def _bits(self, codes: list[Tensor], inside: Tensor, counted: Tensor) -> Tensor:
        """(T,) bits per pixel of the positions that count."""
        of_layers = [
            ops.sum(code_lengths(logits, known) * counted)
            for logits, known in zip(self.context.logits(codes, inside), codes, strict=True)
        ]
        return ops.stack(of_layers) / (ops.sum(counted) * POSITION**2)

    def _apply(
        self,
        codes: list[Tensor],
        inside: Tensor,
        counted: Tensor,
        typical: Tensor,
        rate: Tensor,
        keep: Tensor,
    ) -> Tensor:
        """Take a step; layers count alike, whatever bits they take."""
        with tf.GradientTape() as tape:
            bits = self._bits(codes, inside, counted)
            loss = ops.sum(bits / typical)
        values = {name: variable.value for name, variable in self.weights.items()}
        zero = tf.UnconnectedGradients.ZERO
        gradients = tape.gradient(loss, values, unconnected_gradients=zero)
        self.steps.assign_add(1)
        slots = {name: slot.value for name, slot in self.slots.items()}
        values, slots = self.optimizer.step(values, slots, gradients, rate, self.steps.value)
        for name, variable in self.weights.items():
            value = values[name]
            if _is_kernel(name):  # behind the bounds there is no gradient that would lead back
                value = ops.clip(value, -WEIGHT_MAX, WEIGHT_MAX)
            variable.assign(value)
            average = self.averages[name]
            average.assign(keep * average.value + (1.0 - keep) * value)
        for name, slot in self.slots.items():
            slot.assign(slots[name])
        return bits


def _is_kernel(name: str) -> bool:
    """Whether it is a kernel of a sum, which ``WEIGHT_MAX`` bounds."""
    return name.endswith("/kernel") and "/own/" not in name


def rate_at(step: int, steps: int) -> float:
    """Return the learning rate of a step."""
    warm = min((step + 1) / _WARMUP, 1.0)
    part = (step / steps - _CONSTANT) / (1.0 - _CONSTANT)
    falling = 0.5 * (1.0 + math.cos(math.pi * part)) if part > 0 else 1.0
    return _RATE * warm * (0.01 + 0.99 * falling)
