from __future__ import annotations

import json
from typing import Any

import numpy as np
import pytest

from rgru_eval.judge.curves import (
    Crossing,
    Group,
    area,
    groups,
    rate_at,
    received,
    rising,
    rows_of,
    tabulate,
)
from rgru_eval.judge.metrics import METRICS, Floats
from rgru_eval.judge.published import JOHNSTON_2018, PUBLISHED, TODERICI_2017
from rgru_eval.judge.statistics import anchors, bd_rate, extremes, interval, losses, summarise
from rgru_eval.measure.codecs import ANCHORS, BASELINE
from rgru_eval.results import Results
from rgru_eval.show.tables import by_group, failures, page_rates, text

DB = METRICS["msssim_rgb"].scaled
# JPEG 4:2:0 with optimised tables, mean of the 24 Kodak pictures, q 5 .. 75
JPEG = (
    np.array([0.1408, 0.2101, 0.2555, 0.2982, 0.3587, 0.4491, 0.5334, 0.6101, 0.8692, 1.3443]),
    np.array([0.8072, 0.8728, 0.8943, 0.9094, 0.9276, 0.9457, 0.9561, 0.9632, 0.9769, 0.9866]),
)
PAPER = (np.array(TODERICI_2017.bpp), np.array(TODERICI_2017.msssim_rgb))


def made_up(
    factor: float = 1.0, pictures: int = 4, codec: str = "other", spread: float = 0.1
) -> Results:
    """Rows of a baseline and of a codec with ``factor`` times its rates."""
    metadata = {
        "baseline": BASELINE,
        "codecs": {name: {"label": name, "versions": {}} for name in (BASELINE, codec)},
        "images": [
            {"set": "s", "name": f"p{i}", "width": 100, "height": 80} for i in range(pictures)
        ],
    }
    rows = []
    for i in range(pictures):
        for name, times in ((BASELINE, 1.0), (codec, factor)):
            for setting in range(8):
                bpp = 0.06 * 2**setting * (1 + spread * i)
                row: dict[str, Any] = {"kind": "file", "set": "s", "image": f"p{i}", "codec": name}
                quality = 1 - 10 ** (-(7 + 2.2 * setting) / 10)
                row |= {"setting": float(setting), "bytes": int(1000 * bpp * times)}
                row |= {"bpp": bpp * times, "msssim_rgb": quality, "msssim_luma": quality}
                rows.append(row | {"encode_s": 0.1, "decode_s": None})
    return Results(metadata, rows)


def test_area_of_the_published_curve_is_the_papers() -> None:
    assert area(TODERICI_2017.bpp, TODERICI_2017.msssim_rgb) == pytest.approx(1.8116, abs=5e-5)


def test_area_needs_the_low_end_of_the_range() -> None:
    assert area([0.2, 2.0], [0.9, 0.99]) is None
    assert area([0.125, 1.0], [0.9, 0.9]) == pytest.approx(0.9 * 1.875)  # the last value holds
    assert area([0.1, 2.1], [0.9, 0.9]) == pytest.approx(0.9 * 1.875)


def test_published_curves_rise() -> None:
    for paper in PUBLISHED:
        assert len(paper.bpp) == len(paper.msssim_rgb) == len(paper.psnr)
        assert list(paper.bpp) == sorted(paper.bpp)
        assert list(paper.msssim_rgb) == sorted(paper.msssim_rgb)
        assert list(paper.psnr) == sorted(paper.psnr)


def test_rates_of_known_curves() -> None:
    for target, want in ((0.90, 0.270), (0.95, 0.480), (0.98, 0.980)):
        assert rate_at(*JPEG, target).bpp == pytest.approx(want, rel=0.02)
    johnston = (np.array(JOHNSTON_2018.bpp), np.array(JOHNSTON_2018.msssim_rgb))
    for target, want in ((0.90, 0.113), (0.95, 0.259), (0.98, 0.649)):
        assert rate_at(*johnston, target).bpp == pytest.approx(want, rel=0.02)


def test_rates_off_the_ends_are_bounds() -> None:
    assert rate_at(*JPEG, 0.5) == Crossing(0.1408, "<")
    assert str(rate_at(*JPEG, 0.5)) == "<.14"
    assert rate_at(*JPEG, 0.999) == Crossing(1.3443, ">")
    assert str(Crossing(0.2701)) == ".270"
    assert str(Crossing(1.25)) == "1.250"


def test_rate_is_linear_in_log_bpp_over_db() -> None:
    bpp, quality = np.array([0.1, 0.4]), np.array([0.9, 0.99])
    assert rate_at(bpp, quality, 1 - 10**-1.5).bpp == pytest.approx(0.2)


def found_bd_rate(test: tuple[Floats, Floats]) -> tuple[float, float, float]:
    found = bd_rate(JPEG, test)
    assert found is not None
    return found


def test_bd_rate_of_half_the_rate_is_minus_fifty_percent() -> None:
    value, low, high = found_bd_rate((JPEG[0] / 2, JPEG[1]))
    assert value == pytest.approx(-50, abs=1e-6)
    assert (low, high) == pytest.approx((0.8072, 0.9866))


def test_bd_rate_of_the_paper_against_optimised_jpeg() -> None:
    value, _, _ = found_bd_rate(PAPER)
    assert value == pytest.approx(-4, abs=1)


def test_bd_rate_equals_an_independent_integration() -> None:
    """Mean horizontal distance of log rates over the common range, by piecewise-linear curves."""
    grid = np.linspace(DB(JPEG[1])[0] + 0.3, DB(JPEG[1])[-1] - 0.05, 2000)
    rates = [np.interp(grid, DB(q), np.log(r)) for r, q in (JPEG, PAPER)]
    plain = 100 * (np.exp(np.mean(rates[1] - rates[0])) - 1)
    value, _, _ = found_bd_rate(PAPER)
    assert value == pytest.approx(plain, abs=1.5)


def test_bd_rate_without_overlap_is_none() -> None:
    low = (np.array([0.1, 0.2, 0.4]), np.array([0.5, 0.6, 0.7]))
    assert bd_rate(JPEG, low) is None
    assert bd_rate(JPEG, (JPEG[0][:2], JPEG[1][:2])) is None


def test_rising_drops_what_got_worse() -> None:
    bpp, quality = rising(np.array([1.0, 2, 3, 4]), np.array([0.5, 0.7, 0.6, 0.8]))
    assert list(bpp) == [1, 2, 4]
    assert list(quality) == [0.5, 0.7, 0.8]


def test_summary_of_a_codec_with_three_quarters_of_the_rate() -> None:
    base, entry = summarise(made_up(0.75))
    assert base["msssim_rgb"]["bd"][BASELINE]["percent"] == pytest.approx(0, abs=1e-6)
    for rate in entry["msssim_rgb"]["rates"].values():
        assert rate["change"] == pytest.approx(-0.25)
        assert rate["interval"] == pytest.approx([-0.25, -0.25])
        assert (rate["wins"], rate["decided"]) == (4, 4)
    assert entry["msssim_rgb"]["bd"][BASELINE]["percent"] == pytest.approx(-25, abs=0.01)
    assert entry["msssim_rgb"]["bd"][BASELINE]["interval"] == pytest.approx([-25, -25], abs=0.01)
    assert entry["encode_mps"] == pytest.approx(0.08)
    assert entry["decode_mps"] is None


def test_interval_widens_when_pictures_differ() -> None:
    results = made_up(1.0)
    for row in results.rows:
        if row["codec"] == "other" and row["image"] in ("p0", "p1"):
            row["bpp"] *= 0.5
    _, entry = summarise(results)
    low, high = entry["msssim_rgb"]["rates"]["0.95"]["interval"]
    assert low < entry["msssim_rgb"]["rates"]["0.95"]["change"] < high
    assert high - low > 0.1
    assert tuple(entry["msssim_rgb"]["rates"]["0.95"][k] for k in ("wins", "decided")) == (2, 2)


def test_bounds_can_win() -> None:
    results = made_up(1.0)
    results.rows = [r for r in results.rows if r["codec"] != "other" or r["setting"] > 2]
    for row in results.rows:
        if row["codec"] == "other":
            row["bpp"] *= 0.2
    _, entry = summarise(results)
    rate = entry["msssim_rgb"]["rates"]["0.9"]
    assert rate["bound"] == "<"
    assert "change" not in rate
    assert (rate["wins"], rate["decided"]) == (4, 4)


def test_pictures_on_which_a_codec_failed_are_left_out() -> None:
    results = made_up(0.5)
    dropped = next(r for r in results.rows if r["codec"] == "other" and r["setting"] == 3)
    results.rows.remove(dropped)
    assert tabulate(results)["other", "msssim_rgb"].images == ("s/p1", "s/p2", "s/p3")
    _, entry = summarise(results)
    assert entry["pictures"] == 3
    assert entry["msssim_rgb"]["rates"]["0.95"]["change"] == pytest.approx(-0.5)


def test_a_codec_that_failed_at_another_setting_of_each_picture_stays_in_the_tables() -> None:
    results = made_up(0.5)
    for image, setting in (("p0", 3), ("p1", 5), ("p2", 3), ("p3", 7)):
        results.rows = [
            row
            for row in results.rows
            if (row["codec"], row["image"], row["setting"]) != ("other", image, setting)
        ]
        note = {"what": "task", "name": f"other on s/{image}", "why": f"at quality {setting}: no"}
        results.metadata["skipped"].append(note)
    assert tabulate(results)["other", "msssim_rgb"].images == ("s/p0", "s/p2")
    assert "other (without 2 pictures)" in text(results, groups(results)[0])
    line = "skipped task other on s/p0: at quality 3: no (3 more of this codec)"
    assert failures(results) == [line]


def test_one_picture_has_no_interval() -> None:
    _, entry = summarise(made_up(0.5, pictures=1))
    assert entry["msssim_rgb"]["rates"]["0.95"]["interval"] is None
    assert entry["msssim_rgb"]["bd"][BASELINE]["interval"] is None
    assert interval([1.0] * 5) is None


AVIF = ANCHORS[2]


def behind_avif() -> Results:
    """A codec that needs three quarters of JPEG's rate, and AVIF half of it."""
    ours, theirs = made_up(0.75, codec="rgru"), made_up(0.5, codec=AVIF)
    ours.metadata["codecs"]["rgru"] |= {"label": "rgru", "versions": {"model": "0badcafe"}}
    ours.metadata["codecs"][AVIF] = {"label": "AVIF speed 4", "versions": {}}
    ours.metadata["codecs"][BASELINE]["label"] = "JPEG"
    ours.rows += [row for row in theirs.rows if row["codec"] == AVIF]
    return ours


def lost(results: Results) -> list[str]:
    return losses(results, summarise(results, intervals=False))


def test_a_loss_is_told_with_metric_and_anchor() -> None:
    assert lost(behind_avif()) == [
        "RGB MS-SSIM: rgru needs 50 % more bits than AVIF speed 4.",
        "luma MS-SSIM: rgru needs 50 % more bits than AVIF speed 4.",
    ]


def test_anchors_with_settings_of_their_own_stay_anchors() -> None:
    results = behind_avif()
    own = f"{AVIF},q=20+50"
    results.metadata["codecs"][own] = results.metadata["codecs"].pop(AVIF)
    for row in results.rows:
        row["codec"] = own if row["codec"] == AVIF else row["codec"]
    assert anchors(results) == [BASELINE, own]
    assert lost(results) == lost(behind_avif())


def test_a_loss_at_some_qualities_is_told_though_the_bd_rate_is_a_gain() -> None:
    results = behind_avif()
    for row in results.rows:
        if row["codec"] == "rgru" and row["msssim_rgb"] > 0.973:
            row["bpp"] *= 1.4
    assert lost(results)[0].startswith("RGB MS-SSIM: rgru needs more bits than JPEG at 0.98,")


def test_the_table_for_a_page_names_metric_and_anchors() -> None:
    heads, _, *rows = page_rates(behind_avif()).splitlines()
    assert "BD-rate against JPEG" in heads
    assert "BD-rate against AVIF speed 4" in heads
    assert rows[0].startswith("| **RGB MS-SSIM** | at 0.9 | at 0.95 | at 0.98 |")
    assert [row.endswith("| -25 % | +50 % |") for row in rows].count(True) == 2
    assert len(page_rates(behind_avif(), codecs=["rgru"]).split("\n\n")[0].splitlines()) == 6


def test_summary_without_the_baseline() -> None:
    results = made_up(0.5)
    results.rows = [r for r in results.rows if r["codec"] == "other"]
    (entry,) = summarise(results)
    assert entry["msssim_rgb"]["bd"] == {}
    assert "change" not in entry["msssim_rgb"]["rates"]["0.95"]
    assert "n/a" in text(results, groups(results)[0])


def test_text_table() -> None:
    shown = text(made_up(0.75), groups(made_up())[0])
    assert "s: 4 pictures" in shown
    assert shown.count("-25 % [-25, -25]") == 6
    assert "-25.0 % [-25.0, -25.0]" in shown
    assert "4/4 · 4/4 · 4/4" in shown
    assert text(Results(), Group("s", ())) == "no rows to summarise"


def test_the_summary_is_json() -> None:
    json.dumps(summarise(made_up(0.75)), allow_nan=False)


def of_kinds() -> Results:
    """Two sets, one of which has pictures of two kinds."""
    results = behind_avif()
    for about, kind in zip(results.metadata["images"], ("art", "people", "art", ""), strict=True):
        about["kind"] = kind
    second = json.loads(json.dumps(results.metadata["images"][:2]))
    results.metadata["images"] += [about | {"set": "t", "kind": ""} for about in second]
    rows = [row | {"set": "t"} for row in results.rows if row["image"] in ("p0", "p1")]
    for row in rows:
        row["bpp"] *= 0.5 if row["codec"] == "rgru" else 1
    results.rows += rows
    return results


def test_pictures_are_judged_by_set_and_by_kind() -> None:
    results = of_kinds()
    titles = ["s", "s: art", "s: people", "s: no kind", "t", "all pictures"]
    assert [group.title for group in groups(results)] == titles
    assert [len(group.images) for group in groups(results)] == [4, 2, 1, 1, 2, 6]
    summaries = {g.title: summarise(results, g, intervals=False) for g in groups(results)}
    frame = by_group(results, summaries, "msssim_rgb")
    assert list(frame["pictures"]) == ["4", "2", "1", "1", "2", "6"]
    assert list(frame["rgru against JPEG"][:5]) == ["-25.0 %"] * 4 + ["-62.5 %"]


def test_the_pictures_of_largest_gain_and_loss_are_found() -> None:
    results = made_up(1.0)
    for row in results.rows:
        if row["codec"] == "other":
            row["bpp"] *= {"p0": 2.0, "p1": 0.5, "p2": 1.0, "p3": 1.1}[row["image"]]
    found = extremes(results, "other", BASELINE, "msssim_rgb")
    assert [image for image, _ in found] == ["s/p1", "s/p2", "s/p3", "s/p0"]
    assert [percent for _, percent in found] == pytest.approx([-50, 0, 10, 100], abs=0.1)
    assert extremes(results, "other", "nobody", "msssim_rgb") == []


def test_less_colour_difference_is_better() -> None:
    results = made_up(0.5)
    for row in results.rows:
        row["colour_mean"] = 4 / (1 + row["setting"])
    colour = METRICS["colour_mean"]
    table = tabulate(results)["other", "colour_mean"]
    assert table.rate_at(2).bpp == pytest.approx(table.mean()[0][1])
    assert rate_at(*table.mean(), 9, colour).bound == "<"
    assert rate_at(*table.mean(), 0.1, colour).bound == ">"
    entry = summarise(results, intervals=False)[1]
    assert entry["colour_mean"]["bd"][BASELINE]["percent"] == pytest.approx(-50)
    assert entry["colour_mean"]["rates"]["2"]["wins"] == 4


def test_bd_rate_is_that_of_the_bjontegaard_package() -> None:
    package = pytest.importorskip("bjontegaard")
    for factor in (0.6, 1.0, 1.7):
        test = (PAPER[0] * factor, PAPER[1])
        wanted = package.bd_rate(
            JPEG[0],
            DB(JPEG[1]),
            test[0],
            DB(test[1]),
            method="akima",
            require_matching_points=False,
            min_overlap=0,
        )
        assert found_bd_rate(test)[0] == pytest.approx(wanted, abs=1e-9)


def test_a_whole_file_keeps_its_quality_while_others_arrive() -> None:
    results = made_up(pictures=2)
    for image, sizes in (("p0", (0.1, 0.2)), ("p1", (0.1, 0.2, 0.4))):
        for size in sizes:
            row = {"kind": "prefix", "set": "s", "image": image, "codec": "other", "setting": 1.0}
            results.rows.append(row | {"bytes": 1000 * size, "bpp": size, "msssim_rgb": size})
    rows = rows_of(results, "prefix")
    bpps, means = received(rows, "msssim_rgb", (0.05, 0.1, 0.2, 0.4, 0.8))
    assert bpps == [0.1, 0.2, 0.4]
    assert means == pytest.approx([0.1, 0.2, 0.3])
