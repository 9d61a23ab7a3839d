"""A block cosine transform of colours, as starting values for the first convolution.

A network that starts from it sees colour from its first step on; MS-SSIM alone pulls
so weakly on chroma that pictures otherwise stay grey for thousands of steps.
"""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np
from numpy.typing import NDArray

_COLOUR = np.array([[1, 1, 1], [1, 0, -1], [-1, 2, -1]]) / np.sqrt([[3], [2], [6]])
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


def basis(size: int, functions: Sequence[tuple[int, int, int]]) -> NDArray[np.float64]:
    """Return orthonormal cosine functions (size, size, 3, count) of blocks of RGB.

    Each of ``functions`` is (colour, vertical, horizontal frequency).
    """
    k = np.arange(size)
    waves = np.sqrt(2.0 / size) * np.cos(np.pi * (k[None, :] + 0.5) * k[:, None] / size)
    waves[0] /= np.sqrt(2.0)
    listed = [np.einsum("y,x,c->yxc", waves[u], waves[v], _COLOUR[c]) for c, u, v in functions]
    return np.stack(listed, axis=-1)


def analysis_kernel(size: int, count: int) -> NDArray[np.float32]:
    """Return a kernel (size, size, 3, count) for stride ``size``: the transform, whitened.

    Three quarters of the functions are luma, the rest colour; zeros stand where there are no more.
    Amplitudes of photos fall with frequency, roughly as (1 + f)^-1.5, and chroma is weaker than
    luma: factors bring them to about unit variance. Without this the network sees hardly anything
    but block means.
    """
    functions = _functions(size, count)
    factors = [
        2.5 * (1.0 + np.hypot(u, v)) ** 1.5 * (_CHROMA_GAIN if colour else 1.0)
        for colour, u, v in functions
    ]
    kernel = basis(size, functions) / size * factors
    missing = count - len(functions)
    return np.pad(kernel, [(0, 0)] * 3 + [(0, missing)]).astype(np.float32)
