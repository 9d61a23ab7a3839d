"""The report's tables as HTML. Every text from a results file is escaped."""

from __future__ import annotations

import html
import math
from collections.abc import Mapping, Sequence
from typing import Any

import numpy as np

from rgru_eval.bench import CUTS_BPP
from rgru_eval.metrics import METRICS, Metric
from rgru_eval.results import Results, Row, curve_rows
from rgru_eval.summary import anchors, area, format_percent, format_rate

RECEIVED_SHOWN = (0.1, 0.25, 0.5, 1.0)
Summaries = Mapping[str, Sequence[dict[str, Any]]]


def rate_tables(results: Results, summaries: Summaries) -> str:
    """Return one table for each set and MS-SSIM variant; the page shows one set at a time."""
    parts = []
    for number, (set_name, entries) in enumerate(summaries.items()):
        body = ""
        for name, metric in METRICS.items():
            rows = [_rate_row(results, e, name) for e in entries if name in e]
            if rows:
                body += f"<h3>{metric.title}</h3>" + _table(_rate_heads(results, metric), rows)
        parts.append(_of_set(set_name, body, shown=number == 0))
    return "".join(parts)


def _of_set(set_name: str, body: str, *, shown: bool) -> str:
    hidden = "" if shown else " hidden"
    return f'<div data-set="{html.escape(set_name)}"{hidden}>{body}</div>'


def _table(heads: Sequence[str], rows: Sequence[str]) -> str:
    head = "".join(f"<th>{h}</th>" for h in heads)
    return (
        f'<div class="scroll"><table><thead><tr>{head}</tr></thead>'
        f"<tbody>{''.join(rows)}</tbody></table></div>"
    )


def _row(results: Results, codec: str, cells: Sequence[str]) -> str:
    kind = "rgru" if codec.partition(":")[0] == "rgru" else ""
    kind = kind or ("base" if codec == results.metadata.get("baseline") else "")
    body = "".join(f"<td>{c}</td>" for c in cells)
    return f'<tr class="{kind}">{body}</tr>' if kind else f"<tr>{body}</tr>"


def _rate_heads(results: Results, metric: Metric) -> list[str]:
    against = [f"BD-rate against<br>{html.escape(results.label(a))}" for a in anchors(results)]
    return ["Codec", *(f"bpp at {t:g}" for t in metric.targets), *against, "AUC", "wins"]


def _rate_row(results: Results, entry: dict[str, Any], metric: str) -> str:
    values = entry[metric]
    is_baseline = entry["codec"] == results.metadata.get("baseline")
    cells = [html.escape(entry["label"])]
    cells += [_rate_cell(rate, is_baseline) for rate in values["rates"].values()]
    for anchor in anchors(results):
        itself = anchor == entry["codec"]
        cells.append("—" if itself else _bd_cell(values["bd"].get(anchor), metric))
    cells.append(f"{values['area']:.4f}" if values.get("area") else "n/a")
    wins = [f"{r['wins']}/{r['decided']}" for r in values["rates"].values() if "wins" in r]
    cells.append("—" if is_baseline else " · ".join(wins))
    return _row(results, entry["codec"], cells)


def _rate_cell(rate: dict[str, Any], is_baseline: bool) -> str:
    text = html.escape(format_rate(rate))
    if is_baseline or rate.get("change") is None:
        return text
    text += f"<br><small>{100 * rate['change']:+.0f} %"
    if rate.get("interval"):
        low, high = rate["interval"]
        text += f" [{100 * low:+.0f}, {100 * high:+.0f}]"
    return text + "</small>"


def _bd_cell(bd: dict[str, Any] | None, metric: str) -> str:
    if bd is None:
        return "n/a"
    text = format_percent(bd["percent"])
    if bd["interval"]:
        text += "<br><small>[{:+.1f}, {:+.1f}]</small>".format(*bd["interval"])
    title = METRICS[metric].title
    return f'<span title="{title} {bd["from"]:.4g} to {bd["to"]:.4g}">{text}</span>'


def received_curve(rows: Sequence[Row], metric: str) -> tuple[list[float], list[float]]:
    """Return mean quality at each of CUTS_BPP received; a finished file keeps its last value.

    Rates at which some picture shows nothing yet are left out.
    """
    curves: dict[tuple[str, str], list[Row]] = {}
    for row in sorted(rows, key=lambda r: float(r["bytes"])):
        curves.setdefault((row["set"], row["image"]), []).append(row)
    bpps, means = [], []
    for bpp in CUTS_BPP:
        seen = [[r for r in c if r["bpp"] <= bpp * 1.005] for c in curves.values()]
        values = [c[-1].get(metric) if c else None for c in seen]
        known = [v for v in values if v is not None]
        if known and len(known) == len(values):
            bpps.append(bpp)
            means.append(float(np.mean(known)))
    return bpps, means


def prefix_table(results: Results, sets: Sequence[str]) -> str:
    """Return mean RGB MS-SSIM after some bytes of one file, and the area under that curve."""
    parts = []
    for number, set_name in enumerate(sets):
        lines = []
        for codec in results.metadata["codecs"]:
            rows = curve_rows(results.rows, "prefix", set_name or None, codec)
            for setting in sorted({r["setting"] for r in rows}):
                own = [r for r in rows if r["setting"] == setting]
                label = f"{results.label(codec)}, one file ({results.unit(codec)} {setting:g})"
                lines.append(_row(results, codec, [html.escape(label), *_received_cells(own)]))
        heads = ["File", *(f"at {b:g} bpp" for b in RECEIVED_SHOWN), "AUC of one file"]
        parts.append(_of_set(set_name, _table(heads, lines), shown=number == 0))
    return "".join(parts)


def _received_cells(rows: Sequence[Row]) -> list[str]:
    bpps, means = received_curve(rows, "msssim_rgb")
    at = dict(zip(bpps, means, strict=True))
    cells = [f"{at[b]:.4f}" if b in at else "nothing yet" for b in RECEIVED_SHOWN]
    measured = area(bpps, means) if bpps else None
    return [*cells, "n/a" if measured is None else f"{measured:.4f}"]


def times_table(results: Results, summaries: Summaries) -> str:
    """Return encode and decode speed and peak memory, with bars on a logarithmic scale."""
    parts = []
    for number, (set_name, entries) in enumerate(summaries.items()):
        rows = []
        for entry in entries:
            memory = results.metadata["codecs"][entry["codec"]].get("memory_mb", {}).get("peak")
            cells = [html.escape(entry["label"])]
            cells += [_speed_cell(entry[k]) for k in ("encode_mps", "decode_mps")]
            cells.append("n/a" if memory is None else f"{memory:.0f}")
            rows.append(_row(results, entry["codec"], cells))
        body = _table(["Codec", "encode, MP/s", "decode, MP/s", "peak memory, MB"], rows)
        parts.append(_of_set(set_name, body, shown=number == 0))
    return "".join(parts)


def _speed_cell(speed: float | None) -> str:
    if not speed:
        return "n/a"
    width = 30 * max(0.0, math.log10(speed / 0.01))
    bar = f'<span class="fill" style="width:{width:.0f}px;background:#9db7c9"></span>'
    return f"{speed:.3g}{bar}"


def method_table(results: Results) -> str:
    """Return versions, machine, commands, definitions and skipped things."""
    about = results.metadata
    images = about["images"]
    sizes = sorted({f"{i['width']}x{i['height']}" for i in images})
    shown = ", ".join(sizes[:8]) + (" ..." if len(sizes) > 8 else "")
    lines = {
        "Measured": f"{about.get('created', '?')} to {about.get('updated', '?')}",
        "Machine": ", ".join(f"{k} {v}" for k, v in about.get("machine", {}).items()),
        "Software": ", ".join(f"{k} {v}" for k, v in about.get("software", {}).items()),
        "Pictures": f"{len(images)}: {shown}; metadata dropped before compression, for all codecs",
        "File size": "the whole file, headers included; pictures rounded to 8 bits",
    }
    body = "".join(_line(k, html.escape(v)) for k, v in lines.items())
    commands = "<br>".join(f"<code>{html.escape(c)}</code>" for c in about["commands"])
    body += _line("Commands", commands)
    codecs = "<br>".join(_codec_line(c, a) for c, a in about["codecs"].items())
    body += _line("Codecs", codecs)
    metrics = "<br>".join(html.escape(f"{k}: {v}") for k, v in about.get("metrics", {}).items())
    body += _line("Metrics", metrics)
    skipped = "<br>".join(
        html.escape(f"{s['what']} {s['name']}: {s['why']}") for s in about["skipped"]
    )
    body += _line("Skipped", skipped or "nothing")
    return f'<table class="method"><tbody>{body}</tbody></table>'


def _line(head: str, body: str) -> str:
    return f"<tr><th>{head}</th><td>{body}</td></tr>"


def _codec_line(codec: str, about: dict[str, Any]) -> str:
    versions = ", ".join(f"{k} {v}" for k, v in about["versions"].items())
    settings = " ".join(f"{s:g}" for s in about["settings"]) or "all layers"
    return (
        f"<code>{html.escape(codec)}</code>: {html.escape(versions)};"
        f" {html.escape(about.get('unit', 'setting'))} {settings}"
    )
