"""The loop for models of the old form (LiteRT files, a head in each layer): goes with the last.

R[0] = I; b_t = B(E(r_{t-1})); P_t from D(b_t); r_t = I - P_t (arXiv 1608.05148, equations 1-3).
States are carried over. The networks see pictures in [-0.9, 0.9], sides padded to the stride;
codes are (rows, columns, C_t) int8. Every step goes through the picture in windows
(:mod:`rgru_codec.runtime.windows`), so that what is kept of the whole picture is the compact
states, the picture so far and the codes.
"""

from __future__ import annotations

import collections
import dataclasses
from collections.abc import Callable, Iterator, Sequence
from typing import Any

import numpy as np
from numpy.typing import NDArray

from rgru_codec.metrics import LEVELS
from rgru_codec.models import Model
from rgru_codec.old_form import OldForm
from rgru_codec.runtime.engine import Source
from rgru_codec.runtime.networks import Port
from rgru_codec.runtime.rect import Rect
from rgru_codec.runtime.tflite import Array, Network, borrow
from rgru_codec.runtime.windows import Field, border_of, crop, grid, is_large

Pixels = NDArray[np.uint8]
Codes = NDArray[np.int8]

Sink = Callable[[Rect, Rect, Sequence[Array]], None]
"""Takes what a network gives besides states."""
Paint = Callable[[Rect, Array], None]
"""Takes the head's picture (1, h, w, 3) for a window; the array is valid during the call only."""

_STEPS = 64
"""Parts of a level in which large pictures are kept: 16 bits then reach to ±512 levels."""
_ROWS = 256

_TURNS = 2**25
"""Pixels above which, when compressing, encoder and decoder take turns in memory. Starting the
networks anew for every layer takes a quarter of a second."""


class Canvas:
    """The picture so far, (height, width, 3): float32, or 16-bit fractions of a level if large.

    Differences from float32 stay below a hundredth of a level an iteration.
    """

    def __init__(self, frame: Rect) -> None:
        compact = is_large(frame)
        shape = (frame.height, frame.width, 3)
        self._values: NDArray[Any] = np.zeros(shape, np.int16 if compact else np.float32)
        self._unit = LEVELS / _STEPS if compact else 1.0

    def subtract_from(self, picture: Array, window: Rect) -> None:
        """Turn a picture (h, w, 3) in network units into its residual, in place."""
        values = self._values[window.slices()]
        picture -= values if self._unit == 1.0 else values * np.float32(self._unit)

    def add(self, window: Rect, delta: Array, factor: float) -> None:
        """Add ``factor`` times (1, h, w, 3)."""
        self._store(window, self.sum(window, delta, factor))

    def replace(self, window: Rect, picture: Array) -> None:
        """Take over (1, h, w, 3)."""
        self._store(window, self.scaled(picture, 1.0))

    def sum(self, window: Rect, delta: Array, factor: float) -> Array:
        """This plus ``factor`` times ``delta``, in units of this canvas."""
        total = self.scaled(delta, factor)
        total += self._values[window.slices()]
        return total

    def scaled(self, delta: Array, factor: float) -> Array:
        """``factor`` times (1, h, w, 3), in units of this canvas."""
        scaled: Array = delta[0] * np.float32(factor / self._unit)
        return scaled

    def _store(self, window: Rect, values: Array) -> None:
        if self._unit != 1.0:
            np.rint(values, out=values)
            np.clip(values, -32768.0, 32767.0, out=values)
        self._values[window.slices()] = values

    def levels(self, values: Array) -> Pixels:
        """Values in units of this canvas as 8-bit levels, clipped and rounded."""
        levels = values * np.float32(self._unit / LEVELS)
        levels += np.float32(128.0)  # 127.5, and a half for rounding
        return np.clip(levels, 0.0, 255.0, out=levels).astype(np.uint8)

    def pixels(self, area: Rect) -> Pixels:
        """(height, width, 3) of an area."""
        result = np.empty((area.height, area.width, 3), np.uint8)
        for top in range(0, area.height, _ROWS):
            rows = slice(area.top + top, min(area.top + top + _ROWS, area.bottom))
            values = self._values[rows, area.left : area.right]
            result[top : top + _ROWS] = self.levels(values.astype(np.float32, copy=False))
        return result


class Painter:
    """The decoder's side: takes codes layer by layer and keeps states and picture.

    Args:
        model: the model package.
        height: of the picture in pixels.
        width: likewise.
        threads: of the inference engine; by default all cores.
        region: the part of the picture that is wanted; None: all of it. The networks then run on
            the region and its surroundings only: wider ones for the first layers, whose states
            reach further by the time the last layer is painted.
        layers: so many layers will be added at most; by default all that the model has.
    """

    def __init__(
        self,
        model: Model,
        height: int,
        width: int,
        threads: int | None = None,
        *,
        region: Rect | None = None,
        layers: int | None = None,
    ) -> None:
        wanted = region or Rect(0, height, 0, width)
        self.model = model
        self.layers = 0
        self._most = model.iterations if layers is None else layers
        around = frame_for(model, height, width, wanted, self._most)
        self._crop = around.slices(model.stride)
        down, right = around.top, around.left
        self._frame = around.moved(-down, -right)
        self._region = wanted.moved(-down, -right)
        self._painted = self._region.aligned(model.stride)
        self._decoder = borrow(self, model, "decoder", threads)
        self._head = borrow(self, model, "head", threads)
        self._states = fields(old_form(model).steps["decoder"].kept, self._frame)
        self.canvas = Canvas(self._frame)

    def add_layer(self, codes: Codes | Array, *, shown: bool = True) -> None:
        """Run D on the codes of the next layer, (rows, columns, C_t) of the whole picture.

        ``shown``: False if another layer follows before anything is; one-shot heads then rest.
        """
        self.layers += 1
        area = self._painted.grown(_reach(self.model, self._most - self.layers), self._frame)
        if old_form(self.model).reconstruction == "additive":
            factor = 1.0 / self.model.gains[self.layers - 1]
            self._run(codes, area, lambda window, x: self.canvas.add(window, x, factor))
        else:
            self._run(codes, area, self.canvas.replace if shown else None)

    def rest(self) -> None:
        """Give the networks' working memory back until the next layer."""
        self._decoder.rest()
        self._head.rest()

    def show(self) -> Pixels:
        """The picture so far, (H, W, 3) uint8: the region that was asked for."""
        return self.canvas.pixels(self._region)

    def preview(self, codes: Codes | Array) -> Pixels:
        """The pixels that codes (or their expectation) would give; nothing is kept of them."""
        additive = old_form(self.model).reconstruction == "additive"
        factor = 1.0 / self.model.gains[self.layers] if additive else 1.0
        result = np.empty((self._frame.height, self._frame.width, 3), np.uint8)

        def paint(window: Rect, x: Array) -> None:
            values = self.canvas.sum(window, x, factor) if additive else self.canvas.scaled(x, 1.0)
            result[window.slices()] = self.canvas.levels(values)

        self._run(codes, self._painted, paint, keep=False)
        return result[self._region.slices()]

    @property
    def known(self) -> list[Source]:
        """The decoder's states, for an encoder that looks at the first of them."""
        return [state.load for state in self._states]

    def _run(
        self, codes: Codes | Array, area: Rect, paint: Paint | None, *, keep: bool = True
    ) -> None:
        """The decoder over an area, and window by window the head on what it needs of it."""
        head = self._head.shape

        def run_head(inside: Rect, outside: Rect, outputs: Sequence[Array]) -> None:
            wanted = inside.common(self._painted)
            if paint is not None and wanted is not None:
                read = wanted.grown(border_of(head.reach, self.model.stride), outside)
                parts = [
                    _Copy(crop(x, read, outside, spacing))
                    for x, (spacing, _) in zip(outputs, head.inputs, strict=True)
                ]
                with self._head.step(parts, read) as results:
                    paint(wanted, crop(results[0], wanted, read))

        inputs = [CodesInput(codes[self._crop], self.model.stride)]
        reach = _reach(self.model, 1)
        sweep(
            self._decoder,
            inputs,
            self._states,
            run_head,
            area,
            self._frame,
            reach=reach,
            keep=keep,
        )


def takes_turns(frame: Rect) -> bool:
    """Whether encoder and decoder share memory: one of them holds some at a time."""
    return frame.height * frame.width > _TURNS


def frame_for(model: Model, height: int, width: int, area: Rect, layers: int | None = None) -> Rect:
    """The part of a picture, padded to the stride, on which networks run to paint an area."""
    rows, columns = model.grid(height, width)
    whole = Rect(0, rows * model.stride, 0, columns * model.stride)
    steps = model.iterations if layers is None else layers
    return area.aligned(model.stride).grown(_reach(model, steps), whole)


def reach_of(model: Model, name: str) -> int:
    """How far windows of a network read around what they compute."""
    if name == "encoder":
        return border_of(old_form(model).steps[name].reach, model.stride)
    return _reach(model, 1)  # the head works in the decoder's windows


def _reach(model: Model, steps: int) -> int:
    """How far a painted pixel depends on the states before the last so many steps."""
    if steps <= 0:
        return 0
    reach = old_form(model).steps["head"].reach + steps * old_form(model).steps["decoder"].reach
    return border_of(reach, model.stride)


@dataclasses.dataclass(frozen=True)
class _Copy:
    """What one network gives, as another reads it."""

    values: Array

    def __call__(self, window: Rect, out: Array) -> None:
        out[...] = self.values


@dataclasses.dataclass(frozen=True)
class CodesInput:
    """Codes (rows, columns, C_t) as a network reads them; channels not used are zero."""

    codes: Codes | Array
    stride: int

    def __call__(self, window: Rect, out: Array) -> None:
        """Fill ``out`` for a window."""
        count = self.codes.shape[2]
        out[0, :, :, :count] = self.codes[window.slices(self.stride)]
        out[0, :, :, count:] = 0.0


@dataclasses.dataclass(frozen=True)
class ResidualInput:
    """What is left of a picture (H, W, 3), times a gain; its edges are repeated outwards."""

    pixels: Pixels
    canvas: Canvas
    gain: float

    def __call__(self, window: Rect, out: Array) -> None:
        """Fill ``out`` for a window."""
        part = self.pixels[window.slices()]
        height, width = part.shape[:2]
        picture = out[0]
        picture[:height, :width] = part
        picture[:height, width:] = picture[:height, width - 1 : width]
        picture[height:] = picture[height - 1 : height]
        picture -= np.float32(127.5)
        picture *= np.float32(LEVELS)
        self.canvas.subtract_from(picture, window)
        picture *= np.float32(self.gain)


def encode(
    model: Model, pixels: Pixels, threads: int | None = None
) -> Iterator[tuple[Codes, Painter]]:
    """Iterate: codes of each layer, and the painter that has seen them.

    Args:
        model: the model package.
        pixels: (H, W, 3) uint8.
        threads: of the inference engine; by default all cores.

    Yields:
        Codes (rows, columns, C_t) in {-1, +1} and the painter that shows P_t.
    """
    height, width = pixels.shape[:2]
    rows, columns = model.grid(height, width)
    frame = Rect(0, rows * model.stride, 0, columns * model.stride)
    turns = takes_turns(frame)
    painter = Painter(model, height, width, threads)
    encoder = borrow(painter, model, "encoder", threads)
    states = fields(encoder.shape.kept, frame)
    known = painter.known[: len(encoder.shape.inputs) - 1 - len(states)]

    def step(gain: float, count: int) -> Codes:
        codes = np.empty((rows, columns, count), np.int8)
        inputs: list[Source] = [ResidualInput(pixels, painter.canvas, gain), *known]
        sweep(encoder, inputs, states, _binarized(codes, model.stride), frame, frame)
        if turns:
            encoder.rest()
        painter.add_layer(codes)
        if turns:
            painter.rest()
        return codes

    for gain, count in zip(model.gains, model.codes, strict=True):
        yield step(gain, count), painter  # no name here keeps the codes: they are large


def _binarized(codes: Codes, stride: int) -> Sink:
    """Takes the encoder's output as codes: zero counts as +1."""

    def store(inside: Rect, outside: Rect, outputs: Sequence[Array]) -> None:
        negative = crop(outputs[0], inside, outside, stride)[0, :, :, : codes.shape[2]] < 0
        codes[inside.slices(stride)] = np.where(negative, np.int8(-1), np.int8(1))

    return store


def fields(shapes: Sequence[tuple[int, int]], frame: Rect) -> list[Field]:
    """A field for each (spacing, channels), all zero."""
    return [Field(frame, Port(spacing, channels)) for spacing, channels in shapes]


def sweep(
    network: Network,
    inputs: Sequence[Source],
    states: Sequence[Field],
    sink: Sink,
    area: Rect,
    frame: Rect,
    *,
    reach: int | None = None,
    keep: bool = True,
) -> None:
    """One step of a network over an area of a picture.

    Args:
        network: reads ``inputs`` and ``states``, gives outputs and new states.
        inputs: where its first inputs come from.
        states: are replaced by the new states, in place.
        sink: where its first outputs go.
        area: where outputs and states are wanted.
        frame: the whole picture.
        reach: how far a window reads around what it computes, if further than the network's own.
        keep: False leaves ``states`` as they are.
    """
    border = border_of(network.shape.reach if reach is None else reach, network.unit)
    plan = grid(area, frame, border, network.unit)
    sources = [*inputs, *(state.load for state in states)]
    kept = states if keep else ()
    queue: collections.deque[tuple[Rect, list[NDArray[Any]]]] = collections.deque()
    for inside, outside in plan.windows:
        with network.step(sources, outside) as results:
            count = len(results) - len(states)
            sink(inside, outside, results[:count])
            new = [
                state.stored(crop(result, inside, outside, state.spacing))
                for result, state in zip(results[count:], kept, strict=keep)
            ]
            del results
        # Windows still to come read the old states of this one: the new ones wait their turn.
        queue.append((inside, new))
        if len(queue) > plan.lag:
            _store(kept, *queue.popleft())
    for inside, values in queue:
        _store(kept, inside, values)


def _store(states: Sequence[Field], window: Rect, values: Sequence[NDArray[Any]]) -> None:
    for state, value in zip(states, values, strict=True):
        state.store(window, value)


def old_form(model: Model) -> OldForm:
    """What a package of the old form says."""
    assert model.old is not None
    return model.old
