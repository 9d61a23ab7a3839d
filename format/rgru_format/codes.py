"""Layers of codes to groups of bytes and back (SPEC sections 7.3 and 8).

``CodesEncoder`` and ``CodesDecoder`` follow one picture through its layers, in order. Both use the
same integers for the probabilities; no float between file and codes depends on the machine.
"""

from __future__ import annotations

import hashlib

import numpy as np
from numpy.typing import NDArray

from rgru_format.coder import PROBABILITY_BITS, BitDecoder, BitEncoder, chances
from rgru_format.context.adaptation import Adaptation, Entries, code_group
from rgru_format.context.evaluator import Codes, Evaluator, with_partners
from rgru_format.context.model import ContextModel
from rgru_format.context.order import phase_positions, turns
from rgru_format.errors import Damaged, InvalidInput
from rgru_format.events import GroupRead
from rgru_format.limits import largest_payload

_ONE = 2**PROBABILITY_BITS


class CodesEncoder:
    """Encodes the layers of one picture.

    Args:
        model: the context model.
        height, width: the grid, in positions (see ``rgru_format.limits.grid_size``).
        evaluator: the way the model is run; all ways give the same bytes.
        adapt: without, the model does not learn of the picture: for measuring what that is
            worth; no decoder reads the streams.
    """

    def __init__(
        self,
        model: ContextModel,
        height: int,
        width: int,
        *,
        evaluator: type[Evaluator] = Evaluator,
        adapt: bool = True,
    ) -> None:
        _check_grid(height, width)
        self.model = model
        self.grid = (height, width)
        self.layer = 0
        """Layers encoded so far."""
        self.group_bits: list[float] = []
        """Ideal code length in bits of each group of the layer encoded last: the sum of
        -log2(P(code)), without what a stream costs on top."""
        self._adapt = adapt
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
        self._previous = codes
        self.layer += 1
        return payloads

    def encode_in_part(self, group: int, kept: NDArray[np.bool_]) -> bytes:
        """Return another payload for a group of the layer encoded last, as the end of a file.

        Args:
            group: of that layer, from 0; the groups before it are as they were.
            kept: (height, width): where its codes count. Elsewhere the stream has what is
                likelier, which costs little.
        """
        assert self._previous is not None, "no layer has been encoded"
        self.layer -= 1
        codes = self._previous.copy()
        start, stop = self.model.layers[self.layer].bounds[group]
        codes[~kept, start:stop] = 0
        payload = self._encode_group(codes, group)
        self.group_bits.pop()
        self.layer += 1
        return payload

    def _encode_group(self, codes: Codes, group: int) -> bytes:
        """Return the payload of a group; codes that are 0 become what is likelier."""
        layer = self.model.layers[self.layer]
        start, stop = layer.bounds[group]
        coder = BitEncoder()
        ideal: list[float] = []

        def code(block: Codes, entries: Entries) -> None:
            flat = entries.ravel()
            if not block.all():
                likelier = np.where(self.model.table[entries] >= _ONE // 2, 1, -1)
                block[:] = np.where(block == 0, likelier, block)
            bits = (block > 0).astype(np.int32).ravel()
            coder.encode(bits, self._chances.take(flat, axis=0))
            ideal.append(float(self._costs.take(2 * flat + bits).sum()))

        adaptation = Adaptation(self.model.table, stop - start, self._adapt)
        phases = self._positions[layer.phases]
        code_group(layer, group, self._evaluator, phases, codes, adaptation, code)
        self.group_bits.append(sum(ideal))
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

    After a ``Damaged`` nothing further can be decoded; ``current`` and ``last`` stay as they were
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
        evaluator: type[Evaluator] = Evaluator,
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
            Damaged: the group is not the next one, or as ``decode_group``; names layer and offset.
        """
        if (event.layer, event.group) != (self.layer + 1, self.group):
            message = f"group {event.group} of layer {event.layer} does not follow"
            raise Damaged(message, layer=event.layer, offset=event.offset)
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
        codes = self._started_layer()
        try:
            self._decode_group(payload, codes)
        except Damaged as error:
            codes[..., start:stop] = 0
            raise Damaged(error.message, layer=layer, offset=offset) from None
        self.current = codes
        self.group += 1
        if self.group == len(weights.passes):
            self.last, self.current = codes, None
            self.layer += 1
            self.group = 0

    def expectation(self) -> NDArray[np.float32]:
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
        codes = self._started_layer()
        layer = self.model.layers[self.layer]
        result = codes.astype(np.float32)
        # k / 32768 - 1 has at most 16 significant bits: exact in float32.
        levels = self.model.table.astype(np.float32) * (2 / _ONE) - 1
        flat = codes.reshape(-1, layer.codes)
        for group in range(self.group, len(layer.passes)):
            start, stop = layer.bounds[group]
            index = self._evaluator.indices(codes, group, 0, everywhere=True)
            for channels in turns(start, stop):
                entries = index[:, channels.start - start :: 2]
                if channels.start % 2:
                    partners = flat[:, channels.start - 1 : stop - 1 : 2]
                    q = layer.q[channels.start // 2 : stop // 2]
                    entries = with_partners(entries, partners, q)
                result[..., channels] = levels[entries].reshape(*self.grid, -1)
        return result

    def _started_layer(self) -> Codes:
        """Return the codes of the layer in progress, 0 where unknown.

        The evaluator is prepared for it only now, since the last layer shown needs no successor.
        """
        if self._started == self.layer:
            self._evaluator.start_layer(self.last)
            self._started += 1
        if self.current is not None:
            return self.current
        return np.zeros((*self.grid, self.model.codes[self.layer]), np.int8)

    def _decode_group(self, payload: bytes, codes: Codes) -> None:
        layer = self.model.layers[self.layer]
        start, stop = layer.bounds[self.group]
        coder = BitDecoder(payload)

        def code(block: Codes, entries: Entries) -> None:
            bits = coder.decode(self._chances.take(entries.ravel(), axis=0))
            block[:] = bits.reshape(block.shape)
            block *= 2
            block -= 1

        adaptation = Adaptation(self.model.table, stop - start)
        phases = self._positions[layer.phases]
        code_group(layer, self.group, self._evaluator, phases, codes, adaptation, code)


def codes_digest(codes: Codes) -> str:
    """Return the SHA-256 of a layer of codes, in hexadecimal (SPEC section 8.6)."""
    return hashlib.sha256(np.ascontiguousarray(codes).tobytes()).hexdigest()


def working_bytes(model: ContextModel, rows: int, columns: int) -> int:
    """Return about how many bytes coding a picture with such a grid takes, weights apart."""
    group = max(end - start for layer in model.layers for start, end in layer.bounds)
    # Indices of a pass (int16; of the whole grid, and of the phase), the new state. Bits and
    # probabilities are worked on in parts of bounded size.
    per_position = max(model.codes) + 3 * group + model.states
    return kept_bytes(model, rows, columns) + rows * columns * per_position + 2**25


def kept_bytes(model: ContextModel, rows: int, columns: int) -> int:
    """Return about how many of the working bytes stay taken between two groups."""
    # Codes of a layer, state, hidden sums (float32), positions of all phases.
    positions = 8 * len(set(model.phases))
    per_position = max(model.codes) + model.states + 4 * model.hidden + positions
    return rows * columns * per_position


def _positions(model: ContextModel, height: int, width: int) -> dict[int, list[NDArray[np.int64]]]:
    """Return the positions of each phase, for each number of phases that occurs."""
    return {
        phases: [phase_positions(height, width, phase, phases) for phase in range(phases)]
        for phases in set(model.phases)
    }


def _check_grid(height: int, width: int) -> None:
    if height < 1 or width < 1:
        raise InvalidInput(f"a grid has at least one position, got {height} x {width}")
