"""What a network costs: multiply-adds a pixel and iteration, counted from its kernels.

Only products of kernels count (convolutions, the linear path, the context model), as in the
figures of papers: a weight costs one at each position of what its kernel gives.
"""

from __future__ import annotations

import dataclasses
import math

import keras

from rgru_format.context.order import phase_share
from rgru_train.nets.config import NetworkConfig
from rgru_train.nets.context import ContextModel
from rgru_train.nets.linear import LinearPath
from rgru_train.nets.module import Module
from rgru_train.nets.networks import Codec, Stack


@dataclasses.dataclass(frozen=True)
class Cost:
    """Multiply-adds a pixel and iteration."""

    encoder: float
    """E, B and the analysis of the linear path."""
    decoder: float
    """D without its head or painter, and the coefficients of the linear path."""
    painter: float
    """Head or painter, and the synthesis of the linear path: once for a picture that is shown."""
    context: float
    """The context model, mean of the layers, each pass at the positions of its phase."""

    @property
    def encode(self) -> float:
        """One iteration of compressing, without the context model."""
        return self.encoder + self.decoder + self.painter

    def decode(self, layers: int) -> float:
        """Return the cost of so many layers and one picture, without the context model."""
        return layers * self.decoder + self.painter

    def training_step(self, batch: int, crop: int, iterations: int) -> float:
        """Return the multiply-adds of a step: forward, and twice that backward; losses left out."""
        return 3.0 * (self.encode + self.context) * batch * crop**2 * iterations


def cost_of(network: NetworkConfig) -> Cost:
    """Return the cost of a network."""
    with keras.StatelessScope(initialize_variables=False):
        codec, context = Codec(network), ContextModel(network)
    analysis, coefficients, synthesis = _linear(codec.linear) if codec.linear else (0, 0, 0)
    pixels = codec.stride**2
    return Cost(
        encoder=_stack(codec.encoder) + (_weights(codec.binarizer) + analysis) / pixels,
        decoder=_stack(codec.decoder) + coefficients / pixels,
        painter=_stack(codec.painter) + synthesis / pixels,
        context=_context(context) / pixels,
    )


def _weights(*modules: Module | None) -> int:
    """Weights of kernels: all but biases."""
    variables = [v for one in modules if one is not None for v in one.trainable_variables]
    return sum(math.prod(v.shape) for v in variables if len(v.shape) > 1)


def _stack(stack: Stack) -> float:
    """Multiply-adds a pixel."""
    behind = zip(stack.blocks, stack.scales[1:], strict=True)
    return sum(_weights(block) / scale**2 for block, scale in behind)


def _linear(path: LinearPath) -> tuple[int, int, int]:
    """Multiply-adds a position of analysis, coefficients and synthesis."""
    interleave = 2 * path.pairs**2  # from pairs to their codes, and back
    analysis = math.prod(path.analysis.shape) + _weights(path.fineness, path.thresholds)
    synthesis = math.prod(path.synthesis.shape)
    return analysis + interleave, _weights(path.steps) + interleave, synthesis


def _context(context: ContextModel) -> float:
    """Multiply-adds a position, mean of the layers."""
    total = 0.0
    for layer in context.layers_of_codes:
        total += _weights(layer.u, layer.a, layer.b)
        for group in layer.passes:
            passes = enumerate(group)
            total += sum(phase_share(layer.phases, phase) * _weights(one) for phase, one in passes)
    return total / len(context.layers_of_codes)
