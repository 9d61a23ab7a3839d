"""``rgru decompress``: .rgru files, whole or cut, to pictures."""

from __future__ import annotations

import argparse
import dataclasses
from pathlib import Path
from typing import IO, TYPE_CHECKING, Any, BinaryIO

from rgru_codec.cli import batch, options
from rgru_codec.cli.files import STREAM, Job, check_target, display_name, plan, read_bytes, write
from rgru_codec.cli.pictures import picture_format, save_picture
from rgru_codec.cli.status import (
    CUT,
    DONE,
    UNUSABLE,
    USAGE,
    Failure,
    concerning,
    layer_count,
    number,
    say,
)

if TYPE_CHECKING:
    from PIL import Image

    from rgru_codec.progressive import Decoder
    from rgru_format import Damaged


def add_command(commands: Any) -> None:
    """Add the command to the parser."""
    parser = commands.add_parser(
        "decompress",
        help="turn .rgru files into pictures",
        description="Turn .rgru files into pictures. A file that is cut short gives the picture "
        "of what is there, and exit code 3.",
    )
    options.add_batch(parser, ".rgru files")
    parser.add_argument(
        "-l", "--layers", type=options.count(0), metavar="N", help="use the first N layers only"
    )
    parser.add_argument(
        "--region",
        type=options.region,
        metavar="X,Y,W,H",
        help="only this part: left, top, width and height in pixels",
    )
    parser.add_argument(
        "--format",
        metavar="KIND",
        default="png",
        help="format where the output's name does not say it: png (default), jpg, webp, tiff, ppm",
    )
    parser.add_argument(
        "--partial",
        action="store_true",
        help="a cut or damaged file is fine (exit code 0): decode what is intact",
    )
    parser.add_argument("--steps", metavar="DIR", help="write a picture for each layer to a folder")
    parser.add_argument(
        "--animate",
        metavar="FILE",
        help="write the picture building up as an animation (.webp, .gif or .png), bytes shown",
    )
    parser.add_argument(
        "--strip",
        type=options.metadata_names,
        default=frozenset(),
        metavar="WHAT",
        help="leave metadata out of the picture: exif,xmp,icc or all",
    )
    options.add_limits(parser)
    options.add_memory_limit(parser)
    options.add_threads(parser)
    options.add_reporting(parser)
    parser.set_defaults(run=run)


def run(args: argparse.Namespace) -> int:
    """Decompress all inputs."""
    args.format = "." + args.format.lower().removeprefix(".")
    picture_format(args.format)
    jobs = plan(args.inputs, args.output, args.format, lambda: frozenset({".rgru"}))
    extras = args.steps is not None or args.animate is not None
    if extras and len(jobs) > 1:
        raise Failure(USAGE, "--steps and --animate take one input")
    if extras:
        with concerning(display_name(jobs[0].source, "standard input")):
            return _with_stages(jobs[0], args)
    return batch.run(work, jobs, args, "decompressed")


@dataclasses.dataclass(frozen=True)
class Found:
    """What a file gave: a decoder to ask for the picture, and what was wrong if anything."""

    decoder: Decoder
    size: int
    fault: str = ""
    """A cut or damage that the picture suffers from, in words."""


def work(job: Job, args: argparse.Namespace) -> batch.Outcome:
    """Decompress one file."""
    kind = picture_format(args.format if job.target == STREAM else job.target)
    found = _decode(job, args)
    image = _stripped(found.decoder.picture(), args.strip)
    write(job, lambda file: save_picture(image, file, kind))
    return _outcome(found, image, job, args)


def _outcome(found: Found, image: Image.Image, job: Job, args: argparse.Namespace) -> batch.Outcome:
    name = display_name(job.target, "standard output")
    decoder = found.decoder
    line = f"{name}: {image.width}x{image.height} {image.mode}, {_layers(decoder)}"
    if args.verbose and decoder.model is not None:
        line += f", {number(found.size)} bytes, model {decoder.model.id.hex()}"
        line += f", {', '.join(sorted(decoder.info)) or 'no metadata'}"
    if not found.fault:
        return batch.Outcome(DONE, line)
    line = f"{display_name(job.source, 'standard input')}: {found.fault}; {line}"
    return batch.Outcome(DONE if args.partial else CUT, line)


def _layers(decoder: Decoder) -> str:
    return layer_count(decoder.layers, decoder.groups)


def _new_decoder(args: argparse.Namespace) -> Decoder:
    from rgru_codec.progressive import Decoder
    from rgru_format import Limits

    return Decoder(
        layers=args.layers,
        limits=Limits(max_pixels=args.max_pixels, max_memory=args.max_memory),
        threads=args.threads,
        region=args.region,
    )


def _decode(job: Job, args: argparse.Namespace) -> Found:
    data = _read(job)
    decoder = _new_decoder(args)
    decoder.feed(data)
    return Found(decoder, len(data), _fault(decoder, len(data), args))


def _read(job: Job) -> bytes:
    data = read_bytes(job.source)
    if not data:
        raise Failure(UNUSABLE, f"{display_name(job.source, 'standard input')}: is empty")
    return data


def _fault(decoder: Decoder, size: int, args: argparse.Namespace) -> str:
    """What is wrong with the file as far as it is used; raises if there is no picture in it.

    Raises:
        RgruError: nothing can be decoded, or the file is damaged and that was not allowed for.
    """
    from rgru_format import Damaged, LimitExceeded, ModelMissing, RgruError

    enough = args.layers is not None and decoder.layers >= args.layers
    try:
        ending = decoder.close()
    except (LimitExceeded, ModelMissing):
        raise
    except RgruError as error:
        if decoder.header is None:
            raise
        if enough:
            return ""
        if args.partial:
            return f"{error}; decoded what is intact"
        if isinstance(error, Damaged):
            raise _damage(error, decoder.layers, decoder.groups) from None
        raise
    if enough:
        return ""
    if ending.unfinished:
        what = f"layer {ending.cut_layer}" if ending.cut_layer else "metadata"
        return f"cut short at byte {number(size)}, inside {what}"
    if not (decoder.layers or decoder.groups):
        return f"cut short at byte {number(size)}, before its first layer"
    if decoder.alpha_missing:
        return f"cut short at byte {number(size)}, before its alpha plane"
    return ""


def _damage(error: Damaged, layers: int, groups: int) -> Damaged:
    from rgru_format import Damaged

    intact = layer_count(layers, groups)
    return Damaged(f"{error}; {intact} are intact, use --partial to decode them")


def _refuse_damage(data: bytes, args: argparse.Namespace) -> None:
    """Find damage before a picture of what precedes it is written.

    Raises:
        Damaged: the file is, and that was not allowed for.
    """
    from rgru_codec.api import inspect
    from rgru_format import Damaged, Limits

    found, fault = inspect(data, limits=Limits(max_pixels=args.max_pixels))
    layers = sum(layer.complete is True for layer in found.layers)
    enough = args.layers is not None and layers >= args.layers
    if isinstance(fault, Damaged) and not (args.partial or enough):
        raise _damage(fault, layers, sum(layer.groups for layer in found.layers[layers:]))


def _stripped(image: Image.Image, strip: frozenset[str]) -> Image.Image:
    for name in strip:
        image.info.pop({"icc": "icc_profile"}.get(name, name), None)
    return image


def _with_stages(job: Job, args: argparse.Namespace) -> int:
    """``--steps`` and ``--animate``: decode layer by layer; the picture too if ``-o`` is given."""
    from rgru_codec.cli.animation import Stages

    batch.share_threads(args, 1)
    name = display_name(job.source, "standard input")
    stem = "stdin" if job.source == STREAM else Path(job.source).stem
    targets = _stage_jobs(job, args, stem)
    data = _read(job)
    _refuse_damage(data, args)
    decoder = _new_decoder(args)
    stages = Stages(decoder, data)
    for image, label in stages:
        _stripped(image, args.strip)
        if args.steps is not None:
            step = Job(job.source, str(Path(args.steps) / f"{stem}-{label.layer:02d}.png"), True)
            check_target(step, args.force)
            _write_step(step, image)
        if args.animate is not None:
            stages.add_frame(image, label)
    fault = _fault(decoder, len(data), args)
    if args.animate is not None:
        write(targets["animate"], lambda file: stages.save(file, args.animate))
    if args.output is not None:
        image = _stripped(decoder.picture(), args.strip)
        kind = picture_format(args.format if job.target == STREAM else job.target)
        write(job, lambda file: save_picture(image, file, kind))
    if not args.quiet:
        say(f"{name}: {stages.count} pictures, {_layers(decoder)}" + f"; {fault}" * bool(fault))
    return CUT if fault and not args.partial else DONE


def _write_step(step: Job, image: Image.Image) -> None:
    def save(file: BinaryIO | IO[bytes]) -> None:
        save_picture(image, file, "PNG")

    write(step, save)


def _stage_jobs(job: Job, args: argparse.Namespace, stem: str) -> dict[str, Job]:
    """Refuse bad targets before work begins."""
    targets = {}
    if args.output is not None:
        check_target(job, args.force)
    if args.animate is not None:
        from rgru_codec.cli.animation import animation_format

        animation_format(args.animate)
        targets["animate"] = Job(job.source, args.animate, derived=False)
        check_target(targets["animate"], args.force)
    if args.steps is not None:
        check_target(Job(job.source, str(Path(args.steps) / f"{stem}-00.png"), True), args.force)
    return targets
