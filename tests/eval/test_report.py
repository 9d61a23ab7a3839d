from __future__ import annotations

import base64
import json
import re
import shutil
import subprocess
from collections.abc import Iterator
from pathlib import Path
from typing import Any
from urllib.parse import quote

import numpy as np
import pytest
from PIL import Image

from rgru_codec.models import default_model
from rgru_eval.errors import EvalError
from rgru_eval.judge import statistics
from rgru_eval.judge.curves import groups, tabulate
from rgru_eval.judge.published import is_kodak
from rgru_eval.measure import run, tasks
from rgru_eval.measure.builtin import Jpeg
from rgru_eval.measure.rgru import Rgru
from rgru_eval.measure.run import Order
from rgru_eval.results import Results, load_results
from rgru_eval.show.plots import write_plots
from rgru_eval.show.report import ReportOrder, build_page, write_report
from rgru_eval.show.tables import page_rates
from rgru_eval.show.viewer import choose, worst_block

BASE = "jpeg:subsampling=420,optimize,q=3+8+15+30+60+90"
CODECS = "jpeg:optimize,q=3+8+15+30+60+90,jpeg:progressive,q=3+8+15+30+60+90,webp:q=0+5+20+50+90"
BROWSERS = ("chromium", "chromium-browser", "google-chrome", "chrome")
FLAGS = """
--headless --no-sandbox --disable-gpu --disable-quic --no-first-run --hide-scrollbars
--disable-background-networking --disable-component-update --disable-sync
--enable-logging=stderr --window-size=1200,5400 --virtual-time-budget=4000
"""


@pytest.fixture(scope="module", autouse=True)
def few_draws() -> Iterator[None]:
    """Intervals of few draws: what they are worth is a matter of test_summary.py."""
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(statistics, "BD_DRAWS", 25)
        yield


@pytest.fixture(scope="module")
def measured(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A results file of two pictures of different kinds, with rgru."""
    data = pytest.importorskip("skimage.data")
    home = tmp_path_factory.mktemp("report")
    photos = home / "photos"
    photos.mkdir()
    Image.fromarray(data.astronaut()[20:196, 130:322]).save(photos / "face.png")
    Image.fromarray(data.coffee()[100:270, 200:370]).save(photos / "cup.png")
    (photos / "manifest.csv").write_text("file,kind\nface.png,people\ncup.png,things\n")
    metrics = ("msssim", "psnr", "colour")
    order = Order((str(photos),), (CODECS, "rgru"), home / "r.json", metrics, jobs=1)
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(run, "_measure_memory", lambda *arguments: None)
        run.run(order)
    tasks.forget()
    return home / "r.json"


def order_for(measured: Path, tmp_path: Path, **changes: Any) -> ReportOrder:
    values: dict[str, Any] = {"results": (measured,), "output": tmp_path / "r.html"}
    return ReportOrder(**(values | {"jobs": 1} | changes))


@pytest.fixture(scope="module")
def page(measured: Path, tmp_path_factory: pytest.TempPathFactory) -> Path:
    out = tmp_path_factory.mktemp("page")
    write_report(order_for(measured, out, png=out / "png", against=BASE))
    return out / "r.html"


def payload(page: Path) -> Any:
    text = page.read_text("utf-8")
    found = re.search(r'id="data">(.*?)</script>', text, re.DOTALL)
    assert found
    return json.loads(found[1])


def test_the_page_needs_no_network(page: Path) -> None:
    text = page.read_text("utf-8")
    outside = re.sub(r'<script type="application/json".*?</script>', "", text, flags=re.DOTALL)
    links = re.findall(r"(?:src|href)\s*=\s*[\"'](.*?)[\"']", outside)
    assert all(link.startswith(("data:", "#")) for link in links)
    assert "url(http" not in text
    assert "@import" not in text
    addresses = set(re.findall(r"https?://[^\s\"'<]+", outside))
    assert addresses == {"http://www.w3.org/2000/svg"}  # a name, not a place


def test_every_picture_is_there_in_each_codec_near_one_quality(page: Path) -> None:
    data = payload(page)
    assert sorted(p["id"] for p in data["pictures"]) == ["photos/cup", "photos/face"]
    for picture in data["pictures"]:
        assert set(picture["views"]) == {c["id"] for c in data["codecs"]}
        ours, theirs = (shown(picture, c) for c in ("rgru", BASE))
        for text, a, b in zip(picture["targets"], ours, theirs, strict=True):
            if text.startswith("RGB MS-SSIM"):
                assert (
                    text == f"RGB MS-SSIM {a['msssim']:.4f}"
                )  # the others come near to its layers
                assert b["msssim"] == pytest.approx(a["msssim"], abs=0.06)
        assert picture["original"].startswith("data:image/webp;base64,")
        assert theirs[0]["uri"].startswith("data:image/jpeg;base64,")
        assert all(len(view["worst"]) == 3 for view in (*ours, *theirs))
    received = data["pictures"][0]["received"]
    assert len(received) == 2
    assert all(step["bytes"] < step["total"] for steps in received.values() for step in steps)


def shown(picture: dict[str, Any], codec: str) -> list[dict[str, Any]]:
    return [picture["files"][codec][setting] for setting in picture["views"][codec]]


def test_the_files_that_were_measured_are_shown_without_encoding(
    measured: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    def refuse(self: object, image: object, setting: float) -> bytes:
        raise AssertionError("encoded again")

    tasks.forget()
    monkeypatch.setattr(Jpeg, "encode", refuse)
    monkeypatch.setattr(Rgru, "check", lambda self: None)
    monkeypatch.setattr(Rgru, "encode", refuse)
    order = order_for(measured, tmp_path, pictures="face")
    write_report(order)
    (picture,) = payload(order.output)["pictures"]
    assert {"rgru", BASE} <= set(picture["views"])
    uri = shown(picture, BASE)[0]["uri"]
    files = (measured.parent / "r.json.files" / "photos" / "face").iterdir()
    assert base64.b64decode(uri.partition(",")[2]) in [path.read_bytes() for path in files]


def test_files_that_were_not_kept_are_made_again(measured: Path, tmp_path: Path) -> None:
    alone = tmp_path / "alone.json"
    shutil.copy(measured, alone)
    photos = str(measured.parent / "photos")
    write_report(order_for(alone, tmp_path, images=(photos,), pictures="face"))
    (here,) = payload(tmp_path / "r.html")["pictures"]
    write_report(order_for(measured, tmp_path, pictures="face"))
    assert here == payload(tmp_path / "r.html")["pictures"][0]


def test_the_worst_block_is_where_the_error_is() -> None:
    image, other = Image.new("RGB", (100, 90), "grey"), Image.new("RGB", (100, 90), "grey")
    other.paste("red", (70, 40, 90, 60))
    assert worst_block(image, other) == (64, 32, 32)
    assert worst_block(image.resize((5, 3)), other.resize((5, 3))) == (0, 0, 3)


def test_chart_and_table_agree_when_a_codec_fails_at_one_setting(measured: Path) -> None:
    results = load_results(measured)
    lost = next(r for r in results.rows if r["codec"] == "rgru" and r["setting"] == 2)
    results.rows.remove(lost)
    text = build_page(results, [])
    found = re.search(r'id="data">(.*?)</script>', text, re.DOTALL)
    assert found
    curve = json.loads(found[1])["groups"][0]["curves"]["msssim_rgb"]["rgru"]["setting"]
    table = tabulate(results, groups(results)[0])["rgru", "msssim_rgb"]
    assert len(table.images) == 1
    assert [p[0] for p in curve] == pytest.approx(list(table.mean()[0]), abs=1e-5)
    assert [p[1] for p in curve] == pytest.approx(list(table.mean()[1]), abs=1e-6)
    assert "rgru (without 1 picture)" in text


def test_claims_name_metric_and_set(measured: Path) -> None:
    results = load_results(measured)
    lead = re.search(r'class="lead">(.*?)</p>', build_page(results, []))
    assert lead
    # of the whole set, though rows of its kinds come after it
    assert lead[1].startswith("Bits per pixel for an RGB MS-SSIM of .95, mean of photos: rgru .")
    assert lead[1].endswith("4 codecs, 2 pictures, whole files.")


def test_every_table_names_its_pictures(page: Path) -> None:
    text = page.read_text("utf-8")
    parts = text.split("<div data-group=")[1:]
    assert parts
    for part in parts:
        assert re.match(r'"(photos[\w: ]*)"( hidden)?><h3>\1, \d pictures?</h3>', part), part[:200]
    assert "BD-rate by set and kind" in text


def test_losses_and_gains_of_single_pictures_are_linked(page: Path) -> None:
    text = page.read_text("utf-8")
    assert "Largest losses and gains of rgru against JPEG 4:2:0 optimised" in text
    links = re.findall(r'<a href="#view-picture=(photos/\w+)&amp;view-a=(.*?)&amp;', text)
    assert {picture for picture, _ in links} == {"photos/cup", "photos/face"}
    assert {codec for _, codec in links} == {quote(BASE)}


def test_a_codec_to_be_held_against_can_be_chosen(measured: Path, tmp_path: Path) -> None:
    order = order_for(measured, tmp_path, against="webp:q=0+5+20+50+90", pictures="0")
    write_report(order)
    assert "Largest losses and gains of rgru against WebP method 4" in order.output.read_text(
        "utf-8"
    )
    with pytest.raises(EvalError, match="--against avif: not among the results"):
        write_report(order_for(measured, tmp_path, against="avif", pictures="0"))


def test_tables_and_method_are_in_the_page(page: Path) -> None:
    text = page.read_text("utf-8")
    for words in (
        "JPEG 4:2:0 optimised",
        "photos: people",
        "bpp at 0.95",
        "1.8116",
        f"model {default_model().id.hex()}",
        "without metadata, for every codec alike",
        "subsampling=420, optimize=True, progressive=False",
        "CIEDE2000",
        "rgru-eval run --set photos",
        "arXiv 1608.05148",
        "AUC of one file",
        "ITU-R 601",
    ):
        assert words in text, words


def test_plots(page: Path) -> None:
    files = list((page.parent / "png").iterdir())
    names = {"photos-curves.png", "photos-rates.png", "photos-received.png"}
    assert {p.name for p in files} == names
    for path in files:
        with Image.open(path) as picture:
            assert picture.width > 1000


def test_texts_of_a_results_file_cannot_break_the_page(measured: Path) -> None:
    results = load_results(measured)
    evil = "</script><script>alert(1)</script>"
    for about in results.metadata["codecs"].values():
        about["label"] = evil
    results.metadata["skipped"] = [{"what": "picture", "name": evil, "why": evil}]
    text = build_page(results, [], evil)
    assert "<script>alert" not in text
    assert text.count("<script") == 2


def test_names_are_no_formulas_in_plots(measured: Path, tmp_path: Path) -> None:
    """A set named ``a$x_{$`` ended in a traceback."""
    pytest.importorskip("matplotlib")
    results = load_results(measured)
    for about in (*results.metadata["images"], *results.rows):
        about["set"] = "a$x_{$"
    for about in results.metadata["codecs"].values():
        about["label"] = r"$\frac{$ | b"
    assert len(write_plots(results, tmp_path)) == 3
    assert r"| $\frac{$ \| b |" in page_rates(results)


def test_a_report_without_pictures_says_how_to_get_them(
    measured: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    alone = tmp_path / "alone.json"
    shutil.copy(measured, alone)  # without the note of where the pictures are
    order = order_for(alone, tmp_path)
    write_report(order)
    assert "--images FOLDER" in capsys.readouterr().err
    assert "--images FOLDER" in order.output.read_text("utf-8")
    photos = measured.parent / "photos"
    write_report(order_for(alone, tmp_path, images=(str(photos),), pictures="face"))
    assert [p["id"] for p in payload(order.output)["pictures"]] == ["photos/face"]
    with pytest.raises(EvalError, match="none of these; there are cup, face"):
        write_report(order_for(alone, tmp_path, images=(str(photos),), pictures="nose"))


def test_empty_results(tmp_path: Path) -> None:
    Results().save(tmp_path / "empty.json")
    with pytest.raises(EvalError, match="holds no rows"):
        write_report(order_for(tmp_path / "empty.json", tmp_path))


def test_choice_of_pictures() -> None:
    from rgru_eval.measure.pictures import Source

    sources = [Source("s", str(n), Path()) for n in range(10)]
    assert [s.name for s in choose(sources, "2")] == ["2", "7"]
    assert [s.name for s in choose(sources, "4,s/1")] == ["4", "1"]
    assert len(choose(sources, "99")) == 10
    assert [s.name for s in choose(sources, "3", ["s/7", "s/1"])] == ["7", "1", "5"]


def test_kodak_is_known_by_its_sizes_wherever_it_is_asked() -> None:
    sizes = [(768, 512)] * 18 + [(512, 768)] * 6
    images = [
        {"set": "any", "name": str(n), "width": w, "height": h} for n, (w, h) in enumerate(sizes)
    ]
    results = Results({"images": images})
    assert is_kodak(results, groups(results)[0])
    results = Results({"images": images[1:]})
    assert not is_kodak(results, groups(results)[0])


def test_no_plots_without_prefixes(measured: Path, tmp_path: Path) -> None:
    results = load_results(measured)
    results.rows = [r for r in results.rows if r["kind"] == "file"]
    assert [p.name for p in write_plots(results, tmp_path)] == [
        "photos-curves.png",
        "photos-rates.png",
    ]
    assert 'id="received" hidden' in build_page(results, [])


def browser() -> str:
    found = next(filter(None, map(shutil.which, BROWSERS)), None)
    if found is None:
        pytest.skip(f"no browser here: none of {', '.join(BROWSERS)} is on the PATH")
    return found


def visit(
    page: Path, tmp_path: Path, *what: str, address: str = ""
) -> subprocess.CompletedProcess[bytes]:
    profile = tmp_path / "profile"
    url = page.as_uri() + address
    return subprocess.run(
        [browser(), *FLAGS.split(), f"--user-data-dir={profile}", *what, url],
        capture_output=True,
        timeout=120,
        check=False,
    )


def test_the_page_draws_itself_in_a_browser(page: Path, tmp_path: Path) -> None:
    done = visit(page, tmp_path, "--dump-dom")
    dom = done.stdout.decode()
    assert 'data-ready="yes"' in dom, done.stderr.decode()[-2000:]
    assert b"Uncaught" not in done.stderr
    for box in ("rd", "prefix"):
        drawn = re.search(rf'<div id="{box}" class="chart">(.*?)</svg>', dom, re.DOTALL)
        assert drawn
        assert drawn[1].count("<path") >= 3
        assert drawn[1].count('tabindex="0"') >= 2  # each curve can be reached with the Tab key
        assert re.search(r'aria-label="rgru.*? bpp', drawn[1])
        assert "NaN" not in drawn[1]
    assert re.search(r'id="side-a"[^>]*><img[^>]*src="data:image/jpeg', dom)
    assert dom.count("<figure>") == 2


@pytest.mark.parametrize(
    "address",
    [
        "#metric=psnr&mean=rate&axis=linear&each=no&view-mode=flicker&view-zoom=2",
        "#group=photos%3A+people&metric=colour_mean&view-mode=error&view-worst=yes&hide=rgru",
        "#metric=msssim_luma&scale=linear&prefix-metric=psnr&view-mode=pair&arrived=0&view-target=3",
    ],
)
def test_every_control_can_be_turned(page: Path, tmp_path: Path, address: str) -> None:
    done = visit(page, tmp_path, "--dump-dom", address=address)
    dom = done.stdout.decode()
    assert 'data-ready="yes"' in dom
    assert b"Uncaught" not in done.stderr
    assert "NaN" not in re.sub(r"base64,[^\"]*", "", dom)


def test_a_link_to_a_picture_leaves_the_other_controls_alone(page: Path, tmp_path: Path) -> None:
    click = """<script>window.addEventListener("load", () => {
      const link = document.querySelector("a[href*='photos/cup']");
      link.click();
      setTimeout(() => { document.title = `${location.hash} ${$("metric").value}`
        + ` ${$("view-picture").value}`; }, 200);
    });</script></body>"""
    changed = tmp_path / "clicked.html"
    changed.write_text(page.read_text("utf-8").replace("</body>", click), "utf-8")
    done = visit(changed, tmp_path, "--dump-dom", address="#metric=psnr")
    title = re.search(r"<title>(.*?)</title>", done.stdout.decode())
    assert title
    assert title[1].startswith("#metric=psnr&amp;view-picture=photos%2Fcup&amp;view-a=jpeg")
    assert title[1].endswith(" psnr photos/cup")


def test_the_page_is_not_blank_on_the_screen(page: Path, tmp_path: Path) -> None:
    shot = tmp_path / "shot.png"
    visit(page, tmp_path, f"--screenshot={shot}")
    with Image.open(shot) as picture:
        samples = np.asarray(picture.convert("RGB"))
    assert samples.shape[1] == 1200
    chart = samples[200:900]
    for colour in ((0, 114, 178), (17, 17, 17)):  # WebP's blue and the baseline's black
        assert (np.abs(chart.astype(int) - colour).sum(axis=2) < 30).sum() > 500
    assert samples.std() > 10


def test_letters_keep_their_size_on_a_narrow_screen(page: Path, tmp_path: Path) -> None:
    done = visit(page, tmp_path, "--window-size=390,3000", "--dump-dom")
    drawn = re.search(r'<div id="rd" class="chart"><svg viewBox="0 0 (\d+) ', done.stdout.decode())
    assert drawn
    assert int(drawn[1]) < 500  # drawn at the width of the box, not scaled down to it


def test_the_page_has_colours_for_a_dark_ground(page: Path) -> None:
    text = page.read_text("utf-8")
    light, dark = re.findall(r"--codec0: (#\w{6})", text)
    assert light == "#111111"
    assert dark == "#f2f2f2"
    assert text.count("prefers-color-scheme: dark") == 2
