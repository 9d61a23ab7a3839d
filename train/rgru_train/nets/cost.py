"""What a network costs: multiply-adds a pixel and iteration, computed from its description.

Only products of kernels count (convolutions, the linear path, the context model), as in the
figures of papers; the gain network of residual scaling, about 1 kMAC/px, is left out.
"""

from __future__ import annotations

import dataclasses
import math
from collections.abc import Sequence

from rgru_format.context.order import group_bounds, phase_share
from rgru_train.nets.config import LayerSpec, NetworkConfig


@dataclasses.dataclass(frozen=True)
class Cost:
    """Multiply-adds a pixel and iteration."""

    encoder: float
    """E, B and the analysis of the linear path."""
    decoder: float
    """D without its head, and the coefficients of the linear path."""
    head: float
    """The head and the synthesis of the linear path."""
    context: float
    """The context model, mean of the layers, each pass at the positions of its phase."""
    context_twin: float
    """The same in training, where each pass runs at all positions."""

    @property
    def encode(self) -> float:
        """One iteration of compressing, without the context model."""
        return self.encoder + self.decoder + self.head

    @property
    def decode(self) -> float:
        """One iteration of decompressing with the head, without the context model."""
        return self.decoder + self.head

    def training_step(self, batch: int, crop: int, iterations: int) -> float:
        """Multiply-adds of a training step: forward, and twice that backward; losses left out."""
        return 3.0 * (self.encode + self.context_twin) * batch * crop**2 * iterations


def cost_of(config: NetworkConfig) -> Cost:
    """The cost of a network."""
    scale = math.prod(spec.scale for spec in config.encoder)
    codes = max(config.codes)
    features = depth_after(config.encoder, 3)
    analysis, coefficients, synthesis = _linear(config)
    binarizer = features * codes / scale**2
    head_scale = scale * math.prod(spec.scale for spec in config.decoder)
    head = _stack(config.head, config.cell, depth_after(config.decoder, codes), head_scale)
    return Cost(
        encoder=_stack(config.encoder, config.cell, 3, 1.0) + binarizer + analysis,
        decoder=_stack(config.decoder, config.cell, codes, scale) + coefficients,
        head=head + synthesis,
        context=_context(config, everywhere=False) / scale**2,
        context_twin=_context(config, everywhere=True) / scale**2,
    )


def depth_after(specs: Sequence[LayerSpec], depth: int) -> int:
    """Channels behind a stack whose input has ``depth``."""
    for spec in specs:
        if spec.kind == "depth_to_space":
            depth //= spec.factor**2
        elif spec.kind == "space_to_depth":
            depth *= spec.factor**2
        else:
            depth = spec.depth
    return depth


def _stack(specs: Sequence[LayerSpec], cell: str, depth: int, scale: float) -> float:
    """Multiply-adds a pixel of a stack whose input has ``depth`` channels every ``scale`` px."""
    total = 0.0
    for spec in specs:
        scale *= spec.scale
        total += _layer(spec, cell, depth) / scale**2
        depth = depth_after([spec], depth)
    return total


def _layer(spec: LayerSpec, cell: str, depth: int) -> int:
    """Multiply-adds of a layer at one of its output positions."""
    kernel, own = spec.kernel**2, spec.depth
    if spec.kind == "conv":
        return kernel * depth * own
    if spec.kind == "residual":
        return 2 * kernel * own * (spec.inner or own)
    if spec.kind != "rnn":
        return 0
    gates = 4 if cell == "lstm" else 3
    macs = gates * own * (kernel * depth + spec.hidden**2 * own)
    return macs + (own + depth) * own if cell == "residual_gru" else macs


def _linear(config: NetworkConfig) -> tuple[float, float, float]:
    """Multiply-adds a pixel of the linear path: analysis, coefficients, synthesis."""
    if config.linear is None:
        return 0.0, 0.0, 0.0
    size, codes = config.linear.size, max(config.codes)
    pairs, digits, state = codes // 2, config.linear.mean_digits, config.decoder[0].depth
    functions = pairs - sum(map(len, digits)) + len(digits)
    interleave = pairs * codes
    analysis = 3.0 * functions + (interleave + (pairs + codes) * state) / size**2
    return analysis, (interleave + pairs * state) / size**2, 3.0 * pairs


def _context(config: NetworkConfig, everywhere: bool) -> float:
    """Multiply-adds a position of the context model, mean of the layers.

    ``everywhere``: each pass is evaluated at all positions, not at those of its phase only.
    """
    states, hidden = config.context_states, config.context_hidden
    total = 0.0
    layers = zip(config.codes, config.layer_groups, config.layer_phases, strict=True)
    for codes, groups, phases in layers:
        total += 9 * states * hidden + 9 * codes * states + states**2
        for start, end in group_bounds(codes, groups):
            for phase in range(phases):
                share = 1.0 if everywhere else phase_share(phases, phase)
                known = end if phase else start
                total += share * (9 * known * hidden + hidden**2 + hidden * (end - start))
    return total / config.iterations
