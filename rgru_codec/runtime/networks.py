"""Decoder, painter and encoder of a model, put together from layers (SPEC section 11.4).

Codes are (1, rows, columns, C) in {-1, +1}; pictures (1, H, W, 3) in [-0.9, 0.9]; residuals
likewise, or squares of them, s pixels a side: (1, H / s, W / s, s·s·3); between codes and pictures
lies everything 16 pixels apart. All networks take any height and width.
"""

from __future__ import annotations

import abc
import dataclasses
import functools
import math
from collections.abc import Iterable, Mapping
from typing import Any, TypeVar

import numpy as np

from rgru_codec.runtime.channels import in_squares, of_channels, of_outputs, of_pairs, width_for
from rgru_codec.runtime.folding import folded, on_squares
from rgru_codec.runtime.layers import (
    Conv,
    DepthToSpace,
    Ops,
    ResidualGRU,
    Shapes,
    Stack,
    parse_layers,
    under,
)
from rgru_codec.runtime.rect import Rect
from rgru_codec.runtime.weights import Arrays
from rgru_format import InvalidInput
from rgru_format.limits import MAX_CODES, MAX_LAYERS, POSITION

T = TypeVar("T")

_STEEP = 1e6
"""Slope of a step, where a digit begins."""


@dataclasses.dataclass(frozen=True)
class Port:
    """An array that goes in or out: (1, H / spacing, W / spacing, channels)."""

    spacing: int
    channels: int

    def shape(self, area: Rect) -> tuple[int, int, int, int]:
        """Of the array over an area of a picture."""
        return 1, area.height // self.spacing, area.width // self.spacing, self.channels


class Network(abc.ABC):
    """What runs at once: named arrays in, named arrays out.

    Attributes:
        name: of the network, unlike that of any other of its model.
        inputs: what goes in; states among them, but before the first layer.
        outputs: what comes out; new states have the names of the old ones.
        states: names of the states.
        reach: pixels around a place on which what comes out there depends, to each side.
    """

    name: str
    inputs: dict[str, Port]
    outputs: dict[str, Port]
    states: tuple[str, ...] = ()
    reach: int

    @abc.abstractmethod
    def run(self, ops: Ops[T], inputs: Mapping[str, T]) -> dict[str, T]:
        """The outputs."""


class Decoder(Network):
    """D: codes of a layer to features, coefficients of the linear path, and new states.

    Args:
        half: where it belongs.
        channels: of the codes that it takes.
        first_layer: for the first layer, before which states are zero: it takes none.
    """

    def __init__(self, half: DecodingHalf, channels: int, first_layer: bool = False) -> None:
        self.name = f"decoder {channels}{' first' * first_layer}"
        self._half, self._pairs = half, channels // 2
        states = {name: Port(*shape) for name, shape in half.D.states.items()}
        self.inputs = {"codes": Port(POSITION, channels), **({} if first_layer else states)}
        self.outputs = {
            "features": Port(POSITION, half.D.depth),
            "coefficients": Port(POSITION, self._pairs),
            **states,
        }
        self.states = tuple(states)
        self.reach = half.D.reach
        self._arrays = of_channels(half.arrays, half.first, channels)

    def run(self, ops: Ops[T], inputs: Mapping[str, T]) -> dict[str, T]:
        """Coefficients c = (plus - minus) / 2 · factor(steps(h)), h: D's first state before."""
        arrays, pairs = self._arrays, self._pairs
        codes = inputs["codes"]
        difference = np.kron(np.eye(pairs), [[0.5], [-0.5]]).astype(np.float32)
        steps = under(arrays, "L/steps")
        steps = {"kernel": steps["kernel"][:, :pairs], "bias": steps["bias"][:pairs]}
        features, states = self._half.D.run(ops, arrays, codes, inputs)
        coefficients = ops.product(codes, difference)
        coefficients = _scaled(ops, steps, coefficients, inputs.get(self._half.first))
        return {"features": features, "coefficients": coefficients, **states}


class Painter(Network):
    """Features and accumulated coefficients to a picture.

    Args:
        half: where it belongs.
        channels: of the codes that the coefficients come from.
    """

    def __init__(self, half: DecodingHalf, channels: int) -> None:
        self.name = f"painter {channels}"
        self._half, pairs = half, channels // 2
        self.inputs = {
            "features": Port(POSITION, half.D.depth),
            "coefficients": Port(POSITION, pairs),
        }
        self.outputs = {"picture": Port(1, 3)}
        self.reach = half.P.reach
        self._arrays = half.arrays
        if pairs < half.pairs:
            self._arrays = of_pairs(half.arrays, half.P.first, half.D.depth, pairs)
        *layers, last = half.P.layers
        self._side = last.factor if isinstance(last, DepthToSpace) else 1
        stack = Stack("P", layers, half.P.entering, POSITION) if self._side > 1 else half.P
        self._stack, stacked = folded(stack, self._arrays)
        self._arrays = {"L/synthesis": self._arrays["L/synthesis"], **stacked}

    def run(self, ops: Ops[T], inputs: Mapping[str, T]) -> dict[str, T]:
        """P = the linear path's picture, plus what the painter adds.

        They are added in front of the last ``depth_to_space``: less goes through memory.
        """
        arrays, coefficients = self._arrays, inputs["coefficients"]

        @functools.cache
        def linear(side: int) -> T:
            """The linear path's picture, squares of so many pixels a side as channels."""
            product = ops.product(coefficients, in_squares(arrays["L/synthesis"], side))
            return _apart(ops, product, POSITION // side)

        known = ops.join([inputs["features"], coefficients])
        painted, _ = self._stack.run(ops, arrays, known, {}, linear)
        return {"picture": _apart(ops, ops.add(linear(self._side), painted), self._side)}


class DecodingTable:
    """What ``model.json`` says of the decoding half.

    Attributes:
        table: its content.
        codes: channels of codes, for each layer.
        pairs: channels of the linear path.
        D: the decoder's layers.
        P: the painter's layers.
        first: name of D's first state, on which the linear path depends.
        shapes: of the arrays that go with it.

    Raises:
        InvalidInput: it does not fit SPEC.
    """

    def __init__(self, table: Mapping[str, Any]) -> None:
        self.table = table
        self.codes = _codes(table.get("codes"))
        most = max(self.codes)
        self.pairs = most // 2
        self.D = Stack("D", parse_layers(table.get("decoder"), "decoder"), most, POSITION)
        if not self.D.layers or not isinstance(self.D.layers[0], ResidualGRU):
            raise InvalidInput("the decoder does not begin with an rnn layer")
        self.first = next(iter(self.D.states))
        painter = parse_layers(table.get("painter"), "painter")
        self.P = Stack("P", painter, self.D.depth + self.pairs, POSITION)
        if self.D.spacing != POSITION or any(s != POSITION for s, _ in self.D.states.values()):
            raise InvalidInput(f"the decoder does not keep to {POSITION} pixels a position")
        if (self.P.spacing, self.P.depth) != (1, 3) or self.P.states:
            raise InvalidInput("the painter does not end in pixels of three channels")
        self.shapes: Shapes = {
            "gains": (len(self.codes),),
            "L/steps/kernel": (self.D.layers[0].depth, self.pairs),
            "L/steps/bias": (self.pairs,),
            "L/synthesis": (self.pairs, 3 * POSITION**2),
            **self.D.arrays,
            **self.P.arrays,
        }


class DecodingHalf(DecodingTable):
    """What decoders need of a model: D, the linear path's synthesis, and the painter.

    Args:
        table: of ``model.json``.
        arrays: of ``decoder.safetensors``.

    Attributes:
        gains: factor on the residual, for each layer.

    Raises:
        InvalidInput: they do not fit each other, or SPEC.
    """

    def __init__(self, table: Mapping[str, Any], arrays: Arrays) -> None:
        super().__init__(table)
        check_arrays(arrays, self.shapes)
        self.arrays = arrays
        self.gains = tuple(float(gain) for gain in arrays["gains"])
        if min(self.gains) <= 0.0:
            raise InvalidInput("a gain is not above 0")
        self._decoders: dict[tuple[int, bool], Decoder] = {}
        self._painters: dict[int, Painter] = {}

    def decoder(self, count: int, first_layer: bool = False) -> Decoder:
        """D for a layer of ``count`` channels; it may take more, which then are to be 0."""
        wide = width_for(count, max(self.codes))
        return self._decoders.setdefault((wide, first_layer), Decoder(self, wide, first_layer))

    def painter(self, count: int) -> Painter:
        """P for layers of up to ``count`` channels; it may take more, which then are to be 0."""
        sliced = isinstance(self.P.layers[0], Conv)  # others need all that goes in
        wide = width_for(count if sliced else max(self.codes), max(self.codes))
        return self._painters.setdefault(wide, Painter(self, wide))

    def networks(self) -> list[Network]:
        """All that decoding takes: D and P for each width of codes, D for the first layer."""
        each = (make(count) for make in (self.decoder, self.painter) for count in self.codes)
        return distinct([*each, self.decoder(self.codes[0], first_layer=True)])


class EncoderTable:
    """What the table of an encoder says.

    Args:
        half: the decoding half that it encodes for.
        table: ``encoder``, ``digits`` and ``threshold``.

    Attributes:
        E: its layers.
        digits: what the digits of each block mean are worth, in steps.
        threshold: from this part of a step on, something is told.
        shapes: of the arrays that go with it.

    Raises:
        InvalidInput: it does not fit the decoding half.
    """

    def __init__(self, half: DecodingTable, table: Mapping[str, Any]) -> None:
        most = max(half.codes)
        self.E = Stack("E", parse_layers(table.get("encoder"), "encoder"), 3, 1)
        if self.E.spacing != POSITION:
            raise InvalidInput(f"the encoder does not end at {POSITION} pixels a position")
        self.digits = _digits(table.get("digits"), half.pairs)
        threshold = table.get("threshold")
        if not isinstance(threshold, float) or not 0.0 < threshold < 1.0:
            raise InvalidInput(f"threshold is {threshold!r}, not between 0 and 1")
        self.threshold = threshold
        functions = half.pairs - sum(map(len, self.digits)) + len(self.digits)
        state = half.D.states[half.first][1]
        self.shapes: Shapes = {
            "L/analysis": (POSITION, POSITION, 3, functions),
            "L/fineness/kernel": (state, half.pairs),
            "L/fineness/bias": (half.pairs,),
            "L/thresholds/kernel": (state, most),
            "L/thresholds/bias": (most,),
            "B/kernel": (self.E.depth, most),
            "B/bias": (most,),
            **self.E.arrays,
        }


class EncodingHalf:
    """What encoders need of a package beside the decoding half: E, and the linear path's analysis.

    Args:
        half: the decoding half that it encodes for.
        table: see :class:`EncoderTable`.
        arrays: of an ``encoder*.safetensors``.

    Attributes:
        half, table, arrays: likewise, the table parsed.

    Raises:
        InvalidInput: they do not fit each other.
    """

    def __init__(self, half: DecodingTable, table: Mapping[str, Any], arrays: Arrays) -> None:
        self.half, self.table, self.arrays = half, EncoderTable(half, table), arrays
        check_arrays(arrays, self.table.shapes)
        self._encoders: dict[tuple[int, bool], Encoder] = {}

    def network(self, count: int, first_layer: bool = False) -> Encoder:
        """E for a layer of ``count`` channels; it may give more, which then are to be left out."""
        told = 2 * sum(map(len, self.table.digits)) + 2
        wide = width_for(max(count, told), max(self.half.codes))
        return self._encoders.setdefault((wide, first_layer), Encoder(self, wide, first_layer))

    def networks(self) -> list[Network]:
        """All that encoding takes: E for each width of codes, and for the first layer."""
        codes = self.half.codes
        return distinct([*map(self.network, codes), self.network(codes[0], first_layer=True)])


class Encoder(Network):
    """E and the binarizer before its sign: what is left of a picture to codes.

    Args:
        encoding: where it belongs.
        channels: of the codes that it gives.
        first_layer: for the first layer, before which states are zero: it takes none.
    """

    def __init__(self, encoding: EncodingHalf, channels: int, first_layer: bool = False) -> None:
        self.name = f"encoder {channels}{' first' * first_layer}"
        half, self._table = encoding.half, encoding.table
        self._pairs = channels // 2
        arrays = of_outputs(encoding.arrays, self._table.digits, channels)
        self._stack, self._arrays = on_squares(self._table.E, arrays)
        self._side = side = math.isqrt(self._stack.entering // 3)
        self.known = half.first
        """Name of the input that takes D's first state."""
        states = {name: Port(*shape) for name, shape in self._table.E.states.items()}
        known = {self.known: Port(POSITION, half.D.states[half.first][1])}
        taken = {} if first_layer else known | states
        self.inputs = {"residual": Port(side, 3 * side**2), **taken}
        self.outputs = {"codes": Port(POSITION, channels), **states}
        self.states = tuple(states)
        self.reach = self._table.E.reach

    def run(self, ops: Ops[T], inputs: Mapping[str, T]) -> dict[str, T]:
        """Codes before the sign: B(E(r)) + the linear path's detectors of plus and minus."""
        arrays, residual = self._arrays, inputs["residual"]
        features, states = self._stack.run(ops, arrays, residual, inputs)
        h = inputs.get(self.known)
        told = ops.join(self._told(ops, residual))
        told = _scaled(ops, under(arrays, "L/fineness"), told, h)
        both = np.kron(np.eye(self._pairs), [1.0, -1.0]).astype(np.float32)
        thresholds = under(arrays, "L/thresholds")
        bias = thresholds["bias"] - np.float32(self._table.threshold)
        features = ops.product(features, arrays["B/kernel"], arrays["B/bias"])
        if h is None:
            return {"codes": ops.add(features, ops.product(told, both, bias)), **states}
        codes = ops.add(features, ops.product(told, both))
        codes = ops.add(codes, ops.product(h, thresholds["kernel"], bias))
        return {"codes": codes, **states}

    def _told(self, ops: Ops[T], residual: T) -> list[T]:
        """Inner products with the functions, in steps; those of the means in several digits.

        Each digit is told of what the ones before it leave.
        """
        analysis, digits = self._arrays["L/analysis"], self._table.digits
        taps = POSITION // self._side
        pixels = in_squares(analysis.reshape(-1, analysis.shape[3]).T, self._side)
        kernel = pixels.T.reshape(taps, taps, -1, analysis.shape[3])
        # Once for all: going through the residual costs most.
        products = ops.conv(residual, kernel, None, taps, False)
        each = np.eye(analysis.shape[3], dtype=np.float32)

        def part(channels: slice) -> T:
            return ops.product(products, each[:, channels])

        told = []
        for i, worths in enumerate(digits):
            left = part(slice(i, i + 1))
            for worth in worths:
                told.append(ops.multiply(left, 1.0 / worth))
                left = ops.subtract(left, ops.multiply(self._digit(ops, told[-1]), worth))
        return [*told, part(slice(len(digits), None))]

    def _digit(self, ops: Ops[T], z: T) -> T:
        """The sign of z, 0 where it is below the threshold: half of two steep steps."""
        steep = np.full((1, 1), _STEEP, np.float32)
        edge = np.full(1, _STEEP * self._table.threshold, np.float32)
        steps = [ops.clip(ops.product(z, steep, bias)) for bias in (edge, -edge)]
        return ops.multiply(ops.add(*steps), 0.5)


def distinct(networks: Iterable[Network]) -> list[Network]:
    """Each once, by its name."""
    return list({network.name: network for network in networks}.values())


def check_arrays(arrays: Arrays, expected: Shapes) -> None:
    """Hold arrays against what tables say of them.

    Raises:
        InvalidInput: one is missing, too many, or of another shape.
    """
    for name in sorted(arrays.keys() | expected.keys()):
        found = arrays[name].shape if name in arrays else None
        if found != expected.get(name):
            raise InvalidInput(f"array {name} has shape {found}, expected {expected.get(name)}")


def _codes(listed: Any) -> tuple[int, ...]:
    whole = isinstance(listed, list) and all(type(count) is int for count in listed)
    if not whole or not 1 <= len(listed) <= MAX_LAYERS:
        raise InvalidInput(f"codes is not a list of 1 to {MAX_LAYERS} whole numbers")
    if any(count % 2 or not 2 <= count <= MAX_CODES for count in listed):
        raise InvalidInput(f"codes are {listed}; channels come in pairs, at most {MAX_CODES}")
    return tuple(listed)


def _digits(listed: Any, pairs: int) -> list[list[float]]:
    try:
        digits = [[float(worth) for worth in worths] for worths in listed]
    except (TypeError, ValueError):
        raise InvalidInput("digits is not a list of lists of numbers") from None
    if not all(math.isfinite(worth) and worth for worths in digits for worth in worths):
        raise InvalidInput(f"digits are {listed}")
    if sum(map(len, digits)) >= pairs or not all(digits):
        raise InvalidInput(f"digits of {pairs} pairs: {listed}")
    return digits


def _apart(ops: Ops[T], x: T, factor: int) -> T:
    return ops.depth_to_space(x, factor) if factor > 1 else x


def _scaled(ops: Ops[T], w: Arrays, x: T, h: T | None) -> T:
    """Values times exp(2 tanh(y / 2)), y a product of the state: 1 for 0, never beyond e^±2."""
    half = np.float32(0.5)
    if h is None:  # the state is zero
        return ops.product(x, np.diag(np.exp(2 * np.tanh(w["bias"] * half))))
    tanh = ops.tanh(ops.product(h, w["kernel"] * half, w["bias"] * half))
    return ops.multiply(x, ops.exp(ops.multiply(tanh, 2.0)))
