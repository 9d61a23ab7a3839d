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
from collections.abc import Callable, Iterator, Mapping
from pathlib import Path
from typing import Any

from PIL import Image as Pil
from PIL.Image import Image

from rgru_eval.errors import EvalError, UnavailableError
from rgru_eval.measure.codecs import Codec, CuttableCodec
from rgru_eval.results import NUMBER, check_shape, read_json

TIMEOUT_S = 600
COMMANDS = ("encode", "decode", "decode_prefix", "encode_prefix", "version")
SHAPE: dict[str, Any] = {"encode": str, "decode": str, "settings": [NUMBER], "cut?": [NUMBER]}
SHAPE |= {f"{key}?": str for key in (*COMMANDS[2:], "suffix", "label", "unit", "needs")}

DEFINITIONS: dict[str, dict[str, Any]] = {
    "cjxl": {
        "label": "JPEG XL (cjxl)",
        "encode": "cjxl {input} {output} -d {setting} -e 7 --num_threads=0 --quiet",
        "decode": "djxl {input} {output} --num_threads=0",
        "settings": [15, 12, 10, 8, 6, 5, 4, 3, 2.5, 2, 1.5, 1, 0.7, 0.5],
        "suffix": ".jxl",
        "unit": "distance",
        "version": "cjxl --version",
    },
    "cjxl-progressive": {
        "label": "JPEG XL progressive (cjxl -p)",
        "encode": "cjxl {input} {output} -d {setting} -e 7 -p --num_threads=0 --quiet",
        "decode": "djxl {input} {output} --num_threads=0",
        "decode_prefix": "djxl {input} {output} --allow_partial_files --num_threads=0",
        "cut": [2],
        "settings": [8, 4, 2, 1],
        "suffix": ".jxl",
        "unit": "distance",
        "version": "cjxl --version",
    },
    "avif-layered": {
        "label": "AVIF layered (avifenc --layered)",
        "encode": "avifenc --layered -c aom -s 6 -y 444 -j 1 --min 63 --max 63 {input}"
        " --min:u 50 --max:u 50 {input} --min:u 36 --max:u 36 {input}"
        " --min:u {setting} --max:u {setting} {input} -o {output}",
        "decode": "avifdec --progressive --index 3 -j 1 {input} {output}",
        "decode_prefix": "avifdec --progressive --index {setting} -j 1 {input} {output}",
        "cut": [20],
        "settings": [28, 20, 12],
        "unit": "quantizer",
        "suffix": ".avif",
        "needs": "--layered",
        "version": "avifenc --version",
    },
    "cwebp": {
        "label": "WebP (cwebp)",
        "encode": "cwebp -quiet -q {setting} {input} -o {output}",
        "decode": "dwebp -quiet {input} -o {output}",
        "settings": [0, 3, 6, 10, 20, 30, 40, 50, 60, 70, 80, 90, 95],
        "suffix": ".webp",
        "version": "cwebp -version",
    },
}


class CommandCodec(Codec):
    """One definition at work; ``effort`` and the like belong into its command lines."""

    def __init__(
        self, definition: Mapping[str, Any], name: str, given: Mapping[str, str] | None = None
    ) -> None:
        self.definition = definition
        self.UNIT = str(definition.get("unit", self.UNIT))
        super().__init__(name, given)
        if self._own_ladder is None:
            self.settings = tuple(float(s) for s in definition["settings"])

    def label(self) -> str:
        return str(self.definition.get("label", self.name))

    def check(self) -> None:
        encoder, decoder = (shlex.split(self.definition[key])[0] for key in ("encode", "decode"))
        for program in (encoder, decoder):
            if shutil.which(program) is None:
                raise UnavailableError(f"{self.name}: program '{program}' not found on the PATH")
        needed = self.definition.get("needs", "")
        if needed and needed not in _output([encoder, "--help"]):
            why = f"this {encoder} has no {needed}; install a newer one"
            raise UnavailableError(f"{self.name}: {why}")

    def versions(self) -> dict[str, str]:
        """Return the first line of the version command, and the command line itself."""
        versions = {"command": str(self.definition["encode"])}
        if self.definition.get("version"):
            shown = _output(shlex.split(self.definition["version"]))
            versions[self.name] = (shown.splitlines() or ["unknown"])[0]
        return versions

    def encode(self, image: Image, setting: float) -> bytes:
        return self._encode("encode", image, setting)

    def _encode(self, key: str, image: Image, setting: float) -> bytes:
        with tempfile.TemporaryDirectory() as folder:
            source = Path(folder, "in.png")
            image.save(source, compress_level=1)
            target = Path(folder, "out" + self.definition.get("suffix", ".bin"))
            self._run(key, source, target, setting)
            return target.read_bytes()

    def decode(self, data: bytes) -> Image:
        return self._decode("decode", data)

    def _decode(self, key: str, data: bytes, setting: float | None = None) -> Image:
        with tempfile.TemporaryDirectory() as folder:
            source = Path(folder, "in" + self.definition.get("suffix", ".bin"))
            source.write_bytes(data)
            target = Path(folder, "out.png")
            self._run(key, source, target, setting)
            with Pil.open(target) as picture:
                picture.load()
                return picture.copy()

    def _run(self, key: str, source: Path, target: Path, setting: float | None) -> None:
        values = {"input": str(source), "output": str(target)}
        if setting is not None:
            values["setting"] = f"{setting:g}"
        words = [_fill(word, values) for word in shlex.split(self.definition[key])]
        done = subprocess.run(words, capture_output=True, timeout=TIMEOUT_S, check=False)
        if done.returncode or not target.exists():
            tail = done.stderr.decode(errors="replace").strip().splitlines()[-1:]
            raise EvalError(f"'{words[0]}' ended with {done.returncode}: {' '.join(tail)}")


class CuttableCommandCodec(CommandCodec, CuttableCodec):
    """A definition with a decoder for files cut short."""

    def cut_files(self, image: Image) -> Iterator[tuple[float, bytes]]:
        key = "encode_prefix" if "encode_prefix" in self.definition else "encode"
        for setting in self.definition.get("cut", ()):
            yield float(setting), self._encode(key, image, float(setting))

    def decode_prefix(self, data: bytes) -> Image | None:
        """Run the tolerant decoder; None when it makes no picture."""
        try:
            return self._decode("decode_prefix", data)
        except EvalError:
            return None


class LayeredAvif(CuttableCommandCodec):
    """Layered AVIF, cut: its layers that are whole can be seen (AV1 in ISOBMFF, box ``a1lx``)."""

    def decode_prefix(self, data: bytes) -> Image | None:
        """Decode the last whole layer, with zeros in the place of what has not arrived."""
        place, layers = data.find(b"mdat"), layer_ends(data)
        whole = sum(end <= len(data) for end in layers)
        if not whole:
            return None
        size = place - 4 + int.from_bytes(data[place - 4 : place], "big")
        return self._decode("decode_prefix", data.ljust(size, b"\0"), whole - 1)


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


def _output(words: list[str]) -> str:
    """Return what a program prints; nothing if it cannot be started, or does not end."""
    try:
        done = subprocess.run(words, capture_output=True, timeout=TIMEOUT_S, check=False)
    except (OSError, subprocess.TimeoutExpired):
        return ""
    return (done.stdout or done.stderr).decode(errors="replace")


def _fill(word: str, values: Mapping[str, str]) -> str:
    for key, value in values.items():
        word = word.replace("{" + key + "}", value)
    return word


def _check_definition(where: str, definition: Any) -> dict[str, Any]:
    """Check keys and types of one definition; raise EvalError naming what is wrong."""
    check_shape(definition, SHAPE, where)
    known = sorted(key.rstrip("?") for key in SHAPE)
    for key in definition:
        if key not in known:
            raise EvalError(f"{where}: unknown key '{key}'; known: {known}")
    given = {key: value for key, value in definition.items() if value is not None}
    numbers = [*given["settings"], *given.get("cut", ())]
    if not given["settings"] or not all(map(math.isfinite, numbers)):
        raise EvalError(f"{where}: 'settings' and 'cut' must hold finite numbers, and at least one")
    for key in given.keys() & COMMANDS:
        try:
            shlex.split(given[key])
        except ValueError as error:
            raise EvalError(f"{where}: '{key}' is no command: {error}") from None
        if key != "version" and not ("{input}" in given[key] and "{output}" in given[key]):
            raise EvalError(f"{where}: '{key}' must contain {{input}} and {{output}}")
    return given


def command_factory(
    definition: Mapping[str, Any],
) -> Callable[[str, Mapping[str, str]], CommandCodec]:
    """Return what makes codecs of one definition."""
    kind = CuttableCommandCodec if "decode_prefix" in definition else CommandCodec
    if definition is DEFINITIONS.get("avif-layered"):
        kind = LayeredAvif
    return lambda name, given: kind(definition, name, given)


def read_definitions(path: Path) -> dict[str, dict[str, Any]]:
    """Read a JSON file of definitions; raises EvalError with the place of the mistake."""
    content = read_json(path)
    if not isinstance(content, dict):
        raise EvalError(f"{path}: expected an object: codec name -> definition")
    return {name: _check_definition(f"{path.name}: {name}", d) for name, d in content.items()}
