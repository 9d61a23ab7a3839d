"""Write the conformance vectors with pixels, for the default model and for a tiny one.

    python -m tools.make_pixels            # adds what is missing

The photo is a piece of scikit-image's astronaut (NASA, public domain). SPEC section 12 describes
the files.
"""

from __future__ import annotations

import argparse
import io
import json
import tempfile
from collections.abc import Iterator
from pathlib import Path

import numpy as np
from PIL import Image
from skimage import data as photos

import rgru_codec
from rgru_codec.models import DECODING_HALF, Model
from rgru_codec.runtime.engine import using
from rgru_codec.runtime.reference import Reference
from rgru_codec.vectors import describe
from rgru_format.conformance import VECTORS
from tools import tiny_model
from tools.make_vectors import add_files


def files() -> Iterator[tuple[str, bytes]]:
    """Yield name and content of the .rgru files of the default model."""
    photo = Image.fromarray(photos.astronaut()[60:108, 170:234])
    whole = rgru_codec.compress(photo, layers="all")
    yield "all_layers", whole
    yield "grey", rgru_codec.compress(photo.convert("L").crop((0, 0, 37, 29)), layers=3)
    ramp = np.linspace(0, 255, photo.width * photo.height).astype(np.uint8)
    photo.putalpha(Image.fromarray(ramp.reshape(photo.height, photo.width)))
    yield "alpha", rgru_codec.compress(photo, layers=2)
    split = next(layer for layer in rgru_codec.info(whole).layers if len(layer.groups) > 1)
    yield "cut_inside_layer", whole[: split.offsets[1] + 3]


def files_of_tiny(model: Model) -> Iterator[tuple[str, bytes]]:
    """Yield name and content of files of a model whose networks have every kind of layer."""
    whole = rgru_codec.compress(photos.astronaut()[60:108, 170:231], layers="all", model=model)
    yield "networks", whole
    last = rgru_codec.info(whole).layers[-1]
    yield (
        "networks_one_layer",
        rgru_codec.compress(photos.astronaut()[:17, :70], layers=1, model=model),
    )
    yield "networks_cut_inside_layer", whole[: last.offsets[1] + 3]


def suffix(model: Model) -> str:
    """Return what sets the names apart from those of the first model that has vectors."""
    first = VECTORS / "pixels" / "all_layers.json"
    own = not first.exists() or json.loads(first.read_text())["model"] == model.id.hex()
    return "" if own else f"_{model.id.hex()}"


def vectors() -> Iterator[tuple[str, bytes]]:
    """Yield path and content of every file."""
    model = rgru_codec.default_model()
    for name, data in files():
        yield from vector(f"pixels/{name}{suffix(model)}", data, model)
    with tempfile.TemporaryDirectory() as folder, using(Reference):
        model = tiny_model.write(Path(folder))
        for part in DECODING_HALF:
            yield f"models/{model.id.hex()}/{part}", (model.folder / part).read_bytes()
        for name, data in files_of_tiny(model):
            yield from vector(f"pixels/{name}", data, model)


def vector(path: str, data: bytes, model: Model) -> Iterator[tuple[str, bytes]]:
    """Yield path and content of a file, its description and its picture."""
    png = io.BytesIO()
    image = rgru_codec.decompress(data, model=model)
    image.info.clear()
    image.save(png, "PNG", optimize=True)
    yield f"{path}.rgru", data
    yield f"{path}.json", (json.dumps(describe(data, model), indent=1) + "\n").encode()
    yield f"{path}.png", png.getvalue()


def main() -> None:
    """Read the command line."""
    argparse.ArgumentParser(description=(__doc__ or "").splitlines()[0]).parse_args()
    print(f"{add_files(VECTORS, vectors())} files added to {VECTORS / 'pixels'}")


if __name__ == "__main__":
    main()
