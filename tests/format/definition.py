"""The evaluation of a context model as SPEC section 7.4 defines it, in plain integers.

``DefinedEvaluator`` is the arbiter; that of ``rgru_format`` gives the same integers sooner.
"""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray

from rgru_format.context.evaluator import Codes, Evaluator, Indices
from rgru_format.context.model import ContextModel
from rgru_format.context.order import neighbour_rows, phase_grid, phase_positions, spacing
from rgru_format.context.weights import ACTIVATION_MAX, CODE_SCALE, LOGIT_RANGE, LayerWeights


class DefinedEvaluator(Evaluator):
    """The definition, in plain integers; slow."""

    def __init__(self, model: ContextModel, rows: int, columns: int) -> None:
        self._model = model
        self._grid = (rows, columns)
        self._layer = -1
        self._states = np.zeros((rows, columns, model.states), np.int64)
        self._previous: Codes | None = None

    def start_layer(self, previous: Codes | None) -> None:
        self._previous = previous
        if previous is not None:
            weights = self._model.layers[self._layer]
            codes = CODE_SCALE * previous.astype(np.int64)
            total = _convolve(codes, weights.A) + self._states @ weights.B.astype(np.int64)
            self._states = _requantise(total + weights.a)
        self._layer += 1

    def indices(self, codes: Codes, group: int, phase: int, everywhere: bool = False) -> Indices:
        layer = self._model.layers[self._layer]
        weights = layer.passes[group][phase]
        known = CODE_SCALE * self._known(codes, layer, group, phase)
        of_codes = _convolve(known, weights.V, spacing(layer.phases, phase))
        total = _convolve(self._states, layer.U) + of_codes + weights.v
        hidden = _requantise(total)
        hidden = _requantise(hidden @ weights.W.astype(np.int64) + weights.w)
        start, stop = layer.bounds[group]
        logits = hidden @ weights.R.astype(np.int64) + weights.r
        logits += self._own_sum(layer, known, phase)[..., start:stop]
        index = np.clip((logits + 512) >> 10, -LOGIT_RANGE, LOGIT_RANGE) + LOGIT_RANGE
        flat: Indices = index.astype(np.int16).reshape(-1, index.shape[-1])
        return flat if everywhere else flat[phase_positions(*self._grid, phase, layer.phases)]

    def _own_sum(
        self, layer: LayerWeights, known: NDArray[np.int64], phase: int
    ) -> NDArray[np.int64]:
        """Return what Q adds to the logits of all channels."""
        channels = layer.codes
        Q = layer.Q.astype(np.int64)
        before = np.zeros((*self._grid, 0), np.int64)
        if self._previous is not None:
            before = CODE_SCALE * self._previous.astype(np.int64)
        before = _with_channels(before, channels)
        total: NDArray[np.int64] = before * Q[0] + _swapped(before) * Q[1]
        for row, taps in neighbour_rows(layer.phases, phase):
            kernel = np.zeros((3, 3, 1, 1), np.int64)
            for tap in taps:
                kernel[tap] = 1
            planes = np.moveaxis(_with_channels(known, channels), -1, 0)[..., None]
            apart = spacing(layer.phases, phase)
            sums = [_convolve(plane, kernel, apart) for plane in planes]
            around = np.concatenate(sums, axis=-1)
            total += around * Q[row] + _swapped(around) * Q[row + 1]
        return total

    def _known(
        self, codes: Codes, layer: LayerWeights, group: int, phase: int
    ) -> NDArray[np.int64]:
        """Return the codes that the pass may see, zero elsewhere."""
        start, stop = layer.bounds[group]
        if phase == 0:
            return codes[..., :start].astype(np.int64)
        known = codes[..., :stop].astype(np.int64)
        known[phase_grid(*self._grid, layer.phases) >= phase, start:] = 0
        return known


def _with_channels(values: NDArray[np.int64], channels: int) -> NDArray[np.int64]:
    """Return the first channels, with channels of 0 where there are fewer."""
    missing = max(channels - values.shape[2], 0)
    return np.pad(values[..., :channels], ((0, 0), (0, 0), (0, missing)))


def _swapped(values: NDArray[np.int64]) -> NDArray[np.int64]:
    """Return the channels in the order of their partners, 0 for a channel that has none."""
    channels = values.shape[2]
    partners = np.arange(channels) ^ 1
    return np.pad(values, ((0, 0), (0, 0), (0, 1)))[..., np.minimum(partners, channels)]


def _convolve(
    values: NDArray[np.int64],
    kernel: NDArray[np.int16] | NDArray[np.int64],
    apart: int = 1,
) -> NDArray[np.int64]:
    """Correlate (rows, columns, inputs) with (3, 3, inputs, outputs), zero outside the grid.

    The taps are ``apart`` positions apart: 1 is conv3 of SPEC section 7.4, 2 is wide3.
    """
    rows, columns = values.shape[:2]
    padded = np.pad(values, ((apart, apart), (apart, apart), (0, 0)))
    total = np.zeros((rows, columns, kernel.shape[3]), np.int64)
    for dy in range(3):
        for dx in range(3):
            y, x = apart * dy, apart * dx
            total += padded[y : y + rows, x : x + columns] @ kernel[dy, dx].astype(np.int64)
    return total


def _requantise(total: NDArray[np.int64]) -> NDArray[np.int64]:
    """Return clamp(floor((total + 128) / 256), 0, 255)."""
    activations: NDArray[np.int64] = np.clip((total + 128) >> 8, 0, ACTIVATION_MAX)
    return activations
