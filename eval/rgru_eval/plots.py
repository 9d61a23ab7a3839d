"""The main plots as PNG files, for a README or a paper."""

from __future__ import annotations

from collections.abc import Callable
from functools import partial
from pathlib import Path
from typing import Any

import numpy as np

from rgru_eval.metrics import METRICS
from rgru_eval.published import PUBLISHED
from rgru_eval.results import Results, curve_rows
from rgru_eval.style import PUBLISHED as PUBLISHED_COLOUR
from rgru_eval.style import Style, styles
from rgru_eval.summary import TARGETS, tabulate
from rgru_eval.tables import received_curve

MS_SSIM = METRICS["msssim_rgb"]
SIZE_INCHES = (9, 5.6)
DPI = 130
COLOURS = 192  # of a file: many faint lines take several times the bytes otherwise


def write_plots(results: Results, folder: Path) -> list[Path]:
    """Write ``<set>-curves.png``, ``-rates.png`` and ``-received.png``; return the files."""
    folder.mkdir(parents=True, exist_ok=True)
    written: list[Path] = []
    plots = {"curves": _curves, "rates": _rates, "received": _received}
    for set_name in results.sets:
        for name, draw in plots.items():
            path = folder / f"{set_name}-{name}.png"
            if draw_figure(path, partial(draw, results=results, set_name=set_name)):
                written.append(path)
    return written


def draw_figure(path: Path, draw: Callable[[Any], bool]) -> bool:
    """Make one figure without touching a display.

    Args:
        path: the PNG file.
        draw: draws into axes and tells whether there was anything; if not, no file is written.
    """
    from matplotlib.backends.backend_agg import FigureCanvasAgg
    from matplotlib.figure import Figure
    from PIL import Image

    figure = Figure(figsize=SIZE_INCHES, dpi=DPI, layout="constrained")
    canvas = FigureCanvasAgg(figure)
    axes = figure.add_subplot()
    if not draw(axes):
        return False
    canvas.draw()
    picture = Image.fromarray(np.asarray(canvas.buffer_rgba())).convert("RGB")
    picture.quantize(COLOURS, dither=Image.Dither.NONE).save(path, optimize=True)
    return True


def _look(style: Style) -> dict[str, Any]:
    line: dict[str, Any] = {"color": style.colour, "linewidth": style.width}
    if style.dash:
        line["dashes"] = [float(n) / style.width for n in style.dash.split()]
    return line


def _rate_axis(axes: Any, low: float, high: float, label: str) -> None:
    axes.set_xscale("log")
    axes.set_xlim(low, high)
    ticks = [t for t in (0.03, 0.05, 0.1, 0.2, 0.3, 0.5, 1, 2, 3) if low <= t <= high]
    axes.set_xticks(ticks, [f"{t:g}" for t in ticks])
    axes.minorticks_off()
    axes.set_xlabel(label)
    axes.grid(color="0.9")


def _curves(axes: Any, results: Results, set_name: str) -> bool:
    """Mean MS-SSIM in dB against bpp; single pictures faint, published curves dotted."""
    codecs = list(results.metadata["codecs"])
    look = styles(codecs)
    drawn = False
    for codec in reversed(codecs):
        table = tabulate(results, set_name, codec, "msssim_rgb")
        if table is None:
            continue
        for bpp, quality in zip(table.bpp, table.quality, strict=True):
            axes.plot(
                bpp, MS_SSIM.scaled(quality), color=look[codec].colour, alpha=0.08, linewidth=0.7
            )
        bpp, quality = table.mean()
        axes.plot(
            bpp, MS_SSIM.scaled(quality), ".-", label=results.label(codec), **_look(look[codec])
        )
        drawn = True
    if "kodak" in set_name.lower():
        for number, paper in enumerate(PUBLISHED):
            axes.plot(
                paper.bpp,
                MS_SSIM.scaled(paper.msssim_rgb),
                linestyle=(":", (0, (1, 4)))[number % 2],
                color=PUBLISHED_COLOUR,
                label=f"{paper.name} (published)",
            )
    _rate_axis(axes, 0.05, 3, "bits per pixel (whole file)")
    axes.set_ylim(5, 21)
    axes.set_ylabel("RGB MS-SSIM in dB, -10 log10(1 - MS-SSIM)")
    axes.set_title(f"{set_name}: mean of {_count(results, set_name)} pictures")
    _legend(axes)
    return drawn


def _count(results: Results, set_name: str) -> int:
    return sum(i["set"] == set_name for i in results.metadata["images"])


def _legend(axes: Any) -> None:
    handles, labels = axes.get_legend_handles_labels()
    order = sorted(range(len(labels)), key=lambda i: ("published" in labels[i], -i))
    axes.legend([handles[i] for i in order], [labels[i] for i in order], loc="best", fontsize=9)


def _rates(axes: Any, results: Results, set_name: str) -> bool:
    """Bars: bpp at equal RGB MS-SSIM; a codec that does not reach down is marked with <."""
    codecs = [c for c in results.metadata["codecs"] if tabulate(results, set_name, c, "msssim_rgb")]
    look = styles(list(results.metadata["codecs"]))
    height = 0.8 / max(len(codecs), 1)
    for place, codec in enumerate(codecs):
        table = tabulate(results, set_name, codec, "msssim_rgb")
        assert table is not None
        rates = [table.rate_at(target) for target in TARGETS]
        ys = [group + place * height for group in range(len(TARGETS))]
        axes.barh(
            ys,
            [r.bpp for r in rates],
            height * 0.9,
            color=look[codec].colour,
            label=results.label(codec),
        )
        for y, rate in zip(ys, rates, strict=True):
            axes.text(rate.bpp + 0.006, y, str(rate), va="center", fontsize=7.5)
    middle = height * (len(codecs) - 1) / 2
    ticks = [group + middle for group in range(len(TARGETS))]
    axes.set_yticks(ticks, [f"MS-SSIM {t:.2f}" for t in TARGETS])
    axes.invert_yaxis()
    axes.set_xlabel("bits per pixel (whole file), smaller is better")
    axes.set_title(f"{set_name}: bits per pixel at equal RGB MS-SSIM")
    axes.legend(loc="upper right", fontsize=9)
    return bool(codecs)


def _received(axes: Any, results: Results, set_name: str) -> bool:
    """Mean MS-SSIM in dB against the bytes received of one file."""
    codecs = list(results.metadata["codecs"])
    look = styles(codecs)
    drawn = False
    for codec in codecs:
        rows = curve_rows(results.rows, "prefix", set_name, codec)
        for number, setting in enumerate(sorted({r["setting"] for r in rows})):
            own = [r for r in rows if r["setting"] == setting]
            bpp, quality = received_curve(own, "msssim_rgb")
            style = _look(look[codec]) | ({"dashes": [4, 2]} if number else {})
            label = f"{results.label(codec)}, one file ({results.unit(codec)} {setting:g})"
            axes.plot(bpp, MS_SSIM.scaled(quality), marker=".", label=label, **style)
            drawn = True
    _rate_axis(axes, 0.03, 2, "bits per pixel received of one file")
    axes.set_ylabel("RGB MS-SSIM in dB, -10 log10(1 - MS-SSIM)")
    axes.set_title(f"{set_name}: quality against the bytes received")
    if drawn:
        axes.legend(loc="best", fontsize=9)
    return drawn
