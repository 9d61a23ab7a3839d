"""Compress a photo with rgru and show it beside JPEG: writes demo/out/steps.png.

Top: the original, JPEG at the same MS-SSIM, and rgru. Below: the same .rgru file, decoded from its
first bytes only. Under each picture stand the bytes it took and its MS-SSIM.
"""

from __future__ import annotations

import io
from pathlib import Path

import numpy as np
from PIL import Image, ImageDraw, ImageFont
from skimage import data

import rgru_codec
from rgru_codec.msssim import ms_ssim

OUT = Path(__file__).parents[1] / "demo" / "out"
QUALITY = 0.95
GAP = 12
CAPTION = 40
Panel = tuple[Image.Image, str]


def similarity(image: Image.Image, original: Image.Image) -> float:
    """Measure the MS-SSIM of R, G and B, averaged."""
    return ms_ssim(np.asarray(image), np.asarray(original))


def smallest_jpeg(original: Image.Image, wanted: float) -> tuple[bytes, Image.Image]:
    """Return the smallest optimised 4:2:0 JPEG whose MS-SSIM is at least ``wanted``."""
    for quality in range(1, 96):
        file = io.BytesIO()
        original.save(file, "JPEG", quality=quality, optimize=True, subsampling="4:2:0")
        decoded = Image.open(file).convert("RGB")
        if similarity(decoded, original) >= wanted:
            break
    return file.getvalue(), decoded


def caption(name: str, size: int, image: Image.Image, original: Image.Image) -> str:
    """Write two lines: name and bytes; rate and quality."""
    bpp = 8 * size / (image.width * image.height)
    value = f"{similarity(image, original):.4f}"
    return f"{name}: {size:,} bytes\n{bpp:.3f} bits per pixel, MS-SSIM {value}"


def panels(original: Image.Image) -> tuple[list[Panel], list[Panel]]:
    """Make the comparison, and the steps of one file."""
    file = rgru_codec.compress(original, msssim=QUALITY)
    picture = rgru_codec.decompress(file)
    jpeg, jpeg_picture = smallest_jpeg(original, similarity(picture, original))
    png = io.BytesIO()
    original.save(png, "PNG", optimize=True)
    (OUT / "photo.rgru").write_bytes(file)
    comparison = [
        (original, caption("original (PNG)", png.tell(), original, original)),
        (jpeg_picture, caption("JPEG 4:2:0, optimised", len(jpeg), jpeg_picture, original)),
        (picture, caption("rgru", len(file), picture, original)),
    ]
    steps = []
    for layer in rgru_codec.info(file).layers:
        image = rgru_codec.decompress(file, layers=layer.number)
        image.save(OUT / f"layers{layer.number}.png")
        name = f"{layer.number} layer" + ("s" if layer.number > 1 else "")
        steps.append((image, caption(name, layer.end, image, original)))
    return comparison, steps


def draw(rows: list[list[Panel]], width: int) -> Image.Image:
    """Draw rows of captioned pictures, each picture ``width`` pixels wide."""
    columns = max(map(len, rows))
    sample = rows[0][0][0]
    height = round(width * sample.height / sample.width)
    sheet = Image.new(
        "RGB",
        (columns * (width + GAP) + GAP, len(rows) * (height + CAPTION + 2 * GAP) + GAP),
        "white",
    )
    pen, font = ImageDraw.Draw(sheet), ImageFont.load_default(14)
    for j, row in enumerate(rows):
        for i, (image, text) in enumerate(row):
            x, y = GAP + i * (width + GAP), GAP + j * (height + CAPTION + 2 * GAP)
            fitted = image if image.width == width else image.resize((width, height))
            sheet.paste(fitted, (x, y))
            pen.multiline_text((x, y + height + 6), text, fill="black", font=font)
    return sheet


def main() -> None:
    """Write the picture and say where it is."""
    OUT.mkdir(parents=True, exist_ok=True)
    original = Image.fromarray(data.coffee())
    original.save(OUT / "photo.png")
    comparison, steps = panels(original)
    rows = [comparison] + [steps[i : i + 3] for i in range(0, len(steps), 3)]
    draw(rows, original.width).save(OUT / "steps.png")
    for _, text in comparison + steps:
        print(text.replace("\n", ", "))
    print(f"look at {OUT / 'steps.png'}")


if __name__ == "__main__":
    main()
