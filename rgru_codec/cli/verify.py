"""``rgru verify``: check files without looking at them."""

from __future__ import annotations

import argparse
from collections.abc import Iterable
from pathlib import Path
from typing import TYPE_CHECKING, Any

from rgru_codec.cli import options
from rgru_codec.cli.files import check_names, check_standard_input, display_name, pieces_of
from rgru_codec.cli.status import (
    CUT,
    DONE,
    UNUSABLE,
    USAGE,
    Failure,
    are,
    counted,
    exit_code,
    fail,
    layer_count,
    show,
)

if TYPE_CHECKING:
    from rgru_format import Limits

HERE = "-"
"""Of ``--vectors``: those that this checkout has."""


def add_command(commands: Any) -> None:
    """Add the command to the parser."""
    parser = commands.add_parser(
        "verify",
        help="check checksums and codes of files",
        description="Check .rgru files: checksums, order and lengths; codes too if the model is "
        "installed. No picture is decoded.",
    )
    parser.add_argument("inputs", nargs="*", metavar="FILE", help="a .rgru file, or -")
    parser.add_argument(
        "--vectors",
        nargs="?",
        const=HERE,
        metavar="DIR",
        help="check this decoder against conformance files; DIR is format/vectors of a checkout "
        "(needed where rgru is installed elsewhere)",
    )
    options.add_model(parser, "for files of a model that is not installed")
    options.add_limits(parser)
    options.add_reporting(parser)
    parser.set_defaults(run=run)


def run(args: argparse.Namespace) -> int:
    """Verify all inputs."""
    if args.vectors is not None:
        check_names(args.vectors)
        if args.inputs:
            raise Failure(
                USAGE, f"{args.inputs[0]}: --vectors checks no files; verify it by itself"
            )
        return _vectors(args.vectors, verbose=args.verbose, quiet=args.quiet)
    if not args.inputs:
        raise Failure(USAGE, "verify needs a file, or --vectors")
    check_standard_input(args.inputs)
    limits = options.limits_of(args)
    return exit_code([_verify(name, limits, args.quiet) for name in args.inputs])


def _verify(name: str, limits: Limits, quiet: bool) -> int:
    shown = display_name(name)
    try:
        code, words = check(pieces_of(name), limits)
    except Exception as error:
        return fail(error, shown)
    if not quiet or code:
        show(f"{shown}: {words}")
    return code


def check(data: bytes | Iterable[bytes], limits: Limits) -> tuple[int, str]:
    """Check one file, whole or in pieces; returns exit code and verdict. Damage is raised."""
    from rgru_codec.models import known_context
    from rgru_format import check as check_file

    report, decoded = check_file(data, limits, known_context)
    report.sound()
    assert report.ending is not None
    held = layer_count(len(report.layers))
    if decoded.codes is None:
        words = f"codes not checked (model {report.header.model_id.hex()} is not installed)"
    else:
        words, held = "codes decode", layer_count(decoded.codes.layer, decoded.codes.group)
    words = f"checksums match, {words}; {held}"
    if report.ignored:
        words += f"; ignored: {counted(report.ignored, 'byte')} behind the end of the picture"
    if report.unfinished:
        missing = report.ending.missing
        cut = f"{words}; cut short: {counted(missing, 'byte')} or more {are(missing)} missing"
        return CUT, cut + (f"; {report.suspicion}" if report.suspicion else "")
    words = f"{words}, {counted(report.size, 'byte')}"
    if not report.layers:
        return CUT, f"{words}; cut short before its first layer"
    if report.alpha_missing:
        return CUT, f"{words}; cut short before its alpha plane"
    return DONE, words


def fault_of(path: str) -> str:
    """Say what is wrong with a file; nothing if its checksums match and nothing is missing."""
    try:
        return fault_in(pieces_of(path))
    except OSError as error:
        return f"it cannot be read: {error}"
    except Failure:
        return "it is empty"


def fault_in(data: bytes | Iterable[bytes]) -> str:
    """Do as `fault_of` for the bytes of a file, whole or in pieces."""
    from rgru_codec.models import known_context
    from rgru_format import RgruError, inspect
    from rgru_format.limits import ANY_SIZE

    try:
        report = inspect(data, ANY_SIZE, known_context).sound()
    except RgruError as error:
        return f"it is faulty: {error}"
    cut = report.unfinished or not report.layers or report.alpha_missing
    return "it is cut short" if cut else ""


def _vectors(where: str, *, verbose: bool, quiet: bool) -> int:
    from rgru_codec.models import find_model
    from rgru_codec.vectors import check_pixels
    from rgru_format.conformance import VECTORS, run_vectors

    folder = VECTORS if where == HERE else Path(where)
    results = run_vectors(folder, lambda model_id: find_model(model_id).context())
    results += check_pixels(folder)
    for result in results:
        if result.problem is not None or verbose:
            show(f"{result.name}: {result.problem or 'as it should be'}")
    failed = sum(result.problem is not None for result in results)
    if not quiet:
        show(f"{counted(len(results), 'conformance file')}, {failed} failed")
    return UNUSABLE if failed else DONE
