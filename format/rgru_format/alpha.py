"""The alpha plane: lossless, rows of differences in a zlib stream (SPEC section 6.2)."""

from __future__ import annotations

import zlib

import numpy as np
from numpy.typing import NDArray

from rgru_format.container import Header
from rgru_format.errors import Damaged, InvalidInput
from rgru_format.events import BoxRead
from rgru_format.limits import Limits, largest_alpha

Plane = NDArray[np.uint8]

_NONE, _LEFT, _UP = 0, 1, 2
_NARROW = 32
"""Rows of fewer pixels are worked on in whole arrays: one by one they take long."""
_BAND = 2**20
"""Bytes of rows that are worked on at a time."""
_DEFLATE_RATIO = 1032
"""A byte of a deflate stream stands for at most so many bytes."""


def encode_alpha(plane: Plane) -> bytes:
    """Return the content of an ALPH box.

    Args:
        plane: uint8 (height, width), 0 transparent .. 255 opaque.

    Raises:
        InvalidInput: another shape or type.
    """
    if plane.ndim != 2 or plane.dtype != np.uint8 or not plane.size:
        raise InvalidInput(f"alpha must be uint8 (height, width), got {plane.dtype} {plane.shape}")
    height, width = plane.shape
    rows = max(1, _BAND // (width + 1))
    squeeze = zlib.compressobj(9)
    parts = []
    above = np.zeros(width, np.uint8)
    for first in range(0, height, rows):
        band = plane[first : first + rows]
        parts.append(squeeze.compress(_filter_rows(band, above).tobytes()))
        above = band[-1]
    parts.append(squeeze.flush())
    return b"".join(parts)


def _filter_rows(band: Plane, above: Plane) -> Plane:
    """Return (rows, 1 + width): for each row the filter with the smallest sum of differences."""
    left = band.copy()
    left[:, 1:] -= band[:, :-1]
    up = band.copy()
    up[0] -= above
    up[1:] -= band[:-1]
    candidates = np.stack([band, left, up])
    # Differences count by their size as signed numbers.
    sizes = np.minimum(candidates, (-candidates.view(np.int8)).view(np.uint8))
    best = sizes.sum(axis=2, dtype=np.int64).argmin(axis=0)
    rows = np.empty((band.shape[0], 1 + band.shape[1]), np.uint8)
    rows[:, 0] = best
    rows[:, 1:] = candidates[best, np.arange(band.shape[0])]
    return rows


def decode_alpha(content: bytes, height: int, width: int, limits: Limits | None = None) -> Plane:
    """Return the alpha plane of an ALPH box.

    Args:
        content: the box without its type.
        height: rows of the picture, in pixels.
        width: columns of the picture, in pixels.
        limits: bounds; ``max_pixels`` applies.

    Returns:
        uint8 (height, width).

    Raises:
        Damaged: the content is no such plane; found before more than it is inflated.
        LimitExceeded: too many pixels.
    """
    (limits or Limits()).check_pixels(height, width)
    expanded = height * (width + 1)
    if len(content) > largest_alpha(height, width) or len(content) * _DEFLATE_RATIO < expanded:
        raise Damaged(f"the alpha box has {len(content)} bytes for {height} x {width} pixels")
    stream = _Inflater(content)
    plane = np.empty((height, width), np.uint8)
    rows = max(1, _BAND // (width + 1))
    above = np.zeros(width, np.uint8)
    for first in range(0, height, rows):
        count = min(rows, height - first)
        band = np.frombuffer(stream.take(count * (width + 1)), np.uint8)
        _unfilter_rows(band.reshape(count, width + 1), above, plane[first : first + count])
        above = plane[first + count - 1]
    stream.finish()
    return plane


def alpha_of(event: BoxRead, header: Header, limits: Limits | None = None) -> Plane:
    """Return the alpha plane of a box as the reader delivers it.

    Raises:
        Damaged, LimitExceeded: as ``decode_alpha``; damage names layer and offset of the box.
    """
    try:
        return decode_alpha(event.box.content, header.height, header.width, limits)
    except Damaged as error:
        raise Damaged(error.message, event.layer, event.offset) from None


def _unfilter_rows(rows: Plane, above: Plane, out: Plane) -> None:
    """Undo the filters of some rows.

    Args:
        rows: (rows, 1 + width), filters and differences.
        above: the row before them.
        out: (rows, width), set.
    """
    kinds = rows[:, 0]
    if (kinds > _UP).any():
        unknown = int(kinds[kinds > _UP][0])
        raise Damaged(f"a row of the alpha plane has the unknown filter {unknown}")
    out[:] = rows[:, 1:]
    if out.shape[1] < _NARROW:
        _unfilter_at_once(kinds, above, out)
        return
    for kind, target in zip(kinds, out, strict=True):
        if kind == _LEFT:
            np.add.accumulate(target, out=target)
        elif kind == _UP:
            target += above
        above = target


def _unfilter_at_once(kinds: Plane, above: Plane, out: Plane) -> None:
    """Undo the filters of many short rows in whole arrays; all numbers modulo 256."""
    left, up = kinds == _LEFT, kinds == _UP
    out[left] = _running_sum(out[left], axis=1)
    # Where differences go upwards, a row is the last row of another kind plus all since then.
    down = _running_sum(np.where(up[:, None], out, np.uint8(0)), axis=0)
    last = np.maximum.accumulate(np.where(up, -1, np.arange(len(out))))
    since = down[up] - down[last[up]] * (last[up] >= 0)[:, None]
    out[up] = np.where((last[up] >= 0)[:, None], out[last[up]], above) + since


def _running_sum(values: Plane, axis: int) -> Plane:
    return np.add.accumulate(values, axis=axis, dtype=np.uint8)


class _Inflater:
    """Takes stated numbers of bytes out of a zlib stream, never more."""

    def __init__(self, content: bytes) -> None:
        self._stream = zlib.decompressobj()
        self._pending = content

    def take(self, size: int) -> bytes:
        parts = []
        while size:
            part = self._inflate(size)
            if not part:
                raise Damaged("the alpha plane ends too early")
            parts.append(part)
            size -= len(part)
        return b"".join(parts)

    def finish(self) -> None:
        """Check that the stream ends here, with its checksum, and nothing follows."""
        if self._inflate(1):
            raise Damaged("the alpha plane is larger than the picture")
        if not self._stream.eof:
            raise Damaged("the alpha plane has no end")
        if self._stream.unused_data:
            raise Damaged("bytes follow the alpha plane")

    def _inflate(self, size: int) -> bytes:
        try:
            part = self._stream.decompress(self._pending, size)
        except zlib.error as error:
            raise Damaged(f"the alpha plane cannot be inflated: {error}") from None
        self._pending = self._stream.unconsumed_tail
        return part
