"""Exif as bytes: a TIFF structure, read and patched in place by one parser.

Patched rather than written anew, so that maker notes, whose parts lie at fixed offsets, stay
readable (Exif 2.32, 4.6; TIFF 6.0, section 2). A structure that cannot be followed is left as it
is: what this parser cannot find is neither applied nor reset.
"""

from __future__ import annotations

import dataclasses
import struct
from typing import Any

PREFIX = b"Exif\0\0"
"""What JPEG puts before the TIFF structure; .rgru files have the structure alone."""

ORIENTATION, GPS, EXIF = 0x0112, 0x8825, 0x8769
"""Tags: the last two point to directories."""
_X_RESOLUTION, _Y_RESOLUTION, _RESOLUTION_UNIT = 0x011A, 0x011B, 0x0128
_TEXT, _SHORT, _RATIONAL = 2, 3, 5
_POINTERS = (4, 13)
_CODES = dict(enumerate(("B", "c", "H", "I", "II", "b", "B", "h", "i", "ii", "f", "d", "I"), 1))
"""How `struct` calls a value, by type."""
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
    size: int
    """Bytes of the value."""
    number: float | None
    """The first value; None if it is no number, or not there."""


class _Directory:
    """A directory of a TIFF structure, the first by default, as far as it is there."""

    def __init__(self, exif: bytes, start: int | None = None) -> None:
        self._exif, self.order = exif, "<" if exif[:2] == b"II" else ">"
        if start is None:
            (start,) = self._unpacked("I", 4) if len(exif) >= 8 else (len(exif),)
        self.start = start
        count = self._unpacked("H", start)[0] if start + 2 <= len(exif) else 0
        self.end = start + 2 + count * _ENTRY
        """Where the pointer to the next directory stands."""
        last = min(self.end, len(exif) - _ENTRY + 1)
        self.entries = [self._entry(at) for at in range(start + 2, last, _ENTRY)]

    def _unpacked(self, code: str, at: int) -> tuple[Any, ...]:
        return struct.unpack_from(self.order + code, self._exif, at)

    def _entry(self, at: int) -> _Entry:
        tag, kind, count, where = self._unpacked("HHII", at)
        size = struct.calcsize("=" + _CODES.get(kind, ""))
        value_at = at + 8 if size * count <= 4 else where
        there = count and value_at + size <= len(self._exif)
        number = self._number(kind, count, value_at) if there else None
        return _Entry(at, tag, kind, count, value_at, size * count, number)

    def _number(self, kind: int, count: int, at: int) -> float | None:
        if kind == _TEXT:  # a digit
            text = self._exif[at : at + count].partition(b"\0")[0].strip()
            return float(text) if len(text) == 1 and text.isdigit() else None
        if kind not in _CODES:
            return None
        above, below, *_ = (*self._unpacked(_CODES[kind], at), 1)
        return above / below if below else None


def is_exif(data: bytes) -> bool:
    """Tell whether data begins as a TIFF structure does, which is what a file may hold."""
    return data[:4] in (b"II*\0", b"MM\0*")


def without_prefix(data: bytes) -> bytes:
    """Take JPEG's prefix off, as often as it stands there."""
    while data.startswith(PREFIX):
        data = data[len(PREFIX) :]
    return data


def orientation_of(exif: bytes) -> int | None:
    """Return the orientation 1..8, in whatever type the tag has; None if it says none.

    Args:
        exif: A TIFF structure. Where the tag stands twice the last one counts, as in Pillow.
    """
    said = [one.number or 0 for one in _Directory(exif).entries if one.tag == ORIENTATION]
    return next((int(number) for number in reversed(said) if number in range(1, 9)), None)


def says_nothing(exif: bytes) -> bool:
    """Tell whether a TIFF structure says no more than that the picture is upright."""
    directory = _Directory(exif)
    upright = all(one.tag == ORIENTATION and one.number == 1 for one in directory.entries)
    no_more = not any(exif[directory.end : directory.end + 4])
    return bool(directory.entries) and upright and no_more


def with_orientation_reset(exif: bytes) -> bytes:
    """Return the structure with orientation 1, and without its thumbnail if that was turned.

    The bytes keep their places: an entry that says 2..8 becomes one SHORT of value 1, and then
    the pointer to the second directory becomes 0.
    """
    patched, directory = bytearray(exif), _Directory(exif)
    turned = [e for e in directory.entries if e.tag == ORIENTATION and e.number in range(2, 9)]
    for entry in turned:
        struct.pack_into(directory.order + "HHIHH", patched, entry.at, ORIENTATION, _SHORT, 1, 1, 0)
    if turned and directory.end + 4 <= len(exif):
        patched[directory.end : directory.end + 4] = bytes(4)
    return bytes(patched)


def with_resolution_turned(exif: bytes) -> bytes:
    """Return the structure with horizontal and vertical resolution exchanged, if it says both."""
    at = {one.tag: slice(one.at + 2, one.at + _ENTRY) for one in _Directory(exif).entries}
    if not {_X_RESOLUTION, _Y_RESOLUTION} <= at.keys():
        return exif
    patched, x, y = bytearray(exif), at[_X_RESOLUTION], at[_Y_RESOLUTION]
    patched[x], patched[y] = exif[y], exif[x]
    return bytes(patched)


def without_gps(exif: bytes) -> bytes | None:
    """Return the structure without its GPS directory, whose bytes become 0; None if not possible.

    The other bytes keep their places, the entries behind the pointer to GPS apart, which move up.
    """
    patched, first = bytearray(exif), _Directory(exif)
    for entry in reversed([one for one in first.entries if one.tag == GPS]):
        if entry.number is None or entry.kind not in _POINTERS or entry.count != 1:
            return None
        gps = _Directory(exif, int(entry.number))
        if not 8 <= gps.start <= len(exif) - 2 or first.start <= gps.start < first.end:
            return None
        if gps.end > len(exif):
            return None
        for one in gps.entries:
            if one.value_at < 8 or one.value_at + one.size > len(exif):
                return None
            patched[one.value_at : one.value_at + one.size] = bytes(one.size)
        end = min(gps.end + 4, len(exif))
        patched[gps.start : end] = bytes(end - gps.start)
        last = min(first.end + 4, len(patched))
        patched[entry.at : last] = patched[entry.at + _ENTRY : last] + bytes(_ENTRY)
        (count,) = struct.unpack_from(first.order + "H", patched, first.start)
        struct.pack_into(first.order + "H", patched, first.start, count - 1)
    return bytes(patched)


def dpi_of(exif: bytes) -> tuple[float, float] | None:
    """Return what `resolution_of` does, but None for 72, the default, which says nothing."""
    found = resolution_of(exif)
    return None if found == (_UNKNOWN_DPI, _UNKNOWN_DPI) else found


def resolution_of(exif: bytes) -> tuple[float, float] | None:
    """Return the resolution in dots per inch, (x, y); None if it says none."""
    found = {entry.tag: entry.number for entry in _Directory(exif).entries}
    scale = 2.54 if found.get(_RESOLUTION_UNIT) == _CENTIMETRES else 1.0
    x, y = found.get(_X_RESOLUTION), found.get(_Y_RESOLUTION)
    if not x or not y or found.get(_RESOLUTION_UNIT) == 1:
        return None
    return x * scale, y * scale


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
    directory = _Directory(old)
    order, end = directory.order, directory.end
    kept = {e.tag: old[e.at : e.at + _ENTRY] for e in directory.entries}
    if end + 4 > len(old) or {_X_RESOLUTION, _Y_RESOLUTION} & kept.keys():
        return exif
    following = old[end : end + 4]
    old += bytes(len(old) % 2)
    values_at = len(old)
    values = b"".join(struct.pack(order + "II", round(value * 1000), 1000) for value in dpi)
    for tag, at in ((_X_RESOLUTION, values_at), (_Y_RESOLUTION, values_at + 8)):
        kept[tag] = struct.pack(order + "HHII", tag, _RATIONAL, 1, at)
    kept[_RESOLUTION_UNIT] = struct.pack(order + "HHIHH", _RESOLUTION_UNIT, _SHORT, 1, 2, 0)
    table = struct.pack(order + "H", len(kept)) + b"".join(kept[tag] for tag in sorted(kept))
    head = old[:4] + struct.pack(order + "I", values_at + len(values))
    return head + old[8:] + values + table + following
