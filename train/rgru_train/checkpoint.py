"""Checkpoints: one ``.npz`` with everything that a resumed run needs.

A run's folder holds ``checkpoint.npz`` (the newest), ``previous.npz`` and ``best.npz`` (the best
by validation). Each is written under another name, flushed to the disk and renamed, so a kill at
any moment leaves a good one.

Keys: ``weight{i}`` and ``average{i}`` in the order of ``Model.trainable``, ``optimizer{i}`` in the
order of Keras's optimizer, ``step``, and ``log_multipliers`` and ``mean_rates`` of rate control.
"""

from __future__ import annotations

import os
import zipfile
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from rgru_format import InvalidInput

NEWEST, PREVIOUS, BEST = "checkpoint.npz", "previous.npz", "best.npz"

Arrays = dict[str, NDArray[Any]]


def save(folder: Path, arrays: Arrays) -> None:
    """Write the newest checkpoint; the one before is kept."""
    temporary = _written(folder, arrays)
    newest = folder / NEWEST
    if newest.exists():
        newest.replace(folder / PREVIOUS)
    temporary.replace(newest)


def save_best(folder: Path, arrays: Arrays, score: float) -> None:
    """Write the checkpoint that validates best so far."""
    _written(folder, {**arrays, "score": np.array(score)}).replace(folder / BEST)


def best_score(folder: Path) -> float:
    """Validation score (lower is better) of ``best.npz``; infinite if there is none."""
    try:
        return float(_read(folder / BEST)["score"])
    except (OSError, KeyError, ValueError, zipfile.BadZipFile):
        return float("inf")


def load(folder: Path, names: tuple[str, ...] = (NEWEST, PREVIOUS)) -> Arrays:
    """The first readable checkpoint of a run.

    Raises:
        InvalidInput: there is none.
    """
    for name in names:
        try:
            return _read(folder / name)
        except (OSError, EOFError, KeyError, ValueError, zipfile.BadZipFile):
            continue
    raise InvalidInput(f"{folder}: no checkpoint ({' or '.join(names)}) to start from")


def mean(runs: Sequence[Arrays]) -> Arrays:
    """Weights, running means of them and all else half-way between runs; the largest step.

    Runs that began at the same weights stay near enough for their mean to be better than each
    (Wortsman et al., Model soups, 2022).

    Raises:
        InvalidInput: they are not of the same network and optimizer.
    """
    shapes = [{name: array.shape for name, array in run.items() if name != "score"} for run in runs]
    if any(one != shapes[0] for one in shapes):
        raise InvalidInput("a mean needs runs of the same network and optimizer")
    result = {}
    for name in shapes[0]:
        arrays = [run[name] for run in runs]
        whole = arrays[0].dtype.kind in "iu"  # steps
        together = np.max(arrays, axis=0) if whole else np.mean(arrays, axis=0, dtype=np.float64)
        result[name] = together.astype(arrays[0].dtype)
    return result


def _read(path: Path) -> Arrays:
    # numpy leaves a file that it opened itself, and cannot read, open.
    with path.open("rb") as file, np.load(file) as arrays:
        return {key: arrays[key] for key in arrays.files}


def _written(folder: Path, arrays: Arrays) -> Path:
    temporary = folder / "writing.npz"
    with temporary.open("wb") as file:
        np.savez(file, **arrays)  # type: ignore[arg-type]
        file.flush()
        os.fsync(file.fileno())
    return temporary
