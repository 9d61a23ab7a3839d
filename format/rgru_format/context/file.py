"""The file ``context.bin`` (SPEC section 7.6)."""

from __future__ import annotations

import math
import struct
import zlib
from collections.abc import Iterator, Sequence

import numpy as np
from numpy.typing import NDArray

from rgru_format.context.weights import LOGIT_RANGE, Int16, Int32, LayerWeights, check_sizes, shapes
from rgru_format.errors import Damaged
from rgru_format.limits import MAX_LAYERS

MAGIC = b"\x89RGRUCM\n"
LAYOUT = 1
TABLE_SIZE = 2 * LOGIT_RANGE + 1

_PREFIX = struct.Struct("<8sBBHHH")
_LAYER = struct.Struct("<HHH")


def pack(layers: Sequence[LayerWeights], table: NDArray[np.uint16]) -> bytes:
    """Return the file of a valid model."""
    states, hidden = layers[0].B.shape[0], layers[0].U.shape[3]
    parts = [_PREFIX.pack(MAGIC, LAYOUT, len(layers), states, hidden, TABLE_SIZE)]
    parts += [_LAYER.pack(layer.codes, len(layer.passes), layer.phases) for layer in layers]
    parts.append(table.astype("<u2").tobytes())
    for layer in layers:
        for array in layer.arrays():
            parts.append(array.astype("<i2" if array.dtype == np.int16 else "<i4").tobytes())
    body = b"".join(parts)
    return body + zlib.crc32(body).to_bytes(4, "little")


def parse(data: bytes) -> tuple[tuple[LayerWeights, ...], NDArray[np.uint16]]:
    """Return layers and table of a file; sizes are checked before anything is allocated.

    Raises:
        Damaged: the data is no such file.
        InvalidInput: sizes that SPEC forbids.
    """
    if len(data) < _PREFIX.size + 4 or not data.startswith(MAGIC):
        raise Damaged("context model: the signature is missing")
    body = data[:-4]
    if zlib.crc32(body) != int.from_bytes(data[-4:], "little"):
        raise Damaged("context model: the checksum does not match")
    _, layout, count, states, hidden, entries = _PREFIX.unpack_from(body)
    if layout != LAYOUT:
        raise Damaged(f"context model: layout {layout} is unknown")
    if not 1 <= count <= MAX_LAYERS:
        raise Damaged(f"context model: 1..{MAX_LAYERS} layers, got {count}")
    if entries != TABLE_SIZE:
        raise Damaged(f"context model: a table of {entries} entries, {TABLE_SIZE} expected")
    at = _PREFIX.size + count * _LAYER.size
    if len(body) < at + 2 * TABLE_SIZE:
        raise Damaged("context model: the data ends too early")
    sizes = list(_LAYER.iter_unpack(body[_PREFIX.size : at]))
    table = np.frombuffer(body, "<u2", TABLE_SIZE, at).astype(np.uint16)
    at += 2 * TABLE_SIZE
    layers = []
    for t, (codes, groups, phases) in enumerate(sizes, start=1):
        check_sizes(t, codes, groups, phases, states, hidden)
        expected = list(shapes(codes, groups, phases, states, hidden))
        size = sum(_size(name, shape) for name, shape in expected)
        if len(body) < at + size:
            raise Damaged("context model: the data ends too early")
        layers.append(LayerWeights.from_arrays(groups, phases, _arrays(body, at, expected)))
        at += size
    if at != len(body):
        raise Damaged("context model: bytes are left over behind the last array")
    return tuple(layers), table


def _size(name: str, shape: tuple[int, ...]) -> int:
    return math.prod(shape) * (2 if name.isupper() else 4)


def _arrays(
    body: bytes, at: int, expected: Sequence[tuple[str, tuple[int, ...]]]
) -> Iterator[Int16 | Int32]:
    for name, shape in expected:
        count = math.prod(shape)
        if name.isupper():
            yield np.frombuffer(body, "<i2", count, at).reshape(shape).astype(np.int16)
        else:
            yield np.frombuffer(body, "<i4", count, at).reshape(shape).astype(np.int32)
        at += _size(name, shape)
