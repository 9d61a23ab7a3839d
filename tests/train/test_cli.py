"""The command line of training, as far as no network is needed."""

from __future__ import annotations

import subprocess
import sys
from pathlib import Path

import pytest

from rgru_train.__main__ import main

from .tiny import environment


@pytest.mark.parametrize(
    ("words", "hint"),
    [
        (("pack", "run", "--out", "photo.png"), "the name of a packed run ends in .npz"),
        (("run", "--config", "short", "--data", "", "--out", "run"), "there is no file name"),
        (("run", "--config", "short", "--data", "photos", "--out", ""), "there is no file name"),
        (("run", "--data", "photos", "--out", "run", "--steps", "-1"), "it must be 0 or more"),
        (("fit", "run", "--data", "photos", "--steps", "0"), "it must be 1 or more"),
        (("export", "run", "--size-limit", "nan"), "it must be above 0"),
        (("export", "run", "--size-limit", "much"), "'much' is not a number"),
    ],
)
def test_names_of_other_things_and_numbers_that_mean_nothing_are_refused(
    words: tuple[str, ...], hint: str, capsys: pytest.CaptureFixture[str]
) -> None:
    with pytest.raises(SystemExit) as done:
        main(list(words))
    assert done.value.code == 2
    assert hint in capsys.readouterr().err


@pytest.mark.parametrize("error", [FloatingPointError("loss is nan"), OSError(28, "disk full")])
def test_divergence_and_what_cannot_be_written_are_told_in_a_line(
    error: Exception, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    def fail(_: object) -> None:
        raise error

    monkeypatch.setattr("rgru_train.__main__._describe", fail)
    assert main(["describe", "--config", "a.toml"]) == 2
    assert capsys.readouterr().err == f"rgru-train: {error}\n"


@pytest.mark.skipif(sys.platform == "win32", reason="sh")
def test_training_starts_with_standard_error_closed(tmp_path: Path) -> None:
    """Keeping TensorFlow's words off it ended in a traceback."""
    (tmp_path / "tensorflow.py").write_text("loaded = True")
    script = (
        "import rgru_train.__main__ as program\n"
        "program._describe = print\n"
        "assert program.main(['describe', '--config', 'short']) == 0\n"
        "import tensorflow; assert tensorflow.loaded\n"
    )
    paths = f"{tmp_path}:{environment()['PYTHONPATH']}"
    words = ["sh", "-c", 'exec "$0" -c "$1" 2>&-', sys.executable, script]
    assert subprocess.run(words, env=environment(PYTHONPATH=paths)).returncode == 0
