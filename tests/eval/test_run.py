import json
import os
import signal
import subprocess
import sys
import time
from pathlib import Path

import pytest
from PIL import Image

from rgru_eval import bench, run
from rgru_eval.bench import cuts_of, run_parallel
from rgru_eval.pictures import EvalError, Source, find_pictures, read_picture
from rgru_eval.results import NAMES, Results, load_results, merge
from rgru_eval.run import InterruptedRunError, Order, load_paths

SMALL = "jpeg:optimize,q=10+50"


@pytest.fixture(autouse=True)
def no_memory_probe(monkeypatch):
    """A fresh process a codec costs seconds; test_parallel_run has it on."""
    monkeypatch.setattr(run, "_measure_memory", lambda *arguments: None)
    bench._worker.clear()


def order(folder, tmp_path, **changes):
    values = {
        "images": (str(folder),),
        "codecs": (SMALL,),
        "out": tmp_path / "out.json",
        "metrics": ("msssim", "psnr"),
        "jobs": 1,
    }
    return Order(**(values | changes))


def test_rows_of_every_picture_codec_and_setting(folder, tmp_path, capsys, layered):
    results = run.run(order(folder, tmp_path, codecs=(SMALL, "layered"), definitions=(layered,)))
    files = [r for r in results.rows if r["kind"] == "file"]
    assert len(files) == 3 * (2 + 6)
    row = next(r for r in files if r["image"] == "a" and r["setting"] == 10)
    assert row["bpp"] == pytest.approx(8 * row["bytes"] / (192 * 176))
    assert 0.5 < row["msssim_rgb"] < 1
    assert row["encode_s"] > 0
    prefixes = [r for r in results.rows if r["kind"] == "prefix"]
    assert {r["codec"] for r in prefixes} == {"layered"}
    messages = capsys.readouterr().err
    assert "pictures of different sizes" in messages
    assert "1 grey of 3 pictures" in messages
    assert results.metadata["codecs"]["layered"]["versions"]["model"] == "0badcafe"


def test_a_layered_file_and_its_prefix_have_one_quality(folder, tmp_path, layered):
    results = run.run(order(folder, tmp_path, codecs=("layered",), definitions=(layered,)))
    last_file = max(
        (r for r in results.rows if r["kind"] == "file" and r["image"] == "a"),
        key=lambda r: r["bytes"],
    )
    last_cut = max(
        (r for r in results.rows if r["kind"] == "prefix" and r["image"] == "a"),
        key=lambda r: r["bytes"],
    )
    for name in ("bytes", "bpp", "msssim_rgb", "psnr"):
        assert last_file[name] == last_cut[name]


def test_pandas_opens_the_file(folder, tmp_path):
    pandas = pytest.importorskip("pandas")
    run.run(order(folder, tmp_path))
    frame = pandas.read_json(tmp_path / "out.json", orient="table")
    assert list(frame.columns) == list(NAMES)
    assert len(frame) == 6
    assert frame.groupby("setting")["msssim_rgb"].mean().is_monotonic_increasing


def test_what_is_done_is_not_done_again(folder, tmp_path, monkeypatch):
    first = run.run(order(folder, tmp_path))
    tasks = []
    monkeypatch.setattr(run, "run_task", lambda task: tasks.append(task) or bench.run_task(task))
    run.run(order(folder, tmp_path))
    assert tasks == []
    second = run.run(order(folder, tmp_path, codecs=(SMALL, "webp:q=20")))
    assert {t.codec for t in tasks} == {"webp:method=4,q=20"}
    assert len(second.rows) == len(first.rows) + 3
    assert len(second.metadata["commands"]) == 2
    tasks.clear()
    run.run(order(folder, tmp_path, metrics=("msssim", "psnr", "ssim")))
    assert {t.codec for t in tasks} == {first.rows[0]["codec"]}
    tasks.clear()
    Image.new("RGB", (200, 170), "red").save(folder / "a.png")
    run.run(order(folder, tmp_path, metrics=("msssim", "psnr", "ssim")))
    assert [t.source.name for t in tasks] == ["a"]


def test_another_version_of_a_codec_is_measured_again(folder, tmp_path, capsys):
    run.run(order(folder, tmp_path))
    content = json.loads((tmp_path / "out.json").read_text())
    (about,) = content["metadata"]["codecs"].values()
    about["versions"]["pillow"] = "0.1"
    (tmp_path / "out.json").write_text(json.dumps(content))
    results = run.run(order(folder, tmp_path))
    assert "other versions than before, 6 rows measured again" in capsys.readouterr().err
    assert len(results.rows) == 6


def test_interrupted_runs_keep_what_they_have_and_go_on(folder, tmp_path, monkeypatch):
    done = []

    def stop_at_third(task):
        if len(done) == 2:
            raise KeyboardInterrupt
        done.append(task)
        return bench.run_task(task)

    with monkeypatch.context() as patch:
        patch.setattr(run, "run_task", stop_at_third)
        with pytest.raises(InterruptedRunError, match="the same command goes on from there"):
            run.run(order(folder, tmp_path))
    assert len(load_results(tmp_path / "out.json").rows) == 4
    assert len(run.run(order(folder, tmp_path)).rows) == 6


def test_what_is_skipped_is_told_and_noted(folder, tmp_path, capsys, monkeypatch):
    (folder / "broken.png").write_bytes((folder / "a.png").read_bytes()[:900])
    Image.new("I;16", (20, 20)).save(folder / "deep.png")
    monkeypatch.setenv("PATH", "")
    results = run.run(order(folder, tmp_path, codecs=(SMALL, "cjxl")))
    messages = capsys.readouterr().err
    assert "skipped picture photos/broken: broken.png: cannot be read" in messages
    assert "more than 8 bits a sample; convert it to 8 bits first" in messages
    assert "skipped codec cjxl: cjxl: program 'cjxl' not found" in messages
    assert [s["what"] for s in results.metadata["skipped"]] == ["picture", "picture", "codec"]
    assert len(results.rows) == 6


def test_a_codec_that_fails_at_some_settings(folder, tmp_path, capsys):
    plugin = tmp_path / "shaky.py"
    plugin.write_text(
        "from rgru_eval.builtin import Webp\n"
        "class Shaky(Webp):\n"
        "    def encode(self, image, setting):\n"
        "        if setting == 20: raise RuntimeError('out of luck')\n"
        "        return super().encode(image, setting)\n"
        "    def decode(self, data):\n"
        "        picture = super().decode(data)\n"
        "        return picture.resize((5, 5)) if picture.width == 170 else picture\n"
        "CODECS = {'shaky': Shaky}\n"
    )
    wanted = order(folder, tmp_path, codecs=("shaky:q=10+20+30",), definitions=(str(plugin),))
    results = run.run(wanted)
    messages = capsys.readouterr().err
    assert (
        "shaky:method=4,q=10+20+30 on photos/a: at quality 20: RuntimeError: out of luck"
        in messages
    )
    assert "decoded to 5x5 instead of 170x192" in messages
    assert {(r["image"], r["setting"]) for r in results.rows} == {
        ("a", 10),
        ("a", 30),
        ("c", 10),
        ("c", 30),
    }


def test_small_pictures_are_measured_and_named(tmp_path, capsys):
    folder = tmp_path / "tiny"
    folder.mkdir()
    Image.new("RGB", (5, 3), "teal").save(folder / "five.png")
    Image.effect_noise((100, 90), 60).convert("RGB").save(folder / "hundred.png")
    metrics = ("msssim", "psnr", "ssim")
    results = run.run(order(folder, tmp_path, metrics=metrics))
    assert (
        "2 pictures have a side below 161 px: MS-SSIM with fewer scales" in capsys.readouterr().err
    )
    assert [i["msssim_scales"] for i in results.metadata["images"]] == [1, 4]
    assert all(0 <= r["msssim_rgb"] <= 1 for r in results.rows)
    run.run(order(folder, tmp_path, metrics=metrics))
    assert "tasks to do: 0" in capsys.readouterr().err


def test_pictures_are_flattened_with_a_note(tmp_path):
    path = tmp_path / "a.png"
    Image.new("RGBA", (20, 10), (255, 0, 0, 0)).save(path)
    picture = read_picture(path)
    assert picture.image.getpixel((0, 0)) == (255, 255, 255)
    assert picture.notes == ("transparency laid on white",)
    Image.new("CMYK", (20, 10)).save(tmp_path / "b.tif")
    assert read_picture(tmp_path / "b.tif").image.mode == "RGB"
    frames = [Image.new("L", (9, 9), v) for v in (0, 99)]
    frames[0].save(tmp_path / "c.gif", save_all=True, append_images=frames[1:])
    with pytest.raises(EvalError, match="an animation"):
        read_picture(tmp_path / "c.gif")


def test_profiles_do_not_reach_the_codecs(tmp_path, photo):
    photo.save(tmp_path / "a.png", icc_profile=b"x" * 500)
    picture = read_picture(tmp_path / "a.png")
    assert picture.image.info == {}
    assert "colour profile dropped" in picture.notes[0]


def test_folders(folder, tmp_path):
    assert [s.id for s in find_pictures([str(folder)])] == ["photos/a", "photos/b", "photos/c"]
    assert find_pictures([f"mine={folder}"])[0].set == "mine"
    assert find_pictures([str(folder / "b.png")]) == [Source("photos", "b", folder / "b.png")]
    other = tmp_path / "more" / "photos"
    other.mkdir(parents=True)
    Image.new("L", (9, 9)).save(other / "a.png")
    Image.new("L", (9, 9)).save(other / "a.bmp")
    ids = [s.id for s in find_pictures([str(folder), str(other)])]
    assert ids[3:] == ["photos-2/a.bmp", "photos-2/a.png"]
    with pytest.raises(EvalError, match="no such file or folder"):
        find_pictures([str(tmp_path / "nowhere")])
    (tmp_path / "empty").mkdir()
    with pytest.raises(EvalError, match="no pictures here; file names ending in"):
        find_pictures([str(tmp_path / "empty")])


@pytest.mark.parametrize(
    ("text", "words"),
    [
        ("not json", "not a results file"),
        ("[1]", "not a results file"),
        ('{"format": "rgru-eval results", "version": 99}', "results of version 99, this rgru-eval"),
        ('{"format": "rgru-eval results", "version": 1}', "is damaged"),
    ],
)
def test_other_files_are_refused(tmp_path, folder, text, words):
    path = tmp_path / "out.json"
    path.write_text(text)
    with pytest.raises(EvalError, match=words):
        load_results(path)
    with pytest.raises(EvalError, match=words):
        run.run(order(folder, tmp_path))
    assert path.read_text() == text
    with pytest.raises(EvalError, match="no such results file"):
        load_results(tmp_path / "none.json")


def test_nothing_private_in_the_file(folder, tmp_path):
    run.run(order(folder, tmp_path))
    assert str(tmp_path) not in (tmp_path / "out.json").read_text()
    assert load_paths([tmp_path / "out.json"])["photos/a"] == (folder / "a.png").resolve()


def test_joining_results(folder, tmp_path):
    first = run.run(order(folder, tmp_path))
    second = run.run(order(folder, tmp_path, out=tmp_path / "two.json", codecs=("webp:q=30",)))
    whole = merge([first, second, second])
    assert len(whole.rows) == len(first.rows) + len(second.rows)
    assert list(whole.metadata["codecs"]) == [first.rows[0]["codec"], "webp:method=4,q=30"]
    other = Results(json.loads(json.dumps(second.metadata)), second.rows)
    other.metadata["images"][0]["sha256"] = "0"
    with pytest.raises(EvalError, match="differ in its pixels"):
        merge([first, other])


def test_cuts():
    assert cuts_of(100, 8000) == [30, 50, 75, 100]
    assert cuts_of(5, 8) == [1, 2, 5]


def square_or_die(number):
    if number == 3:
        os.kill(os.getpid(), signal.SIGKILL)
    return number * number


def test_a_crash_costs_one_task_only():
    results = dict(run_parallel(square_or_die, [1, 2, 3, 4], 2))
    assert {n: results[n] for n in (1, 2, 4)} == {1: 1, 2: 4, 4: 16}
    assert "the process died" in str(results[3])


def environment():
    root = Path(__file__).parents[2]
    paths = [str(root), str(root / "eval"), str(root / "format")]
    return {**os.environ, "PYTHONPATH": os.pathsep.join(paths)}


def test_parallel_run_stops_at_ctrl_c_and_goes_on(folder, tmp_path):
    out = tmp_path / "out.json"
    command = [sys.executable, "-m", "rgru_eval", "run", "--images", str(folder), "--jobs", "2"]
    command += ["--codecs", "jpeg:optimize,avif", "--metrics", "msssim", "--out", str(out)]
    process = subprocess.Popen(command, env=environment(), stderr=subprocess.PIPE, text=True)
    deadline = time.monotonic() + 60
    while not out.exists() and process.poll() is None and time.monotonic() < deadline:
        time.sleep(0.02)
    process.send_signal(signal.SIGINT)
    _, messages = process.communicate(timeout=60)
    if process.returncode:  # it may have been quicker than the signal
        assert process.returncode == 130, messages
        assert "interrupted" in messages
        assert "Traceback" not in messages
    done = subprocess.run(command, env=environment(), capture_output=True, text=True, timeout=100)
    assert done.returncode == 0, done.stderr
    assert "BD-rate" in done.stdout
    results = load_results(out)
    assert {r["image"] for r in results.rows} == {"a", "b", "c"}
    assert all("memory_mb" in about for about in results.metadata["codecs"].values())
