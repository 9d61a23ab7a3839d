"""Between pictures as people have them and the planes that the codec works on.

A `Planes` is what a file can hold: 8-bit RGB or grey, an alpha plane, and metadata.
Everything else is converted, or refused with a reason:

====================================  ==========================================================
1, L                                  grey
LA, RGBA, La, RGBa, PA, ``tRNS``      colour or grey, and a lossless alpha plane
P, YCbCr, LAB, HSV, CMYK              RGB; CMYK and LAB through their profile, which then is sRGB
I;16, I, F, RGB of 16 bits            refused, or scaled if asked to
several frames or pages               refused, or one of them if asked to
====================================  ==========================================================
"""

from __future__ import annotations

import contextlib
import dataclasses
import io
import math
from collections.abc import Iterator
from typing import Any

import numpy as np
from numpy.typing import NDArray
from PIL import Image

from rgru_codec.foreign import Facts, facts_of
from rgru_codec.metadata import Wanted, read_metadata
from rgru_format import Colour, InvalidInput, RgruError, Unreadable

Pixels = NDArray[np.uint8]

_GREY = frozenset({"1", "L", "LA", "La"})
_TURNS = {
    2: Image.Transpose.FLIP_LEFT_RIGHT,
    3: Image.Transpose.ROTATE_180,
    4: Image.Transpose.FLIP_TOP_BOTTOM,
    5: Image.Transpose.TRANSPOSE,
    6: Image.Transpose.ROTATE_270,
    7: Image.Transpose.TRANSVERSE,
    8: Image.Transpose.ROTATE_90,
}
_BITS_PER_SAMPLE, _PHOTOMETRIC, _SAMPLE_FORMAT = 258, 262, 339
_WHITE_IS_ZERO = 0
_SIGNED = 2
_RANGES = {1.0: -math.inf, 255.0: 16.0, 65535.0: 4096.0}
"""Ranges of floats: the largest value, and how far a picture has to reach to be in it."""
_OVERSHOOT = 1 / 8
# Further frames of these are previews, depth maps or the layers that the picture is made of.
_ONE_PICTURE = frozenset({"MPO", "PSD"})


@dataclasses.dataclass(frozen=True)
class Planes:
    """A picture ready to be encoded."""

    pixels: Pixels
    """(H, W, 3); for grey pictures the three are equal."""
    grey: bool
    alpha: Pixels | None
    """(H, W), or None."""
    icc_profile: bytes | None = None
    exif: bytes | None = None
    """A TIFF structure, without JPEG's prefix."""
    xmp: bytes | None = None
    colour: Colour | None = None
    """What the numbers mean, where code points say it; None without a profile is sRGB."""
    notes: tuple[str, ...] = ()
    """What was changed besides what was asked for, for the user to know."""


def from_array(array: NDArray[Any], *, convert_depth: bool = False) -> Image.Image:
    """Make a picture of mode L, LA, RGB or RGBA of a uint8 array (H, W) or (H, W, 1..4).

    Args:
        array: The pixels.
        convert_depth: Scale uint16 (0..65535) and floating point (0..1, 0..255 or 0..65535, told
            by the largest value) instead of refusing them.

    Raises:
        InvalidInput: Another type or shape; floats between the known ranges.
    """
    if array.dtype != np.uint8:
        whole = array.dtype.newbyteorder("=") == np.uint16  # in either byte order
        deep = whole or np.issubdtype(array.dtype, np.floating)
        if not (deep and convert_depth and array.size):
            hint = "use convert_depth=True to scale them" if deep else "convert them first"
            raise InvalidInput(f"pixels must be uint8 (0..255), got {array.dtype}; {hint}")
        array = _scaled(array)
    modes = {1: "L", 2: "LA", 3: "RGB", 4: "RGBA"}
    channels = array.shape[2] if array.ndim == 3 else 1
    if array.ndim not in (2, 3) or channels not in modes or 0 in array.shape:
        raise InvalidInput(f"pixels must be (H, W) or (H, W, 1..4), got {array.shape}")
    squeezed = array[..., 0] if array.ndim == 3 and channels == 1 else array
    return Image.fromarray(np.ascontiguousarray(squeezed))


def to_planes(
    image: Image.Image,
    *,
    convert_depth: bool = False,
    frame: int | None = None,
    wanted: Wanted | None = None,
) -> Planes:
    """Take a picture apart; orientation is applied and reset. The picture itself stays as it is.

    Args:
        image: Any PIL image.
        convert_depth: Scale pictures of more than 8 bits a channel instead of refusing them.
        frame: Which frame of an animation, from 0; None refuses animations.
        wanted: What metadata the planes are to have; by default the picture's own.

    Raises:
        InvalidInput: More than 8 bits or more than one frame, and not asked to convert.
        Unreadable: The picture is damaged or cut short.
    """
    check_frames(image, frame)
    with _at_frame(image, frame):
        facts = facts_of(image)
        if not convert_depth and (bits := _deep(image, facts)):
            _check_range(image)  # or else the advice would lead to another refusal
            raise InvalidInput(
                f"the picture has more than 8 bits a channel ({bits}), .rgru has 8; "
                "use --depth 8 (convert_depth=True) to convert it"
            )
        with reading():
            _name_depth(image)
            image.load()
        try:
            return _taken_apart(image, facts, wanted or Wanted())
        except (ValueError, TypeError, OverflowError, OSError) as error:  # Pillow's converters
            raise InvalidInput(f"mode {image.mode} cannot be converted: {error}") from None


def _taken_apart(image: Image.Image, facts: Facts, wanted: Wanted) -> Planes:
    if facts.grey and _is_grey(image):
        image = image.convert("LA")
    own = read_metadata(image, facts)
    grey = image.mode in _GREY or image.mode.startswith(("I", "F"))
    metadata = wanted.of(own, grey=grey)
    notes = metadata.notes
    image = _eight_bits(image)
    if (turn := _TURNS.get(metadata.orientation or 1)) is not None:
        image = image.transpose(turn)
    image, alpha = _split(image, facts.grey_bits)
    icc, points = metadata.icc_profile, metadata.colour and metadata.colour.code_points
    if image.mode in ("CMYK", "LAB"):
        notes = (*notes, f"{image.mode} was converted to sRGB")
        image = _through_profile(image, own.icc_profile)
        icc, points = wanted.icc_profile or None, None
    pixels = _as_pixels(image, grey)
    if alpha is not None and "hidden" in wanted.strip:
        _hide(pixels, alpha)
    said = Colour(*points) if points else None
    return Planes(pixels, grey, alpha, icc, metadata.exif, metadata.xmp, said, notes)


def _is_grey(image: Image.Image) -> bool:
    red, green, blue, *_ = (band.tobytes() for band in image.split())
    return red == green == blue


def _hide(pixels: Pixels, alpha: Pixels) -> None:
    """Give pixels that are fully transparent the mean colour of the others."""
    shown = alpha > 0
    mean = pixels[shown].mean(axis=0) if shown.any() else np.zeros(3)
    pixels[~shown] = np.rint(mean).astype(np.uint8)


def frame_shown(image: Image.Image) -> int | None:
    """Return which of its frames an animation shows; None of a picture that is none.

    Raises:
        Unreadable: The frames cannot be counted.
    """
    with reading():
        several = getattr(image, "n_frames", 1) > 1 and image.format not in _ONE_PICTURE
        return image.tell() if several else None


def check_frames(image: Image.Image, frame: int | None) -> None:
    """Refuse animations, unless a frame was chosen that exists.

    Raises:
        InvalidInput: as said.
    """
    with reading():
        frames: int = getattr(image, "n_frames", 1)
    if frame is not None and not 0 <= frame < frames:
        last = f"frames 0..{frames - 1}" if frames > 1 else "one frame only, 0"
        raise InvalidInput(f"frame {frame} does not exist, the picture has {last}")
    if frame is None and frames > 1 and image.format not in _ONE_PICTURE:
        raise InvalidInput(
            f"the picture has {frames} frames (an animation or pages), .rgru has one; "
            "choose it with --frame N (frame=N)"
        )


def _deep(image: Image.Image, facts: Facts) -> str:
    """What says that a picture has more than 8 bits, or an empty string.

    Pillow opens 16-bit colour as 8-bit RGB. Before the pixels are loaded, the raw mode of the
    file's tiles tells; a TIFF also says it in a tag, other formats in their headers.
    """
    if image.mode.startswith(("I", "F")):
        return f"mode {image.mode}"
    if (bits := max(_tiff_bits(image), facts.bits)) > 8:
        return f"{bits} bits"
    for tile in getattr(image, "tile", ()):
        args = tile[3] if isinstance(tile[3], tuple) else (tile[3],)
        if any(isinstance(a, str) and ";16" in a and "BGR;16" not in a for a in args):
            return "16 bits"
        if image.format == "PPM" and isinstance(args[-1], int) and args[-1] > 255:
            return f"values up to {args[-1]}"
        if tile[0] == "SGI16":
            return "16 bits"
    return ""


def _name_depth(image: Any) -> None:
    """Tell Pillow that bands of a TIFF which stand apart, not packed, have 16 bits: it forgets."""
    if _tiff_bits(image) != 16 or image.mode not in ("RGB", "RGBA", "CMYK"):
        return
    order = "L" if image.tag_v2.prefix == b"II" else "B"
    image.tile = [
        tile._replace(args=(f"{tile.args[0]};16{order}", *tile.args[1:]))
        if tile.codec_name == "raw" and len(tile.args[0]) == 1
        else tile
        for tile in image.tile
    ]


def _tiff_bits(image: Image.Image) -> int:
    """Bits of the deepest channel of a TIFF, 0 if it is none."""
    bits = getattr(image, "tag_v2", {}).get(_BITS_PER_SAMPLE, ())
    known = bits if isinstance(bits, tuple) else (bits,)
    return max((count for count in known if isinstance(count, int)), default=0)


@contextlib.contextmanager
def reading() -> Iterator[None]:
    """Turn what Pillow's readers raise on bad files, which is what they like, into our error.

    Raises:
        Unreadable: They raise something.
    """
    try:
        yield
    except (MemoryError, RgruError):
        raise
    except Exception as error:
        words = str(error) or type(error).__name__
        raise Unreadable(f"the picture cannot be read: {words}") from None


@contextlib.contextmanager
def _at_frame(image: Image.Image, frame: int | None) -> Iterator[None]:
    """Let a picture show one of its frames, and afterwards the one that it showed before."""
    if frame is None:
        yield
        return
    before = image.tell()
    with reading():
        image.seek(frame)
    try:
        yield
    finally:
        with reading():
            image.seek(before)


def _check_range(image: Image.Image) -> None:
    """Refuse numbers of no range that is known, or that Pillow reads as others."""
    bits = _tiff_bits(image) or 16
    signed = _SIGNED in getattr(image, "tag_v2", {}).get(_SAMPLE_FORMAT, ())
    if signed or (bits > 16 and image.mode.startswith("I")):
        raise InvalidInput(
            f"the picture has signed integers, or integers of {bits} bits, of no range that is "
            "known: scale them to 0..65535 first"
        )
    if image.mode.startswith(("I", "F")) and image.format == "FITS":
        # It keeps the highest byte first, and Pillow reads it last.
        raise InvalidInput(
            "the picture is a FITS of more than 8 bits, whose numbers cannot be read here: "
            "convert it to a TIFF or PNG of 16 bits first"
        )


def _eight_bits(image: Image.Image) -> Image.Image:
    """I;16, I and F scaled to L; every other mode as it is."""
    _check_range(image)
    if not image.mode.startswith(("I", "F")):
        return image
    values = np.asarray(image)
    scaled = _scaled(values, _tiff_bits(image) or 16)
    tags = getattr(image, "tag_v2", {})
    if tags.get(_PHOTOMETRIC) == _WHITE_IS_ZERO:  # Pillow heeds it of 8 bits and fewer only
        scaled = 255 - scaled
    converted = Image.fromarray(scaled)
    converted.info = {k: v for k, v in image.info.items() if k != "transparency"}
    key = image.info.get("transparency")
    if isinstance(key, int):
        converted.putalpha(Image.fromarray(np.where(values == key, 0, 255).astype(np.uint8)))
    return converted


def _scaled(array: NDArray[Any], bits: int = 16) -> Pixels:
    """Integers of so many bits, or floats of 0..1, 0..255 or 0..65535, as 8 bits.

    Floats may overshoot their range by an eighth on either side, as resized pictures do.
    """
    values = array.astype(np.float64)
    low, high = float(values.min()), float(values.max())
    floating = bool(np.issubdtype(array.dtype, np.floating))
    top = _range_of(high) if floating else float(2**bits - 1)
    slack = _OVERSHOOT * top if floating else 0.0
    if not (-slack <= low and high <= top + slack):  # nor if one is no number
        raise InvalidInput(
            f"the picture has values from {low:g} to {high:g}; floats must lie in 0..1, or reach "
            f"{_RANGES[255.0]:g} to 255, or {_RANGES[65535.0]:g} to 65535, integers in "
            f"0..{2**bits - 1}: scale them first"
        )
    return np.rint(np.clip(values, 0, top) * (255 / top)).astype(np.uint8)


def _range_of(high: float) -> float:
    """The largest value of the range that a largest value speaks for; nan between the ranges."""
    for top, least in _RANGES.items():
        if least <= high <= top * (1 + _OVERSHOOT):
            return top
    return math.nan


def _as_pixels(image: Image.Image, grey: bool) -> Pixels:
    """(H, W, 3), converted strip by strip: large pictures are not held three times."""
    mode, strip = "L" if grey else "RGB", 256
    pixels = np.empty((image.height, image.width, 3), np.uint8)
    for top in range(0, image.height, strip):
        box = (0, top, image.width, min(top + strip, image.height))
        part = np.asarray(image.crop(box).convert(mode))
        pixels[top : top + strip] = part[..., None] if grey else part
    return pixels


def _split(image: Image.Image, grey_bits: int) -> tuple[Image.Image, Pixels | None]:
    """Colour or grey without alpha, and the alpha plane."""
    if not image.has_transparency_data:
        return image, None
    key = image.info.get("transparency")
    if image.mode == "1":  # Pillow converts a transparent colour of L, but not of 1
        image = image.convert("L")
        image.info["transparency"] = 255 if key else 0
    elif image.mode == "L" and isinstance(key, int) and grey_bits < 8:
        image = image.copy()  # Pillow scales the pixels, but not the transparent value
        image.info["transparency"] = key * 255 // (2**grey_bits - 1)
    elif image.mode == "RGB" and isinstance(key, tuple) and max(key) > 255:
        image = image.copy()  # of 16 bits, of which Pillow keeps the upper ones
        image.info["transparency"] = tuple(value >> 8 for value in key)
    target = "LA" if image.mode in _GREY else "RGBA"
    image = image.convert(target)
    alpha = np.asarray(image.getchannel("A"))
    return image.convert("L" if target == "LA" else "RGB"), alpha


def _through_profile(image: Image.Image, icc: bytes | None) -> Image.Image:
    """CMYK or LAB to sRGB, through the picture's profile if it has one that works."""
    if icc is not None and image.mode == "CMYK":
        from PIL import ImageCms

        with contextlib.suppress(ImageCms.PyCMSError, OSError, ValueError, TypeError):
            profile = ImageCms.ImageCmsProfile(io.BytesIO(icc))
            srgb = ImageCms.createProfile("sRGB")
            converted = ImageCms.profileToProfile(image, profile, srgb, outputMode="RGB")
            if converted is not None:
                return converted
    return image.convert("RGB")


def to_image(
    pixels: Pixels, grey: bool, alpha: Pixels | None, info: dict[str, Any] | None = None
) -> Image.Image:
    """Make a picture of mode L, LA, RGB or RGBA of planes.

    Args:
        pixels: uint8 (H, W, 3).
        grey: Whether to return luma only.
        alpha: uint8 (H, W), or None.
        info: Becomes ``Image.info``.
    """
    image = Image.fromarray(pixels)
    if grey:
        image = image.convert("L")
    if alpha is not None:
        image.putalpha(Image.fromarray(alpha))
    image.info.update(info or {})
    return image
