"""The grid of a picture in rectangles, so that work on it takes bounded memory."""

from __future__ import annotations

import dataclasses
import functools

import numpy as np
from numpy.typing import NDArray

from rgru_format.context.order import PERIOD, Taps, phase_grid

Float = NDArray[np.float32]
Places = tuple[NDArray[np.intp], NDArray[np.intp]]
"""Rows and columns."""

ALL_TAPS: Taps = tuple((dy, dx) for dy in range(3) for dx in range(3))
"""The 3x3 neighbourhood, row by row."""
_NARROW = 1.5
"""So much larger than a tile may it be with its border."""


@dataclasses.dataclass(frozen=True)
class Tile:
    """A rectangle of the grid."""

    y0: int
    y1: int
    x0: int
    x1: int

    @property
    def inside(self) -> tuple[slice, slice]:
        """Rows and columns of the grid."""
        return slice(self.y0, self.y1), slice(self.x0, self.x1)

    def slab(self, grid: NDArray[np.int8] | NDArray[np.uint8], border: int = 1) -> Float:
        """Return the tile with a border of so many positions, zero outside the grid."""
        rows, columns, channels = grid.shape
        height, width = self.y1 - self.y0, self.x1 - self.x0
        slab = np.zeros((height + 2 * border, width + 2 * border, channels), np.float32)
        y0, y1 = max(self.y0 - border, 0), min(self.y1 + border, rows)
        x0, x1 = max(self.x0 - border, 0), min(self.x1 + border, columns)
        top, left = y0 - self.y0 + border, x0 - self.x0 + border
        slab[top : top + y1 - y0, left : left + x1 - x0] = grid[y0:y1, x0:x1]
        return slab

    def phase(self, phase: int, phases: int) -> Places:
        """Return rows and columns, inside the tile, of the positions of a phase."""
        height, width = self.y1 - self.y0, self.x1 - self.x0
        return _positions(height, width, self.y0 % PERIOD, self.x0 % PERIOD, phase, phases)

    @property
    def everywhere(self) -> Places:
        """Rows and columns, inside the tile, of all its positions."""
        y, x = np.divmod(np.arange((self.y1 - self.y0) * (self.x1 - self.x0)), self.x1 - self.x0)
        return y, x


@functools.lru_cache(maxsize=16)
def _positions(rows: int, columns: int, top: int, left: int, phase: int, phases: int) -> Places:
    """Rows and columns where the grid, begun at (top, left), has a phase."""
    grid = phase_grid(rows + top, columns + left, phases)[top:, left:]
    y, x = np.nonzero(grid == phase)
    y.flags.writeable = x.flags.writeable = False
    return y, x


def gather(slab: Float, y: NDArray[np.intp], x: NDArray[np.intp], taps: Taps, apart: int) -> Float:
    """Return, for each position, the values under the taps: (positions, taps * channels).

    The slab has a border of as many positions as the taps are ``apart``.
    """
    height, width, channels = slab.shape
    corner = y * width + x
    index = corner[:, None] + np.array([apart * (dy * width + dx) for dy, dx in taps])
    patches: Float = slab.reshape(height * width, channels).take(index, axis=0)
    return patches.reshape(y.size, len(taps) * channels)


def convolve_tile(slab: Float, kernel: Float) -> Float:
    """Correlate a bordered tile with a 3x3 kernel.

    Args:
        slab: (height + 2, width + 2, inputs).
        kernel: (9, inputs, outputs), by the taps of ``ALL_TAPS``.

    Returns:
        (height, width, outputs).

    In the flattened tile a tap is a shift by a constant: each gives one product, and no patches
    need to be copied. The two columns at the end of each row come out as nonsense and are dropped.
    Of a narrow tile the border would be most of the work: there the patches are copied.
    """
    height, width, channels = slab.shape
    rows, columns, outputs = height - 2, width - 2, kernel.shape[2]
    if height * width > _NARROW * rows * columns:
        y, x = np.divmod(np.arange(rows * columns), columns)
        patches = gather(slab, y, x, ALL_TAPS, 1)
        narrow: Float = patches @ kernel.reshape(len(ALL_TAPS) * channels, outputs)
        return narrow.reshape(rows, columns, outputs)
    flat = slab.reshape(height * width, channels)
    count = rows * width - 2
    total = np.empty((rows * width, outputs), np.float32)
    one = np.empty((count, outputs), np.float32)
    for tap, (dy, dx) in enumerate(ALL_TAPS):
        first = dy * width + dx
        part = flat[first : first + count]
        if tap == 0:
            np.matmul(part, kernel[tap], out=total[:count])
        else:
            np.matmul(part, kernel[tap], out=one)
            total[:count] += one
    found: Float = total.reshape(rows, width, outputs)
    return found[:, :columns]
