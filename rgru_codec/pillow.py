"""Pillow reads and writes .rgru files: call `register` once.

    import rgru_codec
    rgru_codec.pillow.register()
    Image.open("photo.rgru").save("photo.png")
    Image.open("photo.png").save("photo.rgru", quality=60)

``import rgru_codec.RgruImagePlugin`` does the same. imageio works through it as well.

Options of ``save`` are the keywords of `rgru_codec.compress`, ``limits`` apart (Pillow has its
own); others are refused. Metadata of the picture is kept unless it is given or stripped. Of an
animation the frame is saved that it shows, as Pillow does with other formats.
"""

from __future__ import annotations

import contextlib
import dataclasses
from typing import IO, Any

from PIL import Image, ImageFile

from rgru_codec.decoder import Decoder
from rgru_codec.encoder import compress
from rgru_codec.inspection import layers_for, mode_of
from rgru_codec.metadata import metadata_of
from rgru_codec.models import WEIGHTS, find_model
from rgru_codec.picture import frame_shown
from rgru_codec.settings import Settings
from rgru_codec.source import pieces_of
from rgru_format import (
    SIGNATURE,
    BoxRead,
    GroupRead,
    HeaderRead,
    NotRgru,
    Reader,
    RgruError,
    check,
)
from rgru_format.limits import ANY_SIZE

FORMAT = "RGRU"
MIME = "image/x-rgru"
_PIECE = 4096


def register() -> None:
    """Make Pillow know the format: open, save, extension, MIME type. Twice does no harm."""
    Image.register_open(FORMAT, RgruImageFile, _accept)
    Image.register_decoder("rgru", _RgruDecoder)
    Image.register_save(FORMAT, _save)
    Image.register_save_all(FORMAT, _save_all)
    Image.register_extension(FORMAT, ".rgru")
    Image.register_mime(FORMAT, MIME)


def _accept(prefix: bytes) -> bool | str:
    if not prefix.startswith(SIGNATURE):
        return False
    if not (WEIGHTS / "default").is_file():
        return "RGRU: no model is installed; reinstall rgru-codec"
    return True


class RgruImageFile(ImageFile.ImageFile):
    """A .rgru file: opened by its header and metadata, decoded when its pixels are asked for."""

    format = FORMAT
    format_description = "rgru learned progressive image"

    def _open(self) -> None:
        assert self.fp is not None
        reader = Reader(ANY_SIZE)  # Pillow has its own, Image.MAX_IMAGE_PIXELS
        try:
            while not self._opened(reader, self.fp.read(_PIECE)):
                pass
        except RgruError as error:
            if reader.header is None and isinstance(error, NotRgru):
                raise SyntaxError(str(error)) from None
            raise OSError(str(error)) from error
        self._ask_for(None)

    def _opened(self, reader: Reader, data: bytes) -> bool:
        """Take in one piece; whether header and metadata, some of it behind layer 1, are known."""
        if not data:
            reader.close()
            return True
        for event in reader.feed(data):
            if isinstance(event, HeaderRead):
                self._header = event.header
                self._size = (event.header.width, event.header.height)
                self._mode = mode_of(event.header)
            elif isinstance(event, BoxRead):
                self.info.update(metadata_of(event.box, grey=self._header.grey))
            elif isinstance(event, GroupRead) and event.layer > 1:
                return True
        return False

    def _ask_for(self, layers: int | None) -> None:
        self.tile = [ImageFile._Tile("rgru", (0, 0, *self.size), 0, (layers, self.info))]

    def use_layers(self, layers: int) -> None:
        """Decode only the first layers; to be called before the pixels are asked for."""
        self._ask_for(layers)
        self.info["layers"] = layers

    def draft(
        self, mode: str | None, size: tuple[int, int] | None
    ) -> tuple[str, tuple[int, int, float, float]] | None:
        """Cheaper will do: decode no more layers than a picture of ``size`` can show.

        The size stays as it is; ``info["layers"]`` says how many layers it will be.
        """
        if not self.tile or size is None or self.fp is None:
            return None
        try:
            codes = find_model(self._header.model_id).codes
        except RgruError:  # told when the pixels are asked for
            return None
        # Callers ask for twice the size that they will scale down to.
        self.use_layers(layers_for(self._header, max(1, max(size) // 2), codes))
        return self.mode, (0, 0, *self.size)

    def verify(self) -> None:
        """Check all checksums; the pixels are not decoded.

        Raises:
            OSError: the file is damaged.
        """
        assert self.fp is not None
        self.fp.seek(0)
        report, _ = check(pieces_of(self.fp), ANY_SIZE)
        super().verify()
        if report.error is not None:
            raise OSError(str(report.error)) from report.error

    def load_seek(self, pos: int) -> None:
        """Seek; that this exists tells ``ImageFile.Parser`` to wait for the whole file."""
        assert self.fp is not None
        self.fp.seek(pos)


class _RgruDecoder(ImageFile.PyDecoder):
    """Decodes what is there; a file that was cut is a normal file."""

    _pulls_fd = True

    def decode(self, buffer: object) -> tuple[int, int]:
        assert self.fd is not None
        layers, info = self.args
        decoder = Decoder(layers=layers, limits=ANY_SIZE)
        forgiven = (RgruError,) if ImageFile.LOAD_TRUNCATED_IMAGES else ()
        try:
            with contextlib.suppress(*forgiven):
                while data := self.fd.read(1 << 20):
                    decoder.feed(data)
                decoder.close()
            picture = decoder.picture()
        except RgruError as error:
            raise OSError(str(error)) from error
        info["layers"] = decoder.layers
        self.set_as_raw(picture.tobytes())
        return -1, 0


def _save(image: Image.Image, fp: IO[bytes], filename: str | bytes) -> None:
    try:
        options = {"frame": frame_shown(image), **_save_options(image.encoderinfo)}
        data = compress(image, limits=ANY_SIZE, **options)
    except RgruError as error:
        raise ValueError(str(error)) from error
    fp.write(data)


def _save_all(image: Image.Image, fp: IO[bytes], filename: str | bytes) -> None:
    """Save for ``save_all=True``, which asks for all frames: the picture, if there is one only."""
    more = image.encoderinfo.pop("append_images", ())
    if more or getattr(image, "n_frames", 1) > 1:
        raise ValueError(".rgru files hold one picture; save each in a file of its own")
    _save(image, fp, filename)


_OPTIONS = frozenset(field.name for field in dataclasses.fields(Settings)) - {"limits"}


def _save_options(given: dict[str, Any]) -> dict[str, Any]:
    """Pillow's options as arguments of ``compress``. Metadata given as None is left out."""
    if unknown := given.keys() - _OPTIONS:
        raise ValueError(
            f"unknown options for .rgru: {', '.join(sorted(unknown))}; "
            f"known are {', '.join(sorted(_OPTIONS))}"
        )
    options = dict(given)
    for name in {"exif", "xmp", "icc_profile"} & given.keys():
        value = given[name]
        options[name] = value.tobytes() if isinstance(value, Image.Exif) else value or b""
    return options
