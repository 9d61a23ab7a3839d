"""Between pictures as people have them and the planes that the codec works on.

A :class:`Planes` is what a file can hold: 8-bit RGB or grey, an alpha plane, and metadata.
Everything else is converted, or refused with a reason.
"""

from __future__ import annotations

import dataclasses
from typing import Any

import numpy as np
from numpy.typing import NDArray
from PIL import Image, ImageCms, ImageOps

from rgru_format import InvalidInput

Pixels = NDArray[np.uint8]


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
    xmp: bytes | None = None


def from_array(array: NDArray[Any]) -> Image.Image:
    """A uint8 array (H, W), (H, W, 2), (H, W, 3) or (H, W, 4) as a picture of mode L, LA, RGB, RGBA.

    Raises:
        InvalidInput: another type or shape.
    """
    if array.dtype != np.uint8:
        raise InvalidInput(
            f"pixels must be uint8 (0..255), got {array.dtype}; scale and convert them first"
        )
    modes = {1: "L", 2: "LA", 3: "RGB", 4: "RGBA"}
    channels = 1 if array.ndim == 2 else array.shape[-1]
    if array.ndim not in (2, 3) or channels not in modes or 0 in array.shape:
        raise InvalidInput(f"pixels must be (H, W), (H, W, 3) or (H, W, 4), got {array.shape}")
    squeezed = array[..., 0] if array.ndim == 3 and channels == 1 else array
    return Image.fromarray(np.ascontiguousarray(squeezed))


def to_planes(image: Image.Image, *, convert_depth: bool = False, frame: int | None = None) -> Planes:
    """Take a picture apart; orientation is applied and reset.

    Args:
        image: any PIL image.
        convert_depth: scale 16-bit and float pictures to 8 bits instead of refusing them.
        frame: which frame of an animation; None refuses animations.

    Raises:
        InvalidInput: more than 8 bits or more than one frame, and not asked to convert.
    """
    image = _one_frame(image, frame)
    image = _eight_bits(image, convert_depth)
    exif, icc, xmp = _metadata(image)
    upright = ImageOps.exif_transpose(image)
    alpha: Pixels | None = None
    if upright.has_transparency_data:
        upright = upright.convert("LA" if upright.mode in ("L", "LA", "1") else "RGBA")
        alpha = np.asarray(upright.getchannel("A"))
    grey = upright.mode in ("L", "LA", "1")
    if upright.mode == "CMYK":
        upright, icc = _from_cmyk(upright, icc)
    pixels = np.asarray(upright.convert("L" if grey else "RGB"))
    if grey:
        pixels = np.repeat(pixels[..., None], 3, axis=2)
    return Planes(pixels, grey, alpha, icc, exif, xmp)


def _one_frame(image: Image.Image, frame: int | None) -> Image.Image:
    frames = getattr(image, "n_frames", 1)
    if frame is not None:
        if not 0 <= frame < frames:
            raise InvalidInput(f"frame {frame} does not exist, the picture has {frames}")
        image.seek(frame)
    elif frames > 1:
        raise InvalidInput(
            f"the picture is an animation of {frames} frames; choose one with --frame N (frame=N)"
        )
    return image


def _eight_bits(image: Image.Image, convert_depth: bool) -> Image.Image:
    if not image.mode.startswith(("I", "F")):
        return image
    if not convert_depth:
        raise InvalidInput(
            f"the picture has more than 8 bits a channel (mode {image.mode}), .rgru has 8; "
            "use --depth 8 (convert_depth=True) to convert it"
        )
    values = np.asarray(image).astype(np.float64)
    top = 65535.0 if image.mode.startswith("I") else 1.0
    levels = np.clip(values * (255.0 / top) + 0.5, 0.0, 255.0).astype(np.uint8)
    converted = Image.fromarray(levels)
    converted.info = dict(image.info)
    return converted


def _metadata(image: Image.Image) -> tuple[bytes | None, bytes | None, bytes | None]:
    """Exif (orientation reset), ICC profile, XMP."""
    exif = image.getexif()
    orientation = 0x0112
    if exif.get(orientation, 1) != 1:
        exif[orientation] = 1
    xmp = image.info.get("xmp")
    if isinstance(xmp, str):
        xmp = xmp.encode()
    return (exif.tobytes() if len(exif) else None), image.info.get("icc_profile") or None, xmp or None


def _from_cmyk(image: Image.Image, icc: bytes | None) -> tuple[Image.Image, bytes | None]:
    """CMYK to sRGB, through its profile if it has one."""
    if icc is None:
        return image.convert("RGB"), None
    import io

    try:
        profile = ImageCms.ImageCmsProfile(io.BytesIO(icc))
        converted = ImageCms.profileToProfile(
            image, profile, ImageCms.createProfile("sRGB"), outputMode="RGB"
        )
    except ImageCms.PyCMSError:
        return image.convert("RGB"), None
    return converted or image.convert("RGB"), None


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
