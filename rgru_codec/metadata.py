"""Exif, XMP and ICC of a picture, as bytes that can be stored; orientation taken out.

Metadata is kept byte for byte, apart from what would be wrong of the pixels as they are stored:
orientation is reset, and a profile that says what the file says without it is left out. Metadata
that cannot be read is kept too; it is the reader's to judge.
"""

from __future__ import annotations

import dataclasses
import math
import re
import warnings
from collections.abc import Collection
from typing import TYPE_CHECKING, Any

from rgru_codec import colour
from rgru_codec import exif as tiff
from rgru_codec.colour import ColourSpace
from rgru_codec.foreign import Facts
from rgru_format import BOX_COLOUR, BOX_EXIF, BOX_ICC, BOX_XMP, Box, Colour, InvalidInput

if TYPE_CHECKING:
    from PIL import Image

METADATA = frozenset({"icc", "exif", "xmp"})
STRIPPED = METADATA | {"gps", "hidden"}
"""What can be left out: `gps` is a part of Exif and XMP, `hidden` the colour of pixels that are
fully transparent."""

_INFO_KEYS = {BOX_ICC: "icc_profile", BOX_EXIF: "exif", BOX_XMP: "xmp"}

# Tags of a TIFF file that describe how its pixels are stored, not the picture.
_STORAGE = frozenset(
    {254, 255, 256, 257, 258, 259, 262, 263, 266, 273, 277, 278, 279, 280, 281, 284, 292, 293}
    | {297, 301, 317, 318, 319, 320, 321, 322, 323, 324, 325, 330, 332, 333, 334, 336, 338, 339}
    | {340, 341, 347, *range(512, 522), *range(529, 533), 700, 33723, 34377, 34675, 37724}
)
_XMP_SAYS = re.compile(rb"""tiff:Orientation\s*(?:=\s*["']|>\s*)([1-8])\s*["'<]""")
# No pattern begins with "any number of spaces": XMP is padded, and that takes the square of them.
_XMP_ORIENTATION = (
    rb"""\s?tiff:Orientation\s*=\s*(?:"[2-8]"|'[2-8]')""",
    rb"<tiff:Orientation>\s*[2-8]\s*</tiff:Orientation\s*>",
)
_XMP_GPS = (
    rb"""\s?\b[\w.-]{1,40}:G[Pp][Ss]\w+\s*=\s*(?:"[^"]*"|'[^']*')""",
    rb"<[\w.-]{1,40}:G[Pp][Ss]\w+\b[^<>]*/>",
    rb"<([\w.-]{1,40}:G[Pp][Ss]\w+)\b[^<>]*>[^<]*</\1\s*>",
)
_XMP_GPS_LEFT = re.compile(rb"""<[^<>\s/]*G[Pp][Ss]\w|G[Pp][Ss]\w{0,40}\s{0,9}=""")
"""A place that the patterns leave: with parts of its own, or written otherwise."""


@dataclasses.dataclass(frozen=True)
class Metadata:
    """What a picture says besides its pixels."""

    orientation: int | None = None
    """1..8 as in Exif: what is to be done to the pixels; None if it says nothing of it."""
    icc_profile: bytes | None = None
    exif: bytes | None = None
    """A TIFF structure."""
    xmp: bytes | None = None
    colour: ColourSpace | None = None
    """What the numbers mean, where that is said otherwise than by a profile; None also for sRGB."""
    dpi: tuple[float, float] | None = None
    """Dots per inch, (x, y)."""
    notes: tuple[str, ...] = ()
    """What could not be kept, in words."""


@dataclasses.dataclass(frozen=True)
class Wanted:
    """What a file is to say, in place of what the picture says.

    Args:
        icc_profile: Replaces the picture's own; None does not, nothing (``b""``) drops it.
        exif: Likewise, with or without the prefix that JPEG gives it.
        xmp: Likewise.
        strip: What to drop of the picture's own, some of `STRIPPED`.
        keep_icc: Keep a profile byte for byte also where it says what needs no profile.

    Raises:
        InvalidInput: No bytes, ``icc_profile`` or ``exif`` that is none, an unknown name in
            ``strip``.
    """

    icc_profile: bytes | None = None
    exif: bytes | None = None
    xmp: bytes | None = None
    strip: frozenset[str] = frozenset()
    keep_icc: bool = False

    def __post_init__(self) -> None:
        """Check the values."""
        for name in ("icc_profile", "exif", "xmp"):
            if not isinstance(value := getattr(self, name), bytes | None):
                raise InvalidInput(f"{name} must be bytes, got {type(value).__name__}")
        if unknown := self.strip - STRIPPED:
            known = "icc, exif, xmp, gps, hidden and all"
            raise InvalidInput(f"strip takes {known}, got {', '.join(sorted(map(repr, unknown)))}")
        if self.icc_profile and not colour.is_profile(self.icc_profile):
            raise InvalidInput("icc_profile must be an ICC profile, which has acsp at byte 36")
        if self.exif:
            object.__setattr__(self, "exif", tiff.without_prefix(self.exif))
            if not tiff.is_exif(self.exif or b""):
                raise InvalidInput("exif must be Exif data, which begins with II* or MM*")

    def of(self, own: Metadata, *, grey: bool) -> Metadata:
        """Return what the file will say, of pixels that are turned by ``orientation``.

        Args:
            own: What the picture says.
            grey: Whether it is grey.
        """
        notes = [] if self.strip >= METADATA else list(own.notes)
        exif, xmp = self._chosen("exif", own.exif), self._chosen("xmp", own.xmp)
        orientation = _orientation(self.exif, self.xmp)
        if own.orientation is not None:
            if orientation not in (None, own.orientation) and "exif" not in self.strip:
                notes.append(
                    f"the orientation that was given, {orientation}, was not applied: "
                    f"the picture has its own, {own.orientation}"
                )
            orientation = own.orientation
        on_side = orientation in range(5, 9)
        if exif is not None:
            exif = tiff.with_orientation_reset(exif)
            exif = tiff.with_resolution_turned(exif) if on_side else exif
        if xmp is not None:
            xmp = _without(_XMP_ORIENTATION, xmp)
        if "gps" in self.strip:
            placed = {"Exif": exif, "XMP": xmp}
            exif, xmp = exif and without_gps("exif", exif), xmp and without_gps("xmp", xmp)
            notes += [
                f"{name} was left out: the place cannot be taken out of it alone"
                for name, rest in (("Exif", exif), ("XMP", xmp))
                if placed[name] and rest is None
            ]
        if own.dpi is not None and "exif" not in self.strip:
            exif = tiff.with_dpi(exif, own.dpi[::-1] if on_side else own.dpi)
        icc, said = self._colour(own, grey)
        return Metadata(orientation, icc, exif, xmp, said, notes=tuple(notes))

    def _chosen(self, name: str, own: bytes | None) -> bytes | None:
        given: bytes | None = getattr(self, "icc_profile" if name == "icc" else name)
        if given is not None:
            return given or None
        return None if name in self.strip else own

    def _colour(self, own: Metadata, grey: bool) -> tuple[bytes | None, ColourSpace | None]:
        """A profile, or what code points say; neither where that is what a file means without."""
        icc = self._chosen("icc", own.icc_profile)
        if icc is not None and self.keep_icc:
            return icc, None
        said = None
        if self.icc_profile is None and "icc" not in self.strip:
            said = own.colour
        if said is None and icc is not None:
            said = colour.of_profile(icc)
        if said is None:
            return icc, None
        if said.is_srgb or (grey and said.transfer == colour.SRGB_CURVE):
            return None, None  # primaries tell nothing of grey
        if said.code_points is None:
            return colour.profile_of(said, grey), None
        return None, said


def read_metadata(image: Image.Image, facts: Facts | None = None) -> Metadata:
    """Read the metadata of a picture whose pixels have been loaded; never fails.

    Args:
        image: The picture.
        facts: What its file says besides what Pillow tells.
    """
    facts = facts or Facts()
    exif = _exif(image)
    notes = facts.notes
    if exif is not None and not tiff.is_exif(exif):
        exif, notes = None, (*notes, "damaged Exif data was left out")
    xmp = facts.xmp or as_bytes(image.info.get("xmp") or image.info.get("XML:com.adobe.xmp"))
    icc = as_bytes(image.info.get("icc_profile"))
    said = facts.colour if icc is None or facts.overrides_icc else None
    orientation = facts.orientation or _orientation(exif, xmp)
    return Metadata(orientation, icc, exif, xmp, said, _dpi(image), notes)


def _orientation(exif: bytes | None, xmp: bytes | None) -> int | None:
    """Exif's orientation, or else that of XMP."""
    found = tiff.orientation_of(exif) if exif else None
    if found is None and xmp and (said := _XMP_SAYS.search(xmp)):
        return int(said[1])
    return found


def _without(patterns: tuple[bytes, ...], xmp: bytes) -> bytes:
    for pattern in patterns:
        xmp = re.sub(pattern, b"", xmp)
    return xmp


def as_bytes(value: object) -> bytes | None:
    """Return a value of ``Image.info`` as bytes; None if there are none."""
    if isinstance(value, str):
        value = value.encode("utf-8", "surrogateescape")
    return bytes(value) if isinstance(value, bytes | bytearray) and value else None


def _dpi(image: Image.Image) -> tuple[float, float] | None:
    try:
        x, y = (float(side) for side in image.info.get("dpi", ()))
    except (TypeError, ValueError, ZeroDivisionError, OverflowError):
        return None
    return (x, y) if 1 < x < 1e6 and 1 < y < 1e6 else None  # 1 is what Pillow says of a TIFF


def _exif(image: Image.Image) -> bytes | None:
    """The TIFF structure."""
    raw = as_bytes(image.info.get("exif"))
    if raw is None:
        try:
            with warnings.catch_warnings():
                warnings.simplefilter("ignore")
                parsed = image.getexif()
                raw = _rewritten(parsed) if len(parsed) else None
        except MemoryError:
            raise
        except Exception:  # Pillow's parser raises what it likes on a damaged structure
            raw = None
    return (tiff.without_prefix(raw) or None) if raw else None


def _rewritten(parsed: Image.Exif) -> bytes | None:
    """Exif that Pillow put together, from a TIFF file or an old PNG: tags of the picture only."""
    from PIL import Image

    kept = Image.Exif()
    kept.update({tag: value for tag, value in parsed.items() if tag not in _STORAGE})
    for pointer in (tiff.EXIF, tiff.GPS):  # these directories are read by asking for them
        if pointer in parsed and (part := dict(parsed.get_ifd(pointer))):
            kept.get_ifd(pointer).update(part)
    return kept.tobytes() if len(kept) else None


def metadata_of(box: Box, *, grey: bool) -> dict[str, Any]:
    """Return what a box becomes in ``Image.info``; nothing if it is none of colour or metadata.

    Args:
        box: Any box. Code points become a profile, if they are known here.
        grey: Whether the picture is grey.
    """
    key, content = _INFO_KEYS.get(box.type), box.content
    if box.type == BOX_COLOUR:
        points = Colour.unpack(content)
        said = colour.of_code_points(points.primaries, points.transfer)
        return {"icc_profile": colour.profile_of(said, grey)} if said else {}
    if key is None:
        return {}
    if key != "exif":
        return {key: content}
    content = tiff.without_prefix(content)
    if not tiff.is_exif(content):
        return {}
    found: dict[str, Any] = {key: tiff.PREFIX + content}  # as Pillow's writers want it
    if (dpi := tiff.dpi_of(content)) is not None and all(math.isfinite(side) for side in dpi):
        found["dpi"] = dpi
    return found


def strip_info(info: dict[Any, Any], names: Collection[str]) -> None:
    """Take pieces out of ``Image.info``: some of ``icc``, ``exif``, ``xmp`` and ``gps``."""
    if "icc" in names:
        info.pop("icc_profile", None)
    if "exif" in names:
        info.pop("dpi", None)
    for name in {"exif", "xmp"} & info.keys():
        content: bytes | None = None if name in names else info[name]
        if content and "gps" in names:
            content = without_gps(name, content)
        if content:
            info[name] = content
        else:
            del info[name]


def without_gps(name: str, content: bytes) -> bytes | None:
    """Return Exif or XMP without places; None where they cannot be taken out."""
    if name == "xmp":
        rest = _without(_XMP_GPS, content)
        return None if _XMP_GPS_LEFT.search(rest.replace(b"\0", b"")) else rest
    found = tiff.without_gps(tiff.without_prefix(content))
    return tiff.PREFIX + found if found and content.startswith(tiff.PREFIX) else found
