"""The few numbers that people compare: rate at equal quality, BD-rate, area, wins.

Intervals are 95 % bootstrap intervals: the pictures are drawn again with replacement, the same
draw for both codecs.
"""

from __future__ import annotations

import math
from collections.abc import Sequence
from typing import Any

import numpy as np
import numpy.typing as npt
import pandas as pd

from rgru_eval.judge.curves import (
    Group,
    Table,
    area,
    rate_at,
    rates_at,
    rising,
    rows_of,
    tabulate,
)
from rgru_eval.judge.metrics import METRICS, MS_SSIM, Floats, Metric
from rgru_eval.measure.codecs import ANCHORS, on_any_ladder
from rgru_eval.results import Results

DRAWS = 1000
BD_DRAWS = 200
LEAST_OVERLAP = 0.05
"""Part of the anchor's range of quality that two curves must share for a BD-rate."""


def bd_rate(
    anchor: tuple[Floats, Floats], test: tuple[Floats, Floats], metric: Metric = MS_SSIM
) -> tuple[float, float, float] | None:
    """Return (percent, lowest, highest common quality): Bjontegaard delta rate, Akima splines.

    None with less than ``LEAST_OVERLAP`` in common, or with fewer than three points on a side:
    a number made from less would say nothing. (G. Bjontegaard, VCEG-M33, 2001)
    """
    from scipy.interpolate import Akima1DInterpolator

    (rate_a, dist_a), (rate_t, dist_t) = (rising(r, metric.scaled(q)) for r, q in (anchor, test))
    if min(len(rate_a), len(rate_t)) < 3:
        return None
    low, high = max(dist_a[0], dist_t[0]), min(dist_a[-1], dist_t[-1])
    if high - low < LEAST_OVERLAP * (dist_a[-1] - dist_a[0]):
        return None
    ours, theirs = (
        Akima1DInterpolator(quality, np.log(rate)).integrate(low, high)
        for quality, rate in ((dist_t, rate_t), (dist_a, rate_a))
    )
    percent = 100 * (math.exp((ours - theirs) / (high - low)) - 1)
    return percent, metric.unscaled(float(low)), metric.unscaled(float(high))


def interval(values: npt.ArrayLike) -> list[float] | None:
    """Return the 2.5th and 97.5th percentile, None for too few draws."""
    good = np.asarray(values, float)
    good = good[np.isfinite(good)]
    if len(good) < 20:
        return None
    return [round(float(v), 4) for v in np.percentile(good, [2.5, 97.5])]


def _draws(n: int, count: int) -> Floats:
    """Return ``count`` bootstrap weightings of n pictures, shape (count, n), rows sum to 1."""
    picks = np.random.default_rng(0).integers(0, n, (count, n))
    return np.array([np.bincount(p, minlength=n) for p in picks]) / n


Pair = tuple[Table, Table]
"""A codec and an anchor, the same pictures in the same order."""


def _common(table: Table, anchor: Table) -> Pair:
    """Restrict both tables to the pictures they share, in one order."""
    shared = [image for image in table.images if image in anchor.images]
    return table.only(shared), anchor.only(shared)


def _at_target(table: Table, pair: Pair | None, target: float, draws: int) -> dict[str, Any]:
    """Return rate, change against the anchor with interval, and wins at one quality."""
    crossing = table.rate_at(target)
    entry: dict[str, Any] = {"bpp": round(crossing.bpp, 6), "bound": crossing.bound}
    if pair is None or not pair[0].images:
        return entry
    here, reference = (one.rate_at(target) for one in pair)
    if not (here.bound or reference.bound):
        entry["change"] = round(here.bpp / reference.bpp - 1, 4)
        entry["interval"] = _ratio_interval(*pair, target, draws)
    return entry | _wins(*pair, target)


def _ratio_interval(ours: Table, theirs: Table, target: float, draws: int) -> list[float] | None:
    if len(ours.images) < 2 or not draws:
        return None
    weights = _draws(len(ours.images), draws)
    a, b = (rates_at(*table.mean(weights), target, table.metric) for table in (ours, theirs))
    return interval(a / b - 1)


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


def _bd_entry(ours: Table, theirs: Table, count: int) -> dict[str, Any] | None:
    pictures = len(ours.images)
    found = bd_rate(theirs.mean(), ours.mean(), ours.metric) if pictures else None
    if found is None:
        return None
    weights = _draws(pictures, count) if pictures > 1 else ()
    drawn = [bd_rate(theirs.mean(w), ours.mean(w), ours.metric) for w in weights]
    ends = interval([math.nan if one is None else one[0] for one in drawn])
    percent, low, high = found
    entry = {"percent": round(percent, 2), "from": round(low, 4), "to": round(high, 4)}
    return {**entry, "interval": ends}


def _speeds(rows: pd.DataFrame) -> dict[str, float | None]:
    """Return median MP/s of encoding and decoding whole files of one codec, one thread."""
    megapixels = 8e-6 * rows["bytes"] / rows["bpp"]
    speeds: dict[str, float | None] = {}
    for key in ("encode_s", "decode_s"):
        known = (megapixels / rows[key].astype(float)).dropna()  # an older pandas warns of none
        middle = known.median() if len(known) else 0.0
        speeds[key.replace("_s", "_mps")] = float(f"{middle:.3g}") if middle > 0 else None
    return speeds


def summarise(
    results: Results, group: Group | None = None, *, intervals: bool = True
) -> list[dict[str, Any]]:
    """Return one entry a codec: label, pictures, speeds, and by metric rates, BD-rates, area.

    Rates are compared with those of the baseline; BD-rates stand against each of ``anchors``.
    Without a group all pictures count. The 95 % ``intervals`` take seconds.
    """
    draws, bd_draws = (DRAWS, BD_DRAWS) if intervals else (0, 0)
    tables, rows = tabulate(results, group), rows_of(results, "file", group)
    baseline = results.metadata.get("baseline", "")
    count = len(group.images if group else results.metadata["images"])
    entries = []
    for codec in results.metadata["codecs"]:
        entry: dict[str, Any] = {"codec": codec, "label": results.label(codec)}
        for name, metric in METRICS.items():
            table = tables.get((codec, name))
            if table is None:
                continue
            known = (a for a in anchors(results) if (a, name) in tables)
            pairs = {a: _common(table, tables[a, name]) for a in known}
            entry["pictures"] = len(table.images)
            entry[name] = {
                "missing": count - len(table.images),
                "rates": {
                    f"{target:g}": _at_target(table, pairs.get(baseline), target, draws)
                    for target in metric.targets
                },
                "bd": {a: _bd_entry(*pair, bd_draws) for a, pair in pairs.items()},
            }
            if metric.decibels:
                entry[name]["area"] = area(*table.mean())
        if "pictures" in entry:
            entries.append(entry | _speeds(rows[rows["codec"] == codec]))
    return entries


def anchors(results: Results) -> list[str]:
    """Return whom BD-rates are told against: the baseline and AVIF, as far as measured."""
    codecs = results.metadata["codecs"]
    anchors = (on_any_ladder(anchor, codecs) for anchor in ANCHORS)
    wanted = dict.fromkeys((results.metadata.get("baseline", ""), *anchors))
    return [codec for codec in wanted if codec in codecs]


def is_learned(results: Results, codec: str) -> bool:
    """Tell whether a codec has a model."""
    return bool(results.metadata["codecs"][codec].get("versions", {}).get("model"))


def extremes(results: Results, codec: str, against: str, metric: str) -> list[tuple[str, float]]:
    """Return each picture's BD-rate in percent, the largest gain first, the largest loss last."""
    tables = tabulate(results, None, [metric])
    if not {(codec, metric), (against, metric)} <= tables.keys():
        return []
    ours, theirs = _common(tables[codec, metric], tables[against, metric])
    changes = []
    for i, image in enumerate(ours.images):
        pair = ((theirs.bpp[i], theirs.quality[i]), (ours.bpp[i], ours.quality[i]))
        found = bd_rate(*pair, ours.metric)
        if found is not None:
            changes.append((image, round(found[0], 1)))
    return sorted(changes, key=lambda change: change[1])


def losses(results: Results, entries: Sequence[dict[str, Any]]) -> list[str]:
    """Say in words by which metric each learned codec needs more bits than which anchor."""
    known = {e["codec"]: e for e in entries}
    lines = []
    for entry in (e for e in entries if is_learned(results, e["codec"])):
        for name in (m for m in METRICS if m in entry):
            behind = [_behind(entry, known[a], name) for a in anchors(results) if a in known]
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
