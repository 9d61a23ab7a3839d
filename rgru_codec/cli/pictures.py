"""Opening and saving pictures of other formats, with errors that name the file."""

from __future__ import annotations

import io
import struct
from pathlib import Path
from typing import IO, TYPE_CHECKING, Any, BinaryIO

from rgru_codec.cli.status import USAGE, Failure, say

if TYPE_CHECKING:
    from PIL import Image
    from PIL.PngImagePlugin import PngInfo


def known_suffixes() -> frozenset[str]:
    """Suffixes of pictures that can be read, .rgru apart."""
    from PIL import Image

    from rgru_codec.source import readable_formats

    Image.init()
    formats = set(readable_formats())
    readable = {s for s, name in Image.registered_extensions().items() if name in formats}
    return frozenset(readable - {".rgru", ".pdf", ".mpg", ".mpeg"})


_OPTIONS: dict[str, dict[str, Any]] = {
    "JPEG": {"quality": 95, "subsampling": 0},
    "PNG": {"compress_level": 1, "compress_type": 3},  # runs only: fast, and small for photos
    "WEBP": {"lossless": True},
}


def picture_format(name: str) -> str:
    """Pillow's name of the format that a file name, or a suffix alone, asks for.

    Raises:
        Failure: none that can be written.
    """
    from PIL import Image

    Image.preinit()  # the usual formats; loading all of them takes a tenth of a second
    suffix = Path(f"x{name}" if name.startswith(".") else name).suffix.lower()
    if suffix == ".rgru":
        raise Failure(USAGE, f"{name}: the output of this command is a picture, such as .png")
    found = Image.EXTENSION.get(suffix) or Image.registered_extensions().get(suffix)
    if found is None or found not in Image.SAVE:
        raise Failure(
            USAGE,
            f"{name}: no picture format is known by {suffix!r}; use .png, .jpg, .webp or .tiff",
        )
    return found


def save_picture(image: Image.Image, file: BinaryIO | IO[bytes], kind: str) -> None:
    """Write a picture with its metadata, as far as the format has room for it.

    Raises:
        InvalidInput: the format cannot hold the picture.
    """
    from rgru_format import InvalidInput

    options = {**_OPTIONS.get(kind, {})}
    metadata: dict[str, Any] = {
        k: image.info[k] for k in ("icc_profile", "exif", "xmp") if k in image.info
    }
    if kind == "PNG" and "xmp" in metadata:
        metadata["pnginfo"] = _png_xmp(metadata.pop("xmp"))
    info, image.info = image.info, {}  # Pillow's writers look there too; a copy would double it
    try:
        content = _encoded(image, kind, {**options, **metadata})
    except (OSError, ValueError, KeyError, TypeError, struct.error) as error:
        try:
            content = _encoded(image, kind, options)
        except (OSError, ValueError, KeyError, TypeError) as refusal:
            raise InvalidInput(f"{kind} cannot hold this picture: {refusal}; use .png") from None
        say(f"metadata was left out, {kind} cannot hold it: {error}")
    finally:
        image.info = info
    file.write(content)


def _encoded(image: Image.Image, kind: str, options: dict[str, Any]) -> memoryview:
    buffer = io.BytesIO()  # Pillow seeks; pipes cannot
    image.save(buffer, kind, **options)
    return buffer.getbuffer()


def _png_xmp(xmp: bytes) -> PngInfo:
    from PIL.PngImagePlugin import PngInfo

    info = PngInfo()
    info.add_itxt("XML:com.adobe.xmp", xmp.decode("utf-8", "replace"))
    return info
