from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import pytest

from rgru_eval.__main__ import main
from rgru_eval.errors import EvalError
from rgru_eval.measure import run
from rgru_eval.measure.run import load_paths, paths_file
from rgru_eval.results import Results, load_results, merge

from .conftest import order

pytestmark = pytest.mark.usefixtures("no_memory_probe")


@pytest.mark.parametrize(
    ("text", "words"),
    [
        ("not json", "not a file of rgru-eval .JSON is malformed"),
        ("[" * 200000, "not a file of rgru-eval"),
        ("[1]", "not a file of rgru-eval"),
        ('{"format": "rgru-eval results", "version": 99}', "results of version 99, this rgru-eval"),
        ('{"format": "rgru-eval results", "version": 1}', "is damaged"),
    ],
)
def test_other_files_are_refused(tmp_path: Path, folder: Path, text: str, words: Any) -> None:
    path = tmp_path / "out.json"
    path.write_text(text)
    with pytest.raises(EvalError, match=words):
        load_results(path)
    with pytest.raises(EvalError, match=words):
        run.run(order(folder, tmp_path))
    assert path.read_text() == text
    with pytest.raises(EvalError, match="no such results file"):
        load_results(tmp_path / "none.json")


@pytest.mark.parametrize(
    ("place", "value"),
    [
        ("metadata", []),
        ("metadata codecs", []),
        ("metadata codecs jpeg:subsampling=420,optimize,q=10+50", {"label": "JPEG"}),
        ("metadata images 0", {"name": "a"}),
        ("metadata skipped", ["what"]),
        ("metadata commands", 5),
        ("metadata machine", 3),
        ("metadata baseline", []),
        ("schema fields", 3),
        ("data", None),
        ("data 0", [1]),
        ("data 0 1", 5),  # set
        ("data 0 2", "nowhere"),  # image
        ("data 0 3", "nobody"),  # codec
        ("data 0 4", 50.0),  # setting, that of another row
        ("data 0 5", 0),  # bytes
        ("data 0 6", None),  # bpp
        ("data 0 10", "much"),  # psnr
    ],
)
def test_damaged_results_are_told_with_the_place(
    folder: Path, tmp_path: Path, place: str, value: Any, capsys: pytest.CaptureFixture[str]
) -> None:
    """They ended in tracebacks."""
    path = tmp_path / "out.json"
    run.run(order(folder, tmp_path, images=(str(folder / "a.png"),), metrics=("psnr",)))
    content = json.loads(path.read_text())
    *way, last = (int(key) if key.isdigit() else key for key in place.split(" "))
    part = content
    for key in way:
        part = part[key]
    part[last] = value
    path.write_text(json.dumps(content))
    capsys.readouterr()
    assert main(["summary", str(path)]) == 1
    (line,) = capsys.readouterr().err.splitlines()
    assert "the results file is damaged" in line
    assert "measure again: 'rgru-eval run --restart'" in line


@pytest.mark.parametrize("text", ["", "{", "[]", '{"photos/a": 5}'])
def test_damaged_places_of_pictures_are_noted_anew(
    folder: Path, tmp_path: Path, text: str, capsys: pytest.CaptureFixture[str]
) -> None:
    """They ended in tracebacks."""
    place = paths_file(tmp_path / "out.json")
    place.write_text(text)
    assert load_paths([tmp_path / "out.json"]) == {}
    assert ("out.json.local: damaged, ignored" in capsys.readouterr().err) == bool(text)
    run.run(order(folder, tmp_path))
    assert sorted(json.loads(place.read_text())) == ["photos/a", "photos/b", "photos/c"]


def test_nothing_private_in_the_file(folder: Path, tmp_path: Path) -> None:
    run.run(order(folder, tmp_path))
    assert str(tmp_path) not in (tmp_path / "out.json").read_text()
    assert load_paths([tmp_path / "out.json"])["photos/a"] == (folder / "a.png").resolve()


def test_joining_results(folder: Path, tmp_path: Path) -> None:
    first = run.run(order(folder, tmp_path))
    second = run.run(order(folder, tmp_path, out=tmp_path / "two.json", codecs=("webp:q=30",)))
    whole = merge([first, second, second])
    assert len(whole.rows) == len(first.rows) + len(second.rows)
    assert list(whole.metadata["codecs"]) == [first.rows[0]["codec"], "webp:method=4,q=30"]
    other = Results(json.loads(json.dumps(second.metadata)), second.rows)
    other.metadata["images"][0]["sha256"] = "0"
    with pytest.raises(EvalError, match="differ in its pixels"):
        merge([first, other])
