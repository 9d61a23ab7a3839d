"""Kind, layer and offset of a fault are the same wherever a file is read.

The library, ``rgru verify``, the push decoder and the reader that was written from SPEC.md alone
are given every conformance vector.
"""

from __future__ import annotations

import json
import re
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import pytest

from rgru_codec import Decoder, decoder, models
from rgru_codec.cli import verify
from rgru_format import ContextModel, Header, LimitExceeded, Limits, ModelMissing, RgruError, check
from rgru_format.conformance import VECTORS, describe_error, models_of
from tests.format import independent_reader

pytestmark = pytest.mark.skipif(
    not VECTORS.is_dir(), reason="the conformance files are part of a checkout"
)

find_context = models_of(VECTORS)
CONTEXTS = {
    ContextModel.from_bytes(path.read_bytes()).digest()[:4]: independent_reader.Context(
        path.read_bytes()
    )
    for path in VECTORS.glob("context/*.bin")
}


def named(kind: str) -> list[Any]:
    return [pytest.param(path, id=path.stem) for path in sorted(VECTORS.glob(f"{kind}/*.rgru"))]


@pytest.fixture(autouse=True)
def vector_models(monkeypatch: pytest.MonkeyPatch) -> None:
    """The models of the vectors have no networks: what follows the codes is left out."""

    def find_model(model_id: bytes) -> Any:
        context = find_context(model_id)
        assert context is not None
        layers = len(context.layers)
        return SimpleNamespace(id=model_id, context=lambda: context, iterations=layers)

    def known_context(model_id: bytes) -> ContextModel | None:
        try:
            return find_context(model_id)
        except ModelMissing:
            return None

    monkeypatch.setattr(models, "find_model", find_model)
    monkeypatch.setattr(decoder, "decoding_bytes", lambda *_: 0)
    monkeypatch.setattr(models, "known_context", known_context)


def said_by_library(data: bytes) -> Any:
    try:
        report, _ = check(data, find_model=find_context)
        report.sound()
    except RgruError as error:
        return describe_error(error)
    return report.ignored


def said_by_verify(data: bytes) -> Any:
    try:
        _, words = verify.check(data, Limits())
    except RgruError as error:
        return describe_error(error)
    behind = re.search(r"ignored: ([\d ]+) bytes? behind the end of the picture", words)
    return int(behind[1].replace(" ", "")) if behind else 0


def said_by_push_decoder(data: bytes, step: int) -> Any:
    push = Decoder()
    try:
        for at in range(0, len(data), step):
            push.feed(data[at : at + step])
        push.close()
    except RgruError as error:
        fault = error
    else:
        return push.ignored
    if push.header is not None:
        assert push.error is fault
    return describe_error(fault)


def said_by_independent_reader(data: bytes) -> Any:
    try:
        return independent_reader.read(data, CONTEXTS)["ignored"]
    except independent_reader.Fault as fault:
        return fault.report


@pytest.mark.parametrize("path", [*named("invalid"), *named("valid")])
def test_all_four_say_the_same(path: Path) -> None:
    data = path.read_bytes()
    table = json.loads(path.with_suffix(".json").read_text())
    expected = table if path.parent.name == "invalid" else table["ignored"]
    assert said_by_library(data) == expected
    for step in (1, 7, len(data) or 1):
        assert said_by_push_decoder(data, step) == expected
    assert said_by_independent_reader(data) == expected
    if path.stem == "model_unknown":  # it checks what it can, and finds what stands behind
        expected = {"error": "Damaged", "layer": 1, "offset": 21}
    assert said_by_verify(data) == expected


def said_of_header_by_independent_reader(data: bytes) -> Any:
    """What its header is refused for; it is too slow for the codes of a large picture."""
    try:
        independent_reader.read_header(data)
    except independent_reader.Fault as fault:
        return fault.report
    return 0


SIZES = [(1, 2**14), (2**14, 8), (9, 2**26 // 9), (2**13, 2**13)]
"""Width and height of the largest pictures that SPEC section 9 allows."""


@pytest.mark.parametrize(("width", "height"), SIZES)
def test_all_four_allow_the_same_largest_pictures(width: int, height: int) -> None:
    (model_id, *_) = CONTEXTS
    for more in (0, 1):
        longer = (width + more, height) if width > height else (width, height + more)
        data = Header(*longer, model_id).pack()
        expected = describe_error(LimitExceeded("max_pixels", 0, 0)) if more else 0
        assert said_by_library(data) == expected
        assert said_by_verify(data) == expected
        assert said_by_push_decoder(data, 1) == expected
        assert said_of_header_by_independent_reader(data) == expected
