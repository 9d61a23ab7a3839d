"""rgru as a contestant: one compression and one decoding give the whole ladder.

A file cut at the end of a layer is the file with fewer layers, byte for byte. So the picture is
compressed once with all layers, cut at their ends, and decoded by one progressive decoder.
"""

from __future__ import annotations

import time
from collections.abc import Iterator, Mapping, Sequence
from pathlib import Path
from typing import Any, ClassVar

from PIL import Image as Pil
from PIL.Image import Image

from rgru_codec import Decoder, Model, __version__, compress, decompress, default_model, info
from rgru_codec.models import as_model
from rgru_codec.streams import stages_at
from rgru_eval.errors import EvalError, UnavailableError
from rgru_eval.measure.codecs import CuttableCodec, Failure, Step, Value
from rgru_eval.measure.machine import version_of
from rgru_format import HEADER_SIZE


class Rgru(CuttableCodec):
    """rgru; settings are numbers of layers, an empty ladder means every layer of the model.

    ``model``: what names a model, or the path of a package; empty: the default. ``threads``: of the
    inference engine. Times are known for the whole ladder only and stand at its last step:
    compressing with all layers, and decoding that file at once.
    """

    PARAMETERS: ClassVar[Mapping[str, Value]] = {"model": "", "threads": 1}
    UNIT = "layers"

    def __init__(self, name: str, given: Mapping[str, str] | None = None) -> None:
        super().__init__(name, given)
        self._last: tuple[Image, int, bytes] | None = None
        self._named = str(self.options["model"])
        package = Path(self._named)
        if len(package.parts) > 1:  # results name the package only, not where it lies
            if not package.is_dir():
                raise EvalError(f"{name}:model={package}: no such folder")
            self.options["model"] = package.resolve().name

    def spec(self) -> str:
        """Return the identity with the path of a model that is not installed."""
        return self.identity().replace(f"model={self.options['model']}", f"model={self._named}")

    def _model(self) -> Model:
        return as_model(self._named) if self._named else default_model()

    def _arguments(self) -> dict[str, Any]:
        return {"threads": self.options["threads"], "model": self._model()}

    def label(self) -> str:
        return f"rgru {self.options['model']}".strip()

    def check(self) -> None:
        try:
            self.encode(Pil.new("RGB", (16, 16)), 1)
        except Exception as error:
            raise UnavailableError(f"{self.name}: does not run here: {error}") from error

    def versions(self) -> dict[str, str]:
        return {
            "model": self._model().id.hex(),
            "rgru-codec": __version__,
            "ai-edge-litert": version_of("ai-edge-litert"),
        }

    def encode(self, image: Image, setting: float) -> bytes:
        """Compress to ``setting`` layers, all of them for 0. The last file is kept."""
        layers = round(setting)
        if self._last is None or self._last[0] is not image or self._last[1] != layers:
            data = compress(image, layers=layers or "all", strip=True, **self._arguments())
            self._last = (image, layers, data)
        return self._last[2]

    def decode(self, data: bytes) -> Image:
        return decompress(data, **self._arguments())

    def steps(self, image: Image, settings: Sequence[float]) -> Iterator[Step | Failure]:
        """Compress once, cut at the ends of the layers, decode progressively."""
        most = self._model().iterations
        wanted = {round(setting) for setting in settings}
        for number in sorted(wanted - {*range(1, most + 1)}):
            yield Failure(number, f"the model has layers 1 to {most}")
        wanted = {number for number in wanted if 1 <= number <= most}
        if settings and not wanted:
            return
        start = time.perf_counter()
        data = self.encode(image, max(wanted, default=0))
        middle = time.perf_counter()
        self.decode(data)
        end = time.perf_counter()
        ends = [layer.end for layer in info(data).layers]
        for number, picture in enumerate(self.decode_prefixes(data, ends), 1):
            if (not wanted or number in wanted) and picture is not None:
                last = number == len(ends)
                times = (middle - start, end - middle) if last else (None, None)
                yield Step(number, data[: ends[number - 1]], picture, *times)

    def cut_files(self, image: Image) -> Iterator[tuple[float, bytes]]:
        """Yield the one file that serves every rate."""
        yield self._model().iterations, self.encode(image, 0)

    def decode_prefix(self, data: bytes) -> Image | None:
        return next(self.decode_prefixes(data, [len(data)]))

    def decode_prefixes(self, data: bytes, cuts: Sequence[int]) -> Iterator[Image | None]:
        """Feed one decoder from cut to cut; None until the header is there."""
        yield from [None] * sum(cut < HEADER_SIZE for cut in cuts)
        for stage in stages_at(Decoder(**self._arguments()), data, cuts):
            yield stage.picture
