"""The loop of the paper on the exported networks: residuals to codes, codes to pictures.

R[0] = I; b_t = B(E(r_{t-1})); P_t from D(b_t); r_t = I - P_t (arXiv 1608.05148, equations 1-3).
States are carried over. Pictures are (1, H, W, 3) float32 in [-0.9, 0.9], H and W padded to the
stride; codes are (rows, columns, C_t) int8.
"""

from __future__ import annotations

from collections.abc import Iterator

import numpy as np
from numpy.typing import NDArray

from rgru_codec.models import Model
from rgru_codec.runtime.litert import Array, Network

LEVELS = 0.9 / 127.5
"""A level of 8 bits, as the networks see it."""

Pixels = NDArray[np.uint8]
Codes = NDArray[np.int8]


def to_network(pixels: Pixels, stride: int) -> Array:
    """(H, W, 3) uint8 to (1, H', W', 3), edges repeated up to multiples of ``stride``."""
    height, width = pixels.shape[:2]
    padding = ((0, -height % stride), (0, -width % stride), (0, 0))
    padded = np.pad(pixels, padding, mode="edge").astype(np.float32)
    padded -= 127.5
    padded *= LEVELS
    return padded[None]


def to_pixels(picture: Array, height: int, width: int) -> Pixels:
    """(1, H', W', 3) to (H, W, 3) uint8: clipped, rounded, cut."""
    levels = picture[0, :height, :width] * np.float32(1.0 / LEVELS)
    levels += 128.0  # 127.5, and a half for rounding
    return np.clip(levels, 0.0, 255.0, out=levels).astype(np.uint8)


class Painter:
    """The decoder's side: takes codes layer by layer and keeps states and picture."""

    def __init__(self, model: Model, height: int, width: int, threads: int | None = None) -> None:
        self.model = model
        rows, columns = model.grid(height, width)
        self.height, self.width = rows * model.stride, columns * model.stride
        self.layers = 0
        self.picture: Array = np.zeros((1, self.height, self.width, 3), np.float32)
        self._decoder = Network(model, "decoder", threads)
        self._head = Network(model, "head", threads)
        self._states = [
            np.zeros((1, self.height // s, self.width // s, c), np.float32)
            for s, c in self._decoder.shape.inputs[1:]
        ]
        self._unpainted: tuple[Array, Array] | None = None

    def add_layer(self, codes: Codes | Array) -> None:
        """Run D on the codes of the next layer, (rows, columns, C_t)."""
        full = self._full(codes)
        features, self._states = self._step(full)
        if self.model.reconstruction == "additive":
            self.picture = self._painted(features, full, self.layers)
        else:
            self._unpainted = features, full
        self.layers += 1

    def preview(self, codes: Codes | Array) -> Array:
        """The picture that codes (or their expectation) would give; nothing is kept of them."""
        full = self._full(codes)
        features, _ = self._step(full)
        return self._painted(features, full, self.layers)

    def show(self) -> Array:
        """The picture so far, (1, H', W', 3); its owner is this object."""
        if self._unpainted is not None:  # one-shot: the head runs for what is shown, only
            self.picture = self._painted(*self._unpainted, self.layers - 1)
            self._unpainted = None
        return self.picture

    def _full(self, codes: Codes | Array) -> Array:
        """(1, rows, columns, C): channels that the layer does not use are zero."""
        channels = self._decoder.shape.inputs[0][1]
        full = np.zeros((1, *codes.shape[:2], channels), np.float32)
        full[0, :, :, : codes.shape[2]] = codes
        return full

    def _step(self, full: Array) -> tuple[Array, list[Array]]:
        features, *states = self._decoder.run([full, *self._states], self.height, self.width)
        return features, states

    def _painted(self, features: Array, full: Array, iteration: int) -> Array:
        inputs = [features, full][: len(self._head.shape.inputs)]
        (delta,) = self._head.run(inputs, self.height, self.width)
        if self.model.reconstruction == "additive":
            delta *= np.float32(1.0 / self.model.gains[iteration])
            delta += self.picture
        return delta


def encode(
    model: Model, pixels: Pixels, threads: int | None = None
) -> Iterator[tuple[Codes, Painter]]:
    """Iterate: codes of each layer, and the painter that has seen them.

    Args:
        model: the model package.
        pixels: (H, W, 3) uint8.
        threads: of the inference engine; by default all cores.

    Yields:
        Codes (rows, columns, C_t) in {-1, +1} and the painter holding P_t.
    """
    picture = to_network(pixels, model.stride)
    painter = Painter(model, pixels.shape[0], pixels.shape[1], threads)
    encoder = Network(model, "encoder", threads)
    height, width = painter.height, painter.width
    states = [
        np.zeros((1, height // s, width // s, c), np.float32) for s, c in encoder.shape.inputs[1:]
    ]
    for iteration, count in enumerate(model.codes):
        residual = picture - painter.show()
        residual *= np.float32(model.gains[iteration])
        output, *states = encoder.run([residual, *states], height, width)
        codes = np.where(output[0, :, :, :count] < 0, -1, 1).astype(np.int8)
        painter.add_layer(codes)
        yield codes, painter
