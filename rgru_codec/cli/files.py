"""Inputs and outputs: which files are meant, and writing that leaves nothing half done."""

from __future__ import annotations

import contextlib
import dataclasses
import errno
import io
import os
import sys
from collections.abc import Callable, Iterator, Sequence
from pathlib import Path
from typing import IO, BinaryIO

from rgru_codec.cli.status import UNUSABLE, USAGE, Failure
from rgru_codec.files import write_file

STREAM = "-"
"""Standard input or standard output."""


@dataclasses.dataclass(frozen=True)
class Job:
    """One input and where its result goes; ``-`` is a standard stream."""

    source: str
    target: str
    derived: bool
    """The target's name was not given by the user: it must not overwrite anything."""


def plan(
    inputs: Sequence[str],
    output: str | None,
    suffix: str,
    suffixes: Callable[[], frozenset[str]],
) -> list[Job]:
    """Pair inputs with outputs.

    Args:
        inputs: files, folders, patterns, or ``-``.
        output: what the user gave, if anything.
        suffix: of derived names, with its dot.
        suffixes: of the files of a folder that are meant.

    Raises:
        Failure: an input that matches nothing; many inputs for one output.
    """
    pairs = [pair for text in inputs for pair in _expand(text, suffixes)]
    folder = _as_folder(output, len(pairs) != 1 or Path(inputs[0]).is_dir())
    if folder is None and output is not None:
        return [Job(pairs[0][0], output, derived=False)]
    return [_derived(source, below, folder, suffix) for source, below in pairs]


def _expand(text: str, suffixes: Callable[[], frozenset[str]]) -> Iterator[tuple[str, Path]]:
    """(source, path of its result below an output folder) for one argument."""
    if text == STREAM:
        yield STREAM, Path("stdin")
        return
    path = Path(text)
    if path.is_dir():
        found = [p for p in sorted(path.rglob("*")) if p.suffix.lower() in suffixes()]
        files = [p for p in found if p.is_file()]
        if not files:
            raise Failure(UNUSABLE, f"{text}: the folder holds no files of a known kind")
        yield from ((str(p), p.relative_to(path)) for p in files)
        return
    matches = [] if os.path.lexists(text) else _matches(text)
    for match in matches or [text]:  # a name that matches nothing fails when it is opened
        if not matches or Path(match).is_file():
            yield match, Path(Path(match).name)


def _matches(pattern: str) -> list[str]:
    import glob

    return sorted(glob.glob(pattern, recursive=True))  # noqa: PTH207 (absolute patterns)


def _as_folder(output: str | None, many: bool) -> Path | None:
    """The output folder, or None if the output is a file, a stream or not given."""
    if output is None or output == STREAM:
        if many and output is not None:
            raise Failure(USAGE, "many inputs cannot go to standard output; give a folder with -o")
        return None
    path = Path(output)
    if path.is_dir() or output.endswith(("/", os.sep)):
        return path
    if many and path.exists():
        raise Failure(USAGE, f"{output}: there are many inputs, but this is not a folder")
    return path if many else None


def _derived(source: str, below: Path, folder: Path | None, suffix: str) -> Job:
    if source == STREAM and folder is None:
        return Job(source, STREAM, derived=True)
    if folder is None:
        return Job(source, str(Path(source).with_suffix(suffix)), derived=True)
    return Job(source, str(folder / below.with_suffix(suffix)), derived=True)


def read_bytes(source: str) -> bytes:
    """All bytes of a file or of standard input.

    Raises:
        OSError: it cannot be read.
        Failure: standard input is a terminal.
    """
    if source != STREAM:
        return Path(source).read_bytes()
    if sys.stdin is None or sys.stdin.isatty():
        raise Failure(USAGE, "standard input is a terminal; give a file or a pipe")
    return sys.stdin.buffer.read()


def display_name(name: str, stream: str) -> str:
    """The name for messages."""
    return stream if name == STREAM else name


def check_target(job: Job, force: bool) -> None:
    """Refuse a target before any work is spent on it.

    Raises:
        Failure: it would overwrite a file of a derived name; a terminal; the folder is missing.
    """
    if job.target == STREAM:
        if sys.stdout is None or sys.stdout.isatty():
            raise Failure(
                USAGE, "not writing binary data to a terminal; name a file with -o, or use a pipe"
            )
        return
    target = Path(job.target)
    if target.is_dir():
        raise Failure(UNUSABLE, f"{job.target}: is a folder")
    if job.derived and not force and os.path.lexists(target):
        raise Failure(UNUSABLE, f"{job.target}: exists; --force overwrites it")
    if job.source != STREAM and target.exists() and target.samefile(job.source):
        raise Failure(USAGE, f"{job.target}: is the input; name another file with -o")
    if not job.derived and not target.parent.is_dir():
        raise Failure(UNUSABLE, f"{job.target}: the folder {target.parent} does not exist")


@contextlib.contextmanager
def named(name: str) -> Iterator[None]:
    """Name the target in errors that do not (a full disk does not say which file it met)."""
    try:
        yield
    except BrokenPipeError:
        raise
    except OSError as error:
        if error.errno == errno.ENOSPC:
            raise Failure(
                UNUSABLE, f"{name}: no space left on the device; nothing was written"
            ) from None
        if error.errno is None:
            raise Failure(UNUSABLE, f"{name}: cannot be written: {error}") from None
        words = os.strerror(error.errno)
        raise Failure(
            UNUSABLE, f"{name}: cannot be written: {words[:1].lower()}{words[1:]}"
        ) from None


def write(job: Job, save: Callable[[BinaryIO | IO[bytes]], object], force: bool = True) -> None:
    """Let ``save`` write the target of a job.

    Raises:
        Failure: it cannot be written; nothing is left behind.
    """
    with named(display_name(job.target, "standard output")):
        if job.derived and job.target != STREAM:
            Path(job.target).parent.mkdir(parents=True, exist_ok=True)
        if job.target == STREAM:
            save(sys.stdout.buffer)
            sys.stdout.buffer.flush()
        else:
            buffer = io.BytesIO()
            save(buffer)
            write_file(job.target, buffer.getbuffer(), overwrite=not job.derived or force)
