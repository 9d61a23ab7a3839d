"""Opening and saving pictures of other formats, with errors that name the file."""

from __future__ import annotations

import contextlib
import io
import re
from collections.abc import Iterator
from pathlib import Path
from typing import TYPE_CHECKING, Any

from rgru_codec.cli.files import PICTURE_SUFFIXES, RGRU, display_name, opened
from rgru_codec.cli.status import UNUSABLE, USAGE, Failure

if TYPE_CHECKING:
    from PIL import Image

    from rgru_format import InvalidInput, Limits


def known_suffixes() -> frozenset[str]:
    """Return the suffixes of pictures that can be read, .rgru apart."""
    from PIL import Image

    from rgru_codec.source import readable_formats

    Image.init()
    formats = set(readable_formats())
    readable = {s for s, name in Image.registered_extensions().items() if name in formats}
    return frozenset(readable - {".rgru", ".pdf", ".mpg", ".mpeg"})


def without_pillows_limit() -> None:
    """Let Pillow open pictures of any size: our own limit is checked, and users can raise it."""
    from PIL import Image

    Image.MAX_IMAGE_PIXELS = None


def read_picture(source: str, limits: Limits | None = None) -> bytes:
    """Read a picture; of a large file, or an endless stream, that is none only the beginning."""
    from rgru_codec.source import read_source

    with opened(source) as file:
        head = file.read(_LARGE)
        if len(head) == _LARGE and not _may_be_picture(head):
            shown = display_name(source)
            raise Failure(UNUSABLE, f"{shown}: is not a picture of a known format")
        return read_source(file, limits, head)


def _may_be_picture(head: bytes) -> bool:
    """Tell whether a file can be a picture, .rgru included, by its beginning."""
    from PIL import Image

    from rgru_codec.source import readable_formats
    from rgru_format import SIGNATURE

    Image.init()
    unsigned = []
    for name in readable_formats():
        accept = Image.OPEN[name][1]
        if accept is None:
            unsigned.append(name)
        elif accept(head[:16]):
            return True
    try:
        with Image.open(io.BytesIO(head), formats=unsigned):
            return True
    except Exception:  # Pillow's readers raise what they like
        return head.startswith(SIGNATURE)


_OPTIONS: dict[str, dict[str, Any]] = {
    "JPEG": {"quality": 95, "subsampling": 0},
    "PNG": {"compress_level": 1, "compress_type": 3},  # runs only: fast, and small for photos
    "WEBP": {"lossless": True, "exact": True},  # colour under full transparency, too
}
_LOSSY: dict[str, dict[str, Any]] = {"JPEG": {}, "WEBP": {"lossless": False}, "AVIF": {}}
"""Formats whose quality can be chosen, and what goes with it."""
_EXACT = frozenset({"AVIF", "JPEG", "JPEG2000", "MPO", "PNG", "TIFF", "WEBP"})
"""Formats that keep size and alpha, or refuse a picture, and whose loss of colour is meant."""
_OPAQUE = frozenset({"BMP", "DIB", "PPM"})
"""Formats that keep everything but alpha."""
_ALPHALESS = _OPAQUE | {"EPS", "JPEG", "MPO", "PCX"}
_MISNAMED = frozenset({".pbm", ".pfm"})
"""Suffixes under which Pillow writes PPM all the same."""
_LARGEST_ICON = 256
_NAMES = {"icc_profile": "the ICC profile", "exif": "Exif", "xmp": "XMP"}
_LARGE = 1 << 24
"""Bytes of files that are looked at before they are read."""
_USUAL = ".png, .jpg, .webp, .avif, .tiff, .gif, .bmp or .ppm"
_WORD = re.compile(r"\.(?!v\d)[a-z][a-z0-9]{0,7}")
"""Suffixes that say something, known or not: ``.mp4``; ``.v2`` and ``.2024-05-01`` say nothing."""
_TIFF_XMP = 700
_LARGEST_DPI = 1e5


def format_suffix(text: str) -> str:
    """Return the suffix, with its dot, of a format as ``--format`` names it."""
    from PIL import Image

    suffix = "." + text.lower().removeprefix(".")
    if suffix in RGRU.suffixes | _MISNAMED or _registered(suffix) not in Image.SAVE:
        raise Failure(
            USAGE,
            f"--format {text}: no picture format is known by this name that can be written; use "
            f"{_USUAL}, or the suffix of another",
        )
    return suffix


def picture_format(name: str, default: str | None = None) -> str:
    """Return Pillow's name of the format that a file name, or a suffix alone, asks for.

    ``default`` is the suffix of names that say nothing, such as ``photo.2024-05-01``. Without it
    these are ``.png``, and names that say something which is not known are refused.
    """
    from PIL import Image

    suffix = Path(f"x{name}" if name.startswith(".") and "." not in name[1:] else name).suffix
    suffix = suffix.lower()
    if suffix in RGRU.suffixes:
        raise Failure(USAGE, f"{name}: the output of this command is a picture, such as .png")
    found = _registered(suffix)
    if found is not None and found in Image.SAVE and suffix not in _MISNAMED:
        return found
    known = found is not None or suffix in PICTURE_SUFFIXES
    if known or (default is None and _WORD.fullmatch(suffix)):
        raise Failure(
            USAGE,
            f"{name}: no picture format is known by {suffix!r} that can be written; use "
            f"{_USUAL}" + ("" if known else ", or say it with --format"),
        )
    return "PNG" if default is None else picture_format(default)


def _registered(suffix: str) -> str | None:
    """Return Pillow's name of the format of a suffix, whether it can be written or not."""
    from PIL import Image

    Image.preinit()  # the usual formats; loading all of them takes a tenth of a second
    return Image.EXTENSION.get(suffix) or Image.registered_extensions().get(suffix)


def encode_picture(
    image: Image.Image, kind: str, quality: int | None = None
) -> tuple[bytes, tuple[str, ...]]:
    """Encode a picture with its metadata, as far as the format, by Pillow's name, has room for it.

    Returns the file, and what was left out of it or changed, in words. Of formats that have a
    quality None is nearly lossless.
    """
    info, image.info = image.info, {}  # Pillow's writers look there too; a copy would double it
    try:
        shown = _opaque(image, kind) if kind in _ALPHALESS else image
        options, missing = _options(shown, info, kind, quality)
        with refusals(kind):
            content = _encoded(shown, kind, options)
        changes = _changes(shown, kind, content)
    finally:
        image.info = info
    return content, _left_out(missing, kind) + changes


def _opaque(image: Image.Image, kind: str) -> Image.Image:
    """Return a picture without the alpha that it does not need."""
    if image.mode not in ("LA", "RGBA"):
        return image
    if image.getchannel("A").getextrema() != (255, 255):
        raise cannot_hold(kind, "its alpha would be lost")
    return image.convert(image.mode[:-1])


def _options(
    image: Image.Image, info: dict[Any, Any], kind: str, quality: int | None
) -> tuple[dict[str, Any], list[str]]:
    """Return Pillow's options of a picture, and which of its metadata the format cannot hold."""
    from rgru_codec.exif import says_nothing, without_prefix
    from rgru_format import InvalidInput

    options = {**_OPTIONS.get(kind, {}), **_resolution(info.get("exif", b""))}
    if quality is not None:
        if kind not in _LOSSY:
            raise InvalidInput(f"{kind} has no quality; it is for .jpg, .webp and .avif")
        options |= {**_LOSSY[kind], "quality": quality}
    sample, missing = image.crop((0, 0, 1, 1)), list[str]()
    for name in _NAMES:
        if name not in info:
            continue
        with_it = _with_piece(options, kind, name, info[name])
        if with_it is not None and _holds(sample, kind, with_it, name):
            options = with_it
        elif not (name == "exif" and says_nothing(without_prefix(info[name]))):
            missing.append(_NAMES[name])
    if kind == "ICO":
        if max(image.size) > _LARGEST_ICON:
            raise cannot_hold(kind, f"it has more than {_LARGEST_ICON} pixels on a side")
        options["sizes"] = [image.size]  # rather than the usual ones below it
    return options, missing


@contextlib.contextmanager
def refusals(kind: str, words: str = "") -> Iterator[None]:
    """Put what Pillow's writers and readers raise, which is what they like, as `cannot_hold`."""
    try:
        yield
    except MemoryError:
        raise
    except Exception as error:
        raise cannot_hold(kind, f"{words} ({error})" if words else str(error)) from None


def cannot_hold(kind: str, why: str) -> InvalidInput:
    """Return the error of a picture that a format, by Pillow's name, has no room for."""
    from rgru_format import InvalidInput

    return InvalidInput(f"{kind} cannot hold this picture: {why}; use .png")


def _changes(image: Image.Image, kind: str, content: bytes) -> tuple[str, ...]:
    """Say what a format has made of the colours, unless it is known to keep them.

    Pillow's writers scale, and drop alpha, without a word: the file is read again.
    """
    from rgru_codec.source import readable_formats

    alpha = image.mode in ("LA", "RGBA")
    if kind in _EXACT | _OPAQUE or kind not in readable_formats():
        return ()
    without_pillows_limit()
    with refusals(kind, "what was written cannot be read"):
        back = _read_again(content, kind)
    if back.size != image.size:
        sizes = [f"{width}x{height}" for width, height in (image.size, back.size)]
        raise cannot_hold(kind, f"its {sizes[0]} pixels would become {sizes[1]}")
    if alpha and back.convert("RGBA").getchannel("A").tobytes() != image.getchannel("A").tobytes():
        raise cannot_hold(kind, "its alpha would be lost")
    if back.convert("RGB").tobytes() == image.convert("RGB").tobytes():
        return ()
    return (f"colours were changed, {kind} cannot hold all of them",)


def _left_out(missing: list[str], kind: str) -> tuple[str, ...]:
    if not missing:
        return ()
    *others, last = missing
    listed = f"{', '.join(others)} and {last}" if others else last
    return (f"metadata was left out, {kind} cannot hold {listed}",)


def _with_piece(
    options: dict[str, Any], kind: str, name: str, content: bytes
) -> dict[str, Any] | None:
    """Return Pillow's options with one more piece of metadata; None if it cannot be read."""
    if name == "xmp" and kind == "PNG":
        from PIL.PngImagePlugin import PngInfo

        info = PngInfo()
        try:
            info.add_itxt("XML:com.adobe.xmp", content.decode())
        except UnicodeDecodeError:
            return None
        return {**options, "pnginfo": info}
    if name == "xmp" and kind == "JPEG":  # Pillow writes one segment, and refuses what needs more
        from rgru_codec.xmp import segments

        found = segments(content)
        return None if found is None else {**options, "extra": found}
    if kind == "TIFF" and name in ("exif", "xmp"):  # both are tags of the picture's directory
        from PIL import Image

        tags = options.get("exif") or Image.Exif()
        try:
            if name == "exif":
                tags.load(content)
            else:
                tags[_TIFF_XMP] = content
        except Exception:  # a structure that cannot be followed
            return None
        return {**options, "exif": tags}
    return {**options, name: content}


def _holds(sample: Image.Image, kind: str, options: dict[str, Any], name: str) -> bool:
    """Tell whether metadata is found again in a picture of one pixel that was given it."""
    try:
        back = _read_again(_encoded(sample, kind, options), kind)
        if kind == "TIFF" and name == "exif":
            return len(options["exif"]) > 0 and set(options["exif"]) <= set(back.getexif())
        return bool(back.info.get(name))
    except MemoryError:
        raise
    except Exception:  # Pillow's writers and readers raise what they like
        return False


def _resolution(exif: bytes) -> dict[str, Any]:
    """Find dots per inch, which formats keep in a place of their own as well."""
    from rgru_codec.exif import resolution_of, without_prefix

    found = resolution_of(without_prefix(exif))
    if found is None or not all(0 < value < _LARGEST_DPI for value in found):
        return {}
    return {"dpi": found}


def _encoded(image: Image.Image, kind: str, options: dict[str, Any]) -> bytes:
    buffer = io.BytesIO()  # Pillow seeks; pipes cannot
    image.save(buffer, kind, **options)
    return buffer.getvalue()


def _read_again(content: bytes, kind: str) -> Image.Image:
    from PIL import Image

    image = Image.open(io.BytesIO(content), formats=[kind])
    image.load()
    return image
