"""The picture building up: one frame for each layer, with the bytes written on it."""

from __future__ import annotations

import io
from pathlib import Path
from typing import Any

from PIL import Image, ImageDraw, ImageFont

from rgru_codec.cli.pictures import cannot_hold, refusals
from rgru_codec.cli.status import USAGE, Failure, number
from rgru_codec.streams import Stage

_FORMATS = {".webp": "WEBP", ".gif": "GIF", ".png": "PNG", ".apng": "PNG"}
_LARGEST = {"WEBP": 16383, "GIF": 65535}
"""Pixels on a side."""
_FRAME_MS, _LAST_MS = 700, 2500


def animation_format(name: str) -> str:
    """Return Pillow's name of the format of an animation."""
    found = _FORMATS.get(Path(name).suffix.lower())
    if found is None:
        raise Failure(USAGE, f"{name}: an animation is a .webp, .gif or .png file")
    return found


class Animation:
    """Collects frames, one at least, and makes the file of a name of them.

    ``pixels`` are those of the whole picture, of which frames may show a part.
    """

    def __init__(self, target: str, pixels: int) -> None:
        self._frames, self._pixels = list[Image.Image](), pixels
        self._format = animation_format(target)

    def add(self, stage: Stage, layer: int) -> None:
        """Keep a frame: the picture with ``layer``, complete or not."""
        image, size = stage.picture, stage.bytes
        text = f"layer {layer}   {number(size)} bytes   {8 * size / self._pixels:.3f} bpp"
        frame = _labelled(image, text)
        most = _LARGEST.get(self._format)
        if most is not None and max(frame.size) > most:
            words = f"with the bytes below it has {frame.width}x{frame.height} pixels"
            raise cannot_hold(self._format, f"{words}, {most} a side are possible")
        self._frames.append(frame)

    def encoded(self) -> bytes:
        """Return the animation as a file."""
        first, *rest = self._frames
        options: dict[str, Any] = {
            "append_images": rest,
            "duration": [_FRAME_MS] * len(rest) + [_LAST_MS],
            "icc_profile": first.info.get("icc_profile"),
        }
        if self._format == "WEBP":
            options["quality"] = 90
        buffer = io.BytesIO()
        with refusals(self._format):
            first.save(buffer, self._format, save_all=True, loop=0, **options)
        return buffer.getvalue()


def _labelled(image: Image.Image, text: str) -> Image.Image:
    """Draw a strip of text below a picture."""
    frame = image.convert("RGBA" if image.has_transparency_data else "RGB")
    size = max(min(frame.height // 20, frame.width // (len(text) // 2 + 1)), 8)
    font = ImageFont.load_default(size)
    canvas = Image.new(frame.mode, (frame.width, frame.height + 2 * size), (24, 24, 24))
    canvas.paste(frame)
    if image.mode.startswith("RGB") and "icc_profile" in image.info:
        canvas.info["icc_profile"] = image.info["icc_profile"]
    draw = ImageDraw.Draw(canvas)
    draw.text((size // 2, frame.height + size // 3), text, (235, 235, 235), font)
    return canvas
