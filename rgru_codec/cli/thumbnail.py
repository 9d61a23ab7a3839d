"""``rgru thumbnail``: a small picture, from the first layers only."""

from __future__ import annotations

import argparse
import dataclasses
from typing import TYPE_CHECKING, Any

from rgru_codec.arguments import count
from rgru_codec.cli import batch, options
from rgru_codec.cli.files import STREAM, THUMBNAIL, Job, Plan, read_rgru, write
from rgru_codec.cli.pictures import encode_picture, picture_format
from rgru_codec.cli.progress import Share
from rgru_codec.cli.status import DONE, layer_count

if TYPE_CHECKING:
    from rgru_format import Limits


def add_command(commands: Any) -> None:
    """Add the command to the parser."""
    parser = commands.add_parser(
        "thumbnail",
        help="write a small picture of a file, quickly",
        description="Write a small picture of a .rgru file. Only as many layers are decoded as "
        "the small picture can show. A file that is cut short is fine; of a damaged one "
        "it is made of what stands before the damage, with a note.",
    )
    parser.add_argument("input", metavar="FILE", help="a .rgru file, or -")
    parser.add_argument("output", metavar="OUT", help="the small picture, or - (PNG)")
    parser.add_argument(
        "-s",
        "--size",
        type=count(1),
        default=256,
        metavar="N",
        help="longer side in pixels (default 256)",
    )
    options.add_model(parser, "for files of a model that is not installed")
    options.add_limits(parser)
    options.add_memory_limit(parser)
    options.add_threads(parser)
    options.add_reporting(parser)
    parser.set_defaults(run=run)


def run(args: argparse.Namespace) -> int:
    """Make the thumbnail."""
    work = Thumbnail(args.size, options.limits_of(args), batch.share_threads(args.threads, 1))
    plan = Plan([Job(args.input, args.output, derived=False)], THUMBNAIL)
    return batch.run(work, plan, "written", quiet=args.quiet)


@dataclasses.dataclass(frozen=True)
class Thumbnail:
    """Decodes a few layers of a file and scales the picture down."""

    size: int
    """Longer side in pixels."""
    limits: Limits
    threads: int | None

    def __call__(self, job: Job, share: Share) -> batch.Outcome:
        """Make the thumbnail of a job."""
        from rgru_codec.thumbnails import thumbnail_and_notes

        # Desktops ask for files of any name, to be written as PNG.
        kind = picture_format("" if job.target == STREAM else job.target, ".png")
        data = read_rgru(job.source, self.limits)
        image, notes = thumbnail_and_notes(data, self.size, self.limits, self.threads, None)
        content, left_out = encode_picture(image, kind)
        write(job, content)
        used = layer_count(image.info["layers"])
        words = f"{job.shown_target}: {image.width}x{image.height}, {used} used"
        return batch.Outcome(DONE, words, notes + left_out)
