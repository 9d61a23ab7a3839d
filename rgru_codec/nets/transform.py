"""A block cosine transform of colours, as starting values for the first and last convolutions.

A network that starts from it sees and paints colour from its first step on; MS-SSIM alone pulls
so weakly on chroma that pictures otherwise stay grey for thousands of steps.
"""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray

# Orthonormal luma and two colour differences of R, G, B.
_COLOUR = np.array(
    [
        [1 / np.sqrt(3), 1 / np.sqrt(3), 1 / np.sqrt(3)],
        [1 / np.sqrt(2), 0.0, -1 / np.sqrt(2)],
        [-1 / np.sqrt(6), 2 / np.sqrt(6), -1 / np.sqrt(6)],
    ]
)
_CHROMA_SHARE = 0.25
"""Share of the basis functions that go to the two colour differences together."""


def dct_basis(size: int, count: int) -> NDArray[np.float64]:
    """The ``count`` lowest orthonormal basis functions of a size x size block of RGB.

    Returns:
        Array (size, size, 3, count), rows orthonormal: three quarters luma, the rest colour.
    """
    k = np.arange(size)
    waves = np.sqrt(2.0 / size) * np.cos(np.pi * (k[None, :] + 0.5) * k[:, None] / size)
    waves[0] /= np.sqrt(2.0)
    order = sorted(((u, v) for u in range(size) for v in range(size)), key=lambda f: f[0] ** 2 + f[1] ** 2)
    chroma = min(round(count * _CHROMA_SHARE / 2), size * size)
    shares = [min(count - 2 * chroma, size * size), chroma, chroma]
    functions = [
        np.einsum("y,x,c->yxc", waves[u], waves[v], _COLOUR[colour])
        for colour, share in enumerate(shares)
        for u, v in order[:share]
    ]
    basis = np.zeros((size, size, 3, count))
    basis[..., : len(functions)] = np.stack(functions, axis=-1)
    return basis


def analysis_kernel(size: int, count: int) -> NDArray[np.float32]:
    """Kernel (size, size, 3, count) of a convolution with stride ``size``: the transform.

    Scaled by 1/size so that outputs have about the range of the picture.
    """
    return (dct_basis(size, count) / size).astype(np.float32)


def synthesis_kernel(kernel: int, size: int, count: int) -> NDArray[np.float32]:
    """Kernel (kernel, kernel, count, 3·size²) of a convolution before depth-to-space: the inverse.

    Only the middle tap is used; the others start at zero.
    """
    inverse = dct_basis(size, count).reshape(3 * size * size, count).T * size
    weights = np.zeros((kernel, kernel, count, 3 * size * size), np.float32)
    weights[kernel // 2, kernel // 2] = inverse
    return weights
