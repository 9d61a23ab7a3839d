"""Pictures of a file that is still arriving, or at given places of one that is there."""

from __future__ import annotations

import dataclasses
import inspect
import io
import os
import queue
import threading
from collections.abc import AsyncIterable, AsyncIterator, Callable, Iterable, Iterator
from typing import Any, Protocol

from PIL import Image

from rgru_codec.decoder import Decoder
from rgru_codec.source import Source, checked, pieces_of, pulled
from rgru_format import HEADER_SIZE, InvalidInput, Limits, NeedMoreData

_PACKET = 1 << 16
_WAITING = 64
"""Packets that are read ahead at most."""
_END = EOFError()
"""Stands behind the last packet."""


@dataclasses.dataclass(frozen=True)
class Stage:
    """A picture and how much of the file it took."""

    picture: Image.Image
    layers: int
    """Complete layers in it."""
    bytes: int
    """Bytes received."""
    groups: int = 0
    """Groups of the layer after them."""


class AsyncReader(Protocol):
    """What ``asyncio.StreamReader`` and the responses of HTTP libraries have."""

    async def read(self, size: int, /) -> bytes:
        """At most ``size`` bytes, as soon as there are some; none at the end."""
        ...


def stages_at(decoder: Decoder, data: bytes, marks: Iterable[int]) -> Iterator[Stage]:
    """Yield the picture after each of some numbers of bytes of a file.

    Args:
        decoder: A new decoder; it is left to the caller to close.
        data: The file.
        marks: Numbers of bytes, ascending; those inside the header give nothing.

    Raises:
        RgruError: As `Decoder.feed`; pictures before the fault have been yielded.
    """
    position = 0
    for mark in marks:
        decoder.feed(data[position:mark])
        position = mark
        if decoder.header is not None:
            yield _stage(decoder, mark)


def _stage(decoder: Decoder, received: int) -> Stage:
    return Stage(decoder.picture(), decoder.layers, received, decoder.groups)


def iter_pictures(
    source: Source | Iterable[bytes],
    *,
    latest: bool = False,
    limits: Limits | None = None,
    threads: int | None = None,
) -> Iterator[Stage]:
    """Yield a picture whenever bytes have brought something to it: a group of codes, at least.

    What stands behind the first layer (alpha, metadata) brings a picture of its own.

    Args:
        source: An open file or response (``read``), a path or the bytes of a file: a picture for
            each group; or any iterable of packets (a response with ``iter_bytes``, too): at most
            one picture for each.
        latest: Skip to the newest picture when further bytes have arrived in the meantime; they
            are received in a thread of its own.
        limits: What the file may ask for.
        threads: Of the inference engine; by default all cores.

    Raises:
        RgruError: As `Decoder.feed`; pictures before the fault have been yielded.
        OSError: The source cannot be read.
    """
    painting = _Painting(Decoder(limits=limits, threads=threads), latest)
    packets = _packets(source, painting)
    for packet in _newest(packets) if latest else packets:
        if (stage := painting.take(packet)) is not None:
            yield stage
        if painting.decoder.done:
            break
    painting.decoder.close()


async def aiter_pictures(
    source: AsyncIterable[bytes] | AsyncReader,
    *,
    latest: bool = False,
    limits: Limits | None = None,
    threads: int | None = None,
) -> AsyncIterator[Stage]:
    """Do as `iter_pictures` for asynchronous streams; decoding runs in a worker thread.

    Args:
        source: An asynchronous iterable of packets (a response with ``aiter_bytes``, too), or
            what has an asynchronous ``read``.
        latest: Skip to the newest picture when further bytes have arrived in the meantime.
        limits: What the file may ask for.
        threads: Of the inference engine; by default all cores.

    Raises:
        RgruError: As `Decoder.feed`; pictures before the fault have been yielded.
    """
    import asyncio

    painting = _Painting(Decoder(limits=limits, threads=threads), latest)
    packets = _async_packets(source, painting.wanted)
    async for packet in _async_newest(packets) if latest else packets:
        if (stage := await asyncio.to_thread(painting.take, packet)) is not None:
            yield stage
        if painting.decoder.done:
            break
    painting.decoder.close()


class _Painting:
    """A decoder, and how much it has seen."""

    def __init__(self, decoder: Decoder, latest: bool) -> None:
        self.decoder, self.latest = decoder, latest
        self._received, self._at_least = 0, HEADER_SIZE

    def wanted(self) -> int:
        """Bytes to read next: a packet, or fewer if they bring more to say."""
        return _PACKET if self.latest else min(self._at_least, _PACKET)

    def take(self, packet: bytes) -> Stage | None:
        """Decode a packet; the picture if it brought something to it."""
        self._received += len(packet)
        before = self._known()
        for event in self.decoder.feed(packet):
            if isinstance(event, NeedMoreData):
                self._at_least = event.at_least
        if self._known() == before:
            return None
        return _stage(self.decoder, self._received)

    def _known(self) -> tuple[object, ...] | None:
        """What tells a picture from one before; None where there are no codes to show."""
        at = self.decoder
        if not (at.layers or at.groups):
            return None
        return at.layers, at.groups, at.alpha_missing, frozenset(at.info)


def _packets(source: Any, painting: _Painting) -> Iterator[bytes]:
    """Packets as they are; of a file, however much has arrived, so many bytes as are wanted."""
    if isinstance(source, bytes | bytearray | memoryview):
        source = io.BytesIO(source)
    of_file = isinstance(source, str | os.PathLike) or hasattr(source, "read")
    if of_file or hasattr(source, "iter_bytes"):
        return pieces_of(source, painting.wanted, at_once=painting.latest)
    try:
        return map(checked, source)
    except TypeError:
        raise InvalidInput(
            "a path, bytes, an open file or an iterable of packets is needed, got "
            f"{type(source).__name__}"
        ) from None


async def _async_packets(source: Any, wanted: Callable[[], int]) -> AsyncIterator[bytes]:
    if callable(packets := getattr(source, "aiter_bytes", None)):  # httpx
        source = packets()
    if callable(read := getattr(source, "read", None)):
        while packet := checked(await _coming(read, wanted())):
            yield packet
    elif hasattr(source, "__aiter__"):
        async for packet in source:
            yield checked(packet)
    else:
        raise InvalidInput(
            "an asynchronous iterable of packets, or what has an asynchronous read, is "
            f"needed, got {type(source).__name__}"
        )


def _coming(read: Callable[[int], Any], size: int) -> Any:
    if inspect.isawaitable(coming := pulled(read, size)):
        return coming
    raise InvalidInput("the source's read() is not asynchronous; give it to iter_pictures")


def _newest(packets: Iterator[bytes]) -> Iterator[bytes]:
    """All that has arrived, joined: a thread receives while the caller decodes."""
    arrived: queue.Queue[bytes | BaseException] = queue.Queue(_WAITING)
    stopped = threading.Event()

    def receive() -> None:
        try:
            for packet in packets:
                arrived.put(packet)
                if stopped.is_set():
                    break
            arrived.put(_END)
        except BaseException as error:  # the caller's, who is told of it
            arrived.put(error)

    threading.Thread(target=receive, daemon=True).start()
    try:
        items: list[bytes | BaseException] = [b""]
        while isinstance(items[-1], bytes):
            items = [arrived.get()]
            for _ in range(arrived.qsize()):  # and no more: a fast source would go on for ever
                items.append(arrived.get())
            if joined := b"".join(item for item in items if isinstance(item, bytes)):
                yield joined
        if items[-1] is not _END:
            raise items[-1]
    finally:
        stopped.set()
        while not arrived.empty():  # a thread that waits for room goes on, and ends
            arrived.get()


async def _async_newest(packets: AsyncIterator[bytes]) -> AsyncIterator[bytes]:
    """All that has arrived, joined: a task receives while the caller decodes."""
    import asyncio

    arrived: asyncio.Queue[bytes | BaseException] = asyncio.Queue(_WAITING)

    async def receive() -> None:
        try:
            async for packet in packets:
                await arrived.put(packet)
            await arrived.put(_END)
        except Exception as error:  # the caller's, who is told of it
            await arrived.put(error)

    task = asyncio.create_task(receive())
    try:
        items: list[bytes | BaseException] = [b""]
        while isinstance(items[-1], bytes):
            items = [await arrived.get()]
            for _ in range(arrived.qsize()):
                items.append(arrived.get_nowait())
            if joined := b"".join(item for item in items if isinstance(item, bytes)):
                yield joined
        if items[-1] is not _END:
            raise items[-1]
    finally:
        task.cancel()
