"""The order of codes: which positions a pass covers (SPEC section 7.3)."""

from __future__ import annotations

import numpy as np
import numpy.typing as npt


def phase_positions(rows: int, columns: int, phase: int) -> npt.NDArray[np.int64]:
    """Return the positions of a phase as indices of the flattened grid, in raster order.

    A position (y, x) is of phase (y + x) mod 2.
    """
    odd_rows = (np.arange(rows) & 1).astype(np.uint8)
    odd_columns = (np.arange(columns) & 1).astype(np.uint8)
    parity = np.bitwise_xor.outer(odd_rows, odd_columns)
    return np.flatnonzero(parity.ravel() == phase)


def group_bounds(codes: int, groups: int) -> list[tuple[int, int]]:
    """Return first and one-past-last channel of each group: even parts, larger ones first."""
    small, larger = divmod(codes, groups)
    stops = [small * (g + 1) + min(g + 1, larger) for g in range(groups)]
    return list(zip([0, *stops[:-1]], stops, strict=True))
