"""Networks in a form that runs faster and gives the same."""

from __future__ import annotations

import dataclasses
from typing import ClassVar, TypeVar

import numpy as np

from rgru_codec.runtime.layers import Conv, DepthToSpace, Layer, Ops, Picture, Stack, under
from rgru_codec.runtime.weights import Array, Arrays
from rgru_format.context.exact import reserve
from rgru_format.limits import POSITION

T = TypeVar("T")


@dataclasses.dataclass(frozen=True)
class _PictureSum(Picture):
    """Products of the linear path's picture are added; stands in no model's table."""

    kind: ClassVar[str] = "picture_sum"

    def depth_after(self, depth: int, spacing: int) -> int:
        return depth

    def joined(self, ops: Ops[T], w: Arrays, x: T, picture: T) -> T:
        return ops.add(x, ops.product(picture, w["kernel"][0, 0], w["bias"]))


def folded(painter: Stack, arrays: Arrays) -> tuple[Stack, Arrays]:
    """A painter that gives the same by fewer products, with less that goes through memory.

    Where features come from a product and :class:`DepthToSpace`, the picture joins them, and
    another product follows, both products are one for the features.

    Args:
        painter: layers that begin where the codes are.
        arrays: with all that belong to them.

    Returns:
        Its layers, the same if nothing can be folded, and their arrays.
    """
    rows = [(layer, under(arrays, name)) for name, layer in painter.named()]
    for i in range(len(rows) - 3):
        (first, a), (apart, _), (joined, _), (second, b) = rows[i : i + 4]
        if not (isinstance(apart, DepthToSpace) and isinstance(joined, Picture)):
            continue
        if not (_is_product(first) and _is_product(second)):
            continue
        own = a["bias"].size // apart.factor**2
        of_features, of_picture = np.split(b["kernel"], [own], axis=2)
        both = {name: _after(array, of_features[0, 0]) for name, array in a.items()}
        wide = Conv(both["bias"].size)
        rest = {"kernel": of_picture, "bias": b["bias"]}
        rows[i : i + 4] = [(wide, both), (apart, {}), (_PictureSum(), rest)]
        break
    made = Stack(painter.letter, [layer for layer, _ in rows], painter.entering, POSITION)
    named = zip(made.named(), rows, strict=True)
    return made, {f"{name}/{part}": x for (name, _), (_, w) in named for part, x in w.items()}


def on_squares(encoder: Stack, arrays: Arrays) -> tuple[Stack, Arrays]:
    """An encoder that takes squares of a picture as channels, the pixels of each side by side.

    Where the windows of its first convolution do not overlap, that is a product then: XNNPACK
    carries products out faster, and needs no list of where each tap of each window lies.

    Args:
        encoder: layers that begin with a picture.
        arrays: with all that belong to them.

    Returns:
        Its layers, for squares of 1x1 if the convolution is another one, and their arrays.
    """
    first = encoder.layers[0]
    if type(first) is not Conv or first.kernel != first.stride:
        return encoder, arrays
    side, name = first.stride, f"{encoder.first}/kernel"
    product = dataclasses.replace(first, kernel=1, stride=1)
    made = Stack(encoder.letter, [product, *encoder.layers[1:]], 3 * side**2, side)
    return made, {**arrays, name: arrays[name].reshape(1, 1, -1, first.depth)}


def _is_product(layer: Layer) -> bool:
    """Whether it is one, with a bias and nothing after it."""
    return type(layer) is Conv and layer == Conv(layer.depth)


def _after(array: Array, kernel: Array) -> Array:
    """An array (..., n·C) of a product, each C followed by a kernel (C, D): (..., n·D)."""
    reserve()
    apart = array.reshape(*array.shape[:-1], -1, len(kernel))
    return (apart @ kernel).reshape(*array.shape[:-1], -1)
