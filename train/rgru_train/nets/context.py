"""The context model's twin in floats, trained together with the codec.

It computes in float what SPEC.md (context model) defines in integers: weights are rounded to 8
fractional bits and activations to 6 in the forward pass, gradients pass the rounding unchanged.
The trained weights, written as integers, *are* the integer model.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from typing import Any

import keras
import numpy as np
from keras import ops
from numpy.typing import NDArray

from rgru_format.context.order import (
    group_bounds,
    neighbour_rows,
    own_rows,
    phase_grid,
    phase_positions,
    spacing,
)
from rgru_format.context.tiles import ALL_TAPS
from rgru_train.nets.config import NetworkConfig
from rgru_train.nets.kernels import matmul
from rgru_train.nets.module import Module, Tensor, split_at, variable

WEIGHT_SCALE = 256.0
ACTIVATION_SCALE = 64.0
ACCUMULATOR_SCALE = WEIGHT_SCALE * ACTIVATION_SCALE
ACTIVATION_MAX = 255.0 / ACTIVATION_SCALE
WEIGHT_MAX = 127.0 / WEIGHT_SCALE
LOGIT_MAX = 11.0
OWN_MAX = 4.0
PAIR_SCALE = 16.0
OWN_UNIT, PAIR_UNIT = 5.0, 25.0
"""Terms of single channels are stored as multiples of these: they should move fast."""


def _rounded(x: Tensor, scale: float) -> Tensor:
    return x + ops.stop_gradient(ops.floor(x * scale + 0.5) / scale - x)


def _requant(x: Tensor) -> Tensor:
    """Clamp to [0, 255/64] and round to sixty-fourths, halves up."""
    return keras.quantizers.fake_quant_with_min_max_vars(x, 0.0, ACTIVATION_MAX, num_bits=8)


def _weights(x: Tensor) -> Tensor:
    """Clamp to ±127/256 and round to 1/256, halves up, as one operation: there are millions."""
    return keras.quantizers.fake_quant_with_min_max_vars(
        x, -WEIGHT_MAX, WEIGHT_MAX, num_bits=8, narrow_range=True
    )


def _shifted(x: Tensor, taps: Sequence[tuple[int, int]], apart: int = 1) -> list[Tensor]:
    """What is ``apart`` times as far away as each tap from the middle (1, 1), 0 outside."""
    height, width = x.shape[1:3]
    padded = ops.pad(x, [[0, 0], [apart, apart], [apart, apart], [0, 0]])
    corners = [(apart * i, apart * j) for i, j in taps]
    return [padded[:, i : i + height, j : j + width] for i, j in corners]


def _around(
    x: Tensor, positions: NDArray[np.int64], taps: Sequence[tuple[int, int]], apart: int
) -> Tensor:
    """(B, h, w, C) to (B, n, taps·C): what the taps of some positions meet, 0 outside.

    One matrix product on them is several times faster here than a convolution: grids are small,
    and most positions belong to another phase.
    """
    batch, _, width, depth = x.shape
    padded = ops.pad(x, [[0, 0], [apart, apart], [apart, apart], [0, 0]])
    rows, columns = np.divmod(positions, width)
    at = [(rows + apart * i) * (width + 2 * apart) + columns + apart * j for i, j in taps]
    flat = ops.reshape(padded, (batch, -1, depth))
    found = ops.take(flat, np.stack(at, axis=1).ravel().astype(np.int32), axis=1)
    return ops.reshape(found, (batch, len(positions), len(taps) * depth))


def _reordered(x: Tensor, order: NDArray[np.int64], inverse: NDArray[np.int64]) -> Tensor:
    """(B, n, C) with its positions in another order; the gradient goes the way back."""

    @ops.custom_gradient
    def reorder(x: Tensor) -> tuple[Tensor, Any]:
        def gradient(*arguments: Tensor, upstream: Tensor | None = None) -> Tensor:
            above = arguments[0] if upstream is None else upstream
            return ops.take(above, inverse.astype(np.int32), axis=1)

        return ops.take(x, order.astype(np.int32), axis=1), gradient

    return reorder(x)


class _Sum(Module):
    """A product with weights and a bias that are rounded to what their integers can hold."""

    def __init__(
        self, depth_in: int, depth: int, kernel: int, name: str, bias: float | None = 0.0
    ) -> None:
        super().__init__(name)
        with self.name_scope:
            glorot = keras.initializers.GlorotUniform()
            self.kernel = variable(glorot, (kernel, kernel, depth_in, depth), name="kernel")
            self.bias = None if bias is None else variable(np.full(depth, bias), name="bias")

    def matrices(self, ends: Sequence[int], taps: Sequence[tuple[int, int]]) -> list[Tensor]:
        """Return the rounded weights of some inputs, those of one tap below those of another.

        Args:
            ends: behind which inputs they are divided.
            taps: of the last part; the others have all.

        Returns:
            For each part (taps·inputs, depth).
        """
        kernel = ops.convert_to_tensor(self.kernel)
        parts = split_at(kernel, ends, axis=2)
        if len(taps) < kernel.shape[0] * kernel.shape[1]:
            own = parts[-1]
            parts[-1] = ops.stack([own[i, j] for i, j in taps]) if taps else own[:0]
        return [_weights(ops.reshape(part, (-1, kernel.shape[-1]))) for part in parts]

    def __call__(self, patches: Tensor) -> Tensor:
        """(..., taps·inputs) to (..., depth)."""
        (matrix,) = self.matrices([], ALL_TAPS)
        y = matmul(patches, matrix)
        return y if self.bias is None else y + _rounded(self.bias, ACCUMULATOR_SCALE)


class _Pass(Module):
    """One evaluation: logits of one group, channels start to end, at the positions of a phase."""

    def __init__(
        self, bounds: tuple[int, int], hidden: int, phases: int, phase: int, name: str
    ) -> None:
        super().__init__(name)
        self.bounds = start, end = bounds
        self.apart = spacing(phases, phase)
        self.taps = [tap for _, taps in neighbour_rows(phases, phase) for tap in taps]
        known = end if phase else start
        with self.name_scope:
            self.v = _Sum(known, hidden, 3, "v")
            self.w = _Sum(hidden, hidden, 1, "w")
            # Most codes are -1: start from there.
            self.o = _Sum(hidden, end - start, 1, "o", bias=-2.5)

    def logits(self, u: Tensor, codes: Tensor, positions: NDArray[np.int64]) -> Tensor:
        """Return logits (B, n, end - start) of some positions.

        Args:
            u: (B, n, hidden), what the state says of them.
            codes: (B, h, w, C), all of the layer; only those that are known are looked at.
            positions: (n,) indices of the flattened grid.
        """
        start, end = self.bounds
        earlier, own = self.v.matrices([start], self.taps)
        h = u + _rounded(self.v.bias, ACCUMULATOR_SCALE)
        if start:
            h += matmul(_around(codes[..., :start], positions, ALL_TAPS, self.apart), earlier)
        if self.taps:
            h += matmul(_around(codes[..., start:end], positions, self.taps, self.apart), own)
        return self.o(_requant(self.w(_requant(h))))


class _Own(Module):
    """What the own channel of a code and its partner's add to its logit (SPEC section 7.4).

    Channels 2i and 2i + 1 are partners. Looked at are both in the layer before at the same place,
    both at the neighbours that are known, and for odd channels the partner at this place.
    """

    def __init__(self, bounds: list[tuple[int, int]], phases: int, pair: float) -> None:
        super().__init__("own")
        codes = bounds[-1][1]
        self.phases = phases
        with self.name_scope:
            self.kernel = variable(np.zeros((own_rows(phases), codes)), name="kernel")
            self.pair = variable(np.full(codes // 2, pair / PAIR_UNIT), name="pair")
        stops = np.concatenate([np.full(stop - start, stop) for start, stop in bounds])
        partner = np.arange(codes) ^ 1
        self._partner = np.minimum(partner, codes - 1)
        self._exists = (partner < codes).astype(np.float32)
        self._known = (partner < stops).astype(np.float32)  # in no later group

    @property
    def weights_of_codes(self) -> Tensor:
        """(rows, C): for own and partner's code before, and for those of neighbours (SPEC 7.4)."""
        return _rounded(ops.clip(OWN_UNIT * self.kernel, -OWN_MAX, OWN_MAX), WEIGHT_SCALE)

    @property
    def shifts(self) -> Tensor:
        """(C,): what a partner of +1 at the same place adds to the logits of odd channels."""
        pair = ops.clip(PAIR_UNIT * self.pair, -LOGIT_MAX, LOGIT_MAX)
        pair = _rounded(pair, PAIR_SCALE)
        shifts = ops.reshape(ops.stack([ops.zeros_like(pair), pair], axis=1), [-1])
        return ops.pad(shifts, [[0, self._partner.size % 2]])

    def __call__(
        self,
        z: Tensor,
        codes: Tensor,
        previous: Tensor | None,
        masks: list[NDArray[np.float32]],
    ) -> Tensor:
        """Return the logits with it, within their bounds, all (B, h, w, C).

        Args:
            z: what the passes say.
            codes: of this layer.
            previous: of the layer before.
            masks: 1 at the positions of each phase.
        """
        own = self.weights_of_codes
        for phase, mask in enumerate(masks):
            for row, taps in neighbour_rows(self.phases, phase):
                shifted = _shifted(codes, taps, spacing(self.phases, phase))
                around = mask * sum(shifted)
                z += own[row] * around + own[row + 1] * self._known * self._swapped(around)
        if previous is not None:
            before = _with_channels(previous, codes.shape[-1])
            z += own[0] * before + own[1] * self._exists * self._swapped(before)
        # Bounded before the partner here is known, and after (SPEC 7.4, steps 2.5 and 2.6).
        z = ops.clip(z, -LOGIT_MAX, LOGIT_MAX)
        z += self.shifts * (self._swapped(codes) + 1.0) / 2.0
        return ops.clip(z, -LOGIT_MAX, LOGIT_MAX)

    def _swapped(self, x: Tensor) -> Tensor:
        return ops.take(x, self._partner, axis=-1)


def _masks(height: int, width: int, phases: int) -> list[NDArray[np.float32]]:
    """1 at the positions of each phase, (1, h, w, 1)."""
    phase = phase_grid(height, width, phases)
    return [(phase == f).astype(np.float32)[None, :, :, None] for f in range(phases)]


def _with_channels(x: Tensor, channels: int) -> Tensor:
    """The first channels; 0 where x has fewer."""
    missing = max(channels - x.shape[-1], 0)
    return ops.pad(x[..., :channels], [[0, 0], [0, 0], [0, 0], [0, missing]])


class _Layer(Module):
    """The networks of layer t: its passes, and the state update after it."""

    def __init__(self, network: NetworkConfig, t: int) -> None:
        super().__init__(f"C{t}")
        before, states = network.states[max(t - 1, 0)], network.states[t]
        hidden, codes = network.hidden[t], network.codes[t]
        self.bounds = group_bounds(codes, network.groups[t] if network.groups else 1)
        self.phases = network.phases[t] if network.phases else 2
        with self.name_scope:
            self.u = _Sum(before, hidden, 3, "u", bias=None)
            self.passes = [
                [
                    _Pass(bounds, hidden, self.phases, phase, f"group{g}_phase{phase}")
                    for phase in range(self.phases)
                ]
                for g, bounds in enumerate(self.bounds)
            ]
            self.a = _Sum(codes, states, 3, "a")
            self.b = _Sum(before, states, 1, "b", bias=None)
            # The linear path tells plus and minus of a function by a pair of codes: never both.
            self.own = _Own(self.bounds, self.phases, -6.0 if network.linear else 0.0)

    def logits(
        self, state: Tensor, codes: Tensor, previous: Tensor | None
    ) -> tuple[Tensor, Tensor]:
        """Return logits (B, h, w, C_t) for P(+1), and the next state."""
        batch, height, width, depth = codes.shape
        everywhere = np.arange(height * width)
        phases = [phase_positions(height, width, f, self.phases) for f in range(self.phases)]
        order = np.concatenate(phases)
        inverse = np.argsort(order)
        u = self.u(ops.concatenate(_shifted(state, ALL_TAPS), axis=-1))
        u = _reordered(ops.reshape(u, (batch, order.size, -1)), order, inverse)
        parts = split_at(u, np.cumsum([len(p) for p in phases])[:-1].tolist(), axis=1)
        groups = []
        for group in self.passes:
            passes = zip(group, parts, phases, strict=True)
            found = [one.logits(part, codes, positions) for one, part, positions in passes]
            groups.append(ops.concatenate(found, axis=1))
        logits = ops.concatenate(groups, axis=-1)
        logits = ops.reshape(_reordered(logits, inverse, order), (batch, height, width, depth))
        added = self.a(_around(codes, everywhere, ALL_TAPS, 1))
        added = ops.reshape(added, (batch, height, width, -1))
        masks = _masks(height, width, self.phases)
        return self.own(logits, codes, previous, masks), _requant(added + self.b(state))


class ContextModel(Module):
    """P(code = +1) of every code of every layer, given what is decoded before it."""

    def __init__(self, network: NetworkConfig) -> None:
        super().__init__("context")
        self.states = network.states[0]
        self.layers_of_codes = [_Layer(network, t) for t in range(network.iterations)]

    def logits(self, codes: Sequence[Tensor], inside: Tensor | float = 1.0) -> Iterator[Tensor]:
        """Yield the logits for P(+1) of each layer, (B, h, w, C_t).

        Args:
            codes: (B, h, w, C_t) of each layer, -1 and 1, and 0 outside the picture.
            inside: (B, h, w, 1), 1 where the picture is and 0 elsewhere, if it does not fill
                the grid: what lies outside is 0 in the state too.
        """
        state = ops.zeros((*codes[0].shape[:3], self.states))
        previous = None
        for layer, known in zip(self.layers_of_codes, codes, strict=False):
            logits, state = layer.logits(state, known, previous)
            state, previous = state * inside, known
            yield logits

    def bits(self, codes: list[Tensor]) -> tuple[list[Tensor], list[Tensor]]:
        """Return the ideal code length of each layer in bits, twice, (B,) each.

        Returns:
            The length as a function of the context model (codes constant), and the same length
            as a function of the codes (probabilities constant). Their weights in a loss may
            differ: the model should always learn, the codes only pay the price set for a layer.
        """
        known = [ops.stop_gradient(own) for own in codes]
        of_model, of_codes = [], []
        for logits, constant, own in zip(self.logits(known), known, codes, strict=False):
            of_model.append(ops.sum(code_lengths(logits, constant), axis=[1, 2, 3]))
            of_codes.append(ops.sum(code_lengths(ops.stop_gradient(logits), own), axis=[1, 2, 3]))
        return of_model, of_codes


def code_lengths(logits: Tensor, codes: Tensor) -> Tensor:
    """Return bits: softplus(-z) nats for a code +1, softplus(z) for -1, linear in between."""
    return (ops.softplus(logits) - logits * (codes + 1.0) / 2.0) / np.log(2.0)
