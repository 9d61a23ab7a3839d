"""Write the files that every later version has to open: python -m tools.make_released 1.0.0.

Once for each released minor version, with its model: small files of all kinds in
``tests/released/VERSION``, what has to be found in them (.json), their pictures (.png, with a
tolerance), the list of the vectors that the version had, and the list of all their hashes. What is
there is never written again. Files of a model with a distribution of its own (``--model``) lie in
``NAME-VERSION``, without a list of vectors.

The photo is a piece of scikit-image's astronaut (NASA, public domain).
"""

from __future__ import annotations

import argparse
import functools
import hashlib
import sys
from collections.abc import Iterator
from pathlib import Path

import numpy as np
from PIL import Image
from skimage import data as photos

import rgru_codec
from rgru_codec.colour import PRIMARIES, SRGB_CURVE, ColourSpace, profile_of
from rgru_codec.models import Model
from rgru_format.conformance import VECTORS
from tools.make_pixels import vector
from tools.make_vectors import list_of

RELEASED = Path(__file__).parents[1] / "tests" / "released"
LIST = "SHA256SUMS"
OF_VECTORS = "vectors.sha256"


def pictures() -> Iterator[tuple[str, Image.Image]]:
    """Yield pictures of all modes, and of sizes that fit no grid."""
    photo = Image.fromarray(photos.astronaut()[60:124, 170:250])
    ramp = np.linspace(0, 255, photo.width * photo.height).astype(np.uint8)
    alpha = Image.fromarray(ramp.reshape(photo.height, photo.width))
    yield "rgb", photo
    yield "grey", photo.convert("L").crop((0, 0, 61, 47))
    yield "grey_alpha", Image.merge("LA", (photo.convert("L"), alpha)).crop((3, 3, 36, 20))
    yield "rgba", Image.merge("RGBA", (*photo.split(), alpha)).crop((0, 0, 33, 31))
    yield "one_pixel", photo.crop((40, 30, 41, 31))
    yield "thin", Image.fromarray(photos.astronaut()[200:201, :300])
    yield "tall", Image.fromarray(photos.astronaut()[:200, 250:253])


def files(model: Model) -> Iterator[tuple[str, bytes]]:
    """Yield name and content of every file."""
    compress = functools.partial(rgru_codec.compress, model=model)
    shown = dict(pictures())
    for name, image in shown.items():
        yield name, compress(image, layers=3)
    photo = shown["rgb"]
    whole = compress(photo, layers="all")
    layers = rgru_codec.info(whole).layers
    split = next(layer for layer in layers if len(layer.groups) > 1)
    yield "default", compress(photo)
    yield "all_layers", whole
    yield "half_the_size", compress(photo, target_size=len(whole) // 2)
    yield "header_alone", whole[: rgru_codec.info(whole).layers[0].offsets[0]]
    yield "cut_behind_a_layer", whole[: layers[1].end]
    yield "cut_behind_a_group", whole[: split.offsets[1]]
    yield "cut_inside_a_group", whole[: split.offsets[1] + 3]
    yield "zeros_behind_two_layers", whole[: layers[1].end] + bytes(64)
    yield "bytes_behind_the_end", whole + b"what somebody wrote behind it"
    yield (
        "metadata",
        compress(
            shown["rgba"],
            layers=2,
            exif=_exif(),
            xmp=b"<x:xmpmeta/>",
            icc_profile=_profile(SRGB_CURVE),
        ),
    )
    yield "profile", compress(photo, layers=2, icc_profile=_profile(None))


def _exif() -> bytes:
    tags = Image.Exif()
    tags[0x010F], tags[0x0112] = "a camera", 6
    return tags.tobytes()


def _profile(transfer: int | None) -> bytes:
    """Display P3 with a curve that code points say, or with one that only a profile can say."""
    return profile_of(ColourSpace(PRIMARIES[12], transfer, 1.9))


def contents(model: Model, *, with_vectors: bool) -> Iterator[tuple[str, bytes]]:
    """Yield name and content of all that is kept of a release."""
    if with_vectors:
        yield OF_VECTORS, list_of(VECTORS).read_bytes()
    for name, data in files(model):
        yield from vector(name, data, model)


def main() -> None:
    """Read the command line."""
    parser = argparse.ArgumentParser(description=(__doc__ or "").splitlines()[0])
    parser.add_argument("version", help="such as 1.0.0")
    parser.add_argument(
        "--model", type=Path, help="folder of a package that is none of the wheel's"
    )
    parser.add_argument("--to", type=Path, default=RELEASED, help="folder of the versions")
    args = parser.parse_args()
    model = Model.load(args.model) if args.model else rgru_codec.default_model()
    folder = args.to / (f"{model.name}-{args.version}" if args.model else args.version)
    if folder.exists():
        sys.exit(f"{folder} exists: what was released stays as it is")
    folder.mkdir(parents=True)
    sums = []
    for path, content in contents(model, with_vectors=not args.model):
        (folder / path).write_bytes(content)
        sums.append(f"{hashlib.sha256(content).hexdigest()}  {path}\n")
    (folder / LIST).write_text("".join(sums))
    print(f"{folder}: {len(sums)} files of model {model.id.hex()}")


if __name__ == "__main__":
    main()
