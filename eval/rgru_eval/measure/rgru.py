"""rgru as a contestant: one compression and one decoding give the whole ladder.

A file cut at the end of a layer is the file with fewer layers, byte for byte. So the picture is
compressed once with all layers, cut at their ends, and decoded by one progressive decoder.
"""

from __future__ import annotations

import importlib.metadata
import time
from collections.abc import Iterator, Mapping, Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any, ClassVar

from rgru_eval.errors import EvalError, UnavailableError
from rgru_eval.measure.codecs import CuttableCodec, Failure, Step, Value

if TYPE_CHECKING:
    from PIL.Image import Image


class Rgru(CuttableCodec):
    """rgru; settings are numbers of layers, an empty ladder means every layer of the model.

    ``model``: id of an installed model package, or the path of one; empty: the default.
    ``threads``: of the inference engine. Times are known for the whole ladder only and stand at
    its last step: compressing with all layers, and decoding that file at once.
    """

    PARAMETERS: ClassVar[Mapping[str, Value]] = {"model": "", "threads": 1}
    UNIT = "layers"

    def __init__(self, name: str, given: Mapping[str, str] | None = None) -> None:
        super().__init__(name, given)
        self._last: tuple[Image, int, bytes] | None = None
        self._package = Path(str(self.options["model"]))
        if len(self._package.parts) > 1:  # results name the package only, not where it lies
            if not self._package.is_dir():
                raise EvalError(f"{name}:model={self._package}: no such folder")
            self.options["model"] = self._package.resolve().name

    def spec(self) -> str:
        """Return the identity with the path of a model that is not installed."""
        name = str(self.options["model"])
        return self.identity().replace(f"model={name}", f"model={self._package}")

    def _arguments(self) -> dict[str, Any]:
        """Return what compressor and decoder are told: threads, and the model if not default."""
        from rgru_codec import models

        arguments: dict[str, Any] = {"threads": self.options["threads"]}
        name = str(self.options["model"])
        if len(self._package.parts) > 1:
            arguments["model"] = models.Model.load(self._package)
        elif name:
            arguments["model"] = models.find_model(_id(name))
        return arguments

    def label(self) -> str:
        """Return the name, and the model if one was asked for."""
        return f"rgru {self.options['model']}".strip()

    def check(self) -> None:
        """Raise UnavailableError if the codec or its weights are not there."""
        from PIL import Image as Pil

        try:
            self.encode(Pil.new("RGB", (16, 16)), 1)
        except Exception as error:
            raise UnavailableError(f"{self.name}: does not run here: {error}") from error

    def versions(self) -> dict[str, str]:
        """Return the version of the package and the id of the model, as files carry it."""
        from PIL import Image as Pil

        from rgru_codec import info

        header = info(self.encode(Pil.new("RGB", (16, 16)), 1)).header
        versions = {"model": header.model_id.hex()}
        for package in ("rgru-codec", "ai-edge-litert"):
            try:
                versions[package] = importlib.metadata.version(package)
            except importlib.metadata.PackageNotFoundError:
                versions[package] = "not installed, run from a checkout"
        return versions

    def encode(self, image: Image, setting: float) -> bytes:
        """Compress to ``setting`` layers, all of them for 0. The last file is kept."""
        from rgru_codec import compress

        layers = round(setting)
        if self._last is None or self._last[0] is not image or self._last[1] != layers:
            data = compress(image, layers=layers or "all", strip=True, **self._arguments())
            self._last = (image, layers, bytes(data))
        return self._last[2]

    def decode(self, data: bytes) -> Image:
        """Decode a whole file."""
        from rgru_codec import decompress

        return decompress(data, **self._arguments())

    def steps(self, image: Image, settings: Sequence[float]) -> Iterator[Step | Failure]:
        """Compress once, cut at the ends of the layers, decode progressively."""
        from rgru_codec import info

        wanted = {round(s) for s in settings}
        start = time.perf_counter()
        data = self._encode_at_most(image, max(wanted, default=0))
        middle = time.perf_counter()
        self.decode(data)
        end = time.perf_counter()
        ends = [layer.end for layer in info(data).layers]
        for number, picture in enumerate(self.decode_prefixes(data, ends), 1):
            if (not wanted or number in wanted) and picture is not None:
                last = number == len(ends)
                times = (middle - start, end - middle) if last else (None, None)
                yield Step(number, data[: ends[number - 1]], picture, *times)
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
        """Yield the one file that serves every rate."""
        from rgru_codec import info

        data = self.encode(image, 0)
        yield len(info(data).layers), data

    def decode_prefix(self, data: bytes) -> Image | None:
        """Return the best picture of the first bytes."""
        return next(self.decode_prefixes(data, [len(data)]))

    def decode_prefixes(self, data: bytes, cuts: Sequence[int]) -> Iterator[Image | None]:
        """Feed one decoder from cut to cut; None until the header is there."""
        from rgru_codec import Decoder
        from rgru_codec.streams import stages_at
        from rgru_format import HEADER_SIZE

        yield from [None] * sum(cut < HEADER_SIZE for cut in cuts)
        for stage in stages_at(Decoder(**self._arguments()), data, cuts):
            yield stage.picture


def _id(text: str) -> bytes:
    try:
        return bytes.fromhex(text)
    except ValueError:
        raise EvalError(
            f"model={text}: neither a folder nor the id of an installed model"
        ) from None
