"""Named arrays in a file: safetensors, the part of it that a model package uses (SPEC section 11).

A length of 8 bytes, a table in JSON, then the arrays as they are. Everything that the table says is
checked before memory is taken, so that a file from anywhere can be read.
"""

from __future__ import annotations

import json
from collections.abc import Mapping
from typing import Any

import numpy as np
from numpy.typing import NDArray

from rgru_format import InvalidInput

Array = NDArray[np.float32]
Arrays = Mapping[str, Array]

_TYPES: dict[str, np.dtype[Any]] = {"F16": np.dtype("<f2"), "F32": np.dtype("<f4")}
_LENGTH = 8
"""Bytes of the length in front; the table is filled up with spaces to a multiple of it."""

_STRANGE = (ValueError, LookupError, TypeError, AttributeError, ArithmeticError, RecursionError)
"""What a table that is not as it should be can lead to."""


def pack_arrays(
    arrays: Mapping[str, NDArray[Any]], metadata: Mapping[str, str] | None = None
) -> bytes:
    """Write arrays as a safetensors file, sorted by name.

    Args:
        arrays: float16 or float32, of any shape.
        metadata: words that the table carries besides.

    Raises:
        InvalidInput: an array of another type.
    """
    table: dict[str, Any] = {"__metadata__": dict(metadata)} if metadata else {}
    parts: list[bytes] = []
    end = 0
    for name in sorted(arrays):
        array = arrays[name]
        code = next((c for c, t in _TYPES.items() if array.dtype == t.newbyteorder("=")), None)
        if code is None:
            raise InvalidInput(f"array {name} is {array.dtype}; packages hold float16 and float32")
        parts.append(array.astype(_TYPES[code]).tobytes())
        begin, end = end, end + len(parts[-1])
        table[name] = {"dtype": code, "shape": list(array.shape), "data_offsets": [begin, end]}
    text = json.dumps(table, separators=(",", ":")).encode()
    text += b" " * (-len(text) % _LENGTH)
    return b"".join([len(text).to_bytes(_LENGTH, "little"), text, *parts])


def unpack_arrays(data: bytes, name: str) -> tuple[dict[str, Array], dict[str, str]]:
    """Read a safetensors file.

    Args:
        data: the whole file.
        name: of the file, for messages.

    Returns:
        The arrays as float32, and the words of ``__metadata__``.

    Raises:
        InvalidInput: it is no such file, or holds what is not finite.
    """
    try:
        return _unpack(data)
    except _STRANGE as error:
        raise InvalidInput(f"{name}: not a file of weights ({error})") from None


def _unpack(data: bytes) -> tuple[dict[str, Array], dict[str, str]]:
    start = _LENGTH + int.from_bytes(data[:_LENGTH], "little")
    if not _LENGTH < start <= len(data):
        raise ValueError("its table is cut short")
    table = json.loads(data[_LENGTH:start])
    metadata = {str(key): str(value) for key, value in table.pop("__metadata__", {}).items()}
    arrays, end = {}, start
    for name, row in sorted(table.items(), key=lambda item: item[1]["data_offsets"]):
        kind, shape = _TYPES[row["dtype"]], tuple(map(int, row["shape"]))
        begin, end = end, start + int(row["data_offsets"][1])
        count, rest = divmod(end - begin, kind.itemsize)
        if start + row["data_offsets"][0] != begin or rest or not 0 <= count <= len(data):
            raise ValueError(f"array {name} is not where the one before it ends")
        if min(shape, default=0) < 0 or end > len(data):
            raise ValueError(f"array {name} is cut short")
        array = np.frombuffer(data, kind, count, begin).reshape(shape).astype(np.float32)
        if not np.isfinite(array).all():
            raise ValueError(f"array {name} holds numbers that are not finite")
        arrays[name] = array
    if end != len(data):
        raise ValueError(f"{len(data) - end} bytes behind the last array")
    return arrays, metadata
