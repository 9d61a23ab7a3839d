"""What programs say to people: names and texts from files are shown, never obeyed."""

from __future__ import annotations

import contextlib
import re
import sys
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
