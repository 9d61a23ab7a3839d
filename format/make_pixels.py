"""Write the conformance vectors with pixels, for the default model.

    python format/make_pixels.py            # adds what is missing
    python format/make_pixels.py --anew     # for a model in place of one that was never released

The photo is a piece of scikit-image's astronaut (NASA, public domain). SPEC section 12 describes
the files.
"""

from __future__ import annotations

import argparse
import io
import json
from collections.abc import Iterator
from pathlib import Path

import numpy as np
from PIL import Image
from skimage import data as photos

import rgru_codec
from make_vectors import add_files, list_of  # the script beside this one
from rgru_codec.vectors import describe
from rgru_format.conformance import VECTORS


def files() -> Iterator[tuple[str, bytes]]:
    """Yield name and content of the .rgru files."""
    photo = Image.fromarray(photos.astronaut()[60:108, 170:234])
    whole = rgru_codec.compress(photo)
    yield "all_layers", whole
    yield "grey", rgru_codec.compress(photo.convert("L").crop((0, 0, 37, 29)), layers=3)
    ramp = np.linspace(0, 255, photo.width * photo.height).astype(np.uint8)
    photo.putalpha(Image.fromarray(ramp.reshape(photo.height, photo.width)))
    yield "alpha", rgru_codec.compress(photo, layers=2)
    split = next(layer for layer in rgru_codec.info(whole).layers if layer.groups > 1)
    yield "cut_inside_layer", whole[: split.offsets[1] + 3]


def vectors() -> Iterator[tuple[str, bytes]]:
    """Yield path and content of every file."""
    for name, data in files():
        png = io.BytesIO()
        image = rgru_codec.decompress(data)
        image.info.clear()
        image.save(png, "PNG", optimize=True)
        yield f"pixels/{name}.rgru", data
        yield f"pixels/{name}.json", (json.dumps(describe(data), indent=1) + "\n").encode()
        yield f"pixels/{name}.png", png.getvalue()


def forget(folder: Path) -> None:
    """Remove the vectors with pixels and their lines in SHA256SUMS."""
    for path in folder.glob("pixels/*"):
        path.unlink()
    sums = list_of(folder)
    lines = sums.read_text().splitlines(keepends=True)
    sums.write_text("".join(line for line in lines if "  pixels/" not in line))


def main() -> None:
    """Read the command line."""
    parser = argparse.ArgumentParser(description=(__doc__ or "").splitlines()[0])
    parser.add_argument("--anew", action="store_true", help="remove those that are there first")
    if parser.parse_args().anew:
        forget(VECTORS)
    print(f"{add_files(VECTORS, vectors())} files added to {VECTORS / 'pixels'}")


if __name__ == "__main__":
    main()
