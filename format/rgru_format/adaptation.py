"""What the context model learns of a picture while its codes are coded (SPEC section 7.7).

A context model is trained on many pictures; one picture has its own statistics. Encoder and
decoder correct each channel's logit x to x + shift + slope * x, and after each chunk of codes take
a step of Newton's method towards the shift and the slope that make the codes cheapest.
"""

from __future__ import annotations

from typing import TypeVar

import numpy as np
import numpy.typing as npt

from rgru_format.contextnet import LOGIT_RANGE, TABLE_SIZE
from rgru_format.evaluate import Codes, Indices

_Integers = TypeVar("_Integers", npt.NDArray[np.int32], npt.NDArray[np.int64])

_ONE = 2**16
"""Probabilities, and what is derived from them, are in 65536ths."""
_UNIT = 2**12
"""Slopes are in 4096ths, shifts in 4096ths of a sixteenth."""
_SHORTEST, _LONGEST, _GROWTH = 8, 512, 8
"""Positions of a chunk: an eighth of those before it, within these bounds."""
_SHIFT_START, _SHIFT_KEPT = 20 * 2**16, 200 * 2**16
_SLOPE_START, _SLOPE_KEPT = 50 * 2**24, 1000 * 2**24
"""Fisher information that stands for the start, and the most that is kept of the past."""


class Adaptation:
    """Shift and slope of each channel of a group, learned from its codes in one layer.

    Args:
        table: the probabilities of the context model.
        channels: of the group.
    """

    def __init__(self, table: npt.NDArray[np.uint16], channels: int) -> None:
        chance = table.astype(np.int64)
        # For each table entry, first of codes -1 and then of codes +1: 65536 * bit - k, and the
        # variance of the bit. Sums of these stay far below 2**53, so that float64 adds them
        # exactly in any order.
        self._errors = np.concatenate([-chance, _ONE - chance]).astype(np.float64)
        self._variances = np.tile(chance * (_ONE - chance) // _ONE, 2).astype(np.float64)
        self.shift, self.slope = np.zeros((2, channels), np.int64)
        """In 65536ths of a unit of the logarithm of odds; in 4096ths."""
        self._shift_information = np.full(channels, _SHIFT_START, np.int64)
        self._slope_information = np.full(channels, _SLOPE_START, np.int64)
        self._positions = 0

    @property
    def chunk(self) -> int:
        """How many positions the next chunk has, if so many are left in the phase."""
        return min(max(_SHORTEST, self._positions // _GROWTH), _LONGEST)

    def corrected(self, index: Indices, channels: slice) -> Indices:
        """Return the table entries to use.

        Args:
            index: (positions, channels), what the networks say.
            channels: which of the group.
        """
        logit = index.astype(np.int32) - LOGIT_RANGE
        # Shift and slope are bounded: all of this fits int32.
        shift, slope = self.shift[channels].astype(np.int32), self.slope[channels].astype(np.int32)
        logit += (shift + slope * logit + _UNIT // 2) >> 12
        return (_within(logit, LOGIT_RANGE) + LOGIT_RANGE).astype(np.int16)

    def learn(self, index: Indices, used: Indices, codes: Codes) -> None:
        """Take a step after a chunk.

        Args:
            index: (positions, channels of the group), what the networks said.
            used: the same, corrected.
            codes: the same, each -1 or +1.
        """
        entry = used + np.int16(TABLE_SIZE) * (codes > 0)
        error, variance = self._errors.take(entry), self._variances.take(entry)
        total = np.ones(len(index))
        logit = index - float(LOGIT_RANGE)
        of_shift, information = total @ error, total @ variance
        error *= logit
        variance *= logit
        variance *= logit
        _step(self.shift, of_shift, self._shift_information, information, _SHIFT_KEPT)
        _step(self.slope, total @ error, self._slope_information, total @ variance, _SLOPE_KEPT)
        _within(self.shift, _UNIT * LOGIT_RANGE)
        _within(self.slope, _UNIT)
        self._positions += len(index)


def _step(
    value: npt.NDArray[np.int64],
    gradient: npt.NDArray[np.float64],
    information: npt.NDArray[np.int64],
    added: npt.NDArray[np.float64],
    kept: int,
) -> None:
    """Add gradient / information to value, in place, after what was learned of the information."""
    np.minimum(information, kept, out=information)
    information += added.astype(np.int64)
    value += _ONE * gradient.astype(np.int64) // information


def _within(values: _Integers, bound: int) -> _Integers:
    """Clamp to -bound .. bound, in place; several times faster on small arrays than np.clip."""
    np.minimum(values, bound, out=values)
    np.maximum(values, -bound, out=values)
    return values
