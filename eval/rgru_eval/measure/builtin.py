"""The classical codecs, all of them through Pillow, each on one thread.

JPEG 4:2:0 with optimised Huffman tables is the baseline: the tables are free, standard, and
worth a fifth of the file at low rates, where papers compared themselves with default tables.
"""

from __future__ import annotations

import importlib
import importlib.metadata
import importlib.util
import io
import re
import struct
from collections.abc import Iterator, Mapping, Sequence
from typing import Any, ClassVar

import PIL
from PIL import AvifImagePlugin, features
from PIL import Image as Pil
from PIL.Image import Image

from rgru_eval.errors import EvalError, UnavailableError
from rgru_eval.measure.codecs import Codec, CuttableCodec, Value


class _PillowCodec(Codec):
    """Save and open through Pillow; ``FEATURE`` is Pillow's word for the library."""

    FORMAT: ClassVar[str]
    FEATURE: ClassVar[str]
    TITLE: ClassVar[str]
    LABEL: ClassVar[str]  # with the parameters by name
    FIXED: ClassVar[Mapping[str, Any]] = {}  # further arguments of Pillow: one thread above all

    def label(self) -> str:
        """Return name and preset, e.g. ``AVIF 4:4:4 speed 6``."""
        return self.LABEL.format(**self._arguments())

    def _arguments(self) -> dict[str, Any]:
        """Return the parameters as Pillow has them: subsampling as 4:2:0."""
        spelt = {k: ":".join(str(v)) for k, v in self.options.items() if k == "subsampling"}
        return {**self.options, **spelt}

    def check(self) -> None:
        if not features.check(self.FEATURE):
            raise UnavailableError(
                f"{self.name}: this Pillow has no {self.TITLE}; install a newer one"
            )

    def versions(self) -> dict[str, str]:
        library = features.version(self.FEATURE) or "unknown"
        return {"pillow": PIL.__version__, self.FEATURE: library}

    def encode(self, image: Image, setting: float) -> bytes:
        out = io.BytesIO()
        image.save(out, self.FORMAT, **self.save_options(setting))
        return out.getvalue()

    def decode(self, data: bytes) -> Image:
        picture = Pil.open(io.BytesIO(data), formats=[self.FORMAT])
        picture.load()
        return picture

    def save_options(self, setting: float) -> dict[str, Any]:
        """Return Pillow's arguments for one setting."""
        return {"quality": round(setting), **self._arguments(), **self.FIXED}


class Jpeg(_PillowCodec, CuttableCodec):
    """JPEG (libjpeg-turbo). ``optimize``: Huffman tables made for the picture.

    Progressive files always have such tables. Qualities 50 and 85 are cut short.
    """

    FORMAT, FEATURE, TITLE = "JPEG", "jpg", "JPEG"
    LABEL = "JPEG {subsampling}"
    PARAMETERS: ClassVar[Mapping[str, Value]] = {
        "subsampling": "420",
        "optimize": False,
        "progressive": False,
    }
    SHOWN = ("subsampling",)
    SETTINGS = (1, 3, 5, 8, 10, 12, 15, 20, 25, 30, 40, 50, 60, 75, 85, 95)
    CUT = (50, 85)

    def __init__(self, name: str, given: Mapping[str, str] | None = None) -> None:
        super().__init__(name, given)
        if self.options["subsampling"] not in ("420", "422", "444"):
            raise EvalError(f"{name}:subsampling must be 420, 422 or 444")
        if self.options["progressive"]:
            self.options["optimize"] = True

    def label(self) -> str:
        tables = "optimised" if self.options["optimize"] else "default Huffman"
        return f"{super().label()} {'progressive' if self.options['progressive'] else tables}"

    def versions(self) -> dict[str, str]:
        turbo = features.version("libjpeg_turbo")
        return super().versions() | ({"libjpeg_turbo": turbo} if turbo else {})

    def cut_files(self, image: Image) -> Iterator[tuple[float, bytes]]:
        """Return progressive files; a sequential one is blank below the cut."""
        if self.options["progressive"]:
            for quality in self.CUT:
                yield quality, self.encode(image, quality)

    def decode_prefix(self, data: bytes) -> Image | None:
        """Decode the scans that have arrived, the last one in part; None before the first."""
        closed = close_jpeg(data)
        return None if closed is None else self.decode(closed)


class Webp(_PillowCodec):
    """WebP, lossy (libwebp). ``method`` 0..6 is the effort."""

    FORMAT, FEATURE, TITLE = "WEBP", "webp", "WebP"
    LABEL = "WebP method {method}"
    PARAMETERS: ClassVar[Mapping[str, Value]] = {"method": 4}
    SHOWN = ("method",)
    SETTINGS = (0, 1, 3, 6, 10, 15, 20, 30, 40, 50, 60, 70, 80, 87, 95)


class Avif(_PillowCodec):
    """AVIF (libavif). ``speed`` 0..10, slow to fast; ``subsampling`` 444 or 420."""

    FORMAT, FEATURE, TITLE = "AVIF", "avif", "AVIF"
    LABEL = "AVIF {subsampling} speed {speed}"
    FIXED: ClassVar[Mapping[str, Any]] = {"max_threads": 1}
    PARAMETERS: ClassVar[Mapping[str, Value]] = {"speed": 6, "subsampling": "444"}
    SHOWN = ("speed", "subsampling")
    SETTINGS = (0, 5, 10, 15, 20, 25, 30, 40, 50, 60, 70, 80, 88)

    def check(self) -> None:
        super().check()
        AvifImagePlugin.DEFAULT_MAX_THREADS = 1


class JpegXl(_PillowCodec):
    """JPEG XL (libjxl) through the Pillow plugin ``pillow-jxl-plugin``; ``effort`` 1..9."""

    FORMAT, FEATURE, TITLE = "JXL", "jxl", "JPEG XL"
    LABEL = "JPEG XL effort {effort}"
    FIXED: ClassVar[Mapping[str, Any]] = {"lossless": False, "num_threads": 1}
    PARAMETERS: ClassVar[Mapping[str, Value]] = {"effort": 7}
    SHOWN = ("effort",)
    SETTINGS = (0, 3, 6, 10, 15, 20, 30, 40, 50, 60, 70, 80, 85, 90, 95)

    def check(self) -> None:
        if importlib.util.find_spec("pillow_jxl") is None:
            raise UnavailableError(f"{self.name}: pip install pillow-jxl-plugin")
        plugin = importlib.import_module("pillow_jxl.JpegXLImagePlugin")
        plugin.__dict__["DECODE_THREADS"] = 0  # one thread, as everywhere here

    def versions(self) -> dict[str, str]:
        plugin = importlib.metadata.version("pillow-jxl-plugin")  # which brings its own libjxl
        return {"pillow": PIL.__version__, "pillow-jxl-plugin": plugin}

    def save_options(self, setting: float) -> dict[str, Any]:
        return super().save_options(setting) | {"quality": setting}  # it may be a fraction


class Jpeg2000(_PillowCodec, CuttableCodec):
    """JPEG 2000 (OpenJPEG): irreversible wavelet and colour transform.

    Settings are the wanted bits per pixel. The file that is cut has a quality layer for every
    third of an octave of the rate, and packet lengths in its header (PLT).
    """

    FORMAT, FEATURE, TITLE = "JPEG2000", "jpg_2000", "JPEG 2000"
    LABEL = "JPEG 2000"
    SETTINGS = (0.03, 0.06, 0.1, 0.15, 0.2, 0.3, 0.4, 0.5, 0.7, 0.9, 1.1, 1.4, 1.7, 2.0, 2.5)
    UNIT = "bpp"
    CUT = 2.0

    def encode(self, image: Image, setting: float) -> bytes:
        return self._save(image, [setting])

    def _save(self, image: Image, bpps: Sequence[float], **more: Any) -> bytes:
        out = io.BytesIO()
        depth = 8 * len(image.getbands())
        ratios = [depth / bpp for bpp in bpps]
        layers = {"quality_mode": "rates", "quality_layers": ratios, "irreversible": True}
        colour = int(image.mode == "RGB")  # off in Pillow by default, at twice the bits
        image.save(out, self.FORMAT, mct=colour, **layers, **more)
        return out.getvalue()

    def cut_files(self, image: Image) -> Iterator[tuple[float, bytes]]:
        """Return one bare codestream in the order of its layers."""
        bpps = [self.CUT * 2 ** (-k / 3) for k in range(18, -1, -1)]
        yield self.CUT, self._save(image, bpps, progression="LRCP", no_jp2=True, plt=True)

    def decode_prefix(self, data: bytes) -> Image | None:
        """Close the codestream after the last packet that has arrived, then decode it."""
        closed = close_codestream(data)
        return None if closed is None else self.decode(closed)


_MARKER = re.compile(rb"\xff[^\x00\xd0-\xd7]", re.DOTALL)
"""What ends the data of a scan: no stuffed byte, and no restart."""


def close_jpeg(data: bytes) -> bytes | None:
    """Make a decodable file of the first bytes of a JPEG file.

    A cut inside the data of a scan is kept, decoders fill up the rest; a cut between scans
    (inside a table, say) goes back to the end of the last one. Returns None before the first
    scan has data. (ITU-T T.81, annex B)
    """
    place, end = 2, None
    while place + 4 <= len(data) and data[place] == 0xFF:
        marker, size = data[place + 1], int.from_bytes(data[place + 2 : place + 4], "big")
        place += 2 + size
        if marker == 0xDA and place < len(data):  # start of scan
            found = _MARKER.search(data, place)
            end = place = found.start() if found else len(data)
    if end is None:
        return None
    kept = data[: end - 1] if data[end - 1] == 0xFF else data[:end]
    return kept + b"\xff\xd9"


def close_codestream(data: bytes) -> bytes | None:
    """Make a decodable codestream of the first bytes of one with a single tile and PLT.

    The length in the tile-part header (Psot) is set to what is there, packets that are not
    whole are left out, and the end marker follows. Returns None before the tile data begin.
    (ISO/IEC 15444-1, annex A.4.2 and A.7.3)
    """
    tile = data.find(b"\xff\x90")
    start = data.find(b"\xff\x93", tile)
    if tile < 0 or start < 0:
        return None
    end = start + 2
    for length in _packet_lengths(data[tile:start]):
        if end + length > len(data):
            break
        end += length
    if end == start + 2:
        return None
    whole = bytearray(data[:end])
    struct.pack_into(">I", whole, tile + 6, end - tile)
    return bytes(whole) + b"\xff\xd9"


def _packet_lengths(header: bytes) -> Iterator[int]:
    """Read the PLT segments of a tile-part header: 7 bits a byte, the top bit goes on."""
    position, value = 12, 0  # after the SOT segment
    while position + 4 <= len(header):
        marker, size = struct.unpack_from(">HH", header, position)
        if marker == 0xFF58:
            for byte in header[position + 5 : position + 2 + size]:
                value = value << 7 | byte & 0x7F
                if byte < 0x80:
                    yield value
                    value = 0
        position += 2 + size
