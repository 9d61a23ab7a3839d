"""Memory that models of the old form take (see ``memory.py``): goes with the last of them.

The figures are sums over everything that is alive at once at the worst moment, from the shapes in
the model package; programs, libraries and weights come on top (about 150 MB). A test holds them
against the peak of a real process.
"""

from __future__ import annotations

from collections.abc import Sequence

from rgru_codec.additive import frame_for, old_form, reach_of, takes_turns
from rgru_codec.models import Model
from rgru_codec.runtime.rect import Rect
from rgru_codec.runtime.windows import grid, is_large
from rgru_format.codes import kept_bytes, working_bytes

_ENGINE = 3.0
"""Activations inside a network, as a multiple of its inputs and outputs (measured: 2.5 to 3.5)."""
_PAINTING = ("decoder", "head")


def decoding_bytes(model: Model, height: int, width: int, area: Rect | None = None) -> int:
    """About how many bytes decoding a picture, or an area of it, takes at most."""
    wanted = area or Rect(0, height, 0, width)
    frame = frame_for(model, height, width, wanted)
    pixels = wanted.height * wanted.width
    rows, columns = model.grid(height, width)
    context = model.context()
    return int(
        _kept(model, _PAINTING, frame)
        + sum(_working(model, name, frame) for name in _PAINTING)
        + kept_bytes(context, rows, columns)
        + sum(model.codes) / 8 * rows * columns
        + pixels * 3  # 8-bit planes
        + max(
            working_bytes(context, rows, columns) - kept_bytes(context, rows, columns),
            3 * max(model.codes) * rows * columns,  # unpacking a layer of codes
            pixels * 4 + height * width,  # Pillow's picture, an alpha plane
        )
    )


def encoding_bytes(model: Model, height: int, width: int) -> int:
    """About how many bytes encoding a picture takes at most; an alpha plane comes on top."""
    rows, columns = model.grid(height, width)
    frame = Rect(0, rows * model.stride, 0, columns * model.stride)
    pixels = frame.height * frame.width
    context = model.context()
    layer = max(model.codes) * rows * columns
    kept = _kept(model, ("encoder", *_PAINTING), frame) + kept_bytes(context, rows, columns)
    painting = sum(_working(model, name, frame) for name in _PAINTING)
    encoding = _working(model, "encoder", frame)
    between = max(
        working_bytes(context, rows, columns) - kept_bytes(context, rows, columns) + layer,
        pixels * (3 + 1.3),  # what is shown; MS-SSIM: smaller planes of both in 16 bits
        pixels * 4,  # at the start: Pillow's picture
    )
    if takes_turns(frame):
        most = max(painting + layer, encoding + layer, between)
    else:
        most = painting + encoding + between
    return int(kept + pixels * 3 + most)  # 3: the picture


def _kept(model: Model, names: Sequence[str], frame: Rect) -> float:
    """Canvas and the networks' states, over the whole picture."""
    states = sum(_state_values(model, name) for name in names)
    return _value_bytes(frame) * (3 + states) * frame.height * frame.width


def _working(model: Model, name: str, frame: Rect) -> float:
    """A network's windows: states that wait to replace others, and the engine's memory."""
    step = old_form(model).steps[name]
    plan = grid(frame, frame, reach_of(model, name), model.stride)
    _, read = plan.windows[0]
    size = read.height * read.width
    waiting = min(frame.height * frame.width, (plan.lag + 1) * size)
    values = sum(c / s**2 for s, c in (*step.inputs, *step.outputs))
    state_bytes = _value_bytes(frame) * _state_values(model, name) * waiting
    return state_bytes + 4 * _ENGINE * values * size


def _state_values(model: Model, name: str) -> float:
    """Values a pixel."""
    return sum(c / s**2 for s, c in old_form(model).steps[name].kept)


def _value_bytes(frame: Rect) -> int:
    return 2 if is_large(frame) else 4
