"""From a trained network to a model package that the runtime reads (``rgru_codec.models``)."""

from __future__ import annotations

import dataclasses
import json
import shutil
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Any

import numpy as np
import tensorflow as tf
from numpy.typing import NDArray

from rgru_codec.models import Model as Package
from rgru_codec.models import package_id
from rgru_codec.runtime.tflite import Network
from rgru_format import (
    CodesEncoder,
    InvalidInput,
    LayerWeights,
    PassWeights,
    sigmoid_table,
)
from rgru_format import ContextModel as IntegerContextModel
from rgru_format.context.order import neighbour_rows
from rgru_train import readback
from rgru_train.loop import LEVELS, Model
from rgru_train.nets.context import (
    ACCUMULATOR_SCALE,
    PAIR_SCALE,
    WEIGHT_MAX,
    WEIGHT_SCALE,
    ContextModel,
)
from rgru_train.nets.cost import depth_after
from rgru_train.nets.networks import Codec

Shapes = list[tuple[int, int]]

_BITS = 7
"""Most significant bits of a weight in a package; float16 would have room for 11."""
_FINENESS = 64
"""Steps of the weights of a kernel in their root mean square, about: small ones need no finer."""


def export(model: Model, name: str, folder: Path) -> Path:
    """Write the package of a model under ``folder``; returns the package's own folder.

    The model's kernels are rounded to what the package holds of them.

    Raises:
        InvalidInput: residual scaling (its gain network has no place in a package yet), or a
            context model whose sums could leave the exact range.
    """
    codec = model.codec
    if codec.gain is not None:
        raise InvalidInput("export knows one_shot and additive reconstruction only")
    writing = folder / "writing"
    shutil.rmtree(writing, ignore_errors=True)
    writing.mkdir(parents=True)
    _round_kernels(codec)
    shapes = step_shapes(codec)
    for step, function in _functions(codec).items():
        (writing / f"{step}.tflite").write_bytes(_convert(function, shapes[step]["inputs"]))
    (writing / "context.bin").write_bytes(integers(model.context).to_bytes())
    table = _description(model, name, shapes)
    table["weights"] = weight_places(model, writing)
    (writing / "model.json").write_text(json.dumps(table, indent=1))
    final = folder / package_id(writing).hex()
    shutil.rmtree(final, ignore_errors=True)
    writing.replace(final)
    check(codec, Package.load(final))
    return final


def _round_kernels(codec: Codec) -> None:
    """Round the weights of each kernel: packages deflate better."""
    for variable in codec.trainable_variables:
        if len(variable.shape) > 1:
            variable.assign(_rounded(variable.numpy()))


def _rounded(kernel: NDArray[np.float32]) -> NDArray[np.float32]:
    """``_BITS`` significant bits of each weight, but steps no finer than ``_FINENESS`` asks for.

    Noise of one size for all weights takes the least room. Steps are powers of two, so that what
    is rounded is the same in float16.
    """
    _, exponents = np.frexp(kernel)
    size = float(np.sqrt(np.mean(np.square(kernel, dtype=np.float64))))
    least = round(np.log2(size / _FINENESS)) if size else 0
    steps = np.ldexp(np.float32(1.0), np.maximum(exponents - _BITS, least))
    rounded: NDArray[np.float32] = np.round(kernel / steps) * steps
    return rounded


def _description(model: Model, name: str, shapes: dict[str, Any]) -> dict[str, Any]:
    config = model.config.network
    return {
        "name": name,
        "reconstruction": config.reconstruction,
        "codes": list(config.codes),
        "gains": [float(g) for g in np.exp(model.codec.log_gains.numpy())],
        "stride": model.codec.stride,
        "steps": shapes,
        "config": json.loads(model.config.as_json()),
    }


def weight_places(model: Model, folder: Path) -> list[str] | None:
    """For ``--init-from``: where each trainable weight is (see :mod:`rgru_train.readback`)."""
    codec = model.codec
    variables = [v for v in codec.trainable_variables if v is not codec.log_gains]
    found = readback.places(folder, [v.numpy() for v in variables])
    if found is None:
        return None
    waiting = iter(found)
    return ["gains" if v is codec.log_gains else next(waiting) for v in codec.trainable_variables]


def step_shapes(codec: Codec) -> dict[str, Any]:
    """Inputs, outputs, states and reach of the networks, as ``model.json`` holds them."""
    encoder = _integral(codec.encoder.state_shapes())
    decoder = _integral(codec.decoder.state_shapes(codec.encoder.scale))
    codes = (codec.stride, max(codec.config.codes))
    scale = codec.encoder.scale * codec.decoder.scale
    paints = [(round(scale), depth_after(codec.config.decoder, codes[1]))]
    known = []
    if codec.linear is not None:
        paints.append((codec.stride, codec.linear.pairs))
        known.append(decoder[0])
    return {
        "encoder": {
            "inputs": [(1, 3), *known, *encoder],
            "outputs": [codes, *encoder],
            "states": len(encoder),
            "reach": codec.encoder.reach(),
        },
        "decoder": {
            "inputs": [codes, *decoder],
            "outputs": [*paints, *decoder],
            "states": len(decoder),
            "reach": codec.decoder.reach(codec.encoder.scale),
        },
        "head": {
            "inputs": paints,
            "outputs": [(1, 3)],
            "states": 0,
            "reach": codec.head.reach(scale),
        },
    }


def _integral(shapes: list[tuple[float, int]]) -> Shapes:
    return [(round(scale), depth) for scale, depth in shapes]


def _functions(codec: Codec) -> dict[str, Callable[..., Any]]:
    known = 0 if codec.linear is None else 1

    def encoder(a_input: tf.Tensor, *others: tf.Tensor) -> Any:
        states = list(others[known:])
        codes, updated = codec.all_codes(a_input, states, others[0] if known else None)
        return codes, *updated

    def decoder(a_input: tf.Tensor, *states: tf.Tensor) -> Any:
        paints, updated = codec.paints(a_input, list(states))
        return *map(tf.identity, paints), *updated

    def head(a_input: tf.Tensor, *coefficients: tf.Tensor) -> Any:
        return (codec.paint(a_input, *coefficients),)

    return {"encoder": encoder, "decoder": decoder, "head": head}


def _convert(function: Callable[..., Any], inputs: Sequence[tuple[int, int]]) -> bytes:
    """LiteRT with dynamic height and width; weights kept in float16, arithmetic in float32."""
    specs = [tf.TensorSpec((1, None, None, depth), tf.float32) for _, depth in inputs]
    holder = tf.Module()
    holder.function = tf.function(function, input_signature=specs, autograph=False)
    concrete = holder.function.get_concrete_function()
    converter = tf.lite.TFLiteConverter.from_concrete_functions([concrete], holder)
    converter.optimizations = [tf.lite.Optimize.DEFAULT]
    converter.target_spec.supported_types = [tf.float16]
    return bytes(converter.convert())


def integers(context: ContextModel) -> IntegerContextModel:
    """The context model's weights as the integers that SPEC.md defines."""
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
    hidden = one.w.kernel.shape[-1]
    V = np.zeros((3, 3, 0, hidden), np.int16) if one.v is None else _weights(one.v.kernel)
    blind = np.ones((3, 3), bool)  # where the group itself is not known yet: only zeros are met
    for _, taps in neighbour_rows(phases, phase):
        blind[tuple(zip(*taps, strict=True))] = False
    V[blind, start:] = 0
    return PassWeights(
        V=V,
        v=_biases(one.v_bias if one.v is None else one.v.bias),
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


def check(codec: Codec, package: Package, tolerance: float = 0.02) -> float:
    """Run both sides on random inputs and return the largest difference (network units).

    Weights are rounded to float16 in the package, hence the tolerance.

    Raises:
        InvalidInput: they differ by more than ``tolerance``.
    """
    rng = np.random.default_rng(0)
    height, width = 5 * codec.stride, 7 * codec.stride
    worst = 0.0
    for step, function in _functions(codec).items():
        network = Network(package, step, threads=1)
        inputs = [
            rng.uniform(-0.5, 0.5, (1, height // s, width // s, c)).astype(np.float32)
            for s, c in network.shape.inputs
        ]
        expected = [output.numpy() for output in function(*map(tf.constant, inputs))]
        if step == "encoder":  # codes are signs: compare the states, not what lies near zero
            expected[0] = network.run(inputs, height, width)[0]
        for found, wanted in zip(network.run(inputs, height, width), expected, strict=True):
            worst = max(worst, float(np.abs(found - wanted).max()))
    if worst > tolerance:
        raise InvalidInput(f"{package.folder}: differs from TensorFlow by {worst:.3g}")
    return worst


def code_lengths(
    model: Model, pictures: Sequence[NDArray[np.uint8]]
) -> list[tuple[float, float, float]]:
    """Bits per pixel of each layer, means of pictures (H, W, 3), sides multiples of the stride.

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
    """(layers, 3): bits per pixel of one picture; see :func:`code_lengths`."""
    x = (tf.cast(picture[None], tf.float32) - 127.5) * LEVELS
    codes, _ = model.codec.iterate(x)
    floats, _ = model.context.bits(codes)
    grid = codes[0].shape[1:3]
    fixed = CodesEncoder(integer, *grid, adapt=False)
    encoder = CodesEncoder(integer, *grid)
    rows = []
    for bits, layer in zip(floats, codes, strict=True):
        signs = np.where(layer[0].numpy() < 0, -1, 1).astype(np.int8)
        fixed.encode_layer(signs)
        coded = 8 * sum(map(len, encoder.encode_layer(signs)))
        rows.append([float(bits[0]), sum(fixed.group_bits), coded])
    return np.array(rows) / (picture.shape[0] * picture.shape[1])
