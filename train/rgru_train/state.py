"""The state of a run on disk: ``.npz`` files with everything that a resumed run needs.

A run's folder holds ``checkpoint.npz`` (the newest), ``previous.npz`` and ``best.npz`` (the best
by validation). Each takes its name when it is whole and on the disk, so a kill at any moment leaves
a good one.

Arrays have names: ``weights/NAME`` and ``averages/NAME`` for each weight, such as
``weights/D/rnn0/W/pointwise``; ``optimizer/SLOT/NAME`` for what the optimizer remembers of it;
``step``, ``mean_distortion``, and ``log_prices`` and ``mean_rates`` of rate control.
"""

from __future__ import annotations

import io
from collections.abc import Callable, Mapping, Sequence
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from rgru_codec.files import write_file
from rgru_format import InvalidInput
from rgru_train.config import RunConfig

NEWEST, PREVIOUS, BEST = "checkpoint.npz", "previous.npz", "best.npz"
_COUNTS = ("step", "optimizer/steps")

Arrays = dict[str, NDArray[Any]]


def save(folder: Path, arrays: Arrays) -> None:
    """Write the newest checkpoint; the one before is kept."""
    newest = folder / NEWEST
    if newest.exists():
        newest.replace(folder / PREVIOUS)
    write(newest, arrays)


def save_best(folder: Path, arrays: Arrays, score: float) -> None:
    """Write the checkpoint that validates best so far."""
    write(folder / BEST, {**arrays, "score": np.array(score)})


def write(path: Path, arrays: Arrays, save: Callable[..., None] = np.savez) -> None:
    """Write arrays to a file, which takes its name when it is whole."""
    file = io.BytesIO()
    save(file, **arrays)
    write_file(path, file.getbuffer())


def is_run(folder: Path) -> bool:
    """Tell whether a folder holds a checkpoint to go on from."""
    return any((folder / name).exists() for name in (NEWEST, PREVIOUS))


def make_run(folder: Path, config: str, arrays: Arrays) -> None:
    """Make the folder of a run to resume, with its configuration as JSON and a checkpoint.

    Raises:
        InvalidInput: the folder exists.
    """
    if folder.exists():
        raise InvalidInput(f"{folder} exists: name another folder")
    folder.mkdir(parents=True)
    write_file(folder / "config.json", config.encode())
    save(folder, arrays)


def best_score(folder: Path) -> float:
    """Return the validation score (lower is better) of ``best.npz``; infinite if there is none."""
    try:
        return float(shaped(read(folder / BEST), "score", ()))
    except InvalidInput:
        return float("inf")


def load(folder: Path, names: tuple[str, ...] = (NEWEST, PREVIOUS)) -> Arrays:
    """Read the first readable checkpoint of a run.

    Raises:
        InvalidInput: there is none.
    """
    reasons = []
    for name in names:
        try:
            return read(folder / name)
        except InvalidInput as error:
            reasons.append(str(error))
    raise InvalidInput(f"{folder}: no checkpoint to start from ({'; '.join(reasons)})")


def read(path: Path) -> Arrays:
    """Read the arrays of one file.

    Raises:
        InvalidInput: it cannot be read, or holds other things than numbers and steps taken.
    """
    try:
        # numpy leaves a file that it opened itself, and cannot read, open.
        with path.open("rb") as file, np.lib.npyio.NpzFile(file) as arrays:
            found = {key: arrays[key] for key in arrays.files}
        strange = [k for k, a in found.items() if k != "config" and not _is_sound(k, a)]
    except OSError as error:
        raise InvalidInput(f"{path}: {error.strerror or error}") from None
    except Exception as error:  # what zipfile, zlib and numpy say of damage is no closed set
        raise InvalidInput(f"{path}: no checkpoint, or damaged: {error}") from None
    if strange:
        raise InvalidInput(f"{path}: no checkpoint: {strange[0]} is not made of numbers fit for it")
    return found


def _is_sound(name: str, array: NDArray[Any]) -> bool:
    """Whether an array holds numbers, and if it counts steps, as many as a run can have."""
    if array.dtype.kind not in "fiu" or array.itemsize > 8 or np.isnan(array).any():
        return False
    return name not in _COUNTS or bool(np.all((array >= 0) & (array < 2**31)))


def part(arrays: Mapping[str, NDArray[Any]], prefix: str) -> Arrays:
    """Return the arrays whose names begin with ``prefix/``, under the rest of their names."""
    start = f"{prefix}/"
    return {n.removeprefix(start): array for n, array in arrays.items() if n.startswith(start)}


def shaped(arrays: Mapping[str, NDArray[Any]], name: str, shape: Sequence[int]) -> NDArray[Any]:
    """Return an array of a checkpoint; raises InvalidInput unless it is there in this shape."""
    found = arrays.get(name)
    if found is None or found.shape != tuple(shape):
        words = "missing" if found is None else found.shape
        raise InvalidInput(f"weights of another network: {name} is {words}, not {tuple(shape)}")
    return found


def mean(runs: Sequence[Arrays]) -> Arrays:
    """Return weights, their running means and all else half-way between runs; the largest step.

    Runs that began at the same weights stay near enough for their mean to be better than each
    (Wortsman et al., Model soups, 2022).

    Raises:
        InvalidInput: they are not of the same network and optimizer.
    """
    shapes = [
        {name: array.shape for name, array in run.items() if name not in ("score", "config")}
        for run in runs
    ]
    if any(one != shapes[0] for one in shapes):
        raise InvalidInput("a mean needs runs of the same network and optimizer")
    result = {}
    for name in shapes[0]:
        arrays = [run[name] for run in runs]
        whole = arrays[0].dtype.kind in "iu"  # steps
        together = np.max(arrays, axis=0) if whole else np.mean(arrays, axis=0, dtype=np.float64)
        result[name] = together.astype(arrays[0].dtype)
    return result


def pack(folder: Path, out: Path) -> int:
    """Write the newest checkpoint small enough to be carried away; return its bytes.

    Configuration, running means of the weights in float16, step and rate control, deflated. What
    the optimizer remembers is left out, and comes back within some hundred steps.

    Raises:
        InvalidInput: the folder has no configuration or no checkpoint.
    """
    config = RunConfig.of_run(folder).as_json()
    return pack_arrays(load(folder), config, out)


def pack_arrays(arrays: Arrays, config: str, out: Path) -> int:
    """Do what ``pack`` does with a checkpoint's arrays and a configuration as JSON."""
    small: Arrays = {"config": np.array(config)}
    for name, array in arrays.items():
        if name.startswith("averages/"):
            small[name] = array.astype(np.float16)
        elif not name.startswith(("weights/", "optimizer/")):
            small[name] = array
    write(out, small, np.savez_compressed)
    return out.stat().st_size


def unpack(file: Path, folder: Path) -> None:
    """Make the folder of a run to resume from what ``pack`` wrote.

    Raises:
        InvalidInput: the file is no packed run, or the folder exists.
    """
    arrays = read(file)
    averages = part(arrays, "averages")
    if not averages or not {"config", "step", "mean_distortion"} <= arrays.keys():
        raise InvalidInput(f"{file}: not a packed run")
    config = RunConfig.from_json(str(arrays.pop("config")), str(file)).as_json()
    for name, array in averages.items():
        exact = array.astype(np.float32)
        arrays |= {f"averages/{name}": exact, f"weights/{name}": exact}
    arrays["optimizer/steps"] = np.array(0)  # its memory is empty: it starts as at the beginning
    make_run(folder, config, arrays)
