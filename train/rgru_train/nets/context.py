"""The context model's twin in TensorFlow, trained together with the codec.

It computes in float what SPEC.md (context model) defines in integers: weights are rounded to 8
fractional bits and activations to 6 in the forward pass, gradients pass the rounding unchanged.
The trained weights, written as integers, *are* the integer model.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import keras
import numpy as np
import tensorflow as tf
from numpy.typing import NDArray

from rgru_format.context.order import (
    group_bounds,
    neighbour_rows,
    own_rows,
    phase_grid,
    phase_positions,
    spacing,
)
from rgru_train.nets.config import NetworkConfig
from rgru_train.nets.kernels import matmul

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


def _rounded(x: tf.Tensor, scale: float) -> tf.Tensor:
    return x + tf.stop_gradient(tf.floor(x * scale + 0.5) / scale - x)


def _requant(x: tf.Tensor) -> tf.Tensor:
    """Clamp to [0, 255/64] and round to sixty-fourths, halves up."""
    return tf.quantization.fake_quant_with_min_max_args(x, 0.0, ACTIVATION_MAX, num_bits=8)


def _weights(x: tf.Tensor) -> tf.Tensor:
    """Clamp to ±127/256 and round to 1/256, halves up, as one operation: there are millions."""
    return tf.quantization.fake_quant_with_min_max_args(
        x, -WEIGHT_MAX, WEIGHT_MAX, num_bits=8, narrow_range=True
    )


_ALL = tuple((i, j) for i in range(3) for j in range(3))
"""Every tap of a 3x3 kernel; (1, 1) is the position itself."""


def _shifted(x: tf.Tensor, taps: Sequence[tuple[int, int]], apart: int = 1) -> list[tf.Tensor]:
    """What is ``apart`` times as far away as each tap from the middle (1, 1), 0 outside."""
    height, width = x.shape[1:3]
    padded = tf.pad(x, [[0, 0], [apart, apart], [apart, apart], [0, 0]])
    corners = [(apart * i, apart * j) for i, j in taps]
    return [padded[:, i : i + height, j : j + width] for i, j in corners]


def _around(
    x: tf.Tensor, positions: NDArray[np.int64], taps: Sequence[tuple[int, int]], apart: int
) -> tf.Tensor:
    """(B, h, w, C) to (B, n, taps·C): what the taps of some positions meet, 0 outside.

    One matrix product on them is several times faster here than a convolution: grids are small,
    and most positions belong to another phase.
    """
    batch, _, width, depth = x.shape
    padded = tf.pad(x, [[0, 0], [apart, apart], [apart, apart], [0, 0]])
    rows, columns = np.divmod(positions, width)
    at = [(rows + apart * i) * (width + 2 * apart) + columns + apart * j for i, j in taps]
    flat = tf.reshape(padded, (batch, -1, depth))
    found = tf.gather(flat, np.stack(at, axis=1).ravel().astype(np.int32), axis=1)
    return tf.reshape(found, (batch, len(positions), len(taps) * depth))


def _reordered(x: tf.Tensor, order: NDArray[np.int64], inverse: NDArray[np.int64]) -> tf.Tensor:
    """(B, n, C) with its positions in another order; the gradient goes the way back."""

    @tf.custom_gradient
    def reorder(x: tf.Tensor) -> tuple[tf.Tensor, Any]:
        there = tf.gather(x, order.astype(np.int32), axis=1)
        return there, lambda upstream: tf.gather(upstream, inverse.astype(np.int32), axis=1)

    return reorder(x)


class _Sum(tf.Module):
    """A product with weights and a bias that are rounded to what their integers can hold."""

    def __init__(
        self,
        depth_in: int,
        depth: int,
        kernel: int,
        name: str,
        bias: bool = True,
        start: float = 0.0,
    ) -> None:
        super().__init__(name)
        with self.name_scope:
            glorot = keras.initializers.GlorotUniform()
            self.kernel = tf.Variable(glorot((kernel, kernel, depth_in, depth)), name="kernel")
            self.bias = tf.Variable(tf.fill((depth,), start), name="bias") if bias else None

    def matrices(self, bounds: Sequence[int], taps: Sequence[tuple[int, int]]) -> list[tf.Tensor]:
        """Return the rounded weights of some inputs, those of one tap below those of another.

        Args:
            bounds: where the inputs are divided, from 0 to their number.
            taps: of the last part; the others have all.

        Returns:
            For each part (taps·inputs, depth).
        """
        kernel = tf.convert_to_tensor(self.kernel)
        parts = tf.split(kernel, np.diff(bounds), axis=2)
        if len(taps) < kernel.shape[0] * kernel.shape[1]:
            rows = [tf.unstack(row) for row in tf.unstack(parts[-1])]
            parts[-1] = tf.stack([rows[i][j] for i, j in taps]) if taps else parts[-1][:0]
        return [_weights(tf.reshape(part, (-1, kernel.shape[-1]))) for part in parts]

    def __call__(self, patches: tf.Tensor) -> tf.Tensor:
        """(..., taps·inputs) to (..., depth)."""
        inputs = self.kernel.shape[2]
        (matrix,) = self.matrices([0, inputs], _ALL)
        y = matmul(patches, matrix)
        return y if self.bias is None else y + _rounded(self.bias, ACCUMULATOR_SCALE)


class _Pass(tf.Module):
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
            self.o = _Sum(hidden, end - start, 1, "o", start=-2.5)

    def logits(self, u: tf.Tensor, codes: tf.Tensor, positions: NDArray[np.int64]) -> tf.Tensor:
        """Return logits (B, n, end - start) of some positions.

        Args:
            u: (B, n, hidden), what the state says of them.
            codes: (B, h, w, C), all of the layer; only those that are known are looked at.
            positions: (n,) indices of the flattened grid.
        """
        start, end = self.bounds
        earlier, own = self.v.matrices([0, start, self.v.kernel.shape[2]], self.taps)
        h = u + _rounded(self.v.bias, ACCUMULATOR_SCALE)
        if start:
            known = codes[..., :start]
            h += matmul(_around(known, positions, _ALL, self.apart), earlier)
        if self.taps:
            known = codes[..., start:end]
            h += matmul(_around(known, positions, self.taps, self.apart), own)
        return self.o(_requant(self.w(_requant(h))))


class _Own(tf.Module):
    """What the own channel of a code and its partner's add to its logit (SPEC section 7.4).

    Channels 2i and 2i + 1 are partners. Looked at are both in the layer before at the same place,
    both at the neighbours that are known, and for odd channels the partner at this place.
    """

    def __init__(self, bounds: list[tuple[int, int]], phases: int, pair: float) -> None:
        super().__init__("own")
        codes = bounds[-1][1]
        self.phases = phases
        with self.name_scope:
            self.kernel = tf.Variable(tf.zeros((own_rows(phases), codes)), name="kernel")
            self.pair = tf.Variable(tf.fill((codes // 2,), pair / PAIR_UNIT), name="pair")
        stops = np.concatenate([np.full(stop - start, stop) for start, stop in bounds])
        partner = np.arange(codes) ^ 1
        self._partner = np.minimum(partner, codes - 1)
        self._exists = (partner < codes).astype(np.float32)
        self._known = (partner < stops).astype(np.float32)  # in no later group

    @property
    def weights_of_codes(self) -> tf.Tensor:
        """(rows, C): for own and partner's code before, and for those of neighbours (SPEC 7.4)."""
        return _rounded(tf.clip_by_value(OWN_UNIT * self.kernel, -OWN_MAX, OWN_MAX), WEIGHT_SCALE)

    @property
    def shifts(self) -> tf.Tensor:
        """(C,): what a partner of +1 at the same place adds to the logits of odd channels."""
        pair = tf.clip_by_value(PAIR_UNIT * self.pair, -LOGIT_MAX, LOGIT_MAX)
        pair = _rounded(pair, PAIR_SCALE)
        shifts = tf.reshape(tf.stack([tf.zeros_like(pair), pair], axis=1), [-1])
        return tf.pad(shifts, [[0, self._partner.size % 2]])

    def __call__(
        self, codes: tf.Tensor, previous: tf.Tensor | None, masks: list[tf.Tensor]
    ) -> tf.Tensor:
        """(B, h, w, C) of this layer, of the one before, and 1 at the positions of each phase."""
        own = self.weights_of_codes
        z = self.shifts * (self._swapped(codes) + 1.0) / 2.0
        for phase, mask in enumerate(masks):
            for row, taps in neighbour_rows(self.phases, phase):
                shifted = _shifted(codes, taps, spacing(self.phases, phase))
                around = mask * tf.add_n(shifted)
                z += own[row] * around + own[row + 1] * self._known * self._swapped(around)
        if previous is not None:
            before = _with_channels(previous, codes.shape[-1])
            z += own[0] * before + own[1] * self._exists * self._swapped(before)
        return z

    def _swapped(self, x: tf.Tensor) -> tf.Tensor:
        return tf.gather(x, self._partner, axis=-1)


def _masks(height: int, width: int, phases: int) -> list[tf.Tensor]:
    """1 at the positions of each phase, (1, h, w, 1)."""
    phase = phase_grid(height, width, phases)
    return [tf.constant((phase == f).astype(np.float32)[None, :, :, None]) for f in range(phases)]


def _with_channels(x: tf.Tensor, channels: int) -> tf.Tensor:
    """The first channels; 0 where x has fewer."""
    missing = max(channels - x.shape[-1], 0)
    return tf.pad(x[..., :channels], [[0, 0], [0, 0], [0, 0], [0, missing]])


class _Layer(tf.Module):
    """The networks of layer t: its passes, and the state update after it."""

    def __init__(self, network: NetworkConfig, t: int) -> None:
        super().__init__(f"C{t}")
        states, hidden, codes = network.context_states, network.context_hidden, network.codes[t]
        self.bounds = group_bounds(codes, network.layer_groups[t])
        self.phases = network.layer_phases[t]
        with self.name_scope:
            self.u = _Sum(states, hidden, 3, "u", bias=False)
            self.passes = [
                [
                    _Pass(bounds, hidden, self.phases, phase, f"group{g}_phase{phase}")
                    for phase in range(self.phases)
                ]
                for g, bounds in enumerate(self.bounds)
            ]
            self.a = _Sum(codes, states, 3, "a")
            self.b = _Sum(states, states, 1, "b", bias=False)
            # The linear path tells plus and minus of a function by a pair of codes: never both.
            self.own = _Own(self.bounds, self.phases, -6.0 if network.linear else 0.0)

    def logits(
        self, state: tf.Tensor, codes: tf.Tensor, previous: tf.Tensor | None
    ) -> tuple[tf.Tensor, tf.Tensor]:
        """Return logits (B, h, w, C_t) for P(+1), and the next state."""
        batch, height, width, depth = codes.shape
        everywhere = np.arange(height * width)
        phases = [phase_positions(height, width, f, self.phases) for f in range(self.phases)]
        order = np.concatenate(phases)
        inverse = np.argsort(order)
        u = tf.reshape(self.u(tf.concat(_shifted(state, _ALL), axis=-1)), (batch, order.size, -1))
        parts = tf.split(_reordered(u, order, inverse), [len(p) for p in phases], axis=1)
        logits = tf.concat(
            [
                tf.concat(
                    [
                        one.logits(part, codes, positions)
                        for one, part, positions in zip(group, parts, phases, strict=True)
                    ],
                    axis=1,
                )
                for group in self.passes
            ],
            axis=-1,
        )
        logits = tf.reshape(_reordered(logits, inverse, order), (batch, height, width, depth))
        added = tf.reshape(self.a(_around(codes, everywhere, _ALL, 1)), state.shape)
        masks = _masks(height, width, self.phases)
        return logits + self.own(codes, previous, masks), _requant(added + self.b(state))


class ContextModel(tf.Module):
    """P(code = +1) of every code of every layer, given what is decoded before it."""

    def __init__(self, network: NetworkConfig) -> None:
        super().__init__("context")
        self.states = network.context_states
        self.layers_of_codes = [_Layer(network, t) for t in range(network.iterations)]

    def bits(self, codes: list[tf.Tensor]) -> tuple[list[tf.Tensor], list[tf.Tensor]]:
        """Return the ideal code length of each layer in bits, twice, (B,) each.

        Returns:
            The length as a function of the context model (codes constant), and the same length
            as a function of the codes (probabilities constant). Their weights in a loss may
            differ: the model should always learn, the codes only pay the price set for a layer.
        """
        batch, height, width, _ = codes[0].shape
        state = tf.zeros((batch, height, width, self.states))
        of_model, of_codes = [], []
        previous = None
        for layer, own in zip(self.layers_of_codes, codes, strict=False):
            known = tf.stop_gradient(own)
            logits, state = layer.logits(state, known, previous)
            previous = known
            logits = tf.clip_by_value(logits, -LOGIT_MAX, LOGIT_MAX)
            of_model.append(_code_length(logits, known))
            of_codes.append(_code_length(tf.stop_gradient(logits), own))
        return of_model, of_codes


def _code_length(logits: tf.Tensor, codes: tf.Tensor) -> tf.Tensor:
    """(B,) bits: softplus(-z) nats for a code +1, softplus(z) for -1, linear in between."""
    cost = tf.nn.softplus(logits) - logits * (codes + 1.0) / 2.0
    return tf.reduce_sum(cost, axis=[1, 2, 3]) / np.log(2.0)
