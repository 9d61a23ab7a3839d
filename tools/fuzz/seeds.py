"""The first inputs of the fuzzer: the conformance vectors, and instructions for files like them."""

from __future__ import annotations

import zlib
from collections.abc import Iterator

from rgru_format import inspect
from rgru_format.conformance import VECTORS


def seeds() -> Iterator[tuple[str, bytes]]:
    """Yield name and content of each input."""
    for path in sorted(VECTORS.glob("*valid/*.rgru")):
        data = path.read_bytes()
        if len(data) < 400:
            yield f"raw_{path.stem}", data + b"\x00\x07\x50\x11"
    for path in sorted(VECTORS.glob("valid/*.rgru")):
        data = path.read_bytes()
        if len(data) < 200:
            yield f"built_{path.stem}", _instructions(data) + b"\x01\x07\x50\x11"
    rows = b"".join(bytes([kind, 1, 2, 3, 250]) for kind in (0, 1, 2))
    yield "alpha_rows", rows + b"\x02\x02\x03\x01"
    yield "alpha_stream", zlib.compress(rows) + b"\x02\x02\x03\x00"
    for path in sorted((VECTORS / "context").glob("*.bin")):
        yield f"context_{path.stem}", path.read_bytes() + b"\x03\x00\x00\x00"
        yield f"context_{path.stem}_open", path.read_bytes()[:-4] + b"\x03\x01\x00\x00"


def _instructions(data: bytes) -> bytes:
    """Return a valid vector as ``targets.built_file`` takes it; boxes are left out."""
    report = inspect(data)
    head = report.header
    parts = [bytes([head.width - 1 & 63, head.height - 1 & 63, 1, head.grey, 0, 0])]
    for group in report.groups:
        kind = 3 if group.group == 0 else 0
        parts.append(bytes([kind, len(group.payload)]) + group.payload)
    return b"".join(parts)
