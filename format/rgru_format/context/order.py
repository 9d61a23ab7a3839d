"""The order of codes: groups, phases, chunks and partners (SPEC section 7.3)."""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray

Taps = tuple[tuple[int, int], ...]
"""Rows and columns of a 3x3 kernel, whose middle (1, 1) is the position itself."""

CROSS: Taps = ((0, 1), (1, 0), (1, 2), (2, 1))
DIAGONAL: Taps = ((0, 0), (0, 2), (2, 0), (2, 2))

NEIGHBOURS: dict[int, tuple[tuple[Taps, ...], ...]] = {
    2: ((), (CROSS,)),
    4: ((), (DIAGONAL,), (CROSS,), (CROSS, DIAGONAL)),
    5: ((), (CROSS,), (DIAGONAL,), (CROSS,), (CROSS, DIAGONAL)),
}
"""For each number of phases, and each phase: the neighbours that earlier phases cover."""

_SPACING = {2: (1, 1), 4: (1, 1, 1, 1), 5: (1, 2, 1, 1, 1)}
"""How many positions apart the taps of a phase are."""

_SQUARE = {
    2: ((0, 1), (1, 0)),
    4: ((0, 2), (3, 1)),
    5: ((0, 3, 1, 3), (4, 2, 4, 2), (1, 3, 0, 3), (4, 2, 4, 2)),
}
"""Phases of the positions of a square; it repeats over the grid."""
PERIOD = 4
"""Rows and columns after which all of them repeat."""

_SHORTEST, _LONGEST, _GROWTH = 16, 512, 4
"""Positions of a chunk: a quarter of those behind it, within these bounds."""


def group_bounds(codes: int, groups: int) -> list[tuple[int, int]]:
    """Return first and one-past-last channel of each group: even parts, larger ones first."""
    small, larger = divmod(codes, groups)
    stops = [small * (g + 1) + min(g + 1, larger) for g in range(groups)]
    return list(zip([0, *stops[:-1]], stops, strict=True))


def phase_grid(rows: int, columns: int, phases: int) -> NDArray[np.uint8]:
    """Return the phase of each position, (rows, columns)."""
    square = np.array(_SQUARE[phases], np.uint8)
    side = len(square)
    return np.tile(square, (-(-rows // side), -(-columns // side)))[:rows, :columns]


def phase_positions(rows: int, columns: int, phase: int, phases: int) -> NDArray[np.int64]:
    """Return the positions of a phase as indices of the flattened grid, in raster order."""
    return np.flatnonzero(phase_grid(rows, columns, phases).ravel() == phase)


def phase_share(phases: int, phase: int) -> float:
    """Return the part of all positions that a phase has."""
    return float((np.array(_SQUARE[phases]) == phase).mean())


def spacing(phases: int, phase: int) -> int:
    """Return how many positions apart the codes are that a phase looks at."""
    return _SPACING[phases][phase]


def neighbour_rows(phases: int, phase: int) -> list[tuple[int, Taps]]:
    """Return the kinds of neighbours that a phase knows, and for each its first row of Q."""
    kinds = NEIGHBOURS[phases]
    first = 2 + 2 * sum(map(len, kinds[:phase]))
    return [(first + 2 * i, taps) for i, taps in enumerate(kinds[phase])]


def own_rows(phases: int) -> int:
    """Return how many rows Q has: two for the layer before, two for each kind of neighbours."""
    return 2 + 2 * sum(map(len, NEIGHBOURS[phases]))


def chunk_size(behind: int) -> int:
    """Return how many positions the next chunk has, unless fewer are left in the phase.

    Args:
        behind: positions of the group that are coded, of this phase and those before it.
    """
    return max(_SHORTEST, min(_LONGEST, behind // _GROWTH))


def turns(start: int, stop: int) -> list[slice]:
    """Return the channels of a group that are coded together: the even ones, then the odd ones."""
    both = [slice(start + (start + odd) % 2, stop, 2) for odd in (0, 1)]
    return [channels for channels in both if channels.start < stop]
