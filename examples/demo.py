"""Compress a photo with rgru and show it beside JPEG: writes demo/out/steps.png.

Top: the original, JPEG at the same MS-SSIM, and rgru; then the square with most fine detail of
each, enlarged, chosen before anything is compressed. Below: the same .rgru file, decoded from its
first bytes only. Under each picture stand the bytes it took and its MS-SSIM.

    python examples/demo.py [photo.jpg] [--msssim 0.95]
"""

from __future__ import annotations

import argparse
import bisect
import io
from pathlib import Path

import numpy as np
from PIL import Image, ImageDraw, ImageFont, ImageOps
from skimage import data

import rgru_codec
from rgru_codec.msssim import ms_ssim

OUT = Path(__file__).parents[1] / "demo" / "out"
QUALITY = 0.95
LARGEST = 1024
GAP = 12
CAPTION = 40
Panel = tuple[Image.Image, str]


def similarity(image: Image.Image, original: Image.Image) -> float:
    """Measure the MS-SSIM of R, G and B, averaged."""
    return ms_ssim(np.asarray(image), np.asarray(original))


def smallest_jpeg(original: Image.Image, wanted: float) -> tuple[bytes, Image.Image]:
    """Return the smallest optimised 4:2:0 JPEG that reaches an MS-SSIM, or the best there is."""

    def encoded(quality: int) -> tuple[bytes, Image.Image]:
        file = io.BytesIO()
        original.save(file, "JPEG", quality=quality, optimize=True, subsampling="4:2:0")
        return file.getvalue(), Image.open(file).convert("RGB")

    def reached(quality: int) -> bool:
        return similarity(encoded(quality)[1], original) >= wanted

    return encoded(bisect.bisect_left(range(1, 95), True, key=reached) + 1)


def busiest_square(original: Image.Image) -> tuple[int, int, int, int]:
    """Return the square of a quarter of the shorter side with most fine detail."""
    size = max(1, min(original.size) // 4)
    grey = np.asarray(original.convert("L"), float)
    detail = np.abs(np.diff(grey, axis=1))[:-1] + np.abs(np.diff(grey, axis=0))[:, :-1]
    step = max(1, size // 4)
    _, x, y = max(
        (detail[y : y + size, x : x + size].mean(), x, y)
        for y in range(0, original.height - size + 1, step)
        for x in range(0, original.width - size + 1, step)
    )
    return x, y, x + size, y + size


def caption(name: str, size: int, image: Image.Image, original: Image.Image) -> str:
    """Write two lines: name and bytes; rate and quality."""
    bpp = 8 * size / (image.width * image.height)
    value = f"{similarity(image, original):.4f}"
    return f"{name}: {size:,} bytes\n{bpp:.3f} bits per pixel, MS-SSIM {value}"


def panels(original: Image.Image, quality: float) -> tuple[list[Panel], list[Panel]]:
    """Make the comparison, and the steps of one file."""
    file = rgru_codec.compress(original, msssim=quality)
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


def enlarged(comparison: list[Panel], box: tuple[int, int, int, int]) -> list[Panel]:
    """Return a square of each picture, as large as the pictures."""
    size = comparison[0][0].size
    fitted = (min(size), min(size))
    squares = []
    for image, text in comparison:
        panel = Image.new("RGB", size, "white")
        panel.paste(image.crop(box).resize(fitted, Image.Resampling.NEAREST))
        squares.append((panel, f"{text.partition(': ')[0]}, a square of {box[2] - box[0]} pixels"))
    return squares


def main() -> None:
    """Write the picture and say where it is."""
    parser = argparse.ArgumentParser(description=(__doc__ or "").splitlines()[0])
    parser.add_argument("photo", nargs="?", type=Path, help="a photo of scikit-image otherwise")
    parser.add_argument("--msssim", type=float, default=QUALITY, help="(default: %(default)s)")
    args = parser.parse_args()
    OUT.mkdir(parents=True, exist_ok=True)
    original = Image.open(args.photo) if args.photo else Image.fromarray(data.coffee())
    original = ImageOps.exif_transpose(original).convert("RGB")
    original.thumbnail((LARGEST, LARGEST))  # a sheet of many photos has to fit on a screen
    original.save(OUT / "photo.png")
    box = busiest_square(original)
    comparison, steps = panels(original, args.msssim)
    rows = [comparison, enlarged(comparison, box)]
    rows += [steps[i : i + 3] for i in range(0, len(steps), 3)]
    draw(rows, original.width).save(OUT / "steps.png")
    for _, text in comparison + steps:
        print(text.replace("\n", ", "))
    print(f"look at {OUT / 'steps.png'}")


if __name__ == "__main__":
    main()
