"""The context model's twin in TensorFlow, trained together with the codec.

It computes in float what SPEC.md (context model) defines in integers: weights are rounded to 8
fractional bits and activations to 6 in the forward pass, gradients pass the rounding unchanged.
The trained weights, written as integers, *are* the integer model.
"""

from __future__ import annotations

from collections.abc import Sequence

import keras
import numpy as np
import tensorflow as tf

from rgru_format.context.order import (
    group_bounds,
    neighbour_rows,
    own_rows,
    phase_grid,
    spacing,
)
from rgru_train.nets.config import NetworkConfig

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
    return _rounded(tf.clip_by_value(x, 0.0, ACTIVATION_MAX), ACTIVATION_SCALE)


def _patches(x: tf.Tensor, kernel: int, apart: int) -> tf.Tensor:
    """(B, h, w, C) to (B, h, w, kernel²·C): each position's neighbourhood, 0 outside the grid.

    One matrix product on patches is several times faster here than a convolution: grids are small.
    """
    if kernel == 1:
        return x
    return tf.concat(_shifted(x, [(i, j) for i in range(3) for j in range(3)], apart), axis=-1)


def _shifted(x: tf.Tensor, taps: Sequence[tuple[int, int]], apart: int) -> list[tf.Tensor]:
    """What is ``apart`` times as far away as each tap from the middle (1, 1), 0 outside."""
    height, width = x.shape[1:3]
    padded = tf.pad(x, [[0, 0], [apart, apart], [apart, apart], [0, 0]])
    corners = [(apart * i, apart * j) for i, j in taps]
    return [padded[:, i : i + height, j : j + width] for i, j in corners]


def _flat(kernel: tf.Tensor) -> tf.Tensor:
    return tf.reshape(kernel, (-1, kernel.shape[-1]))


class _Sum(keras.layers.Layer):
    """A convolution whose weights and bias are rounded to what their integers can hold."""

    def __init__(
        self,
        depth_in: int,
        depth: int,
        kernel: int,
        name: str,
        bias: bool = True,
        start: float = 0.0,
    ) -> None:
        super().__init__(name=name)
        self.kernel = self.add_weight(
            shape=(kernel, kernel, depth_in, depth), initializer="glorot_uniform", name="kernel"
        )
        self.bias = None
        if bias:
            constant = keras.initializers.Constant(start)
            self.bias = self.add_weight(shape=(depth,), initializer=constant, name="bias")

    def call(self, x: tf.Tensor, apart: int = 1) -> tf.Tensor:
        """(B, h, w, C) to (B, h, w, depth), the taps so many positions apart."""
        kernel = _rounded(tf.clip_by_value(self.kernel, -WEIGHT_MAX, WEIGHT_MAX), WEIGHT_SCALE)
        y = tf.matmul(_patches(x, self.kernel.shape[0], apart), _flat(kernel))
        return y if self.bias is None else y + _rounded(self.bias, ACCUMULATOR_SCALE)


class _Pass(keras.layers.Layer):
    """One evaluation: logits of one group at the positions of one phase."""

    def __init__(self, known: int, own: int, hidden: int, apart: int, name: str) -> None:
        super().__init__(name=name)
        self.known, self.apart = known, apart
        self.v = _Sum(known, hidden, 3, f"{name}_v") if known else None
        self.v_bias = None
        if not known:
            self.v_bias = self.add_weight(shape=(hidden,), initializer="zeros", name="v_bias")
        self.w = _Sum(hidden, hidden, 1, f"{name}_w")
        # Most codes are -1: start from there.
        self.o = _Sum(hidden, own, 1, f"{name}_o", start=-2.5)

    def call(self, u: tf.Tensor, codes: tf.Tensor) -> tf.Tensor:
        """Logits from the state's part u (B, h, w, hidden) and the codes known (B, h, w, C)."""
        if self.v is not None:
            h = u + self.v(codes[..., : self.known], apart=self.apart)
        else:
            h = u + _rounded(self.v_bias, ACCUMULATOR_SCALE)
        return self.o(_requant(self.w(_requant(h))))


class _Own(keras.layers.Layer):
    """What the own channel of a code and its partner's add to its logit (SPEC section 7.4).

    Channels 2i and 2i + 1 are partners. Looked at are both in the layer before at the same place,
    both at the neighbours that are known, and for odd channels the partner at this place.
    """

    def __init__(self, bounds: list[tuple[int, int]], phases: int, pair: float, name: str) -> None:
        super().__init__(name=name)
        codes = bounds[-1][1]
        self.phases = phases
        shape = (own_rows(phases), codes)
        self.kernel = self.add_weight(shape=shape, initializer="zeros", name="own")
        start = keras.initializers.Constant(pair / PAIR_UNIT)
        self.pair = self.add_weight(shape=(codes // 2,), initializer=start, name="pair")
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

    def call(
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


class _Layer(keras.layers.Layer):
    """The networks of layer t: its passes, and the state update after it."""

    def __init__(self, config: NetworkConfig, t: int) -> None:
        super().__init__(name=f"context{t}")
        states, hidden, codes = config.context_states, config.context_hidden, config.codes[t]
        self.bounds = group_bounds(codes, config.layer_groups[t])
        self.phases = config.layer_phases[t]
        self.u = _Sum(states, hidden, 3, f"u{t}", bias=False)
        self.passes = [
            [
                _Pass(
                    start if phase == 0 else end,
                    end - start,
                    hidden,
                    spacing(self.phases, phase),
                    f"pass{t}_{g}_{phase}",
                )
                for phase in range(self.phases)
            ]
            for g, (start, end) in enumerate(self.bounds)
        ]
        self.a = _Sum(codes, states, 3, f"a{t}")
        self.b = _Sum(states, states, 1, f"b{t}", bias=False)
        # The linear path tells plus and minus of a function by a pair of codes: never both.
        self.own = _Own(self.bounds, self.phases, -6.0 if config.linear else 0.0, f"own{t}")

    def call(
        self, state: tf.Tensor, codes: tf.Tensor, previous: tf.Tensor | None
    ) -> tuple[tf.Tensor, tf.Tensor]:
        """Logits (B, h, w, C_t) for P(+1), and the next state."""
        height, width = codes.shape[1:3]
        masks = _masks(height, width, self.phases)
        u = self.u(state)
        logits = []
        for (start, end), passes in zip(self.bounds, self.passes, strict=True):
            earlier, own = codes[..., :start], codes[..., start:end]
            total, seen = masks[0] * passes[0](u, earlier), masks[0]
            for mask, one in zip(masks[1:], passes[1:], strict=True):
                total += mask * one(u, tf.concat([earlier, own * seen], axis=-1))
                seen += mask
            logits.append(total)
        state = _requant(self.a(codes) + self.b(state))
        return tf.concat(logits, axis=-1) + self.own(codes, previous, masks), state


class ContextModel(keras.Model):
    """P(code = +1) of every code of every layer, given what is decoded before it."""

    def __init__(self, config: NetworkConfig) -> None:
        super().__init__(name="context")
        self.config = config
        self.layers_of_codes = [_Layer(config, t) for t in range(config.iterations)]

    def bits(self, codes: list[tf.Tensor]) -> tuple[list[tf.Tensor], list[tf.Tensor]]:
        """Ideal code length of each layer in bits, twice, (B,) each.

        Returns:
            The length as a function of the context model (codes constant), and the same length
            as a function of the codes (probabilities constant). Their weights in a loss may
            differ: the model should always learn, the codes only pay the price set for a layer.
        """
        batch, height, width, _ = codes[0].shape
        state = tf.zeros((batch, height, width, self.config.context_states))
        of_model, of_codes = [], []
        previous = None
        for layer, own in zip(self.layers_of_codes, codes, strict=False):
            known = tf.stop_gradient(own)
            logits, state = layer(state, known, previous)
            previous = known
            logits = tf.clip_by_value(logits, -LOGIT_MAX, LOGIT_MAX)
            of_model.append(_code_length(logits, known))
            of_codes.append(_code_length(tf.stop_gradient(logits), own))
        return of_model, of_codes


def _code_length(logits: tf.Tensor, codes: tf.Tensor) -> tf.Tensor:
    """(B,) bits: softplus(-z) nats for a code +1, softplus(z) for -1, linear in between."""
    cost = tf.nn.softplus(logits) - logits * (codes + 1.0) / 2.0
    return tf.reduce_sum(cost, axis=[1, 2, 3]) / np.log(2.0)
