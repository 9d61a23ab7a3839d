"""Tables as data frames of texts, one a subject; terminal, Markdown and page show the same.

The index holds codec identities (or what else a row is about). A line break in a cell divides the
value from its interval.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from typing import Any

import pandas as pd

from rgru_eval.judge.curves import Crossing, Group, area, received, rows_of
from rgru_eval.judge.metrics import METRICS
from rgru_eval.judge.statistics import anchors, is_learned, losses, summarise
from rgru_eval.results import Results

RECEIVED_SHOWN = (0.1, 0.25, 0.5, 1.0)
Entries = Sequence[dict[str, Any]]


def rates(results: Results, entries: Entries, metric: str) -> pd.DataFrame:
    """Return bpp at equal quality, BD-rates, the paper's area and wins, a codec a row."""
    rows = {e["codec"]: _rates_row(results, e, metric) for e in entries if metric in e}
    return pd.DataFrame.from_dict(rows, orient="index")


def _without(missing: int) -> str:
    """Return how many pictures a mean lacks, because the codec failed on them."""
    return f" (without {missing} picture{'s' if missing > 1 else ''})" if missing else ""


def _rates_row(results: Results, entry: dict[str, Any], metric: str) -> dict[str, str]:
    values, codec = entry[metric], entry["codec"]
    anchored = codec != results.metadata.get("baseline")
    row = {METRICS[metric].title: entry["label"] + _without(values["missing"])}
    row |= {f"bpp at {at}": _rate(rate, anchored) for at, rate in values["rates"].items()}
    for anchor in anchors(results):
        bd = values["bd"].get(anchor)
        row[f"BD-rate against {results.label(anchor)}"] = "" if anchor == codec else _bd(bd)
    if METRICS[metric].decibels:
        row["AUC"] = f"{values['area']:.4f}" if values["area"] else "n/a"
    wins = [f"{r['wins']}/{r['decided']}" for r in values["rates"].values() if "wins" in r]
    return row | {"wins": " · ".join(wins) if anchored else ""}


def _rate(rate: dict[str, Any], anchored: bool) -> str:
    text = str(Crossing(rate["bpp"], rate["bound"]))
    if not anchored or rate.get("change") is None:
        return text
    text += f"\n{signed(100 * rate['change'])} %"
    if rate.get("interval"):
        text += " [{}, {}]".format(*(signed(100 * end) for end in rate["interval"]))
    return text


def signed(change: float, digits: int = 0) -> str:
    """Return a change with its sign; what rounds to 0 has none."""
    text = f"{change:+.{digits}f}"
    return text if float(text) else text[1:]


def _bd(bd: dict[str, Any] | None, digits: int = 1) -> str:
    if bd is None:
        return "n/a"
    text = f"{signed(bd['percent'], digits)} %"
    ends = [signed(end, 1) for end in bd["interval"] or ()]
    return text + (f"\n[{', '.join(ends)}]" if ends else "")


def page_rates(
    results: Results,
    group: Group | None = None,
    codecs: Sequence[str] | None = None,
    metrics: Iterable[str] = METRICS,
) -> str:
    """Return bpp at equal quality and BD-rates as Markdown, a block of rows a metric.

    Below it stand, in words, the comparisons that learned codecs lose, also of codecs not shown.
    By default all pictures and all codecs are.
    """
    entries, against = summarise(results, group, intervals=False), anchors(results)
    shown = [e for e in entries if codecs is None or e["codec"] in codecs]
    heads = ["bits per pixel at equal quality", "", "", ""]
    heads += [f"BD-rate against {results.label(anchor)}" for anchor in against]
    rows: list[list[str]] = []
    for name in metrics:
        metric, own = METRICS[name], [e for e in shown if name in e]
        if own:
            at = [f"at {target:g}" for target in metric.targets]
            rows.append([f"**{metric.title}**", *at, *("" for _ in against)])
            rows += [_page_row(results, e, name, against) for e in own]
    lost = "\n".join(f"- {line}" for line in losses(results, entries)) or "Nowhere."
    return f"{markdown(heads, rows)}\n\nWhere more bits are needed than an anchor needs:\n\n{lost}"


def _page_row(
    results: Results, entry: dict[str, Any], metric: str, against: Sequence[str]
) -> list[str]:
    model = results.metadata["codecs"][entry["codec"]]["versions"].get("model")
    name = f"**{entry['label']}**, model {model}" if model else entry["label"]
    name += _without(entry[metric]["missing"])
    cells = [str(Crossing(r["bpp"], r["bound"])) for r in entry[metric]["rates"].values()]
    bds = entry[metric]["bd"]
    return [name, *cells, *("" if a == entry["codec"] else _bd(bds.get(a), 0) for a in against)]


def markdown(heads: Sequence[str], rows: Iterable[Sequence[str]]) -> str:
    """Return a table in Markdown, its first column to the left and the others to the right."""
    rule = ["---", *("---:" for _ in heads[1:])]
    lines = ([cell.replace("|", "\\|") for cell in cells] for cells in (heads, rule, *rows))
    return "\n".join(f"| {' | '.join(cells)} |" for cells in lines)


def text(results: Results, group: Group) -> str:
    """Return the summary of a group for a terminal."""
    entries = summarise(results, group, intervals=group.whole_set)
    if not entries:
        return "no rows to summarise"
    against = results.label(results.metadata.get("baseline", ""))
    parts = [
        f"{group.title}: {len(group.images)} pictures; whole files;"
        f" percentages and wins against {against}; [95 % interval]"
    ]
    frames = [rates(results, entries, metric) for metric in METRICS]
    for frame in [*frames, speeds(results, entries)]:
        if len(frame):
            parts.append(frame.replace("\n", " ", regex=True).to_string(index=False))
    return "\n\n".join(parts)


def by_group(results: Results, summaries: Mapping[str, Entries], metric: str) -> pd.DataFrame:
    """Return a row for each set and kind: BD-rates of each learned codec against the anchors."""
    rows = {}
    for title, entries in summaries.items():
        row = {METRICS[metric].title: title}
        for entry in (e for e in entries if metric in e and is_learned(results, e["codec"])):
            row["pictures"] = str(entry["pictures"])
            for anchor, bd in entry[metric]["bd"].items():
                row[f"{entry['label']} against {results.label(anchor)}"] = _bd(bd)
        rows[title] = row
    return pd.DataFrame.from_dict(rows, orient="index").fillna("n/a")


def received_table(results: Results, group: Group) -> pd.DataFrame:
    """Return mean RGB MS-SSIM after some bytes of one file, and the area under that curve."""
    rows = {}
    for codec, file, own in received_files(results, group):
        bpps, means = received(own, "msssim_rgb")
        at = dict(zip(bpps, means, strict=True))
        row = {"RGB MS-SSIM": f"{results.label(codec)}, {file}"}
        for bpp in RECEIVED_SHOWN:
            value = means[-1] if bpps and bpp > bpps[-1] else at.get(bpp)
            row[f"at {bpp:g} bpp"] = "nothing yet" if value is None else f"{value:.4f}"
        found = area(bpps, means)
        rows[codec, file] = row | {"AUC of one file": "n/a" if found is None else f"{found:.4f}"}
    return pd.DataFrame.from_dict(rows, orient="index")


def received_files(results: Results, group: Group) -> list[tuple[str, str, pd.DataFrame]]:
    """Return codec, setting (``layers 8``) and rows of each file that was cut."""
    rows = rows_of(results, "prefix", group)
    return [
        (codec, f"{results.unit(codec)} {setting:g}", own)
        for codec in results.metadata["codecs"]
        for setting, own in rows[rows["codec"] == codec].groupby("setting")
    ]


def speeds(results: Results, entries: Entries) -> pd.DataFrame:
    """Return encode and decode speed and peak memory."""
    rows = {}
    for e in entries:
        memory = results.metadata["codecs"][e["codec"]].get("memory_mb", {}).get("peak")
        rows[e["codec"]] = {
            "codec": e["label"],
            "encode, MP/s": f"{e['encode_mps']:.3g}" if e["encode_mps"] else "n/a",
            "decode, MP/s": f"{e['decode_mps']:.3g}" if e["decode_mps"] else "n/a",
            "peak memory, MB": "n/a" if memory is None else f"{memory:.0f}",
        }
    return pd.DataFrame.from_dict(rows, orient="index")


def method(results: Results) -> list[tuple[str, list[str]]]:
    """Return versions, machine, commands, parameters, definitions and what was skipped."""
    about = results.metadata
    images = about["images"]
    sizes = sorted({f"{i['width']}x{i['height']}" for i in images})
    shown = ", ".join(sizes[:8]) + (" ..." if len(sizes) > 8 else "")
    return [
        ("Measured", [f"{about.get('created', '?')} to {about.get('updated', '?')}"]),
        ("Machine", [_listed(about.get("machine", {}), " ")]),
        ("Software", [_listed(about.get("software", {}), " ")]),
        ("Pictures", [f"{len(images)}: {shown}; without metadata, for every codec alike"]),
        ("File size", ["the whole file, headers included; pictures rounded to 8 bits"]),
        ("Commands", list(about["commands"])),
        ("Codecs", [_codec_line(codec, values) for codec, values in about["codecs"].items()]),
        ("Metrics", [f"{k}: {v}" for k, v in about.get("metrics", {}).items()]),
        ("Skipped", [_skipped(note) for note in about["skipped"]] or ["nothing"]),
    ]


def failures(results: Results) -> list[str]:
    """Return what was skipped: of all failures of one codec the first, and how many there are."""
    found: dict[str, list[str]] = {}
    for note in sorted(results.metadata["skipped"], key=lambda note: note["what"] == "picture"):
        task = note["what"] == "task"
        codec = note["name"].partition(" on ")[0] if task else _skipped(note)
        found.setdefault(codec, []).append(_skipped(note))
    return [
        f"skipped {first}" + (f" ({len(more)} more of this codec)" if more else "")
        for first, *more in found.values()
    ]


def _skipped(note: Mapping[str, str]) -> str:
    return f"{note['what']} {note['name']}: {note['why']}"


def _codec_line(codec: str, about: dict[str, Any]) -> str:
    given = {key: value for key, value in about.get("parameters", {}).items() if value != ""}
    ladder = " ".join(f"{s:g}" for s in about["settings"]) or "all"
    settings = f"{about.get('unit', 'setting')} {ladder}"
    parts = (_listed(given, "="), _listed(about["versions"], " "), settings)
    return f"{codec}: {'; '.join(filter(None, parts))}"


def _listed(values: Mapping[str, Any], sign: str) -> str:
    return ", ".join(f"{key}{sign}{value}" for key, value in values.items())
