"""Exif, XMP and ICC of a picture, as bytes that can be stored; orientation taken out.

Metadata is kept byte for byte: Exif is patched in place rather than written anew, so that maker
notes, whose parts lie at fixed offsets, stay readable. Metadata that cannot be read is kept too;
it is the reader's to judge.
"""

from __future__ import annotations

import dataclasses
import re
import struct
import warnings
from typing import TYPE_CHECKING

from rgru_format import BOX_EXIF, BOX_ICC, BOX_XMP, Box

if TYPE_CHECKING:
    from PIL import Image

_INFO_KEYS = {BOX_ICC: "icc_profile", BOX_EXIF: "exif", BOX_XMP: "xmp"}

EXIF_PREFIX = b"Exif\0\0"
"""What JPEG puts before the TIFF structure; files have the structure alone."""
ORIENTATION = 0x0112
_SHORT = 3

# Tags of a TIFF file that describe how its pixels are stored, not the picture.
_STORAGE = frozenset(
    {254, 255, 256, 257, 258, 259, 262, 263, 266, 273, 274, 277, 278, 279, 280, 281, 284, 292, 293}
    | {297, 301, 317, 318, 319, 320, 321, 322, 323, 324, 325, 330, 332, 333, 334, 336, 338, 339}
    | {340, 341, 347, *range(512, 522), *range(529, 533), 700, 33723, 34377, 34675, 37724}
)
_XMP_ORIENTATION = (
    rb"""\s*tiff:Orientation=(?:"[0-9]"|'[0-9]')""",
    rb"<tiff:Orientation>[0-9]</tiff:Orientation>",
)


@dataclasses.dataclass(frozen=True)
class Metadata:
    """What a picture says besides its pixels."""

    orientation: int = 1
    """1..8 as in Exif: what is to be done to the pixels."""
    icc_profile: bytes | None = None
    exif: bytes | None = None
    """A TIFF structure that says nothing of orientation or says 1."""
    xmp: bytes | None = None
    notes: tuple[str, ...] = ()
    """What could not be kept, in words."""


def read_metadata(image: Image.Image) -> Metadata:
    """The metadata of a picture whose pixels have been loaded; never fails."""
    exif, orientation = _exif(image)
    notes: tuple[str, ...] = ()
    if exif is not None and not is_exif(exif):
        exif, notes = None, ("damaged Exif data was left out",)
    if orientation != 1 and exif is not None:
        exif = without_orientation(exif)
    xmp = _as_bytes(image.info.get("xmp") or image.info.get("XML:com.adobe.xmp"))
    if xmp is not None and orientation != 1:
        for pattern in _XMP_ORIENTATION:
            xmp = re.sub(pattern, b"", xmp)
    return Metadata(orientation, _as_bytes(image.info.get("icc_profile")), exif, xmp, notes)


def is_exif(data: bytes) -> bool:
    """Whether data begins as a TIFF structure does, which is what a file may hold."""
    return data[:4] in (b"II*\0", b"MM\0*")


def _as_bytes(value: object) -> bytes | None:
    if isinstance(value, str):
        value = value.encode("utf-8", "surrogateescape")
    return bytes(value) if isinstance(value, bytes | bytearray) and value else None


def _exif(image: Image.Image) -> tuple[bytes | None, int]:
    """The TIFF structure, and the orientation that holds (Exif's, or else that of XMP)."""
    raw = _as_bytes(image.info.get("exif"))
    try:
        with warnings.catch_warnings():
            warnings.simplefilter("ignore")
            parsed = image.getexif()
            orientation = parsed.get(ORIENTATION, 1)
            if raw is None and len(parsed):
                raw = _rewritten(parsed)
    except MemoryError:
        raise
    except Exception:  # Pillow's parser raises what it likes on a damaged structure
        orientation = 1
    if not isinstance(orientation, int) or not 1 <= orientation <= 8:
        orientation = 1
    return (raw.removeprefix(EXIF_PREFIX) or None if raw else None), orientation


def _rewritten(parsed: Image.Exif) -> bytes | None:
    """Exif that Pillow put together, from a TIFF file or an old PNG: tags of the picture only."""
    from PIL import Image

    kept = Image.Exif()
    for tag, value in parsed.items():
        if tag not in _STORAGE or tag == ORIENTATION:
            kept[tag] = value
    for pointer in (0x8769, 0x8825):  # the Exif and GPS directories are read by asking for them
        if pointer in parsed and (part := dict(parsed.get_ifd(pointer))):
            kept.get_ifd(pointer).update(part)
    return kept.tobytes() if len(kept) else None


def without_orientation(exif: bytes) -> bytes:
    """The same TIFF structure with orientation 1, and without its thumbnail if that was turned.

    The bytes keep their places; only the value of the tag and the pointer to the second directory
    change. A structure that cannot be followed is returned as it is.
    """
    patched = bytearray(exif)
    order = "<" if exif[:2] == b"II" else ">"
    found = False
    try:
        (start,) = struct.unpack_from(order + "I", exif, 4)
        (entries,) = struct.unpack_from(order + "H", exif, start)
        for index in range(entries):
            at = start + 2 + 12 * index
            tag, kind, count, value = struct.unpack_from(order + "HHIH", exif, at)
            if (tag, kind, count) == (ORIENTATION, _SHORT, 1) and value != 1:
                struct.pack_into(order + "H", patched, at + 8, 1)
                found = True
        if found:
            struct.pack_into(order + "I", patched, start + 2 + 12 * entries, 0)
    except struct.error:
        return exif
    return bytes(patched)


def metadata_of(box: Box) -> dict[str, bytes]:
    """What a box becomes in ``Image.info``; nothing if it is none of ICC, Exif, XMP."""
    key, content = _INFO_KEYS.get(box.type), box.content
    if key == "exif":
        content = EXIF_PREFIX + content.removeprefix(EXIF_PREFIX)  # as Pillow's writers want it
    return {} if key is None else {key: content}
