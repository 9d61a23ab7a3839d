"""A whole context model: its layers and the table of probabilities (SPEC sections 7.2 and 7.6)."""

from __future__ import annotations

import dataclasses
import hashlib
import math

import numpy as np
from numpy.typing import NDArray

from rgru_format.context import file
from rgru_format.context.weights import LOGIT_RANGE, LayerWeights, check_layer
from rgru_format.errors import Damaged, InvalidInput
from rgru_format.limits import MAX_LAYERS


@dataclasses.dataclass(frozen=True, eq=False)
class ContextModel:
    """All integers of a context model.

    Raises:
        InvalidInput: shapes or types that do not fit together, a table that SPEC forbids, or a
            sum that could leave the exact range.
    """

    layers: tuple[LayerWeights, ...]
    table: NDArray[np.uint16]
    """(353,): P(code = +1) in 65536ths for each logit; see ``sigmoid_table``."""

    def __post_init__(self) -> None:
        """Check everything, so that every model in memory is a valid one."""
        if not 1 <= len(self.layers) <= MAX_LAYERS:
            raise InvalidInput(f"a model has 1..{MAX_LAYERS} layers, got {len(self.layers)}")
        _check_table(self.table)
        for t, layer in enumerate(self.layers, start=1):
            check_layer(t, layer, self.states, self.hidden)

    @property
    def states(self) -> int:
        """Channels K of the state."""
        return int(self.layers[0].B.shape[0])

    @property
    def hidden(self) -> int:
        """Hidden channels M."""
        return int(self.layers[0].U.shape[3])

    @property
    def codes(self) -> tuple[int, ...]:
        """Codes a position has, for each layer."""
        return tuple(layer.codes for layer in self.layers)

    @property
    def groups(self) -> tuple[int, ...]:
        """Groups of each layer."""
        return tuple(len(layer.passes) for layer in self.layers)

    @property
    def phases(self) -> tuple[int, ...]:
        """Phases of each layer."""
        return tuple(layer.phases for layer in self.layers)

    def to_bytes(self) -> bytes:
        """Return the content of ``context.bin`` (SPEC section 7.6)."""
        return file.pack(self.layers, self.table)

    @classmethod
    def from_bytes(cls, data: bytes) -> ContextModel:
        """Read the content of a ``context.bin``.

        Raises:
            Damaged: the data is no valid context model.
        """
        try:
            return cls(*file.parse(data))
        except InvalidInput as error:
            raise Damaged(f"context model: {error}") from None

    def digest(self) -> bytes:
        """Return the SHA-256 of ``to_bytes()``, 32 bytes."""
        return hashlib.sha256(self.to_bytes()).digest()


def sigmoid_table() -> NDArray[np.uint16]:
    """Return the usual table, round(65536 / (1 + exp(-i / 16))) for i = -176 .. 176.

    For the export of a model only: a decoder takes the table that the model file holds.
    """
    values = [65536.0 / (1.0 + math.exp(-i / 16)) for i in range(-LOGIT_RANGE, LOGIT_RANGE + 1)]
    return np.array([min(max(round(value), 1), 65535) for value in values], np.uint16)


def _check_table(table: NDArray[np.uint16]) -> None:
    if table.dtype != np.uint16 or table.shape != (file.TABLE_SIZE,):
        raise InvalidInput(f"the table must be uint16 ({file.TABLE_SIZE},)")
    if table.min() < 1:
        raise InvalidInput("the table holds a probability of 0")
    if (table[1:] < table[:-1]).any():
        raise InvalidInput("the table must not decrease")
