"""The loop of the paper on the networks of a package: residuals to codes, codes to pictures.

R[0] = I; b_t = B(E(g_t R[t-1])); features and coefficients from D(b_t); P_t from the painter;
R[t] = I - P_t (arXiv 1608.05148, equations 1 to 3; SPEC section 11). States are carried over; a
picture is painted anew from the last features and the sum of the coefficients, so that layers which
are not shown cost D alone, at a 16th of the sides.

The networks see pictures in [-0.9, 0.9], sides padded to the stride; codes are (rows, columns,
C_t) int8. Every step goes through the picture in windows (:mod:`rgru_codec.runtime.windows`).
"""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping
from typing import Any

import numpy as np
from numpy.typing import NDArray

from rgru_codec.metrics import LEVELS
from rgru_codec.models import Model
from rgru_codec.processes import for_each, usable
from rgru_codec.runtime.engine import Engines, Source
from rgru_codec.runtime.rect import Rect
from rgru_codec.runtime.weights import Array
from rgru_codec.runtime.windows import Field, Sink, border_of, crop, is_large, sweep
from rgru_format import InvalidInput
from rgru_format.limits import POSITION, grid_size

Pixels = NDArray[np.uint8]
Codes = NDArray[np.int8]
_Fields = Mapping[str, Field]

MOST = 32
"""Magnitude that features and accumulated coefficients reach at most where kept in 16 bits."""
_STEPS = 64
"""Parts of a level in which large pictures are kept: 16 bits then reach to ±512 levels."""
_ROWS = 64
"""Worked on at a time, whole positions: what is made of them on the way stays in the cache."""
_TURNS = 2**25
"""Pixels above which encoder, decoder and painter take turns in memory."""


class Canvas:
    """A picture P (height, width, 3): float32, or 16-bit fractions of a level if it is large.

    Args:
        frame: what it covers.
        threads: that share the work on it.
    """

    def __init__(self, frame: Rect, threads: int) -> None:
        compact = is_large(frame)
        shape = (frame.height, frame.width, 3)
        self._values: NDArray[Any] = np.zeros(shape, np.int16 if compact else np.float32)
        self._unit = LEVELS / _STEPS if compact else 1.0
        self._frame, self.threads = frame, threads

    def subtract_from(self, picture: Array, window: Rect) -> None:
        """Turn a picture (h, w, 3) in network units into its residual, in place."""
        values = self._values[window.slices()]
        picture -= values if self._unit == 1.0 else values * np.float32(self._unit)

    def replace(self, window: Rect, picture: Array) -> None:
        """Take over (h, w, 3) in network units."""

        def take(band: Rect) -> None:
            part = picture[band.top - window.top : band.bottom - window.top]
            if self._unit != 1.0:
                part = part * np.float32(1.0 / self._unit)
                np.rint(part, out=part)
                np.clip(part, -32768.0, 32767.0, out=part)
            self._values[band.slices()] = part

        for_each(take, window.bands(_ROWS), self.threads)

    def pixels(self) -> Pixels:
        """(height, width, 3)."""
        result = np.empty(self._values.shape, np.uint8)

        def show(band: Rect) -> None:
            result[band.slices()] = levels(self._values[band.slices()] * np.float32(self._unit))

        for_each(show, self._frame.bands(_ROWS), self.threads)
        return result


def levels(picture: Array) -> Pixels:
    """A picture in network units as 8-bit levels, rounded and clipped; spoils ``picture``."""
    picture *= np.float32(1.0 / LEVELS)
    picture += np.float32(128.0)  # 127.5, and a half for rounding
    return np.clip(picture, 0.0, 255.0, out=picture).astype(np.uint8)


class Painter:
    """The decoder's side: takes codes layer by layer, keeps states, paints when asked.

    Args:
        model: the model package.
        height: of the picture in pixels.
        width: likewise.
        threads: of the inference engine; by default all cores.
        region: the part of the picture that is wanted; None: all of it. The networks then run on
            the region and its surroundings only: wider ones for the first layers, whose states
            reach further by the time the last layer is painted.
        layers: so many layers will be added at most; by default all that the model has.
    """

    def __init__(
        self,
        model: Model,
        height: int,
        width: int,
        threads: int | None = None,
        *,
        region: Rect | None = None,
        layers: int | None = None,
    ) -> None:
        wanted = region or Rect(0, height, 0, width)
        self.model = model
        self.layers = 0
        self._threads = usable(threads)
        self._most = model.iterations if layers is None else layers
        around = frame_for(model, height, width, wanted, self._most)
        self._crop = around.slices(POSITION)
        down, right = around.top, around.left
        self._frame = around.moved(-down, -right)
        self.takes_turns = takes_turns(self._frame)
        """Whether networks are large enough to take turns in memory, with all other work too."""
        self.engines = Engines(threads, together=not self.takes_turns)
        self._region = wanted.moved(-down, -right)
        self._painted = self._region.aligned(POSITION)
        painter = model.half.painter(max(model.codes))
        self._fields = {name: Field(self._frame, p, MOST) for name, p in painter.inputs.items()}
        """Features, and the coefficients so far."""
        decoder = model.half.decoder(max(model.codes))
        self._states = {n: Field(self._frame, decoder.inputs[n]) for n in decoder.states}
        self._adding = False
        self._canvas: Canvas | None = None
        self._on_canvas = 0
        self._shown: Pixels | None = None

    def add_layer(self, codes: Codes | Array) -> None:
        """Run D on the codes of the next layer, (rows, columns, C_t) of the whole picture.

        Raises:
            InvalidInput: An error, as of memory, broke off an earlier one: sums of coefficients are
                neither those of before nor those of after it.
        """
        if self._adding:
            raise InvalidInput("an error broke off the picture before this one: make a new decoder")
        self._adding = True
        self._decode(codes, self._fields, self._most - self.layers - 1, keep=True)
        self._adding = False
        self.layers += 1
        self._shown = None

    def show(self) -> Pixels:
        """The picture after the layers so far, (H, W, 3) uint8: the region that was asked for."""
        if self._shown is None:
            if self._canvas is not None:
                self._shown = self.picture().pixels()[self._region.slices()]
            elif self.layers:
                self._shown = self._pixels(self._fields, self.layers)
            else:
                self._shown = np.full((self._region.height, self._region.width, 3), 128, np.uint8)
        return self._shown

    def preview(self, codes: Codes | Array) -> Pixels:
        """The pixels that codes (or their expectation) would give; nothing is kept of them."""
        fields = {name: field.copy() for name, field in self._fields.items()}
        self._decode(codes, fields, 0, keep=False)
        return self._pixels(fields, self.layers + 1)

    def picture(self) -> Canvas:
        """P after the layers so far, 0 before the first: what an encoder subtracts."""
        if self._canvas is None:
            self._canvas = Canvas(self._frame, self._threads)
        if self._on_canvas < self.layers:
            self._paint(self._fields, self.layers, self._canvas.replace)
            self._on_canvas = self.layers
        return self._canvas

    @property
    def begins(self) -> bool:
        """Whether states are zero, and the picture so large that networks without them pay off."""
        return not self.layers and is_large(self._frame)

    def known(self) -> Field:
        """D's first state, which encoders look at."""
        return self._states[self.model.half.first]

    def _decode(self, codes: Codes | Array, fields: _Fields, steps: int, *, keep: bool) -> None:
        """D where so many steps follow; without ``keep`` its states stay as they are."""
        area = self._painted.grown(_reach(self.model, steps), self._frame)
        features, coefficients = fields["features"], fields["coefficients"]
        scale = 1.0 / self.model.half.gains[self.layers]

        def take(inside: Rect, outside: Rect, outputs: Mapping[str, Array]) -> None:
            found = crop(outputs["features"], inside, outside, POSITION)
            features.store(inside, features.stored(found))
            found = crop(outputs["coefficients"], inside, outside, POSITION)
            coefficients.add(inside, found, scale)

        decoder = self.model.half.decoder(codes.shape[2], self.begins)
        inputs = {"codes": _codes_source(codes[self._crop])}
        with self.engines.borrow(decoder, self.model.digest) as engine:
            sweep(engine, inputs, self._states, take, area, self._frame, keep=keep)

    def _paint(self, fields: _Fields, layers: int, take: Callable[[Rect, Array], None]) -> None:
        """The painter over what is wanted; ``take`` gets (h, w, 3) for each window."""

        def store(inside: Rect, outside: Rect, outputs: Mapping[str, Array]) -> None:
            take(inside, crop(outputs["picture"], inside, outside)[0])

        inputs = {name: field.load for name, field in fields.items()}
        painter = self.model.half.painter(max(self.model.codes[:layers]))
        with self.engines.borrow(painter, self.model.digest) as engine:
            sweep(engine, inputs, {}, store, self._painted, self._frame)

    def _pixels(self, fields: _Fields, layers: int) -> Pixels:
        area = self._painted
        result = np.empty((area.height, area.width, 3), np.uint8)

        def store(window: Rect, picture: Array) -> None:
            result[window.moved(-area.top, -area.left).slices()] = levels(picture)

        self._paint(fields, layers, store)
        return result[self._region.moved(-area.top, -area.left).slices()]


def frame_for(model: Model, height: int, width: int, area: Rect, layers: int | None = None) -> Rect:
    """The part of a picture, padded to the stride, on which networks run to paint an area."""
    whole = Rect(0, height, 0, width).aligned(POSITION)
    steps = model.iterations if layers is None else layers
    return area.aligned(POSITION).grown(_reach(model, steps), whole)


def takes_turns(frame: Rect) -> bool:
    """Whether networks share memory: one of them holds some at a time."""
    return frame.height * frame.width > _TURNS


def _reach(model: Model, steps: int) -> int:
    """How far a painted pixel depends on D's states before the last so many steps."""
    return border_of(model.half.P.reach) + steps * border_of(model.half.D.reach)


def _codes_source(codes: Codes | Array) -> Source:
    """Codes (rows, columns, C_t) as a network reads them; channels not used are zero."""
    count = codes.shape[2]

    def load(window: Rect, out: Array) -> None:
        out[0, :, :, :count] = codes[window.slices(POSITION)]
        out[0, :, :, count:] = 0.0

    return load


def _residual_source(pixels: Pixels, canvas: Canvas, gain: float) -> Source:
    """What is left of a picture (H, W, 3), times a gain; its edges are repeated outwards.

    It is filled in as the encoder takes it: (1, h / s, w / s, s·s·3), squares of s pixels a side.
    """

    def load(window: Rect, out: Array) -> None:
        side = window.width // out.shape[2]

        def fill(band: Rect) -> None:
            picture = np.empty((band.height, band.width, 3), np.float32)
            part = pixels[band.slices()]
            height, width = part.shape[:2]
            picture[:height, :width] = part
            picture[:height, width:] = picture[:height, width - 1 : width]
            picture[height:] = picture[height - 1 : height]
            picture -= np.float32(127.5)
            picture *= np.float32(LEVELS)
            canvas.subtract_from(picture, band)
            picture *= np.float32(gain)
            rows = out[0, (band.top - window.top) // side : (band.bottom - window.top) // side]
            squares = picture.reshape(len(rows), side, -1, side * 3).swapaxes(1, 2)
            rows.reshape(squares.shape)[...] = squares

        for_each(fill, window.bands(_ROWS), canvas.threads)

    return load


def encode(
    model: Model, pixels: Pixels, threads: int | None = None, encoder: str | None = None
) -> Iterator[tuple[Codes, Painter]]:
    """Iterate: codes of each layer, and the painter that has seen them.

    Args:
        model: the model package.
        pixels: (H, W, 3) uint8.
        threads: of the inference engine; by default all cores.
        encoder: name of one of the model's encoders; by default its first.

    Yields:
        Codes (rows, columns, C_t) in {-1, +1} and the painter that shows P_t.

    Raises:
        InvalidInput: the model has no encoder of that name.
    """
    height, width = pixels.shape[:2]
    frame = Rect(0, height, 0, width).aligned(POSITION)
    painter = Painter(model, height, width, threads)
    encoding = model.encoder(encoder)
    widest = encoding.network(max(model.codes))
    states = {name: Field(frame, widest.inputs[name]) for name in widest.states}
    known = {widest.known: painter.known().load}
    key = (model.digest, encoder)

    def binarized(gain: float, count: int) -> Codes:
        codes = np.empty((*grid_size(height, width), count), np.int8)
        inputs = {"residual": _residual_source(pixels, painter.picture(), gain), **known}
        with painter.engines.borrow(encoding.network(count, painter.begins), key) as engine:
            sweep(engine, inputs, states, _signs(codes), frame, frame)
        return codes

    def step(gain: float, count: int) -> Codes:
        codes = binarized(gain, count)  # apart: no engine is held while the painter's work
        painter.add_layer(codes)
        return codes

    for gain, count in zip(model.half.gains, model.codes, strict=True):
        yield step(gain, count), painter  # no name here keeps the codes: they are large


def _signs(codes: Codes) -> Sink:
    """Takes the encoder's output as codes: zero counts as +1."""

    def store(inside: Rect, outside: Rect, outputs: Mapping[str, Array]) -> None:
        found = crop(outputs["codes"], inside, outside, POSITION)[0, :, :, : codes.shape[2]]
        codes[inside.slices(POSITION)] = np.where(found < 0, np.int8(-1), np.int8(1))

    return store
