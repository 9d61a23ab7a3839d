"""``rgru decompress``: .rgru files, whole or cut, to pictures."""

from __future__ import annotations

import argparse
import contextlib
import dataclasses
from pathlib import Path
from typing import TYPE_CHECKING, Any

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

    from rgru_codec.decoder import Decoder
    from rgru_codec.inspection import Info
    from rgru_format import Damaged, Limits


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
    args.threads = batch.share_threads(args.threads, min(args.jobs, len(jobs)))
    work = _work(args)
    if not extras:
        return batch.run(work, jobs, batch.Options.of(args), "decompressed")
    stages = Stages(work, args.steps, args.animate, args.output is not None, args.force)
    with concerning(display_name(jobs[0].source, "standard input")):
        outcome = stages(jobs[0])
    if not args.quiet:
        say(outcome.message)
    return outcome.code


def _work(args: argparse.Namespace) -> Decompress:
    from rgru_format import Limits

    return Decompress(
        args.layers,
        Limits(max_pixels=args.max_pixels, max_memory=args.max_memory),
        args.threads,
        args.region,
        args.format,
        args.partial,
        args.strip,
        args.verbose,
    )


@dataclasses.dataclass(frozen=True)
class Decompress:
    """Decompresses one file after the other."""

    layers: int | None
    limits: Limits
    threads: int | None
    region: tuple[int, int, int, int] | None
    format: str
    """A suffix, for outputs whose name has none."""
    partial: bool
    strip: frozenset[str]
    verbose: bool

    def __call__(self, job: Job) -> batch.Outcome:
        """Decompress the file of a job."""
        picture_format(self.format if job.target == STREAM else job.target)
        data = read(job)
        decoder = self.decoder()
        decoder.feed(data)
        fault = self.fault(decoder, len(data))
        image = self.save(decoder, job)
        return self.outcome(decoder, image, job, fault, len(data))

    def decoder(self) -> Decoder:
        """Return a new decoder."""
        from rgru_codec.decoder import Decoder

        return Decoder(
            layers=self.layers, limits=self.limits, threads=self.threads, region=self.region
        )

    def stripped(self, image: Image.Image) -> Image.Image:
        """Take metadata that is not wanted out of a picture."""
        for name in self.strip:
            image.info.pop({"icc": "icc_profile"}.get(name, name), None)
        return image

    def save(self, decoder: Decoder, job: Job) -> Image.Image:
        """Write the picture that has been decoded."""
        kind = picture_format(self.format if job.target == STREAM else job.target)
        image = self.stripped(decoder.picture())
        write(job, lambda file: save_picture(image, file, kind))
        return image

    def fault(self, decoder: Decoder, size: int) -> str:
        """Say what is wrong with a file of ``size`` bytes, as far as it is used.

        Raises:
            RgruError: Nothing can be decoded, or the file is damaged and that was not allowed for.
        """
        from rgru_format import Damaged

        try:
            ending = decoder.close(partial=self.partial)
        except Damaged as error:
            if decoder.header is None:
                raise
            raise _damage(error, decoder.layers, decoder.groups) from None
        if decoder.error is not None:
            return f"{decoder.error}; decoded what is intact"
        if ending.unfinished:
            what = f"layer {ending.cut_layer}" if ending.cut_layer else "metadata"
            return f"cut short at byte {number(size)}, inside {what}"
        if not (decoder.layers or decoder.groups or decoder.done):
            return f"cut short at byte {number(size)}, before its first layer"
        if decoder.alpha_missing and not decoder.done:
            return f"cut short at byte {number(size)}, before its alpha plane"
        return ""

    def outcome(
        self, decoder: Decoder, image: Image.Image, job: Job, fault: str, size: int
    ) -> batch.Outcome:
        """Say what became of a file of ``size`` bytes."""
        name = display_name(job.target, "standard output")
        line = f"{name}: {image.width}x{image.height} {image.mode}, {_layers(decoder)}"
        if self.verbose and decoder.model is not None:
            line += f", {number(size)} bytes, model {decoder.model.id.hex()}"
            line += f", {', '.join(sorted(decoder.info)) or 'no metadata'}"
        if decoder.ignored:
            line += f"; {number(decoder.ignored)} bytes behind the last layer were ignored"
        if not fault:
            return batch.Outcome(DONE, line)
        line = f"{display_name(job.source, 'standard input')}: {fault}; {line}"
        return batch.Outcome(DONE if self.partial else CUT, line)


def _layers(decoder: Decoder) -> str:
    return layer_count(decoder.layers, decoder.groups)


def read(job: Job) -> bytes:
    """Read the file of a job.

    Raises:
        Failure: It is empty.
        OSError: It cannot be read.
    """
    data = read_bytes(job.source)
    if not data:
        raise Failure(UNUSABLE, f"{display_name(job.source, 'standard input')}: is empty")
    return data


def _damage(error: Damaged, layers: int, groups: int) -> Damaged:
    from rgru_format import Damaged

    intact = layer_count(layers, groups)
    return Damaged(f"{error}; {intact} are intact, use --partial to decode them")


@dataclasses.dataclass(frozen=True)
class Stages:
    """``--steps`` and ``--animate``: decode layer by layer; the picture too if it is wanted."""

    work: Decompress
    steps: str | None
    """A folder."""
    animate: str | None
    """A file."""
    whole: bool
    """Whether the target of the job is to be written."""
    force: bool

    def __call__(self, job: Job) -> batch.Outcome:
        """Decompress the file of a job."""
        from rgru_codec.cli.animation import Animation
        from rgru_codec.inspection import inspect
        from rgru_codec.streams import stages_at
        from rgru_format import RgruError

        self._check_targets(job)
        data = read(job)
        found = inspect(data, limits=self.work.limits)
        self._refuse(found)
        animation, count, seen = Animation(), 0, (0, 0)
        decoder = self.work.decoder()
        ends = [layer.end for layer in found.layers]
        with contextlib.suppress(RgruError):  # the decoder remembers it
            for number, stage in enumerate(stages_at(decoder, data, [*ends, len(data)]), 1):
                if (stage.layers, stage.groups) != seen:
                    seen, count = (stage.layers, stage.groups), count + 1
                    self.work.stripped(stage.picture)
                    self._write_step(job, number, stage.picture)
                    if self.animate is not None:
                        animation.add(stage, number)
        fault = self.work.fault(decoder, len(data))
        if self.animate is not None:
            target = self.animate
            write(self._animation(job), lambda file: animation.save(file, target))
        if self.whole:
            self.work.save(decoder, job)
        name = display_name(job.source, "standard input")
        line = f"{name}: {count} pictures, {_layers(decoder)}" + f"; {fault}" * bool(fault)
        return batch.Outcome(CUT if fault and not self.work.partial else DONE, line)

    def _refuse(self, found: Info) -> None:
        """Find damage before a picture of what precedes it is written."""
        from rgru_format import Damaged

        whole = sum(layer.complete is True for layer in found.layers)
        enough = self.work.layers is not None and whole >= self.work.layers
        if isinstance(found.error, Damaged) and not (self.work.partial or enough):
            raise _damage(found.error, whole, sum(layer.groups for layer in found.layers[whole:]))

    def _write_step(self, job: Job, number: int, image: Image.Image) -> None:
        if self.steps is not None:
            step = self._step(job, number)
            check_target(step, self.force)
            write(step, lambda file: save_picture(image, file, "PNG"))

    def _step(self, job: Job, number: int) -> Job:
        assert self.steps is not None
        stem = "stdin" if job.source == STREAM else Path(job.source).stem
        return Job(job.source, str(Path(self.steps) / f"{stem}-{number:02d}.png"), derived=True)

    def _animation(self, job: Job) -> Job:
        assert self.animate is not None
        return Job(job.source, self.animate, derived=False)

    def _check_targets(self, job: Job) -> None:
        """Refuse bad targets before work begins."""
        if self.whole:
            check_target(job, self.force)
        if self.animate is not None:
            from rgru_codec.cli.animation import animation_format

            animation_format(self.animate)
            check_target(self._animation(job), self.force)
        if self.steps is not None:
            check_target(self._step(job, 0), self.force)
