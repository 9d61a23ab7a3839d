"""What colour costs: photos, and the same photos in grey, both compressed with rgru."""

from __future__ import annotations

import dataclasses
from collections.abc import Iterable
from typing import TYPE_CHECKING

import numpy as np
import numpy.typing as npt

from rgru_eval.judge.curves import Crossing, rate_at
from rgru_eval.judge.metrics import METRICS, Judge
from rgru_eval.measure.codecs import Step
from rgru_eval.measure.rgru import Rgru
from rgru_eval.show.tables import markdown

if TYPE_CHECKING:
    from PIL.Image import Image

Floats = npt.NDArray[np.float64]


@dataclasses.dataclass(frozen=True)
class Ladder:
    """Mean bits per pixel and mean MS-SSIM of luma after each layer."""

    bpp: Floats
    msssim: Floats


def measure(images: Iterable[Image]) -> tuple[Ladder, Ladder]:
    """Compress each picture in colour and in grey; grey pictures are left out."""
    codec = Rgru("rgru")
    colour, grey = [], []
    for image in images:
        if image.mode != "L":
            colour.append(_ladder(codec, image))
            grey.append(_ladder(codec, image.convert("L")))
    return _mean(colour), _mean(grey)


def _ladder(codec: Rgru, image: Image) -> list[tuple[float, float]]:
    judge = Judge(image, ("msssim",))
    pixels = image.width * image.height
    steps = [step for step in codec.steps(image, ()) if isinstance(step, Step)]
    return [(8 * len(s.data) / pixels, judge(s.picture)["msssim_luma"]) for s in steps]


def _mean(ladders: list[list[tuple[float, float]]]) -> Ladder:
    mean = np.array(ladders, float).mean(axis=0)
    return Ladder(mean[:, 0], mean[:, 1])


def study(images: Iterable[Image]) -> str:
    """Return the table of some pictures."""
    return table(*measure(images))


def table(colour: Ladder, grey: Ladder) -> str:
    """Return bits per pixel of both, with all layers and at equal MS-SSIM of luma, as Markdown."""
    rows = [("all layers", Crossing(float(colour.bpp[-1])), Crossing(float(grey.bpp[-1])))]
    for target in METRICS["msssim_luma"].targets:
        both = [rate_at(ladder.bpp, ladder.msssim, target) for ladder in (colour, grey)]
        rows.append((f"luma MS-SSIM {target:.2f}", both[0], both[1]))
    return markdown(
        ("bits per pixel, mean", "colour", "grey", "grey saves"),
        [(name, str(a), str(b), _saved(a, b)) for name, a, b in rows],
    )


def _saved(colour: Crossing, grey: Crossing) -> str:
    if colour.bound or grey.bound:
        return "n/a"
    return f"{100 * (1 - grey.bpp / colour.bpp):.0f} %"
