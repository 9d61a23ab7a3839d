"""The command ``rgru``: one file for each subcommand, nothing heavy before work begins.

Only the standard library is imported here and at the top of the other files of this package, so
that ``rgru --help`` is immediate.
"""

from __future__ import annotations

import argparse
import contextlib
import importlib
import os
import signal
import sys
import threading
import warnings
from collections.abc import Iterator, Sequence
from typing import TYPE_CHECKING, NoReturn

from rgru_codec.cli.completion import SHELLS, PrintCompletion
from rgru_codec.cli.status import (
    EPILOG,
    UNUSABLE,
    Failure,
    discard_output,
    explain,
    fail,
    write_out,
)
from rgru_codec.processes import variables
from rgru_codec.terminal import printable

if TYPE_CHECKING:
    from _typeshed import SupportsWrite

COMMANDS = (
    "compress",
    "decompress",
    "info",
    "verify",
    "thumbnail",
    "compare",
    "models",
    "completion",
)


class Parser(argparse.ArgumentParser):
    """A parser whose errors are safe to print, and whose help says when it cannot be."""

    def error(self, message: str) -> NoReturn:
        """Say what is wrong with the command line, and end with exit code 2."""
        super().error(printable(message, sys.stderr))

    def _print_message(self, message: str, file: SupportsWrite[str] | None = None) -> None:
        if file is sys.stdout and file is not None:
            write_out(message)  # argparse passes over what the stream says
        else:
            super()._print_message(message, file)


def build_parser() -> argparse.ArgumentParser:
    """Build the whole command line; completions and the manual page are made from it."""
    from rgru_codec import __version__

    parser = Parser(
        prog="rgru",
        description="Compress pictures to progressive .rgru files and back.",
        epilog=EPILOG,
        formatter_class=argparse.RawDescriptionHelpFormatter,
    )
    parser.add_argument("--version", action="version", version=f"rgru {__version__}")
    parser.add_argument(
        "--print-completion",
        choices=SHELLS,
        action=PrintCompletion,
        default=argparse.SUPPRESS,
        help="print a completion script for a shell",
    )
    commands = parser.add_subparsers(title="commands", metavar="COMMAND", required=True)
    for name in COMMANDS:
        importlib.import_module(f"rgru_codec.cli.{name}").add_command(commands)
    return parser


def run(argv: Sequence[str] | None) -> int:
    """Run one command line, as `rgru_codec.cli.main` says; an interruption goes on to that."""
    _occupy_standard_streams()
    try:
        args = build_parser().parse_args(argv)
        with ended_by_signals(), warnings.catch_warnings():
            warnings.simplefilter("ignore")  # those of libraries; ours are said in our words
            with variables(_preferred(args)):
                code: int = args.run(args)
    except BrokenPipeError:
        discard_output()  # nobody reads on
        return UNUSABLE
    except Exception as error:
        if os.environ.get("RGRU_DEBUG") and not isinstance(error, Failure):
            raise
        return fail(error)
    return code


def _preferred(args: argparse.Namespace) -> dict[str, str]:
    """Return variables that make a model the first that is looked at, in all processes."""
    if not hasattr(args, "model"):
        return {}
    from rgru_codec.cli.files import check_names
    from rgru_codec.models import FIRST, model_named
    from rgru_format import ModelMissing, RgruError

    check_names(args.model)
    model, said = args.model, "--model"
    if model is None:
        model, said = os.environ.get(FIRST), FIRST
    if not model:
        return {}
    try:
        return {FIRST: str(model_named(model).folder.resolve())}
    except ModelMissing as error:
        words = f"{said} {model}: is not installed; install it with: {error.how}"
        raise Failure(explain(error).code, words) from None
    except RgruError as error:
        raise Failure(explain(error).code, f"{said}: {error}") from None


@contextlib.contextmanager
def ended_by_signals() -> Iterator[None]:
    """Let SIGTERM and SIGHUP end the program as Ctrl-C does: tidily, with its processes."""

    def leave(number: int, frame: object) -> NoReturn:
        raise SystemExit(128 + number)

    before = {}
    if threading.current_thread() is threading.main_thread():
        for name in ("SIGTERM", "SIGHUP"):
            number = getattr(signal, name, None)  # Windows has no SIGHUP
            if number is not None and signal.getsignal(number) is signal.SIG_DFL:  # nohup ignores
                before[number] = signal.signal(number, leave)
    try:
        yield
    finally:
        for number, handler in before.items():
            signal.signal(number, handler)


def _occupy_standard_streams() -> None:
    """Open what was closed (``>&-``): a file would get its number, and words meant for it."""
    for number in range(3):
        try:
            os.fstat(number)
        except OSError:
            os.open(os.devnull, os.O_RDWR)
