"""Between pictures as people have them and the planes that the codec works on.

A :class:`Planes` is what a file can hold: 8-bit RGB or grey, an alpha plane, and metadata.
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

import dataclasses
import io
import re
from collections.abc import Collection
from typing import Any

import numpy as np
from numpy.typing import NDArray
from PIL import Image

from rgru_codec.metadata import EXIF_PREFIX, is_exif, read_metadata, without_orientation
from rgru_format import InvalidInput, Unreadable

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
_BITS_PER_SAMPLE = 258
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
    notes: tuple[str, ...] = ()
    """What was changed besides what was asked for, for the user to know."""

    def with_metadata(
        self,
        icc_profile: bytes | None = None,
        exif: bytes | None = None,
        xmp: bytes | None = None,
        *,
        strip: bool | Collection[str] = False,
    ) -> Planes:
        """The same picture with this metadata instead of its own.

        Args:
            icc_profile: replaces the picture's own; None does not.
            exif: likewise, with or without the prefix that JPEG gives it.
            xmp: likewise.
            strip: drop the picture's own: all of it, or some of ``icc``, ``exif``, ``xmp``.

        Raises:
            InvalidInput: an unknown name in ``strip``; ``exif`` that is none; no bytes.
        """
        for name, value in (("icc_profile", icc_profile), ("exif", exif), ("xmp", xmp)):
            if not isinstance(value, bytes | None):
                raise InvalidInput(f"{name} must be bytes, got {type(value).__name__}")
        names = {"icc", "exif", "xmp"}
        if isinstance(strip, bool):
            dropped = names if strip else set()
        else:
            dropped = {strip} if isinstance(strip, str) else set(strip)
        if unknown := dropped - names:
            raise InvalidInput(f"strip takes icc, exif and xmp, got {', '.join(sorted(unknown))}")
        if exif:
            exif = exif.removeprefix(EXIF_PREFIX)
            if not is_exif(exif):
                raise InvalidInput("exif must be Exif data, which begins with II* or MM*")
            exif = without_orientation(exif)  # the pixels are upright
        own = {"icc": self.icc_profile, "exif": self.exif, "xmp": self.xmp}
        new = {"icc": icc_profile, "exif": exif, "xmp": xmp}
        for name in names:
            if new[name] is None and name not in dropped:
                new[name] = own[name]
        return dataclasses.replace(self, icc_profile=new["icc"], exif=new["exif"], xmp=new["xmp"])


def from_array(array: NDArray[Any], *, convert_depth: bool = False) -> Image.Image:
    """A uint8 array (H, W), (H, W, 1..4) as a picture of mode L, LA, RGB or RGBA.

    Args:
        array: the pixels.
        convert_depth: scale uint16 and floating point instead of refusing them.

    Raises:
        InvalidInput: another type or shape; floats of no known range.
    """
    if array.dtype != np.uint8:
        deep = array.dtype == np.uint16 or np.issubdtype(array.dtype, np.floating)
        if not (deep and convert_depth and array.size):
            hint = "use convert_depth=True to scale them" if deep else "convert them first"
            raise InvalidInput(f"pixels must be uint8 (0..255), got {array.dtype}; {hint}")
        array = _scaled(array)
    modes = {1: "L", 2: "LA", 3: "RGB", 4: "RGBA"}
    channels = 1 if array.ndim == 2 else array.shape[-1]
    if array.ndim not in (2, 3) or channels not in modes or 0 in array.shape:
        raise InvalidInput(f"pixels must be (H, W) or (H, W, 1..4), got {array.shape}")
    squeezed = array[..., 0] if array.ndim == 3 and channels == 1 else array
    return Image.fromarray(np.ascontiguousarray(squeezed))


def to_planes(
    image: Image.Image, *, convert_depth: bool = False, frame: int | None = None
) -> Planes:
    """Take a picture apart; orientation is applied and reset. The picture itself stays as it is.

    Args:
        image: any PIL image.
        convert_depth: scale pictures of more than 8 bits a channel instead of refusing them.
        frame: which frame of an animation, from 0; None refuses animations.

    Raises:
        InvalidInput: more than 8 bits or more than one frame, and not asked to convert; a picture
            that cannot be read.
    """
    check_frames(image, frame)
    if not convert_depth:
        check_depth(image)
    image = _loaded(image, frame)
    metadata = read_metadata(image)
    image, alpha = _split(_turned(_eight_bits(image), metadata.orientation))
    grey = image.mode in _GREY
    notes = metadata.notes
    if image.mode in ("CMYK", "LAB"):
        notes = (*notes, f"{image.mode} was converted to sRGB")
        image = _through_profile(image, metadata.icc_profile)
        metadata = dataclasses.replace(metadata, icc_profile=None)
    pixels = _as_pixels(image, grey)
    return Planes(pixels, grey, alpha, metadata.icc_profile, metadata.exif, metadata.xmp, notes)


def check_frames(image: Image.Image, frame: int | None) -> None:
    """Refuse animations, unless a frame was chosen that exists.

    Raises:
        InvalidInput: as said.
    """
    try:
        frames: int = getattr(image, "n_frames", 1)
    except MemoryError:
        raise
    except Exception as error:  # Pillow's readers raise what they like on bad files
        raise Unreadable(f"the picture cannot be read: {error}") from None
    if frame is not None and not 0 <= frame < frames:
        last = f"frames 0..{frames - 1}" if frames > 1 else "one frame only, 0"
        raise InvalidInput(f"frame {frame} does not exist, the picture has {last}")
    if frame is None and frames > 1 and image.format not in _ONE_PICTURE:
        raise InvalidInput(
            f"the picture has {frames} frames (an animation or pages), .rgru has one; "
            "choose it with --frame N (frame=N)"
        )


def check_depth(image: Image.Image) -> None:
    """Refuse more than 8 bits a channel; also where Pillow would cut them off in silence.

    Raises:
        InvalidInput: as said.
    """
    if bits := _deep(image):
        raise InvalidInput(
            f"the picture has more than 8 bits a channel ({bits}), .rgru has 8; "
            "use --depth 8 (convert_depth=True) to convert it"
        )


def _deep(image: Image.Image) -> str:
    """What says that a picture has more than 8 bits, or an empty string.

    Pillow opens 16-bit colour as 8-bit RGB. Before the pixels are loaded, the raw mode of the
    file's tiles tells; a TIFF also says it in a tag, AVIF and JPEG 2000 in their headers.
    """
    if image.mode.startswith(("I", "F")):
        return f"mode {image.mode}"
    bits = getattr(image, "tag_v2", {}).get(_BITS_PER_SAMPLE, ())
    if any(isinstance(b, int) and b > 8 for b in (bits if isinstance(bits, tuple) else (bits,))):
        return f"{max(bits)} bits"
    for tile in getattr(image, "tile", ()):
        args = tile[3] if isinstance(tile[3], tuple) else (tile[3],)
        if any(isinstance(a, str) and ";16" in a and "BGR;16" not in a for a in args):
            return "16 bits"
        if image.format == "PPM" and isinstance(args[-1], int) and args[-1] > 255:
            return f"values up to {args[-1]}"
        if tile[0] == "SGI16":
            return "16 bits"
    bits = _CODED_BITS[image.format](_head(image)) if image.format in _CODED_BITS else 8
    return f"{bits} bits" if bits > 8 else ""


def _head(image: Image.Image) -> bytes:
    """The beginning of the file that a picture will be read from; empty once it has been read."""
    file = getattr(image, "fp", None)
    if file is None or file.closed:
        return b""
    position = file.tell()
    file.seek(0)
    head: bytes = file.read(1 << 16)
    file.seek(position)
    return head


def _bits_of_avif(head: bytes) -> int:
    """Bits a channel by the boxes av1C (AV1 in ISOBMFF, 2.3.3), of colour and alpha; 8 if none."""
    flags = [found[1][0] for found in re.finditer(rb"av1C..(.)", head, re.DOTALL)]
    return max((12 if f & 0x20 else 10 for f in flags if f & 0x40), default=8)


def _bits_of_jpeg2000(head: bytes) -> int:
    """Bits a channel by the marker SIZ (ISO/IEC 15444-1, A.5.1); 8 if there is none."""
    found = re.search(rb"\xff\x4f\xff\x51.{36}(..)", head, re.DOTALL)
    if found is None:
        return 8
    depths = head[found.end() : found.end() + 3 * int.from_bytes(found[1], "big") : 3]
    return max(((depth & 0x7F) + 1 for depth in depths), default=8)


_CODED_BITS = {"AVIF": _bits_of_avif, "JPEG2000": _bits_of_jpeg2000}


def _loaded(image: Image.Image, frame: int | None) -> Image.Image:
    """The picture, or a copy of one frame of it, with its pixels in memory."""
    try:
        if frame is None:
            image.load()
            return image
        before = image.tell()
        image.seek(frame)
        chosen = image.copy()
        image.seek(before)
    except MemoryError:
        raise
    except Exception as error:  # Pillow's readers raise what they like on bad files
        words = str(error) or type(error).__name__
        raise Unreadable(f"the picture cannot be read: {words}") from None
    return chosen


def _eight_bits(image: Image.Image) -> Image.Image:
    """I;16, I and F scaled to L; every other mode as it is."""
    if not image.mode.startswith(("I", "F")):
        return image
    values = np.asarray(image)
    converted = Image.fromarray(_scaled(values))
    converted.info = {k: v for k, v in image.info.items() if k != "transparency"}
    key = image.info.get("transparency")
    if isinstance(key, int):
        converted.putalpha(Image.fromarray(np.where(values == key, 0, 255).astype(np.uint8)))
    return converted


def _scaled(array: NDArray[Any]) -> Pixels:
    """Values of 0..65535, floats also of 0..1 or 0..255, as 8 bits."""
    values = array.astype(np.float64)
    scale = 1.0 / 257.0
    if np.issubdtype(array.dtype, np.floating) and np.isfinite(values).all():
        scale = 255.0 if values.max() <= 1.0 else 1.0 if values.max() <= 255.0 else scale
    if not np.isfinite(values).all() or values.min() < 0 or values.max() > 65535:
        raise InvalidInput(
            f"the picture has values from {values.min():g} to {values.max():g}; float pictures "
            "must lie in 0..1, 0..255 or 0..65535, integers in 0..65535: scale them first"
        )
    return np.rint(values * scale).astype(np.uint8)


def _turned(image: Image.Image, orientation: int) -> Image.Image:
    turn = _TURNS.get(orientation)
    return image if turn is None else image.transpose(turn)


def _as_pixels(image: Image.Image, grey: bool) -> Pixels:
    """(H, W, 3), converted strip by strip: large pictures are not held three times."""
    mode, strip = "L" if grey else "RGB", 256
    pixels = np.empty((image.height, image.width, 3), np.uint8)
    for top in range(0, image.height, strip):
        box = (0, top, image.width, min(top + strip, image.height))
        part = np.asarray(image.crop(box).convert(mode))
        pixels[top : top + strip] = part[..., None] if grey else part
    return pixels


def _split(image: Image.Image) -> tuple[Image.Image, Pixels | None]:
    """Colour or grey without alpha, and the alpha plane."""
    if not image.has_transparency_data:
        return image, None
    target = "LA" if image.mode in _GREY else "RGBA"
    if image.mode == "1":  # Pillow converts a transparent colour of L, but not of 1
        key = image.info.get("transparency")
        image = image.convert("L")
        image.info["transparency"] = 255 if key else 0
    image = image.convert(target)
    alpha = np.asarray(image.getchannel("A"))
    return image.convert("L" if target == "LA" else "RGB"), alpha


def _through_profile(image: Image.Image, icc: bytes | None) -> Image.Image:
    """CMYK or LAB to sRGB, through the picture's profile if it has one that works."""
    if icc is not None and image.mode == "CMYK":
        from PIL import ImageCms

        try:
            profile = ImageCms.ImageCmsProfile(io.BytesIO(icc))
            srgb = ImageCms.createProfile("sRGB")
            converted = ImageCms.profileToProfile(image, profile, srgb, outputMode="RGB")
        except (ImageCms.PyCMSError, OSError, ValueError, TypeError):
            converted = None
        if converted is not None:
            return converted
    return image.convert("RGB")


def to_image(
    pixels: Pixels,
    grey: bool,
    alpha: Pixels | None,
    info: dict[str, Any] | None = None,
) -> Image.Image:
    """Planes as a picture of mode L, LA, RGB or RGBA.

    Args:
        pixels: (H, W, 3).
        grey: whether to return luma only.
        alpha: (H, W), or None.
        info: becomes ``Image.info``.
    """
    image = Image.fromarray(pixels)
    if grey:
        image = image.convert("L")
    if alpha is not None:
        image.putalpha(Image.fromarray(alpha))
    image.info.update(info or {})
    return image
