"""The run: every picture through every codec at every setting, in parallel, resumable.

One task is one picture and one codec with its whole ladder. Workers are fresh processes; each
keeps the source statistics of the picture it worked on last. Finished tasks go into the results
file at once, so an interrupted run continues where it stood, with the same command.
"""

from __future__ import annotations

import multiprocessing
import os
import signal
import sys
import time
from collections.abc import Callable, Generator, Iterator, Mapping, Sequence
from concurrent.futures import Future, ProcessPoolExecutor, as_completed
from concurrent.futures.process import BrokenProcessPool
from contextlib import closing, contextmanager
from dataclasses import dataclass, field
from typing import Any, TextIO

from rgru_eval.codecs import Codec, CuttableCodec, Failure
from rgru_eval.metrics import Judge
from rgru_eval.pictures import EvalError, Picture, Source, read_picture
from rgru_eval.registry import make_codec
from rgru_eval.results import Row

# Bits per pixel received at which a file is cut.
CUTS_BPP = (
    *(0.03, 0.05, 0.075, 0.1, 0.125, 0.15, 0.2, 0.25, 0.3, 0.375, 0.5, 0.625, 0.75, 1.0),
    *(1.25, 1.5, 1.75, 2.0),
)
PREFIX_METRICS = ("msssim", "psnr")
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
    """One picture, one codec; ``settings`` empty = the codec's ladder."""

    source: Source
    codec: str
    metrics: tuple[str, ...]
    prefixes: bool = True
    definitions: tuple[str, ...] = ()


@dataclass
class Outcome:
    """Rows of one task and what went wrong in it."""

    task: Task
    rows: list[Row] = field(default_factory=list)
    problems: list[str] = field(default_factory=list)


_worker: dict[Any, Any] = {}  # what one worker process keeps between tasks


def _start_worker() -> None:
    """Leave Ctrl-C to the parent process."""
    signal.signal(signal.SIGINT, signal.SIG_IGN)


def ready_codec(identity: str, definitions: tuple[str, ...]) -> Codec:
    """Make a codec and load its library, once a process."""
    key = (identity, definitions)
    if key not in _worker:
        codec = make_codec(identity, definitions)
        codec.check()
        _worker[key] = codec
    codec = _worker[key]
    assert isinstance(codec, Codec)
    return codec


def _source_of(task: Task) -> tuple[Picture, Judge]:
    """Read a picture and its source statistics; the last one is kept."""
    key = (task.source.path, task.metrics)
    if _worker.get("key") != key:
        picture = read_picture(task.source.path)
        _worker["key"], _worker["source"] = key, (picture, Judge(picture.image, task.metrics))
    picture, judge = _worker["source"]
    return picture, judge


def run_task(task: Task) -> Outcome:
    """Measure one picture with one codec. Problems come back as words, not as exceptions."""
    outcome = Outcome(task)
    try:
        codec = ready_codec(task.codec, task.definitions)
        picture, judge = _source_of(task)
        _measure_files(codec, picture, judge, outcome)
        if task.prefixes and isinstance(codec, CuttableCodec):
            _measure_prefixes(codec, picture, judge, outcome)
    except Exception as error:
        outcome.problems.append(f"{type(error).__name__}: {error}")
    return outcome


def _row(task: Task, kind: str, setting: float, size: int, pixels: int) -> Row:
    return {
        "kind": kind,
        "set": task.source.set,
        "image": task.source.name,
        "codec": task.codec,
        "setting": float(setting),
        "bytes": size,
        "bpp": 8 * size / pixels,
    }


def _measure_files(codec: Codec, picture: Picture, judge: Judge, outcome: Outcome) -> None:
    """Add a row for each step of the ladder."""
    for step in codec.steps(picture.image, codec.settings):
        if isinstance(step, Failure):
            outcome.problems.append(f"at {codec.UNIT} {step.setting:g}: {step.reason}")
            continue
        try:
            values = judge(step.picture)
        except EvalError as error:
            outcome.problems.append(f"at {codec.UNIT} {step.setting:g}: {error}")
            continue
        row = _row(outcome.task, "file", step.setting, len(step.data), picture.pixels)
        outcome.rows.append(row | values | {"encode_s": step.encode_s, "decode_s": step.decode_s})


def cuts_of(size: int, pixels: int) -> list[int]:
    """Return bytes received (ascending) at which a file of ``size`` bytes is looked at."""
    inside = [round(bpp * pixels / 8) for bpp in CUTS_BPP]
    return sorted({cut for cut in inside if 0 < cut < size} | {size})


def _measure_prefixes(
    codec: CuttableCodec, picture: Picture, judge: Judge, outcome: Outcome
) -> None:
    """Add a row for each cut of each file worth cutting; no values where nothing shows yet."""
    for setting, data in codec.cut_files(picture.image):
        cuts = cuts_of(len(data), picture.pixels)
        for cut, image in zip(cuts, codec.decode_prefixes(data, cuts), strict=True):
            row = _row(outcome.task, "prefix", setting, cut, picture.pixels)
            values = {} if image is None else judge(image, PREFIX_METRICS)
            outcome.rows.append(row | values)


@contextmanager
def environment(values: Mapping[str, str]) -> Iterator[None]:
    """Set environment variables for the processes that are started meanwhile."""
    before = {name: os.environ.get(name) for name in values}
    os.environ.update(values)
    try:
        yield
    finally:
        for name, old in before.items():
            if old is None:
                del os.environ[name]
            else:
                os.environ[name] = old


def _executor(jobs: int) -> ProcessPoolExecutor:
    """Return a pool of fresh processes that leave Ctrl-C to this one."""
    context = multiprocessing.get_context("spawn")
    return ProcessPoolExecutor(jobs, mp_context=context, initializer=_start_worker)


def run_parallel(
    function: Callable[[Any], Any], tasks: Sequence[Any], jobs: int
) -> Generator[tuple[Any, Any], None, None]:
    """Yield (task, result or exception) as they finish; ``jobs`` 1 works in this process.

    A worker that dies (a crash inside a codec's library) takes its pool along: the tasks left
    are then tried one by one, each in a process of its own, to tell the culprit from the rest.
    Closing the iteration early, by Ctrl-C too, ends the workers.
    """
    if jobs <= 1:
        for task in tasks:
            yield task, function(task)
        return
    left = list(tasks)
    try:
        pool = _pooled(function, tuple(tasks), jobs)
        with environment(WORKER_ENVIRONMENT), closing(pool) as finished:
            for task, result in finished:
                left.remove(task)
                yield task, result
    except BrokenProcessPool:
        for task in left:
            yield task, run_alone(function, task)


def _pooled(
    function: Callable[[Any], Any], tasks: Sequence[Any], jobs: int
) -> Generator[tuple[Any, Any], None, None]:
    executor = _executor(jobs)
    finished = False
    try:
        futures: dict[Future[Any], Any] = {executor.submit(function, t): t for t in tasks}
        for future in as_completed(futures):
            error = future.exception()
            if isinstance(error, BrokenProcessPool):
                raise error
            yield futures[future], error if error else future.result()
        finished = True
    finally:
        executor.shutdown(wait=finished, cancel_futures=True)
        if not finished:
            for child in multiprocessing.active_children():
                child.terminate()


def run_alone(function: Callable[[Any], Any], task: Any) -> Any:
    """Run one task in a fresh process; a crash comes back as an exception object."""
    with _executor(1) as executor:
        try:
            return executor.submit(function, task).result()
        except BrokenProcessPool:
            return RuntimeError("the process died, probably a crash in the codec's library")


def measure_memory(task: Task) -> dict[str, float]:
    """Encode and decode one picture in this (fresh) process; return its peak memory in MB."""
    from rgru_eval.machine import children_peak_memory_mb, peak_memory_mb

    codec = make_codec(task.codec, task.definitions)
    codec.check()
    picture = read_picture(task.source.path)
    before = peak_memory_mb()
    setting = codec.settings[len(codec.settings) // 2] if codec.settings else 0
    codec.decode(codec.encode(picture.image, setting)).load()
    return {
        "before": round(before, 1),
        "peak": round(max(peak_memory_mb(), children_peak_memory_mb()), 1),
        "pixels": picture.pixels,
    }


class Progress:
    """A bar on a terminal, silence elsewhere; messages go above it."""

    def __init__(self, total: int, stream: TextIO | None = None) -> None:
        self.stream = stream or sys.stderr
        self.bar: Any = None
        if self.stream.isatty() and total:
            from tqdm import tqdm

            self.bar = tqdm(total=total, file=self.stream, unit="task", dynamic_ncols=True)

    def step(self, text: str) -> None:
        """Move on by one task, named ``text``."""
        if self.bar is not None:
            self.bar.set_postfix_str(text, refresh=False)
            self.bar.update()

    def say(self, text: str) -> None:
        """Print one line."""
        if self.bar is not None:
            self.bar.write(text, file=self.stream)
        else:
            print(text, file=self.stream, flush=True)

    def close(self) -> None:
        """Take the bar away."""
        if self.bar is not None:
            self.bar.close()


class Throttle:
    """Says when to save: not more often than every 2 s, nor for more than a tenth of the time."""

    def __init__(self) -> None:
        self.due = 0.0

    def __call__(self, action: Callable[[], None], *, now: bool = False) -> None:
        """Run the action if it is time, or ``now``."""
        start = time.monotonic()
        if now or start >= self.due:
            action()
            end = time.monotonic()
            self.due = end + max(2.0, 10 * (end - start))
