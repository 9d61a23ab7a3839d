"""Codecs that are programs: an encoder and a decoder command, with files between them.

A definition is a JSON object; see the docstring of ``codecs``. Commands are split as a shell
splits them and started without a shell; ``{input}``, ``{output}`` and ``{setting}`` are
replaced in each word. The input is PNG and so must be the decoder's output. Times include
starting the program and reading and writing PNG, as a user of the program has it. The optional
``decode_prefix`` is a command that accepts files cut short; ``cut`` lists the settings of the
files to cut. ``encode_prefix`` may replace ``encode`` for these. ``needs`` is an option that the
encoder's --help must name.
"""

from __future__ import annotations

import itertools
import math
import shlex
import shutil
import subprocess
import tempfile
from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import Annotated

import msgspec
from PIL import Image as Pil
from PIL.Image import Image

from rgru_eval.errors import EvalError, UnavailableError
from rgru_eval.measure.codecs import Codec, CuttableCodec, Factory

TIMEOUT_S = 600


def words(command: str) -> list[str]:
    """Split a command as a shell does; raises ValueError where it is none."""
    try:
        return shlex.split(command)
    except ValueError as error:
        raise ValueError(f"{command!r} is no command: {error}") from None


class Definition(msgspec.Struct, frozen=True, forbid_unknown_fields=True, kw_only=True):
    """What a program's codec is made of."""

    encode: str
    decode: str
    settings: Annotated[tuple[float, ...], msgspec.Meta(min_length=1)]
    decode_prefix: str = ""
    encode_prefix: str = ""
    version: str = ""
    cut: tuple[float, ...] = ()
    suffix: str = ".bin"
    label: str = ""
    unit: str = Codec.UNIT
    needs: str = ""

    def __post_init__(self) -> None:
        """Check what the types do not."""
        if not all(map(math.isfinite, (*self.settings, *self.cut))):
            raise ValueError("'settings' and 'cut' hold finite numbers")
        for key in ("encode", "decode", "decode_prefix", "encode_prefix"):
            command = getattr(self, key)
            needed = command or key in {"encode", "decode"}
            if needed and not ("{input}" in command and "{output}" in command):
                raise ValueError(f"'{key}' must contain {{input}} and {{output}}")
            words(command)
        words(self.version)


DEFINITIONS = {
    "cjxl": Definition(
        label="JPEG XL (cjxl)",
        encode="cjxl {input} {output} -d {setting} -e 7 --num_threads=0 --quiet",
        decode="djxl {input} {output} --num_threads=0",
        settings=(15, 12, 10, 8, 6, 5, 4, 3, 2.5, 2, 1.5, 1, 0.7, 0.5),
        suffix=".jxl",
        unit="distance",
        version="cjxl --version",
    ),
    "cjxl-progressive": Definition(
        label="JPEG XL progressive (cjxl -p)",
        encode="cjxl {input} {output} -d {setting} -e 7 -p --num_threads=0 --quiet",
        decode="djxl {input} {output} --num_threads=0",
        decode_prefix="djxl {input} {output} --allow_partial_files --num_threads=0",
        cut=(2,),
        settings=(8, 4, 2, 1),
        suffix=".jxl",
        unit="distance",
        version="cjxl --version",
    ),
    "avif-layered": Definition(
        label="AVIF layered (avifenc --layered)",
        encode="avifenc --layered -c aom -s 6 -y 444 -j 1 --min 63 --max 63 {input}"
        " --min:u 50 --max:u 50 {input} --min:u 36 --max:u 36 {input}"
        " --min:u {setting} --max:u {setting} {input} -o {output}",
        decode="avifdec --progressive --index 3 -j 1 {input} {output}",
        decode_prefix="avifdec --progressive --index {setting} -j 1 {input} {output}",
        cut=(20,),
        settings=(28, 20, 12),
        unit="quantizer",
        suffix=".avif",
        needs="--layered",
        version="avifenc --version",
    ),
    "cwebp": Definition(
        label="WebP (cwebp)",
        encode="cwebp -quiet -q {setting} {input} -o {output}",
        decode="dwebp -quiet {input} -o {output}",
        settings=(0, 3, 6, 10, 20, 30, 40, 50, 60, 70, 80, 90, 95),
        suffix=".webp",
        version="cwebp -version",
    ),
}


class CommandCodec(Codec):
    """One definition at work; ``effort`` and the like belong into its command lines."""

    def __init__(
        self, definition: Definition, name: str, given: Mapping[str, str] | None = None
    ) -> None:
        self.definition = definition
        self.UNIT = definition.unit
        self.SETTINGS = tuple(map(float, definition.settings))
        super().__init__(name, given)

    def label(self) -> str:
        return self.definition.label or self.name

    def check(self) -> None:
        encoder = words(self.definition.encode)[0]
        for program in (encoder, words(self.definition.decode)[0]):
            if shutil.which(program) is None:
                raise UnavailableError(f"{self.name}: program '{program}' not found on the PATH")
        needed = self.definition.needs
        if needed and needed not in _output([encoder, "--help"]):
            why = f"this {encoder} has no {needed}; install a newer one"
            raise UnavailableError(f"{self.name}: {why}")

    def versions(self) -> dict[str, str]:
        """Return the first line of the version command, and the command line itself."""
        versions = {"command": self.definition.encode}
        if self.definition.version:
            shown = _output(words(self.definition.version))
            versions[self.name] = (shown.splitlines() or ["unknown"])[0]
        return versions

    def encode(self, image: Image, setting: float) -> bytes:
        return self._encode(self.definition.encode, image, setting)

    def _encode(self, command: str, image: Image, setting: float) -> bytes:
        with tempfile.TemporaryDirectory() as folder:
            source = Path(folder, "in.png")
            image.save(source, compress_level=1)
            target = Path(folder, "out" + self.definition.suffix)
            self._run(command, source, target, setting)
            return target.read_bytes()

    def decode(self, data: bytes) -> Image:
        return self._decode(self.definition.decode, data)

    def _decode(self, command: str, data: bytes, setting: float | None = None) -> Image:
        with tempfile.TemporaryDirectory() as folder:
            source = Path(folder, "in" + self.definition.suffix)
            source.write_bytes(data)
            target = Path(folder, "out.png")
            self._run(command, source, target, setting)
            with Pil.open(target) as picture:
                picture.load()
                return picture.copy()

    def _run(self, command: str, source: Path, target: Path, setting: float | None) -> None:
        values = {"input": str(source), "output": str(target)}
        if setting is not None:
            values["setting"] = f"{setting:g}"
        filled = [_fill(word, values) for word in words(command)]
        done = subprocess.run(filled, capture_output=True, timeout=TIMEOUT_S, check=False)
        if done.returncode or not target.exists():
            tail = done.stderr.decode(errors="replace").strip().splitlines()[-1:]
            raise EvalError(f"'{filled[0]}' ended with {done.returncode}: {' '.join(tail)}")


class CuttableCommandCodec(CommandCodec, CuttableCodec):
    """A definition with a decoder for files cut short."""

    def cut_files(self, image: Image) -> Iterator[tuple[float, bytes]]:
        command = self.definition.encode_prefix or self.definition.encode
        for setting in map(float, self.definition.cut):
            yield setting, self._encode(command, image, setting)

    def decode_prefix(self, data: bytes) -> Image | None:
        """Run the tolerant decoder; None when it makes no picture."""
        try:
            return self._decode(self.definition.decode_prefix, data)
        except EvalError:
            return None


class LayeredAvif(CuttableCommandCodec):
    """Layered AVIF, cut: its layers that are whole can be seen (AV1 in ISOBMFF, box ``a1lx``)."""

    def decode_prefix(self, data: bytes) -> Image | None:
        """Decode the last whole layer, with zeros in the place of what has not arrived."""
        ends = layer_ends(data)
        whole = sum(end <= len(data) for end in ends)
        if not whole:
            return None
        padded = data.ljust(ends[-1], b"\0")
        return self._decode(self.definition.decode_prefix, padded, whole - 1)


def layer_ends(data: bytes) -> list[int]:
    """Return where each layer of a layered AVIF file ends; empty while that is not known."""
    box, place = data.find(b"a1lx"), data.find(b"mdat")
    if box < 0 or place < 0:
        return []
    width = 4 if data[box + 4] & 1 else 2
    fields = range(box + 5, box + 5 + 3 * width, width)
    sizes = [int.from_bytes(data[at : at + width], "big") for at in fields]
    ends = list(itertools.accumulate((s for s in sizes if s), initial=place + 4))[1:]
    return [*ends, place - 4 + int.from_bytes(data[place - 4 : place], "big")]


def _output(command: list[str]) -> str:
    """Return what a program prints; nothing if it cannot be started, or does not end."""
    try:
        done = subprocess.run(command, capture_output=True, timeout=TIMEOUT_S, check=False)
    except (OSError, subprocess.TimeoutExpired):
        return ""
    return (done.stdout or done.stderr).decode(errors="replace")


def _fill(word: str, values: Mapping[str, str]) -> str:
    for key, value in values.items():
        word = word.replace("{" + key + "}", value)
    return word


def command_factory(definition: Definition) -> Factory:
    """Return what makes codecs of one definition."""
    kind = CuttableCommandCodec if definition.decode_prefix else CommandCodec
    if definition is DEFINITIONS.get("avif-layered"):
        kind = LayeredAvif
    return lambda name, given: kind(definition, name, given)
