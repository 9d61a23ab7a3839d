"""``rgru compress``: pictures to .rgru files."""

from __future__ import annotations

import argparse
import dataclasses
import sys
import time
from pathlib import Path
from typing import TYPE_CHECKING, Any

from rgru_codec.arguments import between, count
from rgru_codec.cli import batch, options
from rgru_codec.cli.files import RGRU, Job, Plan, write
from rgru_codec.cli.pictures import known_suffixes, read_picture, without_pillows_limit
from rgru_codec.cli.progress import Share
from rgru_codec.cli.status import (
    DONE,
    LIMIT,
    UNUSABLE,
    USAGE,
    Failure,
    explain,
    finite,
    layer_count,
    number,
    words_of_psnr,
)

if TYPE_CHECKING:
    from rgru_codec.encoder import Encoded
    from rgru_codec.picture import Planes
    from rgru_codec.settings import Settings


def add_command(commands: Any) -> None:
    """Add the command to the parser."""
    parser = commands.add_parser(
        "compress",
        help="compress pictures to .rgru files",
        description="Compress pictures to .rgru files. Without a target a file has the fewest "
        "layers that reach MS-SSIM .98, or all where these do not. It can be cut later, or read "
        "in part.",
    )
    options.add_batch(parser, "pictures")
    add_encoding(parser)
    options.add_reporting(parser)
    parser.set_defaults(run=run)


def add_encoding(parser: argparse.ArgumentParser) -> None:
    """Add what `settings_of` reads."""
    target = parser.add_argument_group("how much to keep (one of these)")
    target = target.add_mutually_exclusive_group()
    target.add_argument(
        "-q",
        "--quality",
        type=between(1, 100),
        metavar="Q",
        help="1..100: how much of what a file can have; 1 is the first layer, 100 everything",
    )
    target.add_argument(
        "-l",
        "--layers",
        type=options.layers,
        metavar="N",
        help="so many layers, or all: for the archive",
    )
    target.add_argument(
        "--msssim",
        type=between(0, 1, open_ends=True),
        metavar="T",
        help="the fewest layers that reach this MS-SSIM, measured while encoding",
    )
    target.add_argument(
        "--bpp",
        type=between(0, 1000, open_ends=True),
        metavar="X",
        help="at most so many bits per pixel, everything counted",
    )
    target.add_argument(
        "--target-size", type=options.size, metavar="SIZE", help="at most so many bytes: 20k, 1M"
    )
    _add_picture_options(parser)
    options.add_model(parser, "compress with another model")
    parser.add_argument(
        "--encoder", metavar="NAME", help="one of the model's encoders; files do not tell which"
    )
    options.add_limits(parser)
    options.add_memory_limit(parser)
    options.add_threads(parser)


def _add_picture_options(parser: argparse.ArgumentParser) -> None:
    group = parser.add_argument_group("the picture and its metadata")
    group.add_argument(
        "--strip",
        type=options.metadata_names("hidden"),
        default=frozenset(),
        metavar="WHAT",
        help="leave metadata out: exif,gps,xmp,icc, hidden (the colour of fully transparent "
        "pixels) or all (default: all is kept)",
    )
    group.add_argument(
        "--keep-icc",
        action="store_true",
        help="keep a profile byte for byte also where it says what a file means without one (sRGB)",
    )
    for name, what in (("exif", "Exif"), ("xmp", "XMP"), ("icc", "the ICC profile")):
        group.add_argument(f"--{name}", metavar="FILE", help=f"take {what} from a file")
    group.add_argument(
        "--depth",
        type=int,
        choices=(8,),
        help="8: scale pictures of more than 8 bits a channel, which are refused otherwise",
    )
    group.add_argument(
        "--frame",
        type=count(0),
        metavar="N",
        help="take frame N of an animation, from 0 (animations are refused otherwise)",
    )


def run(args: argparse.Namespace) -> int:
    """Compress all inputs."""
    plan = Plan.of(
        args.inputs,
        args.output,
        RGRU,
        ".rgru",
        known_suffixes,
        read=(args.exif, args.xmp, args.icc),
        force=args.force,
        times=args.times,
    )
    args.threads = batch.share_threads(args.threads, min(args.jobs, len(plan.jobs)))
    work = Compress(settings_of(args), args.verbose)
    return batch.run(
        work, plan, "compressed", jobs=args.jobs, quiet=args.quiet, failures=args.failures
    )


def settings_of(args: argparse.Namespace) -> Settings:
    """Return what the options of `add_encoding` ask for; files that they name are read."""
    from rgru_codec.settings import Settings

    if args.keep_icc and "icc" in args.strip and args.icc is None:
        raise Failure(USAGE, "--keep-icc: --strip leaves the profile out; give one of the two")
    given = {name: getattr(args, name) for name in ("exif", "xmp", "icc")}
    content = {k: None if path is None else _metadata(k, path) for k, path in given.items()}
    settings = Settings(
        layers=args.layers,
        quality=args.quality,
        bpp=args.bpp,
        target_size=args.target_size,
        msssim=args.msssim,
        icc_profile=content["icc"],
        exif=content["exif"],
        xmp=content["xmp"],
        strip=args.strip,
        keep_icc=args.keep_icc,
        convert_depth=args.depth == 8,
        frame=args.frame,
        limits=options.limits_of(args),
        model=args.model,
        encoder=args.encoder,
        threads=args.threads,
    )
    if isinstance(args.layers, int) and args.layers > (model := settings.package()).iterations:
        words = f"the model {model.name} has 1..{model.iterations} layers"
        raise Failure(USAGE, f"--layers {args.layers}: {words}")
    return settings


def _metadata(name: str, path: str) -> bytes:
    """Read a piece of metadata, no more of it than a file can have."""
    from rgru_codec.colour import is_profile
    from rgru_codec.exif import is_exif, without_prefix
    from rgru_format import Limits

    most, place = Limits().max_metadata_bytes, f"--{name} {path}"
    try:
        with Path(path).open("rb") as file:
            content = file.read(most + 1)
    except OSError as error:
        raise Failure(UNUSABLE, f"--{name} {explain(error, path).message}") from None
    if len(content) > most:
        words = f"has more than the {number(most)} bytes that metadata may take"
        raise Failure(LIMIT, f"{place}: {words}")
    if name == "icc" and content and not is_profile(content):
        raise Failure(USAGE, f"{place}: is not an ICC profile")
    if name == "exif" and content and not is_exif(without_prefix(content)):
        raise Failure(USAGE, f"{place}: is not Exif data, which begins with II* or MM*")
    return content


@dataclasses.dataclass(frozen=True)
class Compress:
    """Compresses one picture after the other."""

    settings: Settings
    verbose: bool

    def __call__(self, job: Job, share: Share) -> batch.Outcome:
        """Compress the picture of a job."""
        from rgru_codec.encoder import encode, prepare

        without_pillows_limit()
        start = time.monotonic()
        data = read_picture(job.source, self.settings.limits)
        planes = prepare(data, self.settings)
        encoded = encode(planes, self.settings, share)
        write(job, encoded.data)
        seconds = time.monotonic() - start
        summary = self._summary(job.shown_target, len(data), planes, encoded, seconds)
        details = _details(encoded) if self.verbose else ()
        return batch.Outcome(DONE, summary, planes.notes, details)

    def _summary(
        self, name: str, before: int, planes: Planes, encoded: Encoded, seconds: float
    ) -> str:
        from rgru_codec.metrics import psnr

        height, width = planes.pixels.shape[:2]
        distance = words_of_psnr(finite(psnr(encoded.shown, planes.pixels)), 1)
        size = len(encoded.data)
        return (
            f"{name}: {width}x{height}, {self._layers(encoded)}, "
            f"{number(before)} {_arrow()} {number(size)} bytes "
            f"({8 * size / (width * height):.3f} bpp), PSNR {distance}, "
            f"{seconds:.1f} s"
        )

    def _layers(self, encoded: Encoded) -> str:
        """Say how much was kept, and why."""
        words = layer_count(encoded.layers, encoded.groups)
        if encoded.msssim is None:
            return words
        most = self.settings.package().iterations
        words = f"{encoded.layers} of {most} layers for MS-SSIM {encoded.msssim:.3f}"
        return words + (" (--layers all keeps all)" if encoded.layers < most else "")


def _details(encoded: Encoded) -> tuple[str, ...]:
    """List the layers, for ``--verbose``."""
    from rgru_codec.cli.info import layer_table
    from rgru_codec.inspection import info
    from rgru_format.limits import ANY_SIZE

    found = info(encoded.data, limits=ANY_SIZE)
    return tuple(layer_table(found.as_dict()["layers"]))


def _arrow() -> str:
    try:
        "→".encode(sys.stderr.encoding or "ascii")
    except (UnicodeEncodeError, LookupError, AttributeError):
        return "->"
    return "→"
