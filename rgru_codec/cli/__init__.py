"""The command ``rgru``: `rgru_codec.cli.program`, loaded late."""

from __future__ import annotations

from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from collections.abc import Sequence


def main(argv: Sequence[str] | None = None) -> int:
    """Run one command line, by default that of the process; returns the exit code.

    Ctrl-C ends it in words, also while it is being loaded.
    """
    try:
        from rgru_codec.cli.program import run

        return run(argv)
    except KeyboardInterrupt:
        from rgru_codec.cli.status import INTERRUPTED, say

        say("interrupted")
        return INTERRUPTED
