"""A picture that gets better with every packet: the push decoder.

    decoder = Decoder()
    for packet in network:
        for event in decoder.feed(packet):
            if isinstance(event, LayerDecoded):
                show(decoder.picture())
    decoder.close()

Bytes go in as they arrive. States of the network are kept, so a new layer costs one step. Too few
bytes is not an error: it is the event ``NeedMoreData``.
"""

from __future__ import annotations

import dataclasses
import io
import math
import os
from collections.abc import AsyncIterable, AsyncIterator, Iterable, Iterator
from pathlib import Path
from typing import Any, BinaryIO, Protocol, cast

import numpy as np
from numpy.typing import NDArray
from PIL import Image

from rgru_codec.iterations import Painter
from rgru_codec.memory import decoding_bytes
from rgru_codec.metadata import EXIF_PREFIX
from rgru_codec.models import Model, find_model
from rgru_codec.picture import to_image
from rgru_codec.runtime.windows import Rect
from rgru_format import (
    BOX_ALPHA,
    BOX_EXIF,
    BOX_ICC,
    BOX_XMP,
    HEADER_SIZE,
    Box,
    BoxRead,
    CodesDecoder,
    Damaged,
    Ending,
    Event,
    GroupRead,
    Header,
    HeaderRead,
    InvalidInput,
    Limits,
    NeedMoreData,
    Reader,
    RgruError,
    decode_alpha,
)

Source = bytes | bytearray | memoryview | str | os.PathLike[str] | BinaryIO
"""Where a file can come from: its bytes, a path, or something open."""

_INFO_KEYS = {BOX_ICC: "icc_profile", BOX_EXIF: "exif", BOX_XMP: "xmp"}
_PACKET = 1 << 16


@dataclasses.dataclass(frozen=True)
class LayerDecoded:
    """The codes of a layer are complete: :meth:`Decoder.picture` shows it from now on."""

    layer: int
    """From 1."""
    end: int
    """The file up to this byte holds the layer."""


DecoderEvent = Event | LayerDecoded


class Decoder:
    """Decodes one file from its bytes as they arrive.

    Decoders share nothing: any number may be at work at once, each in one thread at a time.

    Args:
        layers: use at most so many layers; None: all.
        limits: what the file may ask for: pixels, layers, bytes of metadata, working memory.
        threads: of the inference engine; None: all cores.
        model: used for files that name it; others are looked up.
        region: (x, y, width, height) of the part that is wanted, in pixels; None: all of it. The
            codes of the whole picture are decoded, the networks run around the region only.

    Attributes:
        header: the header, None until it has arrived.
        info: what becomes ``Image.info``: ``icc_profile``, ``exif``, ``xmp``.
    """

    def __init__(
        self,
        *,
        layers: int | None = None,
        limits: Limits | None = None,
        threads: int | None = None,
        model: Model | None = None,
        region: tuple[int, int, int, int] | None = None,
    ) -> None:
        if layers is not None and layers < 0:
            raise InvalidInput(f"layers must be 0 or more, got {layers}")
        self.limits = limits or Limits()
        self.header: Header | None = None
        self.model: Model | None = None
        self.info: dict[str, Any] = {}
        self.error: RgruError | None = None
        """Why nothing more can be decoded; None while all is well."""
        self._given = model
        self._wanted = layers
        self._threads = threads
        self._reader = Reader(self.limits)
        self._alpha: NDArray[np.uint8] | None = None
        self._codes: CodesDecoder | None = None
        self._waiting: list[NDArray[np.uint8]] = []
        """Codes of layers not painted yet, eight to a byte."""
        self._region = region
        self._closed = False
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

    def feed(self, data: bytes) -> list[DecoderEvent]:
        """Take in the next bytes, any number of them.

        Returns:
            What became known: ``HeaderRead``; ``BoxRead``; ``GroupRead`` (its codes are decoded),
            followed by ``LayerDecoded`` if it completes a layer; at the end ``NeedMoreData``, how
            many bytes it takes at least before there is more to say.

        Raises:
            NotRgru, UnsupportedVersion, Damaged, LimitExceeded, ModelMissing: see
                :mod:`rgru_format.errors`. Raised once the events before the fault have been handed
                out: at once if there are none, otherwise by the next call (``close`` included).
                What was decoded before stays available.
        """
        if self.error is not None:
            raise self.error
        events: list[DecoderEvent] = []
        try:
            for event in self._reader.feed(data):
                self._take(event, events)
        except RgruError as error:
            self.error = error
            if not events:
                raise
        return events

    def close(self) -> Ending:
        """Say that no more bytes come; tells where the file ended.

        Raises:
            NotRgru, Damaged: the data ended before the header did.
            RgruError: a fault found by ``feed``.
        """
        self._closed = True
        if self.error is not None:
            raise self.error
        return self._reader.close()

    def picture(self) -> Image.Image:
        """The best picture so far, of the file's size (or the region's) and mode.

        Before the first group it is mid-grey; groups of an unfinished layer are used, with the
        expectation of the others. An alpha plane that has not arrived is opaque.

        Raises:
            InvalidInput: the header has not arrived yet.
            RgruError: a fault found by ``feed`` that leaves nothing to show (a missing model).
        """
        if self._codes is None and self.error is not None:
            raise self.error
        header = self._known_header()
        if self._seen != (self.layers, self.groups):
            self._pixels = self._paint()
            self._seen = (self.layers, self.groups)
        if self._closed or self.error is not None:
            self._painter = None  # nothing more comes: large pictures need its memory
        alpha = self._alpha
        if header.alpha and alpha is None:
            alpha = np.full((header.height, header.width), 255, np.uint8)
        if alpha is not None:
            alpha = alpha[self._area(header).slices()]
        return to_image(self._pixels, header.grey, alpha, {**self.info, "layers": self.layers})

    def _known_header(self) -> Header:
        if self.header is None:
            raise InvalidInput("no picture yet: the header (21 bytes) has not arrived")
        return self.header

    def _take(self, event: Event, events: list[DecoderEvent]) -> None:
        """Decode what an event brings; ``events`` gets what became known."""
        if isinstance(event, HeaderRead):
            self.header = event.header
            events.append(event)
            self._begin(event.header)
        elif isinstance(event, BoxRead):
            self._take_box(event)
            events.append(event)
        elif isinstance(event, GroupRead):
            before = self.layers
            self._take_group(event)
            events.append(event)
            if self.layers > before:
                events.append(LayerDecoded(self.layers, event.end))
        else:
            events.append(event)

    def _begin(self, header: Header) -> None:
        named = self._given is not None and self._given.id == header.model_id
        self.model = self._given if named else find_model(header.model_id)
        assert self.model is not None
        area = self._area(header)
        self.limits.check_memory(decoding_bytes(self.model, header.height, header.width, area))
        self._codes = CodesDecoder(self.model.context(), *header.grid)

    def _take_box(self, event: BoxRead) -> None:
        box, header = event.box, self._known_header()
        if box.type == BOX_ALPHA:
            try:
                self._alpha = decode_alpha(box.content, header.height, header.width, self.limits)
            except Damaged as error:
                raise Damaged(error.message, self.layers + 1, event.offset) from None
        self.info.update(metadata_of(box))

    def _take_group(self, event: GroupRead) -> None:
        assert self._codes is not None
        if self._wanted is not None and self._codes.layer >= self._wanted:
            return
        before = self._codes.layer
        self._codes.decode(event)
        if self._codes.layer > before:
            assert self._codes.last is not None
            self._waiting.append(np.packbits(self._codes.last > 0))

    def _paint(self) -> NDArray[np.uint8]:
        assert self._codes is not None
        assert self.model is not None
        if self._painter is None:
            self._painter = self._new_painter(self.model)
        while self._waiting:
            shape = (*self._codes.grid, self.model.codes[self._painter.layers])
            bits = np.unpackbits(self._waiting.pop(0), count=math.prod(shape))
            codes = (2 * bits.view(np.int8) - 1).reshape(shape)
            self._painter.add_layer(codes, shown=not self._waiting)
        if self._codes.group:
            return self._painter.preview(self._codes.expectation())
        return self._painter.show()

    def _new_painter(self, model: Model) -> Painter:
        header = self._known_header()
        layers = model.iterations if self._wanted is None else self._wanted
        if self._closed:
            layers = self.layers + (self.groups > 0)
        area = self._area(header)
        height, width = header.height, header.width
        return Painter(model, height, width, self._threads, region=area, layers=layers)

    def _area(self, header: Header) -> Rect:
        if self._region is None:
            return Rect(0, header.height, 0, header.width)
        x, y, width, height = self._region
        if not (0 <= x < x + width <= header.width and 0 <= y < y + height <= header.height):
            raise InvalidInput(
                f"the region {x},{y},{width},{height} (x, y, width, height) does not lie in the "
                f"picture, which has {header.width}x{header.height} pixels"
            )
        return Rect(y, y + height, x, x + width)


def mode_of(header: Header) -> str:
    """The mode of the picture: L, LA, RGB or RGBA."""
    return ("L" if header.grey else "RGB") + ("A" if header.alpha else "")


def metadata_of(box: Box) -> dict[str, bytes]:
    """What a box becomes in ``Image.info``; nothing if it is none of ICC, Exif, XMP."""
    key, content = _INFO_KEYS.get(box.type), box.content
    if key == "exif":
        content = EXIF_PREFIX + content.removeprefix(EXIF_PREFIX)  # as Pillow's writers want it
    return {} if key is None else {key: content}


@dataclasses.dataclass(frozen=True)
class Stage:
    """A picture and how much of the file it took."""

    picture: Image.Image
    layers: int
    """Complete layers in it."""
    bytes: int
    """Bytes received."""


class AsyncReader(Protocol):
    """What ``asyncio.StreamReader`` and the responses of HTTP libraries have."""

    async def read(self, size: int, /) -> bytes:
        """At most ``size`` bytes, as soon as there are some; none at the end."""
        ...


def iter_pictures(
    source: Source | Iterable[bytes], *, limits: Limits | None = None, threads: int | None = None
) -> Iterator[Stage]:
    """Yield a picture whenever bytes have brought at least one more group of codes.

    Args:
        source: an open file or response (``read``), a path or the bytes of a file: a picture for
            each group; or any iterable of packets: at most one picture for each.
        limits: what the file may ask for.
        threads: of the inference engine; by default all cores.

    Raises:
        RgruError: as :meth:`Decoder.feed`; pictures before the fault have been yielded.
        OSError: the source cannot be read.
    """
    stages = _Stages(Decoder(limits=limits, threads=threads))
    for packet in _packets(source, stages):
        yield from stages.take(packet)
    stages.decoder.close()


async def aiter_pictures(
    source: AsyncIterable[bytes] | AsyncReader,
    *,
    limits: Limits | None = None,
    threads: int | None = None,
) -> AsyncIterator[Stage]:
    """:func:`iter_pictures` for asynchronous streams; decoding runs in a worker thread."""
    import asyncio

    stages = _Stages(Decoder(limits=limits, threads=threads))
    async for packet in _async_packets(source, stages):
        for stage in await asyncio.to_thread(stages.taken, packet):
            yield stage
    stages.decoder.close()


class _Stages:
    def __init__(self, decoder: Decoder) -> None:
        self.decoder = decoder
        self.received = 0
        self.missing = HEADER_SIZE
        """Bytes that it takes at least before there is more to say."""

    def taken(self, packet: bytes) -> list[Stage]:
        """:meth:`take`, done."""
        return list(self.take(packet))

    def take(self, packet: bytes) -> Iterator[Stage]:
        self.received += len(packet)
        before = (self.decoder.layers, self.decoder.groups)
        for event in self.decoder.feed(packet):
            if isinstance(event, NeedMoreData):
                self.missing = event.at_least
        if (self.decoder.layers, self.decoder.groups) != before:
            yield Stage(self.decoder.picture(), self.decoder.layers, self.received)


def _packets(source: Source | Iterable[bytes], stages: _Stages) -> Iterator[bytes]:
    """Packets as they are; of a file, however much has arrived, the bytes of the next element."""
    if isinstance(source, str | os.PathLike):
        with Path(source).open("rb") as file:
            yield from _packets(file, stages)
        return
    if isinstance(source, bytes | bytearray | memoryview):
        source = io.BytesIO(source)
    read = getattr(source, "read", None)
    if read is None:
        yield from source
        return
    while packet := read(min(stages.missing, _PACKET)):
        yield packet


async def _async_packets(
    source: AsyncIterable[bytes] | AsyncReader, stages: _Stages
) -> AsyncIterator[bytes]:
    read = getattr(source, "read", None)
    if read is None:
        async for packet in cast("AsyncIterable[bytes]", source):
            yield packet
        return
    while packet := await read(min(stages.missing, _PACKET)):
        yield packet
