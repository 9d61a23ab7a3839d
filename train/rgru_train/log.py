"""What a run tells: lines of JSON, TensorBoard, and a line on the terminal now and then."""

from __future__ import annotations

import json
import time
from collections.abc import Sequence
from pathlib import Path
from typing import Annotated, Any

import msgspec
import numpy as np
import tensorflow as tf
from numpy.typing import NDArray

from rgru_train.nets.config import Whole


class _Train(msgspec.Struct, tag_field="kind", tag="train"):
    step: Whole
    seconds: float = 0.0


class _Kind(msgspec.Struct):
    pictures: int
    bpp_at: dict[str, float | None]
    ciede2000: Annotated[list[float], msgspec.Meta(min_length=1)]


class _Validation(msgspec.Struct, tag_field="kind", tag="validation"):
    step: Whole
    bpp_at: dict[str, float | None]
    kinds: dict[str, _Kind]


class Log:
    """``log.jsonl``, each line with the configuration's hash, and TensorBoard events of a run."""

    def __init__(self, folder: Path, digest: str) -> None:
        self.path, self.digest = folder / "log.jsonl", digest
        events = folder / "events"
        events.mkdir(exist_ok=True)  # what TensorFlow says where it cannot is no OSError
        self.events = tf.summary.create_file_writer(str(events))

    def write(self, kind: str, row: dict[str, Any]) -> None:
        """Add one row; numbers and lists of numbers become scalars in TensorBoard."""
        line = {"kind": kind, "time": time.time(), "config": self.digest, **row}
        with self.path.open("a") as file:
            file.write(json.dumps(line) + "\n")
        with self.events.as_default(step=row["step"]):
            for key, value in row.items():
                values = value if isinstance(value, list) else [value]
                for i, number in enumerate(values):
                    if isinstance(number, (int, float)):
                        name = f"{kind}/{key}" + (f"/{i + 1}" if isinstance(value, list) else "")
                        tf.summary.scalar(name, number)

    def pictures(self, step: int, decoded: Sequence[NDArray[np.uint8]]) -> None:
        """Show decoded validation pictures, each (T, H, W, 3) uint8, one image a layer."""
        with self.events.as_default(step=step):
            for i, layers in enumerate(decoded):
                for t, picture in enumerate(layers):
                    tf.summary.image(f"picture{i + 1}/layer{t + 1}", picture[None])
        self.events.flush()


def read_log(folder: Path) -> list[dict[str, Any]]:
    """Return all rows of a run's log; a line that is none, as a kill leaves it, is left out."""
    path, rows = folder / "log.jsonl", []
    for line in path.read_bytes().splitlines() if path.exists() else []:
        try:
            row = json.loads(line)
            msgspec.convert(row, _Train | _Validation)
        except (ValueError, RecursionError, msgspec.ValidationError):
            continue
        rows.append(row)
    return rows


def progress(row: dict[str, Any], steps: int) -> str:
    """Return two lines for the terminal from a row of kind ``train``."""
    distortion = " ".join(f"{value:.3f}" for value in row["distortion"])
    bpp = " ".join(f"{value:.3f}" for value in row["bpp"])
    head = f"step {row['step']}/{steps}  loss {row['loss']:.3f}  {row['seconds']:.3f} s/step"
    speed = f"{100 * row['share']:.0f} % of the machine's matmul rate"
    return (
        f"{head} (input {row['wait']:.3f})  {speed}\n  per iteration: loss {distortion}  bpp {bpp}"
    )


def machine_rate(branches: int) -> float:
    """Measure multiply-adds a second of 1024 x 1024 float32 matrix products on this machine.

    The best of several, since other processes may want the machine too. As in a step, so many
    products as there are ``branches`` are computed side by side.
    """
    matrices = [tf.random.normal((1024, 1024)) for _ in range(branches)]
    product = tf.function(lambda: tf.add_n([tf.reduce_sum(tf.matmul(a, a)) for a in matrices]))
    product()
    best = float("inf")
    for _ in range(10):
        begin = time.perf_counter()
        product().numpy()
        best = min(best, time.perf_counter() - begin)
    return branches * 1024**3 / best
