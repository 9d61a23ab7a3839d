"""From rows to the few numbers people compare: rate at equal quality, BD-rate, area, wins.

A curve is the mean over the pictures of a set at each setting. Between its points log-bpp is
linear in the metric, MS-SSIM taken in dB (-10 log10(1 - MS-SSIM)). Intervals are 95 % bootstrap
intervals: the pictures are drawn again with replacement, the same draw for both codecs.
"""

from __future__ import annotations

import math
import warnings
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
import numpy.typing as npt

from rgru_eval.codecs import ANCHORS
from rgru_eval.markdown import markdown_table
from rgru_eval.metrics import METRICS, Metric
from rgru_eval.results import Results, curve_rows

Floats = npt.NDArray[np.float64]

TARGETS = METRICS["msssim_rgb"].targets
AREA_BPP = tuple(k / 8 for k in range(1, 17))
DRAWS = 1000
BD_DRAWS = 200
LEAST_OVERLAP = 0.05
"""Part of the anchor's range of quality that two curves must share for a BD-rate."""


@dataclass(frozen=True)
class Crossing:
    """Where a curve reaches a quality. ``bound`` is ``<`` or ``>`` if that is off its end."""

    bpp: float
    bound: str = ""

    def __str__(self) -> str:
        """Return e.g. ``.270``, ``<.18``."""
        text = f"{self.bpp:.3f}" if not self.bound else f"{self.bpp:.2f}"
        return self.bound + (text[1:] if text.startswith("0") else text)


@dataclass(frozen=True)
class Table:
    """One codec's values of one metric on one set: (pictures, settings), settings ascending."""

    codec: str
    metric: Metric
    images: tuple[str, ...]
    settings: Floats
    bpp: Floats
    quality: Floats

    def mean(self, weights: Floats | None = None) -> tuple[Floats, Floats]:
        """Return (bpp, quality) at each setting, mean over pictures (or weighted)."""
        n = len(self.images)
        w = np.full(n, 1 / n) if weights is None else weights
        return w @ self.bpp, w @ self.quality

    def rate_at(self, target: float, weights: Floats | None = None) -> Crossing:
        """Return the rate at which the mean curve reaches a quality."""
        return rate_at(*self.mean(weights), target, self.metric)


def tabulate(results: Results, set_name: str | None, codec: str, metric: str) -> Table | None:
    """Collect a codec's rows into a table; None if no picture has them.

    Pictures that lack one of the settings, because the codec failed there, are left out.
    """
    cells: dict[str, dict[float, tuple[float, float]]] = {}
    for row in curve_rows(results.rows, "file", set_name, codec):
        if row.get(metric) is not None:
            place = cells.setdefault(f"{row['set']}/{row['image']}", {})
            place[row["setting"]] = (row["bpp"], row[metric])
    if not cells:
        return None
    full = max(len(points) for points in cells.values())
    kept = {image: points for image, points in cells.items() if len(points) == full}
    settings = sorted(next(iter(kept.values())))
    kept = {image: points for image, points in kept.items() if sorted(points) == settings}
    values = np.array([[kept[image][s] for s in settings] for image in kept])
    order = np.argsort(values[..., 0].mean(axis=0), kind="stable")
    values = values[:, order]
    array = np.array(settings)[order]
    return Table(codec, METRICS[metric], tuple(kept), array, values[..., 0], values[..., 1])


def rate_at(
    bpp: Floats, quality: Floats, target: float, metric: Metric = METRICS["msssim_rgb"]
) -> Crossing:
    """Return the rate at which a curve (ascending bpp) first reaches a quality.

    The rate before the first point, or behind the last, is given as a bound.
    """
    reached = np.flatnonzero(quality >= target)
    if not len(reached):
        return Crossing(float(bpp[-1]), ">")
    i = int(reached[0])
    if i == 0:
        exact = math.isclose(float(quality[0]), target, abs_tol=1e-9)
        return Crossing(float(bpp[0]), "" if exact else "<")
    low, high, wanted = metric.scaled([*quality[i - 1 : i + 1], target])
    share = (wanted - low) / (high - low)
    return Crossing(float(bpp[i - 1] * (bpp[i] / bpp[i - 1]) ** share))


def area(bpp: Sequence[float] | Floats, quality: Sequence[float] | Floats) -> float | None:
    """Return the paper's area: trapezoid of MS-SSIM at 0.125, 0.25 .. 2.0 bpp.

    The curve is read off linearly there. Behind its end its last value holds, as a smaller file
    can be used where a larger one is allowed; None if it begins above 0.125. (FR table 1)
    """
    x, y = np.asarray(bpp, dtype=float), np.asarray(quality, dtype=float)
    if x[0] > AREA_BPP[0] + 1e-9:
        return None
    samples = np.interp(AREA_BPP, x, y)
    return float(((samples[1:] + samples[:-1]) / 2).sum() / 8)


def rising(bpp: Floats, quality: Floats) -> tuple[Floats, Floats]:
    """Keep the points at which both rate and quality exceed all before them."""
    keep, best_rate, best = [], -math.inf, -math.inf
    for i, (rate, value) in enumerate(zip(bpp, quality, strict=True)):
        if value > best and rate > best_rate:
            keep.append(i)
            best_rate, best = float(rate), float(value)
    return bpp[keep], quality[keep]


def bd_rate(
    anchor: tuple[Floats, Floats],
    test: tuple[Floats, Floats],
    metric: Metric = METRICS["msssim_rgb"],
) -> tuple[float, float, float] | None:
    """Return (percent, lowest, highest common quality) by the bjontegaard package, Akima.

    None with less than ``LEAST_OVERLAP`` in common, or with fewer than three points on a side:
    a number made from less would say nothing.
    """
    import bjontegaard

    (rate_a, dist_a), (rate_t, dist_t) = (rising(r, metric.scaled(q)) for r, q in (anchor, test))
    if min(len(rate_a), len(rate_t)) < 3:
        return None
    low, high = max(dist_a[0], dist_t[0]), min(dist_a[-1], dist_t[-1])
    if high - low < LEAST_OVERLAP * (dist_a[-1] - dist_a[0]):
        return None
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")  # it warns of small overlaps, which are shown instead
        value = bjontegaard.bd_rate(
            rate_a,
            dist_a,
            rate_t,
            dist_t,
            method="akima",
            require_matching_points=False,
            min_overlap=0,
        )
    return float(value), metric.unscaled(float(low)), metric.unscaled(float(high))


def interval(values: Sequence[float]) -> list[float] | None:
    """Return the 2.5th and 97.5th percentile, None for too few draws."""
    good = np.array([v for v in values if math.isfinite(v)])
    if len(good) < 20:
        return None
    return [round(float(v), 4) for v in np.percentile(good, [2.5, 97.5])]


def _draws(n: int, count: int) -> Floats:
    """Return ``count`` bootstrap weightings of n pictures, shape (count, n), rows sum to 1."""
    picks = np.random.default_rng(0).integers(0, n, (count, n))
    return np.array([np.bincount(p, minlength=n) for p in picks]) / n


def _common(table: Table, anchor: Table) -> tuple[Table, Table]:
    """Restrict both tables to the pictures they share, in one order."""
    shared = [i for i in table.images if i in anchor.images]

    def only(t: Table) -> Table:
        rows = [t.images.index(i) for i in shared]
        return Table(t.codec, t.metric, tuple(shared), t.settings, t.bpp[rows], t.quality[rows])

    return only(table), only(anchor)


def _at_target(table: Table, anchor: Table | None, target: float, draws: int) -> dict[str, Any]:
    """Return rate, change against the anchor with interval, and wins at one quality."""
    crossing = table.rate_at(target)
    entry: dict[str, Any] = {"bpp": round(crossing.bpp, 6), "bound": crossing.bound}
    if anchor is None:
        return entry
    ours, theirs = _common(table, anchor)
    if not ours.images:
        return entry
    reference, here = theirs.rate_at(target), ours.rate_at(target)
    if not (here.bound or reference.bound):
        entry["change"] = round(here.bpp / reference.bpp - 1, 4)
        entry["interval"] = _ratio_interval(ours, theirs, target, draws)
    entry |= _wins(ours, theirs, target)
    return entry


def _ratio_interval(ours: Table, theirs: Table, target: float, draws: int) -> list[float] | None:
    if len(ours.images) < 2:
        return None
    ratios = []
    for w in _draws(len(ours.images), draws):
        a, b = ours.rate_at(target, w), theirs.rate_at(target, w)
        if not (a.bound or b.bound):
            ratios.append(a.bpp / b.bpp - 1)
    return interval(ratios)


def _wins(ours: Table, theirs: Table, target: float) -> dict[str, int]:
    """Count pictures on which this codec needs fewer bits than the anchor for the quality.

    A bound decides too where it can: a file that is better *and* smaller than the point at
    which the other reaches the target has won.
    """
    wins = decided = 0
    for i in range(len(ours.images)):
        a = rate_at(ours.bpp[i], ours.quality[i], target, ours.metric)
        b = rate_at(theirs.bpp[i], theirs.quality[i], target, ours.metric)
        won = a.bpp < b.bpp and a.bound in ("", "<") and b.bound in ("", ">")
        lost = b.bpp < a.bpp and b.bound in ("", "<") and a.bound in ("", ">")
        wins, decided = wins + won, decided + (won or lost)
    return {"wins": wins, "decided": decided}


def _bd_entry(table: Table, anchor: Table, count: int) -> dict[str, Any] | None:
    ours, theirs = _common(table, anchor)
    if not ours.images:
        return None
    found = bd_rate(theirs.mean(), ours.mean(), ours.metric)
    if found is None:
        return None
    percent, low, high = found
    draws = []
    if len(ours.images) > 1:
        for w in _draws(len(ours.images), count):
            drawn = bd_rate(theirs.mean(w), ours.mean(w), ours.metric)
            draws.append(math.nan if drawn is None else drawn[0])
    return {
        "percent": round(percent, 2),
        "from": round(low, 4),
        "to": round(high, 4),
        "interval": interval(draws),
    }


def _seconds(results: Results, set_name: str | None, codec: str) -> dict[str, float | None]:
    """Return median MP/s of encoding and decoding whole files, one thread."""
    pixels = {(i["set"], i["name"]): i["width"] * i["height"] for i in results.metadata["images"]}
    rows = curve_rows(results.rows, "file", set_name, codec)
    speeds: dict[str, float | None] = {}
    for key in ("encode_s", "decode_s"):
        values = [pixels[r["set"], r["image"]] / 1e6 / r[key] for r in rows if r.get(key)]
        speeds[key.replace("_s", "_mps")] = float(f"{np.median(values):.3g}") if values else None
    return speeds


def summarise(
    results: Results, set_name: str | None = None, *, intervals: bool = True
) -> list[dict[str, Any]]:
    """Return one entry a codec: label, pictures, speeds, and by metric rates, BD-rates, area.

    Rates are compared with those of the baseline; BD-rates stand against each of ``anchors``.

    Args:
        results: what was measured.
        set_name: one set, or None for all pictures.
        intervals: whether to draw pictures again for 95 % intervals, which takes seconds.
    """
    draws = (DRAWS, BD_DRAWS) if intervals else (0, 0)
    against = anchors(results)
    tables = {
        (codec, metric): tabulate(results, set_name, codec, metric)
        for codec in results.metadata["codecs"]
        for metric in METRICS
    }
    entries = []
    for codec in results.metadata["codecs"]:
        entry: dict[str, Any] = {"codec": codec, "label": results.label(codec)}
        for metric in METRICS:
            table = tables[codec, metric]
            if table is None:
                continue
            others = {a: tables[a, metric] for a in against}
            baseline = others.get(results.metadata.get("baseline", ""))
            entry["pictures"] = len(table.images)
            entry[metric] = {
                "rates": {
                    f"{t:g}": _at_target(table, baseline, t, draws[0]) for t in table.metric.targets
                },
                "bd": {
                    a: _bd_entry(table, other, draws[1]) for a, other in others.items() if other
                },
            }
            if metric.startswith("msssim"):
                entry[metric]["area"] = area(*table.mean())
        if "pictures" in entry:
            entries.append(entry | _seconds(results, set_name, codec))
    return entries


def anchors(results: Results) -> list[str]:
    """Return whom BD-rates are told against: the baseline and AVIF, as far as measured."""
    wanted = dict.fromkeys((results.metadata.get("baseline", ""), *ANCHORS))
    return [codec for codec in wanted if codec in results.metadata["codecs"]]


def losses(results: Results, set_name: str | None = None) -> list[str]:
    """Say in words by which metric each learned codec needs more bits than which anchor."""
    entries = {e["codec"]: e for e in summarise(results, set_name, intervals=False)}
    lines = []
    for entry in (e for e in entries.values() if _model(results, e)):
        for name in (m for m in METRICS if m in entry):
            behind = [_behind(entry, entries[a], name) for a in anchors(results) if a in entries]
            words = ", ".join(filter(None, behind))
            if words:
                lines.append(f"{METRICS[name].title}: {entry['label']} needs {words}.")
    return lines


def _behind(entry: dict[str, Any], anchor: dict[str, Any], metric: str) -> str:
    """Return by how much a codec is behind an anchor, or at which qualities; empty if nowhere."""
    bd = entry[metric]["bd"].get(anchor["codec"])
    if bd and bd["percent"] >= 0.5:
        return f"{bd['percent']:.0f} % more bits than {anchor['label']}"
    pairs = zip(
        METRICS[metric].targets,
        entry[metric]["rates"].values(),
        anchor[metric]["rates"].values(),
        strict=True,
    )
    lost = [
        f"{t:g}" for t, ours, theirs in pairs if ours["bpp"] > theirs["bpp"] and not theirs["bound"]
    ]
    return f"more bits than {anchor['label']} at {', '.join(lost)}" if lost else ""


def format_rate(entry: dict[str, Any]) -> str:
    """Return e.g. ``.270`` or ``<.18`` of one entry of ``rates``."""
    return str(Crossing(entry["bpp"], entry["bound"]))


def format_percent(value: float | None, digits: int = 1) -> str:
    """Return e.g. ``-43.1 %``, n/a for None."""
    return "n/a" if value is None else f"{value:+.{digits}f} %"


def text_table(results: Results, set_name: str | None = None) -> str:
    """Return the summary of a set (None: all pictures) as text for a terminal."""
    entries = summarise(results, set_name)
    if not entries:
        return "no rows to summarise"
    lines = [_heading(results, set_name)]
    width = max(len(e["label"]) for e in entries)
    baseline = str(results.metadata.get("baseline"))
    for name, metric in METRICS.items():
        own = [e for e in entries if name in e]
        if own:
            heads = "".join(f"{f'bpp at {t:g}':>22}" for t in metric.targets)
            lines += ["", f"{metric.title:<{width}}{heads}{'BD-rate':>28}{'AUC':>8}{'wins':>20}"]
            lines += [_line(e, name, width, baseline) for e in own]
    lines += ["", f"{'speed':<{width}}{'encode MP/s':>14}{'decode MP/s':>14}{'peak MB':>10}"]
    for e in entries:
        memory = results.metadata["codecs"][e["codec"]].get("memory_mb", {}).get("peak", "n/a")
        speeds = (e["encode_mps"] or "n/a", e["decode_mps"] or "n/a")
        lines.append(f"{e['label']:<{width}}{speeds[0]:>14}{speeds[1]:>14}{memory:>10}")
    return "\n".join(lines)


def rates_table(
    results: Results,
    set_name: str | None = None,
    codecs: Sequence[str] | None = None,
    metrics: Sequence[str] = tuple(METRICS),
) -> str:
    """Return a block of rows a metric as Markdown: bpp at equal quality, BD-rates.

    Args:
        results: what was measured.
        set_name: one set, or None for all pictures.
        codecs: those to show, all by default.
        metrics: those to show.
    """
    entries = summarise(results, set_name, intervals=False)
    entries = [e for e in entries if codecs is None or e["codec"] in codecs]
    against = anchors(results)
    heads = ["bits per pixel at equal quality", "", "", ""]
    heads += [f"BD-rate against {results.label(anchor)}" for anchor in against]
    rows: list[list[str]] = []
    for name in metrics:
        metric, own = METRICS[name], [e for e in entries if name in e]
        if own:
            at = [f"at {target:g}" for target in metric.targets]
            rows.append([f"**{metric.title}**", *at, *("" for _ in against)])
            rows += [_rates_row(results, e, name, against) for e in own]
    return markdown_table(heads, rows)


def _rates_row(
    results: Results, entry: dict[str, Any], metric: str, against: Sequence[str]
) -> list[str]:
    model = _model(results, entry)
    name = f"**{entry['label']}**, model {model}" if model else entry["label"]
    rates = [format_rate(rate) for rate in entry[metric]["rates"].values()]
    bds = entry[metric]["bd"]
    return [name, *rates, *(_bd_text(bds.get(a), a == entry["codec"]) for a in against)]


def _bd_text(bd: dict[str, Any] | None, itself: bool) -> str:
    return "" if itself else format_percent(None if bd is None else bd["percent"], 0)


def _model(results: Results, entry: dict[str, Any]) -> str | None:
    """Return the id of a learned codec's model."""
    model: str | None = results.metadata["codecs"][entry["codec"]]["versions"].get("model")
    return model


def _heading(results: Results, set_name: str | None) -> str:
    images = [i for i in results.metadata["images"] if set_name in (None, i["set"])]
    against = results.label(results.metadata.get("baseline", ""))
    return (
        f"{set_name or 'all pictures'}: {len(images)} pictures; whole files;"
        f" percentages and wins against {against}; [95 % interval]"
    )


def _line(entry: dict[str, Any], metric: str, width: int, baseline: str) -> str:
    values = entry[metric]
    cells = ""
    anchored = entry["codec"] != baseline
    for target in values["rates"].values():
        change = target.get("change") if anchored else None
        text = "" if change is None else f" ({100 * change:+.1f} %)"
        cells += f"{format_rate(target) + text:>22}"
    bd = values["bd"].get(baseline) if anchored else None
    text = ("n/a" if anchored else "baseline") if bd is None else format_percent(bd["percent"])
    if bd and bd["interval"]:
        text += " [{:+.1f}, {:+.1f}]".format(*bd["interval"])
    auc = f"{values['area']:.4f}" if values.get("area") else "n/a"
    rates = values["rates"].values()
    wins = " ".join(f"{t['wins']}/{t['decided']}" for t in rates if "wins" in t and anchored)
    return f"{entry['label']:<{width}}{cells}{text:>28}{auc:>8}{wins:>20}"
