"""What the context model learns of a picture: the arithmetic of SPEC section 7.7."""

from __future__ import annotations

import itertools

import numpy as np
import pytest

from rgru_format import sigmoid_table
from rgru_format.context.adaptation import Adaptation
from rgru_format.context.weights import LOGIT_RANGE

from .independent_reader import Learned  # plain integers of any size


def codes_of(kind: str, generator: np.random.Generator, shape: tuple[int, int]) -> np.ndarray:
    """Codes of one chunk, int8."""
    plus = generator.random(shape) < {"rare": 0.03, "never": 0.0, "always": 1.0}[kind]
    return np.where(plus, 1, -1).astype(np.int8)


@pytest.mark.parametrize("kind", ["rare", "never", "always"])
@pytest.mark.parametrize("spread", [0, 40, 400])
def test_it_equals_plain_integers(kind: str, spread: int) -> None:
    """Long enough that chunks reach their longest and what is kept of the past its most."""
    generator, channels = np.random.default_rng(1), 3
    table = sigmoid_table()
    fast, plain = Adaptation(table, channels), Learned(channels)
    while fast.chunk < 512 or plain.n < 6000:
        assert fast.chunk == plain.chunk()
        shape = (fast.chunk, channels)
        drawn = generator.normal(LOGIT_RANGE - 30, spread, shape)
        index = np.clip(drawn, 0, 2 * LOGIT_RANGE).astype(np.int16)
        codes = codes_of(kind, generator, shape)
        used = fast.corrected(index, slice(None))
        met: list[list[tuple[int, int, int]]] = [[] for _ in range(channels)]
        for n, j in itertools.product(*map(range, shape)):
            i = int(index[n, j]) - LOGIT_RANGE
            entry = plain.corrected(i, j) + LOGIT_RANGE
            assert entry == used[n, j]
            met[j].append((i, int(table[entry]), int(codes[n, j])))
        fast.learn(index, used, codes)
        plain.learn(met)
        assert fast.learned.tolist() == [plain.shift, plain.slope]


def test_it_starts_without_an_opinion() -> None:
    every = np.arange(2 * LOGIT_RANGE + 1, dtype=np.int16)[:, None]
    adaptation = Adaptation(sigmoid_table(), 1)
    np.testing.assert_array_equal(adaptation.corrected(every, slice(0, 1)), every)
    assert adaptation.chunk == 16
