"""MS-SSIM of two 8-bit pictures, in numpy.

Defined (Wang, Simoncelli, Bovik 2003) as ``tf.image.ssim_multiscale``: 11-tap Gaussian of sigma
1.5, valid windows, K 0.01 and 0.03, five scales, 2x2 means between them (odd sides repeat their
last line), negative terms set to 0, product per channel, mean of channels.

Small pictures. Five scales need 161 pixels a side. A smaller picture gets the scales that leave 11
pixels at the coarsest one, with the first weights divided by their sum; one with a side below 11 is
first extended to 11 by mirroring its edge. Values with different numbers of scales do not compare.
"""

from __future__ import annotations

import functools
from collections.abc import Callable, Iterable, Iterator
from typing import Any

import numpy as np
from numpy.lib.stride_tricks import sliding_window_view
from numpy.typing import NDArray

from rgru_codec.processes import Threads

WEIGHTS = (0.0448, 0.2856, 0.3001, 0.2363, 0.1333)
TAPS = 11
"""Of the Gaussian."""
C1, C2 = (0.01 * 255.0) ** 2, (0.03 * 255.0) ** 2
"""What keeps the terms of luminance, and of contrast and structure, finite."""
_ROWS = 128
_COLUMNS = 512
"""Windows worked on at a time: bounds memory and stays in the cache."""
_BAND = 16
"""Windows along an axis that one matrix product gives; each then has so many more inputs."""

Plane = NDArray[np.uint8] | NDArray[np.uint16]
"""Pixels, or sums of 4, 16, 64 or 256 of them: exact, and half of what float32 takes."""
Pixels = NDArray[np.uint8]
Part = NDArray[np.float32]
_Map = Callable[..., Iterable[Any]]
"""`map`, or what does the same in threads."""


def ms_ssim(a: Pixels, b: Pixels, *, threads: int = 1) -> float:
    """Return the MS-SSIM in [0, 1], in little memory: channel by channel, in tiles.

    Args:
        a: (H, W) or (H, W, C) uint8.
        b: Of the same shape.
        threads: That share the work.

    Raises:
        ValueError: The shapes differ.
    """
    return Original(a, threads).ms_ssim(b)


class Original:
    """A picture that several others are compared with: what is made of it is made once.

    Args:
        pixels: (H, W) or (H, W, C) uint8.
        threads: That share the work.
    """

    def __init__(self, pixels: Pixels, threads: int = 1) -> None:
        self._shape = pixels.shape
        self._threads = threads
        self._channels = [_scales(channel) for channel in _channels(pixels)]

    def ms_ssim(self, other: Pixels, *, least: float = 0.0) -> float:
        """Return the MS-SSIM of another picture in [0, 1], as `rgru_codec.msssim.ms_ssim`.

        Args:
            other: Of the shape of this one.
            least: A value below it need not be exact: what is returned then lies between the two.
                Saves most of the work, since the coarse scales alone often show it.

        Raises:
            ValueError: The shapes differ.
        """
        if other.shape != self._shape:
            raise ValueError(f"pictures differ in shape: {self._shape} and {other.shape}")
        weights = np.array(WEIGHTS[: len(self._channels[0])])
        if len(weights) < len(WEIGHTS):
            weights /= weights.sum()
        products = np.ones(len(self._channels))
        with Threads(self._threads) as pool:
            each: _Map = pool.map if self._threads > 1 else map
            planes = list(zip(self._channels, each(_scales, _channels(other)), strict=True))
            for scale in reversed(range(len(weights))):  # the finest costs most
                last = scale == len(weights) - 1
                for c, (x, y) in enumerate(planes):
                    mean = _mean(x[scale], y[scale], 0.25**scale, last, each)
                    products[c] *= max(mean, 0.0) ** weights[scale]
                if products.mean() < least:  # no term is above 1: finer scales cannot mend it
                    break
        return float(np.minimum(products, 1.0).mean())  # rounding may exceed 1


def _channels(pixels: Pixels) -> list[Pixels]:
    return [pixels] if pixels.ndim == 2 else [pixels[..., c] for c in range(pixels.shape[2])]


def count_scales(height: int, width: int) -> int:
    """Return the scales (1 to 5) that this size in pixels allows; halving rounds odd sides up."""
    side, scales = min(height, width), 1
    while scales < len(WEIGHTS) and -(-side // 2) >= TAPS:
        side = -(-side // 2)
        scales += 1
    return scales


def _scales(x: Pixels) -> list[Plane]:
    """Return a plane at all scales, the finest first."""
    planes: list[Plane] = [_extended(x)]
    for _ in range(count_scales(*planes[0].shape) - 1):
        planes.append(_halved(planes[-1]))
    return planes


def _extended(x: Pixels) -> Pixels:
    missing = [max(TAPS - side, 0) for side in x.shape]
    return np.pad(x, [(0, m) for m in missing], mode="symmetric") if any(missing) else x


def _halved(x: Plane) -> NDArray[np.uint16]:
    """Sums of 2x2 values."""
    height, width = x.shape
    result = np.empty((-(-height // 2), -(-width // 2)), np.uint16)
    for top in range(0, height, 2 * _ROWS):
        rows = x[top : top + 2 * _ROWS].astype(np.uint16)
        rows = np.pad(rows, [(0, side % 2) for side in rows.shape], mode="symmetric")
        pairs = rows[::2] + rows[1::2]
        np.add(pairs[:, ::2], pairs[:, 1::2], out=result[top // 2 : top // 2 + _ROWS])
    return result


@functools.cache
def band(count: int) -> Part:
    """Return the matrix (count, count + 10) that gives Gaussian means of windows in a row."""
    offsets = np.arange(TAPS) - TAPS // 2
    taps = np.exp(-(offsets**2) / (2.0 * 1.5**2))
    matrix = np.zeros((count, count + TAPS - 1), np.float32)
    for i in range(count):
        matrix[i, i : i + TAPS] = taps / taps.sum()
    return matrix


def _blurred(x: Part) -> Part:
    """(n, height, width): Gaussian means along both axes, of whole windows only."""
    count, height, width = x.shape
    down = np.empty((count, height - TAPS + 1, width), np.float32)
    result = np.empty((count, height - TAPS + 1, width - TAPS + 1), np.float32)
    _blur(x, down)
    _blur(down.swapaxes(1, 2), result.swapaxes(1, 2))
    return result


def _blur(x: Part, out: Part) -> None:
    """Put Gaussian means along the second axis of x (n, l + 10, m) into ``out`` (n, l, m)."""
    count, length, width = out.shape
    whole = length - length % _BAND
    if whole:
        bands = sliding_window_view(x, _BAND + TAPS - 1, axis=1)[:, :whole:_BAND].swapaxes(2, 3)
        means = out[:, :whole].reshape(count, -1, _BAND, width)
        np.matmul(band(_BAND), bands, out=means)
    np.matmul(band(length - whole), x[:, whole:], out=out[:, whole:])


def _parts(length: int, size: int) -> Iterator[slice]:
    for first in range(0, length, size):
        yield slice(first, min(first + size, length))


def _mean(x: Plane, y: Plane, unit: float, luminance: bool, each: _Map) -> float:
    """Mean term of contrast and structure over all windows, times that of ``luminance`` if asked.

    ``unit`` is what a value of the planes is worth; ``each`` goes through strips.
    """
    height, width = (side - TAPS + 1 for side in x.shape)

    def total(rows: slice) -> float:
        tiles = [(_reaching(rows), _reaching(columns)) for columns in _parts(width, _COLUMNS)]
        return sum(_sum(x[tile], y[tile], unit, luminance) for tile in tiles)

    return float(sum(each(total, _parts(height, _ROWS))) / (height * width))


def _reaching(windows: slice) -> slice:
    """The values that some windows read."""
    return slice(windows.start, windows.stop + TAPS - 1)


def _sum(x: Plane, y: Plane, unit: float, luminance: bool) -> float:
    """The terms of `_mean`, summed over the windows of a tile.

    With s = x + y and d = x - y, 4 cov(x, y) = var(s) - var(d), 2 (var(x) + var(y)) = var(s) +
    var(d), and so for products of means: two planes and their squares tell all.
    """
    planes = np.empty((4, *x.shape), np.float32)
    np.add(x, y, out=planes[0], dtype=np.float32)
    np.subtract(x, y, out=planes[1], dtype=np.float32)
    np.multiply(planes[:2], planes[:2], out=planes[2:])
    blurred = _blurred(planes)
    means, variances = blurred[:2], blurred[2:]
    means *= means
    variances -= means
    terms = _likeness(variances, 2.0 * C2 / unit**2)
    if luminance:
        terms *= _likeness(means, 2.0 * C1 / unit**2)
    return float(terms.sum(dtype=np.float64))


def _likeness(pair: Part, constant: float) -> Part:
    """(s - d + c) / (s + d + c) of a pair (s, d), which it spoils."""
    of_sum, of_difference = pair
    likeness: Part = of_sum - of_difference
    likeness += np.float32(constant)
    of_sum += of_difference
    of_sum += np.float32(constant)
    likeness /= of_sum
    return likeness
