"""Pictures as numpy arrays: imread and imwrite."""

from __future__ import annotations

import os
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from rgru_codec.encoder import compress
from rgru_codec.source import Source, as_path
from rgru_codec.whole import decompress
from rgru_format import InvalidInput, Limits


def imread(
    source: Source,
    layers: int | None = None,
    *,
    limits: Limits | None = None,
    threads: int | None = None,
) -> NDArray[np.uint8]:
    """Read the pixels of a file.

    Args:
        source: A path, an open file, or bytes.
        layers: Use at most so many layers; by default all that are there.
        limits: What the file may ask for.
        threads: Of the inference engine; by default all cores.

    Returns:
        uint8 (H, W) if grey, (H, W, 3) in the order red, green, blue (OpenCV has them the other
        way round: ``[..., ::-1]``), with alpha (H, W, 2) or (H, W, 4).

    Raises:
        RgruError: As `rgru_codec.decompress`.
        OSError: The file cannot be read.
    """
    return np.array(decompress(source, layers, limits=limits, threads=threads))


def imwrite(path: str | Path, pixels: NDArray[np.uint8], **options: Any) -> int:
    """Compress an array to a file.

    Args:
        path: Of the file; one that exists is replaced once all is done. Its suffix is that of
            .rgru files, or none that another picture format has.
        pixels: As `imread` returns them.
        **options: As `rgru_codec.compress`: ``quality``, ``layers``, ``target_size`` ...

    Returns:
        Size of the file in bytes.

    Raises:
        InvalidInput: The name is that of a picture of another format.
        RgruError: As `rgru_codec.compress`.
        OSError: The file cannot be written; nothing is left of it.
    """
    from rgru_codec.files import PICTURE_SUFFIXES, write_file

    if not isinstance(path, str | os.PathLike):
        raise InvalidInput(f"path must be a name, got {type(path).__name__}")
    suffix = as_path(path).suffix.lower()
    if suffix in PICTURE_SUFFIXES:
        raise InvalidInput(f"{path}: imwrite writes .rgru files, not {suffix}; use Pillow for that")
    data = compress(pixels, **options)
    write_file(path, data)
    return len(data)
