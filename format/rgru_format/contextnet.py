"""The context model: a small network in integers that predicts each code (SPEC section 7).

`ContextModel` holds the integers and reads and writes `context.bin`; `rgru_format.evaluate` runs
it. The letters are those of SPEC: s is the state that earlier layers leave behind, U and V make
hidden values from state and known codes, W mixes them, R reads the logits out, Q and q add what a
code's own channel and its partner's say, A and B carry the state on. Kernels are (rows, columns,
inputs, outputs) or (inputs, outputs).
"""

from __future__ import annotations

import dataclasses
import hashlib
import math
import struct
import zlib
from collections.abc import Iterator
from typing import Any

import numpy as np
import numpy.typing as npt

from rgru_format.errors import Damaged, InvalidInput
from rgru_format.limits import MAX_CODES, MAX_GROUPS
from rgru_format.phases import CROSS, NEIGHBOURS, group_bounds, own_rows

Int16 = npt.NDArray[np.int16]
Int32 = npt.NDArray[np.int32]

MAGIC = b"\x89RGRUCM\n"
_PLAIN, _WITH_OWN, _WITH_PHASES, _ADAPTIVE = 1, 2, 3, 4
"""Layouts of the file: without and with Q and q; with numbers of phases too; adaptive."""
MAX_LAYERS = 255
MAX_WIDTH = 1024
"""Most channels of the state and of the hidden values."""

CODE_SCALE = 64
"""A code +1 or -1 enters a sum as +64 or -64: six fractional bits."""
ACTIVATION_MAX = 255
ACCUMULATOR_MAX = 2**24 - 1
"""Largest magnitude a sum may reach: float32 holds every integer up to here."""

LOGIT_RANGE = 176
"""The table has an entry for each logit from -176 to 176 sixteenths."""
TABLE_SIZE = 2 * LOGIT_RANGE + 1

_PREFIX = struct.Struct("<8sBBHHH")
_SHORT, _LONG = struct.Struct("<HH"), struct.Struct("<HHH")
_LAYER = {_PLAIN: _SHORT, _WITH_OWN: _SHORT, _WITH_PHASES: _LONG, _ADAPTIVE: _LONG}
"""Sizes of a layer, for each layout."""


@dataclasses.dataclass(frozen=True, eq=False)
class PassWeights:
    """One pass: group g of a layer in phase f."""

    V: Int16
    """(3, 3, known channels, M): known codes to hidden values; see `rgru_format.phases.spacing`."""
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
class OwnWeights:
    """What the own channel of a code and its partner's say of it; 2i and 2i + 1 are partners."""

    Q: Int16
    """(rows, C): on the own code of the layer before and the partner's there; then for each phase
    and each kind of neighbours that it knows, on the sum of the own channel and of the partner's
    (`rgru_format.phases.neighbour_rows`)."""
    q: Int32
    """(C,): added to the logits of odd channels, in sixteenths, where the partner is +1."""


@dataclasses.dataclass(frozen=True, eq=False)
class LayerWeights:
    """One layer."""

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
    own: OwnWeights | None = None
    """In all layers of a model, or in none."""

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


@dataclasses.dataclass(frozen=True, eq=False)
class ContextModel:
    """All integers of a context model.

    Raises:
        InvalidInput: shapes or types that do not fit together, a table that SPEC forbids, or a
            sum that could leave the exact range.
    """

    layers: tuple[LayerWeights, ...]
    table: npt.NDArray[np.uint16]
    """(353,): P(code = +1) in 65536ths for each logit; see `sigmoid_table`."""
    adaptive: bool = False
    """Whether it learns of each picture while coding (SPEC section 7.7); needs Q and q."""

    def __post_init__(self) -> None:
        """Check everything, so that every model in memory is a valid one."""
        if not 1 <= len(self.layers) <= MAX_LAYERS:
            raise InvalidInput(f"a model has 1..{MAX_LAYERS} layers, got {len(self.layers)}")
        _check_table(self.table)
        for t, layer in enumerate(self.layers, start=1):
            _check_layer(t, layer, self.states, self.hidden, self.pairs)
        if self.adaptive and not self.pairs:
            raise InvalidInput("an adaptive model needs Q and q")
        self.check_bounds()

    @property
    def pairs(self) -> bool:
        """Whether there are Q and q; even channels are then coded before odd ones."""
        return self.layers[0].own is not None

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

    @property
    def _layout(self) -> int:
        """The least layout of the file that can hold the model."""
        if self.adaptive:
            return _ADAPTIVE
        if set(self.phases) != {2}:
            return _WITH_PHASES
        return _WITH_OWN if self.pairs else _PLAIN

    def check_bounds(self) -> None:
        """Make sure that no sum can leave -(2**24 - 1) .. 2**24 - 1 (SPEC section 7.5).

        Raises:
            InvalidInput: names the layer, the sum and the channel that could.
        """
        for t, layer in enumerate(self.layers, start=1):
            for name, reach in _reaches(layer):
                worst = int(reach.max())
                if worst > ACCUMULATOR_MAX:
                    raise InvalidInput(
                        f"layer {t}, sum {name}, channel {int(reach.argmax())}: can reach {worst}, "
                        f"more than {ACCUMULATOR_MAX}"
                    )

    def working_bytes(self, rows: int, columns: int) -> int:
        """Return about how many bytes coding a picture with such a grid takes, weights apart."""
        group = max(end - start for layer in self.layers for start, end in layer.bounds)
        # Indices of a pass (int16; of the whole grid, and of the phase), the new state. Bits and
        # probabilities are worked on in parts of bounded size.
        per_position = max(self.codes) + 3 * group + self.states
        return self.kept_bytes(rows, columns) + rows * columns * per_position + 2**25

    def kept_bytes(self, rows: int, columns: int) -> int:
        """Return about how many of the working bytes stay taken between two groups."""
        # Codes of a layer, state, hidden sums (float32), positions of all phases.
        positions = 8 * len(set(self.phases))
        per_position = max(self.codes) + self.states + 4 * self.hidden + positions
        return rows * columns * per_position

    def to_bytes(self) -> bytes:
        """Return the content of `context.bin` (SPEC section 7.6)."""
        sizes = (len(self.layers), self.states, self.hidden, TABLE_SIZE)
        parts = [_PREFIX.pack(MAGIC, self._layout, *sizes)]
        for size in zip(self.codes, self.groups, self.phases, strict=True):
            parts.append(
                _LAYER[self._layout].pack(*(size if self._layout >= _WITH_PHASES else size[:2]))
            )
        parts.append(self.table.astype("<u2").tobytes())
        for layer in self.layers:
            for array in _arrays(layer):
                stored = "<i2" if array.dtype == np.int16 else "<i4"
                parts.append(np.ascontiguousarray(array).astype(stored).tobytes())
        body = b"".join(parts)
        return body + zlib.crc32(body).to_bytes(4, "little")

    @classmethod
    def from_bytes(cls, data: bytes) -> ContextModel:
        """Read the content of a `context.bin`.

        Raises:
            Damaged: the data is no valid context model.
        """
        try:
            return cls(*_parse(data))
        except InvalidInput as error:
            raise Damaged(f"context model: {error}") from None

    def digest(self) -> bytes:
        """Return the SHA-256 of `to_bytes()`, 32 bytes."""
        return hashlib.sha256(self.to_bytes()).digest()


def sigmoid_table() -> npt.NDArray[np.uint16]:
    """Return the usual table, round(65536 / (1 + exp(-i / 16))) for i = -176 .. 176.

    For the export of a model only: a decoder takes the table that the model file holds.
    """
    values = [65536.0 / (1.0 + math.exp(-i / 16)) for i in range(-LOGIT_RANGE, LOGIT_RANGE + 1)]
    return np.array([min(max(round(value), 1), 65535) for value in values], np.uint16)


def _arrays(layer: LayerWeights) -> Iterator[Int16 | Int32]:
    """Yield the arrays of a layer in the order of the file."""
    yield layer.U
    for group in layer.passes:
        for one in group:
            yield from (one.V, one.v, one.W, one.w, one.R, one.r)
    yield from (layer.A, layer.B, layer.a)
    if layer.own is not None:
        yield from (layer.own.Q, layer.own.q)


def _check_table(table: npt.NDArray[np.uint16]) -> None:
    if table.dtype != np.uint16 or table.shape != (TABLE_SIZE,):
        raise InvalidInput(f"the table must be uint16 ({TABLE_SIZE},)")
    if table.min() < 1:
        raise InvalidInput("the table holds a probability of 0")
    if (table[1:] < table[:-1]).any():
        raise InvalidInput("the table must not decrease")


def _expected_shapes(
    codes: int, groups: int, phases: int, states: int, hidden: int, own: bool
) -> Iterator[tuple[str, tuple[int, ...]]]:
    """Yield name and shape of each array of a layer in the order of the file."""
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
    if own:
        yield "Q", (own_rows(phases), codes)
        yield "q", (codes,)


def _check_layer(t: int, layer: LayerWeights, states: int, hidden: int, own: bool) -> None:
    groups = len(layer.passes)
    _check_sizes(t, layer.codes, groups, layer.phases, states, hidden)
    if (layer.own is not None) != own:
        raise InvalidInput(f"layer {t}: Q and q belong to all layers or to none")
    if layer.phases != 2 and not own:
        raise InvalidInput(f"layer {t}: {layer.phases} phases need Q and q")
    if any(len(group) != layer.phases for group in layer.passes):
        raise InvalidInput(f"layer {t}: all groups have the same number of phases")
    expected = _expected_shapes(layer.codes, groups, layer.phases, states, hidden, own)
    for (name, shape), array in zip(expected, _arrays(layer), strict=True):
        kind = np.int16 if name.isupper() else np.int32
        if array.shape != shape or array.dtype != kind:
            raise InvalidInput(
                f"layer {t}: {name} must be {np.dtype(kind)} {shape}, "
                f"got {array.dtype} {array.shape}"
            )
    if layer.own is not None and (np.abs(layer.own.q.astype(np.int64)) > 2 * LOGIT_RANGE).any():
        raise InvalidInput(f"layer {t}: q holds a value beyond {2 * LOGIT_RANGE} sixteenths")


def _check_sizes(t: int, codes: int, groups: int, phases: int, states: int, hidden: int) -> None:
    if phases not in NEIGHBOURS:
        raise InvalidInput(f"layer {t}: 2, 4 or 5 phases, got {phases}")
    if not 1 <= codes <= MAX_CODES:
        raise InvalidInput(f"layer {t}: 1..{MAX_CODES} codes a position, got {codes}")
    if not 1 <= groups <= min(codes, MAX_GROUPS):
        raise InvalidInput(f"layer {t}: {groups} groups for {codes} codes")
    for name, width in (("state", states), ("hidden", hidden)):
        if not 1 <= width <= MAX_WIDTH:
            raise InvalidInput(f"1..{MAX_WIDTH} {name} channels, got {width}")


def _reach(weights: Int16, largest: int) -> npt.NDArray[np.int64]:
    """Return how far a sum can move, for each output channel."""
    magnitude = np.abs(weights.astype(np.int64)).reshape(-1, weights.shape[-1])
    total: npt.NDArray[np.int64] = magnitude.sum(axis=0) * largest
    return total


def _reaches(layer: LayerWeights) -> Iterator[tuple[str, npt.NDArray[np.int64]]]:
    """Yield name and largest magnitude of every sum of a layer."""
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


def _own_reach(layer: LayerWeights) -> npt.NDArray[np.int64]:
    """Return how far Q can move each logit."""
    if layer.own is None:
        return np.zeros(layer.codes, np.int64)
    times = np.full(len(layer.own.Q), CODE_SCALE * len(CROSS))
    times[:2] = CODE_SCALE
    reach: npt.NDArray[np.int64] = times @ np.abs(layer.own.Q.astype(np.int64))
    return reach


def _parse(data: bytes) -> tuple[tuple[LayerWeights, ...], npt.NDArray[np.uint16], bool]:
    """Read layers, table and whether the model is adaptive.

    The sizes are checked before anything is allocated.
    """
    if len(data) < _PREFIX.size + 4 or not data.startswith(MAGIC):
        raise Damaged("context model: the signature is missing")
    body = data[:-4]
    if zlib.crc32(body) != int.from_bytes(data[-4:], "little"):
        raise Damaged("context model: the checksum does not match")
    _, version, count, states, hidden, entries = _PREFIX.unpack_from(body)
    if version not in _LAYER:
        raise Damaged(f"context model: version {version} is unknown")
    if not count:
        raise Damaged("context model: no layers")
    if entries != TABLE_SIZE:
        raise Damaged(f"context model: a table of {entries} entries, {TABLE_SIZE} expected")
    at = _PREFIX.size + count * _LAYER[version].size
    if len(body) < at + 2 * TABLE_SIZE:
        raise Damaged("context model: the data ends too early")
    sizes = list(_LAYER[version].iter_unpack(body[_PREFIX.size : at]))
    table = np.frombuffer(body, "<u2", TABLE_SIZE, at).astype(np.uint16)
    cursor = _Cursor(body, at + 2 * TABLE_SIZE)
    layers = []
    for t, (codes, groups, *rest) in enumerate(sizes, start=1):
        phases = rest[0] if rest else 2
        _check_sizes(t, codes, groups, phases, states, hidden)
        own = version != _PLAIN
        layers.append(_parse_layer(cursor, codes, groups, phases, states, hidden, own))
    if cursor.at != len(body):
        raise Damaged("context model: bytes are left over behind the last array")
    return tuple(layers), table, version == _ADAPTIVE


class _Cursor:
    """Takes arrays off a run of bytes."""

    def __init__(self, data: bytes, at: int) -> None:
        self.data = data
        self.at = at

    def int16(self, *shape: int) -> Int16:
        """Return the next weights."""
        return self._take("<i2", shape).astype(np.int16)

    def int32(self, *shape: int) -> Int32:
        """Return the next biases."""
        return self._take("<i4", shape).astype(np.int32)

    def _take(self, kind: str, shape: tuple[int, ...]) -> npt.NDArray[Any]:
        count = math.prod(shape)
        size = count * np.dtype(kind).itemsize
        if len(self.data) < self.at + size:
            raise Damaged("context model: the data ends too early")
        array = np.frombuffer(self.data, kind, count, self.at).reshape(shape)
        self.at += size
        return array


def _parse_layer(
    cursor: _Cursor, codes: int, groups: int, phases: int, states: int, hidden: int, own: bool
) -> LayerWeights:
    # Python evaluates arguments from left to right: this is the order of the file.
    def one_pass(known: int, channels: int) -> PassWeights:
        return PassWeights(
            cursor.int16(3, 3, known, hidden),
            cursor.int32(hidden),
            cursor.int16(hidden, hidden),
            cursor.int32(hidden),
            cursor.int16(hidden, channels),
            cursor.int32(channels),
        )

    return LayerWeights(
        cursor.int16(3, 3, states, hidden),
        tuple(
            tuple(one_pass(stop if phase else start, stop - start) for phase in range(phases))
            for start, stop in group_bounds(codes, groups)
        ),
        cursor.int16(3, 3, codes, states),
        cursor.int16(states, states),
        cursor.int32(states),
        OwnWeights(cursor.int16(own_rows(phases), codes), cursor.int32(codes)) if own else None,
    )
