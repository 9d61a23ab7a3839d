"""``rgru completion``: a completion script for a shell.

shtab is loaded when a script is asked for. Its ``add_argument_to`` would load it at every start of
the program, which then takes half as long again: its option ``--print-completion`` is added here.
"""

from __future__ import annotations

import argparse
from typing import Any

from rgru_codec.cli.status import DONE, write_out

SHELLS = ("bash", "zsh", "tcsh")
_FILES = frozenset({"IN", "OUT", "FILE", "A", "B"})


class PrintCompletion(argparse.Action):
    """shtab's own option, for those who know it from other programs."""

    def __call__(self, *args: Any, **keywords: Any) -> None:
        """Print the script that was asked for, and end."""
        _, _, shell, *_ = args
        _print(shell)
        raise SystemExit(DONE)


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
    _print(args.shell)
    return DONE


def _print(shell: str) -> None:
    import shtab

    from rgru_codec.cli.program import build_parser

    parser = build_parser()
    _complete_files(parser)
    write_out(shtab.complete(parser, shell) + "\n")


def _complete_files(parser: argparse.ArgumentParser) -> None:
    """Mark the arguments that take a file or a folder, here and in subcommands."""
    import shtab

    for action in parser._actions:
        if isinstance(action, argparse._SubParsersAction):
            for command in action.choices.values():
                _complete_files(command)
        if action.metavar in _FILES:
            action.complete = shtab.FILE  # type: ignore[attr-defined]
        elif action.metavar == "DIR":
            action.complete = shtab.DIRECTORY  # type: ignore[attr-defined]
