"""The networks are those of the paper, layer by layer, and the loop is the paper's."""

from __future__ import annotations

import re

import msgspec
import numpy as np
import pytest
import tensorflow as tf

from rgru_train.config import CONFIGS, RunConfig
from rgru_train.nets.config import NetworkConfig, Rnn
from rgru_train.nets.cost import cost_of
from rgru_train.nets.kernels import Dense, Products, Separable, blocks, unblocked
from rgru_train.nets.module import Module
from rgru_train.nets.networks import Binarizer, Codec, Stack
from rgru_train.trainer import Trainer


def small(**changes: object) -> NetworkConfig:
    table = {
        "cell": "residual_gru",
        "reconstruction": "one_shot",
        "codes": [4, 4],
        "encoder": [
            {"kind": "conv", "depth": 6, "stride": 4},
            {"kind": "rnn", "depth": 8, "stride": 4},
        ],
        "decoder": [{"kind": "rnn", "depth": 8}, {"kind": "depth_to_space"}],
        "head": [{"kind": "conv", "depth": 192}, {"kind": "depth_to_space", "factor": 8}],
    }
    return msgspec.convert({**table, **changes}, NetworkConfig)


def parameters(layer: Module) -> int:
    return sum(int(np.prod(v.shape)) for v in layer.trainable_variables)


@pytest.fixture(scope="module")
def paper_trainer(tmp_path_factory: pytest.TempPathFactory) -> Trainer:
    """The paper's network; two iterations have the weights of sixteen."""
    config = RunConfig.from_toml(CONFIGS / "paper.toml")
    network = msgspec.structs.replace(config.network, codes=(32,) * 2)
    config = msgspec.structs.replace(config, network=network)
    return Trainer(config, tmp_path_factory.mktemp("paper"))


@pytest.fixture(scope="module")
def paper(paper_trainer: Trainer) -> Codec:
    return paper_trainer.model.codec


def kernels(layer: Module) -> list[tuple[int, ...]]:
    """Shapes of the convolutions of a layer, biases left out."""
    return [tuple(v.shape) for v in layer.trainable_variables if len(v.shape) == 4]


def test_paper_layers_have_the_shapes_of_figure_1(paper: Codec) -> None:
    conv, *rnns = paper.encoder.blocks
    assert kernels(conv) == [(3, 3, 3, 64)]
    # Gates and candidate side by side: 3 x depth; hidden kernels 1x1; residual connections 1x1.
    expected = [(64, 256, 3, 1), (256, 512, 3, 1), (512, 512, 3, 1)]
    for rnn, (depth_in, depth, kernel, hidden) in zip(rnns, expected, strict=True):
        assert_cell(rnn, depth_in, depth, kernel, hidden)
    assert kernels(paper.binarizer) == [(1, 1, 512, 32)]
    first, *rest = [block for block in paper.decoder.blocks if block is not None]
    assert kernels(first) == [(1, 1, 32, 512)]
    expected = [(512, 512, 2, 1), (128, 512, 3, 1), (128, 256, 3, 3), (64, 128, 3, 3)]
    for rnn, (depth_in, depth, kernel, hidden) in zip(rest, expected, strict=True):
        assert_cell(rnn, depth_in, depth, kernel, hidden)
    assert kernels(paper.painter.blocks[0]) == [(1, 1, 32, 3)]


def assert_cell(rnn: object, depth_in: int, depth: int, kernel: int, hidden: int) -> None:
    assert kernels(rnn.W) == [(kernel, kernel, depth_in, 3 * depth)]  # type: ignore[attr-defined]
    assert kernels(rnn.U_gates) == [(hidden, hidden, depth, 2 * depth)]  # type: ignore[attr-defined]
    assert kernels(rnn.U) == [(hidden, hidden, depth, depth)]  # type: ignore[attr-defined]
    assert kernels(rnn.W_h) == [(1, 1, depth, depth)]  # type: ignore[attr-defined]
    assert kernels(rnn.W_ox) == [(1, 1, depth_in, depth)]  # type: ignore[attr-defined]


def test_paper_has_13_9_and_10_8_million_parameters(paper: Codec) -> None:
    encoder = parameters(paper.encoder) + parameters(paper.binarizer)
    decoder = parameters(paper.decoder) + parameters(paper.painter)
    assert round(encoder / 1e6, 1) == 13.9
    assert round(decoder / 1e6, 1) == 10.8


def test_paper_takes_one_training_step(paper_trainer: Trainer) -> None:
    weights = paper_trainer.model.codec.painter.blocks[0].matrix
    before = weights.numpy().copy()
    crops = np.random.default_rng(0).integers(0, 256, (1, 32, 32, 3), dtype=np.uint8)
    row = paper_trainer.train_step(tf.constant(crops))
    assert np.isfinite(row["loss"])
    assert np.abs(weights.numpy() - before).max() > 0


@pytest.mark.parametrize("cell", ["residual_gru", "gru", "lstm"])
@pytest.mark.parametrize("kernels", ["dense", "separable"])
@pytest.mark.parametrize("reconstruction", ["one_shot", "additive", "paint"])
def test_every_cell_and_reconstruction_runs_the_loop(
    cell: str, kernels: str, reconstruction: str
) -> None:
    codec = Codec(small(cell=cell, kernels=kernels, **parts_of(reconstruction)))
    picture = tf.random.uniform((2, 32, 64, 3), -0.9, 0.9)
    codes, pictures = codec.iterate(picture)
    count = codec.config.codes[0]
    assert [tuple(b.shape) for b in codes] == [(2, 2, 4, count)] * 2
    assert [tuple(p.shape) for p in pictures] == [(2, 32, 64, 3)] * 2
    assert set(np.unique(codes[1])) <= {-1.0, 1.0}


def parts_of(reconstruction: str) -> dict[str, object]:
    if reconstruction != "paint":
        return {"reconstruction": reconstruction}
    painter = [
        {"kind": "picture"},
        {"kind": "conv", "depth": 8 * 256, "kernel": 1},
        {"kind": "depth_to_space", "factor": 16},
        {"kind": "picture"},
        {"kind": "separable", "depth": 3},
    ]
    return {
        "reconstruction": "paint",
        "codes": [20, 20],
        "decoder": [{"kind": "rnn", "depth": 8}],
        "head": [],
        "painter": painter,
        "linear": {},
    }


def test_second_residual_is_picture_minus_first_painting() -> None:
    codec = Codec(small())
    picture = tf.random.uniform((1, 32, 32, 3), -0.9, 0.9)
    codes, pictures = codec.iterate(picture)
    encoder, cells = codec.initial_states(1, 32, 32)
    b, encoder = codec.encode(0, picture, encoder, cells[0], Products())
    first, cells, _ = codec.decode(0, b, cells, None, Products())
    b, _ = codec.encode(1, picture - first, encoder, cells[0], Products())
    second, _, _ = codec.decode(1, b, cells, None, Products())
    np.testing.assert_array_equal(b, codes[1])
    np.testing.assert_allclose(second, pictures[1], atol=1e-6)


def test_additive_pictures_add_up() -> None:
    codec = Codec(small(reconstruction="additive", gains=[1.0, 4.0]))
    codes, pictures = codec.iterate(tf.random.uniform((1, 32, 32, 3), -0.9, 0.9))
    _, cells = codec.initial_states(1, 32, 32)
    _, cells, _ = codec.decode(0, codes[0], cells, None, Products())
    alone, _, _ = codec.decode(1, codes[1], cells, None, Products())
    np.testing.assert_allclose(pictures[1] - pictures[0], alone, atol=1e-5)


def test_painter_paints_once_from_all_that_was_told() -> None:
    """The last picture depends on the coefficients of all layers and on the last state alone."""
    codec = Codec(small(gains=[1.0, 4.0], **parts_of("paint")))
    codes, pictures = codec.iterate(tf.random.uniform((1, 32, 32, 3), -0.9, 0.9))
    _, cells = codec.initial_states(1, 32, 32)
    assert codec.linear is not None
    told = tf.zeros((1, 2, 2, 10))
    for b, gain in zip(codes, (1.0, 4.0), strict=True):
        told += codec.linear.coefficients(b, cells[0], Products()) / gain
        features, cells = codec.decoder(b, cells, Products())
    linear = codec.linear.synthesise(told)
    known = tf.concat([features, told], axis=-1)
    lacking, _ = codec.painter(known, [], Products(), picture=linear)
    np.testing.assert_allclose(linear + lacking, pictures[1], atol=1e-5)


def test_rearrangements_are_tensorflows() -> None:
    x = tf.random.normal((2, 8, 12, 16))
    np.testing.assert_array_equal(blocks(x, 4), tf.nn.space_to_depth(x, 4))
    np.testing.assert_array_equal(unblocked(x, 4), tf.nn.depth_to_space(x, 4))


@pytest.mark.parametrize(("side", "stride"), [(1, 1), (3, 1), (8, 8), (3, 2), (5, 2)])
def test_dense_kernels_are_tensorflows_convolutions(side: int, stride: int) -> None:
    x = tf.random.normal((2, 16, 24, 5))
    layer = Dense(5, 7, side, stride, bias=True, name="dense")
    assert layer.bias is not None
    layer.bias.assign(tf.random.normal((7,)))
    expected = tf.nn.conv2d(x, layer.matrix, stride, "SAME") + layer.bias
    np.testing.assert_allclose(layer(x, Products()), expected, atol=1e-5)


def test_separable_kernels_start_near_the_identity() -> None:
    layer = Separable(64, 7, 3, name="separable")
    assert layer.depthwise is not None
    kernel = layer.depthwise.numpy()
    assert abs(kernel[1, 1].mean() - 1.0) < 0.1
    assert abs(np.delete(kernel.reshape(9, 64), 4, axis=0).std() - 0.2) < 0.03
    assert Separable(64, 7, 1, name="separable").depthwise is None


def binarized(binarizer: Binarizer, x: tf.Tensor, training: bool = False) -> tf.Tensor:
    return binarizer.codes(x, None, Products(), training)


def test_binarizer_maps_zero_to_plus_one_and_is_stochastic_in_training_only() -> None:
    binarizer = Binarizer(8, small())
    assert np.all(binarized(binarizer, tf.zeros((1, 8, 8, 8))) == 1.0)
    drawn = binarized(binarizer, tf.zeros((4, 32, 32, 8)), training=True).numpy()
    assert abs(drawn.mean()) < 0.05
    assert set(np.unique(drawn)) == {-1.0, 1.0}


def test_gradient_passes_the_binarizer_unchanged() -> None:
    binarizer = Binarizer(8, small(binarizer_noise=0.0))
    x = tf.Variable(tf.random.normal((1, 2, 2, 8)) * 0.1)
    with tf.GradientTape() as tape:
        total = tf.reduce_sum(binarized(binarizer, x, training=True))
    with tf.GradientTape() as plain:
        expected = tf.reduce_sum(tf.tanh(binarizer(x, Products())))
    np.testing.assert_allclose(tape.gradient(total, x), plain.gradient(expected, x), atol=1e-6)


def test_dct_start_sees_whitened_functions() -> None:
    """Functions of a block are told apart, each at the size that whitening gives it."""
    from rgru_train.nets.transform import analysis_kernel

    kernel = 8 * analysis_kernel(8, 80).reshape(192, 80)
    sizes = np.linalg.norm(kernel, axis=0)
    np.testing.assert_allclose((kernel / sizes).T @ (kernel / sizes), np.eye(80), atol=1e-4)
    # Of luma the block's mean and its first wave, of colour (a quarter of all) the mean.
    np.testing.assert_allclose(sizes[[0, 1, 60]], [2.5, 2.5 * 2**1.5, 5.0], rtol=1e-5)


SHOWN = {"kind": "depth_to_space", "factor": 8}
FIRST = {"kind": "conv", "depth": 8, "stride": 4}
PAINT = {"reconstruction": "paint", "linear": {}, "head": [], "painter": [SHOWN]}


@pytest.mark.parametrize(
    ("change", "words"),
    [
        ({"cell": "rnn"}, "Invalid enum value 'rnn' - at `$.cell`"),
        ({"reconstruction": "other"}, "Invalid enum value 'other'"),
        ({"reconstruction": "paint"}, "belong to reconstruction paint"),
        ({"gains": [1.0]}, "gains has 1 entries"),
        ({"codes": "many"}, "Expected `array`, got `str`"),
        ({"codes": []}, "of length >= 1"),
        ({"phases": [3, 3]}, "phases are 2, 4 or 5"),
        ({"colour": 3}, "unknown field `colour`"),
        ({"head": []}, "a head belongs to"),
        ({"head": [{"kind": "pool"}]}, "Invalid value 'pool' - at `$.head"),
        ({"head": [{"kind": "conv"}]}, "missing required field `depth`"),
        ({"head": [{"kind": "conv", "depth": 0}]}, "Expected `int` >= 1"),
        ({"head": [{"kind": "conv", "depth": 3.5}]}, "Expected `int`, got `float`"),
        ({"head": [{"kind": "conv", "depth": 3, "width": 3}]}, "unknown field `width`"),
        ({"head": [{"kind": "conv", "depth": 3, "inner": 2}]}, "unknown field `inner`"),
        ({"head": [{"kind": "picture"}]}, "belongs to the painter"),
        ({"head": [{"kind": "rnn", "depth": 3}]}, "belongs to the encoder or the decoder"),
        ({"head": [{"kind": "conv", "depth": 3}]}, "head or painter ends in positions 8 pixels"),
        ({"head": [SHOWN]}, "depth_to_space: 2 channels for 8² positions"),
        ({"head": [{"kind": "conv", "depth": 64}, SHOWN]}, "ends in 1 channels, not 3"),
        ({"decoder": [{"kind": "conv", "depth": 8}]}, "decoder has a recurrent layer"),
        ({"encoder": [{"kind": "rnn", "depth": 8, "stride": 8}]}, "encoder ends in positions 8"),
        (
            {"encoder": [{**FIRST, "stride": 32}, {"kind": "depth_to_space"}]},
            "positions 32",
        ),
        ({"encoder": [FIRST, {**FIRST, "init": "dct"}]}, "dct reads RGB"),
        ({"groups": [5, 1]}, "no more groups than codes"),
        ({"groups": [0, 1]}, "Expected `int` >= 1 - at `$.groups[0]`"),
        ({"context_states": 0}, "Expected `int` >= 1 - at `$.context_states`"),
        ({"gains": [0.0, 1.0]}, "Expected `float` > 0.0 - at `$.gains[0]`"),
        ({**PAINT, "codes": [16, 21]}, "needs pairs of codes, more than 7"),
        ({**PAINT, "codes": [14, 14]}, "needs pairs of codes, more than 7"),
        ({**PAINT, "codes": [16, 16]}, "decoder ends in positions 8 pixels wide, not 16"),
    ],
)
def test_a_wrong_config_names_what_is_wrong(change: dict[str, object], words: str) -> None:
    with pytest.raises(msgspec.ValidationError, match=re.escape(words)):
        small(**change)


def test_a_narrow_residual_block_has_kernels_of_its_inner_width() -> None:
    block = {"kind": "residual", "inner": 2}
    network = small(decoder=[{"kind": "rnn", "depth": 8}, block, {"kind": "depth_to_space"}])
    narrow = Codec(network)
    assert kernels(narrow.decoder.blocks[1]) == [(3, 3, 8, 2), (3, 3, 2, 8)]
    assert cost_of(network).decoder - cost_of(small()).decoder == 2 * 9 * 8 * 2 / 16**2


def test_gradient_of_a_strided_cell_stays_inside_its_memory() -> None:
    """A strided 1x1 convolution of a cell spoiled the heap: crashes, or gradients far away."""
    cell = [{"kind": "rnn", "depth": 3, "stride": 2, "hidden": 3}]
    stack = Stack(msgspec.convert(cell, tuple[Rnn]), small(), 3, 1.0, "E")
    picture = tf.Variable(np.random.default_rng(0).normal(size=(1, 64, 64, 3)), dtype="float32")
    for _ in range(30):
        with tf.GradientTape() as tape:
            features, _ = stack(picture, [tf.ones((1, 32, 32, 3))], Products())
            here = tf.reduce_sum(features[0, 16, 16] ** 2)
        rows = np.flatnonzero(tape.gradient(here, picture).numpy()[0].any(axis=(1, 2)))
        assert 26 <= rows.min() <= rows.max() <= 39
