"""Header and elements as bytes (SPEC sections 3 to 5).

These functions write and check single structures; ``rgru_format.reader`` finds them in a stream of
bytes and ``rgru_format.writer`` puts a file together.
"""

from __future__ import annotations

import binascii
import dataclasses

from rgru_format.boxes import Box, pack_content
from rgru_format.errors import Damaged, InvalidInput, NotRgru, UnsupportedVersion
from rgru_format.limits import MAX_SIDE, grid_size

SIGNATURE = b"\x89RGRU\r\n\x1a"
VERSION = 1
HEADER_SIZE = 21
MODEL_ID_SIZE = 4
CRC_SIZE = 2
MAX_HEAD_SIZE = 5
"""Bytes of the longest head: 35 bits of a varint."""
MAX_PAYLOAD = 2**30 - 1
"""Largest length that a head may claim: 32 bits, two of them for the kind."""

KIND_GROUP = 0
KIND_LAYER = 1
KIND_BOX = 2

_FLAG_GREY = 0x10
_FLAG_ALPHA = 0x20
_FLAGS_RESERVED = 0xC0
CRC_START = 0xFFFF


def crc16(data: bytes, start: int = CRC_START) -> int:
    """CRC-16 with polynomial 0x1021, most significant bit first, no final inversion (SPEC 2)."""
    return binascii.crc_hqx(data, start)


@dataclasses.dataclass(frozen=True)
class Header:
    """The first 21 bytes of a file (SPEC section 3)."""

    width: int
    """Pixels, 1 .. 2**24 - 1."""
    height: int
    """Pixels, 1 .. 2**24 - 1."""
    model_id: bytes
    """Four bytes that name the model."""
    grey: bool = False
    alpha: bool = False
    """A box with an alpha plane belongs to the file."""
    version: int = VERSION

    @property
    def grid(self) -> tuple[int, int]:
        """Rows and columns of the grid of positions."""
        return grid_size(self.height, self.width)

    def pack(self) -> bytes:
        """Return the 21 bytes.

        Raises:
            InvalidInput: a size or model id that does not fit its field.
        """
        for name, side in (("width", self.width), ("height", self.height)):
            if not 1 <= side <= MAX_SIDE:
                raise InvalidInput(f"{name} must be 1..{MAX_SIDE} pixels, got {side}")
        if len(self.model_id) != MODEL_ID_SIZE:
            raise InvalidInput(f"a model id has {MODEL_ID_SIZE} bytes, got {len(self.model_id)}")
        if self.version != VERSION:
            raise InvalidInput(f"this library writes format version {VERSION} only")
        flags = self.version | _FLAG_GREY * self.grey | _FLAG_ALPHA * self.alpha
        body = (
            SIGNATURE
            + self.width.to_bytes(3, "little")
            + self.height.to_bytes(3, "little")
            + bytes([flags])
            + self.model_id
        )
        return body + crc16(body).to_bytes(2, "little")

    @classmethod
    def unpack(cls, data: bytes) -> Header:
        """Read the header from the first 21 bytes of ``data``.

        Raises:
            NotRgru: the signature is missing.
            Damaged: the data is too short, its checksum fails, or a side is 0.
            UnsupportedVersion: another version, or a reserved flag is set.
        """
        check_signature(data)
        if len(data) < HEADER_SIZE:
            raise Damaged(f"the file ends inside the header, after {len(data)} bytes", offset=0)
        body, stored = data[: HEADER_SIZE - 2], data[HEADER_SIZE - 2 : HEADER_SIZE]
        if crc16(body) != int.from_bytes(stored, "little"):
            raise Damaged("the checksum of the header does not match", offset=0)
        version, flags = body[14] & 0x0F, body[14] & 0xF0
        if version != VERSION:
            raise UnsupportedVersion(
                f"the file has format version {version}, this library reads version {VERSION}"
            )
        if flags & _FLAGS_RESERVED:
            raise UnsupportedVersion("the file uses header flags unknown to format version 1")
        width = int.from_bytes(body[8:11], "little")
        height = int.from_bytes(body[11:14], "little")
        if width == 0 or height == 0:
            raise Damaged(f"the picture has a side of zero: {width} x {height}", offset=0)
        return cls(
            width=width,
            height=height,
            model_id=bytes(body[15:19]),
            grey=bool(flags & _FLAG_GREY),
            alpha=bool(flags & _FLAG_ALPHA),
            version=version,
        )


def check_signature(data: bytes) -> None:
    """Raise NotRgru unless ``data`` is a beginning of a .rgru file, however short."""
    start = bytes(data[: len(SIGNATURE)])
    if SIGNATURE.startswith(start):
        return
    if start[1:5] == SIGNATURE[1:5]:
        if start[0] == SIGNATURE[0] & 0x7F:
            raise NotRgru("a .rgru file that lost its eighth bits in a text-mode transfer")
        if start[0] == SIGNATURE[0]:
            raise NotRgru("a .rgru file whose line endings were changed in a text-mode transfer")
    raise NotRgru("not a .rgru file: the signature is missing")


def pack_head(kind: int, length: int) -> bytes:
    """Return the head of an element: kind and payload length as a varint (SPEC section 4)."""
    if length > MAX_PAYLOAD:
        raise InvalidInput(f"an element holds at most {MAX_PAYLOAD} bytes, got {length}")
    value = length << 2 | kind
    head = bytearray()
    while value >= 0x80:
        head.append(value & 0x7F | 0x80)
        value >>= 7
    head.append(value)
    return bytes(head)


def pack_element(kind: int, payload: bytes, crc_start: int) -> bytes:
    """Return head, checksum and payload of an element."""
    head = pack_head(kind, len(payload))
    return head + crc16(payload, crc16(head, crc_start)).to_bytes(2, "little") + payload


def pack_group(payload: bytes, ordinal: int, first_of_layer: bool) -> bytes:
    """Return the element of a group of codes (SPEC section 5).

    Args:
        payload: a range coder's stream.
        ordinal: number of groups before this one in the file.
        first_of_layer: the group opens a layer.
    """
    kind = KIND_LAYER if first_of_layer else KIND_GROUP
    return pack_element(kind, payload, ordinal & 0xFFFF)


def pack_box(box: Box) -> bytes:
    """Return the element of a box (SPEC section 6); metadata is deflated if that is smaller.

    Raises:
        InvalidInput: a content that no decoder accepts.
    """
    return pack_element(KIND_BOX, box.type + pack_content(box), CRC_START)
