"""``rgru completion``: a completion script for a shell."""

from __future__ import annotations

import argparse
from typing import Any

from rgru_codec.cli.status import DONE

SHELLS = ("bash", "zsh", "tcsh")


def add_command(commands: Any) -> None:
    """Add the command to the parser."""
    parser = commands.add_parser(
        "completion",
        help="print a completion script for a shell",
        description='Print a completion script: eval "$(rgru completion bash)" in ~/.bashrc, or '
        "put it where your shell looks for completions.",
    )
    parser.add_argument("shell", choices=SHELLS)
    parser.set_defaults(run=run)


def run(args: argparse.Namespace) -> int:
    """Print the script."""
    import shtab

    from rgru_codec.cli import build_parser

    print(shtab.complete(build_parser(), args.shell))
    return DONE
