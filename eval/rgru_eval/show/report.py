"""``rgru-eval report``: one HTML file with data, pictures and program inside, no network needed."""

from __future__ import annotations

import itertools
import math
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from importlib.resources import files
from pathlib import Path
from typing import Any

from rgru_codec.files import write_file
from rgru_codec.terminal import tell
from rgru_eval.errors import EvalError
from rgru_eval.judge.curves import Crossing, Group, Table, area, groups, received, tabulate
from rgru_eval.judge.metrics import METRICS
from rgru_eval.judge.published import PUBLISHED, TODERICI_2017, is_kodak
from rgru_eval.judge.statistics import anchors, extremes, is_learned, losses, summarise
from rgru_eval.measure.codecs import Codec
from rgru_eval.measure.pictures import Source, find_pictures, read_picture
from rgru_eval.measure.registry import make_codec, make_codecs
from rgru_eval.measure.run import files_folder, load_notes, load_paths, picture_notes
from rgru_eval.results import Results, load_all
from rgru_eval.show import tables
from rgru_eval.show.plots import write_plots
from rgru_eval.show.style import PUBLISHED as PUBLISHED_COLOUR
from rgru_eval.show.style import Style, styles
from rgru_eval.show.viewer import choose, make_views

EXTREMES_BY = ("ssimulacra2", "msssim_rgb")
"""Metrics by which pictures of the largest loss and gain are looked for."""
EXTREMES_SHOWN = 3
"""Pictures of the largest loss, and of the largest gain, in the table of them."""
SKIPPED_SHOWN = 12


@dataclass(frozen=True)
class ReportOrder:
    """What the user asked for; ``jobs`` 0 = one worker a core."""

    results: tuple[Path, ...]
    output: Path
    png: Path | None = None
    images: tuple[str, ...] = ()
    pictures: str = "2"
    title: str = ""
    against: str = ""
    """Codec spec against which losses and gains of single pictures are told."""
    jobs: int = 0
    definitions: tuple[str, ...] = ()


Extreme = tuple[str, str, float]
"""A metric, a picture on which a codec loses or gains most by it, and its change in percent."""


def write_report(order: ReportOrder) -> None:
    """Write the page, and the PNG plots if asked for; raises EvalError on unusable input."""
    results = load_all(order.results)
    if not results.rows:
        raise EvalError(f"{order.results[0]}: holds no rows; nothing to report")
    ours, against = _opponents(results, order)
    found = _extremes(results, ours, against)
    pictures, why = _pictures(results, order, [image for _, image, _ in found])
    page = build_page(results, pictures, order.title, why, (ours, against), found)
    write_file(order.output, page.encode())
    tell(f"{order.output}: {order.output.stat().st_size / 1e6:.1f} MB")
    if order.png:
        for path in write_plots(results, order.png):
            tell(str(path))


def _opponents(results: Results, order: ReportOrder) -> tuple[str, str]:
    """Return the learned codec, if there is one, and the codec that it is held against."""
    codecs = results.metadata["codecs"]
    ours = next((c for c in codecs if is_learned(results, c)), "")
    if not order.against:
        return ours, next(reversed(anchors(results)), "")
    against = make_codecs([order.against], order.definitions)[0].identity()
    if against not in codecs:
        raise EvalError(f"--against {order.against}: not among the results: {', '.join(codecs)}")
    return ours, against


def _extremes(results: Results, ours: str, against: str) -> list[Extreme]:
    """Return, by metric, the pictures of the largest loss and gain in turn."""
    found: list[Extreme] = []
    for metric in EXTREMES_BY if ours and against and ours != against else ():
        changes = extremes(results, ours, against, metric)
        gains = [c for c in changes if c[1] < 0][:EXTREMES_SHOWN]
        lost = [c for c in reversed(changes) if c[1] > 0][:EXTREMES_SHOWN]
        for pair in itertools.zip_longest(lost, gains):
            found += [(metric, *change) for change in pair if change]
    return found


def _pictures(
    results: Results, order: ReportOrder, first: Sequence[str]
) -> tuple[list[dict[str, Any]], str]:
    """Return what the viewer shows, or why it shows nothing."""
    if order.pictures == "0":
        return [], "The report was made without pictures (--pictures 0)."
    sources = _sources(results, order)
    if not sources:
        why = "The pictures were not found: make the report with --images FOLDER to see them here."
        tell(f"rgru-eval: {why}")
        return [], why
    chosen = choose(sources, order.pictures, first)
    if not chosen:
        names = ", ".join(s.name for s in sources[:6])
        raise EvalError(f"--pictures {order.pictures}: none of these; there are {names} ...")
    codecs = _usable_codecs(results, order.definitions)
    folders = [files_folder(path) for path in order.results]
    return make_views(results, chosen, codecs, folders, order.definitions, order.jobs), ""


def _sources(results: Results, order: ReportOrder) -> list[Source]:
    """Return the pictures of the results that are at hand and still have the same pixels."""
    known = results.pictures
    if order.images:
        digests = {_digest(s.path): s.path for s in find_pictures(order.images)}
        places = {name: digests.get(about["sha256"]) for name, about in known.items()}
    else:
        here = {name: path for name, path in load_paths(order.results).items() if name in known}
        places = {name: p for name, p in here.items() if _digest(p) == known[name]["sha256"]}
    found = ((about, places.get(name)) for name, about in known.items())
    return [Source(about["set"], about["name"], path) for about, path in found if path]


def _digest(path: Path) -> str:
    """Return the digest of a picture's pixels, empty if it cannot be read."""
    try:
        return read_picture(path).digest()
    except EvalError as error:
        tell(f"rgru-eval: {error}")
        return ""


def _usable_codecs(results: Results, definitions: Sequence[str]) -> list[Codec]:
    """Return the codecs of the results that run here; the others are named on stderr."""
    usable = []
    for identity in results.metadata["codecs"]:
        try:
            codec = make_codec(identity, definitions)
            codec.check()
        except EvalError as error:
            tell(f"rgru-eval: viewer: without {identity}: {error}")
            continue
        usable.append(codec)
    return usable


def build_page(
    results: Results,
    pictures: Sequence[Mapping[str, Any]],
    title: str = "",
    no_viewer: str = "",
    opponents: tuple[str, str] = ("", ""),
    found: Sequence[Extreme] = (),
) -> str:
    """Return the HTML text of the report.

    Args:
        results: what was measured.
        pictures: what ``make_views`` returned.
        title: heading; names the sets by default.
        no_viewer: why there are no pictures.
        opponents: the learned codec, and the one that ``found`` is told against.
        found: pictures of the largest losses and gains.
    """
    from jinja2 import Environment, PackageLoader, StrictUndefined

    folder = files("rgru_eval.show")
    parts = groups(results)
    summaries = {g.title: summarise(results, g, intervals=g.whole_set) for g in parts}
    metrics = [m for m in METRICS if any(r.get(m) is not None for r in results.rows)]
    codecs = [c for c in results.metadata["codecs"] if any(r["codec"] == c for r in results.rows)]
    look = styles(codecs)
    whole = [group for group in parts if group.whole_set][-1]
    environment = Environment(
        loader=PackageLoader("rgru_eval.show", ""), autoescape=True, undefined=StrictUndefined
    )
    environment.filters["kind_of"] = lambda row: _row_class(results, row)
    shown = {picture["id"] for picture in pictures}
    return environment.get_template("page.html").render(
        title=title or f"Image codecs on {' and '.join(results.sets)}",
        css=folder.joinpath("page.css").read_text("utf-8"),
        js=folder.joinpath("page.js").read_text("utf-8"),
        colours=[look[c] for c in codecs] + [Style(PUBLISHED_COLOUR, "", 2.2)],
        data=_payload(results, parts, metrics, look, pictures, opponents),
        lead=_lead(results, whole, summaries[whole.title]),
        losses={g.title: losses(results, summaries[g.title]) for g in parts if g.whole_set},
        notes=_notes(results),
        groups={group.title: _pictures_of(group) for group in parts},
        metrics={m: METRICS[m].title for m in metrics},
        published=[f"{p.name}: {p.note}. Source: {p.source}." for p in PUBLISHED],
        rates={t: [tables.rates(results, e, m) for m in metrics] for t, e in summaries.items()},
        by_group=[tables.by_group(results, summaries, m) for m in metrics if len(summaries) > 1],
        extremes=[(METRICS[m].title, i, _change(percent), i in shown) for m, i, percent in found],
        opponents=opponents,
        labels=[results.label(codec) for codec in opponents],
        baseline=results.label(results.metadata.get("baseline", "")),
        paper_area=f"{area(TODERICI_2017.bpp, TODERICI_2017.msssim_rgb):.4f}",
        received={g.title: tables.received_table(results, g) for g in parts},
        no_viewer=no_viewer,
        speeds={t: tables.speeds(results, e) for t, e in summaries.items()},
        machine=results.metadata.get("machine", {}),
        jobs=results.metadata.get("jobs", "?"),
        method=tables.method(results),
    )


def _change(percent: float) -> str:
    return f"{abs(percent):.0f} % {'more' if percent > 0 else 'fewer'} bits"


def _row_class(results: Results, row: object) -> str:
    """Return how a row of a table is marked."""
    codec = str(row[0] if isinstance(row, tuple) else row)
    if codec.partition(":")[0] == "rgru":
        return "rgru"
    return "base" if codec == results.metadata.get("baseline") else ""


def _pictures_of(group: Group) -> str:
    """Return how many pictures a group has, in words."""
    return f"{len(group.images)} picture{'s' if len(group.images) > 1 else ''}"


def _lead(results: Results, group: Group, entries: Sequence[dict[str, Any]]) -> str:
    """Return what learned codecs and the anchors need at .95, or what is compared."""
    rates = {e["codec"]: e["msssim_rgb"]["rates"]["0.95"] for e in entries if "msssim_rgb" in e}
    ours = [codec for codec in rates if is_learned(results, codec)]
    text = f"{len(rates)} codecs, {_pictures_of(group)}, whole files."
    if not ours:
        return text
    needs = [
        f"{results.label(codec)} {Crossing(rates[codec]['bpp'], rates[codec]['bound'])}"
        for codec in (*ours, *anchors(results))
        if codec in rates
    ]
    about = f"Bits per pixel for an RGB MS-SSIM of .95, mean of {group.title}"
    return f"{about}: {', '.join(needs)}. {text}"


def _notes(results: Results) -> list[str]:
    """Return what must not be overlooked: a busy machine, unusual pictures, what was skipped."""
    skipped = tables.failures(results)
    lines = load_notes(results) + picture_notes(results) + skipped[:SKIPPED_SHOWN]
    if len(skipped) > SKIPPED_SHOWN:
        lines.append(f"... and {len(skipped) - SKIPPED_SHOWN} more, listed in the results file")
    return lines


def _payload(
    results: Results,
    parts: Sequence[Group],
    metrics: Sequence[str],
    look: Mapping[str, Style],
    pictures: Sequence[Mapping[str, Any]],
    opponents: tuple[str, str],
) -> dict[str, Any]:
    """Return the points and names that the page draws; it computes no value of its own."""
    number = {image: n for n, image in enumerate(results.pictures)}
    return {
        "opponents": opponents,
        "codecs": [
            {"id": codec, "label": results.label(codec), "unit": results.unit(codec)}
            | _pen(n, style)
            for n, (codec, style) in enumerate(look.items())
        ],
        "metrics": {m: {"title": METRICS[m].title, "db": METRICS[m].decibels} for m in metrics},
        "groups": [_of_group(results, group, metrics, number) for group in parts],
        "each": _each(results, number, metrics),
        "published": [
            {"id": f"paper {n}", "label": f"{p.name} (published)"}
            | _pen(len(look), Style("", ("2 4", "1 6")[n % 2], 2.2))
            | {
                m: [[bpp, value] for bpp, value in zip(p.bpp, getattr(p, m), strict=True)]
                for m in ("msssim_rgb", "psnr")
            }
            for n, p in enumerate(PUBLISHED)
        ],
        "pictures": pictures,
    }


def _pen(number: int, style: Style) -> dict[str, Any]:
    """Return how a curve is drawn; its colour is a variable that depends on the ground."""
    return {"colour": f"var(--codec{number})", "dash": style.dash, "width": style.width}


def _of_group(
    results: Results, group: Group, metrics: Sequence[str], number: Mapping[str, int]
) -> dict[str, Any]:
    curves: dict[str, dict[str, Any]] = {metric: {} for metric in metrics}
    for (codec, metric), table in tabulate(results, group, metrics).items():
        at_rates = _points(metric, *table.mean_at_rates())
        curves[metric][codec] = {"setting": _mean_points(metric, table), "rate": at_rates}
    cut: dict[str, list[dict[str, Any]]] = {metric: [] for metric in metrics}
    for codec, file, rows in tables.received_files(results, group):
        label = f"{results.label(codec)}, one file ({file})"
        for metric in metrics:
            points = _points(metric, *received(rows, metric))
            if points:
                cut[metric].append({"codec": codec, "label": label, "points": points})
    return {
        "title": group.title,
        "kodak": is_kodak(results, group),
        "images": [number[image] for image in group.images],
        "curves": curves,
        "received": cut,
    }


def _mean_points(metric: str, table: Table) -> list[list[float]]:
    points = _points(metric, *table.mean())
    return [[*point, float(s)] for point, s in zip(points, table.settings, strict=True)]


def _points(metric: str, bpp: Sequence[float] | Any, quality: Any) -> list[list[float]]:
    digits = METRICS[metric].digits
    pairs = zip(bpp, quality, strict=True)
    return [[round(float(x), 5), round(float(y), digits)] for x, y in pairs]


def _each(results: Results, number: Mapping[str, int], metrics: Sequence[str]) -> dict[str, Any]:
    """Return the curve of each picture, by metric, codec and picture."""
    curves: dict[str, dict[str, dict[int, list[list[float]]]]] = {m: {} for m in metrics}
    for row in sorted((r for r in results.rows if r["kind"] == "file"), key=lambda r: r["bpp"]):
        image = number[f"{row['set']}/{row['image']}"]
        for metric in metrics:
            value = row.get(metric)
            if value is not None and math.isfinite(value):
                own = curves[metric].setdefault(row["codec"], {}).setdefault(image, [])
                own += _points(metric, [row["bpp"]], [value])
    return curves
