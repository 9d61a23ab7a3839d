"""Boxes: data about the picture beside its codes (SPEC section 6)."""

from __future__ import annotations

import dataclasses
import zlib

from rgru_format.errors import Damaged, InvalidInput, LimitExceeded

BOX_COLOUR = b"cicp"
BOX_ICC = b"iccp"
BOX_EXIF = b"exif"
BOX_XMP = b"xmp "
BOX_ALPHA = b"ALPH"

COLOUR_BOXES = frozenset({BOX_COLOUR, BOX_ICC})
"""Boxes that say what colours mean: before layer 1, and one of them at most."""
METADATA_BOXES = frozenset({BOX_ICC, BOX_EXIF, BOX_XMP})
"""Boxes whose content may be deflated."""
SINGLE_BOXES = COLOUR_BOXES | METADATA_BOXES | {BOX_ALPHA}
"""Boxes that occur once at most."""
LATE_BOXES = (BOX_ALPHA, BOX_EXIF, BOX_XMP)
"""Boxes that an encoder puts behind layer 1, so that a first picture comes early; in this order."""

_AS_IT_IS, _DEFLATED = b"\0", b"\1"
_RGB, _FULL_RANGE = 0, 1


@dataclasses.dataclass(frozen=True)
class Box:
    """A piece of metadata.

    Raises:
        InvalidInput: A type that SPEC does not allow.
    """

    type: bytes
    """Four bytes of printable ASCII, the first a letter."""
    content: bytes = dataclasses.field(repr=False)
    """What the box says: of metadata the bytes themselves, never deflated."""

    def __post_init__(self) -> None:
        """Check the type."""
        if not valid_type(self.type):
            raise InvalidInput(
                "a box type is four bytes of printable ASCII of which the first is a letter, "
                f"got {self.type!r}"
            )

    @property
    def critical(self) -> bool:
        """Whether a decoder that does not know the type must not show the picture."""
        return is_critical(self.type)


@dataclasses.dataclass(frozen=True)
class Colour:
    """What red, green and blue mean, in code points of ITU-T H.273 (SPEC section 6.3).

    A file without a colour box has the colour ``SRGB``.
    """

    primaries: int
    """ColourPrimaries, 0 .. 255: 1 those of BT.709 and sRGB, 9 of BT.2020, 12 of Display P3."""
    transfer: int
    """TransferCharacteristics, 0 .. 255: 8 linear, 13 sRGB, 16 PQ, 18 HLG."""

    def pack(self) -> bytes:
        """Return the content of a ``cicp`` box, four bytes.

        Raises:
            InvalidInput: A code point does not fit a byte.
        """
        if not (0 <= self.primaries <= 255 and 0 <= self.transfer <= 255):
            raise InvalidInput(f"code points are 0..255, got {self.primaries}, {self.transfer}")
        return bytes([self.primaries, self.transfer, _RGB, _FULL_RANGE])

    @classmethod
    def unpack(cls, content: bytes) -> Colour:
        """Read the content of a ``cicp`` box.

        Raises:
            Damaged: Another length, or a matrix or range that is not that of the picture.
        """
        if len(content) != 4 or content[2:] != bytes([_RGB, _FULL_RANGE]):
            raise Damaged(f"the box cicp holds {content[:8].hex()}: not two code points, 00 01")
        return cls(content[0], content[1])


SRGB = Colour(1, 13)
"""The colour of a file that has no colour box."""


def valid_type(name: bytes) -> bool:
    """Tell whether ``name`` is four bytes of printable ASCII, the first a letter."""
    letter = name[:1].isalpha()
    return len(name) == 4 and letter and all(0x20 <= byte <= 0x7E for byte in name)


def is_critical(name: bytes) -> bool:
    """Tell whether the type of a box begins with a capital letter."""
    return name[:1].isupper()


def is_foreign(name: bytes) -> bool:
    """Tell whether a type is critical, and not the one that this edition knows."""
    return is_critical(name) and name != BOX_ALPHA


def pack_content(box: Box) -> bytes:
    """Return the content of a box as it stands in a file, metadata deflated if that is smaller.

    Raises:
        InvalidInput: A ``cicp`` box that no decoder accepts.
    """
    if box.type == BOX_COLOUR:
        try:
            Colour.unpack(box.content)
        except Damaged as error:
            raise InvalidInput(error.message) from None
    if box.type not in METADATA_BOXES:
        return box.content
    deflated = zlib.compress(box.content, 9)
    if len(deflated) < len(box.content):
        return _DEFLATED + deflated
    return _AS_IT_IS + box.content


def unpack_content(name: bytes, stored: bytes, room: int, most: int) -> bytes:
    """Return what a box says, from its content as it stands in a file.

    Args:
        name: The type.
        stored: The content.
        room: Bytes that the content may have at most.
        most: The limit of which ``room`` is left, for the error.

    Raises:
        Damaged: A content that SPEC does not allow.
        LimitExceeded: More than ``room``; found before more than that is inflated.
    """
    if name == BOX_COLOUR:
        Colour.unpack(stored)
    if name not in METADATA_BOXES:
        return stored
    form, content = stored[:1], stored[1:]
    if form == _DEFLATED:
        return _inflated(name, content, room, most)
    if form != _AS_IT_IS:
        raise Damaged(f"the box {name.decode()} has the unknown form {form.hex() or 'of no bytes'}")
    return content


def _inflated(name: bytes, content: bytes, room: int, most: int) -> bytes:
    stream = zlib.decompressobj()
    try:
        data = stream.decompress(content, room + 1)
    except zlib.error as error:
        raise Damaged(f"the box {name.decode()} cannot be inflated: {error}") from None
    if len(data) > room:
        raise LimitExceeded("max_metadata_bytes", most + 1, most)
    if not stream.eof:
        raise Damaged(f"the content of the box {name.decode()} ends too early")
    if stream.unused_data:
        raise Damaged(f"bytes follow the content of the box {name.decode()}")
    return data
