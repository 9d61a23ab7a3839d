"""One colour and one dash for a codec, the same in every plot of a report."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

# Colours that differ for colour-blind eyes too (Okabe and Ito 2008); JPEG is black and grey.
NAMED = {
    "rgru": "#d55e00",
    "webp": "#0072b2",
    "avif": "#009e73",
    "jxl": "#cc79a7",
    "jpeg2000": "#b8860b",
}
SPARE = ("#56b4e9", "#8c564b", "#7f3fbf", "#2ca02c", "#17becf", "#e377c2")
JPEG = (("#111111", ""), ("#8a8a8a", "6 3"), ("#555555", "2 2"), ("#a8a8a8", ""))
PUBLISHED = "#7a5195"


@dataclass(frozen=True)
class Style:
    """Colour as ``#rrggbb``, dash lengths in pixels (empty: solid), width in pixels."""

    colour: str
    dash: str
    width: float


def styles(codecs: Sequence[str]) -> dict[str, Style]:
    """Give each codec identity its style."""
    spare, jpeg = iter(SPARE * 4), iter(JPEG * 4)
    used: set[str] = set()
    chosen: dict[str, Style] = {}
    for codec in codecs:
        name = codec.partition(":")[0]
        if name == "jpeg":
            colour, dash = next(jpeg)
            chosen[codec] = Style(colour, dash, 2.2 if not dash and colour == "#111111" else 1.5)
            continue
        colour = NAMED[name] if name in NAMED and name not in used else next(spare)
        used.add(name)
        chosen[codec] = Style(colour, "", 3.0 if name == "rgru" else 1.8)
    return chosen
