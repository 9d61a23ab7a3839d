"""compress, decompress, info: whole files in memory.

See :mod:`rgru_codec.progressive` for files that are still arriving.
"""

from __future__ import annotations

import dataclasses
import io
import math
import numbers
import os
import warnings
from collections.abc import Collection
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray
from PIL import Image, UnidentifiedImageError

from rgru_codec.iterations import Painter, encode
from rgru_codec.memory import encoding_bytes
from rgru_codec.models import Model, default_model
from rgru_codec.msssim import ms_ssim
from rgru_codec.picture import Planes, from_array, to_image, to_planes
from rgru_codec.progressive import Decoder, Source, mode_of
from rgru_format import (
    BOX_ALPHA,
    BOX_EXIF,
    BOX_ICC,
    BOX_XMP,
    SIGNATURE,
    Box,
    BoxRead,
    CodesEncoder,
    Damaged,
    GroupRead,
    Header,
    InvalidInput,
    LimitExceeded,
    Limits,
    NotRgru,
    Reader,
    RgruError,
    Writer,
    encode_alpha,
    read_file,
)


@dataclasses.dataclass(frozen=True)
class Target:
    """When to stop adding layers; at most one of the fields is set."""

    layers: int | None = None
    bytes: int | None = None
    """Largest size of the file."""
    ms_ssim: float | None = None
    exact: bool = True
    """Whether missing ``ms_ssim`` with all layers is an error."""


def psnr(a: NDArray[np.uint8], b: NDArray[np.uint8]) -> float:
    """Peak signal-to-noise ratio in decibels, over all channels; infinite for equal pictures."""
    total = 0.0
    for top in range(0, len(a), 256):  # in strips, so that large pictures need no large arrays
        difference = a[top : top + 256].astype(np.int16) - b[top : top + 256]
        total += float(np.square(difference, dtype=np.int32).sum(dtype=np.int64))
    mean = total / a.size
    return 10.0 * math.log10(255.0**2 / mean) if mean else math.inf


def quality_to_ms_ssim(quality: float) -> float:
    """The MS-SSIM that a quality asks for: 5 + 0.15·quality decibels.

    33 is about 0.90, 53 about 0.95, 80 is 0.98, 100 is 0.99.
    """
    return 1.0 - math.pow(10.0, -(5.0 + 0.15 * quality) / 10.0)


def compress(
    image: Image.Image | NDArray[Any] | Source,
    *,
    layers: int | None = None,
    quality: float | None = None,
    bpp: float | None = None,
    target_size: int | None = None,
    msssim: float | None = None,
    icc_profile: bytes | None = None,
    exif: bytes | None = None,
    xmp: bytes | None = None,
    strip: bool | Collection[str] = False,
    convert_depth: bool = False,
    frame: int | None = None,
    limits: Limits | None = None,
    model: Model | None = None,
    threads: int | None = None,
) -> bytes:
    """Compress a picture; the whole file as bytes.

    Of ``layers``, ``quality``, ``bpp``, ``target_size`` and ``msssim`` at most one may be given;
    by default the file has all layers. A file can be cut later: see ``rgru_format.cut_to_layers``.

    Args:
        image: a PIL image; or uint8 (H, W), (H, W, 2), (H, W, 3) or (H, W, 4); or a picture of
            another format: a path, an open file, or bytes.
        layers: so many layers (1 to the model's number).
        quality: 1 to 100; the fewest layers that reach an MS-SSIM of 5 + 0.15·quality decibels,
            or all layers if none does.
        bpp: bits per pixel that the file may take at most (whole file).
        target_size: bytes that the file may take at most.
        msssim: the fewest layers whose picture reaches this RGB MS-SSIM (0 to 1).
        icc_profile: to store instead of the picture's own.
        exif: likewise; with or without JPEG's prefix.
        xmp: likewise.
        strip: drop the picture's own metadata: all of it, or some of ``icc``, ``exif``, ``xmp``.
        convert_depth: scale pictures of more than 8 bits a channel (uint16 and floating point
            arrays too) instead of refusing them.
        frame: which frame of an animation, from 0; animations are refused otherwise.
        limits: largest picture accepted.
        model: a model package; by default the one that ships.
        threads: of the inference engine; by default all cores.

    Raises:
        InvalidInput: a picture or argument that cannot be represented, a target that cannot be met.
        LimitExceeded: the picture has more pixels, or needs more memory, than the limits allow.
    """
    picture = _as_image(image, convert_depth)
    limits = limits or Limits()
    check_encoding(picture.height, picture.width, limits, model)
    pixels = picture.height * picture.width
    target = target_of(layers, quality, bpp, target_size, msssim, pixels=pixels)
    planes = to_planes(picture, convert_depth=convert_depth, frame=frame)
    for note in planes.notes:
        warnings.warn(note, stacklevel=2)
    planes = planes.with_metadata(icc_profile, exif, xmp, strip=strip)
    return encode_planes(planes, target, limits=limits, model=model, threads=threads).data


def _as_image(image: Image.Image | NDArray[Any] | Source, convert_depth: bool) -> Image.Image:
    if isinstance(image, Image.Image):
        return image
    if isinstance(image, np.ndarray):
        return from_array(image, convert_depth=convert_depth)
    data = read_source(image)
    if data.startswith(SIGNATURE):
        raise InvalidInput("a .rgru file already; to compress it anew, decompress it first")
    try:
        return Image.open(io.BytesIO(data))
    except MemoryError:
        raise
    except UnidentifiedImageError:
        words = "not a picture of a known format" if data else "not a picture: it is empty"
        raise InvalidInput(words) from None
    except Exception as error:  # Pillow's readers raise what they like on bad files
        raise InvalidInput(f"not a picture that can be read: {error}") from None


def target_of(
    layers: int | None,
    quality: float | None,
    bpp: float | None,
    target_size: int | None,
    msssim: float | None,
    *,
    pixels: int = 1,
) -> Target:
    """The target that the arguments of :func:`compress` ask for.

    Raises:
        InvalidInput: more than one is given, or one is out of its range.
    """
    given = {
        "layers": layers,
        "quality": quality,
        "bpp": bpp,
        "target_size": target_size,
        "msssim": msssim,
    }
    for name, value in given.items():
        kind = numbers.Integral if name == "layers" else numbers.Real
        if not isinstance(value, kind | None):
            words = "a whole number" if name == "layers" else "a number"
            raise InvalidInput(f"{name} must be {words}, got {value!r}")
    named = [name for name, value in given.items() if value is not None]
    if len(named) > 1:
        raise InvalidInput(f"{' and '.join(named)} exclude each other; give one of them")
    if quality is not None:
        if not 1 <= quality <= 100:
            raise InvalidInput(f"quality must be 1..100, got {quality}")
        return Target(ms_ssim=quality_to_ms_ssim(quality), exact=False)
    if msssim is not None and not 0 < msssim < 1:
        raise InvalidInput(f"msssim must lie between 0 and 1, got {msssim}")
    for name in ("bpp", "target_size"):
        value = given[name]
        if value is not None and not 0 < value < math.inf:
            raise InvalidInput(f"{name} must be above 0, got {value}")
    if bpp is not None:
        target_size = int(bpp * pixels / 8)
    return Target(layers=layers, bytes=target_size, ms_ssim=msssim)


@dataclasses.dataclass(frozen=True)
class Encoded:
    """A compressed picture, and what a decoder will show of it."""

    data: bytes
    """The whole file."""
    layers: int
    """Complete layers in it."""
    groups: int
    """Groups of the layer after them."""
    shown: NDArray[np.uint8]
    """(H, W, 3): the picture that ``data`` decodes to; three equal planes if it is grey."""


def encode_planes(
    planes: Planes,
    target: Target,
    *,
    limits: Limits | None = None,
    model: Model | None = None,
    threads: int | None = None,
) -> Encoded:
    """:func:`compress` for a picture that has been taken apart.

    Raises:
        InvalidInput, LimitExceeded: as :func:`compress`.
    """
    boxes = [
        Box(name, content)
        for name, content in (
            (BOX_ICC, planes.icc_profile),
            (BOX_EXIF, planes.exif),
            (BOX_XMP, planes.xmp),
        )
        if content
    ]
    most, metadata = (limits or Limits()).max_metadata_bytes, sum(len(b.content) + 4 for b in boxes)
    if metadata > most:
        raise LimitExceeded("max_metadata_bytes", metadata, most)
    return _Encoding(model or default_model(), planes, boxes, target).run(threads)


def check_encoding(height: int, width: int, limits: Limits, model: Model | None = None) -> None:
    """Refuse a picture before work is spent on it.

    Raises:
        LimitExceeded: more pixels than allowed, or more memory would be needed.
    """
    limits.check_pixels(height, width)
    if limits.max_memory is not None:
        limits.check_memory(encoding_bytes(model or default_model(), height, width))


class _Encoding:
    """One run of the encoder: adds groups of codes until the target is met."""

    def __init__(self, model: Model, planes: Planes, boxes: list[Box], target: Target) -> None:
        height, width = planes.pixels.shape[:2]
        self.model, self.planes, self.target = model, planes, target
        self.most = model.iterations if target.layers is None else target.layers
        if not 1 <= self.most <= model.iterations:
            raise InvalidInput(f"layers must be 1..{model.iterations}, got {self.most}")
        header = Header(width, height, model.id, grey=planes.grey, alpha=planes.alpha is not None)
        self.writer = Writer(header, boxes)
        self.coder = CodesEncoder(model.context(), *model.grid(height, width))

    def run(self, threads: int | None) -> Encoded:
        reached = 0.0
        for codes, painter in encode(self.model, self.planes.pixels, threads):
            groups = self.coder.encode_layer(codes)
            del codes  # the coder has a copy
            cut = self._add_layer(groups)
            if cut is not None:
                return self._cut(cut, threads)
            if self.target.ms_ssim is not None:
                reached = self._ms_ssim(painter, least=self.target.ms_ssim)
            if self.coder.layer >= self.most or reached >= (self.target.ms_ssim or 2.0):
                break
        if self.target.exact and reached < (self.target.ms_ssim or 0.0):
            reached = self._ms_ssim(painter)
            raise InvalidInput(
                f"msssim {self.target.ms_ssim} cannot be reached: all {self.coder.layer} layers "
                f"give {reached:.4f}; ask for less, or for layers={self.coder.layer}"
            )
        return Encoded(self.writer.getvalue(), self.coder.layer, 0, self._shown(painter))

    def _add_layer(self, groups: list[bytes]) -> bytes | None:
        """Append groups, and alpha behind layer 1; the file so far if the next does not fit."""
        for number, payload in enumerate(groups):
            before = self.writer.getvalue() if self.target.bytes is not None else b""
            self.writer.add_group(payload, first_of_layer=number == 0)
            if self._too_large():
                return before
        if self.coder.layer == 1 and self.planes.alpha is not None:
            self.writer.add_box(Box(BOX_ALPHA, encode_alpha(self.planes.alpha)))
            if self._too_large():
                return b""  # a file without its alpha plane is not this picture
        return None

    def _too_large(self) -> bool:
        return self.target.bytes is not None and self.writer.size > self.target.bytes

    def _cut(self, data: bytes, threads: int | None) -> Encoded:
        """The file before what did not fit, if that holds codes at all."""
        groups = read_file(data).groups if data else ()
        if not groups:
            raise InvalidInput(
                f"a target of {self.target.bytes} bytes cannot be met: the smallest file of this "
                f"picture has {self.writer.size} bytes"
            )
        decoder = Decoder(threads=threads, model=self.model)
        decoder.feed(data)
        shown = np.asarray(decoder.picture().convert("RGB"))
        return Encoded(data, decoder.layers, decoder.groups, shown)

    def _ms_ssim(self, painter: Painter, least: float = 0.0) -> float:
        return ms_ssim(self._shown(painter), self.planes.pixels, least=least)

    def _shown(self, painter: Painter) -> NDArray[np.uint8]:
        """What a decoder would show now."""
        pixels = painter.show()
        if self.planes.grey:
            pixels = np.asarray(to_image(pixels, True, None).convert("RGB"))
        return pixels


def decompress(
    source: Source,
    layers: int | None = None,
    *,
    partial: bool = False,
    limits: Limits | None = None,
    threads: int | None = None,
    model: Model | None = None,
    region: tuple[int, int, int, int] | None = None,
) -> Image.Image:
    """The picture of a file, or of any beginning of one that holds the header.

    Args:
        source: a whole file, or the first bytes of one: bytes, a path, or an open file.
        layers: use at most so many layers; by default all that are there.
        partial: of a damaged file, return what comes before the damage.
        limits: what the file may ask for.
        threads: of the inference engine; by default all cores.
        model: a model package that is not installed.
        region: (x, y, width, height) of the part to return, in pixels: the crop of the whole
            picture (within a level), for less work.

    Returns:
        Mode L, LA, RGB or RGBA. ``info`` holds ``icc_profile``, ``exif`` and ``xmp`` if present,
        and ``layers``, the complete layers that were used.

    Raises:
        NotRgru, UnsupportedVersion, Damaged, LimitExceeded, ModelMissing: see
            :mod:`rgru_format.errors`. Damage behind the layers asked for is none.
        InvalidInput: the region does not lie in the picture.
    """
    decoder = Decoder(layers=layers, limits=limits, threads=threads, model=model, region=region)
    decoder.feed(read_source(source))
    try:
        decoder.close()
    except Damaged:
        enough = layers is not None and decoder.layers >= layers
        if decoder.header is None or not (partial or enough):
            raise
    return decoder.picture()


def read_source(source: Source) -> bytes:
    """All bytes of a source.

    Raises:
        OSError: it cannot be read.
        InvalidInput: it is no source.
    """
    if isinstance(source, bytes | bytearray | memoryview):
        return bytes(source)
    if isinstance(source, str | os.PathLike):
        return Path(source).read_bytes()
    if hasattr(source, "read"):
        return bytes(source.read())
    raise InvalidInput(f"bytes, a path or an open file is needed, got {type(source).__name__}")


def layers_for(data: bytes, size: int, *, limits: Limits | None = None) -> int:
    """How many layers a picture scaled down to ``size`` pixels (longer side) can show.

    The fewest that bring 4 bits for each of its pixels; more would be averaged away.
    """
    found, _ = inspect(data, limits=limits)
    width, height = found.header.width, found.header.height
    scale = min(1.0, size / max(width, height))
    enough = 4.0 * width * height * scale**2 / 8.0
    for layer in found.layers:
        if layer.end >= enough and scale < 1.0:
            return layer.number
    return len(found.layers)


def thumbnail(
    source: Source, size: int, *, limits: Limits | None = None, threads: int | None = None
) -> Image.Image:
    """A small picture of a file, from as few layers as it can show; cut and damaged files too.

    Args:
        source: a file, or the beginning of one: bytes, a path, or an open file.
        size: the longer side, in pixels; a smaller picture keeps its size.
        limits: what the file may ask for.
        threads: of the inference engine; by default all cores.

    Raises:
        NotRgru, UnsupportedVersion, Damaged, LimitExceeded, ModelMissing: as :func:`decompress`.
    """
    data = read_source(source)
    layers = layers_for(data, size, limits=limits)
    image = decompress(data, layers, partial=True, limits=limits, threads=threads)
    image.thumbnail((size, size), Image.Resampling.LANCZOS, reducing_gap=None)
    return image


@dataclasses.dataclass(frozen=True)
class LayerInfo:
    """One layer of a file."""

    number: int
    """From 1."""
    groups: int
    """Groups that are there."""
    complete: bool | None
    """Whether all its groups are there; None if the model is not installed."""
    bytes: int
    """Size of its groups, framing included."""
    framing: int
    """Bytes of lengths and checksums among them."""
    end: int
    """The file up to here holds this layer and those before it."""
    offsets: tuple[int, ...]
    """Where its groups begin."""


@dataclasses.dataclass(frozen=True)
class Info:
    """What a file says of itself; no pixel is decoded for it."""

    header: Header
    layers: tuple[LayerInfo, ...]
    boxes: tuple[Box, ...]
    size: int
    """Bytes of the file."""
    unfinished: int
    """Bytes at its end that belong to a group or box that was cut."""


def info(source: Source, *, limits: Limits | None = None) -> Info:
    """Header, layers and boxes of a file (bytes, a path, or an open file).

    Raises:
        NotRgru, UnsupportedVersion, Damaged, LimitExceeded: see :mod:`rgru_format.errors`.
    """
    found, fault = inspect(read_source(source), limits=limits)
    if fault is not None:
        raise fault
    return found


def inspect(data: bytes, *, limits: Limits | None = None) -> tuple[Info, RgruError | None]:
    """:func:`info` of what comes before a fault, and the fault if there is one.

    Raises:
        NotRgru, UnsupportedVersion, Damaged, LimitExceeded: the header itself cannot be used.
    """
    reader = Reader(limits)
    events = reader.feed(data)
    ending, fault = None, None
    try:
        ending = reader.close()
    except RgruError as error:
        fault = error
    if reader.header is None:
        raise fault or NotRgru("not a .rgru file: it is empty")
    groups: dict[int, list[GroupRead]] = {}
    for group in events:
        if isinstance(group, GroupRead):
            groups.setdefault(group.layer, []).append(group)
    expected = _expected_groups(reader.header)
    layers = tuple(_layer_info(number, found, expected) for number, found in groups.items())
    boxes = tuple(event.box for event in events if isinstance(event, BoxRead))
    unfinished = ending.unfinished if ending else 0
    return Info(reader.header, layers, boxes, len(data), unfinished), fault


def _layer_info(number: int, found: list[GroupRead], expected: tuple[int, ...] | None) -> LayerInfo:
    complete = None
    if expected is not None and number <= len(expected):
        complete = len(found) >= expected[number - 1]
    return LayerInfo(
        number,
        len(found),
        complete,
        sum(group.end - group.offset for group in found),
        sum(group.end - group.offset - len(group.payload) for group in found),
        found[-1].end,
        tuple(group.offset for group in found),
    )


def _expected_groups(header: Header) -> tuple[int, ...] | None:
    from rgru_codec.models import find_model
    from rgru_format import ModelMissing

    try:
        return find_model(header.model_id).context().groups
    except ModelMissing:
        return None


def as_dict(found: Info) -> dict[str, Any]:
    """:class:`Info` as plain values, for JSON; metadata as sizes."""
    pixels = found.header.width * found.header.height
    return {
        "width": found.header.width,
        "height": found.header.height,
        "mode": mode_of(found.header),
        "version": found.header.version,
        "model": found.header.model_id.hex(),
        "size": found.size,
        "bpp": round(8 * found.size / pixels, 5),
        "unfinished": found.unfinished,
        "layers": [
            {
                "layer": layer.number,
                "groups": layer.groups,
                "complete": layer.complete,
                "bytes": layer.bytes,
                "framing": layer.framing,
                "end": layer.end,
                "bpp": round(8 * layer.end / pixels, 5),
            }
            for layer in found.layers
        ],
        "metadata": {box.type.decode("latin-1").strip(): len(box.content) for box in found.boxes},
    }
