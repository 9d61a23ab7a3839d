"""What Pillow does not tell of a file of another format: depth, colour, parts that it passes over.

Looked up in the file's own structure before Pillow reads the pixels. Nothing here fails: what
cannot be found is not told.
"""

from __future__ import annotations

import contextlib
import dataclasses
import io
import re
import struct
import zlib
from collections.abc import Iterator
from pathlib import Path
from typing import BinaryIO

from PIL import Image

from rgru_codec import colour, xmp
from rgru_codec.colour import ColourSpace
from rgru_codec.exif import ORIENTATION

PNG_SIGNATURE = b"\x89PNG\r\n\x1a\n"
_TEXT_CHUNKS = frozenset({b"iTXt", b"zTXt", b"tEXt", b"iCCP"})
_LARGEST_TEXT = 2**20 - 1
"""Bytes of a text or profile that Pillow takes; a larger one makes it refuse the picture."""
_LARGEST_TEXTS = 2**26
_HEAD = 1 << 16
_CHANNELS, _IPTC = 277, 33723
_IPTC_OF_PHOTOSHOP = 0x0404
_IPTC_LEFT_OUT = "IPTC was left out"
_GAIN_MAPS = (
    b'hdrgm:Version="',
    b"http://ns.apple.com/HDRGainMap/",
    b"urn:com:apple:photo:2020:aux:hdrgainmap",
    b"urn:iso:std:iso:ts:21496:-1",
)
_KNOWN_TEXT = frozenset({b"XML:com.adobe.xmp", b"Raw profile type exif"})


@dataclasses.dataclass(frozen=True)
class Facts:
    """What a file says besides what Pillow tells."""

    bits: int = 8
    """Of the deepest channel."""
    grey_bits: int = 8
    """Of a grey PNG, which scale its transparent value."""
    grey: bool = False
    """Whether the file holds grey that Pillow opens as colour."""
    colour: ColourSpace | None = None
    """What the numbers mean, where the file says so otherwise than by an ICC profile."""
    overrides_icc: bool = False
    """Whether that stands above a profile."""
    orientation: int | None = None
    """What is to be done to the pixels, where Exif does not tell: it stands above Exif."""
    xmp: bytes | None = None
    """XMP that stands in several pieces, joined."""
    notes: tuple[str, ...] = ()
    """What is not kept, in words."""


def facts_of(image: Image.Image) -> Facts:
    """Look into the file that a picture is about to be read from.

    Args:
        image: Just opened; of one that has been read, or was made in memory, less is known.
    """
    bits = image.info.get("bit_depth")  # pillow-heif says it
    told = Facts(bits=bits if isinstance(bits, int) else 8, colour=_colour_told(image))
    try:
        with _file_of(image) as file:
            if file is None:
                return told
            position = file.tell()
            try:
                found = _facts(file, image)
            finally:
                file.seek(position)
    except (OSError, ValueError, IndexError, struct.error):
        return told
    return dataclasses.replace(found, bits=max(told.bits, found.bits))


@contextlib.contextmanager
def _file_of(image: Image.Image) -> Iterator[BinaryIO | None]:
    """The file of a picture, opened again by its name if Pillow has closed it."""
    file = getattr(image, "fp", None)
    name = getattr(image, "filename", "")
    if file is not None and not file.closed:
        yield file
    elif name and Path(name).is_file():
        with Path(name).open("rb") as again:
            yield again
    else:
        yield None


def _facts(file: BinaryIO, image: Image.Image) -> Facts:
    format_ = (image.format or "").upper()
    if format_ == "PNG":
        return _png(file, image)
    if format_ in ("JPEG", "MPO"):
        return _jpeg(image)
    if format_ == "TIFF":
        return Facts(orientation=_orientation_of_tiff(image), notes=_left_out_of_tiff(image))
    if format_ == "GIF":
        return Facts(notes=_comment(image))
    if format_ in ("AVIF", "HEIF"):
        return _isobmff(_read(file, image))
    if format_ == "JPEG2000":
        return Facts(_bits_of_jpeg2000(_read(file, image)))
    if format_ == "JXL":
        # The codestream says how to turn, and the reader has done so; Exif counts for nothing,
        # but in a JPEG that was packed without loss (ISO/IEC 18181-2, of the Exif box).
        upright = None if getattr(image, "jpeg", False) else 1
        return Facts(_bits_of_jxl(_read(file, image)), orientation=upright)
    return Facts()


def _left_out_of_tiff(image: Image.Image) -> tuple[str, ...]:
    tags = getattr(image, "tag_v2", {})
    notes = [_IPTC_LEFT_OUT] if _IPTC in tags else []
    count, kept = tags.get(_CHANNELS, 1), len(image.getbands())
    if count > kept:
        notes.append(f"of {count} channels all but the first {kept} were left out")
    return tuple(notes)


def _read(file: BinaryIO, image: Image.Image) -> bytes:
    """The beginning of a file; some readers have put the pixels in its place and kept it apart."""
    kept = getattr(image, "fc", None)  # pillow-jxl-plugin
    if isinstance(kept, bytes):
        return kept[:_HEAD]
    file.seek(0)
    return file.read(_HEAD)


def _colour_told(image: Image.Image) -> ColourSpace | None:
    """What Pillow tells of the chunks gAMA and cHRM of a PNG that it has read."""
    gamma, places = image.info.get("gamma"), image.info.get("chromaticity")
    if "srgb" in image.info or (gamma is None and places is None):
        return None
    try:
        return colour.of_gamma(gamma, places)
    except (TypeError, ValueError):  # whoever made the picture put something else there
        return None


def _chunks(file: BinaryIO) -> Iterator[tuple[bytes, int, int]]:
    """Name, place of the content and size of a PNG's chunks, as far as they are some."""
    file.seek(0)
    if file.read(8) != PNG_SIGNATURE:
        return
    at = 8
    while len(head := file.read(8)) == 8:
        size, name = struct.unpack(">I4s", head)
        if not name.isalpha():  # 2 GB of zeros would be as many chunks as they have room for
            return
        yield name, at + 8, size
        at += size + 12
        file.seek(at)


def _png(file: BinaryIO, image: Image.Image) -> Facts:
    """Chunks of PNG, third edition, 11.3."""
    content: dict[bytes, bytes] = {}
    texts = []
    for name, at, size in _chunks(file):
        if name in (b"IHDR", b"cICP") and size <= 32:
            file.seek(at)
            content.setdefault(name, file.read(size))
        elif name in (b"tEXt", b"zTXt", b"iTXt"):
            file.seek(at)
            texts.append(file.read(min(size, 80)).partition(b"\0")[0])
    notes = []
    said = None
    if len(points := content.get(b"cICP", b"")) == 4:
        if points[2] == 0 and (found := colour.of_code_points(points[0], points[1])):
            said = found
            if points[3] != 1:
                notes.append("narrow-range values (cICP) were taken as full range")
        else:
            notes.append("code points of colour (cICP) that are not known were left out")
    if words := _keywords(texts):
        notes.append(f"text was left out: {words}")
    head = content.get(b"IHDR", b"").ljust(13, b"\0")
    return Facts(
        bits=16 if head[8] == 16 else 8,
        grey_bits=head[8] if head[9] == 0 and head[8] in (1, 2, 4) else 8,
        grey=head[9] == 4 and image.mode == "RGBA",  # with alpha, of 16 bits
        colour=said or _colour_told(image),
        overrides_icc=said is not None,
        notes=tuple(notes),
    )


def _keywords(texts: list[bytes]) -> str:
    """Keywords of a PNG's texts that are no metadata of another kind."""
    names = [name.decode("latin-1") for name in texts if name not in _KNOWN_TEXT]
    printable = [re.sub(r"[^ -~\xa1-\xff]", "?", name) for name in dict.fromkeys(names)]
    return ", ".join(printable[:8] + ["..."] * (len(printable) > 8))


def readable_png(data: bytes) -> bytes:
    """Return a picture without texts and profiles so large that Pillow would refuse it.

    An empty text stands in their place, whose keyword tells. Data that is no PNG stays as it is.
    """
    parts, last, total = [], 0, 0
    for name, at, size in _chunks(io.BytesIO(data)):
        if name not in _TEXT_CHUNKS:
            continue
        held = _inflated_size(name, data[at : at + size])
        is_text = name != b"iCCP"
        if held <= _LARGEST_TEXT and total + held * is_text <= _LARGEST_TEXTS:
            total += held * is_text
            continue
        keyword = data[at : at + min(size, 60)].partition(b"\0")[0] if is_text else b"ICC profile"
        stand_in = b"tEXt" + keyword + b" (over 1 MiB)\0"
        parts += [data[last : at - 8], (len(stand_in) - 4).to_bytes(4, "big"), stand_in]
        parts.append(zlib.crc32(stand_in).to_bytes(4, "big"))
        last = at + size + 4
    return b"".join([*parts, data[last:]]) if parts else data


def _inflated_size(name: bytes, content: bytes) -> int:
    """Bytes of a chunk's text; inflated no further than the bound."""
    _, _, rest = content.partition(b"\0")
    packed = rest[1:]
    if name == b"tEXt":
        return len(rest)
    if name == b"iTXt":
        if rest[:1] != b"\1":
            return len(rest)
        packed = rest[2:].split(b"\0", 2)[-1]
    try:
        return len(zlib.decompressobj().decompress(packed, _LARGEST_TEXT + 1))
    except zlib.error:
        return 0


def _jpeg(image: Image.Image) -> Facts:
    """Application segments of JPEG (ITU-T T.81, B.2.4.6), as Pillow has kept them."""
    main, pieces, marks = None, dict[bytes, dict[int, bytes]](), b""
    segments = getattr(image, "applist", ())
    for content in (content for name, content in segments if name in ("APP1", "APP2")):
        if content.startswith(xmp.NAME):
            main = main or content[len(xmp.NAME) :]
        elif content.startswith(xmp.EXTENSION) and len(content) >= len(xmp.EXTENSION) + 40:
            rest = content[len(xmp.EXTENSION) :]
            offset = int.from_bytes(rest[36:40], "big")
            pieces.setdefault(rest[:32], {})[offset] = rest[40:]
        elif content.startswith(b"urn:iso:"):
            marks += content[:64]
    notes = [*_comment(image)]
    if _IPTC_OF_PHOTOSHOP in image.info.get("photoshop", ()):
        notes.append(_IPTC_LEFT_OUT)
    joined = None
    if pieces:
        joined = xmp.joined(main or b"", pieces)
        if joined is None:
            notes.append("Extended XMP that does not belong together was left out")
    said = joined or main or b""
    if any(mark in said + marks for mark in _GAIN_MAPS):
        notes.append("the gain map (HDR) was left out")
    elif (frames := getattr(image, "n_frames", 1)) > 1:
        notes.append(f"further pictures of the file were left out: {frames - 1}")
    return Facts(xmp=joined, notes=tuple(notes))


def _comment(image: Image.Image) -> tuple[str, ...]:
    return ("a comment was left out",) if image.info.get("comment") else ()


def _isobmff(head: bytes) -> Facts:
    """Properties of items in AVIF and HEIF (ISO/IEC 23008-12, 6.5; AV1-ISOBMFF 2.3.3)."""
    flags = [found[1][0] for found in re.finditer(rb"av1C..(.)", head, re.DOTALL)]
    bits = [12 if flag & 0x20 else 10 for flag in flags if flag & 0x40]
    for found in re.finditer(rb"hvcC.{17}(.)(.)", head, re.DOTALL):
        bits += [(depth[0] & 7) + 8 for depth in found.groups()]
    for found in re.finditer(rb"pixi\0\0\0\0([\1-\4])", head):
        bits += head[found.end() : found.end() + found[1][0]]
    said = None
    if points := re.search(rb"colrnclx(..)(..)", head, re.DOTALL):
        primaries, transfer = (int.from_bytes(value, "big") for value in points.groups())
        said = colour.of_code_points(primaries, transfer)
    mapped = any(mark in head for mark in _GAIN_MAPS) or re.search(
        rb"infe.{8}tmap", head, re.DOTALL
    )
    notes = ("the gain map (HDR) was left out",) if mapped else ()
    return Facts(bits=max(bits, default=8), colour=said, notes=notes)


def _bits_of_jpeg2000(head: bytes) -> int:
    """Bits a channel by the marker SIZ (ISO/IEC 15444-1, A.5.1); 8 if there is none."""
    found = re.search(rb"\xff\x4f\xff\x51.{36}(..)", head, re.DOTALL)
    if found is None:
        return 8
    depths = head[found.end() : found.end() + 3 * int.from_bytes(found[1], "big") : 3]
    return max(((depth & 0x7F) + 1 for depth in depths), default=8)


def _orientation_of_tiff(image: Image.Image) -> int | None:
    value = getattr(image, "tag_v2", {}).get(ORIENTATION)
    if isinstance(value, bytes | str | tuple) and value:
        first = int(value[0])
        return first if 1 <= first <= 8 else None
    return None  # Pillow turns the pixels itself, and takes the tag out


_Forms = tuple[tuple[int, int], ...]


class _Bits:
    """Takes fields out of a JPEG XL codestream, least significant bit first."""

    def __init__(self, data: bytes) -> None:
        self._value, self._left = int.from_bytes(data[:64], "little"), 8 * min(len(data), 64)

    def take(self, count: int) -> int:
        if count > self._left:
            raise ValueError("the data ends")
        taken = self._value & ((1 << count) - 1)
        self._value >>= count
        self._left -= count
        return taken

    def choose(self, *forms: tuple[int, int]) -> int:
        """A field of one form or of four, each an offset and a number of bits."""
        offset, count = forms[self.take(2)] if len(forms) > 1 else forms[0]
        return offset + self.take(count)


def _bits_of_jxl(head: bytes) -> int:
    """Bits a channel by the image header (ISO/IEC 18181-1, D.2 and D.3); 8 if it cannot be read."""
    start = 0
    if not head.startswith(b"\xff\x0a"):
        found = re.search(rb"jxlc|jxlp....", head, re.DOTALL)
        start = found.end() if found else len(head)
    bits = _Bits(head[start + 2 : start + 66])
    try:
        _skip_sides(bits, *_SIZE)
        if bits.take(1):  # everything as usual
            return 8
        if bits.take(1):  # extra fields
            bits.take(3)
            if bits.take(1):
                _skip_sides(bits, *_SIZE)
            if bits.take(1):
                _skip_sides(bits, *_PREVIEW)
            if bits.take(1):
                _skip_animation(bits)
        if bits.take(1):  # floating point
            return bits.choose((32, 0), (16, 0), (24, 0), (1, 6))
        return bits.choose((8, 0), (10, 0), (12, 0), (1, 6))
    except ValueError:
        return 8


_SIZE = ((1, 9), (1, 13), (1, 18), (1, 30)), ((0, 5),)
_PREVIEW = ((1, 6), (65, 8), (321, 10), (1345, 12)), ((16, 0), (32, 0), (1, 5), (33, 9))
"""Forms of a side, in pixels and in eighths of them."""


def _skip_sides(bits: _Bits, pixels: _Forms, eighths: _Forms) -> None:
    """Take two sides, or one and a ratio."""
    forms = eighths if bits.take(1) else pixels
    bits.choose(*forms)
    if bits.take(3) == 0:
        bits.choose(*forms)


def _skip_animation(bits: _Bits) -> None:
    bits.choose((100, 0), (1000, 0), (1, 10), (1, 30))
    bits.choose((1, 0), (1001, 0), (1, 8), (1, 10))
    bits.choose((0, 0), (0, 3), (0, 16), (0, 32))
    bits.take(1)
