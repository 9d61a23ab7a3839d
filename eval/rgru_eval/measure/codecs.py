"""What a codec is for the evaluator, and how one is named on the command line.

A *spec* is a name with parameters, ``jpeg:subsampling=420,optimize``; several are joined with
commas: ``jpeg:subsampling=420,optimize,webp:method=6,rgru``. A word after a comma that is no
codec's name is a parameter of the codec before it. ``q=10+20+30`` replaces the quality ladder of
any codec. ``rgru-eval codecs`` lists names, parameters, ladders, and what is not installed.

More codecs come from files named with ``--define``:

``mine.json``, any pair of programs::

    {"cjxl": {"encode": "cjxl {input} {output} -d {setting}", "decode": "djxl {input} {output}",
              "settings": [15, 8, 4, 2, 1], "suffix": ".jxl", "version": "cjxl --version"}}

``mine.py``, subclasses of ``Codec`` in a dictionary ``CODECS = {"mine": MyCodec}``. Such a class
needs ``encode`` and ``decode``; a codec that makes all its rates in one go overrides ``steps``.
One whose files can be cut is a subclass of ``CuttableCodec`` and has ``cut_files`` and
``decode_prefix``, too.
"""

from __future__ import annotations

import math
import time
from abc import ABC, abstractmethod
from collections.abc import Callable, Collection, Iterator, Mapping, Sequence
from dataclasses import dataclass
from typing import ClassVar

from PIL.Image import Image

from rgru_eval.errors import EvalError, in_words

BASELINE = "jpeg:subsampling=420,optimize"
ANCHORS = (BASELINE, "avif:speed=6,subsampling=444", "avif:speed=4,subsampling=444")
"""Whom BD-rates are told against, where they are among the codecs."""
Value = bool | int | float | str
FLAGS = dict.fromkeys(("", "1", "yes", "true"), True) | dict.fromkeys(("0", "no", "false"), False)


def on_any_ladder(codec: str, measured: Collection[str]) -> str:
    """Return the same codec as it was measured, with settings of its own (``q=``) if need be."""
    others = (name for name in measured if name.startswith(f"{codec},q="))
    return codec if codec in measured else next(others, codec)


@dataclass(frozen=True)
class Step:
    """One point of a rate ladder: the whole file and the picture it decodes to.

    Times are seconds of one run on one picture, None where the codec cannot tell them apart.
    """

    setting: float
    data: bytes
    picture: Image
    encode_s: float | None
    decode_s: float | None


@dataclass(frozen=True)
class Failure:
    """A point of the ladder that could not be made; the reason goes into the results."""

    setting: float
    reason: str


class Codec(ABC):
    """A codec with its parameters.

    ``PARAMETERS`` maps each parameter to its default, whose type the given text must have.
    ``SETTINGS`` is the ladder, from small files to large ones, in the codec's own unit.
    """

    PARAMETERS: ClassVar[Mapping[str, Value]] = {}
    SHOWN: ClassVar[tuple[str, ...]] = ()  # parameters that the identity always names
    SETTINGS: tuple[float, ...] = ()
    UNIT: str = "quality"

    def __init__(self, name: str, given: Mapping[str, str] | None = None) -> None:
        given = dict(given or {})
        ladder = given.pop("q", None)
        self.name = name
        self.options = _typed(name, self.PARAMETERS, given)
        self.settings = self.SETTINGS if ladder is None else _ladder(name, ladder)
        self._own_ladder = ladder

    @abstractmethod
    def encode(self, image: Image, setting: float) -> bytes:
        """Compress a picture (mode RGB or L) to a whole file."""

    @abstractmethod
    def decode(self, data: bytes) -> Image:
        """Decode a whole file."""

    def identity(self) -> str:
        """Return the spec in one canonical spelling: the key of this codec in results."""
        shown = [
            _spell(key, value)
            for key, value in self.options.items()
            if value != self.PARAMETERS[key] or key in self.SHOWN
        ]
        if self._own_ladder:
            shown.append(f"q={self._own_ladder}")
        return f"{self.name}:{','.join(shown)}" if shown else self.name

    def spec(self) -> str:
        """Return the spec that makes this codec again, in another process too."""
        return self.identity()

    def label(self) -> str:
        """Return the name for plots and tables."""
        return self.identity()

    def check(self) -> None:  # noqa: B027  # most codecs have nothing to check
        """Raise UnavailableError if the codec cannot run here."""

    def versions(self) -> dict[str, str]:
        """Return versions of the libraries at work, and ``model`` for learned codecs."""
        return {}

    def steps(self, image: Image, settings: Sequence[float]) -> Iterator[Step | Failure]:
        """Encode and decode at each setting, timing both."""
        for setting in settings:
            try:
                start = time.perf_counter()
                data = self.encode(image, setting)
                middle = time.perf_counter()
                picture = self.decode(data)
                picture.load()
                end = time.perf_counter()
            except Exception as error:  # one bad setting must not cost the others
                yield Failure(setting, in_words(error))
            else:
                yield Step(setting, data, picture, middle - start, end - middle)


class CuttableCodec(Codec):
    """A codec some of whose files show a picture when only their first bytes are there."""

    @abstractmethod
    def cut_files(self, image: Image) -> Iterator[tuple[float, bytes]]:
        """Return (setting, file) pairs worth cutting short."""

    @abstractmethod
    def decode_prefix(self, data: bytes) -> Image | None:
        """Return the picture that the first bytes of a file give, None if there is none yet."""

    def decode_prefixes(self, data: bytes, cuts: Sequence[int]) -> Iterator[Image | None]:
        """Decode the file cut at each of ``cuts`` (ascending numbers of bytes)."""
        for cut in cuts:
            yield self.decode_prefix(data[:cut])


def _typed(name: str, known: Mapping[str, Value], given: Mapping[str, str]) -> dict[str, Value]:
    """Check parameter names and turn texts into the types of the defaults."""
    options = dict(known)
    for key, text in given.items():
        if key not in known:
            words = ", ".join([*known, "q"])
            raise EvalError(f"codec '{name}' has no parameter '{key}'; it has: {words}")
        kind = type(known[key])
        try:
            options[key] = FLAGS[text.lower()] if kind is bool else kind(text)
        except (KeyError, ValueError):
            raise EvalError(f"{name}:{key}={text}: expected {kind.__name__}") from None
    return options


def _ladder(name: str, text: str) -> tuple[float, ...]:
    try:
        ladder = tuple(dict.fromkeys(float(part) for part in text.split("+")))
    except ValueError:
        ladder = (math.nan,)
    if not all(map(math.isfinite, ladder)):
        raise EvalError(f"{name}:q={text}: expected numbers joined with +")
    return ladder


def _spell(key: str, value: Value) -> str:
    if isinstance(value, bool):
        return key if value else f"{key}=no"
    return f"{key}={value:g}" if isinstance(value, float) else f"{key}={value}"


Factory = Callable[[str, Mapping[str, str]], Codec]


def split_specs(texts: Sequence[str], known: Mapping[str, object]) -> list[tuple[str, str]]:
    """Split spec texts into (name, parameters); see the module's docstring for the rule."""
    specs: list[tuple[str, str]] = []
    for text in texts:
        open_spec = False
        for word in filter(None, (w.strip() for w in text.split(","))):
            name, colon, parameters = word.partition(":")
            if name in known:
                specs.append((name, parameters))
                open_spec = bool(colon)
            elif colon or not open_spec:
                raise EvalError(f"no codec '{name}'; there are: {', '.join(known)}")
            else:
                specs[-1] = (specs[-1][0], f"{specs[-1][1]},{word}".lstrip(","))
    if not specs:
        raise EvalError(f"no codec is named; there are: {', '.join(known)}")
    return specs
