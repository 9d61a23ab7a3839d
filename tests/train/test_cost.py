"""What a network costs, against published figures and against its own kernels."""

from __future__ import annotations

import math

import pytest

from rgru_train.config import RunConfig
from rgru_train.nets.cost import cost_of

from .tiny import ROOT, tiny


@pytest.mark.parametrize(
    ("cell", "encoder", "decoder"),
    [("residual_gru", 152, 407), ("gru", 139, 387), ("lstm", 185, 516)],
)
def test_paper_networks_cost_what_was_computed_by_hand(
    cell: str, encoder: int, decoder: int
) -> None:
    import dataclasses

    network = RunConfig.from_toml(ROOT / "train" / "configs" / "paper.toml").network
    cost = cost_of(dataclasses.replace(network, cell=cell))
    assert round(cost.encoder / 1e3) == encoder
    assert round(cost.decode / 1e3) == decoder


def test_tiny_network_costs_its_kernels() -> None:
    cost = cost_of(tiny().network)
    first, residual, rnn = 64 * 3 * 8 / 64, 2 * 9 * 8 * 8 / 64, 8 * (9 * 8 + 8) * 3 / 256
    extra, binarizer = (8 + 8) * 8 / 256, 8 * 20 / 256
    # 10 pairs tell 6 functions; the state (16 channels) sets 10 factors and 20 thresholds
    analysis = 3 * 6 + (10 * 20 + 16 * (10 + 20)) / 256
    assert math.isclose(cost.encoder, first + residual + rnn + extra + binarizer + analysis)
    cell = 16 * (20 + 9 * 16) * 3 + (16 + 20) * 16
    coefficients = 20 * 10 + 16 * 10
    assert math.isclose(cost.decoder, (cell + coefficients) / 256)
    assert math.isclose(cost.head, 9 * 4 * 192 / 64 + 3 * 10)


def test_context_model_runs_each_pass_at_the_positions_of_its_phase() -> None:
    cost = cost_of(tiny().network)
    states, hidden = 4, 6
    five, four = (1 / 8, 1 / 8, 1 / 4, 1 / 4, 1 / 4), (1 / 4,) * 4
    layers = [(16, five, [(0, 16)]), (20, four, [(0, 10), (10, 20)])]
    total = 0.0
    for codes, shares, groups in layers:
        total += 9 * states * hidden + 9 * codes * states + states**2
        for start, end in groups:
            for share, known in zip(shares, [start] + (len(shares) - 1) * [end], strict=True):
                total += share * (9 * known * hidden + hidden**2 + hidden * (end - start))
    assert math.isclose(cost.context, total / len(layers) / 256)
