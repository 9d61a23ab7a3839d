import json

import numpy as np
import pytest

from rgru_eval.codecs import ANCHORS, BASELINE
from rgru_eval.metrics import METRICS
from rgru_eval.published import JOHNSTON_2018, PUBLISHED, TODERICI_2017
from rgru_eval.results import Results
from rgru_eval.summary import (
    Crossing,
    area,
    bd_rate,
    interval,
    losses,
    rate_at,
    rates_table,
    rising,
    summarise,
    tabulate,
    text_table,
)

DB = METRICS["msssim_rgb"].scaled
# JPEG 4:2:0 with optimised tables, mean of the 24 Kodak pictures, q 5 .. 75
JPEG = (
    np.array([0.1408, 0.2101, 0.2555, 0.2982, 0.3587, 0.4491, 0.5334, 0.6101, 0.8692, 1.3443]),
    np.array([0.8072, 0.8728, 0.8943, 0.9094, 0.9276, 0.9457, 0.9561, 0.9632, 0.9769, 0.9866]),
)
PAPER = (np.array(TODERICI_2017.bpp), np.array(TODERICI_2017.msssim_rgb))


def made_up(factor=1.0, pictures=4, codec="other", spread=0.1):
    """Rows of a baseline and of a codec with ``factor`` times its rates."""
    metadata = {
        "baseline": BASELINE,
        "codecs": {BASELINE: {"label": "JPEG"}, codec: {"label": codec}},
        "images": [
            {"set": "s", "name": f"p{i}", "width": 100, "height": 80} for i in range(pictures)
        ],
    }
    rows = []
    for i in range(pictures):
        for name, times in ((BASELINE, 1.0), (codec, factor)):
            for setting in range(8):
                bpp = 0.06 * 2**setting * (1 + spread * i)
                row = {"kind": "file", "set": "s", "image": f"p{i}", "codec": name}
                quality = 1 - 10 ** (-(7 + 2.2 * setting) / 10)
                row |= {"setting": float(setting), "bytes": int(1000 * bpp * times)}
                row |= {"bpp": bpp * times, "msssim_rgb": quality, "msssim_luma": quality}
                rows.append(row | {"encode_s": 0.1, "decode_s": None})
    return Results(metadata, rows)


def test_area_of_the_published_curve_is_the_papers():
    assert area(TODERICI_2017.bpp, TODERICI_2017.msssim_rgb) == pytest.approx(1.8116, abs=5e-5)


def test_area_needs_the_low_end_of_the_range():
    assert area([0.2, 2.0], [0.9, 0.99]) is None
    assert area([0.125, 1.0], [0.9, 0.9]) == pytest.approx(0.9 * 1.875)  # the last value holds
    assert area([0.1, 2.1], [0.9, 0.9]) == pytest.approx(0.9 * 1.875)


def test_published_curves_rise():
    for paper in PUBLISHED:
        assert len(paper.bpp) == len(paper.msssim_rgb) == len(paper.psnr)
        assert list(paper.bpp) == sorted(paper.bpp)
        assert list(paper.msssim_rgb) == sorted(paper.msssim_rgb)
        assert list(paper.psnr) == sorted(paper.psnr)


def test_rates_of_known_curves():
    for target, want in ((0.90, 0.270), (0.95, 0.480), (0.98, 0.980)):
        assert rate_at(*JPEG, target).bpp == pytest.approx(want, rel=0.02)
    johnston = (np.array(JOHNSTON_2018.bpp), np.array(JOHNSTON_2018.msssim_rgb))
    for target, want in ((0.90, 0.113), (0.95, 0.259), (0.98, 0.649)):
        assert rate_at(*johnston, target).bpp == pytest.approx(want, rel=0.02)


def test_rates_off_the_ends_are_bounds():
    assert rate_at(*JPEG, 0.5) == Crossing(0.1408, "<")
    assert str(rate_at(*JPEG, 0.5)) == "<.14"
    assert rate_at(*JPEG, 0.999) == Crossing(1.3443, ">")
    assert str(Crossing(0.2701)) == ".270"
    assert str(Crossing(1.25)) == "1.250"


def test_rate_is_linear_in_log_bpp_over_db():
    bpp, quality = np.array([0.1, 0.4]), np.array([0.9, 0.99])
    assert rate_at(bpp, quality, 1 - 10**-1.5).bpp == pytest.approx(0.2)


def test_bd_rate_of_half_the_rate_is_minus_fifty_percent():
    value, low, high = bd_rate(JPEG, (JPEG[0] / 2, JPEG[1]))
    assert value == pytest.approx(-50, abs=1e-6)
    assert (low, high) == pytest.approx((0.8072, 0.9866))


def test_bd_rate_of_the_paper_against_optimised_jpeg():
    value, _, _ = bd_rate(JPEG, PAPER)
    assert value == pytest.approx(-4, abs=1)


def test_bd_rate_equals_an_independent_integration():
    """Mean horizontal distance of log rates over the common range, by piecewise-linear curves."""
    grid = np.linspace(DB(JPEG[1])[0] + 0.3, DB(JPEG[1])[-1] - 0.05, 2000)
    rates = [np.interp(grid, DB(q), np.log(r)) for r, q in (JPEG, PAPER)]
    plain = 100 * (np.exp(np.mean(rates[1] - rates[0])) - 1)
    value, _, _ = bd_rate(JPEG, PAPER)
    assert value == pytest.approx(plain, abs=1.5)


def test_bd_rate_without_overlap_is_none():
    low = (np.array([0.1, 0.2, 0.4]), np.array([0.5, 0.6, 0.7]))
    assert bd_rate(JPEG, low) is None
    assert bd_rate(JPEG, (JPEG[0][:2], JPEG[1][:2])) is None


def test_rising_drops_what_got_worse():
    bpp, quality = rising(np.array([1.0, 2, 3, 4]), np.array([0.5, 0.7, 0.6, 0.8]))
    assert list(bpp) == [1, 2, 4]
    assert list(quality) == [0.5, 0.7, 0.8]


def test_summary_of_a_codec_with_three_quarters_of_the_rate():
    base, entry = summarise(made_up(0.75), "s")
    assert base["msssim_rgb"]["bd"][BASELINE]["percent"] == pytest.approx(0, abs=1e-6)
    for rate in entry["msssim_rgb"]["rates"].values():
        assert rate["change"] == pytest.approx(-0.25)
        assert rate["interval"] == pytest.approx([-0.25, -0.25])
        assert (rate["wins"], rate["decided"]) == (4, 4)
    assert entry["msssim_rgb"]["bd"][BASELINE]["percent"] == pytest.approx(-25, abs=0.01)
    assert entry["msssim_rgb"]["bd"][BASELINE]["interval"] == pytest.approx([-25, -25], abs=0.01)
    assert entry["encode_mps"] == pytest.approx(0.08)
    assert entry["decode_mps"] is None


def test_interval_widens_when_pictures_differ():
    results = made_up(1.0)
    for row in results.rows:
        if row["codec"] == "other" and row["image"] in ("p0", "p1"):
            row["bpp"] *= 0.5
    _, entry = summarise(results, "s")
    low, high = entry["msssim_rgb"]["rates"]["0.95"]["interval"]
    assert low < entry["msssim_rgb"]["rates"]["0.95"]["change"] < high
    assert high - low > 0.1
    assert tuple(entry["msssim_rgb"]["rates"]["0.95"][k] for k in ("wins", "decided")) == (2, 2)


def test_bounds_can_win():
    results = made_up(1.0)
    results.rows = [r for r in results.rows if r["codec"] != "other" or r["setting"] > 2]
    for row in results.rows:
        if row["codec"] == "other":
            row["bpp"] *= 0.2
    _, entry = summarise(results, "s")
    rate = entry["msssim_rgb"]["rates"]["0.9"]
    assert rate["bound"] == "<"
    assert "change" not in rate
    assert (rate["wins"], rate["decided"]) == (4, 4)


def test_pictures_on_which_a_codec_failed_are_left_out():
    results = made_up(0.5)
    dropped = next(r for r in results.rows if r["codec"] == "other" and r["setting"] == 3)
    results.rows.remove(dropped)
    assert tabulate(results, "s", "other", "msssim_rgb").images == ("s/p1", "s/p2", "s/p3")
    _, entry = summarise(results, "s")
    assert entry["pictures"] == 3
    assert entry["msssim_rgb"]["rates"]["0.95"]["change"] == pytest.approx(-0.5)


def test_one_picture_has_no_interval():
    _, entry = summarise(made_up(0.5, pictures=1), "s")
    assert entry["msssim_rgb"]["rates"]["0.95"]["interval"] is None
    assert entry["msssim_rgb"]["bd"][BASELINE]["interval"] is None
    assert interval([1.0] * 5) is None


AVIF = ANCHORS[2]


def behind_avif() -> Results:
    """A codec that needs three quarters of JPEG's rate, and AVIF half of it."""
    ours, theirs = made_up(0.75, codec="rgru"), made_up(0.5, codec=AVIF)
    ours.metadata["codecs"]["rgru"] |= {"label": "rgru", "versions": {"model": "0badcafe"}}
    ours.metadata["codecs"][AVIF] = {"label": "AVIF speed 4", "versions": {}}
    ours.metadata["codecs"][BASELINE]["versions"] = {}
    ours.rows += [row for row in theirs.rows if row["codec"] == AVIF]
    return ours


def test_a_loss_is_told_with_metric_and_anchor():
    assert losses(behind_avif(), "s") == [
        "RGB MS-SSIM: rgru needs 50 % more bits than AVIF speed 4.",
        "luma MS-SSIM: rgru needs 50 % more bits than AVIF speed 4.",
    ]


def test_a_loss_at_some_qualities_is_told_though_the_bd_rate_is_a_gain():
    results = behind_avif()
    for row in results.rows:
        if row["codec"] == "rgru" and row["msssim_rgb"] > 0.973:
            row["bpp"] *= 1.4
    assert losses(results, "s")[0].startswith(
        "RGB MS-SSIM: rgru needs more bits than JPEG at 0.98;"
    )


def test_the_table_for_a_page_names_metric_and_anchors():
    heads, _, *rows = rates_table(behind_avif(), "s").splitlines()
    assert "BD-rate against JPEG" in heads
    assert "BD-rate against AVIF speed 4" in heads
    assert rows[0].startswith("| **RGB MS-SSIM** | at 0.9 | at 0.95 | at 0.98 |")
    assert [row.endswith("| -25 % | +50 % |") for row in rows].count(True) == 2
    assert len(rates_table(behind_avif(), "s", ["rgru"]).splitlines()) == 6


def test_summary_without_the_baseline():
    results = made_up(0.5)
    results.rows = [r for r in results.rows if r["codec"] == "other"]
    (entry,) = summarise(results, "s")
    assert entry["msssim_rgb"]["bd"] == {}
    assert "change" not in entry["msssim_rgb"]["rates"]["0.95"]
    assert "n/a" in text_table(results)


def test_text_table():
    text = text_table(made_up(0.75), "s")
    assert "s: 4 pictures" in text
    assert "(-25.0 %)" in text
    assert "4/4 4/4 4/4" in text
    assert text_table(Results()) == "no rows to summarise"


def test_the_summary_is_json():
    json.dumps(summarise(made_up(0.75), "s"), allow_nan=False)
