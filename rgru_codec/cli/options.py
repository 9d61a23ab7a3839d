"""Options that several commands share, and what their values may be."""

from __future__ import annotations

import argparse
from collections.abc import Callable
from typing import TYPE_CHECKING

from rgru_codec.arguments import count

if TYPE_CHECKING:
    from rgru_format import Limits

_UNITS = {"": 1, "k": 10**3, "m": 10**6, "g": 10**9, "ki": 2**10, "mi": 2**20, "gi": 2**30}
METADATA = ("exif", "gps", "xmp", "icc")


def size(text: str) -> int:
    """Take bytes or pixels: ``20000``, ``20k``, ``1.5M``, ``64Ki``."""
    digits = text.rstrip("KMGIkmgiBb")
    unit = text[len(digits) :].lower().removesuffix("b")
    try:
        value = int(float(digits) * _UNITS[unit])
    except (ValueError, KeyError, OverflowError):
        raise argparse.ArgumentTypeError(
            f"{text!r} is not a size; give a number with k, M, G, Ki, Mi or Gi if you like: 20k"
        ) from None
    if value < 1:
        raise argparse.ArgumentTypeError(f"{text!r} is not above 0")
    return value


def layers(text: str) -> int | str:
    """Take a number of layers, or ``all``."""
    return text if text == "all" else count(1)(text)


def metadata_names(*more: str) -> Callable[[str], frozenset[str]]:
    """Take some of ``exif,gps,xmp,icc`` and ``more``; ``all`` among them means all."""
    known = (*METADATA, *more)

    def parse(text: str) -> frozenset[str]:
        names = frozenset(part.strip() for part in text.split(","))
        if unknown := names - {*known, "all"}:
            raise argparse.ArgumentTypeError(
                f"unknown metadata {', '.join(sorted(unknown)) or repr('')}; "
                f"choose from {', '.join(known)}, or all"
            )
        return frozenset(known) if "all" in names else names

    return parse


def region(text: str) -> tuple[int, int, int, int]:
    """Take ``X,Y,W,H``: left, top, width, height in pixels."""
    try:
        x, y, width, height = (int(part) for part in text.split(","))
    except ValueError:
        raise argparse.ArgumentTypeError(
            f"{text!r} is not X,Y,W,H (left, top, width, height): 100,50,640,480"
        ) from None
    if min(x, y) < 0 or min(width, height) < 1:
        raise argparse.ArgumentTypeError(f"{text!r}: X and Y are at least 0, W and H at least 1")
    return x, y, width, height


def add_reporting(parser: argparse.ArgumentParser) -> None:
    """Add ``-Q`` and ``-v``."""
    group = parser.add_mutually_exclusive_group()
    group.add_argument("-Q", "--quiet", action="store_true", help="say nothing but errors")
    group.add_argument("-v", "--verbose", action="store_true", help="say more")


def add_limits(parser: argparse.ArgumentParser) -> None:
    """Add ``--max-pixels``."""
    parser.add_argument(
        "--max-pixels",
        type=size,
        metavar="N",
        help="refuse pictures of more pixels (default 67 108 864); 200M is understood",
    )


def add_memory_limit(parser: argparse.ArgumentParser) -> None:
    """Add ``--max-memory``."""
    parser.add_argument(
        "--max-memory",
        type=size,
        metavar="BYTES",
        help="refuse pictures that need more working memory (default: no limit); 2G is understood",
    )


def limits_of(args: argparse.Namespace) -> Limits:
    """Return what `add_limits` and `add_memory_limit` ask for, and the defaults of the rest."""
    from rgru_format import Limits

    names = ("max_pixels", "max_memory")
    given = {name: value for name in names if (value := getattr(args, name, None)) is not None}
    return Limits(**given)


def add_threads(parser: argparse.ArgumentParser) -> None:
    """Add ``--threads``."""
    parser.add_argument(
        "--threads",
        type=count(1),
        metavar="N",
        help="threads of each process (default: the cores, divided among the processes)",
    )


def add_model(parser: argparse.ArgumentParser, what: str) -> None:
    """Add ``--model``."""
    parser.add_argument(
        "--model",
        metavar="MODEL",
        help=f"{what}: the folder of a package, or the id or name of a model (rgru models)",
    )


def add_batch(parser: argparse.ArgumentParser, what: str) -> None:
    """Add inputs, ``-o``, ``-f``, ``-j`` and ``--failures``."""
    parser.add_argument(
        "inputs",
        nargs="+",
        metavar="IN",
        help=f"{what}: files, folders, patterns like 'photos/*', or - for standard input",
    )
    parser.add_argument(
        "-o",
        "--output",
        metavar="OUT",
        help="file, or folder (made if missing), or - for standard output; by default beside the "
        "input (standard output for standard input); with one input it may stand behind it: IN OUT",
    )
    parser.add_argument(
        "-f",
        "--force",
        action="store_true",
        help="overwrite files whose names were not given but derived",
    )
    parser.add_argument(
        "--no-times",
        dest="times",
        action="store_false",
        help="do not give outputs the times of the inputs",
    )
    parser.add_argument(
        "-j",
        "--jobs",
        type=count(1),
        default=1,
        metavar="N",
        help="processes that work at the same time (default 1)",
    )
    parser.add_argument(
        "--failures", metavar="FILE", help="write the names of the inputs that failed to a file"
    )
