"""MS-SSIM of two 8-bit pictures, in numpy.

Defined as ``tf.image.ssim_multiscale``: 11-tap Gaussian of sigma 1.5, valid windows, K 0.01 and
0.03, five scales, 2x2 means between them (odd sides repeat their last line), product per channel,
mean of channels. Needs 161 pixels a side; a smaller picture gets the scales that fit with their
weights renormalised, and one with a side below 11 is first extended to 11 by mirroring its edge.
"""

from __future__ import annotations

from collections.abc import Iterator

import numpy as np
from numpy.typing import NDArray

WEIGHTS = (0.0448, 0.2856, 0.3001, 0.2363, 0.1333)
_TAPS = 11
_C1 = (0.01 * 255.0) ** 2
_C2 = (0.03 * 255.0) ** 2
_ROWS = 256
"""Rows worked on at a time: bounds memory and stays in the cache."""

Plane = NDArray[np.float32]
_AnyPlane = Plane | NDArray[np.uint8]


def ms_ssim(a: NDArray[np.uint8], b: NDArray[np.uint8]) -> float:
    """MS-SSIM in [0, 1].

    Args:
        a: (H, W) or (H, W, C) uint8.
        b: of the same shape.
    """
    if a.shape != b.shape:
        raise ValueError(f"pictures differ in shape: {a.shape} and {b.shape}")
    channels = range(a.shape[2]) if a.ndim == 3 else [...]
    return float(np.mean([_of_planes(a[..., c], b[..., c]) for c in channels]))


def _of_planes(a: NDArray[np.uint8], b: NDArray[np.uint8]) -> float:
    x: _AnyPlane = _extended(a)
    y: _AnyPlane = _extended(b)
    scales = _scales(min(x.shape))
    weights = np.array(WEIGHTS[:scales]) / sum(WEIGHTS[:scales])
    product = 1.0
    for scale in range(scales):
        structure, whole = _means(x, y)
        product *= max(whole if scale == scales - 1 else structure, 0.0) ** weights[scale]
        x, y = _halved(x), _halved(y)
    return product


def _scales(side: int) -> int:
    """Scales (1 to 5) whose windows fit; halving rounds odd sides up."""
    scales = 1
    while scales < len(WEIGHTS) and -(-side // 2) >= _TAPS:
        side = -(-side // 2)
        scales += 1
    return scales


def _extended(x: NDArray[np.uint8]) -> NDArray[np.uint8]:
    missing = [max(_TAPS - side, 0) for side in x.shape]
    return np.pad(x, [(0, m) for m in missing], mode="symmetric") if any(missing) else x


def _halved(x: _AnyPlane) -> Plane:
    height, width = x.shape
    result = np.empty((-(-height // 2), -(-width // 2)), np.float32)
    for top in range(0, height, 2 * _ROWS):
        rows = x[top : top + 2 * _ROWS].astype(np.float32)
        rows = np.pad(rows, [(0, side % 2) for side in rows.shape], mode="symmetric")
        part = rows[::2, ::2] + rows[1::2, ::2] + rows[::2, 1::2] + rows[1::2, 1::2]
        np.multiply(part, np.float32(0.25), out=result[top // 2 : top // 2 + _ROWS])
    return result


def _gaussian() -> NDArray[np.float32]:
    offsets = np.arange(_TAPS) - _TAPS // 2
    taps = np.exp(-(offsets**2) / (2.0 * 1.5**2))
    return np.asarray(taps / taps.sum(), np.float32)


def _blurred(x: Plane) -> Plane:
    """Gaussian along both axes, valid windows."""
    return _blurred_rows(_blurred_rows(x).T).T


def _blurred_rows(x: Plane) -> Plane:
    taps = _gaussian()
    height = x.shape[0] - _TAPS + 1
    result: Plane = taps[0] * x[:height]
    for i in range(1, _TAPS):
        result += taps[i] * x[i : i + height]
    return result


def _means(x: _AnyPlane, y: _AnyPlane) -> tuple[float, float]:
    """Mean contrast-structure term, and mean of it times the luminance term, over all windows."""
    structures, wholes, count = 0.0, 0.0, 0
    for part_x, part_y in _strips(x, y):
        mu_x, mu_y = _blurred(part_x), _blurred(part_y)
        var_x = _blurred(part_x * part_x) - mu_x * mu_x
        var_y = _blurred(part_y * part_y) - mu_y * mu_y
        covariance = _blurred(part_x * part_y) - mu_x * mu_y
        structure = (2.0 * covariance + _C2) / (var_x + var_y + _C2)
        luminance = (2.0 * mu_x * mu_y + _C1) / (mu_x * mu_x + mu_y * mu_y + _C1)
        structures += float(structure.sum(dtype=np.float64))
        wholes += float((structure * luminance).sum(dtype=np.float64))
        count += structure.size
    return structures / count, wholes / count


def _strips(x: _AnyPlane, y: _AnyPlane) -> Iterator[tuple[Plane, Plane]]:
    for top in range(0, x.shape[0] - _TAPS + 1, _ROWS):
        rows = slice(top, top + _ROWS + _TAPS - 1)
        yield x[rows].astype(np.float32), y[rows].astype(np.float32)
