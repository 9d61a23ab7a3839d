"""What a network costs: multiply-adds a pixel and iteration, computed from its description.

Only products of kernels count (convolutions, the linear path, the context model), as in the
figures of papers.
"""

from __future__ import annotations

import dataclasses
import math
from collections.abc import Sequence

from rgru_format.context.order import group_bounds, phase_share
from rgru_train.nets import config


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


def cost_of(network: config.NetworkConfig) -> Cost:
    """Return the cost of a network."""
    scale = math.prod(layer.scale for layer in network.encoder)
    codes = max(network.codes)
    features = depth_after(network.encoder, 3)
    analysis, coefficients, synthesis = _linear(network)
    head_scale = scale * math.prod(layer.scale for layer in network.decoder)
    depth = depth_after(network.decoder, codes) + (codes // 2 if network.linear else 0)
    head = _stack(network.head or network.painter, network, depth, head_scale)
    return Cost(
        encoder=_stack(network.encoder, network, 3, 1.0) + features * codes / scale**2 + analysis,
        decoder=_stack(network.decoder, network, codes, scale) + coefficients,
        painter=head + synthesis,
        context=_context(network) / scale**2,
    )


def depth_after(layers: Sequence[config.AnyLayer], depth: int, scale: float = 1.0) -> int:
    """Return the channels behind a stack whose input has ``depth`` every ``scale`` pixels."""
    for layer in layers:
        if isinstance(layer, config.DepthToSpace):
            depth //= layer.factor**2
        elif isinstance(layer, config.SpaceToDepth):
            depth *= layer.factor**2
        elif isinstance(layer, config.Picture):
            depth += 3 * round(scale) ** 2
        elif not isinstance(layer, config.Residual):
            depth = layer.depth
        scale *= layer.scale
    return depth


def _stack(
    layers: Sequence[config.AnyLayer], network: config.NetworkConfig, depth: int, scale: float
) -> float:
    """Multiply-adds a pixel of a stack whose input has ``depth`` channels every ``scale`` px."""
    total = 0.0
    for layer in layers:
        behind = depth_after([layer], depth, scale)
        scale *= layer.scale
        total += _layer(layer, network, depth) / scale**2
        depth = behind
    return total


def _layer(layer: config.AnyLayer, network: config.NetworkConfig, depth: int) -> int:
    """Multiply-adds of a layer at one of its output positions."""
    separable = network.kernels == "separable"
    if isinstance(layer, config.Conv):
        return _kernel(layer.kernel, 1, depth, layer.depth, separable=False)
    if isinstance(layer, config.Separable):
        return _kernel(layer.kernel, layer.stride, depth, layer.depth, separable=True)
    if isinstance(layer, config.Residual):
        inner = layer.inner or depth
        first = _kernel(layer.kernel, 1, depth, inner, separable)
        return first + _kernel(layer.kernel, 1, inner, depth, separable)
    if isinstance(layer, config.Rnn):
        return _cell(layer, network.cell, depth, separable)
    return 0


def _cell(layer: config.Rnn, cell: str, depth: int, separable: bool) -> int:
    own, gates = layer.depth, 4 if cell == "lstm" else 3
    macs = _kernel(layer.kernel, layer.stride, depth, gates * own, separable)
    if cell == "lstm":
        return macs + _kernel(layer.hidden, 1, own, gates * own, separable)
    macs += _kernel(layer.hidden, 1, own, 2 * own, separable)
    macs += _kernel(layer.hidden, 1, own, own, separable)
    return macs + (own + depth) * own if cell == "residual_gru" else macs


def _kernel(side: int, stride: int, depth_in: int, depth: int, separable: bool) -> int:
    if not separable:
        return side**2 * depth_in * depth
    alone = side**2 * depth_in if side > 1 or stride > 1 else 0
    return alone + depth_in * depth


def _linear(network: config.NetworkConfig) -> tuple[float, float, float]:
    """Multiply-adds a pixel of the linear path: analysis, coefficients, synthesis."""
    if network.linear is None:
        return 0.0, 0.0, 0.0
    codes, size = max(network.codes), math.prod(layer.scale for layer in network.encoder)
    pairs, digits = codes // 2, network.linear.mean_digits
    functions = pairs - sum(map(len, digits)) + len(digits)
    interleave = pairs * codes
    analysis = 3.0 * functions + (interleave + (pairs + codes) * network.first_state) / size**2
    return analysis, (interleave + pairs * network.first_state) / size**2, 3.0 * pairs


def _context(network: config.NetworkConfig) -> float:
    """Multiply-adds a position of the context model, mean of the layers."""
    states, hidden = network.context_states, network.context_hidden
    total = 0.0
    layers = zip(network.codes, network.layer_groups, network.layer_phases, strict=True)
    for codes, groups, phases in layers:
        total += 9 * states * hidden + 9 * codes * states + states**2
        for start, end in group_bounds(codes, groups):
            for phase in range(phases):
                known = end if phase else start
                macs = 9 * known * hidden + hidden**2 + hidden * (end - start)
                total += phase_share(phases, phase) * macs
    return total / network.iterations
