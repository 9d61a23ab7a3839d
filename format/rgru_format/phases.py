"""The order of codes: which positions a pass covers, and what it knows (SPEC section 7.3)."""

from __future__ import annotations

import numpy as np
import numpy.typing as npt

Taps = tuple[tuple[int, int], ...]
"""Rows and columns of a 3x3 kernel, whose middle (1, 1) is the position itself."""

CROSS: Taps = ((0, 1), (1, 0), (1, 2), (2, 1))
DIAGONAL: Taps = ((0, 0), (0, 2), (2, 0), (2, 2))

NEIGHBOURS: dict[int, tuple[tuple[Taps, ...], ...]] = {
    2: ((), (CROSS,)),
    4: ((), (DIAGONAL,), (CROSS,), (CROSS, DIAGONAL)),
}
"""For each number of phases, and each phase: the neighbours that earlier phases cover."""

_SQUARE = {2: ((0, 1), (1, 0)), 4: ((0, 2), (3, 1))}
"""Phases of the positions of a 2x2 square; it repeats over the grid."""


def phase_grid(rows: int, columns: int, phases: int) -> npt.NDArray[np.uint8]:
    """Return the phase of each position, (rows, columns)."""
    square = np.array(_SQUARE[phases], np.uint8)
    return np.tile(square, (-(-rows // 2), -(-columns // 2)))[:rows, :columns]


def neighbour_rows(phases: int, phase: int) -> list[tuple[int, Taps]]:
    """Return the kinds of neighbours that a phase knows, and for each its first row of Q."""
    kinds = NEIGHBOURS[phases]
    first = 2 + 2 * sum(map(len, kinds[:phase]))
    return [(first + 2 * i, taps) for i, taps in enumerate(kinds[phase])]


def own_rows(phases: int) -> int:
    """Return how many rows Q has: two for the layer before, two for each kind of neighbours."""
    return 2 + 2 * sum(map(len, NEIGHBOURS[phases]))


def phase_positions(rows: int, columns: int, phase: int, phases: int) -> npt.NDArray[np.int64]:
    """Return the positions of a phase as indices of the flattened grid, in raster order."""
    return np.flatnonzero(phase_grid(rows, columns, phases).ravel() == phase)


def group_bounds(codes: int, groups: int) -> list[tuple[int, int]]:
    """Return first and one-past-last channel of each group: even parts, larger ones first."""
    small, larger = divmod(codes, groups)
    stops = [small * (g + 1) + min(g + 1, larger) for g in range(groups)]
    return list(zip([0, *stops[:-1]], stops, strict=True))
