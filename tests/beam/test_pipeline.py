"""The Beam pipeline on the local runner: several workers, broken pictures, a kill, a restart."""

from __future__ import annotations

import importlib.util
import json
import os
import signal
import subprocess
import sys
import time
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from PIL import Image

import rgru_codec

PICTURES = 240
ROOT = Path(__file__).parents[2]
NANO = ROOT / "models" / "nano" / "rgru_nano" / "8995b4de"
"""A model of fewer layers than the one that ships."""

needs_beam = pytest.mark.skipif(
    importlib.util.find_spec("apache_beam") is None,
    reason="Apache Beam is not installed (pip install '.[beam]', about 330 MB)",
)
posix = pytest.mark.skipif(sys.platform == "win32", reason="kills a group of processes")


def environment() -> dict[str, str]:
    paths = os.pathsep.join([str(ROOT), str(ROOT / "format")])
    return {**os.environ, "PYTHONPATH": paths, "OPENBLAS_NUM_THREADS": "1"}


def start(*options: object, workers: int = 2, cwd: Path | None = None) -> subprocess.Popen[bytes]:
    command = [sys.executable, "-m", "rgru_codec.cli.beam", "compress", *map(str, options)]
    command += ["--runner", "DirectRunner", "--direct_running_mode", "multi_processing"]
    command += ["--direct_num_workers", str(workers)]
    return subprocess.Popen(
        command, env=environment(), stderr=subprocess.PIPE, start_new_session=True, cwd=cwd
    )


def finish(running: subprocess.Popen[bytes]) -> tuple[int, str]:
    _, err = running.communicate(timeout=1200)
    return running.returncode, err.decode().splitlines()[-1]


def lines(path: Path) -> list[dict[str, Any]]:
    return [json.loads(line) for line in path.read_text().splitlines()]


@pytest.fixture(scope="module")
def photos(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Small pictures in several folders; every tenth is broken; a text among them."""
    folder = tmp_path_factory.mktemp("batch") / "photos"
    for number in range(PICTURES):
        path = folder / f"set{number % 4}" / f"{number:03}.png"
        path.parent.mkdir(parents=True, exist_ok=True)
        generator = np.random.default_rng(number)
        shape = (16 + number % 30, 20, 3)
        Image.fromarray(generator.integers(0, 256, shape, dtype=np.uint8)).save(path)
        if number % 10 == 7:
            path.write_bytes(path.read_bytes()[:60])
    (folder / "readme.txt").write_text("no picture")
    return folder


def test_without_beam_it_says_what_to_install() -> None:
    script = (
        "import sys; sys.modules['apache_beam'] = None\n"
        "from rgru_codec.cli.beam import main\n"
        "sys.exit(main(['compress', '--input', 'a', '--output', 'b']))"
    )
    result = subprocess.run(
        [sys.executable, "-c", script], env=environment(), capture_output=True, check=False
    )
    assert result.returncode == 2
    assert b"pip install 'rgru-codec[beam]'" in result.stderr


@needs_beam
@posix
def test_killed_and_started_again(photos: Path, tmp_path: Path) -> None:
    """Nothing is lost, nothing done twice, and the files are those of ``rgru compress``."""
    output = tmp_path / "out"
    options = ("--input", photos, "--output", output, "--layers", 1, "--measure")
    running = start(*options)
    while len(list(output.rglob("*.rgru"))) < PICTURES // 8:
        assert running.poll() is None, "ended before it could be killed"
        time.sleep(0.02)
    os.killpg(running.pid, signal.SIGKILL)
    running.communicate()
    before = {path: path.stat().st_mtime_ns for path in output.rglob("*.rgru")}

    code, summary = finish(start(*options))
    broken = PICTURES // 10
    whole = PICTURES - broken
    assert len(before) < whole, "the kill came too late to show anything"
    assert (code, summary) == (
        1,
        f"rgru: {whole - len(before)} compressed, {len(before)} skipped, {broken} failed",
    )
    assert all(path.stat().st_mtime_ns == when for path, when in before.items())

    reports = output / "_rgru"
    assert sorted(path.name for path in reports.iterdir()) == ["failures.jsonl", "metrics.jsonl"]
    failures = {line["source"]: line for line in lines(reports / "failures.jsonl")}
    assert set(failures) == {
        str(photos / f"set{n % 4}" / f"{n:03}.png") for n in range(PICTURES) if n % 10 == 7
    }
    assert all("cannot be read" in line["message"] for line in failures.values())
    metrics = lines(reports / "metrics.jsonl")
    assert len({line["source"] for line in metrics}) == len(metrics) == whole
    for line in metrics:
        data = Path(line["target"]).read_bytes()
        assert line["bytes"] == len(data)
        assert line["status"] == "skipped" or 0 <= line["ms_ssim"] <= 1
        assert data == rgru_codec.compress(line["source"], layers=1, threads=1)


@needs_beam
@posix
def test_two_pictures_with_one_name(tmp_path: Path) -> None:
    image = Image.new("RGB", (16, 16))
    (tmp_path / "in").mkdir()
    image.save(tmp_path / "in/a.bmp")
    image.save(tmp_path / "in/a.png")
    code, summary = finish(
        start("--input", tmp_path / "in/*", "--output", tmp_path / "out", "-l", 1, workers=1)
    )
    assert (code, summary) == (1, "rgru: 1 compressed, 0 skipped, 1 failed")
    (failure,) = lines(tmp_path / "out/_rgru/failures.jsonl")
    assert failure["source"].endswith("a.png")
    assert "already that of" in failure["message"]


@needs_beam
@posix
def test_names_that_look_like_patterns(tmp_path: Path) -> None:
    """A folder ``in[1]`` is a folder, a picture is one input, and ``out[5]`` takes results."""
    image = Image.new("RGB", (16, 16))
    (tmp_path / "in[1]" / "sub").mkdir(parents=True)
    image.save(tmp_path / "in[1]/sub/a.png")
    image.save(tmp_path / "b[2].png")
    (tmp_path / "in[1]" / "._a.png").write_bytes(b"x")
    options = ("--input", "in[1]", "b[2].png", "--output", "out[5]", "-l", 1)
    found = finish(start(*options, workers=1, cwd=tmp_path))
    assert found == (0, "rgru: 2 compressed, 0 skipped, 0 failed")
    written = sorted(str(p.relative_to(tmp_path / "out[5]")) for p in tmp_path.rglob("out*/**/*.*"))
    assert written == ["_rgru/failures.jsonl", "_rgru/metrics.jsonl", "b[2].rgru", "sub/a.rgru"]
    assert len(lines(tmp_path / "out[5]/_rgru/metrics.jsonl")) == 2
    found = finish(start("--input", "in*/*", "--output", "other", "-l", 1, workers=1, cwd=tmp_path))
    assert found[1] == "rgru: in*/*: no pictures of a known kind"


@needs_beam
@pytest.mark.parametrize("name", ["typo", "typo/*.png", "photos[1]", "a.png/"])
def test_inputs_that_match_nothing(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, name: str, capsys: pytest.CaptureFixture[str]
) -> None:
    from rgru_codec.cli import pipeline
    from rgru_codec.cli.beam import main

    monkeypatch.chdir(tmp_path)
    Image.new("RGB", (16, 16)).save("a.png")
    monkeypatch.setattr("apache_beam.Pipeline", None)
    if name == "a.png/":
        assert pipeline._pattern(name) == ("a.png", "")
    else:
        assert main(["compress", "--input", "a.png", name, "--output", "out"]) == 1
        assert capsys.readouterr().err == f"rgru: {name}: nothing matches\n"
        assert not Path("out").exists()


@needs_beam
@pytest.mark.parametrize(
    ("options", "hint"),
    [
        (("--input", "", "--output", "out"), "there is no file name: an argument is empty"),
        (("--input", "a.png", "--output", ""), "there is no file name: an argument is empty"),
        (("--input", "a.png", "--output", "a.png"), "a.png: cannot be made a folder"),
        (("--input", "a.png", "--output", "a.png/out"), "a.png/out: cannot be made a folder"),
        (("--input", "a.png", "--output", "out", "--runner", "None"), "Unexpected pipeline runner"),
        (("--input", "a.png", "--output", "out", "--model", "none"), "none: neither the folder"),
        (("--input", "a.png", "--output", "out", "--encoder", "x"), "no encoder 'x'"),
        (("--input", "a.png", "--output", "out", "--layers", "99"), "--layers 99: the model"),
        (("--input", "a.png", "--output", "out", "--icc", "a.png"), "is not an ICC profile"),
        (
            ("--input", "a.png", "--output", "out", "--exif", "x"),
            "--exif x: no such file or directory",
        ),
        (
            ("--input", "a.png", "--output", "out", "--layer", "3"),  # Beam would pass over it
            "--layer: no such option; did you mean --layers?",
        ),
        (
            ("--input", "a.png", "--output", "out", "--max-pixel=9"),
            "--max-pixel=9: no such option; did you mean --max-pixels?",
        ),
    ],
)
def test_what_cannot_be_done_is_said_before_any_work(
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
    options: tuple[str, ...],
    hint: str,
    capsys: pytest.CaptureFixture[str],
) -> None:
    """An empty name used to stand for the whole disk."""
    from rgru_codec.cli.beam import main

    monkeypatch.chdir(tmp_path)
    Image.new("RGB", (16, 16)).save("a.png")
    before = Path("a.png").read_bytes()
    code = main(["compress", *options])
    err = capsys.readouterr().err
    assert (code in (1, 2), hint in err, "bug" in err) == (True, True, False), err
    assert Path("a.png").read_bytes() == before
    assert [path.name for path in tmp_path.rglob("*.rgru")] == []


@needs_beam
def test_layers_are_those_of_the_model_that_is_named(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    """They were held against the default model, which has more: every picture failed then."""
    from rgru_codec.cli.beam import main

    monkeypatch.chdir(tmp_path)
    Image.new("RGB", (16, 16)).save("a.png")
    options = ("--input", "a.png", "--output", "out", "--model", str(NANO), "--layers", "8")
    assert main(["compress", *options]) == 2
    assert capsys.readouterr().err == "rgru: --layers 8: the model nano has 1..6 layers\n"
    assert not Path("out").exists()


@needs_beam
def test_workers_warm_up_with_the_model_and_encoder_of_the_settings(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    """They warmed up the default model: it was needed, and each first picture was slow."""
    from rgru_codec.cli import pipeline
    from rgru_codec.settings import Settings

    monkeypatch.setattr("rgru_codec.settings.default_model", None)
    pipeline.Compress(Settings(layers=2, model=NANO), "out", False, False).setup()
    work = pipeline.Compress(Settings(layers=2, model=NANO, encoder="x"), "out", False, False)
    with pytest.raises(rgru_codec.InvalidInput, match="no encoder 'x'"):
        work.setup()


@needs_beam
def test_pictures_larger_than_pillow_opens_are_held_against_max_pixels_alone(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Above 179 million pixels they failed as bombs, whatever ``--max-pixels`` said."""
    from rgru_codec.cli import pipeline
    from rgru_codec.settings import Settings

    monkeypatch.setattr(Image, "MAX_IMAGE_PIXELS", 100)
    Image.new("RGB", (16, 16)).save(tmp_path / "a.png")
    work = pipeline.Compress(Settings(layers=1), str(tmp_path / "out"), False, False)
    target = os.fsencode(tmp_path / "out" / "a.rgru")
    (found,) = work.process((target, [os.fsencode(tmp_path / "a.png")]))
    assert found.line["status"] == "compressed"


@needs_beam
@posix
def test_names_that_are_no_text(tmp_path: Path) -> None:
    """Names of files are bytes; one that was no UTF-8 used to stop all the others."""
    (tmp_path / "in").mkdir()
    for name in (b"in/a.png", b"in/b\xff.png", b"in/c\xfe.jpg"):
        path = tmp_path / os.fsdecode(name)
        Image.new("RGB", (16, 16)).save(path)
    (tmp_path / os.fsdecode(b"in/d\xfd.png")).write_bytes(b"no picture")
    options = ("--input", "in", "--output", "out", "-l", 1)
    found = finish(start(*options, workers=2, cwd=tmp_path))
    assert found == (1, "rgru: 3 compressed, 0 skipped, 1 failed")
    written = sorted(os.fsencode(path.name) for path in (tmp_path / "out").glob("*.rgru"))
    assert written == [b"a.rgru", b"b\xff.rgru", b"c\xfe.rgru"]
    assert lines(tmp_path / "out/_rgru/failures.jsonl")[0]["source"].endswith("d\udcfd.png")


@needs_beam
def test_a_result_that_appears_during_the_work_stays(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    from rgru_codec.cli import pipeline
    from rgru_codec.settings import Settings

    Image.new("RGB", (16, 16)).save(tmp_path / "a.png")
    target = tmp_path / "out" / "a.rgru"
    work = pipeline.Compress(Settings(layers=1), str(tmp_path / "out"), False, False)

    def compress(source: str, name: str) -> dict[str, object]:
        target.parent.mkdir()
        target.write_bytes(b"of somebody else")
        work._replace(name, b"ours")
        raise AssertionError("it was overwritten")

    monkeypatch.setattr(work, "_compress", compress)
    (found,) = work.process((os.fsencode(target), [os.fsencode(tmp_path / "a.png")]))
    assert found.failed
    assert "exists, but it is faulty" in found.line["message"]
    assert target.read_bytes() == b"of somebody else"
