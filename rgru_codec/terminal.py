"""What programs say to people: names and texts from files are shown, never obeyed."""

from __future__ import annotations

import contextlib
import os
import re
import sys
from collections.abc import Iterator
from typing import TextIO

_UNPRINTABLE = re.compile("[\x00-\x1f\x7f-\x9f\u2028\u2029\u202a-\u202e\u2066-\u2069\ud800-\udfff]")
"""Controls of terminals and of writing direction, ends of lines, bytes that are no text."""


def printable(text: str, stream: TextIO | None = None) -> str:
    """Escape what a terminal would obey rather than show, and what a stream cannot take."""
    text = _UNPRINTABLE.sub(lambda found: found[0].encode("unicode_escape").decode(), text)
    encoding = getattr(stream, "encoding", None) or "utf-8"
    return text.encode(encoding, "backslashreplace").decode(encoding)


def tell(line: str) -> None:
    """Print a line on standard error. Nobody listening is no failure."""
    if sys.stderr is not None:
        with contextlib.suppress(OSError, ValueError):
            print(printable(line, sys.stderr), file=sys.stderr, flush=True)


@contextlib.contextmanager
def without_stderr() -> Iterator[None]:
    """Let nothing through to standard error meanwhile, of C++ neither, which writes to its number.

    Threads of this process are silenced, too.
    """
    if sys.stderr is not None:
        with contextlib.suppress(OSError, ValueError):
            sys.stderr.flush()
    try:
        saved = os.dup(2)
    except OSError:  # there is no standard error to keep clean
        yield
        return
    nowhere = os.open(os.devnull, os.O_WRONLY)
    try:
        os.dup2(nowhere, 2)
        yield
    finally:
        os.dup2(saved, 2)
        os.close(saved)
        os.close(nowhere)
