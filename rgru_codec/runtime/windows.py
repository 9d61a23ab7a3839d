"""Working through a picture in overlapping windows, so that memory is bounded by the window.

A network's output at a place depends on inputs no further away than its reach. Windows that
overlap by the reach therefore give what one pass over the whole picture would, to the last bits of
float sums: windows are a matter of memory and never of the format.

All coordinates are pixels and multiples of the stride of the codes. What covers the whole picture
is kept in a :class:`Field`; a network reads from fields and writes to fields window by window.
"""

from __future__ import annotations

import collections
import dataclasses
from collections.abc import Callable, Sequence
from typing import Any

import numpy as np
from numpy.typing import NDArray

from rgru_codec.runtime.litert import Array, Network

WINDOW = 1984
"""Side of a square window in pixels, overlap included; other shapes have its area at most."""

_STEPS = 4096
"""Parts of one in which the states of large pictures are kept."""


@dataclasses.dataclass(frozen=True)
class Rect:
    """A rectangle of pixels: rows ``top`` to ``bottom``, columns ``left`` to ``right``."""

    top: int
    bottom: int
    left: int
    right: int

    @property
    def height(self) -> int:
        """Rows."""
        return self.bottom - self.top

    @property
    def width(self) -> int:
        """Columns."""
        return self.right - self.left

    def grown(self, border: int, within: Rect) -> Rect:
        """With ``border`` more pixels on each side, as far as ``within`` goes."""
        return Rect(
            max(self.top - border, within.top),
            min(self.bottom + border, within.bottom),
            max(self.left - border, within.left),
            min(self.right + border, within.right),
        )

    def common(self, other: Rect) -> Rect | None:
        """What two rectangles share."""
        top, bottom = max(self.top, other.top), min(self.bottom, other.bottom)
        left, right = max(self.left, other.left), min(self.right, other.right)
        return Rect(top, bottom, left, right) if top < bottom and left < right else None

    def aligned(self, unit: int) -> Rect:
        """Grown to multiples of ``unit``."""
        return Rect(
            self.top // unit * unit,
            -(-self.bottom // unit) * unit,
            self.left // unit * unit,
            -(-self.right // unit) * unit,
        )

    def moved(self, down: int, right: int) -> Rect:
        """The same size elsewhere."""
        return Rect(self.top + down, self.bottom + down, self.left + right, self.right + right)

    def slices(self, spacing: int = 1) -> tuple[slice, slice]:
        """Rows and columns of an array with one value every ``spacing`` pixels."""
        return (
            slice(self.top // spacing, self.bottom // spacing),
            slice(self.left // spacing, self.right // spacing),
        )


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


def grid(area: Rect, frame: Rect, border: int, unit: int, window: int | None = None) -> Grid:
    """Cut an area into windows, so that the least is computed twice.

    All windows have the same size, edge or not, since a network that has been prepared for a size
    need not be prepared again.

    Args:
        area: what is to be computed.
        frame: the picture; nothing is read outside.
        border: how far a window reads around what it computes.
        unit: windows begin and end at multiples of it.
        window: side of the largest square window; ``WINDOW`` by default.
    """
    most = max(window or WINDOW, 2 * border + unit) ** 2
    extent = area.grown(border, frame)
    least = 2 * border + unit
    choices = []
    for longest in range(min(extent.height, least), extent.height + 1, unit):
        rows, height = _covering(extent.height, longest, border, unit)
        widest = most // height // unit * unit
        if widest >= min(extent.width, least):
            columns, width = _covering(extent.width, widest, border, unit)
            choices.append((rows * height * columns * width, height, width))
    _, height, width = min(choices)
    return Grid(
        _spans(area.top, area.bottom, extent.top, extent.bottom, border, height),
        _spans(area.left, area.right, extent.left, extent.right, border, width),
    )


def _covering(length: int, longest: int, border: int, unit: int) -> tuple[int, int]:
    """Number and length of equal windows, none above ``longest``, that cover a side."""
    if length <= longest:
        return 1, length
    overlap = 2 * border
    count = -(-(length - overlap) // (longest - overlap))
    size = -(-(length + (count - 1) * overlap) // count)
    size = -(-size // unit) * unit
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
    """Values over a picture: (1, height / spacing, width / spacing, channels).

    Where a picture takes several windows they are kept in 16 bits, as multiples of 2^-12 from -8
    to 8: recurrent states are of the order of 1, and a 4096th of them is far below what shows in
    a level of 8 bits. (numpy takes three times as long to and from float16, and is less exact.)
    """

    def __init__(self, frame: Rect, spacing: int, channels: int) -> None:
        self.spacing = spacing
        shape = (1, frame.height // spacing, frame.width // spacing, channels)
        self._compact = is_large(frame)
        self.values: NDArray[Any] = np.zeros(shape, np.int16 if self._compact else np.float32)

    def load(self, window: Rect, out: Array) -> None:
        """Fill ``out`` with the values of a window."""
        values = self.values[(slice(None), *window.slices(self.spacing))]
        if self._compact:
            np.multiply(values, np.float32(1.0 / _STEPS), out=out)
        else:
            out[...] = values

    def stored(self, values: Array) -> NDArray[Any]:
        """A copy of values in the form in which they are kept here."""
        if not self._compact:
            return values.copy()
        steps = values * np.float32(_STEPS)
        np.rint(steps, out=steps)
        return np.clip(steps, -32768.0, 32767.0, out=steps).astype(np.int16)

    def store(self, window: Rect, values: NDArray[Any]) -> None:
        """Take over the values of a window, given as :meth:`stored`."""
        self.values[(slice(None), *window.slices(self.spacing))] = values


Source = Callable[[Rect, Array], None]
"""Fills an input of a network, (1, h, w, C), for a window."""
Sink = Callable[[Rect, Rect, Sequence[Array]], None]
"""Takes what a network gives besides states: (window computed, window read, outputs over what was
read). The arrays are valid during the call only; see :func:`crop`."""


def is_large(frame: Rect) -> bool:
    """Whether a picture takes several windows."""
    return frame.height * frame.width > WINDOW * WINDOW


def fields(shapes: Sequence[tuple[int, int]], frame: Rect) -> list[Field]:
    """A field for each (spacing, channels), all zero."""
    return [Field(frame, spacing, channels) for spacing, channels in shapes]


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


def crop(values: Array, inside: Rect, outside: Rect, spacing: int = 1) -> Array:
    """The part for ``inside`` of values over ``outside``, (1, h, w, C), that are so far apart."""
    part = inside.moved(-outside.top, -outside.left)
    return values[(slice(None), *part.slices(spacing))]


def _store(states: Sequence[Field], window: Rect, values: Sequence[NDArray[Any]]) -> None:
    for state, value in zip(states, values, strict=True):
        state.store(window, value)


def border_of(reach: int, unit: int) -> int:
    """A reach in pixels, rounded up to whole positions of the codes."""
    return -(-reach // unit) * unit
