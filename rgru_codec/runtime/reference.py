"""The networks in numpy: the engine that needs nothing else, and the arbiter of the others.

Products of channels are matrix products, a kernel for each channel a few shifted products. It takes
about twice LiteRT's time (docs/platforms.md), and serves where LiteRT cannot be had.
"""

from __future__ import annotations

import contextlib
from collections.abc import Iterator, Mapping, Sequence

import numpy as np

from rgru_codec.runtime.engine import Source
from rgru_codec.runtime.networks import Network
from rgru_codec.runtime.rect import Rect
from rgru_codec.runtime.weights import Array
from rgru_format.context.exact import exact_products
from rgru_format.errors import OutOfMemory

_VALUES = 1 << 16
"""Values of which a kernel for each channel is worked out at a time, so that they stay at hand."""


class NumpyOps:
    """The operations of :class:`rgru_codec.runtime.layers.Ops`, carried out at once."""

    def conv(self, x: Array, kernel: Array, bias: Array | None, stride: int, relu: bool) -> Array:
        side = kernel.shape[0]
        if side == stride:  # blocks side by side
            blocks = self.space_to_depth(x, side)
            return self.product(blocks, kernel.reshape(-1, kernel.shape[3]), bias, relu)
        rows, columns = (-(-n // stride) for n in x.shape[1:3])
        total: Array = np.zeros((1, rows, columns, kernel.shape[3]), np.float32)
        if bias is not None:
            total += bias
        for (dy, dx), tap in _taps(x, side, stride, rows, columns):
            total += self.product(tap, kernel[dy, dx])
        return np.maximum(total, 0.0, out=total) if relu else total

    def depthwise(self, x: Array, kernel: Array, stride: int) -> Array:
        side, (rows, columns) = kernel.shape[0], (-(-n // stride) for n in x.shape[1:3])
        total = np.empty((1, rows, columns, x.shape[3]), np.float32)
        taps = list(_taps(x, side, stride, rows, columns))
        height = max(_VALUES // (columns * x.shape[3]), 1)
        for top in range(0, rows, height):
            part = total[:, top : top + height]
            product = np.empty_like(part)
            part[...] = 0.0
            for (dy, dx), tap in taps:
                part += np.multiply(tap[:, top : top + height], kernel[dy, dx], out=product)
        return total

    def product(
        self, x: Array, kernel: Array, bias: Array | None = None, relu: bool = False
    ) -> Array:
        y = (x.reshape(-1, x.shape[3]) @ kernel).reshape(*x.shape[:3], -1)
        if bias is not None:
            y += bias
        return np.maximum(y, 0.0, out=y) if relu else y

    add, subtract, tanh, exp = np.add, np.subtract, np.tanh, np.exp

    def multiply(self, a: Array, b: Array | float) -> Array:
        return a * (np.float32(b) if isinstance(b, float) else b)

    def relu(self, x: Array) -> Array:
        return np.maximum(x, np.float32(0.0))

    def sigmoid(self, x: Array) -> Array:
        """1 / (1 + exp(-x)), by the tangent, which knows no overflow."""
        half = np.float32(0.5)
        y: Array = half * np.tanh(half * x)
        y += half
        return y

    def clip(self, x: Array) -> Array:
        return np.clip(x, np.float32(-1.0), np.float32(1.0))

    def join(self, parts: Sequence[Array]) -> Array:
        return np.concatenate(parts, axis=3)

    def depth_to_space(self, x: Array, factor: int) -> Array:
        _, rows, columns, _ = x.shape
        x = x.reshape(1, rows, columns, factor, factor, -1).transpose(0, 1, 3, 2, 4, 5)
        return x.reshape(1, rows * factor, columns * factor, -1)

    def space_to_depth(self, x: Array, factor: int) -> Array:
        rows, columns = (n // factor for n in x.shape[1:3])
        x = x.reshape(1, rows, factor, columns, factor, -1).transpose(0, 1, 3, 2, 4, 5)
        return x.reshape(1, rows, columns, -1)


def _taps(
    x: Array, side: int, stride: int, rows: int, columns: int
) -> Iterator[tuple[tuple[int, int], Array]]:
    """What each tap of a kernel meets, (1, rows, columns, channels); zeros lie around."""
    extra = max(side - stride, 0)
    around = (extra // 2, extra - extra // 2)
    padded = np.pad(x, ((0, 0), around, around, (0, 0))) if extra else x
    for dy, dx in np.ndindex(side, side):
        down = slice(dy, dy + (rows - 1) * stride + 1, stride)
        yield (dy, dx), padded[:, down, dx : dx + (columns - 1) * stride + 1 : stride]


class Reference:
    """An engine in numpy.

    Args:
        network: what it carries out.
        threads: 1 keeps numpy's matrix products to one; otherwise they use what numpy uses.
    """

    def __init__(self, network: Network, threads: int) -> None:
        self.network = network
        self._alone = exact_products if threads == 1 else contextlib.nullcontext
        self.pixels = 0

    @contextlib.contextmanager
    def step(self, sources: Mapping[str, Source], window: Rect) -> Iterator[Mapping[str, Array]]:
        """See :class:`rgru_codec.runtime.engine.Engine`."""
        self.pixels = window.height * window.width
        ports = self.network.inputs.items()
        try:
            with self._alone():
                inputs = {name: np.empty(port.shape(window), np.float32) for name, port in ports}
                for name, values in inputs.items():
                    sources[name](window, values)
                outputs = self.network.run(NumpyOps(), inputs)
        except MemoryError:
            raise OutOfMemory(f"a window of {window.width}x{window.height} pixels") from None
        yield outputs
