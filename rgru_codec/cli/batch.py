"""Work on one input or on many: processes, progress, summary, exit code."""

from __future__ import annotations

import argparse
import collections
import contextlib
import dataclasses
import functools
import io
import os
import shutil
import sys
import time
import warnings
from collections.abc import Callable, Iterable, Iterator, Sequence
from pathlib import Path
from typing import TextIO

from rgru_codec.cli.files import STREAM, Job, check_target
from rgru_codec.cli.status import DONE, UNUSABLE, USAGE, explain, say
from rgru_codec.processes import cores, run_in_processes

SKIPPED = -1


@dataclasses.dataclass(frozen=True)
class Outcome:
    """What became of one input."""

    code: int
    """An exit code, or ``SKIPPED``."""
    message: str


Work = Callable[[Job], Outcome]


@dataclasses.dataclass(frozen=True)
class Options:
    """What the options of `rgru_codec.cli.options.add_batch` say, inputs and outputs apart."""

    jobs: int = 1
    """Processes."""
    quiet: bool = False
    force: bool = False
    failures: str | None = None
    """Where the names of inputs that failed are written."""

    @classmethod
    def of(cls, args: argparse.Namespace) -> Options:
        """Return what was parsed."""
        return cls(args.jobs, args.quiet, args.force, args.failures)


def run(work: Work, jobs: Sequence[Job], options: Options, done: str) -> int:
    """Do all jobs; one that fails does not stop the others.

    Args:
        work: does one job; can be pickled, since other processes call it.
        jobs: what there is to do.
        options: how.
        done: the verb of the summary, "compressed".

    Returns:
        The exit code.
    """
    start = time.monotonic()
    processes = min(options.jobs, len(jobs))
    outcomes = _all(work, jobs, options.force, processes)
    if len(jobs) == 1:
        _, outcome = next(iter(outcomes))
        if outcome.code == SKIPPED:  # one derived name that exists: nothing was done at all
            outcome = Outcome(UNUSABLE, outcome.message)
        _report(outcome, options.quiet)
        codes = [outcome.code]
    else:
        codes = _follow(outcomes, jobs, options)
        if not options.quiet:
            say(_summary(codes, done, time.monotonic() - start))
    return _exit_code(codes)


def share_threads(threads: int | None, processes: int) -> int | None:
    """Divide the cores among the processes; returns the threads of each.

    They are for the networks. The products of the context model are small: there BLAS is kept to
    one thread, which has to be said before numpy is loaded.
    """
    for name in ("OMP_NUM_THREADS", "OPENBLAS_NUM_THREADS", "MKL_NUM_THREADS"):
        os.environ.setdefault(name, "1")
    if threads is None and processes > 1:
        return max(1, cores() // processes)
    return threads


def attempt(work: Work, job: Job, force: bool) -> Outcome:
    """Do one job; whatever goes wrong becomes its outcome."""
    try:
        if job.derived and not force and job.target != STREAM and Path(job.target).exists():
            return _existing(job)
        check_target(job, force)
        return work(job)
    except BrokenPipeError:
        raise
    except Exception as error:
        if os.environ.get("RGRU_DEBUG"):
            raise
        failure = explain(error, "standard input" if job.source == STREAM else job.source)
        return Outcome(failure.code, failure.message)


def _existing(job: Job) -> Outcome:
    """A result that is there counts as done; a .rgru file only if it is whole and sound.

    Files take their names when they are complete, so that a faulty one is not ours to replace.
    """
    from rgru_codec.cli.verify import fault_of

    target = job.target
    if job.source == target:
        if not target.endswith(".rgru"):
            return Outcome(USAGE, f"{target}: is the input; name another file with -o")
        return Outcome(SKIPPED, f"{target}: is a .rgru file already")
    fault = fault_of(target) if target.endswith(".rgru") else ""
    if fault:
        return Outcome(UNUSABLE, f"{target}: exists, but {fault}; --force replaces it")
    return Outcome(SKIPPED, f"{target}: exists, left as it is (--force overwrites it)")


def _report(outcome: Outcome, quiet: bool) -> None:
    if outcome.code != DONE or not quiet:
        _line(outcome.message) if outcome.code == DONE else say(outcome.message)


def _line(message: str) -> None:
    if message and sys.stderr is not None:
        with contextlib.suppress(OSError):
            print(message, file=sys.stderr, flush=True)


def _follow(
    outcomes: Iterable[tuple[Job, Outcome]], jobs: Sequence[Job], options: Options
) -> list[int]:
    codes = []
    progress = Progress(len(jobs), enabled=not options.quiet)
    with _failures(options.failures) as failures:
        for job, outcome in outcomes:
            codes.append(outcome.code)
            if outcome.code not in (DONE, SKIPPED):
                failures.write(f"{job.source}\n")  # at once: an interruption loses none
            progress.clear()
            _report(outcome, options.quiet)
            progress.advance(job.source)
    progress.clear()
    return codes


def _failures(path: str | None) -> TextIO:
    if path is None:
        return io.StringIO()
    return Path(path).open("w", 1, "utf-8", errors="surrogateescape")


def _summary(codes: Sequence[int], done: str, seconds: float) -> str:
    counts = collections.Counter(
        done if code == DONE else "skipped" if code == SKIPPED else "failed" for code in codes
    )
    words = [f"{counts[word]} {word}" for word in (done, "skipped", "failed") if counts[word]]
    return f"{', '.join(words)} in {seconds:.1f} s"


def _exit_code(codes: Iterable[int]) -> int:
    bad = {code for code in codes if code not in (DONE, SKIPPED)}
    if len(bad) > 1:
        return UNUSABLE
    return bad.pop() if bad else DONE


class Progress:
    """A bar on standard error, on a terminal only."""

    def __init__(self, total: int, enabled: bool = True) -> None:
        self._total, self._done = total, 0
        self._enabled = enabled and sys.stderr is not None and sys.stderr.isatty()
        self.advance("", step=0)

    def advance(self, name: str, step: int = 1) -> None:
        """Count one more, and draw."""
        self._done += step
        if self._enabled:
            bar = ("#" * (24 * self._done // self._total)).ljust(24, ".")
            text = f"[{bar}] {self._done}/{self._total} {Path(name).name}"
            sys.stderr.write(f"\r\x1b[K{text[: shutil.get_terminal_size().columns - 1]}")
            sys.stderr.flush()

    def clear(self) -> None:
        """Take the bar away, before a line is printed and at the end."""
        if self._enabled:
            sys.stderr.write("\r\x1b[K")
            sys.stderr.flush()


def _all(
    work: Work, jobs: Sequence[Job], force: bool, processes: int
) -> Iterator[tuple[Job, Outcome]]:
    """Outcomes as they come; twice the same target is a failure of the second."""
    unique: dict[str, Job] = {}
    for job in jobs:
        first = unique.setdefault(job.target, job)
        if first is not job and job.target != STREAM:
            message = f"{job.source}: its output {job.target} is already that of {first.source}"
            if job.source == job.target:
                message = f"{job.source}: is the output of {first.source}; name outputs with -o"
            yield job, Outcome(UNUSABLE, message)
    if processes == 1:
        yield from ((job, attempt(work, job, force)) for job in unique.values())
    else:
        yield from _in_processes(work, list(unique.values()), force, processes)


def _in_processes(
    work: Work, jobs: list[Job], force: bool, processes: int
) -> Iterator[tuple[Job, Outcome]]:
    """Outcomes from a pool; a worker that dies (out of memory) fails the job it was at."""
    with contextlib.closing(
        run_in_processes(functools.partial(_attempt_quietly, work, force), jobs, processes)
    ) as results:
        for job, result in results:
            if isinstance(result, Exception):
                result = Outcome(UNUSABLE, f"{job.source}: {result}")
            yield job, result


def _attempt_quietly(work: Work, force: bool, job: Job) -> Outcome:
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")  # as in the parent
        return attempt(work, job, force)
