"""``rgru decompress``: .rgru files, whole or cut, to pictures."""

from __future__ import annotations

import argparse
import contextlib
import dataclasses
from collections.abc import Iterator
from pathlib import Path
from typing import TYPE_CHECKING, Any

from rgru_codec.arguments import count
from rgru_codec.cli import batch, options
from rgru_codec.cli.files import (
    ANIMATION,
    PICTURE,
    RGRU,
    STEP,
    STREAM,
    Job,
    Kind,
    Plan,
    check_names,
    read_rgru,
    write,
)
from rgru_codec.cli.outputs import Outputs
from rgru_codec.cli.pictures import encode_picture, format_suffix, picture_format
from rgru_codec.cli.progress import Share, unseen
from rgru_codec.cli.status import CUT, DONE, USAGE, Failure, counted, layer_count, number

if TYPE_CHECKING:
    from PIL import Image

    from rgru_codec.decoder import Decoder
    from rgru_codec.inspection import Info
    from rgru_codec.streams import Stage
    from rgru_codec.whole import EagerDecoder
    from rgru_format import Damaged, Limits

_PIECE = 1 << 14


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
        "-l", "--layers", type=count(0), metavar="N", help="use the first N layers only"
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
        help="format where the output's name does not say it: png (default), jpg, webp, tiff, ppm",
    )
    parser.add_argument(
        "-q",
        "--quality",
        type=count(1, 100),
        metavar="Q",
        help="1..100: of .jpg (default 95), .webp and .avif (default: without loss, and 75)",
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
        type=options.metadata_names(),
        default=frozenset(),
        metavar="WHAT",
        help="leave metadata out of the picture: exif,gps,xmp,icc or all",
    )
    options.add_model(parser, "for files of a model that is not installed")
    options.add_limits(parser)
    options.add_memory_limit(parser)
    options.add_threads(parser)
    options.add_reporting(parser)
    parser.set_defaults(run=run)


def run(args: argparse.Namespace) -> int:
    """Decompress all inputs."""
    check_names(args.steps, args.animate, args.format)
    suffix = format_suffix(args.format or "png")
    beside = args.steps is None and args.animate is None
    plan = Plan.of(
        args.inputs,
        args.output,
        PICTURE,
        suffix,
        lambda: RGRU.suffixes,
        force=args.force,
        times=args.times,
        beside=beside,
    )
    args.threads = batch.share_threads(args.threads, min(args.jobs, len(plan.jobs)))
    work = _work(args, suffix if args.format else None)
    stages = None if beside else _stages_of(args, work, plan.jobs)
    if stages is not None:
        job, kind = next(stages.targets(plan.jobs[0]))
        plan = dataclasses.replace(plan, jobs=[job], kind=kind)
    return batch.run(
        stages or work,
        plan,
        "decompressed",
        jobs=args.jobs,
        quiet=args.quiet,
        failures=args.failures,
    )


def _stages_of(args: argparse.Namespace, work: Decompress, jobs: list[Job]) -> Stages:
    """Return what ``--steps`` and ``--animate`` ask for."""
    if len(jobs) > 1:
        raise Failure(USAGE, "--steps and --animate take one input")
    if args.layers == 0:
        raise Failure(USAGE, "--layers 0: --steps and --animate show layers; give 1 or more")
    if args.animate is not None:
        from rgru_codec.cli.animation import animation_format

        animation_format(args.animate)
    whole = args.output is not None or not jobs[0].derived
    given = [name for name in ("format", "quality") if getattr(args, name) is not None]
    if given and not whole:
        raise Failure(
            USAGE,
            f"--{given[0]}: is for the picture that -o names; --steps writes .png files, and the "
            "name of --animate says its format",
        )
    return Stages(work, args.steps, args.animate, jobs[0] if whole else None)


def _work(args: argparse.Namespace, suffix: str | None) -> Decompress:
    return Decompress(
        args.layers,
        options.limits_of(args),
        args.threads,
        args.region,
        suffix,
        args.quality,
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
    suffix: str | None
    """Of the format of outputs whose name does not say it."""
    quality: int | None
    partial: bool
    strip: frozenset[str]
    verbose: bool

    def __call__(self, job: Job, share: Share) -> batch.Outcome:
        """Decompress the file of a job."""
        from rgru_format import RgruError

        self.kind(job)
        data = read_rgru(job.source, self.limits)
        with self.decoder() as decoder:
            with contextlib.suppress(RgruError):  # the decoder remembers it, and `fault` tells it
                for start in range(0, len(data), _PIECE):
                    decoder.feed(data[start : start + _PIECE])
                    fed = min(start + _PIECE, len(data)) / len(data)
                    share(fed / 2)  # the networks take the other half of the time
            fault = self.fault(decoder, len(data))
            image, notes = self.save(decoder, job, lambda painted: share((1 + painted) / 2))
        return self.outcome(decoder, image, job, fault, notes)

    def kind(self, job: Job) -> str:
        """Return Pillow's name of the format of the target."""
        name = "" if job.target == STREAM else job.target
        return picture_format(name, self.suffix)

    def decoder(self) -> EagerDecoder:
        """Return a new decoder."""
        from rgru_codec.whole import EagerDecoder

        return EagerDecoder(
            layers=self.layers, limits=self.limits, threads=self.threads, region=self.region
        )

    def stripped(self, image: Image.Image) -> Image.Image:
        """Take metadata that is not wanted out of a picture."""
        from rgru_codec.metadata import strip_info

        strip_info(image.info, self.strip)
        return image

    def save(
        self, decoder: Decoder, job: Job, share: Share = unseen
    ) -> tuple[Image.Image, tuple[str, ...]]:
        """Write the picture that has been decoded; says what of it could not be kept."""
        image = self.stripped(decoder.picture(share))
        content, notes = encode_picture(image, self.kind(job), self.quality)
        write(job, content)
        return image, notes

    def fault(self, decoder: Decoder, size: int) -> str:
        """Say what is wrong with a file of ``size`` bytes, as far as it is used.

        If nothing can be decoded, or damage was not allowed for, that is raised.
        """
        from rgru_format import Damaged

        try:
            ending = decoder.close(partial=self.partial)
        except Damaged as error:
            if decoder.header is None or decoder.model is None:
                raise  # of a model that cannot be used nothing is intact
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
        self,
        decoder: Decoder,
        image: Image.Image,
        job: Job,
        fault: str,
        notes: tuple[str, ...],
    ) -> batch.Outcome:
        """Say what became of a file."""
        size = f"{image.width}x{image.height} {image.mode}"
        line = f"{job.shown_target}: {size}, {self.layers_of(decoder)}"
        if self.verbose and decoder.model is not None:
            line += f", model {decoder.model.id.hex()}"
            line += f", {', '.join(sorted(decoder.info)) or 'no metadata'}"
        notes += tuple(decoder.notes)
        if decoder.ignored:
            notes += ("what stands behind the end of the picture was ignored",)
        if fault:
            line = f"{job.shown_source}: {fault}; {line}"
        return batch.Outcome(self.code(fault), line, notes)

    def code(self, fault: str) -> int:
        """Return the exit code of a file with a fault, if there is one."""
        return CUT if fault and not self.partial else DONE

    def layers_of(self, decoder: Decoder) -> str:
        """Say how many layers were used, and whether fewer than wanted."""
        words = layer_count(decoder.layers, decoder.groups)
        if self.layers is not None and self.layers > decoder.layers:
            words += f", which is all there are ({self.layers} were asked for)"
        return words


def _damage(error: Damaged, layers: int, groups: int) -> Damaged:
    from rgru_format import Damaged

    if not (layers or groups):
        return Damaged(f"{error}; no layer precedes it that could be decoded")
    verb, what = ("is", "it") if (layers, groups) == (1, 0) else ("are", "them")
    words = f"{layer_count(layers, groups)} {verb} intact"
    return Damaged(f"{error}; {words}, use --partial to decode {what}")


def _whole_layers(found: Info) -> int:
    return sum(layer.complete is True for layer in found.layers)


def _stages(decoder: Decoder, data: bytes, ends: list[int]) -> Iterator[tuple[int, Stage]]:
    """Yield the picture of each layer, and its number; the last one shows all that is there.

    Damage only ends it, `Decompress.fault` tells, unless nothing can be decoded at all.
    """
    from rgru_codec.streams import stages_at
    from rgru_format import Damaged

    seen = (0, 0)
    try:
        for layer, stage in enumerate(stages_at(decoder, data, [*ends, len(data)]), 1):
            if (stage.layers, stage.groups) != seen:
                seen = (stage.layers, stage.groups)
                yield layer, stage
    except Damaged:
        if decoder.model is None:
            raise  # not the file is damaged but its model


@dataclasses.dataclass(frozen=True)
class Stages:
    """``--steps`` and ``--animate``: decode layer by layer; the picture too if it is wanted."""

    work: Decompress
    steps: str | None
    """A folder."""
    animate: str | None
    """A file."""
    whole: Job | None
    """For the picture itself, if that is to be written."""

    def __call__(self, job: Job, share: Share) -> batch.Outcome:
        """Decompress the file of a job."""
        from rgru_codec.cli.animation import Animation
        from rgru_codec.inspection import inspect

        outputs = Outputs([job.source])
        for target, kind in self.targets(job):
            outputs.claim(target.target, kind, derived=target.derived, force=job.force)
        if self.whole is not None:
            self.work.kind(self.whole)
        data = read_rgru(job.source, self.work.limits)
        found = inspect(data, limits=self.work.limits)
        self._refuse(found)
        claimed = self._claim_steps(job, found, outputs)
        pixels = found.width * found.height
        animation = None if self.animate is None else Animation(self.animate, pixels)
        count = 0
        decoder = self.work.decoder()
        # Alpha and metadata may stand behind the codes that they belong to.
        ends = [found.bytes_for(layers=layer.number) for layer in found.layers]
        for layer, stage in _stages(decoder, data, ends):
            count += 1
            self.work.stripped(stage.picture)
            if animation is not None:
                animation.add(stage, layer)
            if layer > claimed:
                self._claim_step(job, layer, outputs)
            self._write_step(job, layer, stage.picture)
        if not count:
            what = "animate" if self.steps is None else "show in steps"
            raise Failure(USAGE, f"{job.shown_source}: holds no layer, there is nothing to {what}")
        fault = self.work.fault(decoder, len(data))
        if animation is not None:
            write(self._animation(job), animation.encoded())
        notes: tuple[str, ...] = ()
        if self.whole is not None:
            _, notes = self.work.save(decoder, self.whole)
        line = f"{job.shown_source}: {counted(count, 'picture')}, {self.work.layers_of(decoder)}"
        if fault:
            line += f"; {fault}"
        return batch.Outcome(self.work.code(fault), line, notes)

    def targets(self, job: Job) -> Iterator[tuple[Job, Kind]]:
        """Yield what will be written: the picture, the first step, the animation."""
        if self.whole is not None:
            yield self.whole, PICTURE
        if self.steps is not None:
            yield self._step(job, 1), STEP
        if self.animate is not None:
            yield self._animation(job), ANIMATION

    def _refuse(self, found: Info) -> None:
        """Find damage before a picture of what precedes it is written."""
        from rgru_format import Damaged

        whole = _whole_layers(found)
        enough = self.work.layers is not None and whole >= self.work.layers
        if isinstance(found.error, Damaged) and not (self.work.partial or enough):
            groups = sum(len(layer.groups) for layer in found.layers[whole:])
            raise _damage(found.error, whole, groups)

    def _claim_steps(self, job: Job, found: Info, outputs: Outputs) -> int:
        """Claim the steps that are certain to be written; returns how many these are."""
        whole = _whole_layers(found)
        certain = whole if self.work.layers is None else min(whole, self.work.layers)
        for layer in range(2, certain + 1):
            self._claim_step(job, layer, outputs)
        return max(certain, 1)  # the first was claimed before the file was read

    def _claim_step(self, job: Job, number: int, outputs: Outputs) -> None:
        if self.steps is not None:
            target = self._step(job, number).target
            outputs.claim(target, STEP, derived=True, force=job.force)

    def _write_step(self, job: Job, number: int, image: Image.Image) -> None:
        if self.steps is not None:
            content, _ = encode_picture(image, "PNG")
            write(self._step(job, number), content)

    def _step(self, job: Job, number: int) -> Job:
        assert self.steps is not None
        stem = "stdin" if job.source == STREAM else Path(job.source).stem
        target = str(Path(self.steps) / f"{stem}-{number:02d}.png")
        return dataclasses.replace(job, target=target, derived=True)

    def _animation(self, job: Job) -> Job:
        assert self.animate is not None
        return dataclasses.replace(job, target=self.animate, derived=False)
