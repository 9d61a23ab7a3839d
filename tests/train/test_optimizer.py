"""Muon takes the kernels of the networks gate by gate, Adam the rest."""

from __future__ import annotations

import dataclasses
from pathlib import Path

import numpy as np
import tensorflow as tf

from rgru_train.config import RunConfig
from rgru_train.loop import Trainer
from rgru_train.nets.networks import Codec
from rgru_train.optimizer import Muon, kernels

from .tiny import ROOT, tiny


def compact() -> Codec:
    codec = Codec(RunConfig.from_toml(ROOT / "train" / "configs" / "compact.toml").network)
    codec.build_all()
    return codec


def test_kernels_of_the_recurrent_networks_are_taken_and_nothing_else() -> None:
    codec = compact()
    taken = kernels(codec)
    encoder_cell = codec.encoder.blocks[-1]
    gates = {
        encoder_cell.W.kernel.path: 3,
        codec.decoder.blocks[0].U_gates.kernel.path: 2,
    }
    assert gates.items() <= taken.items()
    assert codec.binarizer.conv.kernel.path in taken
    assert not {v.path for v in codec.linear.trainable_variables} & set(taken)
    assert not [path for path in taken if "bias" in path or "gains" in path]


def test_step_of_each_gate_is_near_orthogonal_and_as_large_as_adams() -> None:
    kernel = tf.keras.Variable(np.zeros((3, 3, 16, 192), np.float32), name="kernel")
    optimizer = Muon({kernel.path: 3}, learning_rate=1.0)
    optimizer.build([kernel])
    gradient = np.random.default_rng(0).normal(size=kernel.shape).astype(np.float32)
    gradient[..., 64:128] *= 1000.0  # one gate must not drown the others
    optimizer.update_step(tf.constant(gradient), kernel, 1.0)
    for gate in np.split(kernel.numpy().reshape(144, 192), 3, axis=1):
        singular = np.linalg.svd(gate, compute_uv=False) / (0.2 * 12.0)
        assert singular.min() > 0.5
        assert singular.max() < 1.5


def test_muon_run_cut_and_resumed_is_the_run_that_was_not(tmp_path: Path) -> None:
    config = tiny()
    wide = [dataclasses.replace(spec, depth=48) for spec in config.network.encoder]
    network = dataclasses.replace(config.network, encoder=tuple(wide))
    training = dataclasses.replace(config.training, optimizer="muon")
    config = RunConfig(network, training)
    rng = np.random.default_rng(1)
    batches = [tf.constant(rng.integers(0, 256, (2, 32, 32, 3), dtype=np.uint8)) for _ in range(3)]
    whole = Trainer(config, tmp_path)
    assert kernels(whole.model.codec)
    for batch in batches[:2]:
        whole.train_step(batch)
    whole.save()
    rows = [whole.train_step(batches[2])]
    again = Trainer(config, tmp_path)
    again.restore()
    rows.append(again.train_step(batches[2]))
    assert np.isclose(rows[0]["loss"], rows[1]["loss"], rtol=1e-5)
    for one, other in zip(whole.model.trainable, again.model.trainable, strict=True):
        np.testing.assert_allclose(one.numpy(), other.numpy(), atol=1e-5)
