"""How far apart pictures are, and what a quality costs: each formula once, for all rooms."""

from __future__ import annotations

import io
import math

import numpy as np
from numpy.typing import ArrayLike, NDArray

from rgru_codec.msssim import ms_ssim as ms_ssim

LEVELS = 0.9 / 127.5
"""A level of 8 bits as the networks see it: a picture enters as (level - 127.5)·LEVELS
(arXiv 1511.06085)."""
BLOCK = 8
"""Side of the blocks whose mean colour is compared, in pixels."""


def psnr(a: NDArray[np.uint8], b: NDArray[np.uint8]) -> float:
    """Return the peak signal-to-noise ratio over all channels in dB; infinite for equal pictures.

    Args:
        a: uint8, 0..255, any shape.
        b: The same shape.

    Raises:
        ValueError: The shapes differ.
    """
    if a.shape != b.shape:
        raise ValueError(f"pictures differ in shape: {a.shape} and {b.shape}")
    total = 0.0
    for top in range(0, len(a), 256):  # in strips, so that large pictures need no large arrays
        difference = a[top : top + 256].astype(np.int16) - b[top : top + 256]
        total += float(np.square(difference, dtype=np.int32).sum(dtype=np.int64))
    mean = total / a.size
    return 10.0 * math.log10(255.0**2 / mean) if mean else math.inf


def colour_differences(a: NDArray[np.uint8], b: NDArray[np.uint8]) -> NDArray[np.float64]:
    """Return CIEDE2000 between the sRGB means (D65) of each block of 8x8 pixels.

    Needs scikit-image, which the extras ``train`` and ``eval`` bring.

    Args:
        a: uint8 (H, W, 1 or 3); blocks at the right and lower edge may be smaller.
        b: The same shape.

    Returns:
        (rows of blocks, columns of blocks).
    """
    from skimage.color import deltaE_ciede2000, rgb2lab

    down, across = (np.arange(0, side, BLOCK) for side in a.shape[:2])
    sizes = np.outer(np.diff(down, append=a.shape[0]), np.diff(across, append=a.shape[1]))

    def lab(pixels: NDArray[np.uint8]) -> NDArray[np.float64]:
        sums = np.add.reduceat(np.add.reduceat(pixels.astype(np.float64), down), across, axis=1)
        means = sums / sizes[..., None] / 255
        return np.asarray(rgb2lab(np.broadcast_to(means, (*means.shape[:2], 3))))

    return np.asarray(deltaE_ciede2000(lab(a), lab(b)))


def ssimulacra2(a: NDArray[np.uint8], b: NDArray[np.uint8]) -> float:
    """Return SSIMULACRA2 as the package of that name has it; 100 for equal pictures, may be < 0.

    Args:
        a: uint8 (H, W, 1 or 3), sides of at least 8.
        b: The same shape.

    Raises:
        ModuleNotFoundError: The package, which the extra ``eval`` brings, is not installed.
    """
    from PIL import Image
    from ssimulacra2 import compute_ssimulacra2

    files = [io.BytesIO(), io.BytesIO()]  # it reads files only
    for pixels, file in zip((a, b), files, strict=True):
        rgb = np.broadcast_to(pixels, (*pixels.shape[:2], 3))
        Image.fromarray(np.ascontiguousarray(rgb)).save(file, "BMP")
    return float(compute_ssimulacra2(*files))


def decibels(similarity: ArrayLike) -> NDArray[np.float64]:
    """Return MS-SSIM (0..1) as -10·log10(1 - MS-SSIM) in dB; 1 gives infinity.

    Args:
        similarity: A value, or an array of any shape; the result has the same one.
    """
    with np.errstate(divide="ignore"):
        return np.asarray(-10.0 * np.log10(1.0 - np.minimum(similarity, 1.0)))


def rates_at(
    bpp: NDArray[np.float64], quality: NDArray[np.float64], wanted: float
) -> NDArray[np.float64]:
    """Return the bits per pixel at which curves first reach a quality; nan off a curve's ends.

    Between two points the logarithm of the rate is linear in the quality.

    Args:
        bpp: (curves, points) bits per pixel, ascending.
        quality: (curves, points) on a scale on which more is better, such as `decibels`.
        wanted: On the same scale.

    Returns:
        (curves,).
    """
    first = (quality >= wanted).argmax(axis=1)  # 0 too where none is
    rows = np.flatnonzero(first)
    before, after = (rows, first[rows] - 1), (rows, first[rows])
    share = (wanted - quality[before]) / (quality[after] - quality[before])
    rates = np.full(len(bpp), np.nan)
    rates[rows] = bpp[before] * (bpp[after] / bpp[before]) ** share
    return rates
