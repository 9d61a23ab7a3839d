"""``rgru-batch``: the work of ``rgru compress DIR`` as an Apache Beam pipeline, on many machines.

Needs the extra ``[beam]``. The same line again continues after an interruption.
"""

from __future__ import annotations

import argparse
import os
import sys
from collections.abc import Sequence

from rgru_codec.cli.batch import share_threads
from rgru_codec.cli.status import DONE, EPILOG, INTERRUPTED, UNUSABLE, USAGE, fail, say

_DESCRIPTION = """\
Compress many pictures to .rgru files with Apache Beam. Options that are not listed here are the
pipeline's own (--runner, --direct_num_workers, --project, ...).
"""


def build_parser() -> argparse.ArgumentParser:
    """Build the command line of ``rgru-batch``."""
    from rgru_codec.cli import compress

    parser = argparse.ArgumentParser(prog="rgru-batch", description=_DESCRIPTION, epilog=EPILOG)
    parser.formatter_class = argparse.RawDescriptionHelpFormatter
    commands = parser.add_subparsers(metavar="COMMAND", required=True)
    command = commands.add_parser("compress", help="compress pictures", allow_abbrev=False)
    command.add_argument(
        "--input",
        nargs="+",
        action="extend",
        required=True,
        metavar="GLOB",
        help="folders or patterns, 'photos/**' or 'gs://bucket/photos/*.jpg'; names below the "
        "first wildcard are kept",
    )
    command.add_argument("--output", required=True, metavar="DIR", help="where .rgru files go")
    command.add_argument(
        "-f", "--force", action="store_true", help="do again what is there already"
    )
    command.add_argument(
        "--measure", action="store_true", help="also measure the MS-SSIM of each picture"
    )
    compress.add_encoding(command)
    return parser


def main(argv: Sequence[str] | None = None) -> int:
    """Run one command line; returns the exit code (0: all pictures are done)."""
    args, rest = build_parser().parse_known_args(argv)
    # Runners start as many workers as there are cores.
    args.threads = share_threads(args.threads or 1, 1)
    try:
        from rgru_codec.cli.pipeline import run
    except ModuleNotFoundError as error:
        if error.name is None or error.name.partition(".")[0] != "apache_beam":
            raise
        say("Apache Beam is not installed: pip install 'rgru-codec[beam]'")
        return USAGE
    try:
        counts = run(args, rest)
    except KeyboardInterrupt:
        say("interrupted; the same line again continues")
        return INTERRUPTED
    except Exception as error:
        if os.environ.get("RGRU_DEBUG"):
            raise
        return fail(error)
    say(", ".join(f"{count} {word}" for word, count in counts.items()))
    return UNUSABLE if counts["failed"] else DONE


if __name__ == "__main__":
    sys.exit(main())
