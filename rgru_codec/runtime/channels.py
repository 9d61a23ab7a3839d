"""Arrays of networks for fewer channels of codes than a model has: first layers have few."""

from __future__ import annotations

from collections.abc import Sequence

from rgru_codec.runtime.layers import under
from rgru_codec.runtime.weights import Array, Arrays
from rgru_format.limits import POSITION

_NARROWEST = 128
"""Channels of codes for which a network is made at least: one serves the first few layers."""


def width_for(count: int, most: int) -> int:
    """Channels of the network that serves layers of ``count``: few networks serve all."""
    return min(max(_NARROWEST, 1 << (count - 1).bit_length()), most)


def of_channels(arrays: Arrays, first: str, channels: int) -> Arrays:
    """The decoder's, for codes of which only the first ``channels`` are ever other than 0."""
    parts: dict[str, Array] = {}
    for name in ("W/pointwise", "W_ox/pointwise"):
        parts[f"{first}/{name}"] = arrays[f"{first}/{name}"][:channels]
    kernel = f"{first}/W/depthwise"
    if kernel in arrays:
        parts[kernel] = arrays[kernel][..., :channels]
    return {**arrays, **parts}


def of_pairs(arrays: Arrays, first: str, depth: int, pairs: int) -> Arrays:
    """The painter's, for coefficients of which only the first ``pairs`` are ever other than 0.

    Args:
        arrays: of the decoding half.
        first: name of the painter's first layer, a convolution.
        depth: of the features, which go into it before the coefficients.
        pairs: see above.
    """
    parts = {"L/synthesis": arrays["L/synthesis"][:pairs]}
    known = depth + pairs
    for part, array in under(arrays, first).items():
        if part != "bias":
            parts[f"{first}/{part}"] = array[:known] if part == "pointwise" else array[:, :, :known]
    return {**arrays, **parts}


def of_outputs(arrays: Arrays, digits: Sequence[Sequence[float]], channels: int) -> Arrays:
    """An encoder's, for the first ``channels`` codes alone."""
    pairs = channels // 2
    functions = pairs - sum(map(len, digits)) + len(digits)
    parts = {"L/analysis": arrays["L/analysis"][..., :functions]}
    for name, count in (("L/fineness", pairs), ("L/thresholds", channels), ("B", channels)):
        for part in ("kernel", "bias"):
            parts[f"{name}/{part}"] = arrays[f"{name}/{part}"][..., :count]
    return {**arrays, **parts}


def in_squares(functions: Array, side: int) -> Array:
    """Functions (n, 768) over a position, pixels of squares of such a side next to each other."""
    n = POSITION // side
    pixels = functions.reshape(-1, n, side, n, side, 3).transpose(0, 1, 3, 2, 4, 5)
    return pixels.reshape(len(functions), -1)
