"""From a picture to the bytes of a file.

`compress` is all that most callers need. The command line, Pillow and Beam hold a `Settings`,
which travels between processes, and go the same way: `prepare`, then `encode`.
"""

from __future__ import annotations

import dataclasses
import functools
import math
import warnings
from collections.abc import Callable, Collection

import numpy as np
from numpy.typing import NDArray

from rgru_codec import parts
from rgru_codec.iterations import Codes, Painter
from rgru_codec.iterations import encode as iterate
from rgru_codec.models import ModelLike
from rgru_codec.msssim import Original
from rgru_codec.picture import Planes, to_image, to_planes
from rgru_codec.processes import Threads, usable
from rgru_codec.runtime.engine import best_engine
from rgru_codec.settings import DEFAULT_MSSSIM as DEFAULT_MSSSIM
from rgru_codec.settings import Settings as Settings
from rgru_codec.source import Picture, as_image
from rgru_codec.whole import decompress
from rgru_format import (
    BOX_ALPHA,
    BOX_COLOUR,
    BOX_EXIF,
    BOX_ICC,
    BOX_XMP,
    Box,
    CodesEncoder,
    Header,
    InvalidInput,
    LimitExceeded,
    Limits,
    Writer,
    encode_alpha,
    pack_box,
    pack_group,
)
from rgru_format.boxes import LATE_BOXES

_UNBOUNDED = Limits(max_pixels=2**48, max_metadata_bytes=2**48)
"""For files that were just written: what they may hold has been checked."""


def compress(
    image: Picture,
    *,
    layers: int | str | None = None,
    quality: float | None = None,
    bpp: float | None = None,
    target_size: int | None = None,
    msssim: float | None = None,
    icc_profile: bytes | None = None,
    exif: bytes | None = None,
    xmp: bytes | None = None,
    strip: bool | str | Collection[str] = False,
    keep_icc: bool = False,
    convert_depth: bool = False,
    frame: int | None = None,
    limits: Limits | None = None,
    model: ModelLike | None = None,
    encoder: str | None = None,
    threads: int | None = None,
) -> bytes:
    """Compress a picture to the bytes of a whole file.

    Of ``layers``, ``quality``, ``bpp``, ``target_size`` and ``msssim`` at most one may be given. By
    default the file has the fewest layers that reach `DEFAULT_MSSSIM` (.98), or all if none do. A
    file can be cut later: see `rgru_format.cut_to_layers`.

    Args:
        image: A PIL image; or uint8 (H, W), (H, W, 2), (H, W, 3) or (H, W, 4); or a picture of
            another format: a path, an open file, or bytes.
        layers: So many layers (1 to the model's number), or ``"all"`` of them.
        quality: 1 to 100: how many of the groups that a file can have, in equal steps; 1 is the
            first layer, 100 all layers.
            Of a part of a group the positions are coded at which the picture lacks most, so many
            that it takes its share of bytes.
        bpp: Bits per pixel that the file may take at most (whole file). What room is left is filled
            with a part of a group, as for ``quality``.
        target_size: Bytes that the file may take at most.
        msssim: The fewest layers whose picture reaches this RGB MS-SSIM (0 to 1).
        icc_profile: To store instead of the picture's own.
        exif: Likewise; with or without JPEG's prefix. If the picture says no orientation, its
            pixels are turned by what this says.
        xmp: Likewise.
        strip: Drop the picture's own metadata: all of it, or some of ``icc``, ``exif``, ``xmp``,
            ``gps`` (of Exif and XMP), ``hidden`` (the colour of fully transparent pixels).
        keep_icc: Keep a profile byte for byte also where it says what a file means without one.
        convert_depth: Scale pictures of more than 8 bits a channel (uint16 and floating point
            arrays too) instead of refusing them.
        frame: Which frame of an animation, from 0; animations are refused otherwise.
        limits: Largest picture accepted, and file: ``max_memory``, or else 16 bytes a pixel.
        model: A model package, its folder, id or name; by default the one that ships.
        encoder: The name of one of the model's encoders; by default the first. Files do not tell.
        threads: Of the inference engine; by default all cores.

    Raises:
        InvalidInput: A picture or argument that cannot be represented, a target that cannot be met.
        LimitExceeded: The picture has more pixels, or needs more memory, than the limits allow.
        OSError: The picture's file cannot be read.
    """
    options = dict(locals())
    del options["image"]
    settings = Settings(**options)
    planes = prepare(image, settings)
    for note in planes.notes:
        warnings.warn(note, stacklevel=2)
    return encode(planes, settings).data


def prepare(image: Picture, settings: Settings) -> Planes:
    """Take a picture apart, and give it the metadata that the settings ask for.

    Raises:
        InvalidInput, LimitExceeded, OSError: As `compress`.
    """
    image = as_image(image, convert_depth=settings.convert_depth, limits=settings.limits)
    settings.check_size(image.height, image.width)
    depth, frame, wanted = settings.convert_depth, settings.frame, settings.metadata()
    with Threads(1) as beside:
        beside.submit(_load, settings)
        return to_planes(image, convert_depth=depth, frame=frame, wanted=wanted)


def _load(settings: Settings) -> None:
    """Have at hand what `encode` needs, where what cannot be loaded is told."""
    model = settings.package()
    model.context()
    model.encoder(settings.encoder)
    best_engine()


@dataclasses.dataclass(frozen=True)
class Encoded:
    """A compressed picture."""

    data: bytes
    """The whole file."""
    layers: int
    """Complete layers in it."""
    groups: int
    """Groups of the layer after them."""
    msssim: float | None
    """The RGB MS-SSIM that was reached, where a target or the default asked for one."""
    _show: Callable[[], NDArray[np.uint8]] = dataclasses.field(repr=False, compare=False)

    @functools.cached_property
    def shown(self) -> NDArray[np.uint8]:
        """The picture that ``data`` decodes to, (H, W, 3); three equal planes if it is grey."""
        return self._show()


def encode(
    planes: Planes, settings: Settings, share: Callable[[float], object] | None = None
) -> Encoded:
    """Compress a picture that has been taken apart.

    Args:
        planes: The picture.
        settings: What to keep.
        share: Is told how much of the work has been done, 0 to 1, from time to time.

    Raises:
        InvalidInput, LimitExceeded: As `compress`.
    """
    return _Encoder(planes, settings).run(share or (lambda share: None))


class _Encoder:
    """One run: adds groups of codes until the target is met."""

    def __init__(self, planes: Planes, settings: Settings) -> None:
        height, width = planes.pixels.shape[:2]
        self.planes, self.settings, self.model = planes, settings, settings.package()
        context, most = self.model.context(), self.model.iterations
        self.layers = settings.layers if isinstance(settings.layers, int) else most
        if not 1 <= self.layers <= most:
            raise InvalidInput(f"layers must be 1..{most}, got {self.layers}")
        self.threads = usable(settings.threads)
        self.size = settings.largest_size(height, width)
        quality = 100 if settings.quality is None else settings.quality
        first = context.groups[0]  # less of the first layer would leave holes
        wanted = first + (quality - 1) / 99 * (sum(context.groups) - first)
        self.groups, self.part = parts.groups_of(wanted)
        boxes = self._boxes()
        self.late = [box for name in LATE_BOXES for box in boxes if box.type == name]
        """Boxes that stand behind layer 1 and belong to the picture."""
        header = Header(width, height, self.model.id, planes.grey, planes.alpha is not None)
        self.writer = Writer(header, [box for box in boxes if box not in self.late])
        self.coder = CodesEncoder(context, *header.grid)
        self.end = self.started = self.ordinal = 0
        """Bytes of the file that is asked for, groups of its unfinished layer, all groups."""
        self.filling = b""
        """What follows there: a group in part."""
        self.before = np.broadcast_to(np.uint8(128), planes.pixels.shape)
        """What the layers so far show, where a group is coded in part."""

    def _boxes(self) -> list[Box]:
        planes = self.planes
        points = planes.colour and planes.colour.pack()
        kept = {BOX_COLOUR: points, BOX_ICC: planes.icc_profile}
        kept |= {BOX_EXIF: planes.exif, BOX_XMP: planes.xmp}
        boxes = [Box(name, content) for name, content in kept.items() if content]
        most = (self.settings.limits or Limits()).max_metadata_bytes
        if (size := sum(len(box.content) + 4 for box in boxes)) > most:
            raise LimitExceeded("max_metadata_bytes", size, most)
        if planes.alpha is not None:
            boxes.append(Box(BOX_ALPHA, encode_alpha(planes.alpha)))
        return boxes

    def run(self, share: Callable[[float], object]) -> Encoded:
        least = self.settings.aim
        reached: float | None = None
        threads, encoder = self.threads, self.settings.encoder
        for codes, painter in iterate(self.model, self.planes.pixels, threads, encoder):
            share((self.coder.layer + 0.5) / self.layers)  # the networks take about half of it
            payloads = self._code(codes, painter)
            del codes  # the coder has a copy
            share(self.coder.layer / self.layers)
            if not self._add_layer(payloads):
                return self._cut()
            if self.part < 1 or self.size < math.inf:
                self.before = self._shown(painter)
            if least is not None:
                reached = self._similarity(painter, least)
                if reached >= least:
                    break
            if self.coder.layer >= self.layers or not self.groups:
                break
        if least is not None and reached is not None and reached < least:
            reached = self._similarity(painter)
            if not self.settings.by_default:
                raise InvalidInput(
                    f"msssim {least} cannot be reached: all {self.coder.layer} layers "
                    f"give {reached:.4f}; ask for less, or for --layers all (layers='all')"
                )
        data, shown = self.writer.getvalue(), functools.partial(self._shown, painter)
        if self.part < 1:  # the painter has seen all codes
            shown = functools.partial(self._decoded, data)
        return Encoded(data, self.coder.layer, 0, reached, shown)

    def _code(self, codes: Codes, painter: Painter) -> list[bytes]:
        """Encode a layer, beside it paint what it shows if that is needed in any case."""
        groups = self.model.context().groups[self.coder.layer]
        ends = self.coder.layer + 1 == self.layers or self.groups <= groups
        painted = self.settings.aim is not None or not (ends or self.size < math.inf)
        if not painted or painter.takes_turns or self.threads == 1:
            return self.coder.encode_layer(codes)
        with Threads(1) as pool:
            payloads = pool.submit(self.coder.encode_layer, codes)
            painter.picture()
        return payloads.result()

    def _add_layer(self, payloads: list[bytes]) -> bool:
        """Append groups, and boxes behind layer 1; whether there was room for all of them."""
        late = self.late if self.coder.layer == 1 else []  # without them it is no such file
        behind = b"".join(map(pack_box, late))
        for number, payload in enumerate(payloads):
            if not self.groups:
                return False
            if self.groups == 1 and self.part < 1:
                payload = self._part_of(number, payload)
            begin = self.writer.size
            self.writer.add_group(payload, first_of_layer=number == 0)
            ends = not late or number + 1 == len(payloads)  # boxes stand behind whole layers only
            if self.writer.size + len(behind) > self.size and ends:
                self._fill(number, begin, behind)
                return False
            self.end, self.started = self.writer.size if ends else 0, number + 1
            self.groups -= 1
            self.ordinal += 1
        for box in late:
            self.writer.add_box(box)
        self.end, self.started = self.writer.size, 0
        return True

    def _in_part(self, group: int, part: float) -> bytes:
        """Encode a group of this layer at a share of the positions."""
        kept = parts.kept(self.planes.pixels, self.before, part)
        return self.coder.encode_in_part(group, kept)

    def _part_of(self, group: int, whole: bytes) -> bytes:
        """Encode a group so far that its bytes are as far from the fewest to all as was asked."""
        fewest = self._in_part(group, parts.LEAST)
        most = len(fewest) + self.part * (len(whole) - len(fewest))
        return parts.within(functools.partial(self._in_part, group), most) or fewest

    def _fill(self, group: int, begin: int, behind: bytes) -> None:
        """Put what has room of a group before what stands behind it; nothing if it is little."""
        room = max(int(self.size) - begin - len(behind), 0)
        head = len(pack_group(bytes(room), self.ordinal, group == 0)) - room
        payload = parts.within(functools.partial(self._in_part, group), room - head)
        if payload is None and not self.end:
            payload = self._in_part(group, parts.LEAST)
            fewest = pack_group(payload, self.ordinal, group == 0)
            if len(fewest) > room:
                least = min(begin + len(fewest), self.writer.size) + len(behind)
                bpp = 8 * least / math.prod(self.planes.pixels.shape[:2])
                raise InvalidInput(
                    f"a target of {self.size} bytes cannot be met: the smallest file of this "
                    f"picture, of {bpp:.3g} bits per pixel, has {least} bytes"
                )
        if payload is not None:
            self.end = begin
            self.filling = pack_group(payload, self.ordinal, group == 0) + behind

    def _cut(self) -> Encoded:
        """The file before what had no room."""
        data = self.writer.getvalue()[: self.end] + self.filling
        layers, groups = self.coder.layer - 1, self.started + bool(self.filling)
        if groups == self.model.context().groups[layers]:
            layers, groups = layers + 1, 0
        return Encoded(data, layers, groups, None, functools.partial(self._decoded, data))

    def _shown(self, painter: Painter) -> NDArray[np.uint8]:
        """What a decoder would show now."""
        pixels = painter.show()
        if self.planes.grey:
            pixels = np.asarray(to_image(pixels, True, None).convert("RGB"))
        return pixels

    @functools.cached_property
    def _original(self) -> Original:
        return Original(self.planes.pixels, self.threads)

    def _similarity(self, painter: Painter, least: float = 0.0) -> float:
        """RGB MS-SSIM of what is shown now; below ``least`` it need not be exact."""
        return self._original.ms_ssim(self._shown(painter), least=least)

    def _decoded(self, data: bytes) -> NDArray[np.uint8]:
        threads = self.settings.threads
        shown = decompress(data, threads=threads, model=self.model, limits=_UNBOUNDED)
        return np.asarray(shown.convert("RGB"))
