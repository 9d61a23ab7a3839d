"""The baselines of the entropy table count what they say."""

from __future__ import annotations

import zlib

import numpy as np
import pandas as pd
import pytest
from PIL import Image

from tools.studies.entropy import adaptive_counts, measure, packed, table


def test_packed_codes_are_one_bit_each_channel_by_channel() -> None:
    codes = np.array([[[1, -1], [-1, -1]], [[1, 1], [1, -1]]], np.int8)
    assert packed(codes) == bytes([0b10110010])


def test_adaptive_counts_of_alternating_and_of_constant_codes() -> None:
    # n = 2, one of each: (1/2)·(1/4) for either order.
    assert adaptive_counts(np.array([[[1], [-1]]], np.int8)) == pytest.approx(3.0)
    constant = np.ones((32, 32, 1), np.int8)
    assert adaptive_counts(constant) == pytest.approx(0.5 * np.log2(np.pi * 1024), abs=0.01)


def test_every_layer_of_a_file_is_measured() -> None:
    ramp = np.add.outer(np.arange(48), np.arange(64)).astype(np.uint8)
    rows, share = measure([Image.fromarray(np.repeat(ramp[..., None], 3, axis=2))])
    assert list(rows.index) == list(range(1, len(rows) + 1))
    # No lower bound: the length of a stream says something too, and a run of -1 can be empty.
    assert (rows["payload"] <= rows["ideal"] * 1.001 + 32 * rows["streams"]).all()
    assert (rows["payload"] < rows["coded"]).all()
    assert (rows["zlib"] >= 8 * len(zlib.compress(b""))).all()
    assert 0 < share < 1


def test_table_shows_percent_of_nominal_bits() -> None:
    row = {"nominal": 1000, "coded": 300, "ideal": 250, "streams": 2, "payload": 260}
    rows = pd.DataFrame([row | {"zlib": 500, "lzma": 600, "counts": 400}], index=[1])
    text = table(rows, 0.25)
    assert "| 30.0 % | 25.0 % | 40.0 % | 50.0 % | 60.0 % | +5.0 bits a stream, +4.000 % |" in text
    assert text.count("30.0 %") == 2  # the layer and the sum of all
    assert text.endswith("25 % of its time on the entropy stage.")
