"""What is exported computes what was trained: networks within rounding, integers exactly."""

from __future__ import annotations

import numpy as np
import pytest
import tensorflow as tf

import rgru_codec
from rgru_codec import models
from rgru_codec.iterations import Painter, encode
from rgru_format import CodesEncoder
from rgru_train.export import _rounded, export, integers
from rgru_train.loop import Model

from .tiny import tiny


@pytest.fixture(scope="module")
def model() -> Model:
    """A network whose every weight is away from its start."""
    model = Model(tiny())
    rng = np.random.default_rng(3)
    for variable in model.trainable:
        values = variable.numpy()
        variable.assign(values + rng.normal(0, 0.02, values.shape).astype(np.float32))
    return model


@pytest.fixture(scope="module")
def package(model: Model, tmp_path_factory: pytest.TempPathFactory) -> models.Model:
    return models.Model.load(export(model, "tiny", tmp_path_factory.mktemp("models")))


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


@pytest.mark.parametrize("size", [0.0, 1e-3, 0.05, 3.0])
def test_kernels_are_rounded_to_what_float16_holds(size: float) -> None:
    kernel = np.random.default_rng(2).normal(0, size, (3, 3, 8, 16)).astype(np.float32)
    rounded = _rounded(kernel)
    np.testing.assert_array_equal(rounded.astype(np.float16), rounded)
    errors = np.abs(rounded - kernel)
    assert (errors <= np.maximum(np.abs(kernel) / 2**7, size / 64)).all()
    assert np.unique(rounded).size < 500


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
        wanted = np.clip(expected[t, 0].numpy().transpose(1, 2, 0), 0, 255)
        difference = np.abs(painter.show() - wanted)
        assert np.median(difference) < 0.5  # a code near zero may fall the other way


def test_id_is_the_hash_of_the_package(package: models.Model) -> None:
    assert models.package_id(package.folder) == package.id
    assert package.folder.name == package.id.hex()


def test_windows_give_the_picture_of_one_pass(
    package: models.Model, monkeypatch: pytest.MonkeyPatch
) -> None:
    pixels = np.random.default_rng(6).integers(0, 256, (200, 136, 3), dtype=np.uint8)
    layers = [(codes, painter.show()) for codes, painter in encode(package, pixels)]
    monkeypatch.setattr("rgru_codec.runtime.windows.WINDOW", 64)
    painter = Painter(package, *pixels.shape[:2])
    for codes, expected in layers:
        painter.add_layer(codes)
        assert np.abs(painter.show().astype(int) - expected).max() <= 1


def test_an_exported_model_compresses_and_decompresses(
    package: models.Model, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv(models.VARIABLE, str(package.folder.parent))
    pixels = np.random.default_rng(7).integers(0, 256, (33, 47, 3), dtype=np.uint8)
    data = rgru_codec.compress(pixels, model=package)
    picture = rgru_codec.decompress(data)
    assert picture.size == (47, 33)
    *_, (_, painter) = encode(package, pixels)
    np.testing.assert_array_equal(np.asarray(picture), painter.show())
