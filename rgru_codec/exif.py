"""Exif as bytes: a TIFF structure, read and patched in place by one parser.

Patched rather than written anew, so that maker notes, whose parts lie at fixed offsets, stay
readable (Exif 2.32, 4.6; TIFF 6.0, section 2). A structure that cannot be followed is left as it
is: what this parser cannot find is neither applied nor reset.
"""

from __future__ import annotations

import dataclasses
import struct
from collections.abc import Iterator

PREFIX = b"Exif\0\0"
"""What JPEG puts before the TIFF structure; .rgru files have the structure alone."""

ORIENTATION, _GPS, _EXIF = 0x0112, 0x8825, 0x8769
_X_RESOLUTION, _Y_RESOLUTION, _RESOLUTION_UNIT = 0x011A, 0x011B, 0x0128
_SHORT, _RATIONAL = 3, 5
_POINTERS = (4, 13)
_SIZES = {1: 1, 2: 1, 3: 2, 4: 4, 5: 8, 6: 1, 7: 1, 8: 2, 9: 4, 10: 8, 11: 4, 12: 8, 13: 4}
"""Bytes a value, by type."""
_CODES = {1: "B", 3: "H", 4: "I", 6: "b", 7: "B", 8: "h", 9: "i", 11: "f", 12: "d", 13: "I"}
"""How `struct` calls the types that a number can have."""
_ENTRY = 12
_CENTIMETRES = 3
_UNKNOWN_DPI = 72.0
"""What Exif says where the resolution is not known."""


@dataclasses.dataclass(frozen=True)
class _Entry:
    """One entry of a directory."""

    at: int
    """Its first byte."""
    tag: int
    kind: int
    count: int
    value_at: int
    """First byte of its value: in the entry, or where that points to."""

    @property
    def size(self) -> int:
        """Bytes of the value."""
        return _SIZES.get(self.kind, 0) * self.count


def is_exif(data: bytes) -> bool:
    """Tell whether data begins as a TIFF structure does, which is what a file may hold."""
    return data[:4] in (b"II*\0", b"MM\0*")


def without_prefix(data: bytes) -> bytes:
    """Take JPEG's prefix off, as often as it stands there."""
    while data.startswith(PREFIX):
        data = data[len(PREFIX) :]
    return data


def _order(exif: bytes) -> str:
    return "<" if exif[:2] == b"II" else ">"


def _first_directory(exif: bytes) -> int:
    return int(struct.unpack_from(_order(exif) + "I", exif, 4)[0]) if len(exif) >= 8 else len(exif)


def _entries(exif: bytes, start: int) -> Iterator[_Entry]:
    """The entries of the directory at ``start``, as far as they are there."""
    order = _order(exif)
    if start < 0 or start + 2 > len(exif):
        return
    (count,) = struct.unpack_from(order + "H", exif, start)
    for at in range(start + 2, min(start + 2 + count * _ENTRY, len(exif) - _ENTRY + 1), _ENTRY):
        tag, kind, values, where = struct.unpack_from(order + "HHII", exif, at)
        inside = _SIZES.get(kind, 0) * values <= 4
        yield _Entry(at, tag, kind, values, at + 8 if inside else where)


def _end(exif: bytes, start: int) -> int:
    """Where the pointer to the next directory stands."""
    (count,) = struct.unpack_from(_order(exif) + "H", exif, start)
    return start + 2 + int(count) * _ENTRY


def _number(exif: bytes, entry: _Entry) -> float | None:
    """The first value of an entry; None if it is no number, or not there."""
    code = _CODES.get(entry.kind)
    if not entry.count or entry.value_at + _SIZES.get(entry.kind, 0) > len(exif):
        return None
    if entry.kind == 2:  # text: a digit
        text = exif[entry.value_at : entry.value_at + entry.count].partition(b"\0")[0].strip()
        return float(text) if len(text) == 1 and text.isdigit() else None
    if entry.kind in (_RATIONAL, 10):
        code = "II" if entry.kind == _RATIONAL else "ii"
        above, below = struct.unpack_from(_order(exif) + code, exif, entry.value_at)
        return above / below if below else None
    if code is None:
        return None
    return float(struct.unpack_from(_order(exif) + code, exif, entry.value_at)[0])


def orientation_of(exif: bytes) -> int | None:
    """Return the orientation 1..8, in whatever type the tag has; None if it says none.

    Args:
        exif: A TIFF structure. Where the tag stands twice the last one counts, as in Pillow.
    """
    found = None
    for entry in _entries(exif, _first_directory(exif)):
        if entry.tag == ORIENTATION:
            value = _number(exif, entry)
            if value is not None and value in range(1, 9):
                found = int(value)
    return found


def says_nothing(exif: bytes) -> bool:
    """Tell whether a TIFF structure says no more than that the picture is upright."""
    start = _first_directory(exif)
    entries = list(_entries(exif, start))
    upright = all(one.tag == ORIENTATION and _number(exif, one) == 1 for one in entries)
    end = _end(exif, start) if start + 2 <= len(exif) else len(exif)
    return bool(entries) and upright and not any(exif[end : end + 4])


def with_orientation_reset(exif: bytes) -> bytes:
    """Return the structure with orientation 1, and without its thumbnail if that was turned.

    The bytes keep their places: an entry that says 2..8 becomes one SHORT of value 1, and then
    the pointer to the second directory becomes 0.
    """
    patched = bytearray(exif)
    order, start = _order(exif), _first_directory(exif)
    found = False
    for entry in _entries(exif, start):
        if entry.tag == ORIENTATION and _number(exif, entry) in range(2, 9):
            struct.pack_into(order + "HHIHH", patched, entry.at, ORIENTATION, _SHORT, 1, 1, 0)
            found = True
    if found and _end(exif, start) + 4 <= len(exif):
        struct.pack_into(order + "I", patched, _end(exif, start), 0)
    return bytes(patched)


def without_gps(exif: bytes) -> bytes | None:
    """Return the structure without its GPS directory, whose bytes become 0; None if not possible.

    The other bytes keep their places, the entries behind the pointer to GPS apart, which move up.
    """
    patched = bytearray(exif)
    order, start = _order(exif), _first_directory(exif)
    entries = list(_entries(exif, start))
    for entry in reversed([one for one in entries if one.tag == _GPS]):
        value = _number(exif, entry)
        if value is None or entry.kind not in _POINTERS or entry.count != 1:
            return None
        if int(value) + 2 > len(exif):
            return None
        directory, end = int(value), _end(exif, int(value)) + 4
        if end > len(exif) + 4 or directory < 8 or start <= directory < _end(exif, start):
            return None
        for one in _entries(exif, directory):
            if one.value_at < 8 or one.value_at + one.size > len(exif):
                return None
            patched[one.value_at : one.value_at + one.size] = bytes(one.size)
        end = min(end, len(exif))
        patched[directory:end] = bytes(end - directory)
        last = min(_end(exif, start) + 4, len(patched))
        patched[entry.at : last] = patched[entry.at + _ENTRY : last] + bytes(_ENTRY)
        (count,) = struct.unpack_from(order + "H", patched, start)
        struct.pack_into(order + "H", patched, start, count - 1)
    return bytes(patched)


def dpi_of(exif: bytes) -> tuple[float, float] | None:
    """Return the resolution in dots per inch, (x, y); None if it says none, or 72, its default."""
    found = {entry.tag: _number(exif, entry) for entry in _entries(exif, _first_directory(exif))}
    scale = 2.54 if found.get(_RESOLUTION_UNIT) == _CENTIMETRES else 1.0
    x, y = found.get(_X_RESOLUTION), found.get(_Y_RESOLUTION)
    if not x or not y or found.get(_RESOLUTION_UNIT) == 1:
        return None
    dpi = (x * scale, y * scale)
    return None if dpi == (_UNKNOWN_DPI, _UNKNOWN_DPI) else dpi


def with_dpi(exif: bytes | None, dpi: tuple[float, float]) -> bytes | None:
    """Return Exif that says this resolution in dots per inch, unless it says one already.

    Nothing is said of 72, the default.

    Args:
        exif: A TIFF structure; its bytes keep their places, and a directory of the old entries
            and the new ones is put behind them. None makes a structure.
        dpi: (x, y).
    """
    if dpi == (_UNKNOWN_DPI, _UNKNOWN_DPI):
        return exif
    old = exif or b"MM\0*" + struct.pack(">IHI", 8, 0, 0)
    order, start = _order(old), _first_directory(old)
    entries = list(_entries(old, start))
    whole = start + 2 <= len(old) and _end(old, start) + 4 <= len(old)
    if not whole or any(entry.tag in (_X_RESOLUTION, _Y_RESOLUTION) for entry in entries):
        return exif
    old += bytes(len(old) % 2)
    values_at = len(old)
    values = b"".join(struct.pack(order + "II", round(value * 1000), 1000) for value in dpi)
    kept = {e.tag: old[e.at : e.at + _ENTRY] for e in entries if e.tag != _RESOLUTION_UNIT}
    for tag, at in ((_X_RESOLUTION, values_at), (_Y_RESOLUTION, values_at + 8)):
        kept[tag] = struct.pack(order + "HHII", tag, _RATIONAL, 1, at)
    kept[_RESOLUTION_UNIT] = struct.pack(order + "HHIHH", _RESOLUTION_UNIT, _SHORT, 1, 2, 0)
    table = struct.pack(order + "H", len(kept)) + b"".join(kept[tag] for tag in sorted(kept))
    following = old[_end(old, start) : _end(old, start) + 4]
    head = old[:4] + struct.pack(order + "I", values_at + len(values))
    return head + old[8:] + values + table + following
