"""The context model as integers: from its twin in training (``nets.context``), and back."""

from __future__ import annotations

import dataclasses
from collections.abc import Mapping, Sequence
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
from rgru_train.photos import Pixels

_LAYER, _PASS = "UABa", "VvWwRr"
"""Letters of SPEC for what a layer and a pass hold: large ones are kernels, small ones biases."""
_WIDTHS = {"U": "KM", "V": "-M", "v": "M", "W": "MM", "w": "M", "R": "M-", "A": "-K", "B": "KK"}
_WIDTHS |= {"r": "-", "a": "K"}
"""Which of their last axes are channels of the state, and which hidden ones."""


def integers(context: ContextModel) -> IntegerContextModel:
    """Return the context model's weights as the integers that SPEC.md defines.

    Raises:
        InvalidInput: Sums could leave the exact range.
    """
    named = {variable.path: variable.numpy() for variable in context.trainable_variables}
    sums = context.layers_of_codes
    widest = {
        "K": max(layer.a.kernel.shape[-1] for layer in sums),
        "M": max(layer.u.kernel.shape[-1] for layer in sums),
    }

    def lettered(letters: str, prefix: str) -> dict[str, NDArray[Any]]:
        found = {letter: _integers(letter, named[_name(prefix, letter)]) for letter in letters}
        return {letter: _widened(letter, array, widest) for letter, array in found.items()}

    layers = []
    for t, layer in enumerate(context.layers_of_codes):
        passes = []
        for g, (start, _) in enumerate(layer.bounds):
            names = [f"C{t}/group{g}_phase{phase}" for phase in range(layer.phases)]
            group = tuple(PassWeights(**lettered(_PASS, name)) for name in names)
            for phase, one in enumerate(group):
                _forget_unknown(one.V, start, layer.phases, phase)
            passes.append(group)
        own = {
            "Q": np.rint(layer.own.weights_of_codes.numpy() * WEIGHT_SCALE).astype(np.int16),
            "q": np.rint(layer.own.shifts.numpy()[1::2] * PAIR_SCALE).astype(np.int32),
        }
        layers.append(LayerWeights(passes=tuple(passes), **own, **lettered(_LAYER, f"C{t}")))
    layers[0] = _zeroed(layers[0], "U", "B")  # a state of zeros is all they meet
    layers[-1] = _zeroed(layers[-1], "A", "B", "a")  # no layer follows
    return IntegerContextModel(tuple(layers), sigmoid_table())


def _name(prefix: str, letter: str) -> str:
    """The name in training of what a letter stands for."""
    module = "o" if letter in "Rr" else letter.lower()
    return f"{prefix}/{module}/{'bias' if letter.islower() else 'kernel'}"


def _zeroed(layer: LayerWeights, *names: str) -> LayerWeights:
    """The layer with zeros in arrays that have no use (SPEC 7.6): packages deflate better."""
    return dataclasses.replace(layer, **{n: np.zeros_like(getattr(layer, n)) for n in names})


def _forget_unknown(V: NDArray[np.int16], start: int, phases: int, phase: int) -> None:
    """Set weights to 0 where the group itself is not known yet: only zeros are met there."""
    blind = np.ones((3, 3), bool)
    for _, taps in neighbour_rows(phases, phase):
        blind[tuple(zip(*taps, strict=True))] = False
    V[blind, start:] = 0


def _integers(letter: str, values: NDArray[np.float32]) -> NDArray[np.int16] | NDArray[np.int32]:
    """A kernel, of one position as a matrix, or a bias."""
    if letter.islower():
        return np.floor(values * np.float32(ACCUMULATOR_SCALE) + 0.5).astype(np.int32)
    clipped = np.clip(values, -WEIGHT_MAX, WEIGHT_MAX) * np.float32(WEIGHT_SCALE)
    whole = np.floor(clipped + 0.5).astype(np.int16)
    return whole[0, 0] if len(whole) == 1 else whole


def _widened(letter: str, array: NDArray[Any], widths: Mapping[str, int]) -> NDArray[Any]:
    """An array of a layer with fewer channels than others, with zeros up to theirs."""
    last = _WIDTHS[letter]
    sizes = zip(array.shape[-len(last) :], last, strict=True)
    more = [(0, widths.get(axis, size) - size) for size, axis in sizes]
    return np.pad(array, [(0, 0)] * (array.ndim - len(last)) + more)


def _narrowed(letter: str, array: NDArray[Any], *widths: Mapping[str, int]) -> NDArray[Any]:
    """Undo ``_widened``; the widths of inputs come first where those of outputs are others."""
    last = _WIDTHS[letter]
    of_axes = zip(last, (widths[0], widths[-1])[-len(last) :], strict=True)
    return array[(..., *(slice(width.get(axis)) for axis, width in of_axes))]


def _width(*weights: NDArray[np.int16]) -> int:
    """Inputs up to the last one from which a weight other than 0 leads on; one at least."""
    used = [one.any(axis=(*range(one.ndim - 2), -1)) for one in weights]
    return int(np.flatnonzero(np.any(used, axis=0)).max(initial=0)) + 1


def floats(context: IntegerContextModel) -> dict[str, NDArray[np.float32]]:
    """Return the weights, by name, that the integers stand for.

    Channels at the end of a layer's that have no effect are left out.
    """
    found: dict[str, NDArray[Any]] = {}

    def add(weights: Any, letters: str, prefix: str, *widths: Mapping[str, int]) -> None:
        for letter in letters:
            whole = _narrowed(letter, getattr(weights, letter), *widths)
            whole = whole[None, None] if whole.ndim == 2 else whole
            scale = ACCUMULATOR_SCALE if letter.islower() else WEIGHT_SCALE
            found[_name(prefix, letter)] = whole / scale

    states = [_width(layer.U, layer.B) for layer in context.layers[1:]] + [context.states]
    for t, layer in enumerate(context.layers):
        passes = [one for group in layer.passes for one in group]
        hidden = _width(*(matrix for one in passes for matrix in (one.W, one.R)))
        before, after = {"K": states[max(t - 1, 0)], "M": hidden}, {"K": states[t], "M": hidden}
        add(layer, _LAYER, f"C{t}", before, after)
        found[f"C{t}/own/kernel"] = layer.Q / (WEIGHT_SCALE * OWN_UNIT)
        found[f"C{t}/own/pair"] = layer.q / (PAIR_SCALE * PAIR_UNIT)
        for g, group in enumerate(layer.passes):
            for phase, one in enumerate(group):
                add(one, _PASS, f"C{t}/group{g}_phase{phase}", after)
    return {name: array.astype(np.float32) for name, array in found.items()}


def code_lengths(model: Model, pictures: Sequence[Pixels]) -> list[tuple[float, float, float]]:
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


def _lengths(model: Model, integer: IntegerContextModel, picture: Pixels) -> NDArray[np.float64]:
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
