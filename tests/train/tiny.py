"""A tiny network and a handful of photos, shared by the tests of this folder."""

from __future__ import annotations

import contextlib
import csv
import os
import sys
from collections.abc import Iterator
from pathlib import Path

import numpy as np
import tensorflow as tf
from PIL import Image

from rgru_train.config import RunConfig

ROOT = Path(__file__).parents[2]
TINY = Path(__file__).parent / "tiny.toml"


def tiny() -> RunConfig:
    return RunConfig.from_toml(TINY)


def make_photos(folder: Path) -> Path:
    """Eight smooth random photos of 192x176 pixels, two of them (p45, p63) held out by name.

    A table beside the folder knows four of the six others.
    """
    folder.mkdir()
    rng = np.random.default_rng(0)
    for i in (*range(6), 45, 63):
        coarse = rng.integers(0, 256, (6, 8, 3), dtype=np.uint8)
        photo = Image.fromarray(coarse).resize((192, 176), Image.Resampling.BICUBIC)
        photo.save(folder / f"p{i}.png")
    rows: list[tuple[str, ...]] = [("file", "width", "height", "source", "original", "licence")]
    rows += [(f"p{i}.png", "192", "176", "blobs", "", "CC0-1.0") for i in range(4)]
    write_table(folder.parent / "train_manifest.csv", rows)
    return folder


@contextlib.contextmanager
def eagerly() -> Iterator[None]:
    """Operations one by one meanwhile: a few steps then take less time than tracing them first."""
    tf.config.run_functions_eagerly(True)
    try:
        yield
    finally:
        tf.config.run_functions_eagerly(False)


def write_table(path: Path, rows: list[tuple[str, ...]]) -> None:
    with path.open("w", newline="") as file:
        csv.writer(file).writerows(rows)


def command(*arguments: object) -> list[str]:
    """``rgru-train`` as a process of its own."""
    return [sys.executable, "-m", "rgru_train", *map(str, arguments)]


def environment(**more: str) -> dict[str, str]:
    """One thread each: sums of floats come out the same, and processes run side by side."""
    paths = [ROOT, *(ROOT / room for room in ("format", "train"))]
    threads = {f"TF_NUM_{kind}_THREADS": "1" for kind in ("INTRAOP", "INTEROP")}
    return {
        **{key: value for key, value in os.environ.items() if key != "TF_CONFIG"},
        "PYTHONPATH": os.pathsep.join(map(str, paths)),
        "TF_CPP_MIN_LOG_LEVEL": "2",
        "OMP_NUM_THREADS": "1",
        **threads,
        **more,
    }
