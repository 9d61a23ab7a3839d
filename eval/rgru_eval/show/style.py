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
SPARE = ("#8c564b", "#56b4e9", "#7f3fbf", "#2ca02c", "#17becf", "#e377c2")
DASHES = ("", "7 3", "2 3", "9 2 2 2")
JPEG = (("#111111", ""), ("#8a8a8a", "6 3"), ("#555555", "2 2"), ("#a8a8a8", ""))
PUBLISHED = "#7a5195"
ON_DARK = {
    "#111111": "#f2f2f2",
    "#555555": "#b0b0b0",
    "#0072b2": "#4aa8e0",
    "#009e73": "#2cc79a",
    "#d55e00": "#ff8a3d",
    "#7f3fbf": "#b085e8",
    "#8c564b": "#c08a7d",
    PUBLISHED: "#b79bd0",
}
"""What takes the place of colours that a dark ground would swallow."""


@dataclass(frozen=True)
class Style:
    """Colour as ``#rrggbb``, dash lengths in pixels (empty: solid), width in pixels."""

    colour: str
    dash: str
    width: float

    @property
    def dark(self) -> str:
        """The colour on a dark ground."""
        return ON_DARK.get(self.colour, self.colour)


def styles(codecs: Sequence[str]) -> dict[str, Style]:
    """Give each codec identity its style; a second preset of a codec is dashed."""
    spare, jpeg = iter(SPARE * 4), iter(JPEG * 4)
    used: dict[str, int] = {}
    chosen: dict[str, Style] = {}
    for codec in codecs:
        name = codec.partition(":")[0]
        place = used[name] = used.get(name, -1) + 1
        if name == "jpeg":
            colour, dash = next(jpeg)
            chosen[codec] = Style(colour, dash, 2.2 if place == 0 else 1.5)
        else:
            colour, dash = NAMED.get(name) or next(spare), DASHES[place % len(DASHES)]
            chosen[codec] = Style(colour, dash, 3.0 if name == "rgru" else 1.8)
    return chosen
