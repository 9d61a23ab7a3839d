"""The range coder of SPEC section 8 in plain Python, for systems without constriction.

Bit for bit the same streams, some ten times slower: a million bits take a fifth of a second.
"""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray

from rgru_format.errors import Damaged

_TOP = 2**64
_PARTS = 2**24
"""Parts into which an interval is split between the two bits."""
_SMALL = 2**32
"""Below this width of the interval, a word of 32 bits is done with."""


def splits(probabilities: NDArray[np.float64]) -> list[int]:
    """Return the parts that bit 0 owns (SPEC section 8.2), from P(bit = 1) as floats (n,)."""
    k = np.rint(probabilities * 65536.0).astype(np.int64)
    parts: list[int] = (((65536 - k) * (_PARTS - 2) >> 16) + 1).tolist()
    return parts


class PlainEncoder:
    """Writes one stream."""

    def __init__(self) -> None:
        self._words: list[int] = []
        """What is done with, 32 bits each."""
        self._lower, self._width = 0, _TOP - 1
        """The interval, behind these words."""

    def encode(self, bits: NDArray[np.int32], chances: NDArray[np.float64]) -> None:
        """Append bits (n,), each 0 or 1, with chances (n, 2)."""
        lower, width = self._lower, self._width
        for bit, split in zip(bits.tolist(), splits(chances[:, 1]), strict=True):
            scale = width >> 24
            if bit:
                lower += scale * split
                width = scale * (_PARTS - split)
                if lower >= _TOP:
                    lower -= _TOP
                    self._carry()
            else:
                width = scale * split
            if width < _SMALL:
                self._words.append(lower >> 32)
                lower = (lower & 0xFFFFFFFF) << 32
                width <<= 32
        self._lower, self._width = lower, width

    def interval(self) -> tuple[int, int, int]:
        """Return where the last interval begins, its width, and in how many bytes."""
        words = np.array(self._words, ">u4").tobytes()
        size = len(words) + 8
        return int.from_bytes(words + self._lower.to_bytes(8, "big"), "big"), self._width, size

    def _carry(self) -> None:
        """Add 1 to the number that the words are."""
        at = len(self._words) - 1
        while self._words[at] == 0xFFFFFFFF:
            self._words[at] = 0
            at -= 1
        self._words[at] += 1


class PlainDecoder:
    """Reads one stream.

    Args:
        words: of the payload, 32 bits each; behind them are zeros.
    """

    def __init__(self, words: NDArray[np.uint32]) -> None:
        self._words = iter(words.tolist())
        # Of SPEC's lower and point only the difference matters: how far into the interval.
        self._distance = next(self._words, 0) << 32 | next(self._words, 0)
        self._width = _TOP - 1

    def decode(self, chances: NDArray[np.float64]) -> NDArray[np.int32]:
        """Return the next bits, int32 (n,), each 0 or 1.

        Args:
            chances: (n, 2), of these bits.

        Raises:
            Damaged: the words are no stream of an encoder.
        """
        distance, width = self._distance, self._width
        bits = []
        for split in splits(chances[:, 1]):
            scale = width >> 24
            place = distance // scale
            if place >= _PARTS:
                raise Damaged("the range coder refuses the stream: a point outside the interval")
            if place < split:
                width = scale * split
                bits.append(0)
            else:
                distance -= scale * split
                width = scale * (_PARTS - split)
                bits.append(1)
            if width < _SMALL:
                width <<= 32
                distance = distance << 32 | next(self._words, 0)
        self._distance, self._width = distance, width
        return np.array(bits, np.int32)
