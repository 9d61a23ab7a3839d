from __future__ import annotations

import json
import os
import signal
import struct
import subprocess
import sys
import time
import zlib
from pathlib import Path

import pytest
from PIL import Image

from rgru_codec.models import default_model
from rgru_eval.__main__ import main
from rgru_eval.errors import EvalError, InterruptedRunError, UnavailableError
from rgru_eval.measure import run, tasks
from rgru_eval.measure.builtin import Webp
from rgru_eval.measure.pictures import Source, find_pictures, read_picture
from rgru_eval.measure.run import files_folder, load_notes, load_paths, paths_file
from rgru_eval.measure.tasks import Task, cuts_of, file_of
from rgru_eval.results import NAMES, load_results

from .conftest import SMALL, order

pytestmark = pytest.mark.usefixtures("no_memory_probe")


def test_rows_of_every_picture_codec_and_setting(
    folder: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    results = run.run(order(folder, tmp_path, codecs=(SMALL, "rgru")))
    files = [r for r in results.rows if r["kind"] == "file"]
    layers = default_model().iterations
    assert len(files) == 3 * (2 + layers)
    row = next(r for r in files if r["image"] == "a" and r["setting"] == 10)
    assert row["bpp"] == pytest.approx(8 * row["bytes"] / (192 * 176))
    assert 0.5 < row["msssim_rgb"] < 1
    assert row["encode_s"] > 0
    prefixes = [r for r in results.rows if r["kind"] == "prefix"]
    assert {r["codec"] for r in prefixes} == {"rgru"}
    messages = capsys.readouterr().err
    assert "pictures of different sizes" in messages
    assert "1 grey of 3 pictures" in messages
    assert results.metadata["codecs"]["rgru"]["versions"]["model"] == default_model().id.hex()


def test_a_layered_file_and_its_prefix_have_one_quality(folder: Path, tmp_path: Path) -> None:
    results = run.run(order(folder, tmp_path, codecs=("rgru",)))
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


def test_pandas_opens_the_file(folder: Path, tmp_path: Path) -> None:
    pandas = pytest.importorskip("pandas")
    run.run(order(folder, tmp_path))
    frame = pandas.read_json(tmp_path / "out.json", orient="table")
    assert list(frame.columns) == list(NAMES)
    assert len(frame) == 6
    assert frame.groupby("setting")["msssim_rgb"].mean().is_monotonic_increasing


def test_what_is_done_is_not_done_again(
    folder: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    first = run.run(order(folder, tmp_path))
    done: list[Task] = []

    def watch(task: Task) -> tasks.Outcome:
        done.append(task)
        return tasks.run_task(task)

    monkeypatch.setattr(run, "run_task", watch)
    run.run(order(folder, tmp_path))
    assert done == []
    second = run.run(order(folder, tmp_path, codecs=(SMALL, "webp:q=20")))
    assert {t.codec for t in done} == {"webp:method=4,q=20"}
    assert len(second.rows) == len(first.rows) + 3
    assert len(second.metadata["commands"]) == 2
    done.clear()
    run.run(order(folder, tmp_path, metrics=("msssim", "psnr", "ssim")))
    assert {(t.codec, t.metrics) for t in done} == {(first.rows[0]["codec"], ("ssim",))}
    done.clear()
    Image.new("RGB", (200, 170), "red").save(folder / "a.png")
    run.run(order(folder, tmp_path, metrics=("msssim", "psnr", "ssim")))
    assert [t.source.name for t in done] == ["a"]


def test_metrics_that_are_added_join_the_rows_of_the_same_files(
    folder: Path, tmp_path: Path
) -> None:
    run.run(order(folder, tmp_path, codecs=("jpeg:progressive,q=10+50",)))
    results = run.run(
        order(folder, tmp_path, codecs=("jpeg:progressive,q=10+50",), metrics=("msssim", "colour"))
    )
    files = [r for r in results.rows if r["kind"] == "file"]
    assert len(files) == 6
    assert all(r["psnr"] and r["msssim_luma"] and r["colour_p95"] and r["encode_s"] for r in files)
    cuts = [r for r in results.rows if r["kind"] == "prefix" and r["msssim_rgb"]]
    assert cuts
    assert all(r["colour_mean"] for r in cuts)


def test_files_that_were_measured_are_kept(folder: Path, tmp_path: Path) -> None:
    results = run.run(order(folder, tmp_path, codecs=("rgru:q=1+2",)))
    (source, *_) = find_pictures([str(folder)])
    for row in results.rows:
        if row["image"] == source.name and row["kind"] == "file":
            place = file_of(
                files_folder(tmp_path / "out.json"), source, "rgru:q=1+2", "file", row["setting"]
            )
            assert place.stat().st_size == row["bytes"]
            place.write_bytes(bytes(row["bytes"]))  # as if made by another version
    run.run(order(folder, tmp_path, codecs=("rgru:q=1+2",), restart=True))
    assert any(place.read_bytes())
    names = {file_of(tmp_path, source, f"a:q={'1+' * n}", "file", 1).name for n in (200, 201)}
    assert sorted(map(len, names)) == [104, 104]  # no file system takes names of 255 and more
    wanted = order(folder, tmp_path, out=tmp_path / "none.json", keep_files=False)
    run.run(wanted)
    assert not files_folder(wanted.out).exists()


def test_a_busy_machine_is_told(
    folder: Path,
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
    capsys: pytest.CaptureFixture[str],
) -> None:
    monkeypatch.setattr(run, "load_average", lambda: 0.2)
    assert load_notes(run.run(order(folder, tmp_path))) == []
    monkeypatch.setattr(run, "load_average", lambda: 7.4)
    results = run.run(order(folder, tmp_path, restart=True))
    assert "the machine was busy: 7.4 other processes" in capsys.readouterr().err
    monkeypatch.setattr(run, "load_average", lambda: 0.2)
    assert load_notes(run.run(order(folder, tmp_path, codecs=("webp:q=3",)))) == load_notes(results)


def test_kinds_come_from_a_manifest_beside_the_pictures(
    folder: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    (folder / "manifest.csv").write_text("file,kind\na.png,people\nphotos/b.png, art \n")
    assert [s.kind for s in find_pictures([str(folder)])] == ["people", "art", ""]
    (folder / "manifest.csv").write_text("kind,picture\npeople,a.png\n")
    assert [s.kind for s in find_pictures([str(folder)])] == ["people", "", ""]
    assert capsys.readouterr().err == ""
    for useless in ("file,kind\nz.png,people,more\n", "kind\npeople\n", "kind\n"):
        (folder / "manifest.csv").write_text(useless)
        assert {s.kind for s in find_pictures([str(folder)])} == {""}
        assert "manifest.csv: names no picture of its folder" in capsys.readouterr().err
    (folder / "manifest.csv").write_bytes(b"\xff\xfe\x00file")
    with pytest.raises(EvalError, match=r"manifest\.csv: cannot be read as a table"):
        find_pictures([str(folder)])


def test_several_sets_in_one_run(folder: Path, tmp_path: Path, photo: Image.Image) -> None:
    (tmp_path / "more").mkdir()
    photo.save(tmp_path / "more" / "a.png")
    results = run.run(order(folder, tmp_path, images=(f"one={folder}", f"two={tmp_path / 'more'}")))
    assert results.sets == ["one", "two"]
    assert {(r["set"], r["image"]) for r in results.rows} == {
        ("one", "a"),
        ("one", "b"),
        ("one", "c"),
        ("two", "a"),
    }
    assert "--set one=photos two=more" in results.metadata["commands"][0]


def test_another_version_of_a_codec_is_measured_again(
    folder: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    run.run(order(folder, tmp_path))
    content = json.loads((tmp_path / "out.json").read_text())
    (about,) = content["metadata"]["codecs"].values()
    about["versions"]["pillow"] = "0.1"
    (tmp_path / "out.json").write_text(json.dumps(content))
    results = run.run(order(folder, tmp_path))
    assert "other versions than before, 6 rows measured again" in capsys.readouterr().err
    assert len(results.rows) == 6


def test_interrupted_runs_keep_what_they_have_and_go_on(
    folder: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    done: list[Task] = []

    def stop_at_third(task: Task) -> tasks.Outcome:
        if len(done) == 2:
            raise KeyboardInterrupt
        done.append(task)
        return tasks.run_task(task)

    with monkeypatch.context() as patch:
        patch.setattr(run, "run_task", stop_at_third)
        with pytest.raises(InterruptedRunError, match="the same command goes on from there"):
            run.run(order(folder, tmp_path))
    assert len(load_results(tmp_path / "out.json").rows) == 4
    assert len(run.run(order(folder, tmp_path)).rows) == 6


def deep_colour_png() -> bytes:
    """A PNG of 2x1 pixels of 16 bits a channel in RGB, which Pillow opens as 8 bits."""

    def chunk(name: bytes, body: bytes) -> bytes:
        return (
            struct.pack(">I", len(body)) + name + body + struct.pack(">I", zlib.crc32(name + body))
        )

    header = struct.pack(">IIBBBBB", 2, 1, 16, 2, 0, 0, 0)
    rows = zlib.compress(b"\0" + bytes(range(12)))
    return (
        b"\x89PNG\r\n\x1a\n" + chunk(b"IHDR", header) + chunk(b"IDAT", rows) + chunk(b"IEND", b"")
    )


def test_the_first_picture_of_an_mpo_is_measured(tmp_path: Path, photo: Image.Image) -> None:
    photo.save(tmp_path / "phone.mpo", "MPO", save_all=True, append_images=[photo.resize((60, 50))])
    (source,) = find_pictures([str(tmp_path)])
    assert read_picture(source.path).image.size == photo.size
    photo.save(tmp_path / "moving.gif", save_all=True, append_images=[photo.rotate(90)])
    with pytest.raises(EvalError, match=r"moving\.gif: cannot be read: the picture has 2 frames"):
        read_picture(tmp_path / "moving.gif")


def test_what_is_skipped_is_told_and_noted(
    folder: Path,
    tmp_path: Path,
    capsys: pytest.CaptureFixture[str],
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    (folder / "broken.png").write_bytes((folder / "a.png").read_bytes()[:900])
    Image.new("I;16", (20, 20)).save(folder / "deep.png")
    (folder / "deep_colour.png").write_bytes(deep_colour_png())
    monkeypatch.setenv("PATH", "")
    results = run.run(order(folder, tmp_path, codecs=(SMALL, "cjxl")))
    messages = capsys.readouterr().err
    assert "skipped picture photos/broken: broken.png: cannot be read" in messages
    for name in ("deep", "deep_colour"):
        assert f"skipped picture photos/{name}: {name}.png: cannot be read" in messages
    assert messages.count("more than 8 bits a channel") == 2
    assert "skipped codec cjxl: cjxl: program 'cjxl' not found" in messages
    assert [s["what"] for s in results.metadata["skipped"]] == ["picture"] * 3 + ["codec"]
    assert len(results.rows) == 6


def test_the_baseline_may_have_settings_of_its_own(folder: Path, tmp_path: Path) -> None:
    results = run.run(order(folder, tmp_path, codecs=("webp:q=10", SMALL)))
    assert results.metadata["baseline"] == "jpeg:subsampling=420,optimize,q=10+50"


def test_rows_of_before_are_no_skipped_codec(
    folder: Path,
    tmp_path: Path,
    capsys: pytest.CaptureFixture[str],
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    codecs = (SMALL, "webp:q=10")
    before = run.run(order(folder, tmp_path, codecs=codecs)).rows

    def gone(self: Webp) -> None:
        raise UnavailableError("webp: not here")

    monkeypatch.setattr(Webp, "check", gone)
    results = run.run(order(folder, tmp_path, codecs=codecs))
    assert results.metadata["skipped"] == []
    assert len(results.rows) == len(before)
    assert "cannot run here, rows of before are kept: webp: not here" in capsys.readouterr().err


def test_a_codec_that_fails_at_some_settings(
    folder: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    plugin = tmp_path / "shaky.py"
    plugin.write_text(
        "from rgru_eval.measure.builtin import Webp\n"
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
    plugin.write_text(plugin.read_text().replace("setting == 20", "0"))  # a plain rerun tries again
    tasks.forget()
    assert {r["image"] for r in run.run(wanted).rows if r["setting"] == 20} == {"a", "c"}
    assert capsys.readouterr().err.count("skipped task shaky:method=4,q=10+20+30 on photos/b") == 3


def test_only_the_settings_that_failed_are_measured_again(folder: Path, tmp_path: Path) -> None:
    """The whole ladder was, with its prefixes."""
    plugin, calls = tmp_path / "shaky.py", tmp_path / "calls"
    plugin.write_text(
        "from rgru_eval.measure.builtin import Jpeg\n"
        "class Shaky(Jpeg):\n"
        "    def encode(self, image, setting):\n"
        f"        with open({str(calls)!r}, 'a') as file: file.write(f'{{setting:g}} ')\n"
        "        if setting == 20 and image.mode == 'L': raise RuntimeError('out of luck')\n"
        "        return super().encode(image, setting)\n"
        "CODECS = {'shaky': Shaky}\n"
    )
    codecs = ("shaky:progressive,q=10+20+30.1234",)
    wanted = order(folder, tmp_path, codecs=codecs, definitions=(str(plugin),))
    before = run.run(wanted)
    assert len(before.metadata["skipped"]) == 1
    calls.unlink()
    assert run.run(wanted).metadata["skipped"] == before.metadata["skipped"]
    assert calls.read_text() == "20 "
    plugin.write_text(plugin.read_text().replace("== 'L'", "== ''"))
    tasks.forget()
    results = run.run(wanted)
    assert calls.read_text() == "20 20 "
    assert len(results.rows) == len(before.rows) + 1
    assert not results.metadata["skipped"]
    run.run(wanted)
    assert calls.read_text() == "20 20 "


def test_a_run_that_measures_nothing_fails(folder: Path, tmp_path: Path) -> None:
    plugin = tmp_path / "dead.json"
    plugin.write_text(
        '{"dead": {"encode": "python -c 1/0 {input} {output}", "decode": "python {input} {output}",'
        ' "settings": [1]}}'
    )
    words = [
        "run",
        "--set",
        str(folder),
        "--define",
        str(plugin),
        "--out",
        str(tmp_path / "r.json"),
    ]
    assert main([*words, "-j", "1", "--codecs", "dead"]) == 1
    assert len(load_results(tmp_path / "r.json").metadata["skipped"]) == 3
    assert main([*words, "-j", "1", "--codecs", "dead", SMALL]) == 0


def test_lossless_files_are_measured_once(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    Image.new("RGB", (64, 64), "grey").save(tmp_path / "flat.png")
    for left in (1, 0):
        results = run.run(order(tmp_path, tmp_path))
        assert f"tasks to do: {left}" in capsys.readouterr().err
    assert [row["psnr"] for row in results.rows] == [100, 100]


def test_small_pictures_are_measured_and_named(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
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


def test_pictures_are_flattened_with_a_note(tmp_path: Path) -> None:
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


def test_profiles_do_not_reach_the_codecs(tmp_path: Path, photo: Image.Image) -> None:
    photo.save(tmp_path / "a.png", icc_profile=b"x" * 500)
    picture = read_picture(tmp_path / "a.png")
    assert picture.image.info == {}
    assert "colour profile dropped" in picture.notes[0]


def test_folders(folder: Path, tmp_path: Path) -> None:
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


def test_cuts() -> None:
    assert cuts_of(100, 8000) == [30, 50, 75, 100]
    assert cuts_of(5, 8) == [1, 2, 5]


def environment() -> dict[str, str]:
    root = Path(__file__).parents[2]
    paths = [str(root), str(root / "eval"), str(root / "format")]
    return {**os.environ, "PYTHONPATH": os.pathsep.join(paths)}


def test_a_second_run_into_the_same_file_is_refused(folder: Path, tmp_path: Path) -> None:
    """What the first had measured was lost."""
    place = paths_file(tmp_path / "out.json")
    code = "from rgru_eval.measure.machine import lock\n"
    code += f"lock(file := open({str(place)!r}, 'a')); input('.')"
    command = [sys.executable, "-c", code]
    with subprocess.Popen(
        command, env=environment(), stdin=subprocess.PIPE, stdout=subprocess.PIPE
    ) as other:
        assert other.stdout is not None
        other.stdout.read(1)
        with pytest.raises(EvalError, match="another run is writing this file; wait for its end"):
            run.run(order(folder, tmp_path))
        other.communicate(b"\n", timeout=60)
    assert len(run.run(order(folder, tmp_path)).rows) == 6


def test_a_run_into_the_same_file_by_another_name_is_refused(
    folder: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """A link had a lock of its own."""
    link = folder / "link.json"
    link.symlink_to(tmp_path / "out.json")
    monkeypatch.chdir(tmp_path)
    with run._alone(tmp_path / "out.json"):
        for name in (link, Path("out.json"), folder / ".." / "out.json"):
            with pytest.raises(EvalError, match="another run is writing this file"):
                run.run(order(folder, tmp_path, out=name))
    run.run(order(folder, tmp_path, out=link))
    assert load_paths([tmp_path / "out.json"]).keys() == load_results(link).pictures.keys()
    assert files_folder(link).is_dir()


def test_parallel_run_stops_at_ctrl_c_and_goes_on(folder: Path, tmp_path: Path) -> None:
    out = tmp_path / "out.json"
    command = [sys.executable, "-m", "rgru_eval", "run", "--images", str(folder), "--jobs", "2"]
    command += ["--codecs", "jpeg:optimize,webp", "--metrics", "msssim", "--out", str(out)]
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
