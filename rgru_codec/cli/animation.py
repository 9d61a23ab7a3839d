"""The picture building up: one frame for each layer, with the bytes written on it."""

from __future__ import annotations

import dataclasses
import io
from pathlib import Path

from PIL import Image, ImageDraw, ImageFont

from rgru_codec.cli.status import USAGE, Failure, number
from rgru_codec.streams import Stage

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
    """Return Pillow's name of the format of an animation.

    Raises:
        Failure: the suffix is of no such format.
    """
    found = _FORMATS.get(Path(name).suffix.lower())
    if found is None:
        raise Failure(USAGE, f"{name}: an animation is a .webp, .gif or .png file")
    return found


class Animation:
    """Collects frames of a file, whose name is for messages."""

    def __init__(self, source: str) -> None:
        self._source, self._frames = source, list[Image.Image]()

    def add(self, stage: Stage, layer: int) -> None:
        """Keep a frame: the picture with ``layer``, complete or not."""
        image = stage.picture
        label = Label(layer, stage.bytes, image.width * image.height)
        self._frames.append(_labelled(image, str(label)))

    def encoded(self, name: str) -> bytes:
        """Return the animation as the file of a name holds it.

        Raises:
            Failure: There is no frame.
        """
        if not self._frames:
            raise Failure(USAGE, f"{self._source}: holds no layer, there is nothing to animate")
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
        return buffer.getvalue()


def _labelled(image: Image.Image, text: str) -> Image.Image:
    """Draw a strip of text below a picture."""
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
