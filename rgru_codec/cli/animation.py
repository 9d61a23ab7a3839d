"""The picture building up: one frame for each layer, with the bytes written on it."""

from __future__ import annotations

import dataclasses
import io
from collections.abc import Iterator
from pathlib import Path
from typing import IO, BinaryIO

from PIL import Image, ImageDraw, ImageFont

from rgru_codec.cli.status import USAGE, Failure, number
from rgru_codec.progressive import Decoder, LayerDecoded
from rgru_format import GroupRead, RgruError

_FORMATS = {".webp": "WEBP", ".gif": "GIF", ".png": "PNG", ".apng": "PNG"}
_PIECE = 4096
_FRAME_MS, _LAST_MS = 700, 2500


@dataclasses.dataclass(frozen=True)
class Label:
    """What is written on a frame."""

    layer: int
    bytes: int
    pixels: int

    def __str__(self) -> str:
        """Layer, bytes, bits per pixel."""
        bpp = 8 * self.bytes / self.pixels
        return f"layer {self.layer}   {number(self.bytes)} bytes   {bpp:.3f} bpp"


def animation_format(name: str) -> str:
    """Pillow's name of the format of an animation.

    Raises:
        Failure: the suffix is of no such format.
    """
    found = _FORMATS.get(Path(name).suffix.lower())
    if found is None:
        raise Failure(USAGE, f"{name}: an animation is a .webp, .gif or .png file")
    return found


class Stages:
    """Feeds a decoder and stops at each layer; collects frames."""

    def __init__(self, decoder: Decoder, data: bytes) -> None:
        self.count = 0
        self._decoder = decoder
        self._data = data
        self._frames: list[Image.Image] = []

    def __iter__(self) -> Iterator[tuple[Image.Image, Label]]:
        """Pictures after each layer, and one of the groups left over at the end.

        A fault in the file ends the iteration; ``Decoder.close`` tells it.
        """
        decoder, shown, end = self._decoder, -1, 0
        for position in range(0, len(self._data), _PIECE):
            try:
                events = decoder.feed(self._data[position : position + _PIECE])
            except RgruError:
                break
            for event in events:
                end = event.end if isinstance(event, GroupRead) else end
                # More than one layer in a piece: only the last of them can be shown.
                if isinstance(event, LayerDecoded) and event.layer == decoder.layers:
                    shown = decoder.layers
                    yield self._stage(shown, event.end)
        if decoder.header is not None and (decoder.groups or shown < 0) and not decoder.error:
            yield self._stage(decoder.layers + bool(decoder.groups), end)

    def _stage(self, layer: int, end: int) -> tuple[Image.Image, Label]:
        self.count += 1
        image = self._decoder.picture()
        return image, Label(layer, end, image.width * image.height)

    def add_frame(self, image: Image.Image, label: Label) -> None:
        """Keep a frame of the animation."""
        self._frames.append(_labelled(image, str(label)))

    def save(self, file: BinaryIO | IO[bytes], name: str) -> None:
        """Write the animation."""
        if not self._frames:
            raise Failure(USAGE, f"{name}: the file holds no layer, there is nothing to animate")
        durations = [_FRAME_MS] * (len(self._frames) - 1) + [_LAST_MS]
        first, *rest = self._frames
        options = {"quality": 90} if animation_format(name) == "WEBP" else {}
        buffer = io.BytesIO()
        first.save(
            buffer,
            animation_format(name),
            save_all=True,
            append_images=rest,
            duration=durations,
            loop=0,
            **options,
        )
        file.write(buffer.getbuffer())


def _labelled(image: Image.Image, text: str) -> Image.Image:
    """The picture with a strip of text below."""
    frame = image.convert("RGB")
    size = max(min(frame.height // 20, frame.width // (len(text) // 2 + 1)), 8)
    font = ImageFont.load_default(size)
    strip = 2 * size
    canvas = Image.new("RGB", (frame.width, frame.height + strip), (24, 24, 24))
    canvas.paste(frame)
    draw = ImageDraw.Draw(canvas)
    draw.text((size // 2, frame.height + size // 3), text, (235, 235, 235), font)
    return canvas
