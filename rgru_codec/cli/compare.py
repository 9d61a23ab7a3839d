"""``rgru compare``: how far two pictures are apart, and what they cost."""

from __future__ import annotations

import argparse
from typing import TYPE_CHECKING, Any

from rgru_codec.arguments import count
from rgru_codec.cli import options
from rgru_codec.cli.files import check_standard_input, display_name
from rgru_codec.cli.pictures import read_picture, without_pillows_limit
from rgru_codec.cli.status import (
    DONE,
    USAGE,
    Failure,
    explain,
    finite,
    layer_count,
    number,
    say,
    show,
    words_of_psnr,
)

if TYPE_CHECKING:
    import numpy as np
    from numpy.typing import NDArray

    from rgru_format import Limits


def add_command(commands: Any) -> None:
    """Add the command to the parser."""
    parser = commands.add_parser(
        "compare",
        help="PSNR and MS-SSIM of two pictures",
        description="Compare a picture with another, each a .rgru file or of any known format. "
        "Pictures are compared as 8-bit RGB, without their alpha; of an animation the first frame.",
    )
    parser.add_argument("reference", metavar="A", help="the original")
    parser.add_argument("picture", metavar="B", help="what became of it")
    parser.add_argument("--layers", type=count(0), metavar="N", help="of .rgru files")
    parser.add_argument("--json", action="store_true", help="a JSON object")
    options.add_model(parser, "for files of a model that is not installed")
    options.add_limits(parser)
    options.add_threads(parser)
    parser.set_defaults(run=run)


def run(args: argparse.Namespace) -> int:
    """Print bytes, rate and distances."""
    import json

    from rgru_codec.metrics import ms_ssim, psnr

    check_standard_input((args.reference, args.picture))
    limits = options.limits_of(args)
    a, first_size, first_layers = _open(args.reference, args.layers, limits, args.threads)
    b, second_size, second_layers = _open(args.picture, args.layers, limits, args.threads)
    if args.layers is not None and first_layers is None and second_layers is None:
        raise Failure(USAGE, "--layers: neither of the two is a .rgru file, others have no layers")
    names = [display_name(name) for name in (args.reference, args.picture)]
    height, width = a.shape[:2]
    if a.shape != b.shape:
        raise Failure(
            USAGE,
            f"{names[0]} is {width}x{height}, {names[1]} is "
            f"{b.shape[1]}x{b.shape[0]}; only pictures of the same size can be compared",
        )
    pixels = width * height
    table = {
        "a": args.reference,
        "b": args.picture,
        "width": width,
        "height": height,
        "layers_a": first_layers,
        "layers_b": second_layers,
        "bytes_a": first_size,
        "bytes_b": second_size,
        "bpp_a": 8 * first_size / pixels,
        "bpp_b": 8 * second_size / pixels,
        "psnr": finite(psnr(b, a)),
        "ms_ssim": ms_ssim(a, b),
    }
    for line in [json.dumps(table)] if args.json else _words(table, names):
        show(line)
    for name, layers in zip(names, (first_layers, second_layers), strict=True):
        if args.layers is not None and layers is not None and layers < args.layers:
            has = layer_count(layers)
            say(f"{name}: has {has} and no more ({args.layers} were asked for)")
    return DONE


def _words(table: dict[str, Any], names: list[str]) -> list[str]:
    return [
        f"A {names[0]}: {number(table['bytes_a'])} bytes ({table['bpp_a']:.3f} bpp)",
        f"B {names[1]}: {number(table['bytes_b'])} bytes ({table['bpp_b']:.3f} bpp), "
        f"{100 * table['bytes_b'] / table['bytes_a']:.1f} % of A",
        f"{table['width']}x{table['height']}, PSNR {words_of_psnr(table['psnr'], 2)}, "
        f"MS-SSIM {table['ms_ssim']:.5f}",
    ]


def _open(
    name: str, layers: int | None, limits: Limits, threads: int | None
) -> tuple[NDArray[np.uint8], int, int | None]:
    """Pixels (H, W, 3) as `rgru compress` sees them, the bytes that they take, and the layers."""
    import numpy as np

    from rgru_codec.decoder import Decoder
    from rgru_codec.source import read_planes
    from rgru_format import SIGNATURE

    without_pillows_limit()
    try:
        data = read_picture(name, limits)
        if data.startswith(SIGNATURE[:5]):
            decoder = Decoder(layers=layers, limits=limits, threads=threads)
            decoder.feed(data)
            end = decoder.close().offset
            size = len(data) - decoder.ignored if layers is None else end
            return np.asarray(decoder.picture().convert("RGB")), size, decoder.layers
        planes = read_planes(data, convert_depth=True, frame=0, limits=limits)
        return planes.pixels, len(data), None
    except Exception as error:
        raise explain(error, display_name(name)) from None
