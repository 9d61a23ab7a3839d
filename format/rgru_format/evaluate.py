"""Running a context model: the plain reference and the fast path (SPEC section 7.4).

Both have the interface of `Evaluator` and give the same integers. `ReferenceEvaluator` is the
definition, in int64 and plain loops over the taps. `FastEvaluator` multiplies matrices in
float32. That is exact, because every weight is an integer (or an integer times 64) and no sum of
any part of the terms leaves the range in which float32 holds every integer (`check_bounds`):
the order of summation, fused multiply-add, blocking and the number of threads do not matter.
"""

from __future__ import annotations

import dataclasses
import functools
import weakref
from collections.abc import Iterator
from typing import Protocol, TypeVar

import numpy as np
import numpy.typing as npt

from rgru_format.contextnet import (
    ACTIVATION_MAX,
    CODE_SCALE,
    LOGIT_RANGE,
    ContextModel,
    LayerWeights,
    OwnWeights,
    PassWeights,
)
from rgru_format.phases import (
    PERIOD,
    Taps,
    neighbour_rows,
    phase_grid,
    phase_positions,
    spacing,
)

Codes = npt.NDArray[np.int8]
"""(rows, columns, channels), each -1 or +1; 0 where unknown."""
Indices = npt.NDArray[np.int16]
"""Entries of the probability table, 0 .. 352."""
Float = npt.NDArray[np.float32]
_Number = TypeVar("_Number", np.int8, np.float32)

_TILE_COLUMNS = 128
_WIDEST = 1024
"""Grids up to so many columns are worked off in whole rows where no borders are computed twice."""


class Evaluator(Protocol):
    """Follows one picture through the layers."""

    def __init__(self, model: ContextModel, rows: int, columns: int) -> None:
        """Start before layer 1 with a state of zeros."""

    def start_layer(self, previous: Codes | None) -> None:
        """Go on to the next layer.

        Args:
            previous: all codes of the layer before; None for the first layer.
        """

    def indices(self, codes: Codes, group: int, phase: int, everywhere: bool = False) -> Indices:
        """Return table entries for the codes of a pass.

        Args:
            codes: (rows, columns, C). Read are the groups before `group` and the group itself at
                positions of earlier phases; what stands elsewhere does not matter.
            group: from 0.
            phase: from 0.
            everywhere: evaluate the weights of the pass at all positions, not at its own only.

        Returns:
            (positions in raster order, channels of the group), before what the partner at the same
            place adds (`with_partners`).
        """


def with_partners(index: Indices, partners: Codes, q: npt.NDArray[np.int32]) -> Indices:
    """Return the table entries of odd channels, given their partners (SPEC section 7.4).

    Args:
        index: (positions, channels) of odd channels.
        partners: (positions, channels), 0 where unknown.
        q: (channels,).
    """
    entries: Indices = q.astype(np.int16) * (partners > 0)
    entries += index
    np.maximum(entries, 0, out=entries)  # np.clip takes longer on small arrays
    return np.minimum(entries, 2 * LOGIT_RANGE, out=entries)


class ReferenceEvaluator:
    """The definition, in plain integers; slow."""

    def __init__(self, model: ContextModel, rows: int, columns: int) -> None:
        self._model = model
        self._grid = (rows, columns)
        self._layer = -1
        self._state = np.zeros((rows, columns, model.states), np.int64)
        self._previous: Codes | None = None

    def start_layer(self, previous: Codes | None) -> None:
        """See `Evaluator`."""
        self._previous = previous
        if previous is not None:
            weights = self._model.layers[self._layer]
            codes = CODE_SCALE * previous.astype(np.int64)
            total = _convolve(codes, weights.A) + self._state @ weights.B.astype(np.int64)
            self._state = _requantise(total + weights.a)
        self._layer += 1

    def indices(self, codes: Codes, group: int, phase: int, everywhere: bool = False) -> Indices:
        """See `Evaluator`."""
        layer = self._model.layers[self._layer]
        weights = layer.passes[group][phase]
        known = CODE_SCALE * self._known(codes, layer, group, phase)
        of_codes = _convolve(known, weights.V, spacing(layer.phases, phase))
        total = _convolve(self._state, layer.U) + of_codes + weights.v
        hidden = _requantise(total)
        hidden = _requantise(hidden @ weights.W.astype(np.int64) + weights.w)
        logits = hidden @ weights.R.astype(np.int64) + weights.r
        if layer.own is not None:
            start, stop = layer.bounds[group]
            logits += self._own_sum(layer, layer.own, known, phase)[..., start:stop]
        index = np.clip((logits + 512) >> 10, -LOGIT_RANGE, LOGIT_RANGE) + LOGIT_RANGE
        flat: Indices = index.astype(np.int16).reshape(-1, index.shape[-1])
        return flat if everywhere else flat[phase_positions(*self._grid, phase, layer.phases)]

    def _own_sum(
        self, layer: LayerWeights, own: OwnWeights, known: npt.NDArray[np.int64], phase: int
    ) -> npt.NDArray[np.int64]:
        """Return what Q adds to the logits of all channels."""
        channels = own.q.size
        Q = own.Q.astype(np.int64)
        before = np.zeros((*self._grid, 0), np.int64)
        if self._previous is not None:
            before = CODE_SCALE * self._previous.astype(np.int64)
        before = _with_channels(before, channels)
        total: npt.NDArray[np.int64] = before * Q[0] + _swapped(before) * Q[1]
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
    ) -> npt.NDArray[np.int64]:
        """Return the codes that the pass may see, zero elsewhere."""
        start, stop = layer.bounds[group]
        if phase == 0:
            return codes[..., :start].astype(np.int64)
        known = codes[..., :stop].astype(np.int64)
        known[phase_grid(*self._grid, layer.phases) >= phase, start:] = 0
        return known


def _with_channels(values: npt.NDArray[np.int64], channels: int) -> npt.NDArray[np.int64]:
    """Return the first channels, with channels of 0 where there are fewer."""
    missing = max(channels - values.shape[2], 0)
    return np.pad(values[..., :channels], ((0, 0), (0, 0), (0, missing)))


def _swapped(values: npt.NDArray[np.int64]) -> npt.NDArray[np.int64]:
    """Return the channels in the order of their partners, 0 for a channel that has none."""
    channels = values.shape[2]
    partners = np.arange(channels) ^ 1
    return np.pad(values, ((0, 0), (0, 0), (0, 1)))[..., np.minimum(partners, channels)]


def _convolve(
    values: npt.NDArray[np.int64],
    kernel: npt.NDArray[np.int16] | npt.NDArray[np.int64],
    apart: int = 1,
) -> npt.NDArray[np.int64]:
    """Correlate (rows, columns, inputs) with (3, 3, inputs, outputs), zero outside the grid.

    The taps are `apart` positions apart: 1 is conv3 of SPEC section 7.4, 2 is wide3.
    """
    rows, columns = values.shape[:2]
    padded = np.pad(values, ((apart, apart), (apart, apart), (0, 0)))
    total = np.zeros((rows, columns, kernel.shape[3]), np.int64)
    for dy in range(3):
        for dx in range(3):
            y, x = apart * dy, apart * dx
            total += padded[y : y + rows, x : x + columns] @ kernel[dy, dx].astype(np.int64)
    return total


def _requantise(total: npt.NDArray[np.int64]) -> npt.NDArray[np.int64]:
    """Return clamp(floor((total + 128) / 256), 0, 255)."""
    activations: npt.NDArray[np.int64] = np.clip((total + 128) >> 8, 0, ACTIVATION_MAX)
    return activations


_TAPS: Taps = tuple((dy, dx) for dy in range(3) for dx in range(3))
"""The 3x3 neighbourhood, row by row."""


@dataclasses.dataclass(frozen=True, eq=False)
class _FloatPass:
    """Weights of a pass as matrices; codes enter as -1, 0, 1, so V carries their factor 64."""

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
    before: _Pairs | None
    """Of Q for the layer before; None: the model has none."""
    around: list[tuple[Taps, _Pairs]]
    """Of Q for the sums of neighbours; empty if the model has none."""


class _Pairs:
    """Products of codes with weights of their own channels and of their partners'.

    Args:
        weights: (2, C), on the own code and on the partner's.
        start, stop: the channels wanted.
    """

    def __init__(self, weights: npt.NDArray[np.int16], start: int, stop: int) -> None:
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

    def add_to(self, logits: Float, codes: npt.NDArray[np.int8] | Float) -> None:
        """Add the products of (positions, channels from `first` on, as many as there are)."""
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
class _FloatLayer:
    U: Float
    """(K, 9 * M)"""
    A: Float
    """(C, 9 * K)"""
    B: Float
    a: Float
    passes: list[list[_FloatPass]]


def _float(array: npt.NDArray[np.int16] | npt.NDArray[np.int32]) -> Float:
    return np.ascontiguousarray(array, dtype=np.float32)


def _float_pass(
    weights: PassWeights,
    start: int,
    stop: int,
    neighbours: list[tuple[int, Taps]],
    apart: int,
    own_term: OwnWeights | None,
) -> _FloatPass:
    V = weights.V.astype(np.float32) * CODE_SCALE
    hidden = V.shape[3]
    taps = tuple(tap for _, kind in neighbours for tap in kind)
    own = np.zeros((0, hidden), np.float32)
    if taps:
        own = np.stack([V[dy, dx, start:] for dy, dx in taps])
    around = []
    if own_term:
        around = [(kind, _Pairs(own_term.Q[i : i + 2], start, stop)) for i, kind in neighbours]
    return _FloatPass(
        np.ascontiguousarray(V[:, :, :start]).reshape(9 * start, hidden),
        taps,
        apart,
        own.reshape(-1, hidden),
        _float(weights.v),
        _float(weights.W),
        _float(weights.w),
        _float(weights.R),
        _float(weights.r),
        _Pairs(own_term.Q[:2], start, stop) if own_term else None,
        around,
    )


def _float_layer(layer: LayerWeights) -> _FloatLayer:
    passes = [
        [
            _float_pass(
                one,
                start,
                stop,
                neighbour_rows(layer.phases, phase),
                spacing(layer.phases, phase),
                layer.own,
            )
            for phase, one in enumerate(group)
        ]
        for group, (start, stop) in zip(layer.passes, layer.bounds, strict=True)
    ]
    U, A = _side_by_side(layer.U), _side_by_side(layer.A) * CODE_SCALE
    return _FloatLayer(U, A, _float(layer.B), _float(layer.a), passes)


def _side_by_side(kernel: npt.NDArray[np.int16]) -> Float:
    """Return a (3, 3, inputs, outputs) kernel as (inputs, 9 * outputs)."""
    inputs = kernel.shape[2]
    return _float(kernel.transpose(2, 0, 1, 3).reshape(inputs, -1))


_prepared: weakref.WeakKeyDictionary[LayerWeights, _FloatLayer] = weakref.WeakKeyDictionary()


def _prepare(layer: LayerWeights) -> _FloatLayer:
    """Return the weights in float32, made once for each layer of a model."""
    ready = _prepared.get(layer)
    if ready is None:
        ready = _prepared[layer] = _float_layer(layer)
    return ready


class FastEvaluator:
    """The same integers as `ReferenceEvaluator`, by float32 matrix products.

    The grid is worked off in tiles, so that memory beyond state, hidden sums and result does not
    grow with the picture.
    """

    def __init__(self, model: ContextModel, rows: int, columns: int) -> None:
        self._model = model
        self._grid = (rows, columns)
        self._layer = -1
        self._state: npt.NDArray[np.uint8] | None = None  # None: all zero
        self._hidden: Float | None = None  # the sum U * state; None: all zero
        self._previous: Codes | None = None

    def start_layer(self, previous: Codes | None) -> None:
        """See `Evaluator`."""
        self._previous = previous
        if previous is not None:
            self._state = self._next_state(previous)
        self._layer += 1
        self._hidden = None
        if self._state is not None:
            U = _prepare(self._model.layers[self._layer]).U
            hidden = np.empty((*self._grid, self._model.hidden), np.float32)
            for tile in self._tiles(self._model.hidden):
                hidden[tile.inside] = _convolve_tile(tile.slab(self._state), U)
            self._hidden = hidden

    def indices(self, codes: Codes, group: int, phase: int, everywhere: bool = False) -> Indices:
        """See `Evaluator`."""
        layer = self._model.layers[self._layer]
        weights = _prepare(layer).passes[group][phase]
        start, stop = layer.bounds[group]
        rows, columns = self._grid

        def where(tile: _Tile) -> tuple[npt.NDArray[np.intp], npt.NDArray[np.intp]]:
            return tile.everywhere if everywhere else tile.phase(phase, layer.phases)

        def there(tile: _Tile) -> Indices:
            return self._tile_indices(codes, weights, tile, where(tile), start, stop)

        tiles = self._tiles(stop, _WIDEST)
        if columns <= _WIDEST:  # whole rows: in raster order already
            return np.concatenate([there(tile) for tile in tiles])
        result = np.empty((rows, columns, stop - start), np.int16)
        for tile in tiles:
            y, x = where(tile)
            result[tile.y0 + y, tile.x0 + x] = there(tile)
        flat = result.reshape(rows * columns, stop - start)
        return flat if everywhere else flat[phase_positions(rows, columns, phase, layer.phases)]

    def _tile_indices(
        self,
        codes: Codes,
        weights: _FloatPass,
        tile: _Tile,
        where: tuple[npt.NDArray[np.intp], npt.NDArray[np.intp]],
        start: int,
        stop: int,
    ) -> Indices:
        """Return table entries at the positions `where` of a tile."""
        total = self._first_sum(codes, weights, tile, where, start, stop)
        hidden = _requantise_float(total)
        hidden = _requantise_float(hidden @ weights.W + weights.w)
        logits = hidden @ weights.R
        logits += weights.r
        self._add_own(logits, codes, weights, tile, where, stop)
        return _table_index(logits)

    def _first_sum(
        self,
        codes: Codes,
        weights: _FloatPass,
        tile: _Tile,
        where: tuple[npt.NDArray[np.intp], npt.NDArray[np.intp]],
        start: int,
        stop: int,
    ) -> Float:
        """Return U * state + V * known codes + v at the positions `where` of a tile."""
        y, x = where
        total = np.empty((y.size, weights.v.size), np.float32)
        total[:] = weights.v
        if self._hidden is not None:
            total += self._rows(self._hidden, tile, where)
        apart = weights.spacing
        if start:
            slab = tile.slab(codes[..., :start], apart)
            total += _gather(slab, y, x, _TAPS, apart) @ weights.earlier
        if weights.taps:
            slab = tile.slab(codes[..., start:stop], apart)
            total += _gather(slab, y, x, weights.taps, apart) @ weights.own
        return total

    def _add_own(
        self,
        logits: Float,
        codes: Codes,
        weights: _FloatPass,
        tile: _Tile,
        where: tuple[npt.NDArray[np.intp], npt.NDArray[np.intp]],
        stop: int,
    ) -> None:
        """Add what Q says of the positions `where` of a tile."""
        y, x = where
        before = weights.before
        if before is not None and self._previous is not None:
            channels = min(before.last, self._model.layers[self._layer].codes)
            codes_before = self._rows(self._previous, tile, where)
            before.add_to(logits, codes_before[:, before.first : channels])
        for taps, around in weights.around:
            apart = weights.spacing
            slab = tile.slab(codes[..., around.first : stop], apart)
            places = ((apart * dy + y, apart * dx + x) for dy, dx in taps)
            first, second, third, fourth = (slab[place] for place in places)
            around.add_to(logits, first + second + third + fourth)

    def _rows(
        self,
        grid: npt.NDArray[_Number],
        tile: _Tile,
        where: tuple[npt.NDArray[np.intp], npt.NDArray[np.intp]],
    ) -> npt.NDArray[_Number]:
        """Return the channels at the positions `where` of a tile: (positions, channels)."""
        y, x = where
        rows, columns = self._grid
        index = (tile.y0 + y) * columns + (tile.x0 + x)
        return grid.reshape(rows * columns, -1).take(index, axis=0)

    def _next_state(self, previous: Codes) -> npt.NDArray[np.uint8]:
        weights = _prepare(self._model.layers[self._layer])
        state = np.empty((*self._grid, self._model.states), np.uint8)
        for tile in self._tiles(previous.shape[2]):
            total = _convolve_tile(tile.slab(previous), weights.A)
            total += weights.a
            if self._state is not None:
                total += self._state[tile.inside].astype(np.float32) @ weights.B
            state[tile.inside] = _requantise_float(total)
        return state

    def _tiles(self, channels: int, widest: int = _TILE_COLUMNS) -> Iterator[_Tile]:
        rows, columns = self._grid
        size = min(max(2**20 // channels, 256), 8192)
        width = columns if columns <= widest else _TILE_COLUMNS
        height = max(1, size // width)
        for y in range(0, rows, height):
            for x in range(0, columns, width):
                yield _Tile(y, min(y + height, rows), x, min(x + width, columns))


@dataclasses.dataclass(frozen=True)
class _Tile:
    """A rectangle of the grid."""

    y0: int
    y1: int
    x0: int
    x1: int

    @property
    def inside(self) -> tuple[slice, slice]:
        return slice(self.y0, self.y1), slice(self.x0, self.x1)

    def slab(self, grid: npt.NDArray[np.int8] | npt.NDArray[np.uint8], border: int = 1) -> Float:
        """Return the tile with a border of so many positions, zero outside the grid."""
        rows, columns, channels = grid.shape
        height, width = self.y1 - self.y0, self.x1 - self.x0
        slab = np.zeros((height + 2 * border, width + 2 * border, channels), np.float32)
        y0, y1 = max(self.y0 - border, 0), min(self.y1 + border, rows)
        x0, x1 = max(self.x0 - border, 0), min(self.x1 + border, columns)
        top, left = y0 - self.y0 + border, x0 - self.x0 + border
        slab[top : top + y1 - y0, left : left + x1 - x0] = grid[y0:y1, x0:x1]
        return slab

    def phase(self, phase: int, phases: int) -> tuple[npt.NDArray[np.intp], npt.NDArray[np.intp]]:
        """Return rows and columns, inside the tile, of the positions of a phase."""
        height, width = self.y1 - self.y0, self.x1 - self.x0
        return _positions(height, width, self.y0 % PERIOD, self.x0 % PERIOD, phase, phases)

    @property
    def everywhere(self) -> tuple[npt.NDArray[np.intp], npt.NDArray[np.intp]]:
        """Rows and columns, inside the tile, of all its positions."""
        y, x = np.divmod(np.arange((self.y1 - self.y0) * (self.x1 - self.x0)), self.x1 - self.x0)
        return y, x


@functools.lru_cache(maxsize=16)
def _positions(
    rows: int, columns: int, top: int, left: int, phase: int, phases: int
) -> tuple[npt.NDArray[np.intp], npt.NDArray[np.intp]]:
    """Rows and columns where the grid, begun at (top, left), has a phase."""
    grid = phase_grid(rows + top, columns + left, phases)[top:, left:]
    y, x = np.nonzero(grid == phase)
    y.flags.writeable = x.flags.writeable = False
    return y, x


def _gather(
    slab: Float,
    y: npt.NDArray[np.intp],
    x: npt.NDArray[np.intp],
    taps: Taps,
    apart: int,
) -> Float:
    """Return, for each position, the values under the taps: (positions, taps * channels).

    The slab has a border of as many positions as the taps are `apart`.
    """
    height, width, channels = slab.shape
    corner = y * width + x
    index = corner[:, None] + np.array([apart * (dy * width + dx) for dy, dx in taps])
    patches: Float = slab.reshape(height * width, channels).take(index, axis=0)
    return patches.reshape(y.size, len(taps) * channels)


def _convolve_tile(slab: Float, kernel: Float) -> Float:
    """Correlate a bordered tile with a 3x3 kernel.

    Args:
        slab: (height + 2, width + 2, inputs).
        kernel: (inputs, 9 * outputs), the taps of `_TAPS` side by side.

    Returns:
        (height, width, outputs).

    One product gives what each position contributes under each tap; in the flattened tile a tap
    is a shift by a constant, so that no patches need to be copied. The two columns at the end of
    each row come out as nonsense and are dropped.

    """
    height, width, channels = slab.shape
    flat = slab.reshape(height * width, channels)
    products: Float = (flat @ kernel).reshape(height * width, len(_TAPS), -1)
    count = (height - 2) * width - 2
    total = np.empty(((height - 2) * width, products.shape[2]), np.float32)
    for tap, (dy, dx) in enumerate(_TAPS):
        first = dy * width + dx
        if tap == 0:
            total[:count] = products[:count, tap]
        else:
            total[:count] += products[first : first + count, tap]
    rows: Float = total.reshape(height - 2, width, -1)
    return rows[:, : width - 2]


def _requantise_float(total: Float) -> Float:
    """Return clamp(floor((total + 128) / 256), 0, 255), in place.

    Adding 128 can round only where the result is far above 255; dividing by 256 is exact.
    """
    total += 128
    total *= 1 / 256
    np.floor(total, out=total)
    clipped: Float = np.clip(total, 0, ACTIVATION_MAX, out=total)
    return clipped


def _table_index(logits: Float) -> Indices:
    """Return clamp(floor((logits + 512) / 1024), -176, 176) + 176, overwriting `logits`."""
    logits += 512
    logits *= 1 / 1024
    np.floor(logits, out=logits)
    np.clip(logits, -LOGIT_RANGE, LOGIT_RANGE, out=logits)
    logits += LOGIT_RANGE
    return logits.astype(np.int16)
