"""TensorFlow raises warnings of its own; none of them is about this project's code."""

from __future__ import annotations

import os
import subprocess
from pathlib import Path

import pytest

os.environ.setdefault("TF_CPP_MIN_LOG_LEVEL", "2")
pytest.importorskip("tensorflow", reason="training needs the extra [train]")

from .tiny import TINY, command, environment, make_photos


@pytest.fixture(scope="session")
def photos(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return make_photos(tmp_path_factory.mktemp("data") / "photos")


@pytest.fixture(scope="session")
def reference(tmp_path_factory: pytest.TempPathFactory, photos: Path) -> Path:
    """A run of 8 steps by one process that nobody disturbed; beside it what it said."""
    run = tmp_path_factory.mktemp("runs") / "reference"
    arguments = ("run", "--config", TINY, "--data", photos, "--out", run)
    quiet = environment()
    del quiet["TF_CPP_MIN_LOG_LEVEL"]  # users do not set it
    said = subprocess.run(
        command(*arguments), env=quiet, check=True, capture_output=True, text=True
    )
    run.with_suffix(".stdout").write_text(said.stdout)
    run.with_suffix(".stderr").write_text(said.stderr)
    return run
