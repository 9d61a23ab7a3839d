"""The promise: a file that a released version wrote opens in every later one."""

from __future__ import annotations

import hashlib
import os
import re
import subprocess
import sys
from pathlib import Path

import pytest

import rgru_codec
from rgru_codec.vectors import problem_of
from rgru_format.conformance import VECTORS
from tools.make_vectors import list_of

RELEASED = Path(__file__).parent / "released"
VERSIONS = sorted(path for path in RELEASED.glob("*") if path.is_dir())
LISTS = sorted(RELEASED.glob("*/vectors.sha256"))
FILES = [path for folder in VERSIONS for path in sorted(folder.glob("*.rgru"))]
MODELS = [path for path in RELEASED.parents[1].glob("models/*/rgru_*") if path.is_dir()]


@pytest.fixture(autouse=True)
def models_of_their_own_distributions(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("RGRU_MODELS", os.pathsep.join(map(str, MODELS)))


def test_every_released_minor_version_has_files() -> None:
    major, minor = map(int, re.findall(r"\d+", rgru_codec.__version__)[:2])
    needed = {f"{major}.{n}.0" for n in range(minor + 1)} if major else set()
    if "dev" in rgru_codec.__version__:
        needed -= {f"{major}.{minor}.0"}
    assert needed <= {folder.name for folder in VERSIONS}


@pytest.mark.parametrize("path", FILES, ids=lambda path: f"{path.parent.name}-{path.stem}")
def test_a_released_file_opens_as_it_did(path: Path) -> None:
    assert problem_of(path, path.parent) is None


@pytest.mark.parametrize("folder", VERSIONS, ids=lambda folder: folder.name)
def test_released_files_are_those_of_their_list(folder: Path) -> None:
    check_list(folder)


@pytest.mark.parametrize("list_", LISTS, ids=lambda path: path.parent.name)
def test_vectors_of_a_release_are_still_there(list_: Path) -> None:
    """Without the release's tag too, which not every checkout has."""
    now = list_of(VECTORS).read_text().splitlines()
    assert set(list_.read_text().splitlines()) <= set(now)


def check_list(folder: Path) -> None:
    rows = (line.split("  ", 1) for line in (folder / "SHA256SUMS").read_text().splitlines())
    listed = {name: digest for digest, name in rows}
    assert {path.name for path in folder.iterdir()} == {*listed, "SHA256SUMS"}
    for name, digest in listed.items():
        assert hashlib.sha256((folder / name).read_bytes()).hexdigest() == digest


def test_files_are_made_once_and_what_is_wrong_with_them_is_found(tmp_path: Path) -> None:
    command = [sys.executable, "-m", "tools.make_released", "9.0.0", "--to", str(tmp_path)]
    root = Path(__file__).parents[1]
    made = subprocess.run(command, cwd=root, capture_output=True, check=False, text=True)
    assert made.returncode == 0, made.stderr
    folder = tmp_path / "9.0.0"
    check_list(folder)
    files = sorted(folder.glob("*.rgru"))
    assert len(files) > 12
    assert sum(path.stat().st_size for path in folder.iterdir()) < 300_000
    assert [problem_of(path, folder) for path in files] == [None] * len(files)
    (folder / "rgb.rgru").write_bytes((folder / "rgba.rgru").read_bytes())
    assert problem_of(folder / "rgb.rgru", folder) is not None
    again = subprocess.run(command, cwd=root, capture_output=True, check=False, text=True)
    assert again.returncode == 1
    assert "what was released stays as it is" in again.stderr
