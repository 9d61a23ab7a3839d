"""Pictures for the report: the same photo by every codec at equal quality and at equal size.

They are the files that were measured, the nearest to each target. Files that browsers show (JPEG,
WebP, AVIF) go into the page as they are; what other codecs decode goes in as lossless WebP, so that
what is seen is what was measured.
"""

from __future__ import annotations

import base64
import io
import math
from collections.abc import Iterator, Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

import numpy as np
from PIL.Image import Image

from rgru_eval.errors import EvalError, in_words
from rgru_eval.judge.metrics import MS_SSIM
from rgru_eval.judge.statistics import is_learned
from rgru_eval.measure.builtin import Avif, Jpeg, Webp
from rgru_eval.measure.codecs import Codec, CuttableCodec
from rgru_eval.measure.pictures import Source, pixels_of, read_picture
from rgru_eval.measure.progress import bar, say
from rgru_eval.measure.tasks import file_of, ready_codec, run_parallel
from rgru_eval.results import Results, Row

BYTES_TARGETS_BPP = (0.15, 0.3)
RECEIVED_BPP = (0.03, 0.06, 0.1, 0.15, 0.25, 0.4, 0.7, 1.2)
WORST_SIDE = 32
"""Side of the blocks among which the worst is looked for, in pixels."""
MIME: dict[type[Codec], str] = {Jpeg: "image/jpeg", Webp: "image/webp", Avif: "image/avif"}


@dataclass(frozen=True)
class Target:
    """What files to show: those nearest to an RGB MS-SSIM, or to a number of bytes."""

    column: str
    """``msssim_rgb`` or ``bytes``."""
    value: float

    def nearest(self, rows: Sequence[Row]) -> Row:
        """Return the file that is the fewest dB of MS-SSIM, or octaves of size, off."""
        return min(
            rows, key=lambda row: abs(self._scaled(row[self.column]) - self._scaled(self.value))
        )

    def _scaled(self, value: float) -> float:
        return math.log2(value) if self.column == "bytes" else float(MS_SSIM.scaled(value))

    def text(self) -> str:
        """Return it in words."""
        if self.column == "bytes":
            return f"size {self.value:,.0f} bytes"
        return f"RGB MS-SSIM {self.value:.4f}"


@dataclass(frozen=True)
class ViewTask:
    """One picture and one codec: the rows whose files are shown, and the one that is cut."""

    source: Source
    codec: str
    rows: tuple[tuple[float, int, float], ...]
    """Setting, bytes and RGB MS-SSIM of each; several targets may have the same."""
    cut: float | None
    files: tuple[Path, ...] = ()
    """Folders in which measured files may be."""
    definitions: tuple[str, ...] = ()

    def kept(self, kind: str, setting: float) -> Iterator[bytes]:
        """Return the measured files of a row that are still there."""
        places = (file_of(f, self.source, self.codec, kind, setting) for f in self.files)
        return (place.read_bytes() for place in places if place.exists())


def take_views(task: ViewTask) -> dict[str, Any]:
    """Return by setting what the page shows of a codec, and the views of one cut file."""
    codec = ready_codec(task.codec, task.definitions)
    image = read_picture(task.source.path).image
    files = {
        f"{setting:g}": _view(codec, _file(task, codec, image, setting, size), image)
        | {"msssim": quality}
        for setting, size, quality in dict.fromkeys(task.rows)
    }
    received: list[dict[str, Any]] = []
    if task.cut is not None and isinstance(codec, CuttableCodec):
        data = next(task.kept("prefix", task.cut), b"") or dict(codec.cut_files(image))[task.cut]
        received = _received(codec, data, image)
    return {"files": files, "received": received}


def _file(task: ViewTask, codec: Codec, image: Image, setting: float, size: int) -> bytes:
    """Return a measured file; one that was not kept is made again with the same setting."""
    for data in task.kept("file", setting):
        if len(data) == size:
            return data
    data = codec.encode(image, setting)
    if len(data) != size:
        raise EvalError(f"setting {setting:g} gives {len(data)} bytes now, {size} were measured")
    return data


def _view(codec: Codec, data: bytes, image: Image) -> dict[str, Any]:
    picture = codec.decode(data).convert(image.mode)
    mime = MIME.get(type(codec))
    return {
        "bytes": len(data),
        "bpp": round(8 * len(data) / (image.width * image.height), 4),
        "worst": worst_block(image, picture),
        "uri": data_uri(data, mime) if mime else lossless_uri(picture),
    }


def worst_block(image: Image, picture: Image) -> tuple[int, int, int]:
    """Return left, top and side of the block with the largest mean squared error."""
    error = (pixels_of(image).astype(np.float32) - pixels_of(picture)) ** 2
    height, width = error.shape[:2]
    side = min(WORST_SIDE, width, height)
    blocks = error[: height - height % side, : width - width % side].mean(axis=2)
    means = blocks.reshape(height // side, side, width // side, side).mean(axis=(1, 3))
    row, column = divmod(int(means.argmax()), means.shape[1])
    return column * side, row * side, side


def _received(codec: CuttableCodec, data: bytes, image: Image) -> list[dict[str, Any]]:
    """Return what a file shows after some numbers of bytes."""
    pixels = image.width * image.height
    cuts = [c for c in (round(bpp * pixels / 8) for bpp in RECEIVED_BPP) if c < len(data)]
    steps = []
    for cut, picture in zip(cuts, codec.decode_prefixes(data, cuts), strict=True):
        uri = "" if picture is None else lossless_uri(picture.convert(image.mode))
        steps.append({"bytes": cut, "total": len(data), "uri": uri})
    return steps


def data_uri(data: bytes, mime: str) -> str:
    """Return the bytes as an address that needs no network."""
    return f"data:{mime};base64,{base64.b64encode(data).decode()}"


def lossless_uri(image: Image) -> str:
    """Return the picture as lossless WebP."""
    out = io.BytesIO()
    image.save(out, "WEBP", lossless=True, quality=60, method=3)
    return data_uri(out.getvalue(), "image/webp")


def choose(sources: Sequence[Source], wanted: str, first: Sequence[str] = ()) -> list[Source]:
    """Choose the pictures that the viewer shows.

    Args:
        sources: all pictures at hand.
        wanted: ``3``: so many; ``a,b``: those named so, in this order.
        first: ids to take first where a number is wanted; others are spread over the list.
    """
    if not wanted.isdecimal():
        names = [n.strip() for n in wanted.split(",")]
        return [s for n in names for s in sources if n in (s.name, s.id)]
    count = min(int(wanted), len(sources))
    chosen = [s for i in first for s in sources if s.id == i][:count]
    left = [s for s in sources if s not in chosen]
    more = count - len(chosen)
    return chosen + [left[(2 * i + 1) * len(left) // (2 * more)] for i in range(more)]


def make_views(
    results: Results,
    sources: Sequence[Source],
    codecs: Sequence[Codec],
    files: Sequence[Path],
    definitions: tuple[str, ...],
    jobs: int,
) -> list[dict[str, Any]]:
    """Return for each picture: original, targets, views by codec, what was received.

    ``files`` are folders with measured files, ``codecs`` those that run here; ``jobs`` 0 is one
    process a core.
    """
    pictures: dict[str, dict[str, Any]] = {}
    tasks: list[ViewTask] = []
    for source in sources:
        image = read_picture(source.path).image
        targets, own = _tasks(results, source, codecs, image.width * image.height)
        tasks += (replace(t, files=tuple(files), definitions=definitions) for t in own)
        pictures[source.id] = {
            "id": source.id,
            "width": image.width,
            "height": image.height,
            "original": lossless_uri(image),
            "targets": targets,
            **{part: {} for part in ("files", "views", "received")},
        }
    tasks = [t if t.source is sources[0] else replace(t, cut=None) for t in tasks]
    with bar(len(tasks)) as progress:
        for task, result in run_parallel(take_views, tasks, jobs):
            progress.update()
            if isinstance(result, Exception):
                why = in_words(result)
                say(f"rgru-eval: viewer: {task.codec} on {task.source.id}: {why}")
                continue
            picture = pictures[task.source.id]
            picture["files"][task.codec] = result["files"]
            picture["views"][task.codec] = [f"{setting:g}" for setting, _, _ in task.rows]
            if result["received"]:
                picture["received"][task.codec] = result["received"]
    return list(pictures.values())


def _tasks(
    results: Results, source: Source, codecs: Sequence[Codec], pixels: int
) -> tuple[list[str], list[ViewTask]]:
    """Choose rows for the targets: what the learned codec reaches, the others come near to."""
    rows: dict[str, list[Row]] = {}
    cuts: dict[str, float] = {}
    for row in results.rows:
        if (row["set"], row["image"]) == (source.set, source.name):
            if row["kind"] == "file" and row.get("msssim_rgb") is not None:
                rows.setdefault(row["codec"], []).append(row)
            elif row["kind"] == "prefix":
                cuts[row["codec"]] = max(row["setting"], cuts.get(row["codec"], -math.inf))
    here = [codec.identity() for codec in codecs if codec.identity() in rows]
    if not here:
        return [], []
    leader = rows[next((name for name in here if is_learned(results, name)), here[0])]
    wanted = [Target("msssim_rgb", quality) for quality in MS_SSIM.targets]
    wanted += [Target("bytes", bpp * pixels / 8) for bpp in BYTES_TARGETS_BPP]
    targets = [replace(t, value=t.nearest(leader)[t.column]) for t in wanted]
    tasks = []
    for name in here:
        nearest = [target.nearest(rows[name]) for target in targets]
        figures = tuple((r["setting"], r["bytes"], round(r["msssim_rgb"], 4)) for r in nearest)
        tasks.append(ViewTask(source, name, figures, cuts.get(name)))
    return [target.text() for target in targets], tasks
