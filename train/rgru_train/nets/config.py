"""What defines a network: a frozen description, read from the ``[network]`` table of a TOML file.

A network is three stacks of layers, named as in the paper: the encoder (followed by the
binarizer), the decoder up to its last recurrent layer, and what turns the decoder's features into
a picture: a head that runs in each iteration, or a painter that a decoder runs once.
"""

from __future__ import annotations

import itertools
import operator
from collections.abc import Sequence
from typing import Annotated, Literal, TypeAlias

import msgspec

from rgru_format.context.order import NEIGHBOURS
from rgru_format.limits import MAX_CODES, MAX_LAYERS, POSITION

Whole: TypeAlias = Annotated[int, msgspec.Meta(ge=0, le=2**31 - 1)]
Count: TypeAlias = Annotated[int, msgspec.Meta(ge=1, le=2**31 - 1)]
Weight: TypeAlias = Annotated[float, msgspec.Meta(ge=0, le=1e9)]
Positive: TypeAlias = Annotated[float, msgspec.Meta(gt=0, le=1e9)]
Share: TypeAlias = Annotated[float, msgspec.Meta(ge=0, le=1)]
_Codes: TypeAlias = Annotated[int, msgspec.Meta(ge=1, le=MAX_CODES)]
_Factor: TypeAlias = Annotated[int, msgspec.Meta(ge=2)]
_Digits: TypeAlias = Annotated[tuple[Positive, ...], msgspec.Meta(min_length=1)]


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

    depth: Count
    kernel: Count = 3
    stride: Count = 1

    @property
    def scale(self) -> float:
        """The stride."""
        return float(self.stride)


class Conv(_Strided, frozen=True, tag="conv"):
    """A dense convolution."""

    depth: Count
    """Output channels."""
    kernel: Count = 3
    """Side of the kernel, in positions."""
    stride: Count = 1
    """Input positions an output position."""
    activation: Literal["linear", "relu", "tanh"] = "linear"
    """Function behind it."""
    init: Literal["default", "dct"] = "default"
    """``dct``: start as a block cosine transform of colours (reads RGB)."""
    init_scale: Positive = 1.0
    """Factor on the starting weights."""


class Separable(_Strided, frozen=True, tag="separable"):
    """A kernel for each channel by itself, then a 1x1 convolution."""

    depth: Count
    """Output channels."""
    kernel: Count = 3
    """Side of the channels' kernels, in positions."""
    stride: Count = 1
    """Input positions an output position."""
    activation: Literal["linear", "relu"] = "linear"
    """Function behind it."""
    init_scale: Positive = 1.0
    """Factor on the starting weights."""


class Residual(Layer, frozen=True, tag="residual"):
    """ReLU, convolution, ReLU, convolution, added to the input."""

    kernel: Count = 3
    """Side of both kernels, in positions."""
    inner: Whole = 0
    """Channels between the two; 0: as many as come in."""


class Rnn(_Strided, frozen=True, tag="rnn"):
    """A convolutional recurrent cell."""

    depth: Count
    """Channels of the state and of the output."""
    kernel: Count = 3
    """Side of the kernel on the input, in positions."""
    stride: Count = 1
    """Input positions an output position."""
    hidden: Count = 1
    """Side of the kernel on the state."""


class SpaceToDepth(Layer, frozen=True, tag="space_to_depth"):
    """Squares of positions to channels of one."""

    factor: _Factor = 2
    """Side of the squares."""

    @property
    def scale(self) -> float:
        """The factor."""
        return float(self.factor)


class DepthToSpace(Layer, frozen=True, tag="depth_to_space"):
    """Channels of a position to a square of positions."""

    factor: _Factor = 2
    """Side of the squares."""

    @property
    def scale(self) -> float:
        """One over the factor."""
        return 1.0 / self.factor


class Picture(Layer, frozen=True, tag="picture"):
    """The linear picture, joined behind the features at their scale (``painter`` only)."""


AnyLayer: TypeAlias = Conv | Separable | Residual | Rnn | SpaceToDepth | DepthToSpace | Picture


def depth_after(layers: Sequence[AnyLayer], depth: int, scale: float = 1.0) -> int:
    """Return the channels behind a stack whose input has ``depth`` every ``scale`` pixels.

    Raises:
        ValueError: a layer cannot take what comes in.
    """
    for layer in layers:
        if isinstance(layer, Conv) and layer.init == "dct" and depth != 3:
            raise ValueError(f"init dct reads RGB, not {depth} channels")
        if isinstance(layer, DepthToSpace):
            if depth % layer.factor**2:
                raise ValueError(f"depth_to_space: {depth} channels for {layer.factor}² positions")
            depth //= layer.factor**2
        elif isinstance(layer, SpaceToDepth):
            depth *= layer.factor**2
        elif isinstance(layer, Picture):
            if scale % 1:
                raise ValueError("a picture layer stands where a position is a pixel or more")
            depth += 3 * round(scale) ** 2
        elif not isinstance(layer, Residual):
            depth = layer.depth
        scale *= layer.scale
    return depth


def scales_after(layers: Sequence[AnyLayer], scale: float) -> list[float]:
    """Return the pixels a position in front of a stack and behind each of its layers."""
    factors = (layer.scale for layer in layers)
    return list(itertools.accumulate(factors, operator.mul, initial=scale))


class LinearConfig(msgspec.Struct, frozen=True, forbid_unknown_fields=True, kw_only=True):
    """The block transform and its first step."""

    step: Positive = 300.0
    """Quantiser step of the first iteration, in levels, for orthonormal functions."""
    threshold: Positive = 0.6
    """From this part of a step on, a coefficient is told."""
    mean_digits: tuple[_Digits, _Digits, _Digits] = ((4.5, 1.5, 0.5), (2.0, 0.67), (2.0, 0.67))
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
    codes: Annotated[tuple[_Codes, ...], msgspec.Meta(min_length=1, max_length=MAX_LAYERS)]
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
    gains: tuple[Positive, ...] = ()
    """Factor on the residual before the encoder, and (inverse) on what an iteration adds; empty
    means 1 throughout, as in the paper."""
    binarizer_noise: Share = 1.0
    """1: the paper's stochastic binarizer in training; 0: deterministic."""
    linear: LinearConfig | None = None
    """A block transform beside the recurrent networks (``paint``)."""
    groups: tuple[Count, ...] = ()
    """Entropy-coded groups of each layer; empty means one each."""
    phases: tuple[int, ...] = ()
    """Phases in which each layer is coded, 2, 4 or 5; empty means 2 each."""
    context_states: Count | tuple[Count, ...] = 48
    """Channels that the context model carries on from each layer: a number, or one for each."""
    context_hidden: Count | tuple[Count, ...] = 64
    """Hidden channels of its passes, likewise; its file has room for the most in all layers."""

    def __post_init__(self) -> None:
        """Check what the types do not."""
        if not set(self.phases) <= set(NEIGHBOURS):
            raise ValueError(f"phases are 2, 4 or 5, got {self.phases}")
        for name in ("gains", "groups", "phases", "context_states", "context_hidden"):
            values = getattr(self, name)
            if isinstance(values, tuple) and values and len(values) != len(self.codes):
                raise ValueError(f"{name} has {len(values)} entries for {len(self.codes)} codes")
        if any(groups > codes for groups, codes in zip(self.groups, self.codes, strict=False)):
            raise ValueError("a layer has no more groups than codes")
        self._check_reconstruction()
        self._check_sizes()

    def _check_reconstruction(self) -> None:
        paints = self.reconstruction == "paint"
        if paints != (self.linear is not None) or paints != bool(self.painter):
            raise ValueError("[network.linear] and a painter belong to reconstruction paint")
        if paints == bool(self.head):
            raise ValueError("a head belongs to reconstruction one_shot or additive")
        cells = [isinstance(layer, Rnn) for layer in self.decoder]
        if not any(cells[:1] if paints else cells):
            raise ValueError("the decoder has a recurrent layer, its first with [network.linear]")
        if any(isinstance(layer, Rnn) for layer in (*self.head, *self.painter)):
            raise ValueError("a recurrent layer belongs to the encoder or the decoder")
        others = (*self.encoder, *self.decoder, *self.head)
        if any(isinstance(layer, Picture) for layer in others):
            raise ValueError("a picture layer belongs to the painter")

    def _check_sizes(self) -> None:
        """Refuse stacks that do not fit together, or do not lead from pixels back to pixels."""
        most, last, pairs = max(self.codes), self.head or self.painter, 0
        encoder = scales_after(self.encoder, 1.0)
        decoder = scales_after(self.decoder, encoder[-1])
        behind = scales_after(last, decoder[-1])
        ends = {"encoder": (encoder[-1], POSITION), "head or painter": (behind[-1], 1)}
        if self.linear:
            ends["decoder"] = (decoder[-1], POSITION)
            pairs, told = most // 2, sum(map(len, self.linear.mean_digits))
            if most % 2 or pairs <= told:
                raise ValueError(f"[network.linear] needs pairs of codes, more than {told} of them")
        for name, (found, wanted) in ends.items():
            if found != wanted:
                raise ValueError(f"{name} ends in positions {found:g} pixels wide, not {wanted}")
        for scale in (*encoder, *decoder, *behind):
            if POSITION / scale % 1:
                raise ValueError(f"positions {scale:g} pixels wide do not fill {POSITION} pixels")
        depth_after(self.encoder, 3)
        features = depth_after(self.decoder, most, POSITION) + pairs
        depth = depth_after(last, features, decoder[-1])
        if depth != 3:
            raise ValueError(f"head or painter ends in {depth} channels, not 3")

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
