"""Compare models by what they cost and what they show: python -m tools.family --kodak DIR.

Writes the table of docs/family.md. Times are of whole programs with one thread, the median of three
runs, on twelve megapixels of a photo of scikit-image's, mirrored; for a machine that does nothing
else. Each picture is compressed once and its file cut at the same number of bytes for every model.
"""

from __future__ import annotations

import argparse
import statistics
import tempfile
import time
from collections.abc import Iterator, Sequence
from pathlib import Path

import numpy as np
from PIL import Image

import rgru_codec
from rgru_codec.models import Model, model_named
from rgru_codec.msssim import ms_ssim
from rgru_codec.packages import pack
from rgru_codec.runtime.weights import unpack_arrays
from rgru_format.context.evaluator import prepared
from tools.refresh import DOCS, put, run
from tools.speed import macs_of, mirrored

RATES = (0.1, 0.2, 0.5)
"""Bits per pixel at which files are cut."""
_QUALITY = "0.95"
"""MS-SSIM up to which the large picture is compressed."""
_RUNS = 3

Row = tuple[str, ...]


def main() -> None:
    """Read the command line."""
    parser = argparse.ArgumentParser(description=(__doc__ or "").splitlines()[0])
    parser.add_argument("--kodak", type=Path, required=True, help="the folder of the 24 pictures")
    parser.add_argument("--models", nargs="+", default=["compact", "models/nano/rgru_nano"])
    parser.add_argument("--page", type=Path, default=DOCS / "family.md")
    args = parser.parse_args()
    models = [named(text) for text in args.models]
    pictures = [Image.open(path).convert("RGB") for path in sorted(args.kodak.glob("*.png"))]
    columns = [[*costs(model), *times(model), *qualities(model, pictures)] for model in models]
    lines = [
        f"| | {' | '.join(f'`{model.name}`' for model in models)} |",
        "| --- |" + " ---: |" * len(models),
        *(
            f"| {rows[0][0]} | {' | '.join(value for _, value in rows)} |"
            for rows in zip(*columns, strict=True)
        ),
    ]
    put(args.page, "family", "\n{}\n".format("\n".join(lines)))


def named(text: str) -> Model:
    """Return a model by what names it, or the one package in a folder."""
    inside = [path.parent for path in Path(text).glob("*/model.json")]
    return Model.load(inside[0]) if inside else model_named(text)


def costs(model: Model) -> Iterator[Row]:
    """Yield arithmetic, parameters and size."""
    all_layers = macs_of(model, model.iterations)
    three = macs_of(model, 3)
    encode = three["encoder"] + three["decoder"] + 3 * three["painter"]
    yield "id", f"`{model.id.hex()}`"
    yield "layers", str(model.iterations)
    yield "to compress to three layers, kMAC a pixel", f"{encode / 1e3:.1f}"
    for name, macs in (("three", three), ("all", all_layers)):
        decode = macs["decoder"] + macs["painter"]
        yield f"to decode {name} layers, kMAC a pixel", f"{decode / 1e3:.1f}"
    yield "context model, all layers, kMAC a pixel", f"{all_layers['context'] / 1e3:.1f}"
    networks = ("decoder.safetensors", "encoder.safetensors")
    held = [unpack_arrays((model.folder / name).read_bytes(), name)[0] for name in networks]
    count = sum(array.size for arrays in held for array in arrays.values())
    yield "parameters of the networks, millions", f"{count / 1e6:.2f}"
    yield "parameters of the context model, millions", f"{_parameters(model) / 1e6:.2f}"
    yield "package, deflated, MB", f"{len(pack(model)) / 1e6:.1f}"


def _parameters(model: Model) -> int:
    """Of the context model: those that have an effect."""
    context, count = model.context(), 0
    for layer in (prepared(context, t) for t in range(model.iterations)):
        count += layer.U.size + layer.A.size + layer.B.size
        for one in (one for group in layer.passes for one in group):
            count += one.earlier.size + one.own.size + one.W.size + one.R.size
    return count


def times(model: Model) -> Iterator[Row]:
    """Yield seconds of the programs on 12 megapixels, one thread."""
    from skimage.data import astronaut

    large = mirrored(np.asarray(astronaut()), 3000, 4000)
    with tempfile.TemporaryDirectory() as place:
        photo, file, back = (Path(place) / name for name in ("a.png", "a.rgru", "b.png"))
        Image.fromarray(large).save(photo, compress_level=1)
        own = ("--threads", 1, "--model", model.folder)
        compress = ("rgru", "compress", photo, "-o", file, "-f", "--msssim", _QUALITY, *own)
        decompress = ("rgru", "decompress", file, "-o", back, "-f", *own)
        for name, command in (("compress", compress), ("decompress", decompress)):
            seconds = []
            for _ in range(_RUNS):
                began = time.perf_counter()
                run(*command)
                seconds.append(time.perf_counter() - began)
            label = f"to {name} 12 megapixels at MS-SSIM {_QUALITY}, seconds of one thread"
            yield label, f"{statistics.median(seconds):.1f}"


def qualities(model: Model, pictures: Sequence[Image.Image]) -> Iterator[Row]:
    """Yield mean RGB MS-SSIM of files cut at the same sizes; the whole where it is smaller."""
    found: dict[float, list[float]] = {rate: [] for rate in RATES}
    for picture in pictures:
        pixels = np.asarray(picture)
        data = rgru_codec.compress(picture, layers="all", model=model)
        for rate, values in found.items():
            part = data[: round(rate * picture.width * picture.height / 8)]
            shown = rgru_codec.decompress(part, partial=True, model=model)
            values.append(ms_ssim(pixels, np.asarray(shown)))
    for rate, values in found.items():
        yield f"RGB MS-SSIM at {rate} bits per pixel, Kodak", f"{np.mean(values):.4f}"


if __name__ == "__main__":
    main()
