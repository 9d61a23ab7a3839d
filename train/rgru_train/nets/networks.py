"""Encoder E, binarizer B, decoder D and its head or painter P, built from a configuration.

Pictures and residuals are (B, H, W, 3), float32, in [-0.9, 0.9] (paper's predecessor, arXiv
1511.06085), H and W multiples of the encoder's total stride. Codes are (B, H/16, W/16, C) in
{-1, +1}, 0 for a code that is not known. All networks are convolutional: any H and W.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import keras
import numpy as np
from keras import ops

from rgru_train.nets import config
from rgru_train.nets.cells import CELL_TYPES, States
from rgru_train.nets.kernels import KERNELS, Dense, Products, Separable, blocks, scaled, unblocked
from rgru_train.nets.linear import LinearPath
from rgru_train.nets.module import Initializer, Module, Tensor, variable
from rgru_train.nets.transform import analysis_kernel


class ResidualBlock(Module):
    """x + S2(relu(S1(relu(x)))), at the start close to the identity."""

    def __init__(self, layer: config.Residual, kernel: type[Dense], depth: int, name: str) -> None:
        super().__init__(name)
        inner, small = layer.inner or depth, keras.initializers.VarianceScaling(0.1)
        with self.name_scope:
            self.S1 = kernel(depth, inner, layer.kernel, bias=True, name="S1")
            self.S2 = kernel(inner, depth, layer.kernel, bias=True, init=small, name="S2")

    def __call__(self, x: Tensor, products: Products) -> Tensor:
        """(B, H, W, depth) to the same."""
        inner = ops.relu(self.S1(ops.relu(x), products=products))
        return x + self.S2(inner, products=products)


class Stack(Module):
    """Layers one after the other; the states of its cells are passed in and out, in order.

    The input has so many channels (``depth``) and pixels a position (``scale``).
    """

    def __init__(
        self,
        layers: Sequence[config.AnyLayer],
        network: config.NetworkConfig,
        depth: int,
        scale: float,
        name: str,
    ) -> None:
        super().__init__(name)
        self.layers_ = tuple(layers)
        self.scales = config.scales_after(layers, scale)
        self.blocks: list[Any] = []
        for i, layer in enumerate(self.layers_):
            tag = f"{layer.__struct_config__.tag}{i}"
            behind = self.layers_[i + 1] if i + 1 < len(self.layers_) else None
            # A kernel before depth_to_space holds a matrix for each of the positions it makes.
            parts = behind.factor**2 if isinstance(behind, config.DepthToSpace) else 1
            with self.name_scope:
                self.blocks.append(_build(layer, network, depth, parts, tag))
            depth = config.depth_after([layer], depth, self.scales[i])

    def __call__(
        self, x: Tensor, states: States, products: Products, picture: Tensor | None = None
    ) -> tuple[Tensor, States]:
        """Run all layers on (B, h, w, C): (output, new states).

        ``picture``: (B, H, W, 3), what ``picture`` layers join to their features.
        """
        waiting, updated = list(states), []
        for layer, block, scale in zip(self.layers_, self.blocks, self.scales, strict=False):
            if isinstance(layer, config.Rnn):
                own, waiting = waiting[: block.states], waiting[block.states :]
                x, own = block(x, own, products=products)
                updated.extend(own)
            elif block is not None:
                x = block(x, products=products)
            elif isinstance(layer, config.SpaceToDepth):
                x = blocks(x, layer.factor)
            elif isinstance(layer, config.DepthToSpace):
                x = unblocked(x, layer.factor)
            else:
                x = ops.concatenate([x, blocks(picture, round(scale))], axis=-1)
        return x, updated

    def initial_states(self, batch: int, height: int, width: int) -> States:
        """Return all-zero states for pictures of height x width pixels."""
        behind = zip(self.layers_, self.blocks, self.scales[1:], strict=True)
        return [
            ops.zeros((batch, int(height / scale), int(width / scale), layer.depth))
            for layer, block, scale in behind
            if isinstance(layer, config.Rnn)
            for _ in range(block.states)
        ]


def _build(
    layer: config.AnyLayer, network: config.NetworkConfig, depth: int, parts: int, name: str
) -> Module | None:
    """The block of a layer whose input has ``depth`` channels; None for what only rearranges."""
    kernel = KERNELS[network.kernels]
    if isinstance(layer, config.Rnn):
        return CELL_TYPES[network.cell](depth, layer, kernel, name)
    if isinstance(layer, config.Residual):
        return ResidualBlock(layer, kernel, depth, name)
    if not isinstance(layer, config.Conv | config.Separable):
        return None
    dct = isinstance(layer, config.Conv) and layer.init == "dct"
    return (Dense if isinstance(layer, config.Conv) else Separable)(
        depth,
        layer.depth,
        layer.kernel,
        layer.stride,
        bias=True,
        activation=layer.activation,
        init=_dct(layer.init_scale) if dct else scaled(layer.init_scale),
        parts=parts,
        name=name,
    )


def _dct(scale: float) -> Initializer:
    """The block cosine transform of RGB."""
    return lambda shape, dtype: ops.convert_to_tensor(scale * analysis_kernel(shape[0], shape[3]))


class Binarizer(Dense):
    """B: a 1x1 convolution with tanh, then -1 or +1 (arXiv 1511.06085, section 3.2).

    In training the step is b = x + ε with E[b] = x if ``noise`` is 1, deterministic if 0; the
    gradient passes unchanged. Zero maps to +1.
    """

    def __init__(self, depth_in: int, network: config.NetworkConfig) -> None:
        # With a linear path, that decides at the start.
        init = scaled(0.1) if network.linear else None
        super().__init__(depth_in, max(network.codes), bias=True, init=init, name="B")
        self.noise = network.binarizer_noise
        self.seeds = keras.random.SeedGenerator()

    def codes(
        self, features: Tensor, linear: Tensor | None, products: Products, training: bool = False
    ) -> Tensor:
        """Return codes of features (B, h, w, C_in), the linear path's pre-activations added."""
        z = self(features, products=products)
        x = ops.tanh(z if linear is None else z + linear)
        if training and self.noise > 0:
            draw = keras.random.uniform(x.shape, -1.0, 1.0, seed=self.seeds)
            codes = ops.where(x >= self.noise * draw, 1.0, -1.0)
        else:
            codes = ops.where(x < 0.0, -1.0, 1.0)
        return x + ops.stop_gradient(codes - x)


class Codec(Module):
    """The whole network: one instance holds every weight that training changes.

    Attributes:
        encoder: E, without the binarizer.
        binarizer: B.
        decoder: D up to its last recurrent layer (updates the states from the codes).
        painter: P, the rest of D: head or painter.
        linear: the linear path, if there is one.
        log_gains: (iterations,) logarithms of the gain of each iteration.
    """

    def __init__(self, network: config.NetworkConfig) -> None:
        super().__init__("codec")
        self.config = network
        most = max(network.codes)
        self.encoder = Stack(network.encoder, network, 3, 1.0, "E")
        self.binarizer = Binarizer(config.depth_after(network.encoder, 3), network)
        self.decoder = Stack(network.decoder, network, most, self.encoder.scales[-1], "D")
        self.linear = None
        if network.linear is not None:
            self.linear = LinearPath(network.linear, most, network.first_state)
        features = config.depth_after(network.decoder, most)
        features += self.linear.pairs if self.linear else 0
        layers = network.head or network.painter
        self.painter = Stack(layers, network, features, self.decoder.scales[-1], "P")
        gains = np.log(network.gains or [1.0] * network.iterations)
        self.log_gains = variable(gains, name="log_gains", trainable=bool(network.gains))

    @property
    def stride(self) -> int:
        """Pixels a position of the codes: H and W of a picture must be multiples of it."""
        return round(self.encoder.scales[-1])

    def initial_states(self, batch: int, height: int, width: int) -> tuple[States, States]:
        """Return all-zero states of encoder and decoder for pictures of height x width pixels."""
        size = (batch, height, width)
        return self.encoder.initial_states(*size), self.decoder.initial_states(*size)

    def iterate(
        self,
        picture: Tensor,
        iterations: int | None = None,
        training: bool = False,
        products: str = "float32",
    ) -> tuple[list[Tensor], list[Tensor]]:
        """Run the loop of the paper (equations 1 to 3) and return codes and pictures.

        Args:
            picture: (B, H, W, 3) in [-0.9, 0.9]; H and W static multiples of the stride.
            iterations: how many; by default all.
            training: binarize stochastically if the config says so.
            products: type in which the networks multiply.

        Returns:
            Codes b_t (B, H/16, W/16, C_t) and pictures P_t (B, H, W, 3), one each an iteration.
        """
        encoder_states, cells = self.initial_states(*picture.shape[:3])
        painted, told = ops.zeros_like(picture), None
        codes, pictures, multiply = [], [], Products(products)
        for t in range(iterations or self.config.iterations):
            b, encoder_states = self.encode(
                t, picture - painted, encoder_states, cells[0], multiply, training
            )
            painted, cells, told = self.decode(t, b, cells, told, multiply)
            codes.append(b[..., : self.config.codes[t]])
            pictures.append(painted)
        return codes, pictures

    def encode(
        self,
        t: int,
        residual: Tensor,
        states: States,
        known: Tensor,
        products: Products,
        training: bool = False,
    ) -> tuple[Tensor, States]:
        """Return b_t = B(E(r_{t-1})), channels from C_t on set to zero, and E's new states.

        ``known``: the decoder's first state, which the linear path looks at.
        """
        x = residual * ops.exp(self.log_gains[t])
        features, states = self.encoder(x, states, products=products)
        linear = None if self.linear is None else self.linear.analyse(x, known, products)
        codes = self.binarizer.codes(features, linear, products, training)
        used = (np.arange(max(self.config.codes)) < self.config.codes[t]).astype(np.float32)
        return codes * used, states

    def decode(
        self, t: int, codes: Tensor, cells: States, told: Tensor | None, products: Products
    ) -> tuple[Tensor, States, Tensor | None]:
        """Return P_t, D's new states, and what the iterations have added up so far.

        That is the picture (``additive``), the coefficients of the linear path over their gains
        (``paint``), or None (``one_shot``; paper, section 2).
        """
        features, updated = self.decoder(codes, cells, products=products)
        gain = ops.exp(self.log_gains[t])
        if self.linear is not None:
            added = self.linear.coefficients(codes, cells[0], products) / gain
            told = added if told is None else told + added
            linear = self.linear.synthesise(told)
            known = ops.concatenate([features, told], axis=-1)
            lacking, _ = self.painter(known, [], products, picture=linear)
            return linear + lacking, updated, told
        picture, _ = self.painter(features, [], products=products)
        if self.config.reconstruction == "one_shot":
            return picture, updated, None
        told = picture / gain if told is None else told + picture / gain
        return told, updated, told
