"""Pictures as numpy arrays: imread and imwrite."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from rgru_codec.decoder import decompress
from rgru_codec.encoder import compress
from rgru_codec.source import Source
from rgru_format import Limits


def imread(
    source: Source,
    layers: int | None = None,
    *,
    limits: Limits | None = None,
    threads: int | None = None,
) -> NDArray[np.uint8]:
    """The pixels of a file.

    Args:
        source: path, open file, or bytes.
        layers: use at most so many layers; by default all that are there.
        limits: what the file may ask for.
        threads: of the inference engine; by default all cores.

    Returns:
        uint8 (H, W) if grey, (H, W, 3) in the order red, green, blue (OpenCV has them the other
        way round: ``[..., ::-1]``), with alpha (H, W, 2) or (H, W, 4).

    Raises:
        RgruError: as :func:`rgru_codec.decompress`.
        OSError: the file cannot be read.
    """
    return np.array(decompress(source, layers, limits=limits, threads=threads))


def imwrite(path: str | Path, pixels: NDArray[np.uint8], **options: Any) -> int:
    """Compress an array to a file.

    Args:
        path: of the file; one that exists is replaced once all is done.
        pixels: as :func:`imread` returns them.
        **options: as :func:`rgru_codec.compress`: ``quality``, ``layers``, ``target_size`` ...

    Returns:
        Size of the file in bytes.

    Raises:
        RgruError: as :func:`rgru_codec.compress`.
        OSError: the file cannot be written; nothing is left of it.
    """
    from rgru_codec.files import write_file

    data = compress(pixels, **options)
    write_file(path, data)
    return len(data)
