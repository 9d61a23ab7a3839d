"""``rgru thumbnail``: a small picture, from the first layers only."""

from __future__ import annotations

import argparse
import dataclasses
from typing import TYPE_CHECKING, Any

from rgru_codec.cli import batch, options
from rgru_codec.cli.files import STREAM, Job, display_name, read_bytes, write
from rgru_codec.cli.pictures import picture_format, save_picture
from rgru_codec.cli.status import DONE, UNUSABLE, Failure, layer_count

if TYPE_CHECKING:
    from rgru_format import Limits


def add_command(commands: Any) -> None:
    """Add the command to the parser."""
    parser = commands.add_parser(
        "thumbnail",
        help="write a small picture of a file, quickly",
        description="Write a small picture of a .rgru file. Only as many layers are decoded as "
        "the small picture can show. A file that is cut short is fine.",
    )
    parser.add_argument("input", metavar="FILE", help="a .rgru file, or -")
    parser.add_argument("output", metavar="OUT", help="the small picture, or - (PNG)")
    parser.add_argument(
        "-s",
        "--size",
        type=options.count(1),
        default=256,
        metavar="N",
        help="longer side in pixels (default 256)",
    )
    options.add_limits(parser)
    options.add_memory_limit(parser)
    options.add_threads(parser)
    options.add_reporting(parser)
    parser.set_defaults(run=run)


def run(args: argparse.Namespace) -> int:
    """Make the thumbnail."""
    from rgru_format import Limits

    limits = Limits(max_pixels=args.max_pixels, max_memory=args.max_memory)
    work = Thumbnail(args.size, limits, batch.share_threads(args.threads, 1))
    jobs = [Job(args.input, args.output, derived=False)]
    return batch.run(work, jobs, batch.Options(quiet=args.quiet, force=True), "written")


@dataclasses.dataclass(frozen=True)
class Thumbnail:
    """Decodes a few layers of a file and scales the picture down."""

    size: int
    """Longer side in pixels."""
    limits: Limits
    threads: int | None

    def __call__(self, job: Job) -> batch.Outcome:
        """Make the thumbnail of a job."""
        from rgru_codec.decoder import thumbnail

        # Desktops ask for files of any name, to be written as PNG.
        suffixed = "." in job.target and job.target != STREAM
        kind = picture_format(job.target) if suffixed else "PNG"
        data = read_bytes(job.source)
        if not data:
            raise Failure(UNUSABLE, f"{display_name(job.source, 'standard input')}: is empty")
        image = thumbnail(data, self.size, limits=self.limits, threads=self.threads)
        write(job, lambda file: save_picture(image, file, kind))
        name, layers = display_name(job.target, "standard output"), image.info["layers"]
        words = f"{name}: {image.width}x{image.height}, {layer_count(layers)} used"
        return batch.Outcome(DONE, words)
