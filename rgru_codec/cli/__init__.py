"""The command ``rgru``: one file for each subcommand, nothing heavy before work begins.

Only the standard library is imported here and at the top of the other files of this package, so
that ``rgru --help`` is immediate.
"""

from __future__ import annotations

import argparse
import importlib
import os
import sys
import warnings
from collections.abc import Sequence

from rgru_codec.cli.status import (
    EPILOG,
    INTERRUPTED,
    UNUSABLE,
    Failure,
    explain,
    say,
)

COMMANDS = ("compress", "decompress", "info", "verify", "thumbnail", "compare", "completion")


def build_parser() -> argparse.ArgumentParser:
    """The whole command line; also what completions are made from."""
    from rgru_codec import __version__

    parser = argparse.ArgumentParser(
        prog="rgru",
        description="Compress pictures to progressive .rgru files and back.",
        epilog=EPILOG,
        formatter_class=argparse.RawDescriptionHelpFormatter,
    )
    parser.add_argument("--version", action="version", version=f"rgru {__version__}")
    commands = parser.add_subparsers(metavar="COMMAND", required=True)
    for name in COMMANDS:
        importlib.import_module(f"rgru_codec.cli.{name}").add_command(commands)
    return parser


def main(argv: Sequence[str] | None = None) -> int:
    """Run one command line.

    Args:
        argv: arguments without the program's name; by default those of the process.

    Returns:
        The exit code (see ``rgru --help``).
    """
    args = build_parser().parse_args(argv)
    try:
        with warnings.catch_warnings():
            warnings.simplefilter("ignore")  # those of libraries; ours are said in our words
            code: int = args.run(args)
        sys.stdout.flush()
    except KeyboardInterrupt:
        say("interrupted")
        return INTERRUPTED
    except BrokenPipeError:
        # Nobody reads on. Python would complain once more when it closes standard output.
        os.dup2(os.open(os.devnull, os.O_WRONLY), sys.stdout.fileno())
        return UNUSABLE
    except Exception as error:
        if os.environ.get("RGRU_DEBUG") and not isinstance(error, Failure):
            raise
        failure = explain(error)
        say(failure.message)
        return failure.code
    return code
