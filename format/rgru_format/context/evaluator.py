"""The evaluation of a context model in matrix products (SPEC section 7.4).

Every weight is an integer (or an integer times 64), and no sum of any part of the terms leaves the
range in which float32 holds every integer (SPEC section 7.5): the order of summation, fused
multiply-add, blocking and the number of threads do not matter. All layers of a file have the same
widths; channels from which only weights of 0 lead on change nothing, and are left out.
"""

from __future__ import annotations

import dataclasses
import weakref
from collections.abc import Iterator
from typing import TypeVar

import numpy as np
from numpy.typing import NDArray

from rgru_format.context.exact import exact_products
from rgru_format.context.model import ContextModel
from rgru_format.context.order import Taps, neighbour_rows, phase_positions, spacing
from rgru_format.context.tiles import ALL_TAPS, Float, Places, Tile, convolve_tile, gather
from rgru_format.context.weights import ACTIVATION_MAX, CODE_SCALE, LOGIT_RANGE, LayerWeights

Codes = NDArray[np.int8]
"""(rows, columns, channels), each -1 or +1; 0 where unknown."""
Indices = NDArray[np.int16]
"""Entries of the probability table, 0 .. 352."""
Channels = NDArray[np.intp]
_Number = TypeVar("_Number", np.int8, np.float32)

_TILE_COLUMNS = 128
_WIDEST = 1024
"""Grids up to so many columns are worked off in whole rows where no borders are computed twice."""


@dataclasses.dataclass(frozen=True, eq=False)
class FloatPass:
    """Weights of a pass as matrices; codes enter as -1, 0, 1, so V carries their factor 64."""

    start: int
    stop: int
    """The channels of the group."""
    earlier: Float
    """(9 * channels of earlier groups, M)"""
    taps: Taps
    """Where the group itself is known."""
    spacing: int
    """How many positions apart taps are."""
    own: Float
    """(taps * channels of the group, M)"""
    v: Float
    W: Float
    w: Float
    R: Float
    r: Float
    before: _Pairs
    """Of Q for the layer before."""
    around: list[tuple[Taps, _Pairs]]
    """Of Q for the sums of neighbours."""


class _Pairs:
    """Products of codes with weights of their own channels and of their partners'.

    Args:
        weights: (2, C), on the own code and on the partner's.
        start, stop: the channels wanted.
    """

    def __init__(self, weights: NDArray[np.int16], start: int, stop: int) -> None:
        # Whole pairs: from the even channel at or before the first to the odd one behind the last.
        self.first, self.last = start - start % 2, stop + stop % 2
        inside = slice(start - self.first, stop - self.first)
        own, partner = (np.zeros(self.last - self.first, np.float32) for _ in range(2))
        own[inside], partner[inside] = weights[:, start:stop] * np.float32(CODE_SCALE)
        self._even, self._odd = (own[0::2], partner[0::2]), (own[1::2], partner[1::2])
        # Of the even and of the odd channels: where they stand in the group, and which pairs.
        self._places = []
        for odd in (0, 1):
            channel = start + (start + odd) % 2
            pair, count = (channel - self.first) // 2, len(range(channel, stop, 2))
            self._places.append((slice(channel - start, None, 2), slice(pair, pair + count)))

    def add_to(self, logits: Float, codes: NDArray[np.int8] | Float) -> None:
        """Add the products of (positions, channels from ``first`` on, as many as there are)."""
        width = (self.last - self.first) // 2
        even, odd = (np.zeros((len(codes), width), np.float32) for _ in range(2))
        even[:, : (codes.shape[1] + 1) // 2] = codes[:, 0::2]
        odd[:, : codes.shape[1] // 2] = codes[:, 1::2]
        sides = [(even, odd, self._even), (odd, even, self._odd)]
        for (own, partner, weights), (place, pairs) in zip(sides, self._places, strict=True):
            total = own * weights[0]
            total += partner * weights[1]
            logits[:, place] += total[:, pairs]


@dataclasses.dataclass(frozen=True, eq=False)
class FloatLayer:
    """Weights of a layer as matrices, of the channels that count."""

    U: Float
    """(9, K, M)"""
    A: Float
    """(9, C, K of the next layer)"""
    B: Float
    a: Float
    passes: list[list[FloatPass]]


def _float(array: NDArray[np.int16] | NDArray[np.int32]) -> Float:
    return np.ascontiguousarray(array, dtype=np.float32)


def _counting(*weights: NDArray[np.int16]) -> Channels:
    """Inputs (the last axis but one) from which a weight other than 0 leads on; one at least."""
    found = np.zeros(weights[0].shape[-2], bool)
    for one in weights:
        found |= one.any(axis=(*range(one.ndim - 2), -1))
    found[0] |= not found.any()
    return np.flatnonzero(found)


def _float_pass(layer: LayerWeights, group: int, phase: int, hidden: Channels) -> FloatPass:
    weights = layer.passes[group][phase]
    start, stop = layer.bounds[group]
    neighbours = neighbour_rows(layer.phases, phase)
    mixed = _counting(weights.R)
    V = weights.V[..., hidden].astype(np.float32) * CODE_SCALE
    taps = tuple(tap for _, kind in neighbours for tap in kind)
    own = np.zeros((0, hidden.size), np.float32)
    if taps:
        own = np.stack([V[dy, dx, start:] for dy, dx in taps])
    return FloatPass(
        start,
        stop,
        np.ascontiguousarray(V[:, :, :start]).reshape(9 * start, hidden.size),
        taps,
        spacing(layer.phases, phase),
        own.reshape(-1, hidden.size),
        _float(weights.v[hidden]),
        _float(weights.W[np.ix_(hidden, mixed)]),
        _float(weights.w[mixed]),
        _float(weights.R[mixed]),
        _float(weights.r),
        _Pairs(layer.Q[:2], start, stop),
        [(kind, _Pairs(layer.Q[i : i + 2], start, stop)) for i, kind in neighbours],
    )


def _float_layer(layer: LayerWeights, following: LayerWeights | None) -> FloatLayer:
    hidden = _counting(*(one.W for group in layer.passes for one in group))
    before = _counting(layer.U, layer.B)
    after = before if following is None else _counting(following.U, following.B)
    passes = [
        [_float_pass(layer, group, phase, hidden) for phase in range(layer.phases)]
        for group in range(len(layer.passes))
    ]
    U = _by_taps(layer.U[:, :, before][..., hidden])
    A = _by_taps(layer.A[..., after]) * CODE_SCALE
    return FloatLayer(U, A, _float(layer.B[np.ix_(before, after)]), _float(layer.a[after]), passes)


def _by_taps(kernel: NDArray[np.int16]) -> Float:
    """Return a (3, 3, inputs, outputs) kernel as (9, inputs, outputs)."""
    return _float(kernel.reshape(len(ALL_TAPS), *kernel.shape[2:]))


_prepared: weakref.WeakKeyDictionary[ContextModel, dict[int, FloatLayer]]
_prepared = weakref.WeakKeyDictionary()


def prepared(model: ContextModel, t: int) -> FloatLayer:
    """Return the weights of a layer, from 0, in float32, made once for each model."""
    ready = _prepared.setdefault(model, {})
    if t not in ready:
        following = model.layers[t + 1] if t + 1 < len(model.layers) else None
        ready[t] = _float_layer(model.layers[t], following)
    return ready[t]


def with_partners(index: Indices, partners: Codes, q: NDArray[np.int32]) -> Indices:
    """Return the table entries of odd channels, given their partners (SPEC section 7.4).

    Args:
        index: (positions, channels) of odd channels.
        partners: (positions, channels), 0 where unknown.
        q: (channels,), of these channels.
    """
    entries: Indices = q.astype(np.int16) * (partners > 0)
    entries += index
    np.maximum(entries, 0, out=entries)  # np.clip takes longer on small arrays
    return np.minimum(entries, 2 * LOGIT_RANGE, out=entries)


class Evaluator:
    """Follows one picture through the layers; before layer 1 the state is zero.

    The grid is worked off in tiles, so that memory beyond state, hidden sums and result does not
    grow with the picture.
    """

    def __init__(self, model: ContextModel, rows: int, columns: int) -> None:
        self._model = model
        self._grid = (rows, columns)
        self._layer = -1
        self._state: NDArray[np.uint8] | None = None  # None: all zero
        self._hidden: Float | None = None  # the sum U * state; None: all zero
        self._previous: Codes | None = None

    def start_layer(self, previous: Codes | None) -> None:
        """Go on to the next layer.

        Args:
            previous: all codes of the layer before; None for the first layer.
        """
        self._previous = previous
        with exact_products():
            if previous is not None:
                self._state = self._next_state(previous)
            self._layer += 1
            self._hidden = None
            if self._state is not None:
                self._hidden = self._hidden_sums(self._state)

    def indices(self, codes: Codes, group: int, phase: int, everywhere: bool = False) -> Indices:
        """Return table entries for the codes of a pass.

        Args:
            codes: (rows, columns, C). Read are the groups before ``group`` and the group itself at
                positions of earlier phases; what stands elsewhere does not matter.
            group: from 0.
            phase: from 0.
            everywhere: evaluate the weights of the pass at all positions, not at its own only.

        Returns:
            (positions in raster order, channels of the group), before what the partner at the same
            place adds (``with_partners``).
        """
        layer = self._model.layers[self._layer]
        weights = prepared(self._model, self._layer).passes[group][phase]
        rows, columns = self._grid

        def where(tile: Tile) -> Places:
            return tile.everywhere if everywhere else tile.phase(phase, layer.phases)

        tiles = self._tiles(weights.stop, _WIDEST)
        with exact_products():
            if columns <= _WIDEST:  # whole rows: in raster order already
                parts = [self._tile_indices(codes, weights, tile, where(tile)) for tile in tiles]
                return np.concatenate(parts)
            result = np.empty((rows, columns, weights.stop - weights.start), np.int16)
            for tile in tiles:
                y, x = where(tile)
                result[tile.y0 + y, tile.x0 + x] = self._tile_indices(codes, weights, tile, (y, x))
        flat = result.reshape(rows * columns, -1)
        return flat if everywhere else flat[phase_positions(rows, columns, phase, layer.phases)]

    def _tile_indices(self, codes: Codes, weights: FloatPass, tile: Tile, where: Places) -> Indices:
        """Return table entries at the positions ``where`` of a tile."""
        hidden = _requantise(self._first_sum(codes, weights, tile, where))
        hidden = _requantise(hidden @ weights.W + weights.w)
        logits = hidden @ weights.R
        logits += weights.r
        self._add_own(logits, codes, weights, tile, where)
        return _table_index(logits)

    def _first_sum(self, codes: Codes, weights: FloatPass, tile: Tile, where: Places) -> Float:
        """Return U * state + V * known codes + v at the positions ``where`` of a tile."""
        y, x = where
        total = np.empty((y.size, weights.v.size), np.float32)
        total[:] = weights.v
        if self._hidden is not None:
            total += self._rows(self._hidden, tile, where)
        apart = weights.spacing
        if weights.start:
            slab = tile.slab(codes[..., : weights.start], apart)
            total += gather(slab, y, x, ALL_TAPS, apart) @ weights.earlier
        if weights.taps:
            slab = tile.slab(codes[..., weights.start : weights.stop], apart)
            total += gather(slab, y, x, weights.taps, apart) @ weights.own
        return total

    def _add_own(
        self, logits: Float, codes: Codes, weights: FloatPass, tile: Tile, where: Places
    ) -> None:
        """Add what Q says of the positions ``where`` of a tile."""
        y, x = where
        before = weights.before
        if self._previous is not None:
            channels = min(before.last, self._model.layers[self._layer].codes)
            codes_before = self._rows(self._previous, tile, where)
            before.add_to(logits, codes_before[:, before.first : channels])
        for taps, around in weights.around:
            apart = weights.spacing
            slab = tile.slab(codes[..., around.first : weights.stop], apart)
            places = ((apart * dy + y, apart * dx + x) for dy, dx in taps)
            first, second, third, fourth = (slab[place] for place in places)
            around.add_to(logits, first + second + third + fourth)

    def _rows(self, grid: NDArray[_Number], tile: Tile, where: Places) -> NDArray[_Number]:
        """Return the channels at the positions ``where`` of a tile: (positions, channels)."""
        y, x = where
        rows, columns = self._grid
        index = (tile.y0 + y) * columns + (tile.x0 + x)
        return grid.reshape(rows * columns, -1).take(index, axis=0)

    def _hidden_sums(self, state: NDArray[np.uint8]) -> Float:
        """Return the sum U * state."""
        U = prepared(self._model, self._layer).U
        hidden = np.empty((*self._grid, U.shape[2]), np.float32)
        for tile in self._tiles(U.shape[2]):
            hidden[tile.inside] = convolve_tile(tile.slab(state), U)
        return hidden

    def _next_state(self, previous: Codes) -> NDArray[np.uint8]:
        weights = prepared(self._model, self._layer)
        state = np.empty((*self._grid, weights.a.size), np.uint8)
        for tile in self._tiles(previous.shape[2]):
            total = convolve_tile(tile.slab(previous), weights.A)
            total += weights.a
            if self._state is not None:
                total += self._state[tile.inside].astype(np.float32) @ weights.B
            state[tile.inside] = _requantise(total)
        return state

    def _tiles(self, channels: int, widest: int = _TILE_COLUMNS) -> Iterator[Tile]:
        rows, columns = self._grid
        size = min(max(2**20 // channels, 256), 8192)
        width = columns if columns <= widest else _TILE_COLUMNS
        height = max(1, size // width)
        for y in range(0, rows, height):
            for x in range(0, columns, width):
                yield Tile(y, min(y + height, rows), x, min(x + width, columns))


def _requantise(total: Float) -> Float:
    """Return clamp(floor((total + 128) / 256), 0, 255), in place.

    Adding 128 can round only where the result is far above 255; dividing by 256 is exact.
    """
    total += 128
    total *= 1 / 256
    np.floor(total, out=total)
    clipped: Float = np.clip(total, 0, ACTIVATION_MAX, out=total)
    return clipped


def _table_index(logits: Float) -> Indices:
    """Return clamp(floor((logits + 512) / 1024), -176, 176) + 176, overwriting ``logits``."""
    logits += 512
    logits *= 1 / 1024
    np.floor(logits, out=logits)
    np.clip(logits, -LOGIT_RANGE, LOGIT_RANGE, out=logits)
    logits += LOGIT_RANGE
    return logits.astype(np.int16)
