"""A block cosine transform of colours, as starting values for the first convolution.

A network that starts from it sees colour from its first step on; MS-SSIM alone pulls
so weakly on chroma that pictures otherwise stay grey for thousands of steps.
"""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray

COLOUR = np.array(
    [
        [1 / np.sqrt(3), 1 / np.sqrt(3), 1 / np.sqrt(3)],
        [1 / np.sqrt(2), 0.0, -1 / np.sqrt(2)],
        [-1 / np.sqrt(6), 2 / np.sqrt(6), -1 / np.sqrt(6)],
    ]
)
"""Orthonormal luma and two colour differences (rows) of R, G, B."""
_CHROMA_SHARE = 0.25
"""Share of the basis functions that go to the two colour differences together."""
_CHROMA_GAIN = 2.0


def _functions(size: int, count: int) -> list[tuple[int, int, int]]:
    """(colour, vertical, horizontal frequency) of the basis functions, lowest first per colour."""
    grid = [(u, v) for u in range(size) for v in range(size)]
    order = sorted(grid, key=lambda f: f[0] ** 2 + f[1] ** 2)
    chroma = min(round(count * _CHROMA_SHARE / 2), size * size)
    shares = [min(count - 2 * chroma, size * size), chroma, chroma]
    return [(c, u, v) for c, share in enumerate(shares) for u, v in order[:share]]


def cosines(size: int) -> NDArray[np.float64]:
    """Return orthonormal cosine functions (size, size), one a row, lowest frequency first."""
    k = np.arange(size)
    waves = np.sqrt(2.0 / size) * np.cos(np.pi * (k[None, :] + 0.5) * k[:, None] / size)
    waves[0] /= np.sqrt(2.0)
    return np.asarray(waves)


def dct_basis(size: int, count: int) -> NDArray[np.float64]:
    """Return the ``count`` lowest orthonormal basis functions of a size x size block of RGB.

    Returns:
        Array (size, size, 3, count), rows orthonormal: three quarters luma, the rest colour.
    """
    waves = cosines(size)
    functions = [
        np.einsum("y,x,c->yxc", waves[u], waves[v], COLOUR[colour])
        for colour, u, v in _functions(size, count)
    ]
    basis = np.zeros((size, size, 3, count))
    basis[..., : len(functions)] = np.stack(functions, axis=-1)
    return basis


def whitening(size: int, count: int) -> NDArray[np.float64]:
    """Return (count,) factors that bring the transform of photos to about unit variance.

    Amplitudes of photos fall with frequency, roughly as (1 + f)^-1.5, and chroma is weaker than
    luma. Without this the network sees hardly anything but block means.
    """
    factors = np.ones(count)
    for i, (colour, u, v) in enumerate(_functions(size, count)):
        factors[i] = 2.5 * (1.0 + np.hypot(u, v)) ** 1.5 * (_CHROMA_GAIN if colour else 1.0)
    return factors


def analysis_kernel(size: int, count: int) -> NDArray[np.float32]:
    """Return a kernel (size, size, 3, count) for stride ``size``: the transform, whitened."""
    return (dct_basis(size, count) / size * whitening(size, count)).astype(np.float32)
