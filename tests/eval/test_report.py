import json
import re
import shutil
import subprocess

import numpy as np
import pytest
from PIL import Image

from rgru_eval import bench, run
from rgru_eval.export import export
from rgru_eval.pictures import EvalError
from rgru_eval.plots import write_plots
from rgru_eval.report import ReportOrder, build_page, is_kodak, write_report
from rgru_eval.results import Results, load_results
from rgru_eval.run import Order
from rgru_eval.viewer import choose

CODECS = "jpeg:optimize,q=3+8+15+30+60+90,jpeg:progressive,q=3+8+15+30+60+90,webp:q=0+5+20+50+90"
BROWSERS = ("chromium", "chromium-browser", "google-chrome", "chrome")
FLAGS = """
--headless --no-sandbox --disable-gpu --disable-quic --no-first-run --hide-scrollbars
--disable-background-networking --disable-component-update --disable-sync
--enable-logging=stderr --window-size=1200,5400 --virtual-time-budget=4000
"""


@pytest.fixture(scope="module")
def measured(tmp_path_factory, request):
    """A results file of two pictures, with a toy layered codec, and its folder."""
    data = pytest.importorskip("skimage.data")
    toy = str(request.path.with_name("layered.py"))
    home = tmp_path_factory.mktemp("report")
    photos = home / "photos"
    photos.mkdir()
    Image.fromarray(data.astronaut()[20:196, 130:322]).save(photos / "face.png")
    Image.fromarray(data.coffee()[100:270, 200:370]).save(photos / "cup.png")
    order = Order(
        (str(photos),), (CODECS, "layered"), home / "r.json", ("msssim", "psnr"), (toy,), jobs=1
    )
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(run, "_measure_memory", lambda *arguments: None)
        run.run(order)
    bench._worker.clear()
    return home / "r.json"


def order_for(measured, layered, tmp_path, **changes):
    values = {"results": (measured,), "output": tmp_path / "r.html", "definitions": (layered,)}
    return ReportOrder(**(values | {"jobs": 1} | changes))


@pytest.fixture(scope="module")
def page(measured, request, tmp_path_factory):
    toy = str(request.path.with_name("layered.py"))
    out = tmp_path_factory.mktemp("page")
    write_report(order_for(measured, toy, out, png=out / "png"))
    return out / "r.html"


def payload(page):
    text = page.read_text("utf-8")
    return json.loads(re.search(r'id="data">(.*?)</script>', text, re.DOTALL)[1])


def test_the_page_needs_no_network(page):
    text = page.read_text("utf-8")
    outside = re.sub(r'<script type="application/json".*?</script>', "", text, flags=re.DOTALL)
    links = re.findall(r"(?:src|href)\s*=\s*[\"'](.*?)[\"']", outside)
    assert all(link.startswith("data:") for link in links)
    assert "url(http" not in text
    assert "@import" not in text
    addresses = set(re.findall(r"https?://[^\s\"'<]+", outside))
    assert addresses == {"http://www.w3.org/2000/svg"}  # a name, not a place


def test_every_picture_is_there_in_each_codec_at_equal_quality(page):
    data = payload(page)
    assert [p["id"] for p in data["pictures"]] == ["photos/cup", "photos/face"]
    for picture in data["pictures"]:
        assert set(picture["views"]) == {c["id"] for c in data["codecs"]}
        toy = picture["views"]["layered"]
        base = picture["views"]["jpeg:subsampling=420,optimize,q=3+8+15+30+60+90"]
        for target, ours, theirs in zip(picture["targets"], toy, base, strict=True):
            if target["kind"] == "msssim":
                assert target["value"] == ours["msssim"]  # the others are matched to its layers
                assert theirs["msssim"] == pytest.approx(ours["msssim"], abs=0.012)
        assert picture["original"].startswith("data:image/webp;base64,")
        assert base[0]["uri"].startswith("data:image/jpeg;base64,")
    received = data["pictures"][0]["received"]
    assert len(received) == 2
    assert all(step["bytes"] < step["total"] for steps in received.values() for step in steps)


def test_tables_and_method_are_in_the_page(page):
    text = page.read_text("utf-8")
    for words in (
        "JPEG 4:2:0 optimised",
        "toy layers",
        "bpp at 0.95",
        "1.8116",
        "model 0badcafe",
        "rgru-eval run --images photos",
        "arXiv 1608.05148",
        "AUC of one file",
        "ITU-R 601",
    ):
        assert words in text, words


def test_plots(page):
    files = list((page.parent / "png").iterdir())
    names = {"photos-curves.png", "photos-rates.png", "photos-received.png"}
    assert {p.name for p in files} == names
    for path in files:
        with Image.open(path) as picture:
            assert picture.width > 1000


def test_texts_of_a_results_file_cannot_break_the_page(measured):
    results = load_results(measured)
    evil = "</script><script>alert(1)</script>"
    for about in results.metadata["codecs"].values():
        about["label"] = evil
    results.metadata["skipped"] = [{"what": "picture", "name": evil, "why": evil}]
    text = build_page(results, [], evil)
    assert "<script>alert" not in text
    assert text.count("<script") == 2


def test_a_report_without_pictures_says_how_to_get_them(measured, layered, tmp_path, capsys):
    alone = tmp_path / "alone.json"
    shutil.copy(measured, alone)  # without the note of where the pictures are
    order = order_for(alone, layered, tmp_path)
    write_report(order)
    assert "--images FOLDER" in capsys.readouterr().err
    assert "--images FOLDER" in order.output.read_text("utf-8")
    photos = measured.parent / "photos"
    write_report(order_for(alone, layered, tmp_path, images=(str(photos),), pictures="face"))
    assert [p["id"] for p in payload(order.output)["pictures"]] == ["photos/face"]
    with pytest.raises(EvalError, match="none of these; there are cup, face"):
        write_report(order_for(alone, layered, tmp_path, images=(str(photos),), pictures="nose"))


def test_bad_places_and_empty_results(measured, layered, tmp_path):
    with pytest.raises(EvalError, match="its folder does not exist"):
        write_report(order_for(measured, layered, tmp_path, output=tmp_path / "no" / "r.html"))
    Results().save(tmp_path / "empty.json")
    with pytest.raises(EvalError, match="holds no rows"):
        write_report(order_for(tmp_path / "empty.json", layered, tmp_path))


def test_choice_of_pictures():
    from rgru_eval.pictures import Source

    sources = [Source("s", str(n), None) for n in range(10)]
    assert [s.name for s in choose(sources, "2")] == ["2", "7"]
    assert [s.name for s in choose(sources, "4,s/1")] == ["4", "1"]
    assert len(choose(sources, "99")) == 10


def test_kodak_is_known_by_its_sizes():
    images = [{"width": 768, "height": 512}] * 18 + [{"width": 512, "height": 768}] * 6
    assert is_kodak(Results({"images": images}))
    assert not is_kodak(Results({"images": images[1:]}))


def test_no_plots_without_prefixes(measured, tmp_path):
    results = load_results(measured)
    results.rows = [r for r in results.rows if r["kind"] == "file"]
    assert [p.name for p in write_plots(results, tmp_path)] == [
        "photos-curves.png",
        "photos-rates.png",
    ]
    assert 'id="received" hidden' in build_page(results, [])


def test_exports(measured, tmp_path):
    results = load_results(measured)
    files = {p.name: json.loads(p.read_text()) for p in export(results, "compressai", tmp_path)}
    content = files["photos-layered.json"]
    assert content["name"] == "toy layers"
    assert set(content["results"]) == {
        "psnr-rgb",
        "ms-ssim-rgb",
        "bpp",
        "encoding_time",
        "decoding_time",
    }
    assert content["results"]["bpp"] == sorted(content["results"]["bpp"])
    assert {len(v) for v in content["results"].values()} == {6}
    files = {p.name: json.loads(p.read_text()) for p in export(results, "codec-compare", tmp_path)}
    assert ["photos-layered.json"] in files["batches.json"]
    batch = files["photos-layered.json"]
    assert len(batch["constant_values"]) == len(batch["constant_descriptions"])
    fields = [next(iter(f)) for f in batch["field_descriptions"]]
    assert {"original_name", "encoded_size", "msssim"} <= set(fields)
    assert all(len(values) == len(fields) for values in batch["field_values"])
    assert len(batch["field_values"]) == 12


def browser():
    found = next(filter(None, map(shutil.which, BROWSERS)), None)
    if found is None:
        pytest.skip(f"no browser here: none of {', '.join(BROWSERS)} is on the PATH")
    return found


def visit(page, tmp_path, *what, address=""):
    profile = tmp_path / "profile"
    url = page.as_uri() + address
    return subprocess.run(
        [browser(), *FLAGS.split(), f"--user-data-dir={profile}", *what, url],
        capture_output=True,
        timeout=120,
        check=False,
    )


def test_the_page_draws_itself_in_a_browser(page, tmp_path):
    done = visit(page, tmp_path, "--dump-dom")
    dom = done.stdout.decode()
    assert 'data-ready="yes"' in dom, done.stderr.decode()[-2000:]
    assert b"Uncaught" not in done.stderr
    for box in ("rd", "prefix"):
        drawn = re.search(rf'<div id="{box}" class="chart">(.*?)</svg>', dom, re.DOTALL)[1]
        assert drawn.count("<path") >= 3
        assert "NaN" not in drawn
    assert re.search(r'id="image-a"[^>]*src="data:image/jpeg', dom)
    assert dom.count("<figure>") == 2


@pytest.mark.parametrize(
    "address",
    [
        "#metric=psnr&mean=rate&axis=linear&each=no&view-mode=flicker&view-zoom=2",
        "#metric=msssim_luma&scale=linear&prefix-metric=psnr&view-mode=pair&arrived=0&view-target=3",
    ],
)
def test_every_control_can_be_turned(page, tmp_path, address):
    done = visit(page, tmp_path, "--dump-dom", address=address)
    dom = done.stdout.decode()
    assert 'data-ready="yes"' in dom
    assert b"Uncaught" not in done.stderr
    assert "NaN" not in re.sub(r"base64,[^\"]*", "", dom)


def test_the_page_is_not_blank_on_the_screen(page, tmp_path):
    shot = tmp_path / "shot.png"
    visit(page, tmp_path, f"--screenshot={shot}")
    with Image.open(shot) as picture:
        samples = np.asarray(picture.convert("RGB"))
    assert samples.shape[1] == 1200
    chart = samples[200:900]
    for colour in ((0, 114, 178), (17, 17, 17)):  # WebP's blue and the baseline's black
        assert (np.abs(chart.astype(int) - colour).sum(axis=2) < 30).sum() > 500
    assert samples.std() > 10
