"""The known numbers of the Kodak pictures, measured anew. Needs RGRU_KODAK=<folder>; minutes."""

from __future__ import annotations

import os
from pathlib import Path

import pytest

from rgru_eval.judge.curves import Crossing, tabulate
from rgru_eval.judge.metrics import GROUPS
from rgru_eval.measure.pictures import find_pictures
from rgru_eval.measure.run import Order, run
from rgru_eval.results import Results

RESULTS = sorted((Path(__file__).parents[2] / "eval" / "results").glob("kodak*.json"))
BASELINE = "jpeg:subsampling=420,optimize"

# bpp at RGB MS-SSIM .90 .95 .98: 24 pictures, Pillow 13, whole files; None = not reached below
Known = dict[str, tuple[float | None, ...]]
KNOWN: Known = {
    BASELINE: (0.270, 0.480, 0.980),
    "jpeg:subsampling=420": (0.340, 0.538, 1.012),
    "jpeg:subsampling=420,optimize,progressive": (0.283, 0.489, 0.972),
    "jpeg:subsampling=444,optimize": (0.316, 0.514, 0.950),
    "webp:method=4": (None, 0.361, 0.866),
    "avif:speed=4,subsampling=444": (None, 0.214, 0.521),
    "avif:speed=6,subsampling=444": (None, 0.225, 0.558),
    "jpeg2000": (0.147, 0.365, 0.882),
    "jxl:effort=7": (None, 0.334, 0.776),
}
KNOWN_LUMA: Known = {BASELINE: (0.192, 0.332, 0.626), "jpeg:subsampling=420": (0.269, 0.398, 0.675)}


def rates(results: Results, codec: str, metric: str) -> list[Crossing]:
    table = tabulate(results, None, [metric])[codec, metric]
    return [table.rate_at(target) for target in (0.90, 0.95, 0.98)]


def check(results: Results, known: Known, metric: str, tolerance: float) -> None:
    for codec, wanted in known.items():
        found = rates(results, codec, metric)
        for rate, value in zip(found, wanted, strict=True):
            if value is not None:
                assert rate.bound == "", codec
                assert rate.bpp == pytest.approx(value, rel=tolerance), codec


@pytest.mark.skipif("RGRU_KODAK" not in os.environ, reason="RGRU_KODAK names no Kodak folder")
def test_jpeg_on_kodak_measured_now(tmp_path: Path) -> None:
    folder = os.environ["RGRU_KODAK"]
    assert len(find_pictures([folder])) == 24, "RGRU_KODAK must hold the 24 pictures and no others"
    specs = ("jpeg:optimize,q=5+8+10+12+20+25+40+50+75", "jpeg:q=5+8+10+12+20+25+40+50+75")
    results = run(Order((folder,), specs, tmp_path / "k.json", ("msssim",), prefixes=False))
    ladder = ",q=5+8+10+12+20+25+40+50+75"
    check(results, {c + ladder: KNOWN[c] for c in list(KNOWN)[:2]}, "msssim_rgb", 0.02)
    check(results, {c + ladder: v for c, v in KNOWN_LUMA.items()}, "msssim_luma", 0.02)


@pytest.mark.skipif(not RESULTS, reason="no committed results in this copy")
def test_committed_results_agree_with_what_is_known() -> None:
    from rgru_eval.results import load_all

    results = load_all(RESULTS)
    assert len(results.metadata["images"]) == 24
    check(results, {BASELINE: KNOWN[BASELINE]}, "msssim_rgb", 0.02)
    check(results, KNOWN, "msssim_rgb", 0.03)
    check(results, KNOWN_LUMA, "msssim_luma", 0.02)
    files = [row for row in results.rows if row["kind"] == "file" and row["codec"] in KNOWN]
    groups = ("msssim", "ssimulacra2", "psnr", "ssim")
    names = {name for group in groups for name in GROUPS[group]}
    assert all(row[name] is not None for row in files for name in names)
