"""From the bytes of a file to pictures, while they arrive.

    decoder = Decoder()
    for packet in connection:
        for event in decoder.feed(packet):
            if isinstance(event, LayerDecoded):
                show(decoder.picture())
    decoder.close()

Bytes go in as they arrive. States of the network are kept, so a new layer costs one step. Too few
bytes is not an error: it is the event ``NeedMoreData``.
"""

from __future__ import annotations

import dataclasses
import functools
import math
import threading
from collections.abc import Callable
from typing import Any, Concatenate, ParamSpec, TypeVar

import numpy as np
from numpy.typing import NDArray
from PIL import Image

from rgru_codec.iterations import Painter
from rgru_codec.memory import decoding_bytes
from rgru_codec.metadata import metadata_of
from rgru_codec.models import Model, ModelLike, as_model, model_of
from rgru_codec.picture import to_image
from rgru_codec.runtime.rect import Rect
from rgru_codec.source import as_count, as_region, check_limits
from rgru_format import (
    BOX_ALPHA,
    BOX_COLOUR,
    BOX_EXIF,
    HEADER_SIZE,
    BoxRead,
    CodesDecoder,
    ContextModel,
    Damaged,
    Ending,
    Event,
    GroupRead,
    Header,
    HeaderRead,
    InvalidInput,
    Limits,
    Reader,
    RgruError,
    alpha_of,
)


@dataclasses.dataclass(frozen=True)
class LayerDecoded:
    """The codes of a layer are complete: `Decoder.picture` shows it from now on."""

    layer: int
    """From 1."""
    end: int
    """The file up to this byte holds the layer."""


DecoderEvent = Event | LayerDecoded

_P = ParamSpec("_P")
_R = TypeVar("_R")


def _in_turn(
    method: Callable[Concatenate[Decoder, _P], _R],
) -> Callable[Concatenate[Decoder, _P], _R]:
    """Threads that call a decoder at once wait for each other: one file has one state."""

    @functools.wraps(method)
    def called(self: Decoder, /, *args: _P.args, **kwargs: _P.kwargs) -> _R:
        with self._turn:
            return method(self, *args, **kwargs)

    return called


class Decoder:
    """Decodes one file from its bytes as they arrive.

    Decoders share nothing: any number may be at work at once. Threads that call one wait for each
    other.

    Args:
        layers: Use at most so many layers; None: all.
        limits: What the file may ask for: pixels, layers, bytes of metadata, working memory.
        threads: Of the inference engine; None: all cores.
        model: A package, its folder, id or name, used for files that name it; others are looked up.
        region: (x, y, width, height) of the part that is wanted, in pixels; None: all of it. The
            codes of the whole picture are decoded, the networks run around the region only.

    Attributes:
        header: The header, None until it has arrived.
        info: What becomes ``Image.info``: ``icc_profile``, ``exif``, ``xmp``, ``dpi``.

    Raises:
        InvalidInput: An argument that is none of these.
        ModelMissing, Damaged: ``model`` is not at hand, or cannot be used.
    """

    def __init__(
        self,
        *,
        layers: int | None = None,
        limits: Limits | None = None,
        threads: int | None = None,
        model: ModelLike | None = None,
        region: tuple[int, int, int, int] | None = None,
    ) -> None:
        check_limits(limits)
        self.limits = limits or Limits()
        self.header: Header | None = None
        self.model: Model | None = None
        self.info: dict[str, Any] = {}
        self.error: RgruError | None = None
        """Why nothing more can be decoded; None while all is well."""
        self.notes: list[str] = []
        """What is not shown as it is meant, in words."""
        self._given = None if model is None else as_model(model)
        self._wanted = None if layers is None else as_count("layers", layers, 0)
        self._threads = None if threads is None else as_count("threads", threads, 1)
        self._reader = Reader(self.limits, self._context_of)
        self._alpha: NDArray[np.uint8] | None = None
        self._codes: CodesDecoder | None = None
        self._waiting: list[NDArray[np.uint8]] = []
        """Codes of layers not painted yet, eight to a byte."""
        self._region = as_region(region)
        self._area = Rect(0, 0, 0, 0)
        """What is wanted, in a picture whose header has arrived."""
        self._turn = threading.RLock()
        self._closed = self._done = False
        self._fed = self._end = 0
        self._painter: Painter | None = None
        self._seen: tuple[int, int] = (-1, -1)
        self._pixels: NDArray[np.uint8] = np.empty((0, 0, 3), np.uint8)

    @property
    def layers(self) -> int:
        """Complete layers that have been decoded."""
        return self._codes.layer if self._codes else 0

    @property
    def groups(self) -> int:
        """Groups decoded of the layer after them."""
        return self._codes.group if self._codes else 0

    @property
    def alpha_missing(self) -> bool:
        """Whether the picture has an alpha plane that has not arrived."""
        return self.header is not None and self.header.alpha and self._alpha is None

    @property
    def done(self) -> bool:
        """Whether all that is wanted has been decoded: no picture can follow in the file.

        Where only the first layers are wanted, the first group behind them tells, since boxes that
        belong to them may come before it; `close` needs none.
        """
        return self._done or self._reader.complete or self._reader.ended

    @property
    def ignored(self) -> int:
        """Bytes behind the end of the file: behind the model's last layer, or from zeros on."""
        full = self.model is not None and self.layers == self.model.iterations
        return self._fed - self._end if self._reader.ended or (full and self.done) else 0

    @_in_turn
    def feed(self, data: bytes | bytearray | memoryview) -> list[DecoderEvent]:
        """Take in the next bytes, any number of them.

        What stands behind the layers that are wanted, or behind the end of the file, is ignored,
        whatever it is.

        Returns:
            What became known: ``HeaderRead``; ``BoxRead``; ``GroupRead`` (its codes are decoded),
            followed by ``LayerDecoded`` if it completes a layer; at the end ``NeedMoreData``, how
            many bytes it takes at least before there is more to say.

        Raises:
            InvalidInput: No bytes, or the decoder has been closed.
            NotRgru, UnsupportedVersion, Damaged, LimitExceeded, ModelMissing: See
                `rgru_format.errors`. Raised once the events before the fault have been handed
                out: at once if there are none, otherwise by the next call (``close`` included).
                What was decoded before stays available.
        """
        if not isinstance(data, bytes | bytearray | memoryview):
            raise InvalidInput(f"bytes are needed, got {type(data).__name__}")
        data = bytes(data)  # of a view, whatever its items and strides are
        if self.error is not None:
            raise self.error
        if self._closed:
            raise InvalidInput("the decoder is closed: no more bytes were to come; make a new one")
        events: list[DecoderEvent] = []
        self._fed += len(data)
        if self._done:
            return events
        try:
            for event in self._reader.feed(data):
                self._take(event, events)
                if self._done:
                    return events
            fault = self._reader.error
        except RgruError as error:
            fault = error
        self._done = fault is not None and self._enough()
        if fault is not None and not self._done:
            self.error = fault
            if not events:
                raise fault
        return events

    @_in_turn
    def close(self, *, partial: bool = False) -> Ending:
        """Say that no more bytes come; tell where the file, or the wanted part of it, ended.

        Args:
            partial: Damage behind the header is no error: the file ends before it.

        Raises:
            NotRgru, Damaged: The data ended before the header did.
            RgruError: A fault found by ``feed``.
        """
        self._closed = True
        forgiven = partial and self.header is not None and isinstance(self.error, Damaged)
        if self.error is not None and not forgiven:
            raise self.error
        if not (self._done or forgiven):
            ending = self._reader.close()
            cut_box = ending.unfinished and ending.cut_layer is None
            if self._reader.complete or not self._enough() or cut_box:
                return ending
            self._done = True
        return Ending(self.layers, self.groups, self._end, 0, 0, None)

    def _enough(self) -> bool:
        """Whether all wanted layers are complete, and what belongs to them is there."""
        if self.model is None:
            return False
        most = self.model.iterations
        wanted = most if self._wanted is None else min(self._wanted, most)
        return self.layers >= wanted and not (wanted and self.alpha_missing)

    @_in_turn
    def picture(self, share: Callable[[float], object] | None = None) -> Image.Image:
        """Return the best picture so far, of the file's size (or the region's) and mode.

        Before the first group it is mid-grey; groups of an unfinished layer are used, with the
        expectation of the others. An alpha plane that has not arrived is opaque.

        Args:
            share: is told how much of the work has been done, 0 to 1, from time to time.

        Raises:
            InvalidInput: the header has not arrived yet, or an error broke off an earlier picture.
            RgruError: a fault found by ``feed`` that leaves nothing to show (a missing model).
        """
        if self._codes is None and self.error is not None:
            raise self.error
        header = self.header
        if header is None:
            raise InvalidInput("no picture yet: the header (21 bytes) has not arrived")
        if self._seen != (self.layers, self.groups):
            self._pixels = self._paint(header, share or (lambda share: None))
            self._seen = (self.layers, self.groups)
        if self._closed or self.error is not None:
            self._painter = None  # nothing more comes: large pictures need its memory
        alpha = self._alpha
        if header.alpha and alpha is None:
            alpha = np.full((header.height, header.width), 255, np.uint8)
        if alpha is not None:
            alpha = alpha[self._area.slices()]
        return to_image(self._pixels, header.grey, alpha, {**self.info, "layers": self.layers})

    def _take(self, event: Event, events: list[DecoderEvent]) -> None:
        """Decode what an event brings; ``events`` gets what became known."""
        if isinstance(event, HeaderRead):
            self.header, self._end = event.header, HEADER_SIZE
            events.append(event)
            if self.model is not None:  # else the reader's next error is that it is not known
                self._begin(event.header, self.model)
        elif isinstance(event, BoxRead):
            self._take_box(event)
            self._end = event.end
            events.append(event)
        elif isinstance(event, GroupRead):
            if self._enough():  # the first group of a layer that is not wanted
                self._done = True
                return
            assert self._codes is not None
            before = self.layers
            self._codes.decode(event)
            self._end = event.end
            events.append(event)
            if self.layers > before:
                assert self._codes.last is not None
                self._waiting.append(np.packbits(self._codes.last > 0))
                events.append(LayerDecoded(self.layers, event.end))
                self._layer_waits()
        else:
            events.append(event)

    def _context_of(self, model_id: bytes) -> ContextModel:
        self.model = model_of(model_id, self._given)
        return self.model.context()

    def _begin(self, header: Header, model: Model) -> None:
        self._area = self._area_in(header)
        needed = decoding_bytes(model, header.height, header.width, self._area)
        self.limits.check_memory(needed)
        self._codes = CodesDecoder(model.context(), *header.grid)

    def _take_box(self, event: BoxRead) -> None:
        assert self.header is not None
        box = event.box
        if box.type == BOX_ALPHA:
            self._alpha = alpha_of(event, self.header, self.limits)
        known = metadata_of(box, grey=self.header.grey)
        if box.type == BOX_EXIF and not known:
            self.notes.append("damaged Exif data was left out")
        if box.type == BOX_COLOUR and not known:
            self.notes.append(f"its colour (cicp {box.content.hex()}) is not known, taken as sRGB")
        self.info.update(known)

    def _paint(self, header: Header, share: Callable[[float], object]) -> NDArray[np.uint8]:
        assert self._codes is not None
        painter = self._painter_of(header)
        self._add_layers(painter, share)
        if self._codes.group:
            return painter.preview(self._codes.expectation())
        return painter.show()

    def _painter_of(self, header: Header) -> Painter:
        assert self.model is not None
        if self._painter is None:
            most = self.model.iterations if self._wanted is None else self._wanted
            if self._closed:
                most = self.layers + (self.groups > 0)
            size, area = (header.height, header.width), self._area
            self._painter = Painter(self.model, *size, self._threads, region=area, layers=most)
        return self._painter

    def _layer_waits(self) -> None:
        """The codes of a layer are complete; its networks can wait until a picture is wanted."""

    def _add_layers(self, painter: Painter, share: Callable[[float], object]) -> None:
        """Run the networks on the layers that wait."""
        layers = len(self._waiting)
        while self._waiting:
            share(1 - len(self._waiting) / layers)
            self._add_layer(painter)

    def _add_layer(self, painter: Painter) -> None:
        """Run the networks on the first layer that waits."""
        assert self._codes is not None
        assert self.model is not None
        shape = (*self._codes.grid, self.model.codes[painter.layers])
        bits = np.unpackbits(self._waiting[0], count=math.prod(shape))
        codes = (2 * bits.view(np.int8) - 1).reshape(shape)
        painter.add_layer(codes)
        del self._waiting[0]

    def _area_in(self, header: Header) -> Rect:
        if self._region is None:
            return Rect(0, header.height, 0, header.width)
        x, y, width, height = self._region
        if not (0 <= x < x + width <= header.width and 0 <= y < y + height <= header.height):
            raise InvalidInput(
                f"the region {x},{y},{width},{height} (x, y, width, height) does not lie in the "
                f"picture, which has {header.width}x{header.height} pixels"
            )
        return Rect(y, y + height, x, x + width)
