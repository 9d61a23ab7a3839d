"""What is exported computes what was trained: networks within rounding, integers exactly."""

from __future__ import annotations

from pathlib import Path

import msgspec
import numpy as np
import pytest
import tensorflow as tf

import rgru_codec
from rgru_codec import models
from rgru_codec.iterations import encode
from rgru_format import CodesEncoder, InvalidInput
from rgru_train.config import CONFIGS, RunConfig
from rgru_train.export import export, rounded, weights_of
from rgru_train.integers import integers
from rgru_train.nets.context import PAIR_UNIT
from rgru_train.objective import Model

from .tiny import tiny


@pytest.fixture(scope="module")
def model() -> Model:
    """A network whose every weight is away from its start."""
    model = Model(tiny())
    rng = np.random.default_rng(3)
    for variable in model.named.values():
        values = variable.numpy()
        variable.assign(values + rng.normal(0, 0.02, values.shape).astype(np.float32))
    return model


@pytest.fixture(scope="module")
def package(model: Model, tmp_path_factory: pytest.TempPathFactory) -> models.Model:
    return export(model, "tiny", tmp_path_factory.mktemp("models"))


def random_codes(model: Model, rows: int, columns: int) -> list[np.ndarray]:
    rng = np.random.default_rng(4)
    shape = (rows, columns)
    return [
        rng.choice(np.array([-1, 1], np.int8), (*shape, count))
        for count in model.config.network.codes
    ]


@pytest.mark.parametrize(("rows", "columns"), [(1, 1), (2, 3), (5, 4)])
def test_integer_context_model_gives_the_trained_code_length(
    model: Model, rows: int, columns: int
) -> None:
    codes = random_codes(model, rows, columns)
    lengths, _ = model.context.bits([tf.constant(c[None].astype(np.float32)) for c in codes])
    encoder = CodesEncoder(integers(model.context), rows, columns, adapt=False)
    for length, layer in zip(lengths, codes, strict=True):
        encoder.encode_layer(layer)
        # The file's table has steps of a sixteenth in the logit; training has none.
        assert sum(encoder.group_bits) == pytest.approx(float(length[0]), rel=0.01, abs=0.5)


def test_logits_are_bounded_before_the_partner_is_known() -> None:
    """A code that is impossible but for its partner: only integers were bounded twice."""
    model = Model(tiny())
    for name, variable in model.named.items():
        if name.endswith("o/bias"):
            variable.assign(np.full(variable.shape, -20.0, np.float32))
        if name.endswith("own/pair"):
            variable.assign(np.full(variable.shape, 11.0 / PAIR_UNIT, np.float32))
    codes = random_codes(model, 4, 5)
    lengths, _ = model.context.bits([tf.constant(c[None].astype(np.float32)) for c in codes])
    encoder = CodesEncoder(integers(model.context), 4, 5, adapt=False)
    for length, layer in zip(lengths, codes, strict=True):
        encoder.encode_layer(layer)
        assert sum(encoder.group_bits) == pytest.approx(float(length[0]), rel=0.01, abs=0.5)


def test_what_lies_outside_a_picture_does_not_count(model: Model) -> None:
    codes = [c[None].astype(np.float32) for c in random_codes(model, 5, 4)]
    around = [(0, 0), (0, 3), (0, 2), (0, 0)]
    inside = np.pad(np.ones((1, 5, 4, 1), np.float32), around)
    padded = [np.pad(c, around) for c in codes]
    found = model.context.logits([tf.constant(c) for c in padded], tf.constant(inside))
    expected = model.context.logits([tf.constant(c) for c in codes])
    for one, other in zip(found, expected, strict=True):
        np.testing.assert_allclose(one[:, :5, :4], other, atol=1e-5)


@pytest.mark.parametrize("size", [0.0, 1e-3, 0.05, 3.0])
def test_kernels_are_rounded_to_what_float16_holds(size: float) -> None:
    kernel = np.random.default_rng(2).normal(0, size, (3, 3, 8, 16)).astype(np.float32)
    coarse = rounded(kernel)
    np.testing.assert_array_equal(coarse.astype(np.float16), coarse)
    errors = np.abs(coarse - kernel)
    assert (errors <= np.maximum(np.abs(kernel) / 2**7, size / 64)).all()
    assert np.unique(coarse).size < 500


def test_arrays_that_have_no_use_are_zero(model: Model) -> None:
    layers = integers(model.context).layers
    first, last = layers[0], layers[-1]
    assert not any(array.any() for array in (first.U, first.B, last.A, last.B, last.a))
    assert all(array.any() for array in (first.A, last.U))


def test_exported_loop_paints_what_the_trained_loop_paints(
    model: Model, package: models.Model
) -> None:
    pixels = np.random.default_rng(5).integers(0, 256, (48, 64, 3), dtype=np.uint8)
    expected, _, _ = model.forward(tf.constant(pixels[None]), 2, training=False)
    for t, (_, painter) in enumerate(encode(package, pixels)):
        wanted = np.clip(expected[t, 0].numpy(), 0, 255)
        difference = np.abs(painter.show() - wanted)
        assert np.median(difference) < 0.5  # a code near zero may fall the other way


def test_a_package_gives_its_weights_back(model: Model, package: models.Model) -> None:
    found = weights_of(package)
    assert set(found) == set(model.named)
    for name, variable in model.named.items():
        assert found[name].shape == tuple(variable.shape), name
        if not name.startswith("C"):  # the context model's are integers, and some have no use
            np.testing.assert_allclose(found[name], variable.numpy(), rtol=2e-3, atol=1e-5)


def test_networks_that_a_package_cannot_hold_are_named(tmp_path: Path) -> None:
    paper = RunConfig.from_toml(CONFIGS / "paper.toml")
    network = msgspec.structs.replace(paper.network, codes=(32, 32))
    with pytest.raises(InvalidInput, match="a package holds reconstruction = 'paint' only"):
        export(Model(msgspec.structs.replace(paper, network=network)), "paper", tmp_path)


def test_an_exported_model_compresses_and_decompresses(package: models.Model) -> None:
    pixels = np.random.default_rng(7).integers(0, 256, (33, 47, 3), dtype=np.uint8)
    data = rgru_codec.compress(pixels, model=package)
    *_, (_, painter) = encode(package, pixels)
    assert len(data) > 0
    assert painter.show().shape == (33, 47, 3)
