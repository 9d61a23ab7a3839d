"""Layers of codes to groups of bytes and back (SPEC sections 7.3 and 8).

`CodesEncoder` and `CodesDecoder` follow one picture through its layers, in order. Both use the
same integers for the probabilities; no float between file and codes depends on the machine.
"""

from __future__ import annotations

import hashlib
from collections.abc import Iterator

import numpy as np
import numpy.typing as npt

from rgru_format.adaptation import Adaptation
from rgru_format.coder import PROBABILITY_BITS, BitDecoder, BitEncoder, chances
from rgru_format.contextnet import ContextModel, LayerWeights
from rgru_format.errors import Damaged, InvalidInput
from rgru_format.evaluate import Codes, Evaluator, FastEvaluator, Indices, with_partners
from rgru_format.limits import largest_payload
from rgru_format.phases import phase_positions
from rgru_format.reader import GroupRead

_ONE = 2**PROBABILITY_BITS
_PART = 2**20
"""Codes handed to the range coder at a time: bounds the memory for bits and probabilities."""


class CodesEncoder:
    """Encodes the layers of one picture.

    Args:
        model: the context model.
        height, width: the grid, in positions (see `rgru_format.limits.grid_size`).
        evaluator: the way the model is run; all ways give the same bytes.
    """

    def __init__(
        self,
        model: ContextModel,
        height: int,
        width: int,
        *,
        evaluator: type[Evaluator] = FastEvaluator,
    ) -> None:
        _check_grid(height, width)
        self.model = model
        self.grid = (height, width)
        self.layer = 0
        """Layers encoded so far."""
        self.group_bits: list[float] = []
        """Ideal code length in bits of each group of the layer encoded last: the sum of
        -log2(P(code)), without what a stream costs on top."""
        self.ideal_bits = 0.0
        """Ideal code length in bits of all layers so far."""
        self._evaluator = evaluator(model, height, width)
        self._positions = _positions(model, height, width)
        self._chances = chances(model.table)
        self._costs = -np.log2(self._chances).ravel()
        self._previous: Codes | None = None

    def encode_layer(self, codes: Codes) -> list[bytes]:
        """Return the payload of each group of the next layer.

        Args:
            codes: int8 (height, width, C_t), each -1 or +1.

        Raises:
            InvalidInput: the model has no further layer, or codes of another shape or value.
        """
        codes = self._checked(codes)
        self._evaluator.start_layer(self._previous)
        self.group_bits = []
        groups = range(self.model.groups[self.layer])
        payloads = [self._encode_group(codes, group) for group in groups]
        self.ideal_bits += sum(self.group_bits)
        self._previous = codes
        self.layer += 1
        return payloads

    def _encode_group(self, codes: Codes, group: int) -> bytes:
        coder = BitEncoder()
        ideal = 0.0
        batches = _group_batches(
            self.model, self.layer, group, self._evaluator, self._positions, codes
        )
        for _, block, entries in batches:
            bits = (block > 0).astype(np.int32).ravel()
            coder.encode(bits, self._chances.take(entries, axis=0))
            ideal += float(self._costs.take(2 * entries + bits).sum())
        self.group_bits.append(ideal)
        return coder.finish()

    def _checked(self, codes: Codes) -> Codes:
        if self.layer >= len(self.model.layers):
            raise InvalidInput(f"the model has {len(self.model.layers)} layers only")
        shape = (*self.grid, self.model.codes[self.layer])
        if codes.shape != shape or codes.dtype != np.int8:
            raise InvalidInput(
                f"layer {self.layer + 1} needs int8 codes {shape}, got {codes.dtype} {codes.shape}"
            )
        if (np.abs(codes) != 1).any():
            raise InvalidInput("codes must be -1 or +1")
        # A copy: the caller may use the array again before the next layer looks back at it.
        return np.array(codes, order="C")


class CodesDecoder:
    """Decodes the layers of one picture, group by group.

    After a `Damaged` nothing further can be decoded; `current` and `last` stay as they were
    before the damaged group.

    Args:
        model: the context model.
        height, width: the grid, in positions.
        evaluator: the way the model is run; all ways give the same codes.
    """

    def __init__(
        self,
        model: ContextModel,
        height: int,
        width: int,
        *,
        evaluator: type[Evaluator] = FastEvaluator,
    ) -> None:
        _check_grid(height, width)
        self.model = model
        self.grid = (height, width)
        self.layer = 0
        """Complete layers."""
        self.group = 0
        """Groups decoded of the layer in progress."""
        self.current: Codes | None = None
        """int8 (height, width, C): the layer in progress, 0 where unknown; None between
        layers."""
        self.last: Codes | None = None
        """int8 (height, width, C): the last complete layer; None before the first is complete."""
        self._evaluator = evaluator(model, height, width)
        self._chances = chances(model.table)
        self._started = 0  # layers that the evaluator has been told to start
        self._positions = _positions(model, height, width)

    def decode(self, event: GroupRead) -> None:
        """Decode a group as the reader delivers it.

        Raises:
            Damaged: the group is not the next one, or as `decode_group`; names layer and offset.
        """
        if (event.layer, event.group) != (self.layer + 1, self.group):
            raise self._misplaced(event)
        self.decode_group(event.payload, offset=event.offset)

    def decode_group(self, payload: bytes, *, offset: int | None = None) -> None:
        """Decode the next group in order.

        Args:
            payload: the stream of the group, checksum checked.
            offset: where the group stands in the file, for the error.

        Raises:
            Damaged: the model has no further layer, or the stream cannot be decoded.
        """
        layer = self.layer + 1
        if self.layer >= len(self.model.layers):
            raise Damaged(f"the model has {self.layer} layers only", layer=layer, offset=offset)
        weights = self.model.layers[self.layer]
        start, stop = weights.bounds[self.group]
        if len(payload) > largest_payload(self.grid[0] * self.grid[1], stop - start):
            raise Damaged("a group is longer than its codes can need", layer=layer, offset=offset)
        self._start_layer()
        codes = self.current
        if codes is None:
            codes = np.zeros((*self.grid, weights.codes), np.int8)
        try:
            self._decode_passes(payload, codes)
        except Damaged as error:
            codes[..., start:stop] = 0
            raise Damaged(error.message, layer=layer, offset=offset) from None
        self.current = codes
        self.group += 1
        if self.group == len(weights.passes):
            self.last, self.current = codes, None
            self.layer += 1
            self.group = 0

    def expectation(self) -> npt.NDArray[np.float32]:
        """Return the layer in progress with unknown codes replaced by what the model expects.

        Between layers this is the next layer, none of it known.

        Returns:
            float32 (height, width, C): -1 or +1 where decoded, 2 P(code = +1) - 1 elsewhere,
            with nothing known of the groups that are missing (SPEC section 8.5). The values are
            the same on every machine.

        Raises:
            InvalidInput: all layers of the model are complete.
        """
        if self.layer >= len(self.model.layers):
            raise InvalidInput("all layers are complete: there is nothing left to expect")
        self._start_layer()
        weights = self.model.layers[self.layer]
        codes = self.current
        if codes is None:
            codes = np.zeros((*self.grid, weights.codes), np.int8)
        result = codes.astype(np.float32)
        # k / 32768 - 1 has at most 16 significant bits: exact in float32.
        levels = self.model.table.astype(np.float32) * (2 / _ONE) - 1
        for group in range(self.group, len(weights.passes)):
            index = self._evaluator.indices(codes, group, 0, everywhere=True)
            every = np.arange(len(index))
            for channels, _, entries in _batches(weights, group, index, every, codes, len(index)):
                result[..., channels] = levels[entries].reshape(*self.grid, -1)
        return result

    def _start_layer(self) -> None:
        """Prepare the evaluator: only now, since the last layer shown needs no successor."""
        if self._started == self.layer:
            self._evaluator.start_layer(self.last)
            self._started += 1

    def _decode_passes(self, payload: bytes, codes: Codes) -> None:
        coder = BitDecoder(payload)
        batches = _group_batches(
            self.model, self.layer, self.group, self._evaluator, self._positions, codes
        )
        for _, block, entries in batches:
            bits = coder.decode(self._chances.take(entries, axis=0))
            block[:] = bits.reshape(block.shape)
            block *= 2
            block -= 1

    def _misplaced(self, event: GroupRead) -> Damaged:
        if event.layer == self.layer + 2:
            message = f"layer {self.layer + 1} has fewer groups than its model"
        elif event.layer == self.layer:
            message = f"layer {self.layer} has more groups than its model"
        else:
            message = f"group {event.group} of layer {event.layer} does not follow"
        return Damaged(message, layer=event.layer, offset=event.offset)


def codes_digest(codes: Codes) -> str:
    """Return the SHA-256 of a layer of codes, in hexadecimal (SPEC section 8.6)."""
    return hashlib.sha256(np.ascontiguousarray(codes).tobytes()).hexdigest()


_Batch = tuple[slice, Codes, npt.NDArray[np.int16] | npt.NDArray[np.int32]]
"""Channels; their codes at some positions (positions, channels), to be read, or set before the next
batch is asked for; the table entries of these codes in the order of the stream, flat."""


def _group_batches(
    model: ContextModel,
    layer: int,
    group: int,
    evaluator: Evaluator,
    positions: dict[int, list[npt.NDArray[np.int64]]],
    codes: Codes,
) -> Iterator[_Batch]:
    """Yield all codes of a group in the order of the stream (SPEC section 7.3).

    Args:
        model: the context model.
        layer: from 0.
        group: of the layer.
        evaluator: has started the layer.
        positions: of `_positions`.
        codes: (rows, columns, C) of the layer; what is set in a batch is set here.
    """
    weights = model.layers[layer]
    start, stop = weights.bounds[group]
    adaptation = Adaptation(model.table, stop - start) if model.adaptive else None
    for phase, where in enumerate(positions[weights.phases]):
        index = evaluator.indices(codes, group, phase)
        if adaptation is None:
            yield from _batches(weights, group, index, where, codes)
        else:
            yield from _adaptive_batches(weights, group, index, where, codes, adaptation)


def _adaptive_batches(
    layer: LayerWeights,
    group: int,
    index: Indices,
    positions: npt.NDArray[np.int64],
    codes: Codes,
    adaptation: Adaptation,
) -> Iterator[_Batch]:
    """Yield the codes of a pass, chunk by chunk, and let the adaptation learn from each."""
    start, stop = layer.bounds[group]
    first = start - start % 2  # a partner may be of the group before
    flat = codes.reshape(-1, codes.shape[2])
    turns = _turns(layer, start, stop)
    at = 0
    while at < len(positions):
        end = at + adaptation.chunk
        where, part = positions[at:end], index[at:end]
        known = flat[where, first:stop]
        used = np.empty(part.shape, np.int32)
        for channels in turns:
            inside = slice(channels.start - start, None, 2)
            if channels.start % 2:  # kept in `part` too: the adaptation learns from it
                part[:, inside] = _given_partners(layer, part[:, inside], known, channels, first)
            used[:, inside] = adaptation.corrected(part[:, inside], inside)
            yield channels, known[:, channels.start - first :: 2], used[:, inside].ravel()
        flat[where, first:stop] = known
        adaptation.learn(part, used, known[:, start - first :])
        at = end


def _batches(
    layer: LayerWeights,
    group: int,
    index: Indices,
    positions: npt.NDArray[np.int64],
    codes: Codes,
    size: int | None = None,
) -> Iterator[_Batch]:
    """Yield the codes of a pass as the networks predict them, in parts of bounded size.

    Args:
        layer: weights of the layer.
        group: of the layer.
        index: (positions, channels of the group), of the evaluator.
        positions: where, as indices of the flattened grid.
        codes: (rows, columns, C) of the layer; what is set in a batch is set here.
        size: positions of a batch; by default so many that memory is bounded.
    """
    start, stop = layer.bounds[group]
    first = start - start % 2
    flat = codes.reshape(-1, codes.shape[2])
    count = size or max(_PART // (stop - start), 1)
    for channels in _turns(layer, start, stop):
        for at in range(0, len(positions), count):
            where = positions[at : at + count]
            part = index[at : at + count, channels.start - start :: channels.step]
            known = flat[where, first:stop]
            if layer.own is not None and channels.start % 2:
                part = _given_partners(layer, part, known, channels, first)
            yield channels, known[:, channels.start - first :: channels.step], part.ravel()
            flat[where, first:stop] = known


def _turns(layer: LayerWeights, start: int, stop: int) -> list[slice]:
    """Return which channels are coded at a time: with partners, the even ones first."""
    if layer.own is None:
        return [slice(start, stop)]
    turns = [slice(start + (start + odd) % 2, stop, 2) for odd in (0, 1)]
    return [turn for turn in turns if turn.start < stop]


def _given_partners(
    layer: LayerWeights, index: Indices, known: Codes, channels: slice, first: int
) -> Indices:
    """Return the entries of odd channels; `known` holds the codes of channels from `first` on."""
    assert layer.own is not None
    partners = known[:, channels.start - 1 - first : channels.stop - 1 - first : 2]
    return with_partners(index, partners, layer.own.q[channels])


def _positions(
    model: ContextModel, height: int, width: int
) -> dict[int, list[npt.NDArray[np.int64]]]:
    """Return the positions of each phase, for each number of phases that occurs."""
    return {
        phases: [phase_positions(height, width, phase, phases) for phase in range(phases)]
        for phases in set(model.phases)
    }


def _check_grid(height: int, width: int) -> None:
    if height < 1 or width < 1:
        raise InvalidInput(f"a grid has at least one position, got {height} x {width}")
