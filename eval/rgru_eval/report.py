"""``rgru-eval report``: one HTML file with data, pictures and program inside, no network needed."""

from __future__ import annotations

import html
import json
import sys
from collections.abc import Sequence
from dataclasses import asdict, dataclass
from importlib.resources import files
from pathlib import Path
from string import Template
from typing import Any

from rgru_eval.bench import CUTS_BPP
from rgru_eval.codecs import Codec
from rgru_eval.machine import available_cores
from rgru_eval.metrics import METRICS
from rgru_eval.pictures import EvalError, Source, find_pictures, read_picture
from rgru_eval.published import PUBLISHED, TODERICI_2017
from rgru_eval.registry import make_codec
from rgru_eval.results import Results, curve_rows, load_all
from rgru_eval.run import load_paths, picture_notes
from rgru_eval.style import PUBLISHED as PUBLISHED_COLOUR
from rgru_eval.style import styles
from rgru_eval.summary import area, summarise
from rgru_eval.tables import method_table, prefix_table, rate_tables, times_table
from rgru_eval.viewer import choose, make_views


@dataclass(frozen=True)
class ReportOrder:
    """What the user asked for; ``jobs`` 0 = one worker a core."""

    results: tuple[Path, ...]
    output: Path
    png: Path | None = None
    images: tuple[str, ...] = ()
    pictures: str = "2"
    title: str = ""
    jobs: int = 0
    definitions: tuple[str, ...] = ()


def write_report(order: ReportOrder) -> None:
    """Write the page, and the PNG plots if asked for; raises EvalError on unusable input."""
    results = load_all(order.results)
    if not results.rows:
        raise EvalError(f"{order.results[0]}: holds no rows; nothing to report")
    if not order.output.resolve().parent.is_dir():
        raise EvalError(f"{order.output}: its folder does not exist")
    pictures, why = _pictures(results, order)
    order.output.write_text(build_page(results, pictures, order.title, why), "utf-8")
    print(f"{order.output}: {order.output.stat().st_size / 1e6:.1f} MB", file=sys.stderr)
    if order.png:
        from rgru_eval.plots import write_plots

        for path in write_plots(results, order.png):
            print(path, file=sys.stderr)


def _pictures(results: Results, order: ReportOrder) -> tuple[list[dict[str, Any]], str]:
    """Return what the viewer shows, or why it shows nothing."""
    if order.pictures == "0":
        return [], "The report was made without pictures (--pictures 0)."
    sources = _sources(results, order)
    if not sources:
        why = "The pictures were not found: make the report with --images FOLDER to see them here."
        print(f"rgru-eval: {why}", file=sys.stderr)
        return [], why
    chosen = choose(sources, order.pictures)
    if not chosen:
        names = ", ".join(s.name for s in sources[:6])
        raise EvalError(f"--pictures {order.pictures}: none of these; there are {names} ...")
    codecs = _usable_codecs(results, order.definitions)
    views, problems = make_views(chosen, codecs, order.definitions, order.jobs or available_cores())
    for problem in problems:
        print(f"rgru-eval: viewer: {problem}", file=sys.stderr)
    return views, ""


def _sources(results: Results, order: ReportOrder) -> list[Source]:
    """Return the pictures of the results that are at hand and still have the same pixels."""
    known = {(i["set"], i["name"]): i["sha256"] for i in results.metadata["images"]}
    if order.images:
        digests = {_digest(s.path): s.path for s in find_pictures(order.images)}
        return [Source(*key, digests[sha]) for key, sha in known.items() if sha in digests]
    places = load_paths(order.results)
    here = {key: places["/".join(key)] for key in known if "/".join(key) in places}
    return [Source(*key, path) for key, path in here.items() if _digest(path) == known[key]]


def _digest(path: Path) -> str:
    """Return the digest of a picture's pixels, empty if it cannot be read."""
    try:
        return read_picture(path).digest()
    except EvalError as error:
        print(f"rgru-eval: {error}", file=sys.stderr)
        return ""


def _usable_codecs(results: Results, definitions: Sequence[str]) -> list[Codec]:
    """Return the codecs of the results that run here; the others are named on stderr."""
    usable = []
    for identity in results.metadata["codecs"]:
        try:
            codec = make_codec(identity, definitions)
            codec.check()
        except EvalError as error:
            print(f"rgru-eval: viewer: without {identity}: {error}", file=sys.stderr)
            continue
        usable.append(codec)
    return usable


def build_page(
    results: Results, pictures: list[dict[str, Any]], title: str = "", no_viewer: str = ""
) -> str:
    """Return the HTML text of the report."""
    page = files("rgru_eval").joinpath("page")
    sets = results.sets
    summaries = {name: summarise(results, name) for name in sets}
    if len(sets) > 1:
        summaries[""] = summarise(results, None)
    metrics = [m for m in METRICS if any(r.get(m) is not None for r in results.rows)]
    has_prefixes = any(r["kind"] == "prefix" for r in results.rows)
    paper_area = area(TODERICI_2017.bpp, TODERICI_2017.msssim_rgb)
    return Template(page.joinpath("page.html").read_text("utf-8")).substitute(
        title=html.escape(title or _title(results)),
        css=page.joinpath("page.css").read_text("utf-8"),
        js=page.joinpath("page.js").read_text("utf-8"),
        data=_json(_payload(results, pictures, metrics)),
        lead=_lead(results, summaries),
        notes=_notes(results),
        set_options=_options({s: s or "all pictures" for s in summaries}),
        metric_options=_options({m: METRICS[m].title for m in metrics}),
        published="".join(
            f"<li>{html.escape(f'{p.name}: {p.note}. Source: {p.source}.')}</li>" for p in PUBLISHED
        ),
        tables=rate_tables(results, summaries),
        baseline=html.escape(results.label(results.metadata.get("baseline", ""))),
        paper_area=f"{paper_area:.4f}",
        no_prefix="" if has_prefixes else " hidden",
        prefix_table=prefix_table(results, list(summaries)) if has_prefixes else "",
        no_viewer=html.escape(no_viewer),
        times=times_table(results, summaries),
        times_note=_times_note(results),
        method=method_table(results),
    )


def _json(content: object) -> str:
    """Return JSON that can stand inside a script element."""
    return json.dumps(content, separators=(",", ":")).replace("<", "\\u003c")


def _options(choices: dict[str, str]) -> str:
    return "".join(
        f'<option value="{html.escape(value)}">{html.escape(text)}</option>'
        for value, text in choices.items()
    )


def _title(results: Results) -> str:
    return f"Image codecs on {' and '.join(results.sets)}"


def _lead(results: Results, summaries: dict[str, list[dict[str, Any]]]) -> str:
    """Return one sentence: what rgru and the baseline need at .95, or what is compared."""
    entries = list(summaries.values())[-1]  # of all pictures, if there are several sets
    rates = {e["codec"]: e["msssim_rgb"]["rates"]["0.95"] for e in entries if "msssim_rgb" in e}
    baseline = results.metadata.get("baseline", "")
    ours = next((c for c in rates if c.partition(":")[0] == "rgru"), None)
    count = len(results.metadata["images"])
    text = f"{len(rates)} codecs, {count} pictures, whole files."
    if ours and baseline in rates and not rates[ours]["bound"] and not rates[baseline]["bound"]:
        text = (
            f"For an RGB MS-SSIM of .95, rgru needs {rates[ours]['bpp']:.3f} bits per pixel and"
            f" {results.label(baseline)} needs {rates[baseline]['bpp']:.3f}. " + text
        )
    return html.escape(text)


def _notes(results: Results) -> str:
    """Return what must not be overlooked: unusual pictures, and what was skipped."""
    lines = picture_notes(results)
    skipped = results.metadata["skipped"]
    lines += [f"skipped {s['what']} {s['name']}: {s['why']}" for s in skipped[:12]]
    if len(skipped) > 12:
        lines.append(f"... and {len(skipped) - 12} more, listed in the results file")
    body = "".join(f"<p>{html.escape(line)}</p>" for line in lines)
    return f'<div class="notes">{body}</div>' if lines else ""


def _times_note(results: Results) -> str:
    machine = results.metadata.get("machine", {})
    words = (
        f"{machine.get('processor', 'unknown processor')}; one thread for each codec,"
        f" {results.metadata.get('jobs', '?')} pictures at a time on {machine.get('cores', '?')}"
        " cores. Median over all files of one run each; MP/s = millions of pixels a second."
        " Bars are logarithmic."
        " Programs (cjxl, cwebp ...) include starting them and PNG between. rgru makes all its"
        " layers in one go: its times are those of the whole ladder."
        " Memory: peak of a fresh process that encodes and decodes the first picture."
    )
    return html.escape(words)


def is_kodak(results: Results) -> bool:
    """Whether the pictures are the 24 of Kodak, so that published curves belong beside them."""
    sizes = [(i["width"], i["height"]) for i in results.metadata["images"]]
    return len(sizes) == 24 and sizes.count((768, 512)) == 18 and sizes.count((512, 768)) == 6


def _payload(
    results: Results, pictures: list[dict[str, Any]], metrics: Sequence[str]
) -> dict[str, Any]:
    """Return what the page's program draws from."""
    images = results.metadata["images"]
    place = {(i["set"], i["name"]): n for n, i in enumerate(images)}
    codecs = [c for c in results.metadata["codecs"] if _has_rows(results, c)]
    look = styles(codecs)
    number = {codec: n for n, codec in enumerate(codecs)}
    columns = ["kind", "image", "codec", "setting", "bpp", *metrics]
    rows = [
        [r["kind"], place[r["set"], r["image"]], number[r["codec"]], r["setting"], r["bpp"]]
        + [r.get(m) for m in metrics]
        for r in results.rows
        if r["codec"] in number
    ]
    return {
        "baseline": results.metadata.get("baseline"),
        "kodak": is_kodak(results),
        "codecs": [
            {"id": c, "label": results.label(c), "unit": results.unit(c), **asdict(look[c])}
            for c in codecs
        ],
        "images": [{"set": i["set"], "name": i["name"]} for i in images],
        "metrics": {m: METRICS[m].title for m in metrics},
        "columns": columns,
        "rows": rows,
        "cuts": CUTS_BPP,
        "published": [_published(p, n) for n, p in enumerate(PUBLISHED)],
        "pictures": [{**p, "targets": [asdict(t) for t in p["targets"]]} for p in pictures],
    }


def _has_rows(results: Results, codec: str) -> bool:
    return bool(curve_rows(results.rows, "file", None, codec))


def _published(paper: Any, number: int) -> dict[str, Any]:
    return {
        "id": f"paper {number}",
        "label": f"{paper.name} (published)",
        "colour": PUBLISHED_COLOUR,
        "width": 2.2,
        "dash": ("2 4", "1 6")[number % 2],
        "bpp": paper.bpp,
        "msssim_rgb": paper.msssim_rgb,
        "psnr": paper.psnr,
    }
