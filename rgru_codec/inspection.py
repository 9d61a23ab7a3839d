"""What a file says of itself; no pixel is decoded for it."""

from __future__ import annotations

import itertools
from collections.abc import Iterable, Sequence
from typing import Any

from rgru_codec.models import find_model, known_context
from rgru_codec.source import Source, as_count, check_limits, pieces_of
from rgru_format import POSITION, Header, InvalidInput, Limits, ModelMissing, Report
from rgru_format import inspect as inspect_file

_CODES_A_PIXEL = 7.0
_COLOUR_LAYERS = 3
_THUMBNAILS = (64, 128, 256, 512, 1024, 2048)
"""Sizes that `Info.as_dict` tells the bytes for, in pixels."""


class Info(Report):
    """What a file says of itself."""

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
        """Bits per pixel of the file, up to the end of the picture."""
        return 8 * self.used / (self.width * self.height)

    def bytes_for(self, *, layers: int | None = None, thumbnail: int | None = None) -> int:
        """Return how many bytes from the start of the file a picture needs.

        Args:
            layers: The picture of so many layers; 0 or more.
            thumbnail: A picture of so many pixels on its longer side, as
                `rgru_codec.thumbnail` makes it.

        Returns:
            At most the size of the file up to the end of the picture: it may have fewer layers.

        Raises:
            InvalidInput: Not exactly one is given, or it is no such number.
            ModelMissing: The model of the file, which ``thumbnail`` asks, is not installed.
        """
        if (layers is None) == (thumbnail is None):
            raise InvalidInput("bytes_for takes one of layers and thumbnail")
        if thumbnail is not None:
            thumbnail = as_count("thumbnail", thumbnail, 1)
            codes = find_model(self.header.model_id).codes
            layers = layers_for(self.header, thumbnail, codes)
        assert layers is not None
        layers = as_count("layers", layers, 0)
        # What stands behind a layer belongs to its picture: the alpha plane, metadata.
        return self.layers[layers].offsets[0] if layers < len(self.layers) else self.used

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
            "ignored": self.ignored,
            "layers": [
                {
                    "layer": layer.number,
                    "groups": len(layer.groups),
                    "complete": layer.complete,
                    "bytes": layer.bytes,
                    "framing": layer.framing,
                    "end": layer.end,
                    "bpp": round(8 * layer.end / pixels, 5),
                }
                for layer in self.layers
            ],
            "bytes_for_thumbnail": self._bytes_for_thumbnails(),
            "metadata": {
                one.box.type.decode("latin-1").strip(): len(one.box.content) for one in self.boxes
            },
        }

    def _bytes_for_thumbnails(self) -> dict[str, int] | None:
        """By size in pixels; None if the model is not installed."""
        sizes = [size for size in _THUMBNAILS if size < max(self.width, self.height)]
        try:
            return {str(size): self.bytes_for(thumbnail=size) for size in sizes}
        except ModelMissing:
            return None


def mode_of(header: Header) -> str:
    """Return Pillow's mode of the picture: L, LA, RGB or RGBA."""
    return ("L" if header.grey else "RGB") + ("A" if header.alpha else "")


def info(source: Source, *, limits: Limits | None = None) -> Info:
    """Tell header, layers and boxes of a file.

    Args:
        source: A file: bytes, a path, or an open file. What stands behind its end is counted.
        limits: What the file may ask for.

    Raises:
        NotRgru, UnsupportedVersion, Damaged, LimitExceeded: See `rgru_format.errors`.
    """
    found = inspect(pieces_of(source), limits=limits)
    found.sound()
    return found


def inspect(
    data: bytes | bytearray | memoryview | Iterable[bytes], *, limits: Limits | None = None
) -> Info:
    """Tell what comes before a fault, and the fault if there is one.

    Args:
        data: A file, whole or in pieces; after a fault no further piece is asked for.
        limits: What the file may ask for.

    Raises:
        NotRgru, UnsupportedVersion, Damaged, LimitExceeded: The header itself cannot be used.
    """
    check_limits(limits)
    return Info(**vars(inspect_file(data, limits, known_context)))


def layers_for(header: Header, size: int, codes: Sequence[int]) -> int:
    """Return how many layers a picture scaled down to ``size`` pixels (longer side) can show.

    The fewest that bring enough codes for each of its pixels, and enough for its colours: the mean
    of larger areas still moves in the first layers (measured: by 9 to 16 levels in layer 2, by 2
    in layer 3, by 1 in layer 4).

    Args:
        header: Of the file.
        size: Pixels, 1 or more; all layers where the picture is not scaled down.
        codes: Codes a position in each layer of the model.
    """
    scale = size / max(header.width, header.height)
    enough = _CODES_A_PIXEL * POSITION**2 * scale**2
    if scale < 1.0:
        for layer, total in enumerate(itertools.accumulate(codes), 1):
            if total >= enough and layer >= _COLOUR_LAYERS:
                return layer
    return len(codes)
