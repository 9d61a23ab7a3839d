"""A picture that gets better with every packet: the push decoder.

    decoder = Decoder()
    for packet in network:
        decoder.feed(packet)
        show(decoder.picture())

Bytes go in as they arrive. States of the network are kept, so a new layer costs one step.
"""

from __future__ import annotations

import dataclasses
from collections.abc import AsyncIterable, AsyncIterator, Iterable, Iterator
from typing import Any, BinaryIO

import numpy as np
from numpy.typing import NDArray
from PIL import Image

from rgru_codec.iterations import Painter, to_pixels
from rgru_codec.models import Model, find_model
from rgru_codec.picture import to_image
from rgru_format import (
    BOX_ALPHA,
    BOX_EXIF,
    BOX_ICC,
    BOX_XMP,
    BoxRead,
    CodesDecoder,
    Ending,
    Event,
    GroupRead,
    Header,
    HeaderRead,
    InvalidInput,
    Limits,
    Reader,
    RgruError,
    decode_alpha,
)

_INFO_KEYS = {BOX_ICC: "icc_profile", BOX_EXIF: "exif", BOX_XMP: "xmp"}
_PACKET = 1 << 16


class Decoder:
    """Decodes one file from its bytes as they arrive. Decoders share nothing.

    Args:
        layers: use at most so many layers; None: all.
        limits: what the file may ask for.
        threads: of the inference engine; None: all cores.

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
    ) -> None:
        if layers is not None and layers < 0:
            raise InvalidInput(f"layers must be 0 or more, got {layers}")
        self.limits = limits or Limits()
        self.header: Header | None = None
        self.model: Model | None = None
        self.info: dict[str, Any] = {}
        self._wanted = layers
        self._threads = threads
        self._reader = Reader(self.limits)
        self._alpha: NDArray[np.uint8] | None = None
        self._codes: CodesDecoder | None = None
        self._waiting: list[NDArray[np.int8]] = []
        self._painter: Painter | None = None

    @property
    def layers(self) -> int:
        """Complete layers that have been decoded."""
        return self._codes.layer if self._codes else 0

    @property
    def groups(self) -> int:
        """Groups decoded of the layer after them."""
        return self._codes.group if self._codes else 0

    def feed(self, data: bytes) -> list[Event]:
        """Take in the next bytes.

        Returns:
            What became known: ``HeaderRead``, ``BoxRead``, ``GroupRead`` (its codes are decoded)
            and, when nothing more can be said yet, ``NeedMoreData`` with the number of bytes that
            it takes at least.

        Raises:
            NotRgru, UnsupportedVersion, Damaged, LimitExceeded, ModelMissing: see
                :mod:`rgru_format.errors`. What was decoded before stays available.
        """
        events = self._reader.feed(data)
        for event in events:
            if isinstance(event, HeaderRead):
                self._begin(event.header)
            elif isinstance(event, BoxRead):
                self._take_box(event)
            elif isinstance(event, GroupRead):
                self._take_group(event)
        return events

    def close(self) -> Ending:
        """Say that no more bytes come; tells where the file ended.

        Raises:
            NotRgru, Damaged: the data ended before the header did.
        """
        return self._reader.close()

    def picture(self) -> Image.Image:
        """The best picture so far, of the file's size and mode.

        Before the first group it is mid-grey; groups of an unfinished layer are used, with the
        expectation of the others.

        Raises:
            InvalidInput: the header has not arrived yet.
        """
        header = self._known_header()
        pixels = to_pixels(self._paint(), header.height, header.width)
        alpha = self._alpha
        if header.alpha and alpha is None:
            alpha = np.full((header.height, header.width), 255, np.uint8)
        return to_image(pixels, header.grey, alpha, self.info)

    def _known_header(self) -> Header:
        if self.header is None:
            raise InvalidInput("no picture yet: the header (21 bytes) has not arrived")
        return self.header

    def _begin(self, header: Header) -> None:
        self.header = header
        self.model = find_model(header.model_id)
        self.limits.check_memory(working_bytes(self.model, header.height, header.width))
        self._codes = CodesDecoder(self.model.context(), *header.grid)

    def _take_box(self, event: BoxRead) -> None:
        box, header = event.box, self._known_header()
        if box.type == BOX_ALPHA:
            self._alpha = decode_alpha(box.content, header.height, header.width, self.limits)
        elif box.type in _INFO_KEYS:
            self.info[_INFO_KEYS[box.type]] = box.content

    def _take_group(self, event: GroupRead) -> None:
        assert self._codes is not None
        if self._wanted is not None and self._codes.layer >= self._wanted:
            return
        before = self._codes.layer
        self._codes.decode(event)
        if self._codes.layer > before:
            assert self._codes.last is not None
            self._waiting.append(self._codes.last)

    def _paint(self) -> NDArray[np.float32]:
        header = self._known_header()
        assert self._codes is not None and self.model is not None
        if self._painter is None:
            self._painter = Painter(self.model, header.height, header.width, self._threads)
        while self._waiting:
            self._painter.add_layer(self._waiting.pop(0))
        if self._codes.group:
            return self._painter.preview(self._codes.expectation())
        return self._painter.show()


def working_bytes(model: Model, height: int, width: int) -> int:
    """About how many bytes decoding a picture takes, weights and programs apart."""
    pixels = height * width
    states = sum(c / s**2 for name in ("decoder", "head") for s, c in model.steps[name].inputs)
    outputs = sum(c / s**2 for s, c in model.steps["decoder"].outputs)
    # Picture, delta and levels in float32, 8-bit copies; states going in and coming out.
    per_pixel = 3 * 3 * 4 + 9 + 4 * (states + outputs)
    return int(pixels * per_pixel) + model.context().working_bytes(*model.grid(height, width))


@dataclasses.dataclass(frozen=True)
class Stage:
    """A picture and how much of the file it took."""

    picture: Image.Image
    layers: int
    """Complete layers in it."""
    bytes: int
    """Bytes received."""


def iter_pictures(
    source: BinaryIO | Iterable[bytes], *, limits: Limits | None = None, threads: int | None = None
) -> Iterator[Stage]:
    """Yield a picture whenever bytes have brought at least one more group of codes.

    Args:
        source: an open file or response (``read``), or any iterable of packets.
        limits, threads: as for :class:`Decoder`.

    Raises:
        RgruError: as :meth:`Decoder.feed`; pictures before the fault have been yielded.
    """
    stages = _Stages(Decoder(limits=limits, threads=threads))
    for packet in _packets(source):
        yield from stages.take(packet)
    stages.decoder.close()


async def aiter_pictures(
    source: AsyncIterable[bytes], *, limits: Limits | None = None, threads: int | None = None
) -> AsyncIterator[Stage]:
    """:func:`iter_pictures` for asynchronous streams; decoding runs in a worker thread."""
    import asyncio

    stages = _Stages(Decoder(limits=limits, threads=threads))
    async for packet in source:
        for stage in await asyncio.to_thread(lambda data=packet: list(stages.take(data))):
            yield stage
    stages.decoder.close()


class _Stages:
    def __init__(self, decoder: Decoder) -> None:
        self.decoder = decoder
        self.received = 0

    def take(self, packet: bytes) -> Iterator[Stage]:
        self.received += len(packet)
        error: RgruError | None = None
        before = (self.decoder.layers, self.decoder.groups)
        try:
            self.decoder.feed(packet)
        except RgruError as raised:
            error = raised
        if (self.decoder.layers, self.decoder.groups) != before:
            yield Stage(self.decoder.picture(), self.decoder.layers, self.received)
        if error is not None:
            raise error


def _packets(source: BinaryIO | Iterable[bytes]) -> Iterator[bytes]:
    read = getattr(source, "read1", None) or getattr(source, "read", None)
    if read is None:
        yield from source
        return
    while packet := read(_PACKET):
        yield packet
