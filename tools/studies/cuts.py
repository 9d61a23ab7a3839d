"""One file cut at many places: what arrives of it, and how good the picture is then.

A group of codes that arrives should never make the picture worse. MS-SSIM is looked at after every
group; a loss of more than ``LARGEST_DROP`` dB is a fault of the model.
"""

from __future__ import annotations

import dataclasses
import itertools
from collections.abc import Iterable, Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any

import pandas as pd

from rgru_eval.judge.metrics import MS_SSIM, Judge
from rgru_eval.show.tables import markdown

if TYPE_CHECKING:
    from PIL.Image import Image

    from rgru_codec.streams import Stage

LARGEST_DROP = 0.05
"""dB of MS-SSIM."""


@dataclasses.dataclass(frozen=True)
class Arrival:
    """The picture after some bytes of a file."""

    picture: str
    bytes: int
    bpp: float
    layers: int
    """Complete layers."""
    groups: int
    """Groups of the layer after them."""
    msssim: float
    db: float


@dataclasses.dataclass(frozen=True)
class Curve:
    """One file: at evenly spread cuts, and after every group."""

    picture: str
    cuts: list[Arrival]
    arrivals: list[Arrival]
    """After the header, and after each group."""

    def drops(self) -> list[float]:
        """What every group cost, in dB; negative where it made things better."""
        return [before.db - after.db for before, after in itertools.pairwise(self.arrivals)]


def measure(name: str, image: Image, count: int) -> Curve:
    """Compress a picture and look at it after each of ``count`` parts of the file."""
    from rgru_codec import Decoder, compress, info
    from rgru_codec.streams import stages_at
    from rgru_format import HEADER_SIZE

    data = compress(image, layers="all", strip=True)
    layers = info(data).layers
    ends = [HEADER_SIZE, *(n for layer in layers for n in (*layer.offsets[1:], layer.end))]
    places = [round(len(data) * part / count) for part in range(1, count + 1)]
    judge = Judge(image, ("msssim",))
    cuts, arrivals, msssim, state = [], [], 0.0, (-1, -1)
    for stage in stages_at(Decoder(), data, sorted({*ends, *places})):
        if (stage.layers, stage.groups) != state:
            state, msssim = (stage.layers, stage.groups), judge.msssim(stage.picture)
        seen = _arrival(name, image, stage, msssim)
        cuts += [seen] * (stage.bytes in places)
        arrivals += [seen] * (stage.bytes in ends)
    return Curve(name, cuts, arrivals)


def _arrival(name: str, image: Image, stage: Stage, msssim: float) -> Arrival:
    bpp = 8 * stage.bytes / (image.width * image.height)
    decibels = float(MS_SSIM.scaled(msssim))
    return Arrival(name, stage.bytes, bpp, stage.layers, stage.groups, msssim, decibels)


def table(curves: Sequence[Curve]) -> str:
    """Return the largest loss of each picture, as Markdown."""
    heads = ("picture", "groups", "MS-SSIM of all", "largest loss by a group, dB")
    rows = [
        (
            curve.picture,
            str(len(curve.arrivals) - 1),
            f"{curve.arrivals[-1].msssim:.4f}",
            f"{max(0.0, *curve.drops()):.3f}",
        )
        for curve in curves
    ]
    return markdown(heads, rows)


def failures(curves: Iterable[Curve]) -> list[str]:
    """Return the groups that cost more than ``LARGEST_DROP``, in words."""
    return [
        f"{curve.picture}: group {arrived.groups or 'last'} of layer"
        f" {arrived.layers + (arrived.groups > 0)} costs {drop:.3f} dB"
        for curve in curves
        for arrived, drop in zip(curve.arrivals[1:], curve.drops(), strict=True)
        if drop > LARGEST_DROP
    ]


def write_csv(curves: Iterable[Curve], path: Path) -> None:
    """Write the cuts of all curves, one a line."""
    rows = pd.DataFrame([cut for curve in curves for cut in curve.cuts])
    rows.to_csv(path, index=False, float_format="%.5f", lineterminator="\n")


def plot(curves: Sequence[Curve], path: Path) -> None:
    """Draw MS-SSIM in dB against the bytes received."""
    from rgru_eval.show.plots import DECIBELS, draw_figure

    def draw(axes: Any) -> bool:
        for curve in curves:
            kilobytes = [cut.bytes / 1000 for cut in curve.cuts]
            axes.plot(kilobytes, [cut.db for cut in curve.cuts], ".-", label=curve.picture)
        axes.set_xlabel("kilobytes received of one file")
        axes.set_ylabel(DECIBELS)
        axes.grid(color="0.9")
        axes.legend()
        return True

    draw_figure(path, draw)
