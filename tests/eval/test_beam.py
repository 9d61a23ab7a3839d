"""``rgru-eval run --beam``: the same rows as without, whatever ran before."""

from __future__ import annotations

import importlib.util
import json
from pathlib import Path

import pytest

from rgru_eval import __main__ as cli
from rgru_eval.results import Row, load_results

pytestmark = pytest.mark.skipif(
    importlib.util.find_spec("apache_beam") is None,
    reason="Apache Beam is not installed (pip install '.[beam]', about 330 MB)",
)
OPTIONS = "--runner=DirectRunner --direct_running_mode=multi_processing --direct_num_workers=2"


def rows(path: Path) -> list[Row]:
    """Without what depends on the clock."""
    return [{k: v for k, v in r.items() if not k.endswith("_s")} for r in load_results(path).rows]


def run(folder: Path, out: Path, *more: str) -> int:
    words = ["run", "--images", str(folder), "--codecs", "jpeg:optimize,q=10+50"]
    return cli.main([*words, "--metrics", "msssim", "--jobs", "1", "--out", str(out), *more])


def test_the_same_rows_and_nothing_left_behind(folder: Path, tmp_path: Path) -> None:
    (folder / "broken.png").write_bytes(b"no picture")
    assert run(folder, tmp_path / "plain.json") == 0
    assert run(folder, tmp_path / "beam.json", f"--beam={OPTIONS}") == 0
    assert rows(tmp_path / "beam.json") == rows(tmp_path / "plain.json") != []
    assert not (tmp_path / "beam.json.beam").exists()
    skipped = load_results(tmp_path / "beam.json").metadata["skipped"]
    assert [s["name"] for s in skipped] == ["photos/broken"]


def test_a_runner_that_is_not_there_is_told(
    folder: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    assert run(folder, tmp_path / "r.json", "--beam=--runner=Nope") == 1
    assert "rgru-eval: --beam: the pipeline failed: ValueError: Unexp" in capsys.readouterr().err


def test_what_an_interrupted_run_has_measured_is_not_measured_again(
    folder: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    from rgru_eval.measure import beam
    from rgru_eval.measure.pictures import find_pictures
    from rgru_eval.measure.tasks import Outcome, Task

    tasks = [Task(s, "jpeg:optimize,q=10", ("msssim",)) for s in find_pictures([str(folder)])]
    kept = tmp_path / "kept"
    kept.mkdir()
    for task in tasks[:2]:
        found = {"rows": [{"bytes": 1}], "problems": []}
        (tmp_path / "kept" / beam._place(task, "").lstrip("/")).write_text(json.dumps(found))
    outcomes = list(beam.run_beam(tasks, str(kept), ["--runner=DirectRunner"]))
    assert [task for task, _ in outcomes] == tasks
    assert [outcome.rows for _, outcome in outcomes[:2]] == [[{"bytes": 1}]] * 2
    assert isinstance(outcomes[2][1], Outcome)
    assert outcomes[2][1].rows[0]["bytes"] > 1
    assert not kept.exists()
