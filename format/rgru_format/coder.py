"""The range coder: bits and their probabilities to bytes and back (SPEC section 8).

This is the only place that calls constriction, or what serves in its place, and the only float
arithmetic between the bytes of a file and its codes: divisions of integers by 65536, which are
exact.
"""

from __future__ import annotations

import functools
from typing import Any

import numpy as np
from numpy.typing import NDArray

from rgru_format.errors import Damaged
from rgru_format.plain_coder import PlainDecoder, PlainEncoder

PROBABILITY_BITS = 16
"""Probabilities are integers k, 1 .. 2**16 - 1, that stand for P(bit = 1) = k / 2**16."""

Bits = NDArray[np.int32]
Probabilities = NDArray[np.uint16]
Chances = NDArray[np.float64]
"""(n, 2): P(bit = 0) and P(bit = 1), made by ``chances``, or rows taken from what it made."""

_WORD_BYTES = 4


@functools.cache
def _library() -> tuple[Any, Any] | None:
    """Return constriction's queue module and the family of models for bits; None if it is missing.

    It has no wheel for every system (Linux on ARM, musl, Windows on ARM).
    """
    try:
        import constriction  # here, so that importing rgru_format costs numpy alone
    except ImportError:
        return None
    # perfect=False is part of the format: it fixes the 24-bit split of SPEC section 8.2. Leaving
    # it out would print a warning to standard output and choose another split. Bernoulli models
    # split in the same way, but take longer.
    return constriction.stream.queue, constriction.stream.model.Categorical(perfect=False)


def chances(probabilities: Probabilities) -> Chances:
    """Return what the library takes for k, uint16 (n,), each at least 1."""
    # A value outside 1 .. 65535 would not be an error for the library but another stream, and NaN
    # a panic: uint16 leaves 0 as the only one to look for.
    assert probabilities.dtype == np.uint16
    assert probabilities.ndim == 1
    assert probabilities.all()
    one = probabilities * 2.0**-PROBABILITY_BITS
    return np.stack([1.0 - one, one], axis=1)


class BitEncoder:
    """Writes one stream."""

    def __init__(self) -> None:
        library = _library()
        self._coder = PlainEncoder() if library is None else _Encoder(*library)

    def encode(self, bits: Bits, chances: Chances) -> None:
        """Append bits; how they are split over calls does not change the stream.

        Args:
            bits: int32 (n,), each 0 or 1.
            chances: (n, 2), of these bits.
        """
        assert bits.dtype == np.int32
        assert chances.shape == (bits.size, 2)
        if bits.size:
            self._coder.encode(bits, chances)

    def finish(self) -> bytes:
        """Return the stream, ended as early as the last interval allows (SPEC section 8.4)."""
        first, width, size = self._coder.interval()
        for shift in range(64, -1, -8):
            end = -(-first >> shift) << shift  # the next point that ends in ``shift`` zero bits
            if end < first + width:
                break
        stream: bytes = end.to_bytes(size, "big")
        return stream.rstrip(b"\0")


class _Encoder:
    """constriction's encoder, as ``PlainEncoder`` is used."""

    def __init__(self, queue: Any, family: Any) -> None:
        self._coder, self._family = queue.RangeEncoder(), family

    def encode(self, bits: Bits, chances: Chances) -> None:
        self._coder.encode(np.ascontiguousarray(bits), self._family, chances)

    def interval(self) -> tuple[int, int, int]:
        words_out, (lower, width) = self._coder.pos()
        message: bytes = self._coder.get_compressed().astype(">u4").tobytes()
        size = words_out * _WORD_BYTES + 8
        # The message, zeros appended, is a point of the final interval, which begins here:
        point = int.from_bytes(message.ljust(size, b"\0")[:size], "big")
        return point - (point - lower) % 2**64, width, size


class BitDecoder:
    """Reads one stream. A stream has no visible end: the caller knows how many bits it holds."""

    def __init__(self, payload: bytes) -> None:
        padded = payload + bytes(-len(payload) % _WORD_BYTES)
        words = np.frombuffer(padded, dtype=">u4").astype(np.uint32)
        library = _library()
        self._coder = PlainDecoder(words) if library is None else _Decoder(*library, words)

    def decode(self, chances: Chances) -> Bits:
        """Return the next bits.

        Args:
            chances: (n, 2), of these bits.

        Returns:
            int32 (n,), each 0 or 1.

        Raises:
            Damaged: the bytes are no stream of an encoder. Most damage is not seen here: that is
                what the checksum is for.
        """
        return self._coder.decode(chances) if len(chances) else np.zeros(0, np.int32)


class _Decoder:
    """constriction's decoder, as ``PlainDecoder`` is used."""

    def __init__(self, queue: Any, family: Any, words: NDArray[np.uint32]) -> None:
        self._coder, self._family = queue.RangeDecoder(words), family

    def decode(self, chances: Chances) -> Bits:
        try:
            bits: Bits = self._coder.decode(self._family, chances)
        except AssertionError as error:
            raise Damaged(f"the range coder refuses the stream: {error}") from None
        return bits
