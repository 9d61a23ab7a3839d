"""``rgru info``: what a file says of itself; no pixel is decoded."""

from __future__ import annotations

import argparse
import dataclasses
import io
import stat
from pathlib import Path
from typing import TYPE_CHECKING, Any

from rgru_codec.cli import options
from rgru_codec.cli.files import STREAM, check_standard_input, display_name, pieces_of
from rgru_codec.cli.status import DONE, are, counted, exit_code, fail, layer_count, number, show

if TYPE_CHECKING:
    from rgru_codec.inspection import Info
    from rgru_format import Limits


def add_command(commands: Any) -> None:
    """Add the command to the parser."""
    parser = commands.add_parser(
        "info",
        help="show size, model, layers and metadata of files",
        description="Show what .rgru files say of themselves. No pixel is decoded.",
    )
    parser.add_argument("inputs", nargs="+", metavar="FILE", help="a .rgru file, or -")
    parser.add_argument("--json", action="store_true", help="one JSON object a line and file")
    options.add_model(parser, "for files of a model that is not installed")
    options.add_limits(parser)
    options.add_reporting(parser)
    parser.set_defaults(run=run)


def run(args: argparse.Namespace) -> int:
    """Show all inputs."""
    check_standard_input(args.inputs)
    codes, limits = [], options.limits_of(args)
    for name in args.inputs:
        shown = display_name(name)
        if len(args.inputs) > 1 and not args.json:
            show(f"{shown}:")
        try:
            codes.append(_show(name, limits, as_json=args.json, verbose=args.verbose))
        except BrokenPipeError:
            raise
        except Exception as error:
            codes.append(fail(error, shown))
    return exit_code(codes)


def _show(name: str, limits: Limits, *, as_json: bool, verbose: bool) -> int:
    from rgru_codec.inspection import inspect

    found = inspect(pieces_of(name), limits=limits)
    fault = found.error
    if fault is not None:  # what stands behind it has not been read
        found = dataclasses.replace(found, size=max(found.size, _size_of(name)))
    if as_json:
        import json

        table = {"file": name, **found.as_dict(), "damage": str(fault) if fault else None}
        show(json.dumps(table))
    else:
        for line in describe(found, verbose=verbose):
            show(line)
    return DONE if fault is None else fail(fault, display_name(name))


def describe(found: Info, *, verbose: bool) -> list[str]:
    """Write lines for people."""
    table = found.as_dict()
    lines = [
        f"RGRU {table['version']}, {table['width']}x{table['height']} {table['mode']} 8-bit, "
        f"model {table['model']} ({_model_name(found)}), {layer_count(len(found.layers))}, "
        f"{number(found.size)} bytes ({table['bpp']:.3f} bpp)",
        f"Colour: {_colour(found)}",
    ]
    lines += layer_table(table["layers"], offsets=found if verbose else None)
    lines.append(f"metadata: {_metadata(found)}")
    if found.ignored:
        lines.append(f"ignored: {counted(found.ignored, 'byte')} behind the end of the picture")
    if found.unfinished:
        last = counted(found.unfinished, "byte")
        lines.append(f"cut short: the last {last} {are(found.unfinished)} unfinished")
    if verbose:
        lines.append(f"overhead: {_overhead(found)}")
        lines.append(f"verdict: {_verdict(found)}")
    return lines


def _model_name(found: Info) -> str:
    from rgru_codec.models import find_model
    from rgru_format import ModelMissing

    try:
        return find_model(found.header.model_id).name
    except ModelMissing:
        return "not installed"


def _colour(found: Info) -> str:
    from rgru_codec.metadata import metadata_of
    from rgru_format import BOX_COLOUR, BOX_ICC

    boxes = (one.box for one in found.boxes)
    box = next((one for one in boxes if one.type in (BOX_COLOUR, BOX_ICC)), None)
    if box is None:
        return "grey, gamma of sRGB (assumed)" if found.header.grey else "sRGB (assumed)"
    icc = metadata_of(box, grey=found.header.grey).get("icc_profile")
    if icc is None:
        return f"code points that are not known ({box.content.hex()}), taken as sRGB"
    from PIL import ImageCms

    try:
        return ImageCms.getProfileDescription(ImageCms.ImageCmsProfile(io.BytesIO(icc))).strip()
    except (ImageCms.PyCMSError, OSError, ValueError):
        return "an ICC profile that cannot be read"


def layer_table(layers: list[dict[str, Any]], offsets: Info | None = None) -> list[str]:
    """Write a line for each layer, and a head; with ``offsets`` also where its groups begin."""
    head = f"{'layer':>5} {'bytes':>10} {'total':>10} {'bpp':>7}  complete"
    lines = [head + ("  groups" if offsets else "")]
    for row in layers:
        complete = {True: "yes", False: "no", None: "?"}[row["complete"]]
        line = (
            f"{row['layer']:>5} {number(row['bytes']):>10} {number(row['end']):>10} "
            f"{row['bpp']:>7.3f}  {complete}"
        )
        if offsets:
            found = offsets.layers[row["layer"] - 1].offsets
            line = f"{line:<46} {len(found)} at " + ", ".join(number(at) for at in found)
        lines.append(line)
    return lines


def _metadata(found: Info) -> str:
    names = {b"iccp": "ICC", b"exif": "Exif", b"xmp ": "XMP", b"ALPH": "alpha"}
    sizes = {one.box.type: len(one.box.content) for one in found.boxes}
    words = [f"{names[t]} {number(sizes[t])} B" if t in sizes else f"{names[t]} -" for t in names]
    words += [f"{t.decode('latin-1')} {number(n)} B" for t, n in sizes.items() if t not in names]
    return ", ".join(words)


def _overhead(found: Info) -> str:
    """Tell the bytes that are not codes; the boxes are listed above."""
    from rgru_format import HEADER_SIZE

    framing = sum(layer.framing for layer in found.layers)
    share = (HEADER_SIZE + framing) / max(found.size, 1)
    return (
        f"header {HEADER_SIZE} B, lengths and checksums of layers {number(framing)} B "
        f"({100 * share:.2f} % of the file)"
    )


def _verdict(found: Info) -> str:
    if found.unfinished:
        return "sound as far as it goes, and cut short"
    return "sound: every checksum matches"


def _size_of(source: str) -> int:
    """Return the size of a file on a disk; 0 of what does not tell."""
    found = None if source == STREAM else Path(source).stat()
    return found.st_size if found is not None and stat.S_ISREG(found.st_mode) else 0
