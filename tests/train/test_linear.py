"""The linear path: an embedded transform coder whose steps the decoder's state sets."""

from __future__ import annotations

import msgspec
import numpy as np
import pytest
import tensorflow as tf

from rgru_train.nets.config import LinearConfig
from rgru_train.nets.kernels import Products
from rgru_train.nets.linear import LinearPath

from .tiny import tiny

STATE = tf.zeros((1, 2, 3, 8))


@pytest.fixture
def path() -> LinearPath:
    return LinearPath(LinearConfig(step=100.0), codes=64, state=8)


def test_one_function_comes_back_as_one_step(path: LinearPath) -> None:
    """A block that holds one step of one function is told by one code, and painted."""
    one = np.zeros((1, 2, 3, 32), np.float32)
    one[0, 1, 2, 20] = -1.0
    block = path.synthesise(tf.constant(one))
    codes = tf.where(path.analyse(block, STATE, Products()) < 0, -1.0, 1.0).numpy()
    assert np.argwhere(codes > 0).tolist() == [[0, 1, 2, 41]]  # minus is the second of a pair
    np.testing.assert_allclose(path.coefficients(codes, STATE, Products()), one)


def test_codes_that_are_not_known_paint_nothing(path: LinearPath) -> None:
    assert not np.any(
        path.synthesise(path.coefficients(tf.zeros((1, 2, 3, 64)), STATE, Products()))
    )


@pytest.mark.parametrize("steps", [-6.7, -1.2, 0.33, 5.0, 6.4])
def test_mean_of_a_block_is_told_in_digits(path: LinearPath, steps: float) -> None:
    """Digits of 4.5, 1.5 and 0.5 steps leave what the last one's threshold hides."""
    digit = np.zeros((1, 2, 3, 32), np.float32)
    digit[..., 2] = 2.0 * steps  # of half a step
    block = path.synthesise(tf.constant(digit))
    codes = tf.where(path.analyse(block, STATE, Products()) < 0, -1.0, 1.0)
    told = path.coefficients(codes, STATE, Products()).numpy()[..., :3] @ [4.5, 1.5, 0.5]
    assert np.abs(told - steps).max() <= 0.3 + 1e-6


def test_state_changes_steps_both_sides_and_thresholds(path: LinearPath) -> None:
    path.analyse(tf.zeros((1, 32, 48, 3)), STATE, Products())
    path.coefficients(tf.zeros((1, 2, 3, 64)), STATE, Products())
    assert path.steps.bias is not None
    assert path.thresholds.bias is not None
    path.steps.bias.assign(tf.fill((32,), np.float32(np.log(2.0))))
    codes = np.full((1, 2, 3, 64), -1.0, np.float32)
    codes[..., 10] = 1.0
    told = path.coefficients(codes, STATE, Products()).numpy()
    assert told[0, 0, 0, 5] == pytest.approx(2.0, rel=0.05)
    before = path.analyse(tf.zeros((1, 32, 48, 3)), STATE, Products())
    path.thresholds.bias.assign(tf.ones(64))
    after = path.analyse(tf.zeros((1, 32, 48, 3)), STATE, Products())
    np.testing.assert_allclose(after - before, 1.0, atol=1e-6)


def test_linear_path_needs_a_decoder_with_a_state_where_the_codes_are() -> None:
    network = tiny().network
    with pytest.raises(ValueError, match="recurrent layer"):
        msgspec.structs.replace(network, decoder=network.encoder[:1])
