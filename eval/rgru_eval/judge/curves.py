"""From rows to curves: the points that every table, plot and page shows.

A curve is the mean over pictures at each setting. Between its points log-bpp is linear in the
metric, on the scale that ``Metric.scaled`` gives (MS-SSIM in dB).
"""

from __future__ import annotations

import math
from collections import Counter
from collections.abc import Iterable, Sequence
from dataclasses import dataclass, replace

import numpy as np
import pandas as pd

from rgru_codec import metrics
from rgru_eval.judge.metrics import METRICS, MS_SSIM, Floats, Metric
from rgru_eval.measure.tasks import CUTS_BPP
from rgru_eval.results import NAMES, Results

RATES = 0.04 * 100 ** (np.arange(41) / 40)
"""Bits per pixel at which curves are averaged at equal rate."""
AREA_BPP = tuple(k / 8 for k in range(1, 17))


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
class Group:
    """Pictures that are judged together: a set, one kind of a set, or all."""

    title: str
    images: tuple[str, ...]
    """``set/name`` of each."""
    whole_set: bool = True
    """Whether it is a set or all sets, not one kind."""


@dataclass(frozen=True)
class Table:
    """One codec's values of one metric: (pictures, settings), settings by ascending rate."""

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

    def mean_at_rates(self) -> tuple[Floats, Floats]:
        """Return mean quality at those of ``RATES`` that the curves of all pictures reach."""
        values = [
            np.interp(np.log(RATES), np.log(bpp), quality, left=np.nan, right=np.nan)
            for bpp, quality in zip(self.bpp, self.quality, strict=True)
        ]
        mean = np.mean(values, axis=0)
        return RATES[np.isfinite(mean)], mean[np.isfinite(mean)]

    def rate_at(self, target: float, weights: Floats | None = None) -> Crossing:
        """Return the rate at which the mean curve reaches a quality."""
        return rate_at(*self.mean(weights), target, self.metric)

    def only(self, images: Sequence[str]) -> Table:
        """Return the same of some of its pictures, in this order."""
        rows = [self.images.index(image) for image in images]
        return replace(self, images=tuple(images), bpp=self.bpp[rows], quality=self.quality[rows])


def groups(results: Results) -> list[Group]:
    """Return each set, its kinds if a manifest names several, and all sets together."""
    found: list[Group] = []
    for name in results.sets:
        images = {key: about for key, about in results.pictures.items() if about["set"] == name}
        found.append(Group(name, tuple(images)))
        kinds = {key: about.get("kind") or "no kind" for key, about in images.items()}
        if len(set(kinds.values())) > 1:
            for kind in dict.fromkeys(kinds.values()):
                own = tuple(key for key in images if kinds[key] == kind)
                found.append(Group(f"{name}: {kind}", own, whole_set=False))
    if len(results.sets) > 1:
        found.append(Group("all pictures", tuple(results.pictures)))
    return found


def tabulate(
    results: Results, group: Group | None = None, metrics: Iterable[str] = METRICS
) -> dict[tuple[str, str], Table]:
    """Collect whole files into tables by codec and metric; what was not measured is absent.

    Pictures that lack one of the settings, because the codec failed there, are left out.
    """
    rows = rows_of(results, "file", group).set_index(["id", "setting"])
    tables = {}
    for codec in (c for c in results.metadata["codecs"] if c in set(rows["codec"])):
        wide = rows[rows["codec"] == codec][["bpp", *METRICS]].astype(float).unstack("setting")
        for metric in metrics:
            table = _table(codec, metric, wide["bpp"], wide[metric])
            if table is not None:
                tables[codec, metric] = table
    return tables


def rows_of(results: Results, kind: str, group: Group | None = None) -> pd.DataFrame:
    """Return the rows of one kind as a data frame, with a column ``id`` (``set/name``)."""
    rows = pd.DataFrame([r for r in results.rows if r["kind"] == kind], columns=list(NAMES))
    rows["id"] = rows["set"] + "/" + rows["image"] if len(rows) else ""
    return rows if group is None else rows[rows["id"].isin(group.images)]


def _table(codec: str, metric: str, bpp: pd.DataFrame, quality: pd.DataFrame) -> Table | None:
    """Return those pictures with the same settings that have most points; a row a picture."""
    there = quality.notna()
    counts = Counter(map(tuple, there.to_numpy()))
    seen = np.array(max(counts, key=lambda seen: sum(seen) * counts[seen]))
    if not seen.any():
        return None
    bpp = bpp.loc[(there == seen).all(axis=1), seen]
    order = np.argsort(bpp.mean().to_numpy(), kind="stable")
    bpp, quality = bpp.iloc[:, order], quality.loc[bpp.index, bpp.columns].iloc[:, order]
    settings, images = bpp.columns.to_numpy(float), tuple(bpp.index)
    return Table(codec, METRICS[metric], images, settings, bpp.to_numpy(), quality.to_numpy())


def rate_at(bpp: Floats, quality: Floats, target: float, metric: Metric = MS_SSIM) -> Crossing:
    """Return the rate at which a curve (ascending bpp) first reaches a quality.

    The rate before the first point, or behind the last, is given as a bound.
    """
    (rate,) = rates_at(bpp[None], quality[None], target, metric)
    if np.isfinite(rate):
        return Crossing(float(rate))
    if metric.scaled(quality[0]) < metric.scaled(target):
        return Crossing(float(bpp[-1]), ">")
    exact = math.isclose(float(quality[0]), target, abs_tol=1e-9)
    return Crossing(float(bpp[0]), "" if exact else "<")


def rates_at(bpp: Floats, quality: Floats, target: float, metric: Metric) -> Floats:
    """Return the rates of many curves, (curves, settings); nan where one is off its end."""
    return metrics.rates_at(bpp, metric.scaled(quality), float(metric.scaled(target)))


def area(bpp: Sequence[float] | Floats, quality: Sequence[float] | Floats) -> float | None:
    """Return the paper's area: trapezoid of MS-SSIM at 0.125, 0.25 .. 2.0 bpp.

    The curve is read off linearly there. Behind its end its last value holds, as a smaller file
    can be used where a larger one is allowed; None if it begins above 0.125. (FR table 1)
    """
    x, y = np.asarray(bpp, dtype=float), np.asarray(quality, dtype=float)
    if not len(x) or x[0] > AREA_BPP[0] + 1e-9:
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


def received(
    rows: pd.DataFrame, metric: str, cuts: Sequence[float] = CUTS_BPP
) -> tuple[list[float], list[float]]:
    """Return mean quality of one file at bits per pixel received; what is whole stays as it is.

    Rates at which some picture shows nothing yet are left out. The rows are of the kind ``prefix``,
    of one codec and setting.
    """
    curves = [
        (own["bpp"].to_numpy(float), np.array([np.nan, *own[metric]], float))
        for _, own in rows.sort_values("bytes").groupby("id", sort=False)
    ]
    bpps, means = [], []
    for bpp in cuts:
        seen = [int(np.searchsorted(rates, bpp * ROUNDING, "right")) for rates, _ in curves]
        values = np.array([own[n] for (_, own), n in zip(curves, seen, strict=True)])
        if len(values) and np.isfinite(values).all():
            bpps.append(bpp)
            means.append(float(values.mean()))
        if all(n == len(rates) for (rates, _), n in zip(curves, seen, strict=True)):
            break  # all files are whole
    return bpps, means


ROUNDING = 1.005
"""A cut is a whole number of bytes, so that its rate may be a little above the wanted one."""
