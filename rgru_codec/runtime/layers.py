"""Layers of the networks, as SPEC section 11.3 defines them: arrays, sizes, arithmetic.

A network is written down once, over the few operations of :class:`Ops`: numpy carries them out
(``runtime/reference.py``), for LiteRT they become a graph (``runtime/litert.py``). Tensors have the
axes (1, rows, columns, channels).
"""

from __future__ import annotations

import dataclasses
from collections.abc import Callable, Iterator, Mapping, Sequence
from fractions import Fraction
from typing import Any, ClassVar, Protocol, TypeVar

import numpy as np

from rgru_codec.runtime.weights import Array, Arrays
from rgru_format import InvalidInput

ALPHA = 0.1
"""Weight of both residual connections of the residual GRU (paper, equation 8)."""
_MOST = {"kernel": 64, "hidden": 16, "stride": 16, "factor": 16, "depth": 4096, "inner": 4096}
"""Largest numbers in a table of layers."""

T = TypeVar("T")
Shapes = dict[str, tuple[int, ...]]


class Ops(Protocol[T]):
    """What networks are made of. Kernels reach beyond the sides of a tensor, where zeros are.

    With a kernel of side k and a stride s, floor(max(k - s, 0) / 2) rows lie above the first.
    """

    def conv(self, x: T, kernel: Array, bias: Array | None, stride: int, relu: bool) -> T:
        """A convolution with a kernel (k, k, in, out)."""

    def depthwise(self, x: T, kernel: Array, stride: int) -> T:
        """A convolution of each channel with its own kernel: (k, k, channels)."""

    def product(self, x: T, kernel: Array, bias: Array | None = None, relu: bool = False) -> T:
        """A convolution with a kernel of one tap: (in, out)."""

    def add(self, a: T, b: T) -> T:
        """A sum."""

    def subtract(self, a: T, b: T) -> T:
        """A difference."""

    def multiply(self, a: T, b: T | float) -> T:
        """An elementwise product."""

    def relu(self, x: T) -> T:
        """max(x, 0)."""

    def sigmoid(self, x: T) -> T:
        """1 / (1 + exp(-x))."""

    def tanh(self, x: T) -> T:
        """The hyperbolic tangent."""

    def exp(self, x: T) -> T:
        """The exponential."""

    def clip(self, x: T) -> T:
        """What is beyond -1 or 1 becomes -1 or 1."""

    def join(self, parts: Sequence[T]) -> T:
        """Channels side by side."""

    def depth_to_space(self, x: T, factor: int) -> T:
        """Channel (dy * factor + dx) * C + c becomes channel c, dy rows and dx columns on."""

    def space_to_depth(self, x: T, factor: int) -> T:
        """The inverse of :meth:`depth_to_space`."""


@dataclasses.dataclass(frozen=True)
class Layer:
    """One layer; kinds that do not say otherwise keep the sides and have no arrays."""

    kind: ClassVar[str]

    @property
    def scale(self) -> Fraction:
        """Factor by which the sides shrink (below 1: grow)."""
        return Fraction(1)

    @property
    def reach(self) -> int:
        """Input positions around a place on which its output depends, to each side."""
        return 0

    def depth_after(self, depth: int, spacing: int) -> int:
        """Channels that come out if ``depth`` go in, ``spacing`` pixels apart."""
        return depth

    def arrays(self, depth: int) -> Shapes:
        """Names and shapes of the layer's arrays."""
        return {}

    def run(self, ops: Ops[T], w: Arrays, x: T) -> T:
        """The layer's output."""
        raise NotImplementedError


@dataclasses.dataclass(frozen=True)
class Conv(Layer):
    """A convolution with a dense kernel."""

    kind: ClassVar[str] = "conv"
    depth: int
    kernel: int = 1
    stride: int = 1
    bias: bool = True
    activation: str = "linear"

    @property
    def scale(self) -> Fraction:
        return Fraction(self.stride)

    @property
    def reach(self) -> int:
        """What the kernel has beyond its stride, shared out on two sides."""
        return _half(self.kernel - self.stride)

    def depth_after(self, depth: int, spacing: int) -> int:
        return self.depth

    def arrays(self, depth: int) -> Shapes:
        kernel = {"kernel": (self.kernel, self.kernel, depth, self.depth)}
        return kernel | ({"bias": (self.depth,)} if self.bias else {})

    def run(self, ops: Ops[T], w: Arrays, x: T) -> T:
        relu = self.activation == "relu"
        if self.kernel == self.stride == 1:
            return ops.product(x, w["kernel"][0, 0], w.get("bias"), relu)
        return ops.conv(x, w["kernel"], w.get("bias"), self.stride, relu)


@dataclasses.dataclass(frozen=True)
class Separable(Conv):
    """A kernel for each channel, then products at each place (MobileNets, 1704.04861)."""

    kind: ClassVar[str] = "separable"
    kernel: int = 3

    def arrays(self, depth: int) -> Shapes:
        return _separable_arrays(self.kernel, self.stride, depth, self.depth, self.bias)

    def run(self, ops: Ops[T], w: Arrays, x: T) -> T:
        return separable(ops, w, x, self.stride, relu=self.activation == "relu")


@dataclasses.dataclass(frozen=True)
class Residual(Layer):
    """x + S2(relu(S1(relu(x)))), S1 and S2 separable."""

    kind: ClassVar[str] = "residual"
    kernel: int = 3
    inner: int = 0
    """Channels between S1 and S2; 0: as many as come in."""

    @property
    def reach(self) -> int:
        """That of two kernels."""
        return 2 * _half(self.kernel - 1)

    def arrays(self, depth: int) -> Shapes:
        inner = self.inner or depth
        first = _separable_arrays(self.kernel, 1, depth, inner, True)
        second = _separable_arrays(self.kernel, 1, inner, depth, True)
        return _below("S1", first) | _below("S2", second)

    def run(self, ops: Ops[T], w: Arrays, x: T) -> T:
        inner = separable(ops, under(w, "S1"), ops.relu(x), relu=True)
        return ops.add(x, separable(ops, under(w, "S2"), inner))


@dataclasses.dataclass(frozen=True)
class ResidualGRU(Layer):
    """The residual GRU of the paper (equations 6 to 8), kernels separable; see :meth:`step`."""

    kind: ClassVar[str] = "rnn"
    depth: int
    kernel: int = 1
    stride: int = 1
    hidden: int = 3
    """Side of the kernels on the state."""
    bias: bool = True

    @property
    def scale(self) -> Fraction:
        return Fraction(self.stride)

    @property
    def reach(self) -> int:
        """Of the input's kernel, and of the gates' and the candidate's one after the other."""
        return _half(self.kernel - self.stride) + self.stride * 2 * _half(self.hidden - 1)

    def depth_after(self, depth: int, spacing: int) -> int:
        return self.depth

    def arrays(self, depth: int) -> Shapes:
        own = self.depth
        return {
            **_below("W", _separable_arrays(self.kernel, self.stride, depth, 3 * own, self.bias)),
            **_below("U_gates", _separable_arrays(self.hidden, 1, own, 2 * own, False)),
            **_below("U", _separable_arrays(self.hidden, 1, own, own, False)),
            **_below("W_h", _separable_arrays(1, 1, own, own, False)),
            **_below("W_ox", _separable_arrays(1, 1, depth, own, False)),
        }

    def step(self, ops: Ops[T], w: Arrays, x: T, h: T | None) -> tuple[T, T]:
        """One step: (output o, new state). ``h`` is None where the state is zero all over.

        z = σ(W_z x + U_z h), r = σ(W_r x + U_r h), g = tanh(W x + U (r·h)),
        h' = (1 - z)·h + z·g + α W_h h, o = h' + α W_ox x.
        """
        first, n = under(w, "W"), self.depth
        seen = ops.depthwise(x, first["depthwise"], self.stride) if "depthwise" in first else x

        def of_input(gate: int) -> T:
            part = slice(gate * n, (gate + 1) * n)
            bias = first["bias"][part] if self.bias else None
            return ops.product(seen, first["pointwise"][:, part], bias)

        if h is None:
            new = ops.multiply(ops.sigmoid(of_input(0)), ops.tanh(of_input(2)))
        else:
            new = self._after(ops, w, of_input, h)
        there = x if self.stride == 1 else ops.depthwise(x, _first_tap(w), self.stride)
        return ops.add(new, ops.product(there, w["W_ox/pointwise"] * ALPHA)), new

    def _after(self, ops: Ops[T], w: Arrays, of_input: Callable[[int], T], h: T) -> T:
        """The state after ``h``; ``of_input`` gives W_z x, W_r x and W x."""
        gates, n = under(w, "U_gates"), self.depth
        known = ops.depthwise(h, gates["depthwise"], 1) if "depthwise" in gates else h

        def gate(number: int) -> T:
            kernel = gates["pointwise"][:, number * n : (number + 1) * n]
            return ops.sigmoid(ops.add(of_input(number), ops.product(known, kernel)))

        z, r = gate(0), gate(1)
        reset = separable(ops, under(w, "U"), ops.multiply(r, h))
        g = ops.tanh(ops.add(of_input(2), reset))
        new = ops.add(h, ops.multiply(z, ops.subtract(g, h)))
        return ops.add(new, ops.product(h, w["W_h/pointwise"] * ALPHA))


@dataclasses.dataclass(frozen=True)
class DepthToSpace(Layer):
    """Channels become places: sides grow by ``factor``."""

    kind: ClassVar[str] = "depth_to_space"
    factor: int

    @property
    def scale(self) -> Fraction:
        return Fraction(1, self.factor)

    def depth_after(self, depth: int, spacing: int) -> int:
        if depth % self.factor**2:
            raise InvalidInput(f"depth_to_space by {self.factor} of {depth} channels")
        return depth // self.factor**2

    def run(self, ops: Ops[T], w: Arrays, x: T) -> T:
        return ops.depth_to_space(x, self.factor)


@dataclasses.dataclass(frozen=True)
class SpaceToDepth(Layer):
    """Places become channels: sides shrink by ``factor``."""

    kind: ClassVar[str] = "space_to_depth"
    factor: int

    @property
    def scale(self) -> Fraction:
        return Fraction(self.factor)

    def depth_after(self, depth: int, spacing: int) -> int:
        return depth * self.factor**2

    def run(self, ops: Ops[T], w: Arrays, x: T) -> T:
        return ops.space_to_depth(x, self.factor)


@dataclasses.dataclass(frozen=True)
class Picture(Layer):
    """The linear path's picture joins the features: its pixels of a position as channels."""

    kind: ClassVar[str] = "picture"

    def depth_after(self, depth: int, spacing: int) -> int:
        return depth + 3 * spacing**2

    def joined(self, ops: Ops[T], w: Arrays, x: T, picture: T) -> T:
        """The layer's output."""
        return ops.join([x, picture])


KINDS: dict[str, type[Layer]] = {
    kind.kind: kind
    for kind in (Conv, Separable, Residual, ResidualGRU, DepthToSpace, SpaceToDepth, Picture)
}
"""Kinds of layers by the name that tables of layers use."""


def separable(ops: Ops[T], w: Arrays, x: T, stride: int = 1, *, relu: bool = False) -> T:
    """A kernel for each channel, if there are any, then products at each place."""
    if "depthwise" in w:
        x = ops.depthwise(x, w["depthwise"], stride)
    return ops.product(x, w["pointwise"], w.get("bias"), relu)


def under(arrays: Arrays, prefix: str) -> Arrays:
    """The arrays whose names begin with ``prefix/``, by the rest of their names."""
    start = len(prefix) + 1
    return {name[start:]: a for name, a in arrays.items() if name.startswith(f"{prefix}/")}


class Stack:
    """Layers one after the other.

    Args:
        letter: in front of the names of its arrays: E, D or P.
        layers: in order.
        depth: channels that go in.
        spacing: pixels between positions of what goes in.

    Raises:
        InvalidInput: layers that do not fit each other, or the network.
    """

    def __init__(self, letter: str, layers: Sequence[Layer], depth: int, spacing: int) -> None:
        self.letter, self.layers = letter, tuple(layers)
        self.entering = self.depth = depth
        scale = Fraction(spacing)
        self.arrays: Shapes = {}
        self.states: dict[str, tuple[int, int]] = {}
        """(pixels between positions, channels) of each state, by the layer's name."""
        reach = Fraction(0)
        self._spacings: list[int] = []
        for name, layer in self.named():
            self.arrays |= _below(name, layer.arrays(self.depth))
            reach += scale * layer.reach
            self._spacings.append(int(scale))
            self.depth = layer.depth_after(self.depth, int(scale))
            scale *= layer.scale
            if scale.denominator != 1 or scale > _MOST["stride"]:
                raise InvalidInput(f"{name}: {scale} pixels between positions")
            if isinstance(layer, ResidualGRU):
                self.states[name] = (int(scale), layer.depth)
            if isinstance(layer, Picture) and letter != "P":
                raise InvalidInput(f"{name}: only the painter joins the picture")
        self.spacing = int(scale)
        """Pixels between positions of what comes out; ``depth`` are its channels."""
        self.reach = -(-reach.numerator // reach.denominator)
        """Pixels around a place on which its output depends, to each side."""

    def named(self) -> Iterator[tuple[str, Layer]]:
        """Layers with the names under which their arrays stand."""
        return ((f"{self.letter}/{x.kind}{i}", x) for i, x in enumerate(self.layers))

    @property
    def first(self) -> str:
        """Name of the first layer, under which its arrays stand."""
        return next(self.named())[0]

    def run(
        self,
        ops: Ops[T],
        arrays: Arrays,
        x: T,
        states: Mapping[str, T],
        picture: Callable[[int], T] | None = None,
    ) -> tuple[T, dict[str, T]]:
        """Run all layers: (output, new states by name). States that are not given are zero.

        ``picture``: the linear path's, for layers that join it; squares of a side as channels.
        """
        updated = {}
        for (name, layer), spacing in zip(self.named(), self._spacings, strict=True):
            w = under(arrays, name)
            if isinstance(layer, ResidualGRU):
                x, updated[name] = layer.step(ops, w, x, states.get(name))
            elif isinstance(layer, Picture):
                assert picture is not None
                x = layer.joined(ops, w, x, picture(spacing))
            else:
                x = layer.run(ops, w, x)
        return x, updated


def parse_layers(table: Any, what: str) -> tuple[Layer, ...]:
    """Layers from the list of a package's table.

    Raises:
        InvalidInput: a kind that is not known, or numbers that do not fit it.
    """
    if not isinstance(table, list) or not all(isinstance(row, dict) for row in table):
        raise InvalidInput(f"{what} is not a list of layers")
    return tuple(_parse(row, f"{what}[{i}]") for i, row in enumerate(table))


def _parse(row: dict[str, Any], what: str) -> Layer:
    values = dict(row)
    kind = KINDS.get(str(values.pop("kind", None)))
    if kind is None:
        raise InvalidInput(f"{what}: no layer of kind {row.get('kind')!r} is known")
    fields = {field.name: field for field in dataclasses.fields(kind)}
    for name, value in values.items():
        if name not in fields or not _fits(name, value):
            raise InvalidInput(f"{what}: {name} = {value!r} does not fit a {kind.kind} layer")
    try:
        return kind(**values)
    except TypeError as error:
        raise InvalidInput(f"{what}: {error}") from None


def _fits(name: str, value: Any) -> bool:
    if name == "bias":
        return isinstance(value, bool)
    if name == "activation":
        return value in ("linear", "relu")
    least = 0 if name == "inner" else 1
    whole = isinstance(value, int) and not isinstance(value, bool)
    return whole and least <= value <= _MOST[name]


def _separable_arrays(kernel: int, stride: int, depth: int, out: int, bias: bool) -> Shapes:
    shapes: Shapes = {"pointwise": (depth, out)}
    if kernel > 1 or stride > 1:
        shapes["depthwise"] = (kernel, kernel, depth)
    if bias:
        shapes["bias"] = (out,)
    return shapes


def _below(prefix: str, shapes: Shapes) -> Shapes:
    return {f"{prefix}/{name}": shape for name, shape in shapes.items()}


def _half(extra: int) -> int:
    return -(-max(extra, 0) // 2)


def _first_tap(w: Arrays) -> Array:
    """A depthwise kernel that with a stride takes the first of each few positions."""
    return np.ones((1, 1, w["W_ox/pointwise"].shape[0]), np.float32)
