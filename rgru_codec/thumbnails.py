"""Small pictures of files, from as few layers as they can show."""

from __future__ import annotations

import warnings

from PIL import Image

from rgru_codec.decoder import Decoder
from rgru_codec.inspection import layers_for
from rgru_codec.models import ModelLike, as_model, model_of
from rgru_codec.source import Source, as_count, check_limits, read_rgru
from rgru_format import HEADER_SIZE, Limits, inspect


def thumbnail(
    source: Source,
    size: int,
    *,
    limits: Limits | None = None,
    threads: int | None = None,
    model: ModelLike | None = None,
) -> Image.Image:
    """Make a small picture of a file, from as few layers as it can show; of a cut file too.

    Of a damaged file it is made of what stands before the damage, and a warning says so. Damage
    behind the layers that it takes is none.

    Args:
        source: A file, or the beginning of one: bytes, a path, or an open file.
        size: The longer side, in pixels; a smaller picture keeps its size.
        limits: What the file may ask for.
        threads: Of the inference engine; by default all cores.
        model: A model package, its folder, id or name, for a file of a model that is not installed.

    Raises:
        NotRgru, UnsupportedVersion, LimitExceeded, ModelMissing: As `rgru_codec.decompress`.
        Damaged: The header is, or no codes are intact.
        InvalidInput: ``size`` is no whole number above 0.
    """
    image, notes = thumbnail_and_notes(source, size, limits, threads, model)
    for note in notes:
        warnings.warn(note, stacklevel=2)
    return image


def thumbnail_and_notes(
    source: Source, size: int, limits: Limits | None, threads: int | None, model: ModelLike | None
) -> tuple[Image.Image, tuple[str, ...]]:
    """Do as `thumbnail`; what it warns of is returned."""
    size = as_count("size", size, 1)
    check_limits(limits)
    data = read_rgru(source, limits)
    header = inspect(data[:HEADER_SIZE], limits).sound().header
    given = None if model is None else as_model(model)
    layers = layers_for(header, size, model_of(header.model_id, given).codes)
    decoder = Decoder(layers=layers, limits=limits, threads=threads, model=given)
    decoder.feed(data)
    decoder.close(partial=True)
    notes = tuple(decoder.notes)
    if decoder.error is not None:
        if not (decoder.layers or decoder.groups):
            raise decoder.error
        notes += (f"the file is damaged, shown is what stands before: {decoder.error}",)
    image = decoder.picture()
    image.thumbnail((size, size), Image.Resampling.LANCZOS, reducing_gap=None)
    return image, notes
