"""Muon takes the matrices of the networks one by one, Adam the rest."""

from __future__ import annotations

from pathlib import Path

import msgspec
import numpy as np
import tensorflow as tf

from rgru_train.config import CONFIGS, RunConfig
from rgru_train.nets.networks import Codec
from rgru_train.optimizer import Optimizer, matrices_of, orthogonal
from rgru_train.trainer import Trainer

from .tiny import eagerly, tiny


def test_matrices_of_the_networks_are_taken_and_nothing_else() -> None:
    codec = Codec(RunConfig.from_toml(CONFIGS / "compact.toml").network)
    taken = matrices_of(codec)
    assert taken["D/rnn0/W/pointwise"] == 3
    assert taken["D/rnn0/U_gates/pointwise"] == 2
    assert taken["P/conv0/kernel"] == 4  # a matrix for each position that depth_to_space makes
    assert taken["B/kernel"] == 1
    words = ("depthwise", "bias", "gains", "L/")
    assert not [name for name in taken if any(word in name for word in words)]


def test_step_of_each_gate_is_near_orthogonal_and_as_large_as_adams() -> None:
    shapes = {"kernel": (3, 3, 16, 192), "twin": (144, 64)}
    optimizer = Optimizer(shapes, {"kernel": 3, "twin": 1}, "float32")
    zeros = {name: np.zeros(shape, np.float32) for name, shape in shapes.items()}
    slots = {name: np.zeros(shape, np.float32) for name, shape in optimizer.slots.items()}
    gradient = np.random.default_rng(0).normal(size=shapes["kernel"]).astype(np.float32)
    gradient[..., 64:128] *= 1000.0  # one gate must not drown the others
    gradients = {"kernel": gradient, "twin": gradient.reshape(144, 192)[:, :64]}
    weights, _ = optimizer.step(zeros, slots, gradients, 1.0, 1)
    gates = np.split(np.asarray(weights["kernel"]).reshape(144, 192), 3, axis=1)
    for gate in gates:
        singular = np.linalg.svd(gate, compute_uv=False) / (0.2 * 12.0)
        assert singular.min() > 0.5
        assert singular.max() < 1.5
    np.testing.assert_allclose(weights["twin"], gates[0], atol=1e-5)  # worked on with them


def test_orthogonal_takes_wide_and_tall_matrices() -> None:
    matrices = tf.random.normal((2, 16, 24))
    wide, tall = orthogonal(matrices), orthogonal(tf.transpose(matrices, (0, 2, 1)))
    np.testing.assert_allclose(wide, tf.transpose(tall, (0, 2, 1)), atol=1e-5)


def test_adam_is_keras_adam() -> None:
    rng = np.random.default_rng(0)
    start, gradients = rng.normal(size=5), rng.normal(size=(4, 5)).astype(np.float32)
    theirs = tf.Variable(start, dtype=tf.float32)
    keras = tf.keras.optimizers.Adam(0.1)
    optimizer = Optimizer({"weight": (5,)}, {}, "float32")
    weights = {"weight": start.astype(np.float32)}
    slots = {name: np.zeros(shape, np.float32) for name, shape in optimizer.slots.items()}
    for step, gradient in enumerate(gradients, 1):
        weights, slots = optimizer.step(weights, slots, {"weight": gradient}, 0.1, step)
        keras.apply_gradients([(tf.constant(gradient), theirs)])
    np.testing.assert_allclose(weights["weight"], theirs.numpy(), rtol=1e-5)


def test_muon_run_cut_and_resumed_is_the_run_that_was_not(tmp_path: Path) -> None:
    training = msgspec.structs.replace(tiny().training, optimizer="muon", steps=100)
    wide = [msgspec.structs.replace(layer, depth=48) for layer in tiny().network.decoder]
    network = msgspec.structs.replace(tiny().network, decoder=tuple(wide))
    config = RunConfig(network, training)
    rng = np.random.default_rng(1)
    batches = [tf.constant(rng.integers(0, 256, (2, 32, 32, 3), dtype=np.uint8)) for _ in range(3)]
    with eagerly():
        whole = Trainer(config, tmp_path)
        assert whole.optimizer.matrices
        for batch in batches[:2]:
            whole.train_step(batch)
        whole.save()
        rows = [whole.train_step(batch) for batch in batches[2:]][-1:]
        again = Trainer(config, tmp_path)
        again.restore()
        rows += [again.train_step(batch) for batch in batches[2:]][-1:]
    assert np.isclose(rows[0]["loss"], rows[1]["loss"], rtol=1e-5)
    arrays = again.arrays()
    for name, value in whole.arrays().items():
        np.testing.assert_allclose(arrays[name], value, atol=1e-5, err_msg=name)
