"""Working through a picture in overlapping windows, so that memory is bounded by the window.

A network's output at a place depends on inputs no further away than its reach. Windows that
overlap by the reach therefore give what one pass over the whole picture would, to the last bits of
float sums: windows are a matter of memory and never of the format.

All coordinates are pixels and multiples of the stride of the codes. What covers the whole picture
is kept in a :class:`Field`; a network reads from fields and writes to fields window by window.
"""

from __future__ import annotations

import collections
import copy
import dataclasses
import functools
from collections.abc import Callable, Mapping
from typing import Any

import numpy as np
from numpy.typing import NDArray

from rgru_codec.runtime.engine import Engine, Source
from rgru_codec.runtime.networks import Port
from rgru_codec.runtime.rect import Rect
from rgru_codec.runtime.weights import Array
from rgru_format.limits import POSITION

WINDOW = 1984
"""Side of a square window in pixels, overlap included; other shapes have its area at most."""


@dataclasses.dataclass(frozen=True)
class Span:
    """One side of a window: what it computes, and what it reads for that."""

    begin: int
    end: int
    first: int
    last: int


@dataclasses.dataclass(frozen=True)
class Grid:
    """Windows of one size that together compute an area."""

    rows: tuple[Span, ...]
    columns: tuple[Span, ...]

    @property
    def lag(self) -> int:
        """So many windows later no window reads any more what a window has computed."""
        return _depth(self.rows) * len(self.columns) + _depth(self.columns)

    @property
    def windows(self) -> list[tuple[Rect, Rect]]:
        """(computed, read) of each window, row by row."""
        return [
            (
                Rect(row.begin, row.end, column.begin, column.end),
                Rect(row.first, row.last, column.first, column.last),
            )
            for row in self.rows
            for column in self.columns
        ]


def grid(area: Rect, frame: Rect, border: int, window: int | None = None) -> Grid:
    """Cut an area into windows of whole positions, so that the least is computed twice.

    All windows have the same size, edge or not, since a network that has been prepared for a size
    need not be prepared again.

    Args:
        area: what is to be computed.
        frame: the picture; nothing is read outside.
        border: how far a window reads around what it computes.
        window: side of the largest square window; ``WINDOW`` by default.
    """
    return _grid(area, area.grown(border, frame), border, window or WINDOW)


@functools.lru_cache(maxsize=64)
def _grid(area: Rect, extent: Rect, border: int, window: int) -> Grid:
    """The same for what is read at all; very long pictures have many choices."""
    least = 2 * border + POSITION
    most = max(window, least) ** 2
    tallest = min(extent.height, most // min(extent.width, least))
    choices = []
    for longest in range(min(extent.height, least), tallest + 1, POSITION):
        rows, height = _covering(extent.height, longest, border)
        widest = most // height // POSITION * POSITION
        if widest >= min(extent.width, least):
            columns, width = _covering(extent.width, widest, border)
            choices.append((rows * height * columns * width, height, width))
    _, height, width = min(choices)
    return Grid(
        _spans(area.top, area.bottom, extent.top, extent.bottom, border, height),
        _spans(area.left, area.right, extent.left, extent.right, border, width),
    )


def _covering(length: int, longest: int, border: int) -> tuple[int, int]:
    """Number and length of equal windows, none above ``longest``, that cover a side."""
    if length <= longest:
        return 1, length
    overlap = 2 * border
    count = -(-(length - overlap) // (longest - overlap))
    size = -(-(length + (count - 1) * overlap) // count)
    size = border_of(size)
    return -(-(length - overlap) // (size - overlap)), size


def _spans(begin: int, end: int, first: int, last: int, border: int, size: int) -> tuple[Span, ...]:
    """Windows of a length over ``first`` to ``last`` that compute ``begin`` to ``end``."""
    if last - first <= size:
        return (Span(begin, end, first, last),)
    step = size - 2 * border
    count = -(-(last - first - 2 * border) // step)
    starts = [first + i * step for i in range(count - 1)] + [last - size]
    edges = [begin, *(start + border for start in starts[1:]), end]
    return tuple(
        Span(edges[i], edges[i + 1], start, start + size) for i, start in enumerate(starts)
    )


def _depth(spans: tuple[Span, ...]) -> int:
    """How many windows further on what a window computes is still read."""
    return max(
        max(j for j, other in enumerate(spans) if other.first < span.end) - i
        for i, span in enumerate(spans)
    )


class Field:
    """Values over a picture, all zero at first: (1, height / spacing, width / spacing, channels).

    Where a picture takes several windows they are kept in 16 bits, as multiples of a small step:
    what is lost is far below what shows in a level of 8 bits. (numpy takes three times as long to
    and from float16, and is less exact.)

    Args:
        frame: the picture.
        port: spacing and channels.
        most: magnitude that values reach: 8 for recurrent states, which are of the order of 1.
    """

    def __init__(self, frame: Rect, port: Port, most: int = 8) -> None:
        self.spacing = port.spacing
        self._step = np.float32(most / 2**15) if is_large(frame) else None
        kind = np.int16 if self._step else np.float32
        self.values: NDArray[Any] = np.zeros(port.shape(frame), kind)

    def load(self, window: Rect, out: Array) -> None:
        """Fill ``out`` with the values of a window, of as many channels as it has."""
        values = self.values[self._index(window, out)]
        if self._step:
            np.multiply(values, self._step, out=out)
        else:
            out[...] = values

    def stored(self, values: Array) -> NDArray[Any]:
        """A copy of values in the form in which they are kept here."""
        if not self._step:
            return values.copy()
        steps = values * (np.float32(1.0) / self._step)
        np.rint(steps, out=steps)
        return np.clip(steps, -32768.0, 32767.0, out=steps).astype(np.int16)

    def store(self, window: Rect, values: NDArray[Any]) -> None:
        """Take over the values of a window, given as :meth:`stored`."""
        self.values[self._index(window, values)] = values

    def add(self, window: Rect, values: Array, factor: float) -> None:
        """Add ``factor`` times values (1, h, w, C) to the first C channels of a window."""
        index = self._index(window, values)
        total = values * np.float32(factor)
        total += self.values[index] * (self._step or np.float32(1.0))
        self.values[index] = self.stored(total)

    def _index(self, window: Rect, values: NDArray[Any]) -> tuple[slice, ...]:
        """Where values of a window stand, of as many channels as they have."""
        return (slice(None), *window.slices(self.spacing), slice(values.shape[3]))

    def copy(self) -> Field:
        """The same values, to be changed."""
        copied = copy.copy(self)
        copied.values = self.values.copy()
        return copied


Sink = Callable[[Rect, Rect, Mapping[str, Array]], None]
"""Takes what a network gives besides states: (window computed, window read, outputs over what was
read). The arrays are valid during the call only; see :func:`crop`."""


def is_large(frame: Rect) -> bool:
    """Whether a picture takes several windows."""
    return frame.height * frame.width > WINDOW * WINDOW


def sweep(
    engine: Engine,
    inputs: Mapping[str, Source],
    states: Mapping[str, Field],
    sink: Sink,
    area: Rect,
    frame: Rect,
    *,
    keep: bool = True,
) -> None:
    """One step of a network over an area of a picture.

    Args:
        engine: of the network: reads ``inputs`` and ``states``, gives outputs and new states.
        inputs: where inputs come from, states apart.
        states: are replaced by the new states, in place.
        sink: where outputs go.
        area: where outputs and states are wanted.
        frame: the whole picture.
        keep: False leaves ``states`` as they are.
    """
    plan = grid(area, frame, border_of(engine.network.reach))
    sources = {**inputs, **{name: state.load for name, state in states.items()}}
    kept = states if keep else {}
    queue: collections.deque[tuple[Rect, dict[str, NDArray[Any]]]] = collections.deque()
    for inside, outside in plan.windows:
        with engine.step(sources, outside) as outputs:
            sink(inside, outside, outputs)
            new = {
                name: state.stored(crop(outputs[name], inside, outside, state.spacing))
                for name, state in kept.items()
            }
        # Windows still to come read the old states of this one: the new ones wait their turn.
        queue.append((inside, new))
        if len(queue) > plan.lag:
            _store(kept, *queue.popleft())
    for waiting in queue:
        _store(kept, *waiting)


def crop(values: Array, inside: Rect, outside: Rect, spacing: int = 1) -> Array:
    """The part for ``inside`` of values over ``outside``, (1, h, w, C), that are so far apart."""
    part = inside.moved(-outside.top, -outside.left)
    return values[(slice(None), *part.slices(spacing))]


def _store(states: Mapping[str, Field], window: Rect, values: Mapping[str, NDArray[Any]]) -> None:
    for name, value in values.items():
        states[name].store(window, value)


def border_of(reach: int) -> int:
    """A reach in pixels, rounded up to whole positions of the codes."""
    return -(-reach // POSITION) * POSITION
