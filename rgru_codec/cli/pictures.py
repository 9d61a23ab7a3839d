"""Opening and saving pictures of other formats, with errors that name the file."""

from __future__ import annotations

import contextlib
import io
import struct
from collections.abc import Iterator
from pathlib import Path
from typing import IO, TYPE_CHECKING, Any, BinaryIO

from rgru_codec.cli.files import STREAM, read_bytes
from rgru_codec.cli.status import UNUSABLE, USAGE, Failure, say

if TYPE_CHECKING:
    from PIL import Image
    from PIL.PngImagePlugin import PngInfo


def known_suffixes() -> frozenset[str]:
    """Suffixes of pictures that can be read, .rgru apart."""
    from PIL import Image

    Image.init()
    readable = {s for s, name in Image.registered_extensions().items() if name in Image.OPEN}
    return frozenset(readable - {".rgru", ".pdf", ".mpg", ".mpeg"})


def open_picture(source: str, max_pixels: int) -> tuple[Image.Image, int]:
    """A picture, and the bytes that it takes in its own format. Pixels are not read yet.

    Raises:
        Failure: not a picture.
        LimitExceeded: too many pixels.
        OSError: cannot be read.
    """
    data = read_bytes(source)
    name = "standard input" if source == STREAM else source
    return parse_picture(data, name, max_pixels), len(data)


def parse_picture(data: bytes, name: str, max_pixels: int) -> Image.Image:
    """:func:`open_picture` for bytes that have been read; ``name`` is for errors."""
    from PIL import Image

    from rgru_format import SIGNATURE, Limits

    Image.MAX_IMAGE_PIXELS = None  # ours is the limit, and it is checked here
    if not data:
        raise Failure(UNUSABLE, f"{name}: is empty")
    if data.startswith(SIGNATURE):
        raise Failure(UNUSABLE, f"{name}: is a .rgru file already")
    with _readable(name):
        image = Image.open(io.BytesIO(data))
    Limits(max_pixels=max_pixels).check_pixels(image.height, image.width)
    return image


def load(image: Image.Image, name: str) -> None:
    """Read the pixels.

    Raises:
        Failure: the picture is damaged or cut short.
    """
    with _readable(name):
        image.load()


def count_frames(image: Image.Image, name: str) -> int:
    """How many frames or pages a picture has.

    Raises:
        Failure: the picture is damaged where they are counted.
    """
    with _readable(name):
        frames = getattr(image, "n_frames", 1)
    return int(frames)


@contextlib.contextmanager
def _readable(name: str) -> Iterator[None]:
    from PIL import UnidentifiedImageError

    try:
        yield
    except MemoryError:
        raise
    except UnidentifiedImageError:
        raise Failure(UNUSABLE, f"{name}: is not a picture of a known format") from None
    except Exception as error:  # Pillow's readers raise what they like on bad files
        raise _unreadable(name, error) from None


def _unreadable(name: str, error: Exception) -> Failure:
    return Failure(UNUSABLE, f"{name}: the picture cannot be read: {error or type(error).__name__}")


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
