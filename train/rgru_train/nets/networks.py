"""Encoder E, binarizer B, decoder D and its head, built from a :class:`NetworkConfig`.

Pictures and residuals are (B, H, W, 3), float32, in [-0.9, 0.9] (paper's predecessor, arXiv
1511.06085), H and W multiples of the encoder's total stride. Codes are (B, H/16, W/16, C) in
{-1, +1}, 0 for a code that is not known. All networks are convolutional: any H and W.
"""

from __future__ import annotations

import math
from collections.abc import Sequence

import keras
import numpy as np
import tensorflow as tf

from rgru_train.nets.cells import CELL_TYPES
from rgru_train.nets.config import LayerSpec, NetworkConfig
from rgru_train.nets.linear import LinearPath
from rgru_train.nets.transform import analysis_kernel, synthesis_kernel

States = list[tf.Tensor]


class ResidualBlock(keras.layers.Layer):
    """x + conv(relu(conv(relu(x)))), both convolutions with ``spec.kernel``.

    Between them are ``spec.inner`` channels, ``spec.depth`` if that is 0.
    """

    def __init__(self, spec: LayerSpec, name: str) -> None:
        super().__init__(name=name)
        inner = spec.inner or spec.depth
        self.first = keras.layers.Conv2D(inner, spec.kernel, padding="same")
        # A small second kernel: at the start the block is close to the identity.
        small = keras.initializers.VarianceScaling(0.1)
        self.second = keras.layers.Conv2D(
            spec.depth, spec.kernel, padding="same", kernel_initializer=small
        )

    def call(self, x: tf.Tensor) -> tf.Tensor:
        """(B, H, W, depth) to the same."""
        return x + self.second(tf.nn.relu(self.first(tf.nn.relu(x))))


class Stack(keras.layers.Layer):
    """Layers one after the other; the states of its cells are passed in and out, in order."""

    def __init__(self, specs: Sequence[LayerSpec], cell: str, prefix: str) -> None:
        super().__init__(name=prefix)
        self.specs = tuple(specs)
        self.blocks = [_build(spec, cell, f"{prefix}{i}") for i, spec in enumerate(specs)]

    def call(self, x: tf.Tensor, states: States) -> tuple[tf.Tensor, States]:
        """Run all layers: (output, new states)."""
        waiting, updated = list(states), []
        for spec, block in zip(self.specs, self.blocks, strict=True):
            if spec.kind == "rnn":
                own, waiting = waiting[: block.states], waiting[block.states :]
                x, own = block(x, own)
                updated += own
            else:
                x = block(x)
        return x, updated

    def state_shapes(self, scale: float = 1.0) -> list[tuple[float, int]]:
        """(pixels a position, channels) of each state, input at ``scale`` pixels a position."""
        shapes = []
        for spec, block in zip(self.specs, self.blocks, strict=True):
            scale *= spec.scale
            if spec.kind == "rnn":
                shapes += [(scale, spec.depth)] * block.states
        return shapes

    def reach(self, scale: float = 1.0) -> int:
        """How far in pixels an output depends on inputs and states around it, in one step."""
        total = 0.0
        for spec in self.specs:
            if spec.kind in ("conv", "rnn"):
                # What a kernel has beyond its stride is shared out on two sides, evenly or nearly.
                total += scale * math.ceil(max(spec.kernel - spec.stride, 0) / 2)
            elif spec.kind == "residual":
                total += scale * 2 * ((spec.kernel - 1) // 2)
            scale *= spec.scale
            if spec.kind == "rnn":  # the gates' reach, and on top of it the candidate's
                total += scale * 2 * (spec.hidden // 2)
        return math.ceil(total)

    @property
    def scale(self) -> float:
        """Product of the layers' scales."""
        return math.prod(spec.scale for spec in self.specs)


def _build(spec: LayerSpec, cell: str, name: str) -> keras.layers.Layer:
    if spec.kind == "rnn":
        return CELL_TYPES[cell](spec, name)
    if spec.kind == "residual":
        return ResidualBlock(spec, name)
    if spec.kind == "space_to_depth":
        return keras.layers.Lambda(_rearrangement(tf.nn.space_to_depth, spec.factor), name=name)
    if spec.kind == "depth_to_space":
        return keras.layers.Lambda(_rearrangement(tf.nn.depth_to_space, spec.factor), name=name)
    return keras.layers.Conv2D(
        spec.depth,
        spec.kernel,
        spec.stride,
        padding="same",
        use_bias=spec.bias,
        activation=None if spec.activation == "linear" else spec.activation,
        kernel_initializer=_initializer(spec),
        name=name,
    )


def _initializer(spec: LayerSpec) -> keras.initializers.Initializer:
    if spec.init == "dct":
        return _Dct(spec.init_scale)
    return keras.initializers.VarianceScaling(spec.init_scale**2, "fan_avg", "uniform")


def _rearrangement(operation, factor: int):  # type: ignore[no-untyped-def]
    return lambda x: operation(x, factor)


class _Dct(keras.initializers.Initializer):
    """The cosine transform if the convolution reads RGB, its inverse if it leads to RGB."""

    def __init__(self, scale: float) -> None:
        self.scale = scale

    def __call__(self, shape, dtype=None):  # type: ignore[no-untyped-def]
        kernel, _, depth_in, depth_out = shape
        if depth_in == 3:
            return self.scale * tf.constant(analysis_kernel(kernel, depth_out))
        side = math.isqrt(depth_out // 3)
        return self.scale * tf.constant(synthesis_kernel(kernel, side, depth_in))


class Binarizer(keras.layers.Layer):
    """B: a 1x1 convolution with tanh, then -1 or +1 (arXiv 1511.06085, section 3.2).

    In training the step is b = x + ε with E[b] = x if ``noise`` is 1, deterministic if 0; the
    gradient passes unchanged. Zero maps to +1. ``hardness`` below 1 (in training) mixes the codes
    with x itself, so that the networks around find each other before codes are binary.
    """

    def __init__(self, config: NetworkConfig) -> None:
        super().__init__(name="B")
        depth = max(config.codes)
        self.noise = config.binarizer_noise
        self.hardness = self.add_weight(
            shape=(), initializer="ones", trainable=False, name="hardness"
        )
        self.conv = keras.layers.Conv2D(
            depth,
            1,
            use_bias=config.binarizer_bias,
            kernel_initializer=_binarizer_initializer(config),
            bias_initializer=keras.initializers.Constant(-config.threshold),
            name="B_Conv",
        )

    def call(
        self, features: tf.Tensor, linear: tf.Tensor | None = None, training: bool = False
    ) -> tf.Tensor:
        """Codes of features (B, h, w, C_in), the linear path's pre-activations added."""
        z = self.conv(features)
        x = tf.tanh(z if linear is None else z + linear)
        if training and self.noise > 0:
            draw = 2.0 * tf.random.uniform(tf.shape(x)) - 1.0
            codes = tf.where(x >= self.noise * draw, 1.0, -1.0)
        else:
            codes = tf.where(x < 0.0, -1.0, 1.0)
        if training:
            codes = x + self.hardness * (codes - x)
        return x + tf.stop_gradient(codes - x)


def _binarizer_initializer(config: NetworkConfig) -> keras.initializers.Initializer:
    if config.linear is not None:  # at the start the linear path decides
        return keras.initializers.VarianceScaling(0.01, "fan_avg", "uniform")
    return _Paired() if config.threshold > 0 else keras.initializers.GlorotUniform()


class _Paired(keras.initializers.Initializer):
    """Kernels w, -w, w', -w', ...: with a negative bias, two codes tell minus, none and plus."""

    def __call__(self, shape, dtype=None):  # type: ignore[no-untyped-def]
        half = keras.initializers.Orthogonal(2.0)((*shape[:-1], shape[-1] // 2))
        return tf.reshape(tf.stack([half, -half], axis=-1), shape)


class Gain(keras.layers.Layer):
    """G of residual scaling: one gain above 1 for each 32x32 block of the picture so far."""

    def __init__(self) -> None:
        super().__init__(name="G")
        depths = [(32, 3)] * 4 + [(1, 2)]
        self.convs = [
            keras.layers.Conv2D(depth, kernel, 2, padding="same", activation="elu")
            for depth, kernel in depths
        ]

    def call(self, picture: tf.Tensor) -> tf.Tensor:
        """(B, H, W, 3) to (B, H, W, 1): gains, repeated to every pixel (ZOH)."""
        x = picture
        for conv in self.convs:
            x = conv(x)
        x = tf.repeat(tf.repeat(x + 2.0, 32, axis=1), 32, axis=2)
        return x[:, : tf.shape(picture)[1], : tf.shape(picture)[2]]


class Codec(keras.Model):
    """The whole network: one instance holds every weight that training changes.

    Attributes:
        encoder: E, without the binarizer.
        binarizer: B.
        decoder: D up to its last recurrent layer (updates the states from the codes).
        head: the rest of D, features to picture.
        linear: the linear path, if there is one.
        gain: G, present for residual scaling only.
        log_gains: (iterations,) logarithms of the gain of each iteration.
    """

    def __init__(self, config: NetworkConfig) -> None:
        super().__init__(name="rgru")
        self.config = config
        self.encoder = Stack(config.encoder, config.cell, "E")
        self.binarizer = Binarizer(config)
        self.decoder = Stack(config.decoder, config.cell, "D")
        self.head = Stack(config.head, config.cell, "H")
        linear = config.linear
        self.linear = None if linear is None else LinearPath(linear, max(config.codes))
        self.gain = Gain() if config.reconstruction == "residual_scaling" else None
        self.log_gains = self.add_weight(
            shape=(config.iterations,),
            initializer=lambda shape, dtype: tf.constant(np.log(config.iteration_gains), dtype),
            trainable=bool(config.gains),
            name="log_gains",
        )

    @property
    def stride(self) -> int:
        """Pixels a position of the codes: H and W of a picture must be multiples of it."""
        return round(self.encoder.scale)

    def initial_states(self, batch: int, height: int, width: int) -> tuple[States, States]:
        """All-zero states of encoder and decoder for pictures of height x width pixels."""
        encoder = self.encoder.state_shapes()
        decoder = self.decoder.state_shapes(self.encoder.scale)

        def zeros(shapes: list[tuple[float, int]]) -> States:
            return [
                tf.zeros((batch, int(height / scale), int(width / scale), depth))
                for scale, depth in shapes
            ]

        return zeros(encoder), zeros(decoder)

    def build_all(self) -> None:
        """Create every weight by running one iteration on one smallest picture."""
        side = 2 * self.stride
        self.iterate(tf.zeros((1, side, side, 3)), iterations=1)

    def iterate(
        self, picture: tf.Tensor, iterations: int | None = None, training: bool = False
    ) -> tuple[list[tf.Tensor], list[tf.Tensor]]:
        """Run the loop of the paper (equations 1 to 3) and return codes and pictures.

        Args:
            picture: (B, H, W, 3) in [-0.9, 0.9]; H and W static multiples of the stride.
            iterations: how many; by default all.
            training: binarize stochastically if the config says so.

        Returns:
            Codes b_t (B, H/16, W/16, C_t) and pictures P_t (B, H, W, 3), one each an iteration.
        """
        batch, height, width, _ = picture.shape
        encoder_states, decoder_states = self.initial_states(batch, height, width)
        residual, previous = picture, tf.zeros_like(picture)
        codes, pictures = [], []
        for t in range(iterations or self.config.iterations):
            scale = self.scaling(t, previous)
            known = decoder_states[0]
            b, encoder_states = self.encode(t, residual * scale, encoder_states, known, training)
            delta, decoder_states = self.decode(b, decoder_states)
            previous = self.reconstruct(t, delta, previous, scale)
            residual = picture - previous
            codes.append(b[..., : self.config.codes[t]])
            pictures.append(previous)
        return codes, pictures

    def scaling(self, t: int, previous: tf.Tensor) -> tf.Tensor:
        """Factor on the residual of iteration t: the gain of t, times G's for residual scaling."""
        gain = tf.exp(self.log_gains[t])
        if self.gain is not None and t > 0:
            return gain * self.gain(previous)
        return gain

    def encode(
        self,
        t: int,
        residual: tf.Tensor,
        states: States,
        known: tf.Tensor | None,
        training: bool = False,
    ) -> tuple[tf.Tensor, States]:
        """b_t = B(E(r_{t-1})), channels from C_t on set to zero, and E's new states.

        ``known``: the decoder's first state, which the linear path looks at.
        """
        codes, states = self.all_codes(residual, states, known, training)
        used = tf.cast(tf.range(max(self.config.codes)) < self.config.codes[t], tf.float32)
        return codes * used, states

    def all_codes(
        self, residual: tf.Tensor, states: States, known: tf.Tensor | None, training: bool = False
    ) -> tuple[tf.Tensor, States]:
        """B(E(residual)) with as many channels as any iteration has, and E's new states."""
        features, states = self.encoder(residual, states)
        linear = None if self.linear is None else self.linear.analyse(residual, known)
        return self.binarizer(features, linear, training=training), states

    def decode(self, codes: tf.Tensor, states: States) -> tuple[tf.Tensor, States]:
        """What the codes add to the picture (or the picture, one-shot), and D's new states."""
        paints, states = self.paints(codes, states)
        return self.paint(*paints), states

    def paints(self, codes: tf.Tensor, states: States) -> tuple[list[tf.Tensor], States]:
        """All that the head paints from: D's features, the linear path's coefficients if any."""
        features, updated = self.decoder(codes, states)
        if self.linear is None:
            return [features], updated
        return [features, self.linear.coefficients(codes, states[0])], updated

    def paint(self, features: tf.Tensor, coefficients: tf.Tensor | None = None) -> tf.Tensor:
        """The head's picture of D's features, plus the linear path's."""
        delta, _ = self.head(features, [])
        if self.linear is None or coefficients is None:
            return delta
        return delta + self.linear.synthesise(coefficients)

    def reconstruct(
        self, t: int, delta: tf.Tensor, previous: tf.Tensor, scale: tf.Tensor
    ) -> tf.Tensor:
        """P_t from D's output: replaced, or added to P_{t-1} (paper, section 2)."""
        if self.config.reconstruction == "one_shot":
            return delta
        return previous + delta / scale
