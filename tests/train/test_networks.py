"""The networks are those of the paper, layer by layer, and the loop is the paper's."""

from __future__ import annotations

import dataclasses
from pathlib import Path

import numpy as np
import pytest
import tensorflow as tf

from rgru_format import InvalidInput
from rgru_train.config import RunConfig
from rgru_train.loop import Trainer
from rgru_train.nets.config import NetworkConfig
from rgru_train.nets.cost import cost_of
from rgru_train.nets.networks import Binarizer, Codec

CONFIGS = Path(__file__).parents[2] / "train" / "configs"


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
    return NetworkConfig.from_mapping({**table, **changes})


def parameters(layer: tf.keras.layers.Layer) -> int:
    return sum(int(np.prod(v.shape)) for v in layer.weights)


@pytest.fixture(scope="module")
def paper_trainer(tmp_path_factory: pytest.TempPathFactory) -> Trainer:
    """The paper's network; two iterations have the weights of sixteen."""
    config = RunConfig.from_toml(CONFIGS / "paper.toml")
    network = dataclasses.replace(config.network, codes=(32,) * 2)
    config = dataclasses.replace(config, network=network)
    return Trainer(config, tmp_path_factory.mktemp("paper"))


@pytest.fixture(scope="module")
def paper(paper_trainer: Trainer) -> Codec:
    return paper_trainer.model.codec


def kernels(layer: tf.keras.layers.Layer) -> list[tuple[int, ...]]:
    """Shapes of the convolutions of a layer, biases left out."""
    return [tuple(v.shape) for v in layer.weights if len(v.shape) == 4]


def test_paper_layers_have_the_shapes_of_figure_1(paper: Codec) -> None:
    conv, *rnns = paper.encoder.blocks
    assert kernels(conv) == [(3, 3, 3, 64)]
    # Gates and candidate side by side: 3 x depth; hidden kernels 1x1; residual connections 1x1.
    expected = [(64, 256, 3, 1), (256, 512, 3, 1), (512, 512, 3, 1)]
    for rnn, (depth_in, depth, kernel, hidden) in zip(rnns, expected, strict=True):
        assert_cell(rnn, depth_in, depth, kernel, hidden)
    assert kernels(paper.binarizer.conv) == [(1, 1, 512, 32)]
    first, *rest = [b for b in paper.decoder.blocks if kernels(b)]
    assert kernels(first) == [(1, 1, 32, 512)]
    expected = [(512, 512, 2, 1), (128, 512, 3, 1), (128, 256, 3, 3), (64, 128, 3, 3)]
    for rnn, (depth_in, depth, kernel, hidden) in zip(rest, expected, strict=True):
        assert_cell(rnn, depth_in, depth, kernel, hidden)
    assert kernels(paper.head.blocks[0]) == [(1, 1, 32, 3)]


def assert_cell(rnn: object, depth_in: int, depth: int, kernel: int, hidden: int) -> None:
    assert kernels(rnn.W) == [(kernel, kernel, depth_in, 3 * depth)]  # type: ignore[attr-defined]
    assert kernels(rnn.U_gates) == [(hidden, hidden, depth, 2 * depth)]  # type: ignore[attr-defined]
    assert kernels(rnn.U) == [(hidden, hidden, depth, depth)]  # type: ignore[attr-defined]
    assert kernels(rnn.W_h) == [(1, 1, depth, depth)]  # type: ignore[attr-defined]
    assert kernels(rnn.W_ox) == [(1, 1, depth_in, depth)]  # type: ignore[attr-defined]


def test_paper_has_13_9_and_10_8_million_parameters(paper: Codec) -> None:
    encoder = parameters(paper.encoder) + parameters(paper.binarizer.conv)
    decoder = parameters(paper.decoder) + parameters(paper.head)
    assert round(encoder / 1e6, 1) == 13.9
    assert round(decoder / 1e6, 1) == 10.8


def test_paper_takes_one_training_step(paper_trainer: Trainer) -> None:
    weights = paper_trainer.model.codec.head.blocks[0].weights[0]
    before = weights.numpy().copy()
    crops = np.random.default_rng(0).integers(0, 256, (1, 32, 32, 3), dtype=np.uint8)
    row = paper_trainer.train_step(tf.constant(crops))
    assert np.isfinite(row["loss"])
    assert np.abs(weights.numpy() - before).max() > 0


@pytest.mark.parametrize("cell", ["residual_gru", "gru", "lstm"])
@pytest.mark.parametrize("reconstruction", ["one_shot", "additive", "residual_scaling"])
def test_every_cell_and_reconstruction_runs_the_loop(cell: str, reconstruction: str) -> None:
    codec = Codec(small(cell=cell, reconstruction=reconstruction))
    codec.build_all()
    picture = tf.random.uniform((2, 32, 64, 3), -0.9, 0.9)
    codes, pictures = codec.iterate(picture)
    assert [tuple(b.shape) for b in codes] == [(2, 2, 4, 4)] * 2
    assert [tuple(p.shape) for p in pictures] == [(2, 32, 64, 3)] * 2
    assert set(np.unique(codes[1])) <= {-1.0, 1.0}


def test_second_residual_is_picture_minus_first_painting() -> None:
    codec = Codec(small())
    codec.build_all()
    picture = tf.random.uniform((1, 32, 32, 3), -0.9, 0.9)
    codes, pictures = codec.iterate(picture)
    encoder, decoder = codec.initial_states(1, 32, 32)
    b, encoder = codec.encode(0, picture, encoder, decoder[0])
    first, decoder = codec.decode(b, decoder)
    b, _ = codec.encode(1, picture - first, encoder, decoder[0])
    second, _ = codec.decode(b, decoder)
    np.testing.assert_array_equal(b, codes[1])
    np.testing.assert_allclose(second, pictures[1], atol=1e-6)


def test_additive_pictures_add_up() -> None:
    codec = Codec(small(reconstruction="additive", gains=[1.0, 4.0]))
    codec.build_all()
    codes, pictures = codec.iterate(tf.random.uniform((1, 32, 32, 3), -0.9, 0.9))
    _, states = codec.initial_states(1, 32, 32)
    _, states = codec.decode(codes[0], states)
    delta, _ = codec.decode(codes[1], states)
    np.testing.assert_allclose(pictures[1] - pictures[0], delta / 4.0, atol=1e-5)


def test_binarizer_maps_zero_to_plus_one_and_is_stochastic_in_training_only() -> None:
    binarizer = Binarizer(small())
    zeros = tf.zeros((1, 8, 8, 8))
    assert np.all(binarizer(zeros) == 1.0)
    drawn = binarizer(tf.zeros((4, 32, 32, 8)), training=True).numpy()
    assert abs(drawn.mean()) < 0.05
    assert set(np.unique(drawn)) == {-1.0, 1.0}


def test_gradient_passes_the_binarizer_unchanged() -> None:
    binarizer = Binarizer(small(binarizer_noise=0.0))
    x = tf.Variable(tf.random.normal((1, 2, 2, 8)) * 0.1)
    with tf.GradientTape() as tape:
        total = tf.reduce_sum(binarizer(x, training=True))
    with tf.GradientTape() as plain:
        expected = tf.reduce_sum(tf.tanh(binarizer.conv(x)))
    np.testing.assert_allclose(tape.gradient(total, x), plain.gradient(expected, x), atol=1e-6)


def test_dct_start_paints_what_it_sees() -> None:
    from rgru_train.nets.transform import analysis_kernel, synthesis_kernel

    analysis = analysis_kernel(8, 192).reshape(192, 192)
    synthesis = synthesis_kernel(3, 8, 192)[1, 1]
    luma_only = np.repeat(np.random.default_rng(0).normal(size=(64, 1)), 3, axis=1).reshape(1, -1)
    small_count = 192 - 2 * round(192 * 0.25 / 2)
    assert small_count >= 64  # all luma functions are there
    np.testing.assert_allclose(luma_only @ analysis @ synthesis, luma_only, atol=1e-4)


@pytest.mark.parametrize(
    ("change", "words"),
    [
        ({"cell": "rnn"}, "unknown cell"),
        ({"reconstruction": "other"}, "unknown reconstruction"),
        ({"gains": [1.0]}, "gains has 1 entries"),
        ({"colour": 3}, "unknown keys"),
        ({"head": [{"kind": "pool"}]}, "unknown layer kind"),
        ({"head": [{"kind": "conv"}]}, "needs depth"),
        ({"head": [{"kind": "conv", "width": 3}]}, "width"),
        ({"head": [{"kind": "conv", "depth": 3, "inner": 2}]}, "inner = 2 in a conv"),
    ],
)
def test_a_wrong_config_names_what_is_wrong(change: dict[str, object], words: str) -> None:
    with pytest.raises(InvalidInput, match=words):
        small(**change)


def test_a_narrow_residual_block_has_kernels_of_its_inner_width() -> None:
    block = {"kind": "residual", "depth": 8, "inner": 2}
    network = small(decoder=[{"kind": "rnn", "depth": 8}, block, {"kind": "depth_to_space"}])
    narrow = Codec(network)
    narrow.build_all()
    assert kernels(narrow.decoder.blocks[1]) == [(3, 3, 8, 2), (3, 3, 2, 8)]
    assert cost_of(network).decoder - cost_of(small()).decoder == 2 * 9 * 8 * 2 / 16**2


@pytest.mark.parametrize(
    "layers",
    [
        [{"kind": "conv", "depth": 3, "kernel": 8, "stride": 8}, {"kind": "residual", "depth": 3}],
        [{"kind": "conv", "depth": 3, "stride": 2}, {"kind": "conv", "depth": 3, "stride": 4}],
        [{"kind": "conv", "depth": 3, "kernel": 5, "stride": 2}],
        [{"kind": "rnn", "depth": 3, "stride": 2, "hidden": 3}],
    ],
)
def test_outputs_depend_on_inputs_within_reach(layers: list[dict[str, object]]) -> None:
    """A kernel no larger than its stride reads nothing around its block."""
    stack = Codec(small(encoder=layers)).encoder
    stride, side, middle = round(stack.scale), 64, 32
    picture = tf.Variable(np.random.default_rng(0).normal(size=(1, side, side, 3)), dtype="float32")
    states = [tf.ones((1, side // stride, side // stride, 3)) for _ in stack.state_shapes()]
    with tf.GradientTape() as tape:
        features, _ = stack(picture, states)
        here = tf.reduce_sum(features[0, middle // stride, middle // stride] ** 2)
    rows = np.flatnonzero(tape.gradient(here, picture).numpy()[0].any(axis=(1, 2)))
    measured = max(middle - rows.min(), rows.max() - (middle + stride - 1))
    assert 0 <= stack.reach() - max(measured, 0) <= stride


def test_gradient_of_a_strided_cell_stays_inside_its_memory() -> None:
    """A strided 1x1 convolution of a cell spoiled the heap: crashes, or gradients far away."""
    cell = [{"kind": "rnn", "depth": 3, "stride": 2, "hidden": 3}]
    for _ in range(30):
        test_outputs_depend_on_inputs_within_reach(cell)
