"""Work on one input or on many: processes, progress, summary, exit code."""

from __future__ import annotations

import collections
import contextlib
import dataclasses
import functools
import os
import time
import warnings
from collections.abc import Callable, Iterator, Sequence
from pathlib import Path

from rgru_codec.cli.files import (
    LIST,
    PICTURE_SUFFIXES,
    RGRU,
    STREAM,
    Job,
    Plan,
    display_name,
)
from rgru_codec.cli.outputs import Outputs
from rgru_codec.cli.progress import Progress, Share, unseen
from rgru_codec.cli.status import DONE, UNUSABLE, USAGE, Failure, exit_code, explain, named, say
from rgru_codec.files import descriptor_of, write_file
from rgru_codec.processes import cores, run_in_processes

SKIPPED = -1


@dataclasses.dataclass(frozen=True)
class Outcome:
    """What became of one input."""

    code: int
    """An exit code, or ``SKIPPED``."""
    message: str
    notes: tuple[str, ...] = ()
    """What else there is to know."""
    details: tuple[str, ...] = ()
    """Lines below the message."""


Work = Callable[[Job, Share], Outcome]


def run(
    work: Work,
    plan: Plan,
    done: str,
    *,
    jobs: int = 1,
    quiet: bool = False,
    failures: str | None = None,
) -> int:
    """Do all jobs; one that fails does not stop the others. Returns the exit code.

    Other processes call ``work`` too: it can be pickled. ``done`` is the verb of the summary.
    """
    start = time.monotonic()
    outputs = Outputs([*(job.source for job in plan.jobs), *plan.read])
    failed = Failures(failures, plan, outputs)
    progress = Progress(plan.jobs, enabled=not quiet)
    codes = []
    with contextlib.closing(progress), failed:
        for job, outcome in _all(work, plan, outputs, jobs, progress):
            if outcome.code == SKIPPED and not plan.many:
                outcome = Outcome(UNUSABLE, outcome.message)  # nothing was done at all
            codes.append(outcome.code)
            if outcome.code not in (DONE, SKIPPED):
                notes = outcome.notes + failed.add(job.source)
                outcome = dataclasses.replace(outcome, notes=notes)
            _report(outcome, job, quiet, progress)
            progress.finish(job)
    if not quiet and len(codes) > 1:
        say(_summary(codes, done, time.monotonic() - start))
    if not quiet and (others := plan.passed_over):
        say(f"{others} other file{'s were' if others > 1 else ' was'} passed over")
    return exit_code(code for code in codes if code != SKIPPED)


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


def _all(
    work: Work, plan: Plan, outputs: Outputs, processes: int, progress: Progress
) -> Iterator[tuple[Job, Outcome]]:
    """Yield outcomes as they come; those whose target is refused come first."""
    unique: dict[str, Job] = {}
    for job in plan.jobs:
        first = unique.setdefault(job.target, job)
        if first is not job and job.target != STREAM:
            message = (
                f"{job.source}: its output {job.target} is already that of {first.source}; "
                "name another with -o, in a run of its own"
            )
            if job.source == job.target:
                message = f"{job.source}: is the output of {first.source}; name outputs with -o"
            yield job, Outcome(UNUSABLE, message)
            continue
        try:
            if not _is_done(job):
                outputs.claim(job.target, plan.kind, derived=job.derived, force=job.force)
        except (Failure, OSError) as error:  # of a name that is too long the system says so
            del unique[job.target]
            failure = explain(error, job.shown_source)
            yield job, Outcome(failure.code, failure.message)
    here, apart = _divided(list(unique.values()), processes)
    yield from ((job, attempt(work, job, progress.within(job))) for job in here)
    if not apart:
        return
    function = functools.partial(_attempt_apart, work)
    with contextlib.closing(run_in_processes(function, apart, processes)) as results:
        for job, result in results:
            if isinstance(result, BrokenPipeError):
                raise result
            if isinstance(result, Exception):
                result = Outcome(UNUSABLE, f"{job.source}: {result}")
            yield job, result


def _divided(jobs: list[Job], processes: int) -> tuple[list[Job], list[Job]]:
    """Return the jobs for this process, and those for others."""
    apart = [job for job in jobs if not _is_ours(job.source)]
    if min(processes, len(apart)) <= 1:
        return jobs, []
    return [job for job in jobs if _is_ours(job.source)], apart


def _is_ours(source: str) -> bool:
    """Tell whether only this process can read it: other processes do not have what it has open."""
    return source == STREAM or descriptor_of(source) is not None


def _is_done(job: Job) -> bool:
    """Tell whether a result is there that must not be overwritten; no folder and no pipe is one."""
    return job.derived and not job.force and job.target != STREAM and Path(job.target).is_file()


def _attempt_apart(work: Work, job: Job) -> Outcome:
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")  # as in the parent
        return attempt(work, job, unseen)


def attempt(work: Work, job: Job, share: Share) -> Outcome:
    """Do one job; whatever goes wrong becomes its outcome."""
    try:
        return _existing(job) if _is_done(job) else work(job, share)
    except BrokenPipeError:
        raise
    except Exception as error:
        if os.environ.get("RGRU_DEBUG"):
            raise
        failure = explain(error, job.shown_source)
        return Outcome(failure.code, failure.message)


def _existing(job: Job) -> Outcome:
    """Count a result that is there as done; a .rgru file only if it is whole and sound.

    Files take their names when they are complete, so that a faulty one is not ours to replace.
    """
    from rgru_codec.cli.verify import fault_of

    target = job.target
    if job.source == target:
        if not target.endswith(".rgru"):
            with Path(target).open("rb") as file:
                if not file.read(16).startswith(RGRU.signatures):
                    return Outcome(UNUSABLE, f"{target}: not a .rgru file")
            return Outcome(USAGE, f"{target}: is the input; name another file with -o")
        return Outcome(SKIPPED, f"{target}: is a .rgru file already")
    fault = fault_of(target) if target.endswith(".rgru") else ""
    if fault:
        return Outcome(UNUSABLE, f"{target}: exists, but {fault}; --force replaces it")
    return Outcome(SKIPPED, f"{target}: exists, left as it is (--force overwrites it)")


def _report(outcome: Outcome, job: Job, quiet: bool, progress: Progress) -> None:
    if quiet and outcome.code in (DONE, SKIPPED):
        return
    lines = [f"rgru: {job.shown_source}: {note}" for note in outcome.notes]
    if outcome.message:
        lines.append(outcome.message if outcome.code == DONE else f"rgru: {outcome.message}")
    for line in (*lines, *outcome.details):
        progress.tell(line)


class Failures:
    """The list of inputs that failed, if one is wanted: a file, one name a line.

    It is kept up to date while work goes on.
    """

    _EVERY_S = 1.0

    def __init__(self, path: str | None, plan: Plan, outputs: Outputs) -> None:
        self._path, self._names, self._due = path, list[str](), 0.0
        if path is None:
            return
        outputs.claim(path, LIST)
        is_file = Path(path).is_file()
        self._regular = not _is_ours(path) and (is_file or not os.path.lexists(path))
        known = {job.source for job in plan.jobs}
        if self._regular and is_file and not _is_list(Path(path), known):
            raise Failure(
                USAGE,
                f"{path}: exists, and holds something else than a list of inputs that failed; "
                "name another file with --failures, or remove it",
            )

    def __enter__(self) -> None:
        if self._path is not None and self._regular:
            self._write()  # what an earlier run has left goes

    def add(self, source: str) -> tuple[str, ...]:
        """Note an input that failed; says why if the list cannot hold its name."""
        if self._path is not None and "\n" in source:
            shown = display_name(self._path, "the list of failures")
            return (f"is not in {shown}: a line break is in its name; rename it",)
        self._names.append(source)
        if self._path is not None and self._regular and time.monotonic() >= self._due:
            self._write()
        return ()

    def __exit__(self, *error: object) -> None:
        if self._path is not None:
            self._write()

    def _write(self) -> None:
        assert self._path is not None
        self._due = time.monotonic() + self._EVERY_S
        content = "".join(f"{name}\n" for name in self._names)
        with named(self._path):
            write_file(
                "/dev/stdout" if self._path == STREAM else self._path,
                content.encode("utf-8", "surrogateescape"),
            )


def _is_list(path: Path, inputs: set[str]) -> bool:
    """Tell whether each line names an input, or a picture that has been removed since.

    A list that an earlier run of the same command has left does; notes do not.
    """
    try:
        content = path.read_bytes().decode("utf-8", "surrogateescape")
    except OSError:
        return False
    lines = content.removesuffix("\n").split("\n") if content else []  # names hold other breaks
    known = PICTURE_SUFFIXES | {".rgru"}
    return all(
        line in inputs or (Path(line).suffix.lower() in known and not os.path.lexists(line))
        for line in lines
    )


def _summary(codes: Sequence[int], done: str, seconds: float) -> str:
    counts = collections.Counter(
        done if code == DONE else "skipped" if code == SKIPPED else "failed" for code in codes
    )
    words = [f"{counts[word]} {word}" for word in (done, "skipped", "failed") if counts[word]]
    return f"{', '.join(words)} in {seconds:.1f} s"
