"""Small random models, codes and files for tests, conformance vectors and fuzzing.

Nothing here is trained: the models predict badly, but they are valid, exact and tiny.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence

import numpy as np
from numpy.typing import NDArray

from rgru_format.alpha import encode_alpha
from rgru_format.boxes import (
    BOX_ALPHA,
    BOX_COLOUR,
    BOX_EXIF,
    BOX_ICC,
    BOX_XMP,
    Box,
    Colour,
)
from rgru_format.codes import CodesEncoder
from rgru_format.container import Header
from rgru_format.context.evaluator import Codes
from rgru_format.context.model import ContextModel, sigmoid_table
from rgru_format.context.order import CROSS, group_bounds, own_rows
from rgru_format.context.weights import (
    ACCUMULATOR_MAX,
    ACTIVATION_MAX,
    CODE_SCALE,
    LOGIT_RANGE,
    LayerWeights,
    PassWeights,
)
from rgru_format.writer import write_file

_Int16 = NDArray[np.int16]


def random_model(
    seed: int,
    codes: Sequence[int] = (3, 4),
    groups: Sequence[int] = (1, 2),
    states: int = 4,
    hidden: int = 5,
    *,
    extreme: bool = False,
    phases: Sequence[int] = (),
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
        phases: of each layer, 2, 4 or 5; by default 2.
    """
    make = _extreme_layer if extreme else _layer
    generator = np.random.default_rng(seed)
    sizes = zip(codes, groups, phases or [2] * len(codes), strict=True)
    layers = [make(generator, *size, states, hidden) for size in sizes]
    return ContextModel(tuple(layers), sigmoid_table())


def random_codes(
    seed: int, model: ContextModel, rows: int, columns: int, layers: int | None = None
) -> list[Codes]:
    """Return int8 (rows, columns, C_t) codes for the first ``layers`` layers of a model."""
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
    """Return a valid file of random size (up to 14 x 10 positions), layer count and boxes."""
    generator = np.random.default_rng(seed)
    names = [BOX_ICC, BOX_EXIF, BOX_XMP, b"abcd", b"test"]
    boxes = [
        Box(name, generator.bytes(int(generator.integers(0, 40))) * int(generator.integers(1, 4)))
        for name in names
        if generator.random() < 0.3
    ]
    if generator.random() < 0.3 and not any(box.type == BOX_ICC for box in boxes):
        boxes.append(Box(BOX_COLOUR, Colour(*map(int, generator.integers(0, 20, 2))).pack()))
    header = Header(
        width=int(generator.integers(1, 225)),
        height=int(generator.integers(1, 161)),
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
    """Return ``make(known channels, channels of the group)`` for each group and phase."""
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
        Q=_normal(generator, (own_rows(phases), codes), 300),
        q=_partners(generator, codes),
    )


def _partners(generator: np.random.Generator, codes: int) -> NDArray[np.int32]:
    largest = 2 * LOGIT_RANGE
    return generator.integers(-largest, largest + 1, codes // 2, dtype=np.int32)


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
        """Weights of random sign that use ``part`` of the bound."""
        inputs = int(np.prod(shape[:-1]))
        size = min(int(ACCUMULATOR_MAX * part / largest / max(inputs, 1)), 32767)
        return (size * (2 * generator.integers(0, 2, shape) - 1)).astype(np.int16)

    def rest(*parts: tuple[_Int16, int], taken: int = 0) -> NDArray[np.int32]:
        """Biases of random sign that use up what the weights leave of the bound."""
        outputs = parts[0][0].shape[-1]
        used = np.full(outputs, taken, np.int64)
        for weights, largest in parts:
            used += largest * np.abs(weights.astype(np.int64)).reshape(-1, outputs).sum(axis=0)
        sign = 2 * generator.integers(0, 2, outputs) - 1
        return (sign * (ACCUMULATOR_MAX - used)).astype(np.int32)

    U = share((3, 3, states, hidden), 0.5, ACTIVATION_MAX)
    Q = np.full((own_rows(phases), codes), 2**24 // 1024 // CODE_SCALE, np.int16)
    used_by_own = CODE_SCALE * (2 + len(CROSS) * (len(Q) - 2)) * int(Q[0, 0])

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
            r=rest((R, ACTIVATION_MAX), taken=used_by_own),
        )

    passes = _passes(pass_weights, codes, groups, phases)
    A = share((3, 3, codes, states), 0.5, CODE_SCALE)
    B = share((states, states), 0.4, ACTIVATION_MAX)
    a = rest((A, CODE_SCALE), (B, ACTIVATION_MAX))
    return LayerWeights(U, passes, A, B, a, Q, _partners(generator, codes))
