"""What a network costs, against published figures and against its own kernels."""

from __future__ import annotations

import math

import msgspec
import pytest

from rgru_train.config import CONFIGS, RunConfig
from rgru_train.nets.cost import cost_of

from .tiny import tiny


@pytest.mark.parametrize(
    ("cell", "encoder", "decoder"),
    [("residual_gru", 152, 407), ("gru", 139, 387), ("lstm", 185, 516)],
)
def test_paper_networks_cost_what_was_computed_by_hand(
    cell: str, encoder: int, decoder: int
) -> None:
    network = RunConfig.from_toml(CONFIGS / "paper.toml").network
    cost = cost_of(msgspec.structs.replace(network, cell=cell))
    assert round(cost.encoder / 1e3) == encoder
    assert round(cost.decode(1) / 1e3) == decoder


def test_tiny_network_costs_its_kernels() -> None:
    cost = cost_of(tiny().network)
    first, residual = 64 * 3 * 8 / 64, 2 * (9 * 8 + 8 * 8) / 64
    rnn = (9 * 8 + 8 * 24 + 3 * 8 * 8 + (8 + 8) * 8) / 256
    # 10 pairs tell 6 functions; the state (16 channels) sets 10 factors and 20 thresholds
    analysis = 3 * 6 + (10 * 20 + 16 * (10 + 20)) / 256
    assert math.isclose(cost.encoder, first + residual + rnn + 8 * 20 / 256 + analysis)
    cell = 20 * 48 + (9 * 16 + 16 * 32) + (9 * 16 + 16 * 16) + (16 + 20) * 16
    coefficients = 20 * 10 + 16 * 10
    assert math.isclose(cost.decoder, (cell + coefficients) / 256)
    separable = (9 * 26 + 26 * 16) / 256  # features and pairs
    narrow = (9 * 4 + 4 * 6 + 9 * 6 + 6 * 4) / 64
    joined = (4 + 3 * 64) * 192 / 64  # the picture, 8 x 8 pixels a position
    assert math.isclose(cost.painter, separable + narrow + joined + 3 * 10)
    assert math.isclose(cost.decode(2), 2 * cost.decoder + cost.painter)


def test_context_model_runs_each_pass_at_the_positions_of_its_phase() -> None:
    cost = cost_of(tiny().network)
    five, two = (1 / 8, 1 / 8, 1 / 4, 1 / 4, 1 / 4), (1 / 2,) * 2
    layers = [(4, 4, 6, 16, five, [(0, 16)]), (4, 5, 5, 20, two, [(0, 10), (10, 20)])]
    total = 0.0
    for before, states, hidden, codes, shares, groups in layers:
        total += 9 * before * hidden + 9 * codes * states + before * states
        for start, end in groups:
            for share, known in zip(shares, [start] + (len(shares) - 1) * [end], strict=True):
                total += share * (9 * known * hidden + hidden**2 + hidden * (end - start))
    assert math.isclose(cost.context, total / len(layers) / 256)


def test_nano_costs_at_most_a_third_of_compact() -> None:
    nano, compact = (
        RunConfig.from_toml(CONFIGS / f"{name}.toml").network for name in ("nano", "compact")
    )
    small, large = cost_of(nano), cost_of(compact)
    assert small.encode <= large.encode / 3
    assert small.decode(3) <= large.decode(3) / 3
    assert small.decode(nano.iterations) <= large.decode(compact.iterations) / 3
