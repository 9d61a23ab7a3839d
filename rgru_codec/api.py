"""compress, decompress, info: whole files in memory.

See :mod:`rgru_codec.progressive` for files that are still arriving.
"""

from __future__ import annotations

import dataclasses
from typing import Any

import numpy as np
from numpy.typing import NDArray
from PIL import Image

from rgru_codec.iterations import Painter, encode, to_pixels
from rgru_codec.models import Model, default_model
from rgru_codec.msssim import ms_ssim
from rgru_codec.picture import Planes, from_array, to_planes
from rgru_codec.progressive import Decoder
from rgru_format import (
    BOX_ALPHA,
    BOX_EXIF,
    BOX_ICC,
    BOX_XMP,
    Box,
    CodesEncoder,
    GroupRead,
    Header,
    InvalidInput,
    Limits,
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


def quality_to_ms_ssim(quality: float) -> float:
    """The MS-SSIM that a quality asks for: 5 + 0.15·quality decibels.

    33 is about 0.90, 53 about 0.95, 80 is 0.98, 100 is 0.99.
    """
    return 1.0 - 10.0 ** (-(5.0 + 0.15 * quality) / 10.0)


def compress(
    image: Image.Image | NDArray[np.uint8],
    *,
    layers: int | None = None,
    quality: float | None = None,
    bpp: float | None = None,
    target_size: int | None = None,
    msssim: float | None = None,
    icc_profile: bytes | None = None,
    exif: bytes | None = None,
    xmp: bytes | None = None,
    strip: bool = False,
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
        image: a PIL image, or uint8 (H, W), (H, W, 2), (H, W, 3) or (H, W, 4).
        layers: so many layers (1 to the model's number).
        quality: 1 to 100; the fewest layers that reach an MS-SSIM of 5 + 0.15·quality decibels,
            or all layers if none does.
        bpp: bits per pixel that the file may take at most (whole file).
        target_size: bytes that the file may take at most.
        msssim: the fewest layers whose picture reaches this RGB MS-SSIM (0 to 1).
        icc_profile, exif, xmp: metadata to store instead of the picture's own.
        strip: store no metadata.
        convert_depth: scale pictures of more than 8 bits a channel instead of refusing them.
        frame: which frame of an animation.
        limits: largest picture accepted.
        model: a model package; by default the one that ships.
        threads: of the inference engine; by default all cores.

    Raises:
        InvalidInput: a picture or argument that cannot be represented, a target that cannot be met.
        LimitExceeded: the picture is larger than the limits allow.
    """
    target = _target(layers, quality, bpp, target_size, msssim)
    picture = from_array(image) if isinstance(image, np.ndarray) else image
    (limits or Limits()).check_pixels(picture.height, picture.width)
    planes = to_planes(picture, convert_depth=convert_depth, frame=frame)
    boxes = [] if strip else _metadata_boxes(planes, icc_profile, exif, xmp)
    if bpp is not None:
        pixels = planes.pixels.shape[0] * planes.pixels.shape[1]
        target = dataclasses.replace(target, bytes=int(bpp * pixels / 8))
    return _compress(model or default_model(), planes, boxes, target, threads)


def _target(
    layers: int | None,
    quality: float | None,
    bpp: float | None,
    target_size: int | None,
    msssim: float | None,
) -> Target:
    given = {
        "layers": layers,
        "quality": quality,
        "bpp": bpp,
        "target_size": target_size,
        "msssim": msssim,
    }
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
        if value is not None and value <= 0:
            raise InvalidInput(f"{name} must be above 0, got {value}")
    return Target(layers=layers, bytes=target_size, ms_ssim=msssim)


def _metadata_boxes(
    planes: Planes, icc_profile: bytes | None, exif: bytes | None, xmp: bytes | None
) -> list[Box]:
    contents = [
        (BOX_ICC, icc_profile or planes.icc_profile),
        (BOX_EXIF, exif or planes.exif),
        (BOX_XMP, xmp or planes.xmp),
    ]
    return [Box(name, content) for name, content in contents if content]


def _compress(
    model: Model, planes: Planes, boxes: list[Box], target: Target, threads: int | None
) -> bytes:
    height, width = planes.pixels.shape[:2]
    most = model.iterations if target.layers is None else target.layers
    if not 1 <= most <= model.iterations:
        raise InvalidInput(f"layers must be 1..{model.iterations}, got {most}")
    header = Header(
        width, height, model.id, grey=planes.grey, alpha=planes.alpha is not None
    )
    writer = Writer(header, boxes)
    coder = CodesEncoder(model.context(), *model.grid(height, width))
    late = [] if planes.alpha is None else [Box(BOX_ALPHA, encode_alpha(planes.alpha))]
    reached = 0.0
    for codes, painter in encode(model, planes.pixels, threads):
        for number, payload in enumerate(coder.encode_layer(codes)):
            before = writer.getvalue() if target.bytes is not None else b""
            writer.add_group(payload, first_of_layer=number == 0)
            if target.bytes is not None and writer.size > target.bytes:
                return _fitting(before, writer.size, target.bytes)
        while late:
            writer.add_box(late.pop())
        if target.ms_ssim is not None:
            reached = ms_ssim(_shown(painter, planes), planes.pixels)
            if reached >= target.ms_ssim:
                break
        if coder.layer >= most:
            break
    if target.ms_ssim is not None and target.exact and reached < target.ms_ssim:
        raise InvalidInput(
            f"msssim {target.ms_ssim} cannot be reached: all {model.iterations} layers give "
            f"{reached:.4f}; ask for less, or for layers={model.iterations}"
        )
    return _within(writer.getvalue(), target.bytes)


def _shown(painter: Painter, planes: Planes) -> NDArray[np.uint8]:
    """What a decoder would show now."""
    height, width = planes.pixels.shape[:2]
    return to_pixels(painter.show(), height, width)


def _fitting(data: bytes, next_size: int, size: int) -> bytes:
    """The file before the group that did not fit, if that holds a group at all."""
    if not read_file(data).groups:
        raise InvalidInput(
            f"a target of {size} bytes cannot be met: the smallest file of this picture has "
            f"{next_size} bytes"
        )
    return _within(data, size)


def _within(data: bytes, size: int | None) -> bytes:
    if size is not None and len(data) > size:  # the alpha plane came on top
        raise InvalidInput(f"a target of {size} bytes cannot be met: {len(data)} bytes are needed")
    return data


def decompress(
    data: bytes,
    layers: int | None = None,
    *,
    limits: Limits | None = None,
    threads: int | None = None,
) -> Image.Image:
    """The picture of a file, or of any beginning of one that holds the header.

    Args:
        data: a whole file, or the first bytes of one.
        layers: use at most so many layers; by default all that are there.
        limits: what the file may ask for.
        threads: of the inference engine; by default all cores.

    Returns:
        Mode L, LA, RGB or RGBA; ``info`` holds ``icc_profile``, ``exif`` and ``xmp`` if present.

    Raises:
        NotRgru, UnsupportedVersion, Damaged, LimitExceeded, ModelMissing: see
            :mod:`rgru_format.errors`.
    """
    decoder = Decoder(layers=layers, limits=limits, threads=threads)
    decoder.feed(data)
    decoder.close()
    return decoder.picture()


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
    end: int
    """The file up to here holds this layer and those before it."""


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


def info(data: bytes, *, limits: Limits | None = None) -> Info:
    """Header, layers and boxes of a file.

    Raises:
        NotRgru, UnsupportedVersion, Damaged, LimitExceeded: see :mod:`rgru_format.errors`.
    """
    contents = read_file(data, limits)
    groups: dict[int, list[GroupRead]] = {}
    for group in contents.groups:
        groups.setdefault(group.layer, []).append(group)
    expected = _expected_groups(contents.header)
    layers = tuple(
        LayerInfo(
            number,
            len(found),
            None if expected is None else len(found) >= expected[number - 1],
            sum(group.end - group.offset for group in found),
            found[-1].end,
        )
        for number, found in groups.items()
    )
    return Info(
        contents.header,
        layers,
        tuple(event.box for event in contents.boxes),
        len(data),
        contents.ending.unfinished,
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
    totals = np.cumsum([layer.bytes for layer in found.layers])
    return {
        "width": found.header.width,
        "height": found.header.height,
        "mode": ("L" if found.header.grey else "RGB") + ("A" if found.header.alpha else ""),
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
                "end": layer.end,
                "bpp": round(8 * int(total) / pixels, 5),
            }
            for layer, total in zip(found.layers, totals, strict=True)
        ],
        "metadata": {box.type.decode("latin-1").strip(): len(box.content) for box in found.boxes},
    }
