"""What the entropy stage is worth: bytes of each layer beside simpler ways of storing its codes.

For every layer, over all pictures: nominal bits (one a code), the bytes of the file, the ideal code
length of the context model, and two baselines from known tools: packed bits through zlib and LZMA,
and adaptive counts (one Krichevsky-Trofimov estimator a channel, ideal length).
"""

from __future__ import annotations

import lzma
import time
import zlib
from collections.abc import Iterable, Sequence
from math import lgamma, log, pi
from typing import TYPE_CHECKING

import numpy as np
import pandas as pd

from rgru_codec import compress, default_model
from rgru_codec.iterations import Painter
from rgru_eval.show.tables import markdown
from rgru_eval.studies.projector import Codes, decode_groups
from rgru_format import CodesEncoder, inspect

if TYPE_CHECKING:
    from PIL.Image import Image

SIZES = {"file": "coded", "ideal": "ideal", "counts": "counts", "zlib": "zlib", "lzma": "lzma"}
"""Heads of the table, and the columns of bits that stand below them."""


def packed(codes: Codes) -> bytes:
    """Return the codes channel by channel, one bit each."""
    return np.packbits(codes.transpose(2, 0, 1) > 0).tobytes()


def adaptive_counts(codes: Codes) -> float:
    """Return bits of an ideal adaptive coder: P(+1) = (n₊ + ½) / (n + 1) for each channel.

    The product of these has a closed form in the counts; see Krichevsky and Trofimov (1981).
    """
    count = codes.shape[0] * codes.shape[1]
    total = 0.0
    for ones in np.count_nonzero(codes > 0, axis=(0, 1)).tolist():
        zeros = count - ones
        total += lgamma(count + 1) + log(pi) - lgamma(ones + 0.5) - lgamma(zeros + 0.5)
    return total / log(2.0)


def measure(images: Iterable[Image]) -> tuple[pd.DataFrame, float]:
    """Compress and decode every picture.

    Returns:
        A row a layer, summed over pictures, sizes in bits: ``nominal`` (one a code), ``coded`` (its
        groups, framing included), ``payload`` (without framing), ``ideal`` (sum of -log2 P),
        ``streams`` (groups), ``zlib``, ``lzma``, ``counts``; and the part of decoding time that
        the entropy stage takes, 0 to 1.
    """
    model, rows = default_model(), []
    entropy = networks = 0.0
    for image in images:
        contents = inspect(compress(image, layers="all", strip=True))
        begin = time.perf_counter()
        layers = decode_groups(contents.groups, contents.header.grid)
        entropy += time.perf_counter() - begin
        networks += _paint(layers, image.height, image.width)
        encoder = CodesEncoder(model.context(), *contents.header.grid)
        for number, codes in enumerate(layers, start=1):
            encoder.encode_layer(codes)
            groups = [group for group in contents.groups if group.layer == number]
            bits = packed(codes)
            rows.append(
                {
                    "layer": number,
                    "nominal": codes.size,
                    "coded": 8 * sum(group.end - group.offset for group in groups),
                    "ideal": sum(encoder.group_bits),
                    "streams": len(groups),
                    "payload": 8 * sum(len(group.payload) for group in groups),
                    "zlib": 8 * len(zlib.compress(bits, 9)),
                    "lzma": 8 * len(lzma.compress(bits, preset=9)),
                    "counts": adaptive_counts(codes),
                }
            )
    return pd.DataFrame(rows).groupby("layer").sum(), entropy / (entropy + networks)


def _paint(layers: Sequence[Codes], height: int, width: int) -> float:
    """Return the seconds from codes to pixels."""
    painter = Painter(default_model(), height, width)
    begin = time.perf_counter()
    for codes in layers:
        painter.add_layer(codes)
    painter.show()
    return time.perf_counter() - begin


def study(images: Iterable[Image]) -> str:
    """Return the table of some pictures."""
    return table(*measure(images))


def table(rows: pd.DataFrame, share: float) -> str:
    """Return the rows and their sum as Markdown, sizes in percent of the nominal bits."""
    cells = []
    for layer, row in [*rows.iterrows(), ("all", rows.sum())]:
        sizes = [f"{100 * row[column] / row['nominal']:.1f} %" for column in SIZES.values()]
        over = (row["payload"] - row["ideal"]) / row["streams"]
        part = 100 * (row["payload"] / row["ideal"] - 1)
        told = f"{over:+.1f} bits a stream, {part:+.3f} %"
        cells.append([str(layer), f"{row['nominal']:,.0f}", *sizes, told])
    heads = ["layer", "nominal bits", *SIZES, "over the ideal"]
    stage = f"Decoding spends {100 * share:.0f} % of its time on the entropy stage."
    return f"{markdown(heads, cells)}\n\n{stage}"
