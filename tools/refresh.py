"""Measure anew what the pages say of the installed model: python tools/refresh.py --kodak DIR.

Runs each command that a page names and puts its output between the marks of its name, ``begin`` and
``end``; draws the pictures. README's table and plots come from eval/results/kodak*.json, which
``rgru-eval run`` writes. All of it takes about 15 minutes on two idle cores.

``--only speed worst_cases`` measures what depends on the shapes of the networks alone, an hour of a
machine that does nothing else: not needed for other weights.
"""

from __future__ import annotations

import argparse
import json
import os
import re
import subprocess
import sys
import tempfile
from collections.abc import Callable, Mapping, Sequence
from pathlib import Path
from typing import Any

from PIL import Image

from rgru_eval.measure.codecs import ANCHORS
from rgru_eval.show.tables import markdown, signed

ROOT = Path(__file__).parents[1]
DOCS = ROOT / "docs"
PHOTO = "kodim23"
"""The Kodak picture that is shown."""
CODECS = "rgru,avif:speed=4,cjxl-progressive,avif-layered"


def run(*words: object, folder: Path = ROOT) -> str:
    """Run a program of this checkout and return what it prints; a failure ends this one."""
    modules = {"rgru": ["-m", "rgru_codec.cli"], "rgru-eval": ["-m", "rgru_eval"]}
    first = modules.get(str(words[0]), [str(words[0])])
    command = [sys.executable, *first, *map(str, words[1:])]
    path = os.pathsep.join(str(ROOT / room) for room in (".", "format", "eval", "train"))
    done = subprocess.run(
        command,
        cwd=folder,
        env={**os.environ, "PYTHONPATH": path, "PYTHONIOENCODING": "utf-8"},
        check=False,
        stdout=subprocess.PIPE,
        stderr=subprocess.STDOUT,
        encoding="utf-8",
    )
    if done.returncode:
        raise SystemExit(f"{' '.join(command)}: exit code {done.returncode}\n{done.stdout}")
    return done.stdout.strip("\n")


def put(page: Path, name: str, text: str) -> None:
    """Replace what stands between the marks of a name."""
    marks = (f"<!-- begin {name} -->\n", f"\n<!-- end {name} -->")
    before = page.read_text("utf-8")
    pattern = re.compile(re.escape(marks[0]) + ".*?" + re.escape(marks[1]), re.DOTALL)
    after, count = pattern.subn(lambda _: text.join(marks), before)
    if count != 1:
        raise SystemExit(f"{page}: has {count} places for '{name}'")
    page.write_text(after, "utf-8")
    print(f"{page.relative_to(ROOT)}: {name}", flush=True)


def indented(text: str) -> str:
    """Write a block of code; the marks around it stand in lines of their own."""
    return "\n" + "\n".join(f"    {line}".rstrip() for line in text.splitlines()) + "\n"


def measure(kodak: Path) -> None:
    """eval/results/kodak.json: the installed model, and what lacks a metric; other rows stay.

    Progressive JPEG XL and layered AVIF need cjxl and avifenc (docs/evaluator.md); without them
    their rows stay as they are.
    """
    out = ROOT / "eval" / "results" / "kodak.json"
    what = ("--set", f"kodak={kodak}", "--codecs", CODECS, "--metrics", "all")
    print(run("rgru-eval", "run", *what, "--no-files", "--out", out))


def rates(kodak: Path) -> None:
    """README's table, that of numbers.md and the plots, from the committed results."""
    results = sorted(ROOT.glob("eval/results/kodak*.json"))
    summary = ("rgru-eval", "summary", *results, "--markdown")
    few = ("--codecs", "rgru,avif,jxl,webp,jpeg:optimize", "--metrics", "msssim,ssimulacra2,psnr")
    put(ROOT / "README.md", "rates", f"\n{run(*summary, *few)}\n")
    put(DOCS / "numbers.md", "all rates", f"\n{run(*summary)}\n")
    print(run("rgru-eval", "plot", *results, "-o", DOCS))


_JPEG, _AVIF, _SLOW = ANCHORS
_KINDS = {
    "RGB MS-SSIM, against JPEG": ("msssim_rgb", _JPEG),
    "against AVIF speed 4": ("msssim_rgb", _SLOW),
    "against speed 6": ("msssim_rgb", _AVIF),
    "luma MS-SSIM, against speed 6": ("msssim_luma", _AVIF),
    "SSIMULACRA2, likewise": ("ssimulacra2", _AVIF),
    "colour difference, likewise": ("colour_mean", _AVIF),
}


def kinds(kodak: Path) -> None:
    """BD-rates of rgru on photos held out from training, by kind: from the committed results."""
    found = run("rgru-eval", "summary", ROOT / "eval" / "results" / "held_out.json", "--json")
    lines = [f"| | pictures | {' | '.join(_KINDS)} |", "| --- |" + " ---: |" * (1 + len(_KINDS))]
    for name, rows in json.loads(found).items():
        own = next(row for row in rows if row["codec"] == "rgru")
        rates = (own[measure]["bd"].get(other) for measure, other in _KINDS.values())
        cells = [f"{signed(rate['percent'])} %" if rate else "" for rate in rates]
        kind = name.partition(": ")[2] or "all"
        lines.append(f"| {kind} | {own['pictures']} | {' | '.join(cells)} |")
    put(DOCS / "numbers.md", "kinds", "\n{}\n".format("\n".join(lines)))


_WHY = {"msssim_rgb": "0.95", "ssimulacra2": "70", "psnr": "32"}
"""Metrics of why.md, and where their curves are read."""
_WHY_CODECS = ("rgru", _AVIF, "jxl:effort=7", "webp:method=4", _JPEG)


def why(kodak: Path) -> None:
    """What rgru and others cost, in why.md, from the committed results."""
    found = run("rgru-eval", "summary", ROOT / "eval" / "results" / "kodak.json", "--json")
    rows = {row["codec"]: row for row in json.loads(found)["kodak"]}
    put(DOCS / "why.md", "why", f"\n{why_table([rows[name] for name in _WHY_CODECS])}\n")


def why_table(rows: Sequence[Mapping[str, Any]]) -> str:
    """Write rates and speeds of codecs, rows of ``rgru-eval summary --json``."""
    heads = ["", "RGB MS-SSIM .95", "SSIMULACRA2 70", "PSNR 32 dB"]
    lines = []
    for row in rows:
        rates = (row[metric]["rates"][at] for metric, at in _WHY.items())
        cells = [f"{rate['bound']}{rate['bpp']:.3f}".replace("0.", ".", 1) for rate in rates]
        speeds = [f"{row[name]:.3g}" for name in ("encode_mps", "decode_mps")]
        lines.append([row["label"], *cells, *speeds])
    return markdown([*heads, "compress, Mpx/s", "decompress, Mpx/s"], lines)


def samples(kodak: Path) -> None:
    """Put what the command line prints into cli.md."""
    with tempfile.TemporaryDirectory() as name:
        folder = Path(name)
        photo = folder / "photo.png"
        photo.write_bytes((kodak / f"{PHOTO}.png").read_bytes())
        put(
            DOCS / "cli.md",
            "compress",
            indented(run("rgru", "compress", photo.name, folder=folder)),
        )
        put(
            DOCS / "cli.md",
            "info",
            indented(run("rgru", "info", "-v", "photo.rgru", folder=folder)),
        )


def animation(kodak: Path) -> None:
    """Make the picture that builds up, for README."""
    with tempfile.TemporaryDirectory() as folder:
        packed = Path(folder) / "photo.rgru"
        run("rgru", "compress", kodak / f"{PHOTO}.png", "-o", packed, "--layers", "all")
        print(run("rgru", "decompress", packed, "--animate", DOCS / f"{PHOTO}.webp"))


def demo(kodak: Path) -> None:
    """Make the picture of ``make demo``, for README."""
    print(run("examples/demo.py"))
    with Image.open(ROOT / "demo" / "out" / "steps.png") as picture:
        picture.save(DOCS / "steps.webp", quality=95, method=6)


def grey(kodak: Path) -> None:
    """Put what grey saves into cli.md."""
    put(DOCS / "cli.md", "grey", f"\n{run('-m', 'tools.studies', 'grey', '--images', kodak)}\n")


def entropy(kodak: Path) -> None:
    """Put what the entropy stage saves into measured.md."""
    table = run("-m", "tools.studies", "entropy", "--images", kodak)
    put(DOCS / "measured.md", "entropy", f"\n{table}\n")


def cuts(kodak: Path) -> None:
    """Put files cut short into measured.md: one picture in full, and the losses of all."""
    files = ("--csv", DOCS / "cuts.csv", "--png", DOCS / "cuts.png")
    run("-m", "tools.studies", "cuts", "--images", kodak / f"{PHOTO}.png", *files)
    put(
        DOCS / "measured.md", "cuts", f"\n{run('-m', 'tools.studies', 'cuts', '--images', kodak)}\n"
    )


def header_bytes(kodak: Path) -> None:
    """What stands before the first picture, in measured.md."""
    table = run("-m", "tools.header_bytes", "--images", kodak)
    put(DOCS / "measured.md", "header bytes", f"\n{table}\n")


def legibility(kodak: Path) -> None:
    """How much text survives, in evaluator.md."""
    table = run("rgru-eval", "legibility", "--png", DOCS / "legibility.png")
    put(DOCS / "evaluator.md", "legibility", f"\n{table}\n")


def speed(kodak: Path) -> None:
    """Put times into speed.md, and draw its plot."""
    what = ("--runs", 3, "--largest", "100e6", "--plot", DOCS / "speed.png")
    parts = [run("tools/speed.py", *what)]
    parts.append("\n".join(run("tools/paper.py").splitlines()[-2:]))  # TensorFlow says more
    parts.append("![Seconds a megapixel over megapixels](speed.png)")
    put(DOCS / "speed.md", "speed", "\n{}\n".format("\n\n".join(parts)))


def worst_cases(kodak: Path) -> None:
    """Put the costs of the most expensive files into SPEC.md."""
    put(ROOT / "format" / "SPEC.md", "worst cases", f"\n{run('-m', 'tools.worst_cases')}\n")


STEPS: dict[str, Callable[[Path], None]] = {
    step.__name__: step
    for step in (
        measure,
        rates,
        kinds,
        why,
        samples,
        animation,
        demo,
        grey,
        entropy,
        cuts,
        header_bytes,
        legibility,
        speed,
        worst_cases,
    )
}
OF_SHAPES = ("speed", "worst_cases")
"""Steps that other weights do not call for."""


def main() -> None:
    """Read the command line."""
    parser = argparse.ArgumentParser(description=(__doc__ or "").splitlines()[0])
    parser.add_argument("--kodak", type=Path, required=True, help="folder of the 24 pictures")
    parser.add_argument("--only", nargs="+", choices=STEPS)
    args = parser.parse_args()
    for name in args.only or [name for name in STEPS if name not in OF_SHAPES]:
        STEPS[name](args.kodak.resolve())


if __name__ == "__main__":
    main()
