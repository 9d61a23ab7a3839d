"""The integers of the context model (SPEC sections 7.1, 7.2 and 7.5).

The letters are those of SPEC: s is the state that earlier layers leave behind, U and V make
hidden values from state and known codes, W mixes them, R reads the logits out, Q and q add what a
code's own channel and its partner's say, A and B carry the state on. Kernels are (rows, columns,
inputs, outputs) or (inputs, outputs).
"""

from __future__ import annotations

import dataclasses
from collections.abc import Iterator

import numpy as np
from numpy.typing import NDArray

from rgru_format.context.order import CROSS, NEIGHBOURS, group_bounds, own_rows
from rgru_format.errors import InvalidInput
from rgru_format.limits import MAX_CODES, MAX_GROUPS

Int16 = NDArray[np.int16]
Int32 = NDArray[np.int32]

MAX_WIDTH = 1024
"""Most channels of the state and of the hidden values."""
CODE_SCALE = 64
"""A code +1 or -1 enters a sum as +64 or -64: six fractional bits."""
ACTIVATION_MAX = 255
ACCUMULATOR_MAX = 2**24 - 1
"""Largest magnitude a sum may reach: float32 holds every integer up to here."""
LOGIT_RANGE = 176
"""The table has an entry for each logit from -176 to 176 sixteenths."""


@dataclasses.dataclass(frozen=True, eq=False)
class PassWeights:
    """One pass: group g of a layer in phase f."""

    V: Int16
    """(3, 3, known channels, M): known codes to hidden values; see ``order.spacing``."""
    v: Int32
    """(M,)"""
    W: Int16
    """(M, M): hidden to hidden."""
    w: Int32
    """(M,)"""
    R: Int16
    """(M, channels of the group): hidden to logits."""
    r: Int32
    """(channels of the group,)"""


@dataclasses.dataclass(frozen=True, eq=False)
class LayerWeights:
    """One layer. Channels 2i and 2i + 1 are partners."""

    U: Int16
    """(3, 3, K, M): state to hidden values."""
    passes: tuple[tuple[PassWeights, ...], ...]
    """For each group the passes of its phases, two, four or five."""
    A: Int16
    """(3, 3, C, K): codes of the layer to the next state."""
    B: Int16
    """(K, K): state to the next state."""
    a: Int32
    """(K,)"""
    Q: Int16
    """(rows, C): on the own code of the layer before and the partner's there; then for each phase
    and each kind of neighbours that it knows, on the sum of the own channel and of the partner's
    (``order.neighbour_rows``)."""
    q: Int32
    """(C // 2,): added to the logits of odd channels, in sixteenths, where the partner is +1."""

    @property
    def codes(self) -> int:
        """Codes C a position has in this layer."""
        return int(self.A.shape[2])

    @property
    def phases(self) -> int:
        """Phases in which each group is coded."""
        return len(self.passes[0])

    @property
    def bounds(self) -> list[tuple[int, int]]:
        """First and one-past-last channel of each group."""
        return group_bounds(self.codes, len(self.passes))

    def arrays(self) -> Iterator[Int16 | Int32]:
        """Yield the arrays in the order of ``shapes``, which is that of the file."""
        yield self.U
        for group in self.passes:
            for one in group:
                yield from (one.V, one.v, one.W, one.w, one.R, one.r)
        yield from (self.A, self.B, self.a, self.Q, self.q)

    @classmethod
    def from_arrays(cls, groups: int, phases: int, arrays: Iterator[Int16 | Int32]) -> LayerWeights:
        """Put a layer together from its arrays in the order of ``shapes``."""

        def take(count: int) -> list[Int16 | Int32]:
            return [next(arrays) for _ in range(count)]

        (U,) = take(1)
        passes = tuple(
            tuple(PassWeights(*take(6)) for _ in range(phases))  # type: ignore[arg-type]
            for _ in range(groups)
        )
        A, B, a, Q, q = take(5)
        return cls(U, passes, A, B, a, Q, q)  # type: ignore[arg-type]


def shapes(
    codes: int, groups: int, phases: int, states: int, hidden: int
) -> Iterator[tuple[str, tuple[int, ...]]]:
    """Yield name and shape of each array of a layer in the order of the file (SPEC section 7.6).

    Arrays with capital letters are int16, those with small letters int32.
    """
    yield "U", (3, 3, states, hidden)
    for start, stop in group_bounds(codes, groups):
        for known in (start, *[stop] * (phases - 1)):
            yield "V", (3, 3, known, hidden)
            yield "v", (hidden,)
            yield "W", (hidden, hidden)
            yield "w", (hidden,)
            yield "R", (hidden, stop - start)
            yield "r", (stop - start,)
    yield "A", (3, 3, codes, states)
    yield "B", (states, states)
    yield "a", (states,)
    yield "Q", (own_rows(phases), codes)
    yield "q", (codes // 2,)


def check_sizes(t: int, codes: int, groups: int, phases: int, states: int, hidden: int) -> None:
    """Raise InvalidInput where the sizes of layer t are beyond those of SPEC section 7.6."""
    if phases not in NEIGHBOURS:
        raise InvalidInput(f"layer {t}: 2, 4 or 5 phases, got {phases}")
    if not 1 <= codes <= MAX_CODES:
        raise InvalidInput(f"layer {t}: 1..{MAX_CODES} codes a position, got {codes}")
    if not 1 <= groups <= min(codes, MAX_GROUPS):
        raise InvalidInput(f"layer {t}: {groups} groups for {codes} codes")
    for name, width in (("state", states), ("hidden", hidden)):
        if not 1 <= width <= MAX_WIDTH:
            raise InvalidInput(f"1..{MAX_WIDTH} {name} channels, got {width}")


def check_layer(t: int, layer: LayerWeights, states: int, hidden: int) -> None:
    """Raise InvalidInput where the arrays of layer t do not fit together or a sum is unbounded."""
    groups = len(layer.passes)
    check_sizes(t, layer.codes, groups, layer.phases, states, hidden)
    if any(len(group) != layer.phases for group in layer.passes):
        raise InvalidInput(f"layer {t}: all groups have the same number of phases")
    expected = shapes(layer.codes, groups, layer.phases, states, hidden)
    for (name, shape), array in zip(expected, layer.arrays(), strict=True):
        kind = np.int16 if name.isupper() else np.int32
        if array.shape != shape or array.dtype != kind:
            raise InvalidInput(
                f"layer {t}: {name} must be {np.dtype(kind)} {shape}, "
                f"got {array.dtype} {array.shape}"
            )
    if (np.abs(layer.q.astype(np.int64)) > 2 * LOGIT_RANGE).any():
        raise InvalidInput(f"layer {t}: q holds a value beyond {2 * LOGIT_RANGE} sixteenths")
    for name, reach in _reaches(layer):
        worst = int(reach.max())
        if worst > ACCUMULATOR_MAX:
            raise InvalidInput(
                f"layer {t}, sum {name}, channel {int(reach.argmax())}: can reach {worst}, "
                f"more than {ACCUMULATOR_MAX}"
            )


def _reaches(layer: LayerWeights) -> Iterator[tuple[str, NDArray[np.int64]]]:
    """Yield name and largest magnitude of every sum of a layer (SPEC section 7.5)."""
    from_state = _reach(layer.U, ACTIVATION_MAX)
    own = _own_reach(layer)
    for g, (group, (start, stop)) in enumerate(zip(layer.passes, layer.bounds, strict=True)):
        for f, one in enumerate(group):
            place = f"of group {g}, phase {f}"
            hidden = from_state + _reach(one.V, CODE_SCALE) + np.abs(one.v.astype(np.int64))
            yield f"U + V {place}", hidden
            yield f"W {place}", _reach(one.W, ACTIVATION_MAX) + np.abs(one.w.astype(np.int64))
            logits = _reach(one.R, ACTIVATION_MAX) + np.abs(one.r.astype(np.int64))
            yield f"R {place}", logits + own[start:stop]
    carried = _reach(layer.A, CODE_SCALE) + _reach(layer.B, ACTIVATION_MAX)
    yield "A + B", carried + np.abs(layer.a.astype(np.int64))


def _reach(weights: Int16, largest: int) -> NDArray[np.int64]:
    """Return how far a sum can move, for each output channel."""
    magnitude = np.abs(weights.astype(np.int64)).reshape(-1, weights.shape[-1])
    total: NDArray[np.int64] = magnitude.sum(axis=0) * largest
    return total


def _own_reach(layer: LayerWeights) -> NDArray[np.int64]:
    """Return how far Q can move each logit."""
    times = np.full(len(layer.Q), CODE_SCALE * len(CROSS))
    times[:2] = CODE_SCALE
    reach: NDArray[np.int64] = times @ np.abs(layer.Q.astype(np.int64))
    return reach
