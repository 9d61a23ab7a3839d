"""The codes in a file, layer by layer."""

from __future__ import annotations

from collections.abc import Iterable

import numpy as np
from numpy.typing import NDArray

from rgru_codec.models import default_model
from rgru_format import CodesDecoder, GroupRead, inspect

Codes = NDArray[np.int8]
"""(rows, columns, channels), -1 and 1 (SPEC 7.1)."""


def layers_of(data: bytes) -> list[Codes]:
    """Return the codes of every layer of a whole file of the default model."""
    contents = inspect(data)
    return decode_groups(contents.groups, contents.header.grid)


def decode_groups(groups: Iterable[GroupRead], grid: tuple[int, int]) -> list[Codes]:
    """Return the codes of every layer.

    Args:
        groups: all of a file, in order.
        grid: rows and columns of codes.
    """
    decoder, layers = CodesDecoder(default_model().context(), *grid), []
    for group in groups:
        decoder.decode(group)
        if decoder.group == 0 and decoder.last is not None:
            layers.append(decoder.last)
    return layers
