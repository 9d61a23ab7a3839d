"""What a file says of itself; no pixel is decoded for it."""

from __future__ import annotations

import dataclasses
from typing import Any

from rgru_codec.models import find_model
from rgru_codec.source import Source, read_source
from rgru_format import Box, Header, Limits, ModelMissing, NotRgru, RgruError
from rgru_format.verify import LayerReport, Report, check_file


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
    """What a file says of itself."""

    header: Header
    layers: tuple[LayerInfo, ...]
    boxes: tuple[Box, ...]
    size: int
    """Bytes of the file."""
    unfinished: int
    """Bytes at its end that belong to a group or box that was cut."""
    error: RgruError | None = None
    """A fault; what is told here stands before it."""

    @property
    def width(self) -> int:
        """Pixels a row."""
        return self.header.width

    @property
    def height(self) -> int:
        """Rows of pixels."""
        return self.header.height

    @property
    def mode(self) -> str:
        """Pillow's mode of the picture: L, LA, RGB or RGBA."""
        return mode_of(self.header)

    @property
    def bpp(self) -> float:
        """Bits per pixel of the whole file."""
        return 8 * self.size / (self.width * self.height)

    def as_dict(self) -> dict[str, Any]:
        """Return plain values, for JSON; metadata as sizes."""
        pixels = self.width * self.height
        return {
            "width": self.width,
            "height": self.height,
            "mode": self.mode,
            "version": self.header.version,
            "model": self.header.model_id.hex(),
            "size": self.size,
            "bpp": round(self.bpp, 5),
            "unfinished": self.unfinished,
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
                for layer in self.layers
            ],
            "metadata": {b.type.decode("latin-1").strip(): len(b.content) for b in self.boxes},
        }


def mode_of(header: Header) -> str:
    """Return Pillow's mode of the picture: L, LA, RGB or RGBA."""
    return ("L" if header.grey else "RGB") + ("A" if header.alpha else "")


def info(source: Source, *, limits: Limits | None = None) -> Info:
    """Tell header, layers and boxes of a file.

    Args:
        source: A file: bytes, a path, or an open file.
        limits: What the file may ask for.

    Raises:
        NotRgru, UnsupportedVersion, Damaged, LimitExceeded: See `rgru_format.errors`.
    """
    found = inspect(read_source(source), limits=limits)
    if found.error is not None:
        raise found.error
    return found


def inspect(data: bytes, *, limits: Limits | None = None) -> Info:
    """Tell what comes before a fault, and the fault if there is one.

    Raises:
        NotRgru, UnsupportedVersion, Damaged, LimitExceeded: The header itself cannot be used.
    """
    report = check_file(data, limits)
    if report.header is None:
        raise report.error or NotRgru("not a .rgru file: it is empty")
    expected = _expected_groups(report.header)
    layers = tuple(_layer_info(layer, report, expected) for layer in report.layers)
    boxes = tuple(one.box for one in report.boxes)
    unfinished = report.ending.unfinished if report.ending else 0
    return Info(report.header, layers, boxes, len(data), unfinished, report.error)


def _layer_info(layer: LayerReport, report: Report, expected: tuple[int, ...] | None) -> LayerInfo:
    groups = [group for group in report.groups if group.layer == layer.layer]
    size = sum(group.end - group.offset for group in groups)
    complete = None
    if expected is not None and layer.layer <= len(expected):
        complete = layer.groups >= expected[layer.layer - 1]
    return LayerInfo(
        layer.layer,
        layer.groups,
        complete,
        size,
        size - layer.payload,
        layer.end,
        tuple(group.offset for group in groups),
    )


def _expected_groups(header: Header) -> tuple[int, ...] | None:
    try:
        return find_model(header.model_id).context().groups
    except ModelMissing:
        return None


def layers_for(data: bytes, size: int, *, limits: Limits | None = None) -> int:
    """Return how many layers a picture scaled down to ``size`` pixels (longer side) can show.

    The fewest that bring 4 bits for each of its pixels; more would be averaged away.
    """
    found = inspect(data, limits=limits)
    scale = min(1.0, size / max(found.width, found.height))
    enough = 4.0 * found.width * found.height * scale**2 / 8.0
    for layer in found.layers:
        if layer.end >= enough and scale < 1.0:
            return layer.number
    return len(found.layers)
