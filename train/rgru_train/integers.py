"""The context model as integers: from its twin in training (``nets.context``), and back."""

from __future__ import annotations

import dataclasses
from collections.abc import Sequence
from typing import Any

import numpy as np
import tensorflow as tf
from numpy.typing import NDArray

from rgru_codec.metrics import LEVELS
from rgru_format import CodesEncoder, LayerWeights, PassWeights, sigmoid_table
from rgru_format import ContextModel as IntegerContextModel
from rgru_format.context.order import neighbour_rows
from rgru_train.nets.context import (
    ACCUMULATOR_SCALE,
    OWN_UNIT,
    PAIR_SCALE,
    PAIR_UNIT,
    WEIGHT_MAX,
    WEIGHT_SCALE,
    ContextModel,
)
from rgru_train.objective import Model


def integers(context: ContextModel) -> IntegerContextModel:
    """Return the context model's weights as the integers that SPEC.md defines.

    Raises:
        InvalidInput: Sums could leave the exact range.
    """
    layers = []
    for layer in context.layers_of_codes:
        passes = tuple(
            tuple(_pass(one, start, layer.phases, phase) for phase, one in enumerate(group))
            for group, (start, _) in zip(layer.passes, layer.bounds, strict=True)
        )
        weights = LayerWeights(
            U=_weights(layer.u.kernel),
            passes=passes,
            A=_weights(layer.a.kernel),
            B=_weights(layer.b.kernel)[0, 0],
            a=_biases(layer.a.bias),
            Q=np.rint(layer.own.weights_of_codes.numpy() * WEIGHT_SCALE).astype(np.int16),
            q=np.rint(layer.own.shifts.numpy()[1::2] * PAIR_SCALE).astype(np.int32),
        )
        layers.append(weights)
    layers[0] = _zeroed(layers[0], "U", "B")  # a state of zeros is all they meet
    layers[-1] = _zeroed(layers[-1], "A", "B", "a")  # no layer follows
    return IntegerContextModel(tuple(layers), sigmoid_table())


def _zeroed(layer: LayerWeights, *names: str) -> LayerWeights:
    """The layer with zeros in arrays that have no use (SPEC 7.6): packages deflate better."""
    return dataclasses.replace(layer, **{n: np.zeros_like(getattr(layer, n)) for n in names})


def _pass(one: Any, start: int, phases: int, phase: int) -> PassWeights:
    V = _weights(one.v.kernel)
    blind = np.ones((3, 3), bool)  # where the group itself is not known yet: only zeros are met
    for _, taps in neighbour_rows(phases, phase):
        blind[tuple(zip(*taps, strict=True))] = False
    V[blind, start:] = 0
    return PassWeights(
        V=V,
        v=_biases(one.v.bias),
        W=_weights(one.w.kernel)[0, 0],
        w=_biases(one.w.bias),
        R=_weights(one.o.kernel)[0, 0],
        r=_biases(one.o.bias),
    )


def _weights(variable: Any) -> NDArray[np.int16]:
    clipped = np.clip(variable.numpy(), -WEIGHT_MAX, WEIGHT_MAX)
    return np.floor(clipped * np.float32(WEIGHT_SCALE) + 0.5).astype(np.int16)


def _biases(variable: Any) -> NDArray[np.int32]:
    return np.floor(variable.numpy() * np.float32(ACCUMULATOR_SCALE) + 0.5).astype(np.int32)


def floats(context: IntegerContextModel) -> dict[str, NDArray[np.float32]]:
    """Return the weights, by name, that the integers stand for."""
    found: dict[str, NDArray[Any]] = {}
    for t, layer in enumerate(context.layers):
        found |= {
            f"C{t}/u/kernel": layer.U / WEIGHT_SCALE,
            f"C{t}/a/kernel": layer.A / WEIGHT_SCALE,
            f"C{t}/a/bias": layer.a / ACCUMULATOR_SCALE,
            f"C{t}/b/kernel": layer.B[None, None] / WEIGHT_SCALE,
            f"C{t}/own/kernel": layer.Q / (WEIGHT_SCALE * OWN_UNIT),
            f"C{t}/own/pair": layer.q / (PAIR_SCALE * PAIR_UNIT),
        }
        for g, group in enumerate(layer.passes):
            for phase, one in enumerate(group):
                name = f"C{t}/group{g}_phase{phase}"
                found |= {
                    f"{name}/v/kernel": one.V / WEIGHT_SCALE,
                    f"{name}/v/bias": one.v / ACCUMULATOR_SCALE,
                    f"{name}/w/kernel": one.W[None, None] / WEIGHT_SCALE,
                    f"{name}/w/bias": one.w / ACCUMULATOR_SCALE,
                    f"{name}/o/kernel": one.R[None, None] / WEIGHT_SCALE,
                    f"{name}/o/bias": one.r / ACCUMULATOR_SCALE,
                }
    return {name: array.astype(np.float32) for name, array in found.items()}


def code_lengths(
    model: Model, pictures: Sequence[NDArray[np.uint8]]
) -> list[tuple[float, float, float]]:
    """Return bits per pixel of each layer, means of pictures.

    Args:
        model: Networks and context model.
        pictures: (H, W, 3) each, sides multiples of the stride.

    Returns:
        For each layer the ideal code length of the trained model in floats, that of the integer
        model before it learns of the picture, and the size of the coded groups.
    """
    integer = integers(model.context)
    rows = [_lengths(model, integer, picture) for picture in pictures]
    return [(float(f), float(i), float(coded)) for f, i, coded in np.mean(rows, axis=0)]


def _lengths(
    model: Model, integer: IntegerContextModel, picture: NDArray[np.uint8]
) -> NDArray[np.float64]:
    """(layers, 3): bits per pixel of one picture; see ``code_lengths``."""
    x = (tf.cast(picture[None], tf.float32) - 127.5) * LEVELS
    codes, _ = model.codec.iterate(x)
    ideal, _ = model.context.bits(codes)
    grid = codes[0].shape[1:3]
    fixed = CodesEncoder(integer, *grid, adapt=False)
    encoder = CodesEncoder(integer, *grid)
    rows = []
    for bits, layer in zip(ideal, codes, strict=True):
        signs = np.where(layer[0].numpy() < 0, -1, 1).astype(np.int8)
        fixed.encode_layer(signs)
        coded = 8 * sum(map(len, encoder.encode_layer(signs)))
        rows.append([float(bits[0]), sum(fixed.group_bits), coded])
    return np.array(rows) / (picture.shape[0] * picture.shape[1])
