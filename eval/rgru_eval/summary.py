"""From rows to the few numbers people compare: rate at equal quality, BD-rate, area, wins.

A curve is the mean over the pictures of a set at each setting. Between its points log-bpp is
linear in MS-SSIM dB (-10 log10(1 - MS-SSIM)). Intervals are 95 % bootstrap intervals: the
pictures are drawn again with replacement, the same draw for the codec and the baseline.
"""

from __future__ import annotations

import math
import warnings
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
import numpy.typing as npt

from rgru_eval.markdown import markdown_table
from rgru_eval.results import Results, curve_rows

Floats = npt.NDArray[np.float64]

TARGETS = (0.90, 0.95, 0.98)
AREA_BPP = tuple(k / 8 for k in range(1, 17))
DRAWS = 1000
BD_DRAWS = 200
SUMMARY_METRICS = ("msssim_rgb", "msssim_luma")


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
    images: tuple[str, ...]
    settings: Floats
    bpp: Floats
    quality: Floats

    def mean(self, weights: Floats | None = None) -> tuple[Floats, Floats]:
        """Return (bpp, quality) at each setting, mean over pictures (or weighted)."""
        n = len(self.images)
        w = np.full(n, 1 / n) if weights is None else weights
        return w @ self.bpp, w @ self.quality


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
    return Table(codec, tuple(kept), array, values[..., 0], values[..., 1])


def db(quality: Floats) -> Floats:
    """MS-SSIM to dB; 1 becomes 100 dB, so that lossless points stay finite."""
    return np.asarray(-10 * np.log10(np.maximum(1 - quality, 1e-10)))


def rate_at(bpp: Floats, quality: Floats, target: float) -> Crossing:
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
    low, high = db(quality[i - 1 : i + 1])
    share = (db(np.array([target]))[0] - low) / (high - low)
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
    anchor: tuple[Floats, Floats], test: tuple[Floats, Floats]
) -> tuple[float, float, float] | None:
    """Return (percent, lowest, highest common MS-SSIM) by the bjontegaard package, Akima.

    None without an overlap of at least 0.5 dB, or with fewer than three points on a side:
    a number made from less would say nothing.
    """
    import bjontegaard

    (rate_a, dist_a), (rate_t, dist_t) = (rising(r, db(q)) for r, q in (anchor, test))
    if min(len(rate_a), len(rate_t)) < 3:
        return None
    low, high = max(dist_a[0], dist_t[0]), min(dist_a[-1], dist_t[-1])
    if high - low < 0.5:
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
    return float(value), 1 - 10 ** (-low / 10), 1 - 10 ** (-high / 10)


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
        return Table(t.codec, tuple(shared), t.settings, t.bpp[rows], t.quality[rows])

    return only(table), only(anchor)


def _at_target(table: Table, anchor: Table | None, target: float) -> dict[str, Any]:
    """Return rate, change against the anchor with interval, and wins at one quality."""
    crossing = rate_at(*table.mean(), target)
    entry: dict[str, Any] = {"bpp": round(crossing.bpp, 6), "bound": crossing.bound}
    if anchor is None:
        return entry
    ours, theirs = _common(table, anchor)
    if not ours.images:
        return entry
    reference = rate_at(*theirs.mean(), target)
    here = rate_at(*ours.mean(), target)
    if not (here.bound or reference.bound):
        entry["change"] = round(here.bpp / reference.bpp - 1, 4)
        entry["interval"] = _ratio_interval(ours, theirs, target)
    entry |= _wins(ours, theirs, target)
    return entry


def _ratio_interval(ours: Table, theirs: Table, target: float) -> list[float] | None:
    if len(ours.images) < 2:
        return None
    ratios = []
    for w in _draws(len(ours.images), DRAWS):
        a, b = rate_at(*ours.mean(w), target), rate_at(*theirs.mean(w), target)
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
        a = rate_at(ours.bpp[i], ours.quality[i], target)
        b = rate_at(theirs.bpp[i], theirs.quality[i], target)
        won = a.bpp < b.bpp and a.bound in ("", "<") and b.bound in ("", ">")
        lost = b.bpp < a.bpp and b.bound in ("", "<") and a.bound in ("", ">")
        wins, decided = wins + won, decided + (won or lost)
    return {"wins": wins, "decided": decided}


def _bd_entry(table: Table, anchor: Table) -> dict[str, Any] | None:
    ours, theirs = _common(table, anchor)
    if not ours.images:
        return None
    found = bd_rate(theirs.mean(), ours.mean())
    if found is None:
        return None
    percent, low, high = found
    draws = []
    if len(ours.images) > 1:
        for w in _draws(len(ours.images), BD_DRAWS):
            drawn = bd_rate(theirs.mean(w), ours.mean(w))
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


def summarise(results: Results, set_name: str | None = None) -> list[dict[str, Any]]:
    """Return one entry a codec: label, pictures, speeds, and by metric rates, BD-rate, area."""
    baseline = results.metadata.get("baseline")
    entries = []
    for codec in results.metadata["codecs"]:
        entry: dict[str, Any] = {"codec": codec, "label": results.label(codec)}
        for metric in SUMMARY_METRICS:
            table = tabulate(results, set_name, codec, metric)
            if table is None:
                continue
            anchor = tabulate(results, set_name, baseline, metric) if baseline else None
            measured = area(*table.mean())
            entry["pictures"] = len(table.images)
            entry[metric] = {
                "rates": {f"{t:.2f}": _at_target(table, anchor, t) for t in TARGETS},
                "bd": None if anchor is None else _bd_entry(table, anchor),
                "area": None if measured is None else round(measured, 4),
            }
        if "pictures" in entry:
            entries.append(entry | _seconds(results, set_name, codec))
    return entries


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
    for metric, title in (("msssim_rgb", "RGB MS-SSIM"), ("msssim_luma", "luma MS-SSIM")):
        heads = "".join(f"{f'bpp at {t:.2f}':>22}" for t in TARGETS)
        lines += ["", f"{title:<{width}}{heads}{'BD-rate':>28}{'AUC':>8}{'wins':>20}"]
        lines += [_line(e, metric, width, baseline) for e in entries if metric in e]
    lines += ["", f"{'speed':<{width}}{'encode MP/s':>14}{'decode MP/s':>14}{'peak MB':>10}"]
    for e in entries:
        memory = results.metadata["codecs"][e["codec"]].get("memory_mb", {}).get("peak", "n/a")
        speeds = (e["encode_mps"] or "n/a", e["decode_mps"] or "n/a")
        lines.append(f"{e['label']:<{width}}{speeds[0]:>14}{speeds[1]:>14}{memory:>10}")
    return "\n".join(lines)


def rates_table(results: Results, set_name: str | None = None) -> str:
    """Return bpp at equal RGB MS-SSIM, and the change against the baseline, as Markdown.

    At the end learned codecs and the baseline once more, at equal MS-SSIM of luma.
    """
    heads = ["bits per pixel at RGB MS-SSIM", *(f"{target:.2f}" for target in TARGETS)]
    baseline = results.metadata.get("baseline")
    entries = summarise(results, set_name)
    rows = [_rates_row(results, e, "msssim_rgb", baseline) for e in entries if "msssim_rgb" in e]
    for entry in entries:
        if "msssim_luma" in entry and (entry["codec"] == baseline or _model(results, entry)):
            name, *rates = _rates_row(results, entry, "msssim_luma", baseline)
            rows.append([f"at luma MS-SSIM: {name}", *rates])
    return markdown_table(heads, rows)


def _rates_row(
    results: Results, entry: dict[str, Any], metric: str, baseline: str | None
) -> list[str]:
    model = _model(results, entry)
    name = f"**{entry['label']}**, model {model}" if model else entry["label"]
    rates = entry[metric]["rates"].values()
    return [name, *(_rate_and_change(rate, entry["codec"] != baseline) for rate in rates)]


def _model(results: Results, entry: dict[str, Any]) -> str | None:
    """Return the id of a learned codec's model."""
    model: str | None = results.metadata["codecs"][entry["codec"]]["versions"].get("model")
    return model


def _rate_and_change(rate: dict[str, Any], anchored: bool) -> str:
    change = rate.get("change") if anchored else None
    return format_rate(rate) + ("" if change is None else f" ({100 * change:+.0f} %)")


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
    bd = values["bd"] if anchored else None
    text = ("n/a" if anchored else "baseline") if bd is None else format_percent(bd["percent"])
    if bd and bd["interval"]:
        text += " [{:+.1f}, {:+.1f}]".format(*bd["interval"])
    auc = "n/a" if values["area"] is None else f"{values['area']:.4f}"
    rates = values["rates"].values()
    wins = " ".join(f"{t['wins']}/{t['decided']}" for t in rates if "wins" in t and anchored)
    return f"{entry['label']:<{width}}{cells}{text:>28}{auc:>8}{wins:>20}"
