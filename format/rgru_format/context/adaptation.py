"""What the context model learns of a picture while its codes are coded (SPEC section 7.7).

A context model is trained on many pictures; one picture has its own statistics. Encoder and
decoder correct each channel's logit x to x + shift + slope * x, and after each chunk of codes take
a step of Newton's method towards the shift and the slope that make the codes cheapest.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence

import numpy as np
from numpy.typing import NDArray

from rgru_format.context.evaluator import Codes, Evaluator, Indices, with_partners
from rgru_format.context.exact import exact_products
from rgru_format.context.order import chunk_size, turns
from rgru_format.context.weights import LOGIT_RANGE, LayerWeights

_ONE = 2**16
"""Probabilities, and what is derived from them, are in 65536ths."""
_UNIT = 2**12
"""Slopes are in 4096ths, shifts in 4096ths of a sixteenth."""
_BLOCK = 2**13
"""Codes worked on at a time: so many stay in the cache."""
# Of shift and slope:
_START = np.array([[20 * 2**16], [50 * 2**24]], np.int64)
"""Fisher information that stands for the start."""
_KEPT = np.array([[200 * 2**16], [1000 * 2**24]], np.int64)
"""The most information that is kept of the past."""
_BOUND = np.array([[LOGIT_RANGE * _UNIT], [_UNIT]], np.int64)

Entries = NDArray[np.int32]
"""Entries of the probability table, 0 .. 352, one for each code."""
Code = Callable[[Codes, Entries], None]
"""Takes codes (positions, channels) and their entries; a decoder sets the codes."""


class Adaptation:
    """Shift and slope of each channel of a group, learned from its codes in one layer.

    Args:
        table: the probabilities of the context model.
        channels: of the group.
        learns: whether it does; without, the logits stay as the networks say.
    """

    def __init__(self, table: NDArray[np.uint16], channels: int, learns: bool = True) -> None:
        chance = table.astype(np.int64)
        # For each table entry, first of codes -1 and then of codes +1: 65536 * bit - k, and the
        # variance of the bit. Sums of these stay far below 2**53, so that float64 adds them
        # exactly in any order.
        self._errors = np.concatenate([-chance, _ONE - chance]).astype(np.float64)
        self._variances = np.tile(chance * (_ONE - chance) // _ONE, 2).astype(np.float64)
        self._entries = len(table)
        self._learns = learns
        self.learned = np.zeros((2, channels), np.int64)
        """Shift, in 4096ths of a sixteenth, and slope, in 4096ths."""
        self._information = np.repeat(_START, channels, axis=1)
        self._positions = 0
        self._prepare_for_entries()

    @property
    def chunk(self) -> int:
        """How many positions the next chunk has, if so many are left in the phase."""
        return chunk_size(self._positions)

    def corrected(self, index: Indices, channels: slice) -> Entries:
        """Return the table entries to use.

        Args:
            index: (positions, channels), what the networks say.
            channels: which of the group.
        """
        entries = index.astype(np.int32)
        moved = entries * self._slope[channels]
        moved += self._offset[channels]
        moved >>= 12
        entries += moved
        np.maximum(entries, 0, out=entries)
        return np.minimum(entries, 2 * LOGIT_RANGE, out=entries)

    def learn(self, index: Indices, used: Entries, codes: Codes) -> None:
        """Take a step after a chunk.

        Args:
            index: (positions, channels of the group), what the networks said.
            used: the same, corrected.
            codes: the same, each -1 or +1.
        """
        self._positions += len(index)
        if not self._learns:
            return
        sums = np.zeros((2, 2, index.shape[1]))
        rows = max(_BLOCK // index.shape[1], 1)
        for at in range(0, len(index), rows):
            part = slice(at, at + rows)
            sums += self._sums(index[part], used[part], codes[part])
        gradient, information = sums.astype(np.int64)
        np.minimum(self._information, _KEPT, out=self._information)
        self._information += information
        self.learned += _ONE * gradient // self._information
        np.maximum(self.learned, -_BOUND, out=self.learned)
        np.minimum(self.learned, _BOUND, out=self.learned)
        self._prepare_for_entries()

    def _sums(self, index: Indices, used: Entries, codes: Codes) -> NDArray[np.float64]:
        """Gradient and information of shift and slope over some positions: (2, 2, channels)."""
        entry = used + np.int32(self._entries) * (codes > 0)
        error, variance = self._errors.take(entry), self._variances.take(entry)
        logit = index - float(LOGIT_RANGE)
        total = np.ones(len(index))
        of_shift = total @ error, total @ variance
        error *= logit
        variance *= logit
        variance *= logit
        return np.stack([of_shift, (total @ error, total @ variance)], axis=1)

    def _prepare_for_entries(self) -> None:
        """Keep slope and shift as they apply to table entries; bounded, they fit int32."""
        shift, self._slope = self.learned.astype(np.int32)
        self._offset = shift - LOGIT_RANGE * self._slope + _UNIT // 2


def code_group(
    layer: LayerWeights,
    group: int,
    evaluator: Evaluator,
    phases: Sequence[NDArray[np.int64]],
    codes: Codes,
    adaptation: Adaptation,
    code: Code,
) -> None:
    """Go through the codes of a group in the order of the stream (SPEC section 7.3).

    Args:
        layer: weights of the layer.
        group: of the layer, from 0.
        evaluator: has started the layer.
        phases: the positions of each phase, as indices of the flattened grid.
        codes: (rows, columns, C) of the layer; what ``code`` sets is set here.
        adaptation: of this group.
        code: called with the codes of some channels at the positions of a chunk, in order.
    """
    with exact_products():
        for phase, positions in enumerate(phases):
            index = evaluator.indices(codes, group, phase)
            _code_phase(layer, group, positions, index, codes, adaptation, code)


def _code_phase(
    layer: LayerWeights,
    group: int,
    positions: NDArray[np.int64],
    index: Indices,
    codes: Codes,
    adaptation: Adaptation,
    code: Code,
) -> None:
    start, stop = layer.bounds[group]
    first = start - start % 2  # a partner may be of the group before
    flat = codes.reshape(-1, codes.shape[2])
    at = 0
    while at < len(positions):
        end = at + adaptation.chunk
        chunk, part = positions[at:end], index[at:end]
        known = flat[chunk, first:stop]
        used = np.empty(part.shape, np.int32)
        for channels in turns(start, stop):
            inside = slice(channels.start - start, None, 2)
            if channels.start % 2:  # kept in ``part`` too: the adaptation learns from it
                partners = known[:, channels.start - 1 - first : stop - 1 - first : 2]
                q = layer.q[channels.start // 2 : stop // 2]
                part[:, inside] = with_partners(part[:, inside], partners, q)
            used[:, inside] = adaptation.corrected(part[:, inside], inside)
            code(known[:, channels.start - first :: 2], used[:, inside])
        flat[chunk, first:stop] = known
        adaptation.learn(part, used, known[:, start - first :])
        at = end
