"""From a whole file to its picture, at once.

The decoder of :mod:`rgru_codec.decoder`, which runs the networks beside the entropy decoder.
"""

from __future__ import annotations

import concurrent.futures
import contextvars
import warnings
from collections.abc import Callable

import numpy as np
from numpy.typing import NDArray
from PIL import Image

from rgru_codec.decoder import Decoder
from rgru_codec.models import ModelLike
from rgru_codec.processes import Threads, usable
from rgru_codec.source import Source, read_rgru
from rgru_format import Header, Limits


class EagerDecoder(Decoder):
    """Runs the networks on a layer while the codes of the next one are decoded, in a thread.

    Sooner done for those who want the last picture of a file alone; what it shows is the same. At
    the end of its ``with`` block it lets go of the thread, and of the memory of the networks.
    """

    _beside: Threads | None = None
    _begun: tuple[concurrent.futures.Future[None], ...] = ()
    """Work on layers that goes on in the thread."""

    def __enter__(self) -> EagerDecoder:
        return self

    def __exit__(self, *_: object) -> None:
        if self._beside is not None:
            self._beside.close()
        self._begun, self._painter = (), None

    def _layer_waits(self) -> None:
        assert self.header is not None
        if self._region is not None or usable(self._threads) == 1:
            return  # how far around a region a layer is needed depends on how many there are
        painter = self._painter_of(self.header)
        if painter.takes_turns:
            return
        context = contextvars.copy_context()  # knows which engine is in use
        self._beside = self._beside or Threads(1)
        if begun := self._beside.begin(context.run, self._add_layer, painter):
            self._begun += (begun,)

    def _paint(self, header: Header, share: Callable[[float], object]) -> NDArray[np.uint8]:
        begun, self._begun = self._begun, ()
        for number, one in enumerate(begun):
            share(number / len(begun))
            one.result()  # errors come up here
        return super()._paint(header, share)


def decompress(
    source: Source,
    layers: int | None = None,
    *,
    partial: bool = False,
    limits: Limits | None = None,
    threads: int | None = None,
    model: ModelLike | None = None,
    region: tuple[int, int, int, int] | None = None,
) -> Image.Image:
    """Decode the picture of a file, or of any beginning of one that holds the header.

    Args:
        source: A whole file, or the first bytes of one: bytes, a path, or an open file.
        layers: Use at most so many layers; by default all that are there.
        partial: Of a damaged file, return what comes before the damage.
        limits: What the file may ask for.
        threads: Of the inference engine; by default all cores.
        model: A model package, its folder, id or name, for a file of a model that is not installed.
        region: (x, y, width, height) of the part to return, in pixels: the crop of the whole
            picture (within a level), for less work.

    Returns:
        Mode L, LA, RGB or RGBA. ``info`` holds ``icc_profile``, ``exif`` and ``xmp`` if present,
        and ``layers``, the complete layers that were used.

    Raises:
        NotRgru, UnsupportedVersion, Damaged, LimitExceeded, ModelMissing: See
            `rgru_format.errors`. Damage behind the layers asked for is none.
        InvalidInput: The region does not lie in the picture.
        OSError: The source cannot be read.
    """
    with EagerDecoder(
        layers=layers, limits=limits, threads=threads, model=model, region=region
    ) as decoder:
        decoder.feed(read_rgru(source, limits))
        decoder.close(partial=partial)
        for note in decoder.notes:
            warnings.warn(note, stacklevel=2)
        return decoder.picture()
