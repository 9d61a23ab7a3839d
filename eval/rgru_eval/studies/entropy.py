"""What the entropy stage is worth: bytes of each layer beside simpler ways of storing its codes.

For every layer, over all pictures: nominal bits (one a code), the bytes of the file, the ideal code
length of the context model, and two baselines from known tools: packed bits through zlib and LZMA,
and adaptive counts (one Krichevsky-Trofimov estimator a channel, ideal length).
"""

from __future__ import annotations

import dataclasses
import functools
import lzma
import time
import zlib
from collections.abc import Iterable, Sequence
from typing import TYPE_CHECKING

import numpy as np

from rgru_eval.show.tables import markdown
from rgru_eval.studies.codes import Codes, decode_groups

if TYPE_CHECKING:
    from PIL.Image import Image


@dataclasses.dataclass(frozen=True)
class LayerRow:
    """One layer, summed over pictures; sizes in bits."""

    layer: int
    nominal: int
    """One bit a code."""
    coded: int
    """The groups in the file, framing included."""
    ideal: float
    """Of the context model: the sum of -log2 P(code)."""
    streams: int
    """Groups, each of which may cost a little over its ideal length."""
    payload: int
    """The groups without framing."""
    zlib: int
    lzma: int
    counts: float
    """Adaptive counts, a channel at a time."""


@dataclasses.dataclass(frozen=True)
class Stages:
    """Seconds of decoding, summed over pictures."""

    entropy: float
    """Context model and range decoder: bytes to codes."""
    networks: float
    """Codes to pixels."""

    @property
    def share(self) -> float:
        """Part of the time that the entropy stage takes, 0 to 1."""
        return self.entropy / (self.entropy + self.networks)


def packed(codes: Codes) -> bytes:
    """Channel by channel, one bit a code."""
    return np.packbits(codes.transpose(2, 0, 1) > 0).tobytes()


def adaptive_counts(codes: Codes) -> float:
    """Bits of an ideal adaptive coder: P(+1) = (n₊ + ½) / (n + 1) for each channel on its own.

    The product of these has a closed form in the counts; see Krichevsky and Trofimov (1981).
    """
    from math import lgamma, log, pi

    count = codes.shape[0] * codes.shape[1]
    total = 0.0
    for ones in np.count_nonzero(codes > 0, axis=(0, 1)).tolist():
        zeros = count - ones
        total += lgamma(count + 1) + log(pi) - lgamma(ones + 0.5) - lgamma(zeros + 0.5)
    return total / log(2.0)


def measure(images: Iterable[Image]) -> tuple[list[LayerRow], Stages]:
    """Compress and decode every picture; sums for each layer, and times of the decoder's stages."""
    from rgru_codec import compress
    from rgru_codec.models import default_model
    from rgru_format import CodesEncoder, inspect

    model = default_model()
    rows: dict[int, LayerRow] = {}
    entropy = networks = 0.0
    for image in images:
        contents = inspect(compress(image, strip=True))
        grid = contents.header.grid
        begin = time.perf_counter()
        layers = decode_groups(contents.groups, grid)
        entropy += time.perf_counter() - begin
        networks += _paint(layers, image.height, image.width)
        encoder = CodesEncoder(model.context(), *grid)
        for number, codes in enumerate(layers, start=1):
            encoder.encode_layer(codes)
            groups = [group for group in contents.groups if group.layer == number]
            bits = packed(codes)
            row = LayerRow(
                layer=number,
                nominal=codes.size,
                coded=8 * sum(group.end - group.offset for group in groups),
                ideal=sum(encoder.group_bits),
                streams=len(groups),
                payload=8 * sum(len(group.payload) for group in groups),
                zlib=8 * len(zlib.compress(bits, 9)),
                lzma=8 * len(lzma.compress(bits, preset=9)),
                counts=adaptive_counts(codes),
            )
            rows[number] = _sum(rows[number], row) if number in rows else row
    return list(rows.values()), Stages(entropy, networks)


def _sum(a: LayerRow, b: LayerRow) -> LayerRow:
    added = {
        field.name: getattr(a, field.name) + getattr(b, field.name)
        for field in dataclasses.fields(LayerRow)
        if field.name != "layer"
    }
    return LayerRow(layer=a.layer, **added)


def _paint(layers: Sequence[Codes], height: int, width: int) -> float:
    """Seconds from codes to pixels."""
    from rgru_codec.iterations import Painter
    from rgru_codec.models import default_model

    painter = Painter(default_model(), height, width)
    begin = time.perf_counter()
    for codes in layers:
        painter.add_layer(codes)
    painter.show()
    return time.perf_counter() - begin


def table(rows: Sequence[LayerRow], stages: Stages) -> str:
    """The rows and their sum as Markdown, sizes in percent of the nominal bits."""
    heads = ("layer", "nominal bits", "file", "ideal", "counts", "zlib", "lzma", "over the ideal")
    total = functools.reduce(_sum, rows)
    cells = [_cells(str(row.layer), row) for row in rows] + [_cells("all", total)]
    share = f"Decoding spends {100 * stages.share:.0f} % of its time on the entropy stage."
    return f"{markdown(heads, cells)}\n\n{share}"


def _cells(name: str, row: LayerRow) -> tuple[str, ...]:
    sizes = (row.coded, row.ideal, row.counts, row.zlib, row.lzma)
    over = (row.payload - row.ideal) / row.streams
    return (
        name,
        f"{row.nominal:,}",
        *(f"{100 * size / row.nominal:.1f} %" for size in sizes),
        f"{over:+.1f} bits a stream, {100 * (row.payload / row.ideal - 1):+.3f} %",
    )
