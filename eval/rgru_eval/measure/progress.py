"""What a long run tells meanwhile, and when it saves."""

from __future__ import annotations

import sys
import time
from collections.abc import Callable
from typing import Any, TextIO


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

    def __call__(self, action: Callable[[], None]) -> None:
        """Run the action if it is time."""
        start = time.monotonic()
        if start >= self.due:
            action()
            end = time.monotonic()
            self.due = end + max(2.0, 10 * (end - start))
