"""What a network costs, from its description: multiply-adds, and values alive at once."""

from __future__ import annotations

import dataclasses
import functools
from collections.abc import Sequence
from fractions import Fraction

from rgru_codec.runtime.networks import Network
from rgru_codec.runtime.weights import Array


@dataclasses.dataclass
class Footprint:
    """Everything a pixel."""

    macs: Fraction = Fraction(0)
    """Multiply-adds of kernels."""
    most: Fraction = Fraction(0)
    """Most values that a step needs at once, what goes in and comes out included."""
    alive: Fraction = Fraction(0)
    """Values that somebody holds at the moment."""


class _Tensor:
    """A tensor that knows its size only; its values are alive as long as somebody holds it."""

    def __init__(self, total: Footprint, spacing: Fraction, channels: int) -> None:
        self.total, self.spacing, self.channels = total, spacing, channels
        self.values = channels / spacing**2
        total.alive += self.values
        total.most = max(total.most, total.alive)

    def __del__(self) -> None:
        self.total.alive -= self.values

    def after(self, channels: int, scale: Fraction = Fraction(1), taps: int = 0) -> _Tensor:
        """What an operation of so many multiply-adds a value makes of it."""
        result = _Tensor(self.total, self.spacing * scale, channels)
        self.total.macs += taps * result.values
        return result


class _SizeOps:
    """The operations of :class:`rgru_codec.runtime.layers.Ops` on sizes alone."""

    def conv(
        self, x: _Tensor, kernel: Array, bias: Array | None, stride: int, relu: bool
    ) -> _Tensor:
        return x.after(kernel.shape[3], Fraction(stride), kernel[..., 0].size)

    def depthwise(self, x: _Tensor, kernel: Array, stride: int) -> _Tensor:
        return x.after(x.channels, Fraction(stride), kernel[..., 0].size)

    def product(
        self, x: _Tensor, kernel: Array, bias: Array | None = None, relu: bool = False
    ) -> _Tensor:
        return x.after(kernel.shape[1], taps=kernel.shape[0])

    def add(self, a: _Tensor, b: _Tensor) -> _Tensor:
        return a.after(a.channels)

    def multiply(self, a: _Tensor, b: _Tensor | float) -> _Tensor:
        return a.after(a.channels)

    def relu(self, x: _Tensor) -> _Tensor:
        return x.after(x.channels)

    subtract = add
    sigmoid = tanh = exp = clip = relu

    def join(self, parts: Sequence[_Tensor]) -> _Tensor:
        return parts[0].after(sum(part.channels for part in parts))

    def depth_to_space(self, x: _Tensor, factor: int) -> _Tensor:
        return x.after(x.channels // factor**2, Fraction(1, factor))

    def space_to_depth(self, x: _Tensor, factor: int) -> _Tensor:
        return x.after(x.channels * factor**2, Fraction(factor))


@functools.lru_cache(maxsize=64)
def footprint(network: Network) -> Footprint:
    """The cost of a step of a network."""
    total = Footprint()
    inputs = {
        name: _Tensor(total, Fraction(port.spacing), port.channels)
        for name, port in network.inputs.items()
    }
    network.run(_SizeOps(), inputs)
    return total
