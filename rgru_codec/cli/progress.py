"""A progress bar on a terminal, from one second on: bytes of all inputs, and the time left."""

from __future__ import annotations

import os
import sys
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Any

from rgru_codec.cli.files import STREAM, Job
from rgru_codec.terminal import printable, tell

Share = Callable[[float], None]
"""Takes how much of a picture has been done, 0 to 1."""


def unseen(share: float) -> None:
    """Take a share of the work that nobody looks at."""


class Progress:
    """The bar of a command; nothing is drawn unless standard error is a terminal.

    The sizes of the inputs are the measure. ``delay``: seconds before it is drawn at first.
    """

    def __init__(self, jobs: Sequence[Job], *, enabled: bool = True, delay: float = 1.0) -> None:
        self._bar: Any = None
        if not enabled or sys.stderr is None or not sys.stderr.isatty():
            return
        from tqdm import tqdm

        self._sizes = {job.source: _size(job.source) for job in jobs}
        self._count, self._done, self._finished = len(jobs), 0, 0
        columns, rows = _shape()
        self._bar = tqdm(
            total=sum(self._sizes[job.source] for job in jobs),
            unit="B",
            unit_scale=True,
            file=sys.stderr,
            delay=delay,
            ncols=columns - 1,
            nrows=rows,
            leave=False,
        )

    def within(self, job: Job) -> Share:
        """Return what draws how much of one picture has been done."""
        if self._bar is None:
            return unseen
        self._name(job)
        return lambda share: self._move(self._finished + self._sizes[job.source] * share)

    def finish(self, job: Job) -> None:
        """Count an input as done."""
        if self._bar is not None:
            self._done += 1
            self._finished += self._sizes[job.source]
            self._name(job)
            self._move(self._finished)

    def tell(self, line: str) -> None:
        """Print a line above the bar."""
        if self._bar is not None:
            self._bar.clear()
        tell(line)

    def close(self) -> None:
        """Take the bar away."""
        if self._bar is not None:
            self._bar.close()

    def _move(self, position: float) -> None:
        self._bar.update(position - self._bar.n)

    def _name(self, job: Job) -> None:
        of = f"{self._done}/{self._count} " if self._count > 1 else ""
        self._bar.set_postfix_str(of + printable(Path(job.source).name, sys.stderr), refresh=False)


def _shape() -> tuple[int, int]:
    """Return columns and rows of the terminal; some say 0, at which nothing would be drawn."""
    try:
        columns, rows = os.get_terminal_size(sys.stderr.fileno())
    except (OSError, ValueError):
        columns, rows = 0, 0
    return columns or 80, rows or 24


def _size(source: str) -> int:
    try:
        return 0 if source == STREAM else Path(source).stat().st_size
    except (OSError, ValueError):
        return 0
