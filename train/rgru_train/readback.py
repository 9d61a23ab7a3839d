"""Weights to start from: of another run, or read back from a model package.

A package holds no training weights, but its networks hold every weight in float16 and its context
model every weight as an integer, so a run can go on from it. Where a converted network keeps which
weight is the converter's affair; therefore the export *searches* for each weight among the
constants of the networks (:func:`places`) and writes down in ``model.json`` where it found it. A
weight may be there transposed, or multiplied by a factor that the converter folded in.
"""

from __future__ import annotations

import itertools
import json
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from rgru_codec import models
from rgru_format import ContextModel as IntegerContextModel
from rgru_format import InvalidInput, PassWeights
from rgru_train import checkpoint
from rgru_train.loop import Model
from rgru_train.nets.context import (
    ACCUMULATOR_SCALE,
    OWN_UNIT,
    PAIR_SCALE,
    PAIR_UNIT,
    WEIGHT_SCALE,
)

Array = NDArray[np.float32]

NETWORKS = ("encoder", "decoder", "head")
_ORDERS = {1: ("0",), 2: ("01", "10"), 4: ("0123", "1230", "3012")}
"""Orders of axes that turn a constant into a weight: as it is, or outputs first in the network."""


def starting_weights(source: str, model: Model) -> list[Array | None]:
    """The weights that ``--init-from`` names, in the order of ``Model.trainable``.

    Args:
        source: the folder of a run or of a model package, or the id of an installed package, or
            ``default``.
        model: what they are for.

    Raises:
        InvalidInput: nothing of that name, or its weights cannot be read back.
    """
    folder = Path(source)
    if (folder / checkpoint.NEWEST).exists():
        arrays = checkpoint.load(folder)
        return [arrays.get(f"average{i}") for i in range(_count(arrays))]
    if not (folder / "model.json").exists():
        name = (models.WEIGHTS / "default").read_text().strip() if source == "default" else source
        folder = models.WEIGHTS / name
    if not (folder / "model.json").exists():
        raise InvalidInput(f"{source}: neither a run, nor a model package, nor an installed model")
    return [*_codec_weights(folder, model), *_context_weights(folder, model)]


def _count(arrays: Mapping[str, Any]) -> int:
    return sum(name.startswith("average") for name in arrays)


def constants(folder: Path) -> dict[str, NDArray[Any]]:
    """All floating-point constants of a package's networks, by ``<network> <tensor index>``."""
    from ai_edge_litert.interpreter import Interpreter

    found = {}
    for network in NETWORKS:
        interpreter = Interpreter(str(folder / f"{network}.tflite"))
        for detail in interpreter.get_tensor_details():
            if detail["dtype"] not in (np.float16, np.float32):
                continue
            try:
                value = interpreter.get_tensor(detail["index"])
            except ValueError:  # not a constant
                continue
            found[f"{network} {detail['index']}"] = value.copy()
    return found


def places(folder: Path, weights: Sequence[Array]) -> list[str] | None:
    """Where the networks of a package keep each of these weights; None if one is not found.

    An entry is ``<network> <tensor index> <order of axes> <factor>``, or ``zero``.
    """
    stored = constants(folder)
    found = [_place(stored, weight) for weight in weights]
    listed = [place for place in found if place is not None]
    return listed if len(listed) == len(found) else None


def _place(stored: Mapping[str, NDArray[Any]], weight: Array) -> str | None:
    if not weight.any():
        return "zero"
    for name, constant in stored.items():
        if constant.size != weight.size or constant.ndim not in _ORDERS:
            continue
        for order in _ORDERS[constant.ndim]:
            turned = constant.transpose([int(axis) for axis in order]).astype(np.float32)
            if turned.shape == weight.shape and (factor := _factor(turned, weight)):
                return f"{name} {order} {factor:g}"
    return None


def _factor(constant: Array, weight: Array) -> float | None:
    """The factor f in constant = f·weight, if it holds within the rounding of float16."""
    factor = float(f"{np.vdot(constant, weight) / np.vdot(weight, weight):.3g}")
    scaled = factor * weight
    close = np.abs(constant - scaled) <= np.abs(scaled) / 1024 + 2.0**-24
    return factor if factor and close.all() else None


def _codec_weights(folder: Path, model: Model) -> list[Array | None]:
    table = json.loads((folder / "model.json").read_text())
    listed = table.get("weights")
    variables = model.codec.trainable_variables
    if listed is None:
        raise InvalidInput(f"{folder}: the package does not say where its weights are")
    stored = constants(folder)
    gains = np.log(np.array(table["gains"], np.float32))
    values: list[Array | None] = []
    for place, variable in itertools.zip_longest(listed, variables):
        if place is None or variable is None:
            values.append(None)
        elif place == "gains":
            values.append(gains)
        elif place == "zero":
            values.append(np.zeros(tuple(variable.shape), np.float32))
        else:
            values.append(_value(stored, place))
    return values


def _value(stored: Mapping[str, NDArray[Any]], place: str) -> Array:
    network, index, order, factor = place.split()
    constant = stored[f"{network} {index}"].astype(np.float32)
    turned = constant.transpose([int(axis) for axis in order])
    return np.asarray(turned / np.float32(factor), np.float32)


def _context_weights(folder: Path, model: Model) -> list[Array | None]:
    """The integers of ``context.bin`` as the floats they stand for, by variable."""
    integers = IntegerContextModel.from_bytes((folder / "context.bin").read_bytes())
    values: dict[int, Array] = {}

    def put(variable: Any, array: NDArray[Any], scale: float) -> None:
        values[id(variable)] = (array / scale).reshape(variable.shape).astype(np.float32)

    if len(integers.layers) != len(model.context.layers_of_codes):
        raise InvalidInput(f"{folder}: a context model of {len(integers.layers)} layers")
    try:
        for layer, weights in zip(model.context.layers_of_codes, integers.layers, strict=True):
            put(layer.u.kernel, weights.U, WEIGHT_SCALE)
            put(layer.a.kernel, weights.A, WEIGHT_SCALE)
            put(layer.b.kernel, weights.B, WEIGHT_SCALE)
            put(layer.a.bias, weights.a, ACCUMULATOR_SCALE)
            put(layer.own.kernel, weights.Q, WEIGHT_SCALE * OWN_UNIT)
            put(layer.own.pair, weights.q, PAIR_SCALE * PAIR_UNIT)
            for group, own in zip(layer.passes, weights.passes, strict=True):
                for one, integer in zip(group, own, strict=True):
                    _put_pass(put, one, integer)
    except ValueError as error:
        raise InvalidInput(f"{folder}: another context model ({error})") from None
    return [values.get(id(variable)) for variable in model.context.trainable_variables]


def _put_pass(put: Any, one: Any, integer: PassWeights) -> None:
    if one.v is not None:
        put(one.v.kernel, integer.V, WEIGHT_SCALE)
    put(one.v_bias if one.v is None else one.v.bias, integer.v, ACCUMULATOR_SCALE)
    put(one.w.kernel, integer.W, WEIGHT_SCALE)
    put(one.w.bias, integer.w, ACCUMULATOR_SCALE)
    put(one.o.kernel, integer.R, WEIGHT_SCALE)
    put(one.o.bias, integer.r, ACCUMULATOR_SCALE)
