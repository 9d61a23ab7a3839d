"""Groups that are coded in part: at the positions where a picture lacks most.

The format has whole groups only. An encoder is free to code something else than what its networks
give: at the other positions it takes what the context model thinks likelier, which costs little.
"""

from __future__ import annotations

import math
from collections.abc import Callable

import numpy as np
from numpy.typing import NDArray

from rgru_format.limits import POSITION

LEAST = 0.3
"""Of the positions, in a group that is coded in part: fewer gain less than the others cost."""
_TRIALS = 7
"""To find out how much of a group there is room for."""
_BAND = 16 * POSITION


def groups_of(exact: float) -> tuple[int, float]:
    """Return how many groups a number of them takes, and how much of the last, above 0 to 1."""
    exact = round(exact, 6)
    groups = math.ceil(exact)
    return groups, exact - (groups - 1)


def within(encode: Callable[[float], bytes], most: float) -> bytes | None:
    """Encode the largest share of a group that takes so many bytes; None if it is under `LEAST`.

    Args:
        encode: Gives the bytes of a share, 0 to 1.
        most: Bytes.
    """
    found, low, high = None, 0.0, 1.0
    for _ in range(_TRIALS):
        share = (low + high) / 2
        payload = encode(share)
        if len(payload) <= most:
            found, low = payload, share
        else:
            high = share
    return found if low >= LEAST else None


def kept(pixels: NDArray[np.uint8], shown: NDArray[np.uint8], part: float) -> NDArray[np.bool_]:
    """Choose a share of the positions, those with the largest sums of errors.

    Args:
        pixels: A picture (H, W, 3).
        shown: What is shown of it so far, likewise.
        part: The share, 0 to 1.

    Returns:
        bool (rows, columns): of the grid.
    """
    bands = []
    for top in range(0, len(pixels), _BAND):  # so that large pictures are not held once more
        rows = slice(top, top + _BAND)
        error = np.abs(pixels[rows].astype(np.int16) - shown[rows]).sum(axis=2)
        for axis, size in enumerate(error.shape):
            error = np.add.reduceat(error, np.arange(0, size, POSITION), axis=axis)
        bands.append(error)
    errors = np.concatenate(bands)
    order = np.argsort(-errors, axis=None, kind="stable")
    chosen = np.zeros(errors.size, np.bool_)
    chosen[order[: math.ceil(part * order.size)]] = True
    return chosen.reshape(errors.shape)
