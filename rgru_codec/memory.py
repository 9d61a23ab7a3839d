"""How much memory work on a picture takes: what ``Limits(max_memory)`` is compared with.

The figures are sums over everything that is alive at once at the worst moment, from the shapes in
the model package; programs, libraries and weights come on top (about 150 MB). A test holds them
against the peak of a real process.
"""

from __future__ import annotations

from rgru_codec.iterations import frame_for, reach_of
from rgru_codec.models import Model
from rgru_codec.runtime.windows import Rect, decoding_window, grid, is_large

_ENGINE = 3.0
"""Activations inside a network, as a multiple of its inputs and outputs (measured: 2.5 to 3.5)."""


def decoding_bytes(model: Model, height: int, width: int, area: Rect | None = None) -> int:
    """About how many bytes decoding a picture, or an area of it, takes at most."""
    wanted = area or Rect(0, height, 0, width)
    pixels = wanted.height * wanted.width
    rows, columns = model.grid(height, width)
    context = model.context()
    kept = _painting(model, frame_for(model, height, width, wanted), decoding_window())
    kept += context.kept_bytes(rows, columns) + sum(model.codes) / 8 * rows * columns
    return int(
        kept
        + pixels * 3  # 8-bit planes
        + max(
            context.working_bytes(rows, columns) - context.kept_bytes(rows, columns),
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
    kept = _painting(model, frame) + _stepping(model, "encoder", frame)
    kept += context.kept_bytes(rows, columns)
    coding = context.working_bytes(rows, columns) - context.kept_bytes(rows, columns)
    return int(
        kept
        + pixels * 3  # the picture
        + max(
            coding + max(model.codes) * rows * columns,
            pixels * (3 + 1.3),  # what is shown; MS-SSIM: smaller planes of both in 16 bits
            pixels * 4,  # at the start: Pillow's picture
        )
    )


def _painting(model: Model, frame: Rect, window: int | None = None) -> float:
    """Canvas, states, and both networks of the decoder's side."""
    value = 2 if is_large(frame) else 4
    kept = value * 3 * frame.height * frame.width
    steps = (_stepping(model, name, frame, window) for name in ("decoder", "head"))
    return kept + sum(steps)


def _stepping(model: Model, name: str, frame: Rect, window: int | None = None) -> float:
    """A network's states, those that wait to replace them, and the engine's working memory."""
    step = model.steps[name]
    pixels = frame.height * frame.width
    plan = grid(frame, frame, reach_of(model, name), model.stride, window)
    _, read = plan.windows[0]
    size = read.height * read.width
    states = sum(c / s**2 for s, c in step.kept)
    values = sum(c / s**2 for s, c in (*step.inputs, *step.outputs))
    waiting = min(pixels, (plan.lag + 1) * size)
    state_bytes = (2 if is_large(frame) else 4) * states * (pixels + waiting)
    return state_bytes + 4 * _ENGINE * values * size
