"""What a long run tells meanwhile, and when it saves."""

from __future__ import annotations

import sys
import time
from collections.abc import Callable
from typing import Any

from rgru_codec.terminal import printable


def bar(total: int) -> Any:
    """Return tqdm's bar over so many tasks: drawn on a terminal, silent elsewhere."""
    from tqdm import tqdm

    return tqdm(total=total, unit="task", dynamic_ncols=True, disable=None if total else True)


def say(text: str) -> None:
    """Print a line on standard error, above a bar."""
    from tqdm import tqdm

    tqdm.write(printable(text, sys.stderr), file=sys.stderr)
    sys.stderr.flush()


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
