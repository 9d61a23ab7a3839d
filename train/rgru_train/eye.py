"""SSIMULACRA2's sum of errors, with a gradient: what MS-SSIM does not see of edges and colours.

As the metric's reference defines it (Sneyers, github.com/cloudinary/ssimulacra2, 2.1): XYB planes
at several scales; of each the structural error, edges that came and edges that went, by their mean
and by their 4-norm. Left out are terms that weigh under .01, windows that reach over the border,
every second window along both axes at the two finest scales, and what turns the sum into a score.
"""

from __future__ import annotations

import numpy as np
from keras import ops

from rgru_train.losses import at_scales, structure_of
from rgru_train.nets.module import Tensor

_ABSORBANCE = np.array(
    [
        [0.30, 0.622, 0.078],
        [0.23, 0.692, 0.078],
        [0.24342268924547819, 0.20476744424496821, 0.5518098665095536],
    ],
    np.float32,
)
_BIAS = 0.0037930732552754493
_C2 = 0.0009
_MARGIN = 5
"""Pixels between a picture's border and the middle of its first window."""

_WEIGHTS = (
    {  # X; scale: (means of structure, came, went; their 4-norms)
        1: (0.0, 0.0, 0.0, 1.104, 0.0, 0.0),
        2: (0.0, 0.0, 0.0, 1.842, 11.44, 0.0),
        3: (0.0, 0.0, 0.0, 1.879, 10.95, 0.0),
        4: (0.0, 0.968, 0.0, 0.0, 0.998, 0.0),
    },
    {  # Y
        0: (0.0, 0.0, 0.0, 7.467, 0.0, 17.45),
        1: (0.0, 0.0, 0.0, 6.684, 0.0, 1.028),
        2: (225.2, 0.0, 0.0, 19.21, 0.0, 0.0),
        3: (176.4, 0.0, 0.0, 24.43, 0.285, 0.0),
        4: (0.0, 0.0, 0.0, 34.78, 44.84, 0.0),
    },
    {  # B - Y
        3: (0.0, 0.0, 0.0, 8.827, 23.19, 0.0),
        4: (95.11, 0.986, 0.983, 0.0, 171.3, 0.981),
    },
)


def ssimulacra2_error(pictures: Tensor, target: Tensor) -> Tensor:
    """Return the weighted sum of errors of pictures against one target: (T, B), 0 for none.

    Args:
        pictures: planes (T, H, 4, B, W) as of ``losses.planes``, in levels.
        target: planes (1, H, 4, B, W).
    """
    total = 0.0
    planes = at_scales(_linear(pictures), _linear(target), sampled=True)
    for scale, (x, y, apart) in enumerate(planes):
        maps = _errors(_xyb(x), _xyb(y), apart)
        weights = np.array([row.get(scale, (0.0,) * 6) for row in _WEIGHTS], np.float32).T
        for norm, three in ((_mean, weights[:3]), (_norm, weights[3:])):
            for errors, weight in zip(maps, three, strict=True):
                if weight.any():
                    total += ops.sum(norm(errors) * weight[:, None], axis=1)
    return total


def _linear(pictures: Tensor) -> Tensor:
    """Light, 0 to 1, of the planes R, G and B."""
    value = ops.clip(pictures[:, :, :3], 0.0, 255.0) / 255.0
    bent = ops.power((ops.maximum(value, 0.04045) + 0.055) / 1.055, 2.4)
    return ops.where(value <= 0.04045, value / 12.92, bent)


def _xyb(light: Tensor) -> Tensor:
    """X, Y and B - Y in the metric's positive ranges."""
    r, g, b = ops.unstack(light, axis=2)
    cone = [
        ops.power(row[0] * r + row[1] * g + row[2] * b + _BIAS, 1.0 / 3.0) - _BIAS ** (1.0 / 3.0)
        for row in _ABSORBANCE.tolist()
    ]
    x, y = 0.5 * (cone[0] - cone[1]), 0.5 * (cone[0] + cone[1])
    return ops.stack([14.0 * x + 0.42, y + 0.01, cone[2] - y + 0.55], axis=2)


def _errors(x: Tensor, y: Tensor, apart: int) -> list[Tensor]:
    """Maps of three errors: of structure, edges that came, edges that went."""
    structure, mu_x, mu_y = structure_of(x, y, apart, _C2)
    loss = ops.maximum(1.0 - structure * (1.0 - ops.square(mu_x - mu_y)), 0.0)
    edges = _edges(x, mu_x, apart) / _edges(y, mu_y, apart) - 1.0
    return [loss, ops.maximum(edges, 0.0), ops.maximum(-edges, 0.0)]


def _edges(x: Tensor, mu: Tensor, apart: int) -> Tensor:
    rows, columns = mu.shape[1], mu.shape[-1]
    stop_y, stop_x = _MARGIN + apart * (rows - 1) + 1, _MARGIN + apart * (columns - 1) + 1
    return 1.0 + ops.abs(x[:, _MARGIN:stop_y:apart, ..., _MARGIN:stop_x:apart] - mu)


def _mean(errors: Tensor) -> Tensor:
    """Mean over rows and columns."""
    return ops.mean(errors, axis=[1, 4])


def _norm(errors: Tensor) -> Tensor:
    """4-norm over rows and columns."""
    fourth = ops.mean(ops.square(ops.square(errors)), axis=[1, 4])
    return ops.sqrt(ops.sqrt(fourth + 1e-16))
