"""The conformance vectors: what they hold, and whether this decoder finds it (SPEC section 12)."""

from __future__ import annotations

import dataclasses
import hashlib
import json
from pathlib import Path
from typing import Any

import numpy as np

from rgru_format.codes import CodesDecoder, codes_digest
from rgru_format.context.model import ContextModel
from rgru_format.errors import InvalidInput, ModelMissing, RgruError
from rgru_format.inspect import check
from rgru_format.reader import FindModel

VECTORS = Path(__file__).parents[1] / "vectors"
"""The conformance vectors of a checkout; an installed package has none."""


@dataclasses.dataclass(frozen=True)
class VectorResult:
    """How one conformance vector fared."""

    name: str
    """Path inside the folder of vectors, without suffix."""
    problem: str | None
    """None: as it should be."""


def run_vectors(folder: Path = VECTORS, find_model: FindModel | None = None) -> list[VectorResult]:
    """Decode all vectors of a folder and compare.

    Args:
        folder: laid out as format/vectors.
        find_model: for vectors whose context model does not lie in the folder.

    Raises:
        InvalidInput: there are no vectors.
    """
    if not (folder / "valid").is_dir():
        raise InvalidInput(
            f"{folder} holds no conformance vectors; they are part of a checkout: "
            "rgru verify --vectors CHECKOUT/format/vectors"
        )
    models = models_of(folder, find_model)
    results = []
    for kind in ("valid", "invalid"):
        for path in sorted(folder.glob(f"{kind}/*.rgru")):
            results.append(VectorResult(f"{kind}/{path.stem}", _problem(path, models)))
    return results


def models_of(folder: Path, find_model: FindModel | None = None) -> FindModel:
    """Return what finds the context models in a folder of vectors, or else asks ``find_model``."""
    own = {}
    for path in sorted(folder.glob("context/*.bin")):
        model = ContextModel.from_bytes(path.read_bytes())
        own[model.digest()[:4]] = model

    def find(model_id: bytes) -> ContextModel | None:
        if model_id in own:
            return own[model_id]
        if find_model is None:
            raise ModelMissing(model_id)
        return find_model(model_id)

    return find


def decode_vector(data: bytes, find_model: FindModel) -> dict[str, Any]:
    """Return what a valid vector holds, in the form of its json file.

    Raises:
        RgruError: the file is not valid.
    """
    report, decoded = check(data, find_model=find_model)
    header = report.sound().header
    assert decoded.codes is not None
    plane = decoded.alpha
    return {
        "width": header.width,
        "height": header.height,
        "grey": header.grey,
        "alpha": header.alpha,
        "boxes": [
            {"type": one.box.type.decode(), "sha256": _sha256(one.box.content)}
            for one in report.boxes
        ],
        "alpha_plane": None if plane is None else _sha256(np.ascontiguousarray(plane).tobytes()),
        "layers": decoded.digests,
        "unfinished": _unfinished(decoded.codes),
        "ignored": report.ignored,
    }


def describe_error(error: RgruError) -> dict[str, Any]:
    """Return what an invalid vector has to give, in the form of its json file."""
    return {
        "error": type(error).__name__,
        "layer": getattr(error, "layer", None),
        "offset": getattr(error, "offset", None),
    }


def _unfinished(decoder: CodesDecoder) -> dict[str, Any] | None:
    """Return number of groups, codes and expectation of a layer of which only some arrived."""
    if decoder.current is None:
        return None
    expected = (decoder.expectation() * 32768).astype("<i4")
    return {
        "groups": decoder.group,
        "codes": codes_digest(decoder.current),
        "expectation": _sha256(expected.tobytes()),
    }


def _sha256(data: bytes) -> str:
    return hashlib.sha256(data).hexdigest()


def _problem(path: Path, find_model: FindModel) -> str | None:
    expected = json.loads(path.with_suffix(".json").read_text())
    try:
        found = decode_vector(path.read_bytes(), find_model)
    except RgruError as error:
        if "error" not in expected:
            return f"{type(error).__name__}: {error}"
        found = describe_error(error)
    else:
        if path.parent.name == "invalid":
            return f"decodes, expected {expected}"
    wrong = [key for key, value in found.items() if expected.get(key) != value]
    return f"{wrong[0]} is {found[wrong[0]]}, expected {expected.get(wrong[0])}" if wrong else None
