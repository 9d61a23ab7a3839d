"""Conformance vectors with pixels: files of an installed model, and the picture they show.

``format/vectors/pixels`` holds NAME.rgru, NAME.json and NAME.png (SPEC section 12), ``models/ID``
the decoding half of a tiny model with every kind of layer. Descriptions are those of other vectors,
with ``model`` and ``tolerance`` (section 11.7) instead of ``context``.
"""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import numpy as np
from PIL import Image

from rgru_codec.models import Model, find_model
from rgru_codec.whole import decompress
from rgru_format import RgruError, inspect
from rgru_format.conformance import VectorResult, decode_vector

TOLERANCE = {"rms": 0.5, "largest": 2}
"""Levels by which a decoder may differ from the reference picture."""


def model_of(data: bytes, folder: Path) -> Model:
    """The model that a file needs: one of ``models/ID`` beside the vectors, or one at hand.

    Raises:
        RgruError: the file is not valid, or its model is not at hand.
    """
    model_id = inspect(data).header.model_id
    own = folder / "models" / model_id.hex()
    return Model.load(own) if own.is_dir() else find_model(model_id)


def describe(data: bytes, model: Model) -> dict[str, Any]:
    """What a decoder has to find in a file, in the form of its json file.

    Raises:
        RgruError: the file is not valid.
    """
    found = decode_vector(data, lambda _: model.context())
    return {"model": model.id.hex()} | found | {"tolerance": TOLERANCE}


def check_pixels(folder: Path) -> list[VectorResult]:
    """Decode the vectors with pixels in a folder that is laid out as format/vectors."""
    paths = sorted(folder.glob("pixels/*.rgru"))
    return [VectorResult(f"pixels/{path.stem}", problem_of(path, folder)) for path in paths]


def problem_of(path: Path, folder: Path) -> str | None:
    """Say what of a file is not as the .json and .png beside it have it; None: nothing.

    Args:
        path: The .rgru file.
        folder: Where ``models`` may lie (see `model_of`).
    """
    expected = json.loads(path.with_suffix(".json").read_text("utf-8"))
    data = path.read_bytes()
    try:
        model = model_of(data, folder)
        found = {**describe(data, model), "tolerance": expected["tolerance"]}
        picture = decompress(data, model=model)
    except RgruError as error:
        return f"{type(error).__name__}: {error}"
    wrong = [key for key, value in expected.items() if found[key] != value]
    if wrong:
        return f"{wrong[0]} is {found[wrong[0]]}, expected {expected[wrong[0]]}"
    with Image.open(path.with_suffix(".png")) as reference:
        return _distance(picture, reference, expected["tolerance"])


def _distance(
    picture: Image.Image, reference: Image.Image, tolerance: dict[str, float]
) -> str | None:
    """What is wrong with the pixels; alpha has to be exact, which its digest shows."""
    if (picture.mode, picture.size) != (reference.mode, reference.size):
        return f"shows {picture.mode} {picture.size}, expected {reference.mode} {reference.size}"
    difference = np.asarray(picture).astype(float) - np.asarray(reference)
    rms, largest = np.sqrt(np.mean(difference**2)), np.abs(difference).max()
    if rms > tolerance["rms"] or largest > tolerance["largest"]:
        return f"pixels differ by {rms:.3f} levels (RMS), {largest:.0f} at most"
    return None
