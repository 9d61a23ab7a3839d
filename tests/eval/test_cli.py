from __future__ import annotations

import json
import os
import subprocess
import sys
from pathlib import Path
from typing import Any

import pytest

from rgru_eval import __main__ as cli

pytestmark = pytest.mark.usefixtures("no_memory_probe")


HEAVY = ("matplotlib", "skimage", "pandas", "numpy", "PIL", "scipy", "rgru_format", "tensorflow")


def test_help_loads_nothing_heavy() -> None:
    code = (
        "import sys\n"
        "from rgru_eval.__main__ import main\n"
        "try: main(['run', '--help'])\n"
        "except SystemExit as done: assert done.code == 0\n"
        f"print([m for m in {HEAVY} if m in sys.modules], file=sys.stderr)\n"
    )
    path = os.pathsep.join(str(Path(__file__).parents[2] / p) for p in ("eval", "."))
    done = subprocess.run(
        [sys.executable, "-c", code],
        env={**os.environ, "PYTHONPATH": path},
        capture_output=True,
        text=True,
        timeout=60,
        check=True,
    )
    assert done.stderr.strip() == "[]"
    assert "--images" in done.stdout


def test_run_and_summary(folder: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    out = tmp_path / "r.json"
    words = [
        "run",
        "--images",
        str(folder),
        "--codecs",
        "jpeg:optimize,q=5+20+60",
        "webp:q=5+30+80",
    ]
    assert cli.main([*words, "--out", str(out), "--metrics", "msssim", "--jobs", "1"]) == 0
    assert "photos: 3 pictures; whole files" in capsys.readouterr().out
    assert cli.main(["summary", str(out), "--json"]) == 0
    summary = json.loads(capsys.readouterr().out)
    assert [entry["pictures"] for entry in summary["photos"]] == [3, 3]


def test_settings_that_are_named_twice_are_measured_once(
    folder: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    """No table could be made of such results."""
    out = str(tmp_path / "r.json")
    words = ["run", "--images", str(folder), "--codecs", "jpeg:optimize,q=10+10+30"]
    assert cli.main([*words, "--out", out, "--metrics", "psnr", "--jobs", "1"]) == 0
    assert "traceback" not in capsys.readouterr().err.lower()
    assert cli.main(["summary", out]) == 0


def test_what_cannot_be_written_is_told(
    folder: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    out = tmp_path / "r.json"
    words = ["--codecs", "jpeg:optimize,q=10+30", "--metrics", "psnr", "--jobs", "1"]
    assert cli.main(["run", "--images", str(folder), *words, "--out", str(out)]) == 0
    assert cli.main(["plot", str(out), "-o", str(out)]) == 1
    assert "rgru-eval: [Errno" in capsys.readouterr().err


@pytest.mark.skipif(sys.platform != "linux", reason="names of any bytes")
def test_names_that_results_cannot_tell_are_refused_before_the_work(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    """What had been measured was lost with the file that could not be written."""
    Path(os.fsdecode(bytes(tmp_path) + b"/b\xff.png")).write_bytes(b"")
    words = ["--codecs", "jpeg", "--out", str(tmp_path / "r.json")]
    assert cli.main(["run", "--images", str(tmp_path), *words]) == 1
    assert "its name is not UTF-8" in capsys.readouterr().err


def test_sets_stay_in_the_folder_of_files(folder: Path, tmp_path: Path) -> None:
    from rgru_eval.measure.pictures import find_pictures

    for name in (".", ".."):
        assert {source.set for source in find_pictures([f"{name}={folder}"])} == {"-" * len(name)}


def test_tables_and_plots_for_a_page(
    folder: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    pytest.importorskip("matplotlib")
    words = [
        "--images",
        folder,
        "--codecs",
        "jpeg:optimize,q=5+20+60",
        "--out",
        tmp_path / "r.json",
    ]
    assert cli.main(["run", *map(str, words), "--metrics", "msssim", "-j", "1"]) == 0
    capsys.readouterr()
    assert cli.main(["summary", str(tmp_path / "r.json"), "--markdown"]) == 0
    lines = capsys.readouterr().out.splitlines()
    assert lines[0].startswith("| bits per pixel at equal quality |")
    assert lines[2].startswith("| **RGB MS-SSIM** | at 0.9 | at 0.95 | at 0.98 |")
    assert lines[3].startswith("| JPEG 4:2:0 optimised | ")
    assert lines[4].startswith("| **luma MS-SSIM** |")
    assert lines[6:8] == ["", "Where more bits are needed than an anchor needs:"]
    assert cli.main(["plot", str(tmp_path / "r.json"), "-o", str(tmp_path / "png")]) == 0
    names = sorted(path.name for path in (tmp_path / "png").iterdir())
    assert names == ["photos-curves.png", "photos-rates.png"]  # nothing was cut short


def test_one_command_measures_and_reports(folder: Path, tmp_path: Path) -> None:
    out, page = tmp_path / "r.json", tmp_path / "r.html"
    words = ["run", "--images", str(folder), "--codecs", "jpeg:optimize,q=5+60", "--limit", "1"]
    words += ["--jobs", "1", "--metrics", "msssim", "--out", str(out), "--report", str(page)]
    assert cli.main(words) == 0
    assert "photos/a" in page.read_text("utf-8")


def test_codecs_are_listed(capsys: pytest.CaptureFixture[str]) -> None:
    assert cli.main(["codecs"]) == 0
    text = capsys.readouterr().out
    assert "stands for jpeg:subsampling=420,optimize" in text
    assert "rgru" in text


@pytest.mark.parametrize(
    ("words", "message"),
    [
        (["summary", "none.json"], "no such results file; make one with 'rgru-eval run'"),
        (["run", "--images", "nowhere", "--out", "x.json"], "nowhere: no such file or folder"),
        (["run", "--images", ".", "--out", "x.json", "--metrics", "y"], "no metric 'y'"),
        (["report", "none.json", "-o", "x.html"], "no such results file"),
    ],
)
def test_errors_are_one_line_and_exit_1(
    words: Any,
    message: str,
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
    capsys: pytest.CaptureFixture[str],
) -> None:
    monkeypatch.chdir(tmp_path)
    assert cli.main(words) == 1
    error = capsys.readouterr().err
    assert message in error
    assert len(error.splitlines()) == 1


def test_a_missing_package_names_the_extra(
    monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str], tmp_path: Path
) -> None:
    monkeypatch.setitem(sys.modules, "rgru_eval.results", None)
    assert cli.main(["summary", "x.json"]) == 1
    assert "pip install 'rgru-codec[eval]'" in capsys.readouterr().err


@pytest.mark.parametrize(
    ("words", "hint"),
    [
        ("run --jobs -1", "-1 is out of range, it must be 0 or more"),
        ("run --limit 0", "0 is out of range, it must be 1 or more"),
        ("report --jobs many", "'many' is not a whole number"),
        ("legibility --cards 0", "0 is out of range, it must be 1 or more"),
        ("legibility --seed -3", "-3 is out of range, it must be 0 or more"),
        ("projector --points 0", "0 is out of range, it must be 1 or more"),
        ("projector --layer 0", "0 is out of range, it must be 1 or more"),
    ],
)
def test_numbers_without_a_meaning_are_refused(
    words: str, hint: str, capsys: pytest.CaptureFixture[str]
) -> None:
    with pytest.raises(SystemExit) as done:
        cli.main(words.split())
    assert done.value.code == 2
    assert hint in capsys.readouterr().err


@pytest.mark.parametrize(
    ("words", "hint"),
    [
        (("run", "--set", "", "--out", "r.json"), "there is no file name"),
        (("run", "--set", "x=", "--out", "r.json"), "there is no file name"),
        (("run", "--set", "photos", "--out", ""), "there is no file name"),
        (
            ("run", "--set", "photos", "--out", "photos/a.png"),
            "ends in .json",
        ),
        (
            ("run", "--set", "photos", "--out", "r.json", "--report", "photos/a.png"),
            "ends in .html",
        ),
        (("run", "--set", "photos", "--out", "mine.json", "--restart"), "has not made it"),
        (("report", "r.json", "-o", "mine.html"), "has not made it"),
        (("report", "r.json", "-o", "photos/a.png"), "ends in .html"),
        (("summary", ""), "there is no file name"),
        (("run", "--set", "photos", "--out", "no/r.json"), "its folder does not exist"),
        (("run", "--set", "photos", "--out", "r.json", "--beam", "'"), "No closing quotation"),
        (("report", "r.json", "-o", "no/r.html"), "its folder does not exist"),
        (("legibility", "--csv", "no/r.csv"), "its folder does not exist"),
        (("legibility", "--png", "mine.html"), "ends in .png"),
        (("projector", "--images", "", "--layer", "1", "--out", "x"), "there is no file name"),
    ],
)
def test_no_command_overwrites_what_it_has_not_made(
    words: tuple[str, ...],
    hint: str,
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
    capsys: pytest.CaptureFixture[str],
) -> None:
    """``--report photos/a.png`` used to put the report in the photo's place."""
    monkeypatch.chdir(tmp_path)
    Path("photos").mkdir()
    for name in ("photos/a.png", "mine.json", "mine.html"):
        Path(name).write_bytes(b"of somebody else")
    with pytest.raises(SystemExit) as done:
        cli.main(list(words))
    assert done.value.code == 2
    assert hint in capsys.readouterr().err
    for name in ("photos/a.png", "mine.json", "mine.html"):
        assert Path(name).read_bytes() == b"of somebody else"


@pytest.mark.skipif(sys.platform == "win32", reason="no such names there")
def test_names_with_controls_reach_no_terminal(
    folder: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    (folder / "a\x1b[31mred.png").write_bytes(b"no picture")
    words = ["run", "--set", str(folder), "--codecs", "jpeg:subsampling=420,q=50"]
    words += ["--metrics", "psnr", "-j", "1", "--limit", "2", "--out", str(tmp_path / "r.json")]
    assert cli.main(words) == 0
    assert cli.main(["summary", str(tmp_path / "no\x1b[31m.json")]) == 1
    err = capsys.readouterr().err
    assert err.count("\\x1b[31m") >= 2, err
    assert "\x1b" not in err
