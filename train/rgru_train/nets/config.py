"""What defines a network: a frozen description, read from the ``[network]`` table of a TOML file.

A network is three stacks of layers, named as in the paper: the encoder (followed by the
binarizer), the decoder up to its last recurrent layer, and the decoder's head, which turns
features into a picture and is the only part that the displayed iteration alone needs.
"""

from __future__ import annotations

import dataclasses
from collections.abc import Mapping
from typing import Any

from rgru_format import InvalidInput
from rgru_format.context.order import NEIGHBOURS

CELLS = ("residual_gru", "gru", "lstm")
RECONSTRUCTIONS = ("one_shot", "additive", "residual_scaling")
KINDS = ("conv", "rnn", "residual", "space_to_depth", "depth_to_space")


@dataclasses.dataclass(frozen=True)
class LayerSpec:
    """One layer of a stack.

    ``conv``: a convolution. ``rnn``: a convolutional recurrent cell. ``residual``: ReLU,
    convolution, ReLU, convolution, added to the input. ``space_to_depth`` and
    ``depth_to_space``: rearrangements by ``factor``.
    """

    kind: str
    """See above."""
    depth: int = 0
    """Output channels."""
    kernel: int = 3
    """Side of the kernel on the input, in positions."""
    stride: int = 1
    """Input positions an output position."""
    hidden: int = 1
    """Side of the kernel on the state (``rnn`` only)."""
    inner: int = 0
    """Channels between the two convolutions (``residual`` only); 0: as many as ``depth``."""
    factor: int = 2
    """Of a rearrangement."""
    activation: str = "linear"
    """Keras's name of a function behind a ``conv``."""
    bias: bool = True
    """Whether a constant is added (``conv``, and the input side of ``rnn``)."""
    init: str = "default"
    """``default``, or ``dct``: start as a block cosine transform (or its inverse) of colours."""
    init_scale: float = 1.0
    """Factor on the starting weights (``conv`` only)."""

    def __post_init__(self) -> None:
        """Refuse what no builder knows."""
        if self.kind not in KINDS:
            raise InvalidInput(f"unknown layer kind {self.kind!r}; known: {', '.join(KINDS)}")
        if self.kind in ("conv", "rnn", "residual") and self.depth < 1:
            raise InvalidInput(f"a {self.kind} layer needs depth >= 1, got {self.depth}")
        if self.inner < 0 or (self.inner and self.kind != "residual"):
            raise InvalidInput(f"inner = {self.inner} in a {self.kind} layer: for residual, from 0")

    @property
    def scale(self) -> float:
        """Factor by which the layer shrinks (below 1: grows) the sides of its input."""
        if self.kind == "space_to_depth":
            return float(self.factor)
        if self.kind == "depth_to_space":
            return 1.0 / self.factor
        return float(self.stride)


@dataclasses.dataclass(frozen=True)
class LinearConfig:
    """The transform and its first step."""

    size: int = 16
    """Side of a block in pixels: the stride of the codes."""
    step: float = 300.0
    """Quantiser step of the first iteration, in levels, for orthonormal functions."""
    threshold: float = 0.6
    """From this part of a step on, a coefficient is told."""
    mean_digits: tuple[tuple[float, ...], ...] = ((4.5, 1.5, 0.5), (2.0, 0.67), (2.0, 0.67))
    """Block means are told in several digits, worth so many steps (luma and two differences)."""


@dataclasses.dataclass(frozen=True)
class NetworkConfig:
    """Encoder, binarizer and decoder, and how iterations are put together."""

    cell: str
    """``residual_gru``, ``gru`` or ``lstm`` (paper, section 3)."""
    reconstruction: str
    """``one_shot``, ``additive`` or ``residual_scaling`` (paper, section 2)."""
    codes: tuple[int, ...]
    """Codes a position, for each iteration."""
    encoder: tuple[LayerSpec, ...]
    """Layers in front of the binarizer."""
    decoder: tuple[LayerSpec, ...]
    """Layers up to the last recurrent one."""
    head: tuple[LayerSpec, ...]
    """Layers from there to the picture."""
    gains: tuple[float, ...] = ()
    """Factor on the residual before the encoder, and (inverse) on the decoder's picture in
    additive reconstruction; empty means 1 throughout, as in the paper."""
    binarizer_noise: float = 1.0
    """1: the paper's stochastic binarizer in training; 0: deterministic."""
    binarizer_bias: bool = True
    """Whether the binarizer's convolution adds a constant."""
    threshold: float = 0.0
    """Above 0, codes start as pairs of one-sided detectors with this threshold, so that most
    codes are -1 at first and cheap to predict."""
    linear: LinearConfig | None = None
    """A block transform beside the recurrent networks (additive reconstruction only)."""
    groups: tuple[int, ...] = ()
    """Entropy-coded groups of each layer; empty means one each."""
    phases: tuple[int, ...] = ()
    """Phases in which each layer is coded, 2, 4 or 5; empty means 2 each."""
    context_states: int = 48
    """Channels that the context model carries from layer to layer."""
    context_hidden: int = 64
    """Hidden channels of each of its passes."""

    def __post_init__(self) -> None:
        """Check names and lengths."""
        if self.cell not in CELLS:
            raise InvalidInput(f"unknown cell {self.cell!r}; known: {', '.join(CELLS)}")
        if self.reconstruction not in RECONSTRUCTIONS:
            known = ", ".join(RECONSTRUCTIONS)
            raise InvalidInput(f"unknown reconstruction {self.reconstruction!r}; known: {known}")
        if self.linear is not None and self.reconstruction != "additive":
            raise InvalidInput("[network.linear] needs additive reconstruction")
        if self.linear is not None and self.decoder[0].kind != "rnn":
            raise InvalidInput("[network.linear] needs a recurrent layer at the decoder's start")
        if not set(self.phases) <= set(NEIGHBOURS):
            raise InvalidInput(f"phases are 2, 4 or 5, got {self.phases}")
        for name in ("gains", "groups", "phases"):
            values = getattr(self, name)
            if values and len(values) != len(self.codes):
                raise InvalidInput(f"{name} has {len(values)} entries for {len(self.codes)} codes")

    @property
    def iterations(self) -> int:
        """Number of iterations, hence layers of a file."""
        return len(self.codes)

    @property
    def iteration_gains(self) -> tuple[float, ...]:
        """One gain an iteration."""
        return self.gains or (1.0,) * self.iterations

    @property
    def layer_groups(self) -> tuple[int, ...]:
        """One number of groups an iteration."""
        return self.groups or (1,) * self.iterations

    @property
    def layer_phases(self) -> tuple[int, ...]:
        """One number of phases an iteration."""
        return self.phases or (2,) * self.iterations

    @classmethod
    def from_mapping(cls, table: Mapping[str, Any]) -> NetworkConfig:
        """Build from a parsed TOML table; unknown keys are errors.

        Raises:
            InvalidInput: a key, name or length that does not fit.
        """
        fields = {field.name for field in dataclasses.fields(cls)}
        unknown = sorted(set(table) - fields)
        if unknown:
            raise InvalidInput(f"unknown keys in [network]: {', '.join(unknown)}")
        values = {key: _frozen(value) for key, value in table.items()}
        if table.get("linear") is not None:
            linear = {key: _frozen(value) for key, value in table["linear"].items()}
            values["linear"] = LinearConfig(**linear)
        for stack in ("encoder", "decoder", "head"):
            values[stack] = tuple(_layer_spec(stack, item) for item in table[stack])
        return cls(**values)


def _frozen(value: Any) -> Any:
    return tuple(_frozen(item) for item in value) if isinstance(value, list | tuple) else value


def _layer_spec(stack: str, table: Mapping[str, Any]) -> LayerSpec:
    try:
        return LayerSpec(**table)
    except TypeError as error:
        raise InvalidInput(f"[[network.{stack}]] {dict(table)}: {error}") from None
