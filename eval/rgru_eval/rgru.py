"""rgru as a contestant: one compression and one decoding give the whole ladder.

A file cut at the end of a layer is the file with fewer layers, byte for byte. So the picture is
compressed once with all layers, cut at their ends, and decoded by one progressive decoder.
"""

from __future__ import annotations

import importlib
import time
from collections.abc import Iterator, Mapping, Sequence
from typing import TYPE_CHECKING, Any, ClassVar

from rgru_eval.codecs import Codec, Failure, Step, Unavailable, Value

if TYPE_CHECKING:
    from PIL.Image import Image


class Rgru(Codec):
    """rgru; settings are numbers of layers, an empty ladder means every layer of the model.

    ``model`` names a model package, empty for the default one. Times: ``encode_s`` is known for
    the whole ladder only and stands at its last step; ``decode_s`` of n layers is the time to
    take in these layers plus the time to draw the picture once.
    """

    PARAMETERS: ClassVar[Mapping[str, Value]] = {"model": ""}
    UNIT = "layers"

    def _api(self) -> Any:
        return importlib.import_module("rgru_codec")

    def label(self) -> str:
        """Return the name, and the model if one was asked for."""
        return f"rgru {self.options['model']}".strip()

    def check(self) -> None:
        """Raise Unavailable if the codec or its weights are not there."""
        from PIL import Image as Pil

        try:
            self.encode(Pil.new("RGB", (16, 16)), 1)
        except Exception as error:
            raise Unavailable(f"{self.name}: does not run here: {error}") from error

    def versions(self) -> dict[str, str]:
        """Return the version of the package and the id of the model, as files carry it."""
        from PIL import Image as Pil

        info = self._api().info(self.encode(Pil.new("RGB", (16, 16)), 1))
        model = info.model_id
        versions = {"model": model.hex() if isinstance(model, bytes) else str(model)}
        try:
            versions["rgru-codec"] = importlib.metadata.version("rgru-codec")
        except importlib.metadata.PackageNotFoundError:
            versions["rgru-codec"] = "not installed, run from a checkout"
        return versions

    def encode(self, image: Image, setting: float) -> bytes:
        """Compress to ``setting`` layers, all of them for 0."""
        more = {"model": self.options["model"]} if self.options["model"] else {}
        layers = round(setting) or None
        return bytes(self._api().compress(image, layers=layers, **more))

    def decode(self, data: bytes) -> Image:
        """Decode a whole file."""
        picture: Image = self._api().decompress(data)
        return picture

    def steps(self, image: Image, settings: Sequence[float]) -> Iterator[Step | Failure]:
        """Compress once, cut at the ends of the layers, decode progressively."""
        wanted = {round(s) for s in settings}
        start = time.perf_counter()
        data = self._encode_at_most(image, max(wanted, default=0))
        encode_s = time.perf_counter() - start
        ends = [layer.end for layer in self._api().info(data).layers]
        decoder, position, taken_s = self._api().Decoder(), 0, 0.0
        for number, end in enumerate(ends, 1):
            start = time.perf_counter()
            decoder.feed(data[position:end])
            taken_s, position = taken_s + time.perf_counter() - start, end
            if wanted and number not in wanted:
                continue
            start = time.perf_counter()
            picture = decoder.picture()
            decode_s = taken_s + time.perf_counter() - start
            last = number == len(ends)
            yield Step(number, data[:end], picture, encode_s if last else None, decode_s)
        for missing in sorted(n for n in wanted if n > len(ends)):
            yield Failure(missing, f"the model has {len(ends)} layers")

    def _encode_at_most(self, image: Image, layers: int) -> bytes:
        """Compress to so many layers, or to all if the model has fewer."""
        try:
            return self.encode(image, layers)
        except Exception:
            if not layers:
                raise
            return self.encode(image, 0)

    def cut_files(self, image: Image) -> Iterator[tuple[float, bytes]]:
        """Return the one file that serves every rate."""
        data = self.encode(image, 0)
        yield len(self._api().info(data).layers), data

    def decode_prefix(self, data: bytes) -> Image | None:
        """Return the best picture of the first bytes."""
        return next(self.decode_prefixes(data, [len(data)]))

    def decode_prefixes(self, data: bytes, cuts: Sequence[int]) -> Iterator[Image | None]:
        """Feed one decoder from cut to cut; None until the header is there."""
        decoder, position = self._api().Decoder(), 0
        for cut in cuts:
            decoder.feed(data[position:cut])
            position = cut
            yield None if cut < HEADER_BYTES else decoder.picture()


HEADER_BYTES = 21
