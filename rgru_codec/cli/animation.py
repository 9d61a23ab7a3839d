"""The picture building up: one frame for each layer, with the bytes written on it."""

from __future__ import annotations

import contextlib
import dataclasses
import io
from collections.abc import Iterator
from pathlib import Path
from typing import IO, BinaryIO

from PIL import Image, ImageDraw, ImageFont

from rgru_codec.api import inspect
from rgru_codec.cli.status import USAGE, Failure, number
from rgru_codec.progressive import Decoder
from rgru_format import RgruError

_FORMATS = {".webp": "WEBP", ".gif": "GIF", ".png": "PNG", ".apng": "PNG"}
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
        """A picture after each layer, complete or not, as far as the decoder wants them.

        A fault in the file ends the iteration; ``Decoder.close`` tells it.
        """
        decoder, position, seen = self._decoder, 0, (0, 0)
        found, _ = inspect(self._data, limits=decoder.limits)
        for layer in found.layers:
            self._feed(self._data[position : layer.end])
            position = layer.end
            if (decoder.layers, decoder.groups) != seen and not decoder.error:
                seen = (decoder.layers, decoder.groups)
                yield self._stage(layer.number, layer.end)
        self._feed(self._data[position:])

    def _feed(self, data: bytes) -> None:
        with contextlib.suppress(RgruError):  # the decoder remembers it
            self._decoder.feed(data)

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
            icc_profile=first.info.get("icc_profile"),
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
    if image.mode.startswith("RGB") and "icc_profile" in image.info:
        canvas.info["icc_profile"] = image.info["icc_profile"]
    draw = ImageDraw.Draw(canvas)
    draw.text((size // 2, frame.height + size // 3), text, (235, 235, 235), font)
    return canvas
