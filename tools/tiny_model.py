"""A tiny model of random numbers for tests and vectors: every kind of layer, two encoders."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from rgru_codec.models import Model
from rgru_codec.packages import write_package
from rgru_codec.runtime.networks import DecodingHalf, DecodingTable, EncoderTable
from rgru_format import ContextModel
from tools.random_files import random_model

Arrays = dict[str, NDArray[Any]]

CODES = [8, 12, 20, 24]
TABLE: dict[str, Any] = {
    "name": "tiny",
    "codes": CODES,
    "decoder": [
        {"kind": "rnn", "depth": 12},
        {"kind": "residual", "inner": 8},
        {"kind": "rnn", "depth": 10, "kernel": 3, "hidden": 1, "bias": False},
    ],
    "painter": [
        {"kind": "conv", "depth": 32, "activation": "relu"},
        {"kind": "depth_to_space", "factor": 2},
        {"kind": "residual"},
        {"kind": "separable", "depth": 24, "bias": False},
        {"kind": "depth_to_space", "factor": 2},
        {"kind": "picture"},
        {"kind": "conv", "depth": 16, "kernel": 3},
        {"kind": "depth_to_space", "factor": 2},
        {"kind": "space_to_depth", "factor": 2},
        {"kind": "conv", "depth": 48, "kernel": 2, "bias": False},
        {"kind": "depth_to_space", "factor": 4},
    ],
}
ENCODER: dict[str, Any] = {
    "encoder": [
        {"kind": "conv", "depth": 12, "kernel": 8, "stride": 8},
        {"kind": "residual", "inner": 6},
        {"kind": "rnn", "depth": 8, "kernel": 3, "stride": 2},
    ],
    "digits": [[4.5, 1.5], [2.0], [2.0]],
    "threshold": 0.6,
}
SMALLER: dict[str, Any] = {
    "encoder": [{"kind": "separable", "depth": 6, "kernel": 17, "stride": 16}],
    "digits": [[1.0], [1.0], [1.0]],
    "threshold": 0.5,
}


def random_arrays(shapes: dict[str, tuple[int, ...]], seed: int) -> Arrays:
    """Return kernels, in float16, that about keep the size of what goes through them."""
    rng = np.random.default_rng(seed)
    arrays: Arrays = {}
    for name, shape in sorted(shapes.items()):
        taps = int(np.prod(shape[:-1])) if not name.endswith("depthwise") else shape[0] * shape[1]
        size = 0.05 if name.endswith("bias") else taps**-0.5
        arrays[name] = rng.normal(0.0, size, shape).astype(np.float16)
    return arrays


def decoding_arrays(table: dict[str, Any], seed: int = 0) -> Arrays:
    """Return the arrays of a decoding half, whose pictures stay in sight."""
    arrays = random_arrays(DecodingTable(table).shapes, seed)
    arrays["L/synthesis"] *= np.float16(0.3)
    arrays["gains"] = np.array([2.0**t for t in range(len(table["codes"]))], np.float32)
    return arrays


def write(home: Path, seed: int = 0, table: dict[str, Any] = TABLE) -> Model:
    """Write a package under ``home``, with encoders ``default`` and ``smaller``."""
    arrays = decoding_arrays(table, seed)
    half = DecodingHalf(table, {name: a.astype(np.float32) for name, a in arrays.items()})
    encoders = {
        name: (own, random_arrays(EncoderTable(half, own).shapes, seed + number))
        for number, (name, own) in enumerate([("default", ENCODER), ("smaller", SMALLER)], 1)
    }
    return write_package(home, table, arrays, context(table["codes"], seed), encoders)


def context(codes: list[int], seed: int) -> ContextModel:
    """Return a context model for codes of these layers."""
    groups = [1, 1, 2, 3][: len(codes)]
    phases = [2, 4, 5, 2][: len(codes)]
    return random_model(seed, codes, groups, phases=phases)
