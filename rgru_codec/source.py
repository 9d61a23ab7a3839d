"""Where files and pictures come from: bytes, a path, something open, a PIL image, an array."""

from __future__ import annotations

import contextlib
import io
import os
import stat
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import IO, Any

import numpy as np
from numpy.typing import NDArray
from PIL import Image, UnidentifiedImageError

from rgru_codec.foreign import readable_png
from rgru_codec.picture import Planes, from_array, reading, to_planes
from rgru_format import (
    SIGNATURE,
    InvalidInput,
    LimitExceeded,
    Limits,
    Reader,
    RgruError,
    Unreadable,
)
from rgru_format.limits import as_number

Source = bytes | bytearray | memoryview | str | os.PathLike[str] | IO[bytes]
"""Where a file can come from: its bytes, a path, or something open."""

Picture = Image.Image | NDArray[Any] | Source
"""What can be compressed: a PIL image, an array, or a file of another format."""

_FOREIGN = frozenset({"EPS"})
"""Formats that Pillow reads by running another program on the file's content."""
_SIGNED = frozenset({"AVIF", "GIF", "JPEG", "JPEG2000", "PNG", "QOI", "TIFF", "WEBP"})
"""Formats whose signature nothing else has."""
_LONG = 255
"""Characters: names of files are shorter."""

_OF_FILE = "its file alone has so many bytes; pass Limits(max_memory=...) to allow more than that"
_PIECE = 1 << 16
_LARGEST_PIXEL = 16
"""Bytes that a pixel takes at most in a file of another format: four channels of 32 bits."""


def as_count(name: str, value: object, least: int) -> int:
    """Return an argument that is a whole number of at least ``least``.

    Raises:
        InvalidInput: It is none.
    """
    count = as_number(value)
    if not isinstance(count, int) or count < least:
        raise InvalidInput(f"{name} must be a whole number, {least} or more, got {value!r}")
    return count


def as_region(region: tuple[int, int, int, int] | None) -> tuple[int, int, int, int] | None:
    """Return an argument (x, y, width, height) as whole numbers; None: the whole picture.

    Raises:
        InvalidInput: It is no such thing.
    """
    if region is None:
        return None
    match [as_number(side) for side in region] if isinstance(region, tuple | list) else []:
        case [int(x), int(y), int(width), int(height)]:
            return x, y, width, height
    raise InvalidInput(f"region must be (x, y, width, height) in pixels, got {region!r}")


def check_limits(limits: object) -> None:
    """Refuse limits that are none.

    Raises:
        InvalidInput: As said.
    """
    if not isinstance(limits, Limits | None):
        raise InvalidInput(f"limits must be Limits(...), got {limits!r}")


def as_path(name: str | os.PathLike[str]) -> Path:
    """Return a path.

    Raises:
        InvalidInput: No file can have the name, or it is empty.
    """
    try:
        if b"\0" in os.fsencode(name):
            raise ValueError("embedded null byte")
    except ValueError as error:
        raise InvalidInput(f"no file has the name {_quoted(os.fspath(name))}: {error}") from None
    if not name:
        raise InvalidInput("no file has an empty name")  # it would be the folder
    return Path(os.fsdecode(name))


def _quoted(name: str | bytes) -> str:
    """Quote a name; one that is long is the content of a file, which is to be given as bytes."""
    if len(name) <= _LONG:
        return repr(name)
    return f"{name[:40]!r}... (to give content rather than a path, pass bytes)"


def read_source(source: Source, limits: Limits | None = None, begin: bytes = b"") -> bytes:
    """Read all bytes of a picture file, unless they are more than it may have.

    That is ``limits.max_memory``; by default 16 bytes for each of ``limits.max_pixels``, the most
    that a pixel takes in any format, and ``limits.max_metadata_bytes``.

    Args:
        source: The file; bytes are in memory already, and not counted.
        limits: As said.
        begin: What has been read of it.

    Raises:
        OSError: It cannot be read.
        InvalidInput: It is no source.
        LimitExceeded: It has more bytes; a file tells by its size, a stream is read so far.
    """
    if isinstance(source, bytes | bytearray | memoryview):
        return bytes(source)
    if isinstance(source, str | os.PathLike):
        with as_path(source).open("rb") as file:
            return read_source(file, limits)
    bounds = limits or Limits()
    most: float = _LARGEST_PIXEL * bounds.max_pixels + bounds.max_metadata_bytes
    if bounds.max_memory is not None:
        most = bounds.max_memory
    _check_bytes(len(begin) + _left_of(source), most)
    held = io.BytesIO()  # gives its bytes away without a copy
    held.write(begin)
    for piece in pieces_of(source):
        _check_bytes(held.tell() + len(piece), most)
        held.write(piece)
    return held.getvalue()


def _check_bytes(size: int, most: float) -> None:
    if size > most:
        raise LimitExceeded("max_memory", size, int(most), _OF_FILE, "file")


def _left_of(file: Any) -> int:
    """Bytes of a file on a disk that have not been read; 0 of a stream, which does not tell."""
    try:
        found = os.fstat(file.fileno())
        return found.st_size - int(file.tell()) if stat.S_ISREG(found.st_mode) else 0
    except (AttributeError, TypeError, OSError, ValueError):
        return 0


def pieces_of(
    source: Source, wanted: Callable[[], int] = lambda: _PIECE, *, at_once: bool = False
) -> Iterator[bytes]:
    """Yield all bytes of a source, a piece at a time; bytes are one piece.

    Args:
        source: The file.
        wanted: Tells how many bytes to read next.
        at_once: Do not wait until so many are there, if the source can be read like that.

    Raises:
        OSError: It cannot be read.
        InvalidInput: It is no source.
    """
    if isinstance(source, bytes | bytearray | memoryview):
        yield bytes(source)
    elif isinstance(source, str | os.PathLike):
        with as_path(source).open("rb") as file:
            yield from pieces_of(file, wanted, at_once=at_once)
    elif callable(packets := getattr(source, "iter_bytes", None)):  # httpx
        yield from map(checked, packets())
    elif callable(
        read := (at_once and getattr(source, "read1", None)) or getattr(source, "read", 0)
    ):
        while piece := checked(pulled(read, wanted())):
            yield piece
    else:
        raise InvalidInput(f"bytes, a path or an open file is needed, got {type(source).__name__}")


def checked(data: Any) -> bytes:
    """Return what a source gave, if it is bytes.

    Raises:
        InvalidInput: It is not.
    """
    if isinstance(data, bytes | bytearray | memoryview):
        return bytes(data)
    raise InvalidInput(
        f"bytes are needed, as of a file opened in binary mode; it gave {type(data).__name__}"
    )


def pulled(read: Callable[[int], Any], size: int) -> Any:
    """Return what a source gives when it is asked for so many bytes.

    Raises:
        OSError: It cannot be read.
        InvalidInput: It is closed, decodes text, or gives nothing for now.
    """
    try:
        data = read(size)
    except ValueError as error:  # the file is closed, or decodes text
        raise InvalidInput(f"a file open for reading in binary mode is needed: {error}") from None
    except TypeError:
        raise InvalidInput(
            "the source's read() takes no number of bytes; give its bytes, or to iter_pictures an "
            "iterable of its packets, such as response.iter_bytes(), or its stream, such as "
            "response.content"
        ) from None
    if data is None:
        raise InvalidInput(
            "a stream that blocks is needed, this one has no bytes yet: open it without "
            "O_NONBLOCK, or call setblocking(True)"
        )
    return data


def read_rgru(source: Source, limits: Limits | None = None) -> bytes:
    """Read a .rgru file, or its beginning, as long as it is one; bytes are taken as they are.

    What stands behind its end or a fault is not read, apart from the rest of its piece: a file of
    another kind costs its first bytes, however large it is. Faults are left to who decodes it.

    Raises:
        OSError, InvalidInput: As `pieces_of`.
    """
    if isinstance(source, bytes | bytearray | memoryview):
        return bytes(source)
    reader, pieces = Reader(limits), []
    for piece in pieces_of(source):
        pieces.append(piece)
        with contextlib.suppress(RgruError):
            reader.feed(piece)
        if reader.error is not None or reader.ended:
            break
    return b"".join(pieces)


def open_picture(source: Source, limits: Limits | None = None) -> Image.Image:
    """Open a picture of another format; its pixels are not read yet.

    Args:
        source: The picture's file.
        limits: How large that may be: see `read_source`.

    Raises:
        OSError: The source cannot be read.
        LimitExceeded: It has more bytes than a picture within the limits can take.
        Unreadable: It holds no picture of a known format.
        InvalidInput: It is no source, or holds a .rgru file.
    """
    data = read_source(source, limits)
    if data.startswith(SIGNATURE):
        raise Unreadable("is a .rgru file already; to compress it anew, decompress it first")
    if not data:
        raise Unreadable("is empty")
    with reading():
        try:
            return _opened(readable_png(data))
        except UnidentifiedImageError:
            raise Unreadable(_unidentified(data[:16])) from None


def _unidentified(head: bytes) -> str:
    """Say what is wrong with a file that no reader takes: some know it by its signature."""
    for name in _SIGNED & Image.OPEN.keys():
        accept = Image.OPEN[name][1]
        if accept is not None and accept(head):
            return f"begins as {name}, but its header is damaged, cut short, or of a rare kind"
    return "is not a picture of a known format"


def _opened(data: bytes) -> Image.Image:
    Image.preinit()  # the usual formats; loading all of them takes a tenth of a second
    try:
        return Image.open(io.BytesIO(data), formats=readable_formats())
    except UnidentifiedImageError:
        before = readable_formats()
        Image.init()
        formats = [name for name in readable_formats() if name not in before]
        return Image.open(io.BytesIO(data), formats=formats)


def readable_formats() -> list[str]:
    """List Pillow's names of the formats that are read, as far as their readers are loaded.

    Formats that are read by running another program are left out: that program would see the
    file's content, whatever its name says.
    """
    return [name for name in Image.ID if name not in _FOREIGN | {"RGRU"}]


def as_image(
    picture: Picture, *, convert_depth: bool = False, limits: Limits | None = None
) -> Image.Image:
    """Make a PIL image of whatever can be compressed; a file's pixels are not read yet.

    Args:
        picture: A PIL image, an array as `rgru_codec.picture.from_array` takes it, or a source.
        convert_depth: Scale arrays of more than 8 bits a channel instead of refusing them.
        limits: How large a file may be.

    Raises:
        InvalidInput, LimitExceeded, OSError: As `open_picture` and `from_array`.
    """
    if isinstance(picture, Image.Image):
        return picture
    if isinstance(picture, np.ndarray):
        return from_array(picture, convert_depth=convert_depth)
    return open_picture(picture, limits)


def read_planes(
    picture: Picture,
    *,
    convert_depth: bool = False,
    frame: int | None = None,
    limits: Limits | None = None,
) -> Planes:
    """Read a picture as the codec sees it: upright, 8-bit RGB or grey, alpha and metadata apart.

    Args:
        picture: A PIL image, an array, or a picture file: a path, an open file, or bytes.
        convert_depth: Scale more than 8 bits a channel instead of refusing them.
        frame: Which frame of an animation, from 0; animations are refused otherwise. Of files
            whose further frames are previews or parts (MPO, PSD) it is the first.
        limits: Largest picture that is accepted, and so the largest file: see `read_source`.

    Raises:
        Unreadable: No picture of a known format, damaged, or cut short.
        InvalidInput: More than 8 bits a channel or several frames, and not asked to convert.
        LimitExceeded: More pixels or bytes than allowed; found before they are read.
        OSError: The source cannot be read.
    """
    check_limits(limits)
    frame = None if frame is None else as_count("frame", frame, 0)
    image = as_image(picture, convert_depth=convert_depth, limits=limits)
    (limits or Limits()).check_pixels(image.height, image.width)
    return to_planes(image, convert_depth=convert_depth, frame=frame)
