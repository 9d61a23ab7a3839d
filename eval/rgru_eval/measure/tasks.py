"""The work of a run: every picture through every codec at every setting.

One task is one picture and one codec with its whole ladder, or with what failed of it before. Each
process keeps the source statistics of the picture it worked on last.
"""

from __future__ import annotations

import hashlib
import re
from collections.abc import Callable, Generator, Sequence
from dataclasses import dataclass, field
from functools import cache, lru_cache
from pathlib import Path
from typing import Any

from rgru_codec.processes import cores, run_in_processes
from rgru_eval.errors import EvalError, in_words
from rgru_eval.judge.metrics import Judge
from rgru_eval.measure.codecs import Codec, CuttableCodec, Failure
from rgru_eval.measure.machine import children_peak_memory_mb, peak_memory_mb
from rgru_eval.measure.pictures import Picture, Source, read_picture
from rgru_eval.measure.registry import make_codec
from rgru_eval.results import Row

# Bits per pixel received at which a file is cut.
CUTS_BPP = (
    *(0.03, 0.05, 0.075, 0.1, 0.125, 0.15, 0.2, 0.25, 0.3, 0.375, 0.5, 0.625, 0.75, 1.0),
    *(1.25, 1.5, 1.75, 2.0),
)
PREFIX_METRICS = ("msssim", "ssimulacra2", "psnr", "colour")
# For workers: one thread in each numerical library, and (glibc) freed memory is kept for the next
# array instead of going back to the system each time, which halves the time of the metrics.
WORKER_ENVIRONMENT = {
    "OMP_NUM_THREADS": "1",
    "OPENBLAS_NUM_THREADS": "1",
    "MKL_NUM_THREADS": "1",
    "MALLOC_MMAP_MAX_": "0",
    "MALLOC_TRIM_THRESHOLD_": str(2**31 - 1),
}


@dataclass(frozen=True)
class Task:
    """One picture, one codec by its identity, and what is wanted of them."""

    source: Source
    codec: str
    metrics: tuple[str, ...]
    prefixes: bool = True
    definitions: tuple[str, ...] = ()
    files: str = ""
    """Folder in which the files that are measured are kept; none if empty."""
    spec: str = ""
    """What makes the codec here, if its identity does not."""
    settings: tuple[float, ...] = ()
    """Those of the ladder that are wanted; all if empty."""


@dataclass
class Outcome:
    """Rows of one task and what went wrong in it."""

    task: Task
    rows: list[Row] = field(default_factory=list)
    problems: list[str] = field(default_factory=list)


@cache
def ready_codec(spec: str, definitions: tuple[str, ...]) -> Codec:
    """Make a codec and load its library, once a process."""
    codec = make_codec(spec, definitions)
    codec.check()
    return codec


@lru_cache(maxsize=1)
def _source_of(path: Path, metrics: tuple[str, ...]) -> tuple[Picture, Judge]:
    """Read a picture and its source statistics."""
    picture = read_picture(path)
    return picture, Judge(picture.image, metrics)


def forget() -> None:
    """Drop what this process keeps between tasks."""
    ready_codec.cache_clear()
    _source_of.cache_clear()


def run_task(task: Task) -> Outcome:
    """Measure one picture with one codec. Problems come back as words, not as exceptions."""
    outcome = Outcome(task)
    try:
        codec = ready_codec(task.spec or task.codec, task.definitions)
        picture, judge = _source_of(task.source.path, task.metrics)
        _measure_files(codec, picture, judge, outcome)
        if task.prefixes and isinstance(codec, CuttableCodec):
            _measure_prefixes(codec, picture, judge, outcome)
    except Exception as error:
        outcome.problems.append(in_words(error))
    return outcome


def _row(task: Task, kind: str, setting: float, size: int, pixels: int) -> Row:
    row = {"kind": kind, "set": task.source.set, "image": task.source.name, "codec": task.codec}
    return row | {"setting": float(setting), "bytes": size, "bpp": 8 * size / pixels}


def _keep(task: Task, kind: str, setting: float, data: bytes) -> None:
    """Keep a file that is measured, in the place of what an earlier version made."""
    if task.files:
        place = file_of(Path(task.files), task.source, task.codec, kind, setting)
        place.parent.mkdir(parents=True, exist_ok=True)
        place.write_bytes(data)


def file_of(folder: Path, source: Source, codec: str, kind: str, setting: float) -> Path:
    """Return where the file of a row is kept."""
    name = re.sub(r"[^\w.=,+-]", "_", codec)
    if len(name) > 150:  # long ladders: file systems take no more than 255 bytes
        name = f"{name[:80]}-{hashlib.sha256(codec.encode()).hexdigest()[:16]}"
    return folder / source.set / source.name / f"{name}-{kind}-{setting:g}"


def _measure_files(codec: Codec, picture: Picture, judge: Judge, outcome: Outcome) -> None:
    """Add a row for each step of the ladder."""
    for step in codec.steps(picture.image, outcome.task.settings or codec.settings):
        try:
            if isinstance(step, Failure):
                raise EvalError(step.reason)
            values = judge(step.picture)
        except EvalError as error:
            outcome.problems.append(f"at {codec.UNIT} {step.setting:g}: {error}")
            continue
        row = _row(outcome.task, "file", step.setting, len(step.data), picture.pixels)
        _keep(outcome.task, "file", step.setting, step.data)
        outcome.rows.append(row | values | {"encode_s": step.encode_s, "decode_s": step.decode_s})


def cuts_of(size: int, pixels: int) -> list[int]:
    """Return bytes received (ascending) at which a file of ``size`` bytes is looked at."""
    inside = [round(bpp * pixels / 8) for bpp in CUTS_BPP]
    return sorted({cut for cut in inside if 0 < cut < size} | {size})


def _measure_prefixes(
    codec: CuttableCodec, picture: Picture, judge: Judge, outcome: Outcome
) -> None:
    """Add a row for each cut of each file worth cutting; no values where nothing shows yet."""
    wanted = [group for group in PREFIX_METRICS if group in judge.wanted]
    for setting, data in codec.cut_files(picture.image):
        _keep(outcome.task, "prefix", setting, data)
        cuts = cuts_of(len(data), picture.pixels)
        for cut, image in zip(cuts, codec.decode_prefixes(data, cuts), strict=True):
            row = _row(outcome.task, "prefix", setting, cut, picture.pixels)
            outcome.rows.append(row | ({} if image is None else judge(image, wanted)))


def run_parallel(
    function: Callable[[Any], Any], tasks: Sequence[Any], jobs: int
) -> Generator[tuple[Any, Any], None, None]:
    """Yield (task, result or exception) as they finish.

    ``jobs`` 1, or a single task, works in this process; 0 is one worker a core.
    """
    jobs = min(jobs or cores(), len(tasks))
    if jobs > 1:
        yield from run_in_processes(function, tasks, jobs, environment=WORKER_ENVIRONMENT)
        return
    for task in tasks:
        try:
            result = function(task)
        except Exception as error:
            result = error
        yield task, result


def measure_memory(probe: tuple[str, tuple[str, ...], Path]) -> dict[str, float]:
    """Encode and decode one picture in this (fresh) process; return its peak memory in MB.

    ``probe``: spec, definitions and picture.
    """
    spec, definitions, path = probe
    codec, picture = ready_codec(spec, definitions), read_picture(path)
    before = peak_memory_mb()
    setting = codec.settings[len(codec.settings) // 2] if codec.settings else 0
    codec.decode(codec.encode(picture.image, setting)).load()
    return {
        "before": round(before, 1),
        "peak": round(max(peak_memory_mb(), children_peak_memory_mb()), 1),
        "pixels": picture.pixels,
    }
