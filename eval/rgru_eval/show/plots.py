"""The main plots as PNG files, for a README or a paper."""

from __future__ import annotations

from collections.abc import Callable
from functools import partial
from pathlib import Path
from typing import Any

import numpy as np

from rgru_eval.judge.curves import Group, groups, received, tabulate
from rgru_eval.judge.metrics import MS_SSIM
from rgru_eval.judge.published import PUBLISHED, is_kodak
from rgru_eval.results import Results
from rgru_eval.show.style import PUBLISHED as PUBLISHED_COLOUR
from rgru_eval.show.style import Style, styles
from rgru_eval.show.tables import received_files

DECIBELS = "RGB MS-SSIM in dB, -10 log10(1 - MS-SSIM)"
SIZE_INCHES = (9, 5.6)
DPI = 130
COLOURS = 192  # of a file: many faint lines take several times the bytes otherwise


def write_plots(results: Results, folder: Path) -> list[Path]:
    """Write ``<set>-curves.png``, ``-rates.png`` and ``-received.png``; return the files."""
    folder.mkdir(parents=True, exist_ok=True)
    written: list[Path] = []
    plots = {"curves": _curves, "rates": _rates, "received": _received}
    for group in (g for g in groups(results) if g.whole_set):
        for name, draw in plots.items():
            path = folder / f"{group.title.replace(' ', '-')}-{name}.png"
            if draw_figure(path, partial(draw, results=results, group=group)):
                written.append(path)
    return written


def draw_figure(path: Path, draw: Callable[[Any], bool]) -> bool:
    """Make one figure, a PNG file, without touching a display.

    ``draw`` draws into axes and tells whether there was anything; if not, no file is written.
    """
    from matplotlib import rc_context
    from matplotlib.backends.backend_agg import FigureCanvasAgg
    from matplotlib.figure import Figure
    from PIL import Image

    with rc_context({"text.parse_math": False}):  # a $ in a name is no formula
        figure = Figure(figsize=SIZE_INCHES, dpi=DPI, layout="constrained")
        canvas = FigureCanvasAgg(figure)
        if not draw(figure.add_subplot()):
            return False
        canvas.draw()
    picture = Image.fromarray(np.asarray(canvas.buffer_rgba())).convert("RGB")
    picture.quantize(COLOURS, dither=Image.Dither.NONE).save(path, optimize=True)
    return True


def look_of(style: Style) -> dict[str, Any]:
    """Return how matplotlib draws a line of a style."""
    line: dict[str, Any] = {"color": style.colour, "linewidth": style.width}
    if style.dash:
        line["dashes"] = [float(n) / style.width for n in style.dash.split()]
    return line


def rate_axis(axes: Any, low: float, high: float, label: str) -> None:
    """Make the horizontal axis one of bits per pixel, logarithmic."""
    axes.set_xscale("log")
    axes.set_xlim(low, high)
    ticks = [t for t in (0.03, 0.05, 0.1, 0.2, 0.3, 0.5, 1, 2, 3) if low <= t <= high]
    axes.set_xticks(ticks, [f"{t:g}" for t in ticks])
    axes.minorticks_off()
    axes.set_xlabel(label)
    axes.grid(color="0.9")


def _curves(axes: Any, results: Results, group: Group) -> bool:
    """Mean MS-SSIM in dB against bpp; single pictures faint, published curves dotted."""
    tables = tabulate(results, group, ["msssim_rgb"])
    look = styles(list(results.metadata["codecs"]))
    for (codec, _), table in reversed(tables.items()):
        for bpp, quality in zip(table.bpp, table.quality, strict=True):
            colour = look[codec].colour
            axes.plot(bpp, MS_SSIM.scaled(quality), color=colour, alpha=0.08, linewidth=0.7)
        bpp, quality = table.mean()
        label = results.label(codec)
        axes.plot(bpp, MS_SSIM.scaled(quality), ".-", label=label, **look_of(look[codec]))
    if is_kodak(results, group):
        for number, paper in enumerate(PUBLISHED):
            axes.plot(
                paper.bpp,
                MS_SSIM.scaled(paper.msssim_rgb),
                linestyle=(":", (0, (1, 4)))[number % 2],
                color=PUBLISHED_COLOUR,
                label=f"{paper.name} (published)",
            )
    rate_axis(axes, 0.05, 3, "bits per pixel (whole file)")
    axes.set_ylim(5, 21)
    axes.set_ylabel(DECIBELS)
    axes.set_title(f"{group.title}: mean of {len(group.images)} pictures")
    _legend(axes)
    return bool(tables)


def _legend(axes: Any) -> None:
    handles, labels = axes.get_legend_handles_labels()
    order = sorted(range(len(labels)), key=lambda i: ("published" in labels[i], -i))
    axes.legend([handles[i] for i in order], [labels[i] for i in order], loc="best", fontsize=9)


def _rates(axes: Any, results: Results, group: Group) -> bool:
    """Bars: bpp at equal RGB MS-SSIM; a codec that does not reach down is marked with <."""
    tables = tabulate(results, group, ["msssim_rgb"])
    look = styles(list(results.metadata["codecs"]))
    height = 0.8 / max(len(tables), 1)
    for place, ((codec, _), table) in enumerate(tables.items()):
        rates = [table.rate_at(target) for target in MS_SSIM.targets]
        ys = [number + place * height for number in range(len(rates))]
        colour, label = look[codec].colour, results.label(codec)
        axes.barh(ys, [r.bpp for r in rates], height * 0.9, color=colour, label=label)
        for y, rate in zip(ys, rates, strict=True):
            axes.text(rate.bpp + 0.006, y, str(rate), va="center", fontsize=7.5)
    middle = height * (len(tables) - 1) / 2
    ticks = [number + middle for number in range(len(MS_SSIM.targets))]
    axes.set_yticks(ticks, [f"MS-SSIM {t:.2f}" for t in MS_SSIM.targets])
    axes.invert_yaxis()
    axes.set_xlabel("bits per pixel (whole file), smaller is better")
    axes.set_title(f"{group.title}: bits per pixel at equal RGB MS-SSIM")
    axes.legend(loc="upper right", fontsize=9)
    return bool(tables)


def _received(axes: Any, results: Results, group: Group) -> bool:
    """Mean MS-SSIM in dB against the bytes received of one file."""
    look = styles(list(results.metadata["codecs"]))
    seen: set[str] = set()
    for codec, file, rows in received_files(results, group):
        bpp, quality = received(rows, "msssim_rgb")
        style = look_of(look[codec]) | ({"dashes": [4, 2]} if codec in seen else {})
        label = f"{results.label(codec)}, one file ({file})"
        axes.plot(bpp, MS_SSIM.scaled(quality), marker=".", label=label, **style)
        seen.add(codec)
    rate_axis(axes, 0.03, 2, "bits per pixel received of one file")
    axes.set_ylabel(DECIBELS)
    axes.set_title(f"{group.title}: quality against the bytes received")
    if seen:
        axes.legend(loc="best", fontsize=9)
    return bool(seen)
