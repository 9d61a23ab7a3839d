"""What defines a network: a frozen description, read from the ``[network]`` table of a TOML file.

A network is three stacks of layers, named as in the paper: the encoder (followed by the
binarizer), the decoder up to its last recurrent layer, and what turns the decoder's features into
a picture: a head that runs in each iteration, or a painter that a decoder runs once.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import Literal, TypeAlias

import msgspec

from rgru_format.context.order import NEIGHBOURS


class Layer(
    msgspec.Struct, frozen=True, forbid_unknown_fields=True, kw_only=True, tag_field="kind"
):
    """One layer of a stack; its ``kind`` says which."""

    @property
    def scale(self) -> float:
        """Factor by which the layer shrinks (below 1: grows) the sides of its input."""
        return 1.0


class _Strided(Layer, frozen=True):
    """A layer with output channels, a kernel and a stride."""

    depth: int
    kernel: int = 3
    stride: int = 1

    def __post_init__(self) -> None:
        """Refuse sizes that no kernel has."""
        if min(self.depth, self.kernel, self.stride) < 1:
            raise ValueError("depth, kernel and stride are 1 at least")

    @property
    def scale(self) -> float:
        """The stride."""
        return float(self.stride)


class Conv(_Strided, frozen=True, tag="conv"):
    """A dense convolution."""

    depth: int
    """Output channels."""
    kernel: int = 3
    """Side of the kernel, in positions."""
    stride: int = 1
    """Input positions an output position."""
    activation: Literal["linear", "relu", "tanh"] = "linear"
    """Function behind it."""
    init: Literal["default", "dct"] = "default"
    """``dct``: start as a block cosine transform of colours (reads RGB)."""
    init_scale: float = 1.0
    """Factor on the starting weights."""


class Separable(_Strided, frozen=True, tag="separable"):
    """A kernel for each channel by itself, then a 1x1 convolution."""

    depth: int
    """Output channels."""
    kernel: int = 3
    """Side of the channels' kernels, in positions."""
    stride: int = 1
    """Input positions an output position."""
    activation: Literal["linear", "relu"] = "linear"
    """Function behind it."""
    init_scale: float = 1.0
    """Factor on the starting weights."""


class Residual(Layer, frozen=True, tag="residual"):
    """ReLU, convolution, ReLU, convolution, added to the input."""

    kernel: int = 3
    """Side of both kernels, in positions."""
    inner: int = 0
    """Channels between the two; 0: as many as come in."""

    def __post_init__(self) -> None:
        """Refuse sizes that no kernel has."""
        if self.kernel < 1 or self.inner < 0:
            raise ValueError("kernel is 1 at least, inner 0 at least")


class Rnn(_Strided, frozen=True, tag="rnn"):
    """A convolutional recurrent cell."""

    depth: int
    """Channels of the state and of the output."""
    kernel: int = 3
    """Side of the kernel on the input, in positions."""
    stride: int = 1
    """Input positions an output position."""
    hidden: int = 1
    """Side of the kernel on the state."""


class _Rearrangement(Layer, frozen=True):
    factor: int = 2

    def __post_init__(self) -> None:
        """Refuse what rearranges nothing."""
        if self.factor < 2:
            raise ValueError("factor is 2 at least")


class SpaceToDepth(_Rearrangement, frozen=True, tag="space_to_depth"):
    """Squares of positions to channels of one."""

    factor: int = 2
    """Side of the squares."""

    @property
    def scale(self) -> float:
        """The factor."""
        return float(self.factor)


class DepthToSpace(_Rearrangement, frozen=True, tag="depth_to_space"):
    """Channels of a position to a square of positions."""

    factor: int = 2
    """Side of the squares."""

    @property
    def scale(self) -> float:
        """One over the factor."""
        return 1.0 / self.factor


class Picture(Layer, frozen=True, tag="picture"):
    """The linear picture, joined behind the features at their scale (``painter`` only)."""


AnyLayer: TypeAlias = Conv | Separable | Residual | Rnn | SpaceToDepth | DepthToSpace | Picture


def depth_after(layers: Sequence[AnyLayer], depth: int, scale: float = 1.0) -> int:
    """Return the channels behind a stack whose input has ``depth`` every ``scale`` pixels."""
    for layer in layers:
        if isinstance(layer, DepthToSpace):
            depth //= layer.factor**2
        elif isinstance(layer, SpaceToDepth):
            depth *= layer.factor**2
        elif isinstance(layer, Picture):
            depth += 3 * round(scale) ** 2
        elif not isinstance(layer, Residual):
            depth = layer.depth
        scale *= layer.scale
    return depth


class LinearConfig(msgspec.Struct, frozen=True, forbid_unknown_fields=True, kw_only=True):
    """The block transform and its first step."""

    step: float = 300.0
    """Quantiser step of the first iteration, in levels, for orthonormal functions."""
    threshold: float = 0.6
    """From this part of a step on, a coefficient is told."""
    mean_digits: tuple[tuple[float, ...], ...] = ((4.5, 1.5, 0.5), (2.0, 0.67), (2.0, 0.67))
    """Block means are told in several digits, worth so many steps (luma and two differences)."""


class NetworkConfig(msgspec.Struct, frozen=True, forbid_unknown_fields=True, kw_only=True):
    """Encoder, binarizer and decoder, and how iterations are put together."""

    cell: Literal["residual_gru", "gru", "lstm"]
    """Kind of the recurrent cells (paper, section 3)."""
    reconstruction: Literal["one_shot", "additive", "paint"]
    """``one_shot`` or ``additive`` (paper, section 2), or ``paint``: the linear path adds up, and
    the painter paints all that it lacks anew."""
    kernels: Literal["dense", "separable"] = "dense"
    """What the kernels of recurrent cells and residual blocks are."""
    codes: tuple[int, ...]
    """Codes a position, for each iteration."""
    encoder: tuple[AnyLayer, ...]
    """Layers in front of the binarizer."""
    decoder: tuple[AnyLayer, ...]
    """Layers up to the last recurrent one."""
    head: tuple[AnyLayer, ...] = ()
    """Layers from there to the picture (``one_shot`` and ``additive``)."""
    painter: tuple[AnyLayer, ...] = ()
    """Layers from the decoder's features and the linear path's coefficients to the picture that
    is added to the linear one (``paint``)."""
    gains: tuple[float, ...] = ()
    """Factor on the residual before the encoder, and (inverse) on what an iteration adds; empty
    means 1 throughout, as in the paper."""
    binarizer_noise: float = 1.0
    """1: the paper's stochastic binarizer in training; 0: deterministic."""
    linear: LinearConfig | None = None
    """A block transform beside the recurrent networks (``paint``)."""
    groups: tuple[int, ...] = ()
    """Entropy-coded groups of each layer; empty means one each."""
    phases: tuple[int, ...] = ()
    """Phases in which each layer is coded, 2, 4 or 5; empty means 2 each."""
    context_states: int | tuple[int, ...] = 48
    """Channels that the context model carries on from each layer: a number, or one for each."""
    context_hidden: int | tuple[int, ...] = 64
    """Hidden channels of its passes, likewise; its file has room for the most in all layers."""

    def __post_init__(self) -> None:
        """Check what the types do not."""
        if not self.codes or min(self.codes) < 1:
            raise ValueError("codes has an entry of at least 1 for each iteration")
        if not set(self.phases) <= set(NEIGHBOURS):
            raise ValueError(f"phases are 2, 4 or 5, got {self.phases}")
        for name in ("gains", "groups", "phases", "context_states", "context_hidden"):
            values = getattr(self, name)
            if isinstance(values, tuple) and values and len(values) != len(self.codes):
                raise ValueError(f"{name} has {len(values)} entries for {len(self.codes)} codes")
        self._check_reconstruction()

    def _check_reconstruction(self) -> None:
        paints = self.reconstruction == "paint"
        if paints != (self.linear is not None) or paints != bool(self.painter):
            raise ValueError("[network.linear] and a painter belong to reconstruction paint")
        if paints == bool(self.head):
            raise ValueError("a head belongs to reconstruction one_shot or additive")
        if paints and not (self.decoder and isinstance(self.decoder[0], Rnn)):
            raise ValueError("[network.linear] needs a recurrent layer at the decoder's start")
        others = (*self.encoder, *self.decoder, *self.head)
        if any(isinstance(layer, Picture) for layer in others):
            raise ValueError("a picture layer belongs to the painter")

    @property
    def first_state(self) -> int:
        """Channels of the decoder's first state, which the linear path looks at."""
        first = self.decoder[0]
        return first.depth if isinstance(first, Rnn) else 0

    @property
    def states(self) -> tuple[int, ...]:
        """``context_states`` of each layer."""
        return self._of_each(self.context_states)

    @property
    def hidden(self) -> tuple[int, ...]:
        """``context_hidden`` of each layer."""
        return self._of_each(self.context_hidden)

    def _of_each(self, value: int | tuple[int, ...]) -> tuple[int, ...]:
        return value if isinstance(value, tuple) else (value,) * len(self.codes)

    @property
    def iterations(self) -> int:
        """Number of iterations, hence layers of a file."""
        return len(self.codes)
