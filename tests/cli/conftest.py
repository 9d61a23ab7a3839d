"""What the tests of the command line share: a way to run it, small pictures and files."""

from __future__ import annotations

import os

# Before numpy is loaded: threads that wait for each other on a busy machine cost more than they do.
os.environ.setdefault("OPENBLAS_NUM_THREADS", "1")

import dataclasses
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path
from typing import Protocol

import numpy as np
import pytest
from PIL import Image

ROOT = Path(__file__).parents[2]


@dataclasses.dataclass(frozen=True)
class Result:
    code: int
    out: str
    err: str


class Rgru(Protocol):
    def __call__(self, *args: object) -> Result: ...


@pytest.fixture
def rgru(capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch) -> Rgru:
    """Runs a command line in this process."""
    monkeypatch.setattr(Image, "MAX_IMAGE_PIXELS", Image.MAX_IMAGE_PIXELS)  # put back afterwards
    for name in ("OMP_NUM_THREADS", "OPENBLAS_NUM_THREADS", "MKL_NUM_THREADS"):
        monkeypatch.setenv(name, "1")
    for suffix in (".jxl", ".heic", ".heif"):  # other tests load their plugins, which write them
        monkeypatch.delitem(Image.EXTENSION, suffix, raising=False)

    def run(*args: object) -> Result:
        from rgru_codec.cli import main

        capsys.readouterr()
        try:
            code = main([str(arg) for arg in args])
        except SystemExit as stop:
            code = int(stop.code or 0)
        out, err = capsys.readouterr()
        assert "Traceback" not in err
        return Result(code, out, err)

    return run


def environment() -> dict[str, str]:
    """For a process of its own, from a checkout as well as installed."""
    paths = [str(ROOT), str(ROOT / "format")]
    return {**os.environ, "PYTHONPATH": os.pathsep.join(paths), "OPENBLAS_NUM_THREADS": "1"}


def process(
    *args: object, stdin: bytes = b"", cwd: Path | None = None
) -> subprocess.CompletedProcess[bytes]:
    """Runs a command line in a process of its own; standard output is a pipe."""
    command = [sys.executable, "-m", "rgru_codec.cli", *map(str, args)]
    return subprocess.run(
        command, input=stdin, capture_output=True, env=environment(), cwd=cwd, check=False
    )


def picture(width: int = 40, height: int = 24, seed: int = 0, noise: float = 8.0) -> Image.Image:
    """A smooth picture with some noise."""
    generator = np.random.default_rng(seed)
    x, y = np.meshgrid(np.linspace(0, 255, width), np.linspace(0, 255, height))
    pixels = np.stack([x, y, 255 - x], axis=2) + generator.normal(0, noise, (height, width, 3))
    return Image.fromarray(pixels.clip(0, 255).astype(np.uint8))


@pytest.fixture(scope="session")
def data() -> bytes:
    """A file of all layers."""
    import rgru_codec

    return rgru_codec.compress(picture(), layers="all")


@pytest.fixture
def folder(tmp_path: Path, data: bytes, monkeypatch: pytest.MonkeyPatch) -> Iterator[Path]:
    """A working folder with a picture and files: whole, cut, damaged."""
    monkeypatch.chdir(tmp_path)
    picture().save(tmp_path / "a.png")
    (tmp_path / "whole.rgru").write_bytes(data)
    (tmp_path / "cut.rgru").write_bytes(data[: len(data) * 2 // 3])
    broken = bytearray(data)
    broken[len(data) // 2] ^= 1
    (tmp_path / "broken.rgru").write_bytes(broken)
    (tmp_path / "text.txt").write_text("no picture")
    (tmp_path / "empty.png").write_bytes(b"")
    yield tmp_path
    left = [path.name for path in tmp_path.rglob("*.part")]
    assert not left, "temporary files were left behind"
