"""``rgru compare``: how far two pictures are apart, and what they cost."""

from __future__ import annotations

import argparse
from typing import TYPE_CHECKING, Any

from rgru_codec.cli import options
from rgru_codec.cli.files import read_bytes
from rgru_codec.cli.pictures import load, open_picture
from rgru_codec.cli.status import DONE, USAGE, Failure, explain, number

if TYPE_CHECKING:
    from PIL import Image


def add_command(commands: Any) -> None:
    """Add the command to the parser."""
    parser = commands.add_parser(
        "compare",
        help="PSNR and MS-SSIM of two pictures",
        description="Compare a picture with another, each a .rgru file or of any known format. "
        "Pictures are compared as 8-bit RGB (grey if both are), alpha apart.",
    )
    parser.add_argument("reference", metavar="A", help="the original")
    parser.add_argument("picture", metavar="B", help="what became of it")
    parser.add_argument("--layers", type=options.count(0), metavar="N", help="of .rgru files")
    parser.add_argument("--json", action="store_true", help="a JSON object")
    options.add_limits(parser)
    options.add_threads(parser)
    parser.set_defaults(run=run)


def run(args: argparse.Namespace) -> int:
    """Print bytes, rate and distances."""
    import json

    import numpy as np

    from rgru_codec.api import psnr
    from rgru_codec.msssim import ms_ssim

    first, first_size = _open(args.reference, args)
    second, second_size = _open(args.picture, args)
    if first.size != second.size:
        raise Failure(
            USAGE,
            f"{args.reference} is {first.width}x{first.height}, {args.picture} is "
            f"{second.width}x{second.height}; only pictures of the same size can be compared",
        )
    mode = "L" if {first.mode, second.mode} <= {"1", "L", "LA"} else "RGB"
    a, b = (np.asarray(image.convert(mode)) for image in (first, second))
    pixels = first.width * first.height
    table = {
        "a": args.reference,
        "b": args.picture,
        "width": first.width,
        "height": first.height,
        "bytes_a": first_size,
        "bytes_b": second_size,
        "bpp_a": 8 * first_size / pixels,
        "bpp_b": 8 * second_size / pixels,
        "psnr": None if (value := psnr(b, a)) == float("inf") else value,
        "ms_ssim": ms_ssim(a, b),
    }
    print(json.dumps(table) if args.json else _words(table))
    return DONE


def _words(table: dict[str, Any]) -> str:
    distance = "infinite" if table["psnr"] is None else f"{table['psnr']:.2f} dB"
    return (
        f"A {table['a']}: {number(table['bytes_a'])} bytes ({table['bpp_a']:.3f} bpp)\n"
        f"B {table['b']}: {number(table['bytes_b'])} bytes ({table['bpp_b']:.3f} bpp), "
        f"{100 * table['bytes_b'] / table['bytes_a']:.1f} % of A\n"
        f"{table['width']}x{table['height']}, PSNR {distance}, MS-SSIM {table['ms_ssim']:.5f}"
    )


def _open(name: str, args: argparse.Namespace) -> tuple[Image.Image, int]:
    from rgru_codec.api import decompress
    from rgru_codec.picture import upright
    from rgru_format import SIGNATURE, Limits

    try:
        data = read_bytes(name)
        if data.startswith(SIGNATURE[:5]):
            limits = Limits(max_pixels=args.max_pixels)
            image = decompress(data, args.layers, limits=limits, threads=args.threads)
            return image, len(data)
        image, size = open_picture(name, args.max_pixels)
        load(image, name)
        return upright(image), size
    except Exception as error:
        raise explain(error, name) from None
