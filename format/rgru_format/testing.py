"""Small random models, codes and files for tests, conformance vectors and fuzzing.

Nothing here is trained: the models predict badly, but they are valid, exact and tiny.
"""

from __future__ import annotations

import dataclasses
from collections.abc import Callable, Sequence

import numpy as np
import numpy.typing as npt

from rgru_format.alpha import encode_alpha
from rgru_format.codes import CodesEncoder
from rgru_format.container import BOX_ALPHA, Box, Header
from rgru_format.contextnet import (
    ACCUMULATOR_MAX,
    ACTIVATION_MAX,
    CODE_SCALE,
    LOGIT_RANGE,
    ContextModel,
    LayerWeights,
    OwnWeights,
    PassWeights,
    sigmoid_table,
)
from rgru_format.evaluate import Codes
from rgru_format.phases import CROSS, group_bounds, own_rows
from rgru_format.writer import write_file

_Int16 = npt.NDArray[np.int16]


def random_model(
    seed: int,
    codes: Sequence[int] = (3, 4),
    groups: Sequence[int] = (1, 2),
    states: int = 4,
    hidden: int = 5,
    *,
    extreme: bool = False,
    pairs: bool = False,
    phases: Sequence[int] = (),
    adaptive: bool = False,
) -> ContextModel:
    """Return a valid context model with random integers.

    Args:
        seed: the same seed gives the same model.
        codes: codes a position, for each layer.
        groups: groups of each layer.
        states: channels K of the state.
        hidden: hidden channels M.
        extreme: let every sum be able to reach the bound of SPEC section 7.5 exactly, with
            logits that reach both ends of the table.
        pairs: give it Q and q: codes that look at their own channel and its partner.
        phases: of each layer, 2, 4 or 5; by default 2. More than two need ``pairs``.
        adaptive: let it learn of each picture (SPEC section 7.7); needs ``pairs``.
    """
    make = _extreme_layer if extreme else _layer
    generator = np.random.default_rng(seed)
    sizes = zip(codes, groups, phases or [2] * len(codes), strict=True)
    layers = [make(generator, *size, states, hidden) for size in sizes]
    if pairs:  # drawn last: without them a seed gives the model that it always gave
        layers = [_with_own(generator, layer, extreme) for layer in layers]
    return ContextModel(tuple(layers), sigmoid_table(), adaptive)


def random_codes(
    seed: int, model: ContextModel, rows: int, columns: int, layers: int | None = None
) -> list[Codes]:
    """Return int8 (rows, columns, C_t) codes for the first `layers` layers of a model."""
    generator = np.random.default_rng(seed)
    count = len(model.layers) if layers is None else layers
    shapes = [(rows, columns, codes) for codes in model.codes[:count]]
    return [(2 * generator.integers(0, 2, shape) - 1).astype(np.int8) for shape in shapes]


def encode_file(
    model: ContextModel, header: Header, layers: Sequence[Codes], boxes: Sequence[Box] = ()
) -> bytes:
    """Return a file that holds the given codes and boxes."""
    encoder = CodesEncoder(model, *header.grid)
    return write_file(header, [encoder.encode_layer(codes) for codes in layers], boxes)


def random_file(seed: int, model: ContextModel, model_id: bytes) -> bytes:
    """Return a valid file of a random size (1x1 to 97x33 pixels), layer count and set of boxes."""
    generator = np.random.default_rng(seed)
    names = [b"ICCP", b"EXIF", b"XMP ", b"abcd", b"test"]
    boxes = [
        Box(name, generator.bytes(int(generator.integers(0, 40))))
        for name in names
        if generator.random() < 0.3
    ]
    header = Header(
        width=int(generator.integers(1, 98)),
        height=int(generator.integers(1, 34)),
        model_id=model_id,
        grey=bool(generator.integers(2)),
        alpha=bool(generator.integers(2)),
    )
    if header.alpha:
        boxes.append(Box(BOX_ALPHA, _random_alpha(generator, header)))
    layers = int(generator.integers(0, len(model.layers) + 1))
    codes = random_codes(int(generator.integers(2**31)), model, *header.grid, layers)
    return encode_file(model, header, codes, boxes)


def _random_alpha(generator: np.random.Generator, header: Header) -> bytes:
    ramp = np.linspace(0, 255, header.width)[None] * np.linspace(0, 1, header.height)[:, None]
    return encode_alpha(ramp.astype(np.uint8) ^ generator.integers(2, dtype=np.uint8))


def _normal(generator: np.random.Generator, shape: tuple[int, ...], spread: float) -> _Int16:
    return np.rint(generator.normal(0, spread, shape)).astype(np.int16)


def _passes(
    make: Callable[[int, int], PassWeights], codes: int, groups: int, phases: int
) -> tuple[tuple[PassWeights, ...], ...]:
    """Return `make(known channels, channels of the group)` for each group and phase."""
    return tuple(
        tuple(make(stop if phase else start, stop - start) for phase in range(phases))
        for start, stop in group_bounds(codes, groups)
    )


def _layer(
    generator: np.random.Generator,
    codes: int,
    groups: int,
    phases: int,
    states: int,
    hidden: int,
) -> LayerWeights:
    """Return weights that keep activations and logits in a lively range."""

    def pass_weights(known: int, channels: int) -> PassWeights:
        return PassWeights(
            V=_normal(generator, (3, 3, known, hidden), 700 / np.sqrt(9 * known + 1)),
            v=generator.integers(-8000, 24000, hidden, dtype=np.int32),
            W=_normal(generator, (hidden, hidden), 300 / np.sqrt(hidden)),
            w=generator.integers(-8000, 16000, hidden, dtype=np.int32),
            R=_normal(generator, (hidden, channels), 500 / np.sqrt(hidden)),
            r=generator.integers(-16000, 16000, channels, dtype=np.int32),
        )

    return LayerWeights(
        U=_normal(generator, (3, 3, states, hidden), 200 / np.sqrt(9 * states)),
        passes=_passes(pass_weights, codes, groups, phases),
        A=_normal(generator, (3, 3, codes, states), 700 / np.sqrt(9 * codes)),
        B=_normal(generator, (states, states), 150 / np.sqrt(states)),
        a=generator.integers(-8000, 24000, states, dtype=np.int32),
    )


def _with_own(generator: np.random.Generator, layer: LayerWeights, extreme: bool) -> LayerWeights:
    """Return the layer with Q and q; extreme ones take all of the bound from the biases of R."""
    q = generator.integers(-2 * LOGIT_RANGE, 2 * LOGIT_RANGE + 1, layer.codes, dtype=np.int32)
    shape = (own_rows(layer.phases), layer.codes)
    if not extreme:
        return dataclasses.replace(layer, own=OwnWeights(_normal(generator, shape, 300), q))
    Q = np.full(shape, 2**24 // 1024 // CODE_SCALE, np.int16)
    used = CODE_SCALE * (2 + len(CROSS) * (shape[0] - 2)) * int(Q[0, 0])

    def less(one: PassWeights) -> PassWeights:
        sign = np.where(one.r < 0, -1, 1).astype(np.int32)
        return dataclasses.replace(one, r=one.r - sign * np.int32(used))

    passes = tuple(tuple(less(one) for one in group) for group in layer.passes)
    return dataclasses.replace(layer, passes=passes, own=OwnWeights(Q, q))


def _extreme_layer(
    generator: np.random.Generator,
    codes: int,
    groups: int,
    phases: int,
    states: int,
    hidden: int,
) -> LayerWeights:
    """Return weights whose sums can each reach exactly 2**24 - 1."""

    def share(shape: tuple[int, ...], part: float, largest: int) -> _Int16:
        """Weights of random sign that use `part` of the bound."""
        inputs = int(np.prod(shape[:-1]))
        size = min(int(ACCUMULATOR_MAX * part / largest / max(inputs, 1)), 32767)
        return (size * (2 * generator.integers(0, 2, shape) - 1)).astype(np.int16)

    def rest(*parts: tuple[_Int16, int]) -> npt.NDArray[np.int32]:
        """Biases of random sign that use up what the weights leave of the bound."""
        outputs = parts[0][0].shape[-1]
        used = np.zeros(outputs, np.int64)
        for weights, largest in parts:
            used += largest * np.abs(weights.astype(np.int64)).reshape(-1, outputs).sum(axis=0)
        sign = 2 * generator.integers(0, 2, outputs) - 1
        return (sign * (ACCUMULATOR_MAX - used)).astype(np.int32)

    U = share((3, 3, states, hidden), 0.5, ACTIVATION_MAX)

    def pass_weights(known: int, channels: int) -> PassWeights:
        V = share((3, 3, known, hidden), 0.4, CODE_SCALE)
        W = share((hidden, hidden), 0.9, ACTIVATION_MAX)
        R = share((hidden, channels), 0.9, ACTIVATION_MAX)
        return PassWeights(
            V=V,
            v=rest((U, ACTIVATION_MAX), (V, CODE_SCALE)),
            W=W,
            w=rest((W, ACTIVATION_MAX)),
            R=R,
            r=rest((R, ACTIVATION_MAX)),
        )

    passes = _passes(pass_weights, codes, groups, phases)
    A = share((3, 3, codes, states), 0.5, CODE_SCALE)
    B = share((states, states), 0.4, ACTIVATION_MAX)
    return LayerWeights(U, passes, A, B, rest((A, CODE_SCALE), (B, ACTIVATION_MAX)))
