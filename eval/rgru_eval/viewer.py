"""Pictures for the report: the same photo by every codec at equal quality and at equal size.

Files that browsers show (JPEG, WebP, AVIF) go into the page as they are; what other codecs decode
goes in as lossless WebP, so what is seen is what was measured.
"""

from __future__ import annotations

import base64
import io
from collections.abc import Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

from rgru_eval.bench import Progress, ready_codec, run_parallel
from rgru_eval.builtin import Avif, Jpeg, Webp
from rgru_eval.codecs import Codec, CuttableCodec
from rgru_eval.match import Matcher, Shot, Target, first_with_steps
from rgru_eval.metrics import Judge
from rgru_eval.pictures import Source, read_picture
from rgru_eval.summary import TARGETS

if TYPE_CHECKING:
    from PIL.Image import Image

BYTES_TARGETS_BPP = (0.15, 0.3)
RECEIVED_BPP = (0.03, 0.06, 0.1, 0.15, 0.25, 0.4, 0.7, 1.2)
MIME: dict[type[Codec], str] = {Jpeg: "image/jpeg", Webp: "image/webp", Avif: "image/avif"}


@dataclass(frozen=True)
class ViewTask:
    """One picture and one codec; no targets mean: find the steps nearest to the default ones."""

    source: Source
    codec: str
    targets: tuple[Target, ...]
    definitions: tuple[str, ...] = ()
    received: bool = False


def default_targets(pixels: int) -> tuple[Target, ...]:
    """Return the qualities of the tables and two sizes."""
    sizes = [Target("bytes", round(bpp * pixels / 8)) for bpp in BYTES_TARGETS_BPP]
    return (*(Target("msssim", t) for t in TARGETS), *sizes)


def take_shots(task: ViewTask) -> dict[str, Any]:
    """Return for one codec the files that meet the targets, and the views of one cut file."""
    codec = ready_codec(task.codec, task.definitions)
    image = read_picture(task.source.path).image
    judge = Judge(image, ("msssim",))
    matcher = Matcher(codec, image, judge)
    shots = [matcher.find(target) for target in task.targets]
    views = [_view(codec, shot, image) for shot in shots]
    received: list[dict[str, Any]] = []
    if task.received and isinstance(codec, CuttableCodec):
        received = _received(codec, image, judge)
    return {"views": views, "received": received}


def _view(codec: Codec, shot: Shot, image: Image) -> dict[str, Any]:
    mime = MIME.get(type(codec))
    return {
        "codec": shot.codec,
        "setting": shot.setting,
        "bytes": len(shot.data),
        "bpp": round(8 * len(shot.data) / (image.width * image.height), 4),
        "msssim": round(shot.msssim, 5),
        "uri": data_uri(shot.data, mime) if mime else lossless_uri(shot.picture),
    }


def _received(codec: CuttableCodec, image: Image, judge: Judge) -> list[dict[str, Any]]:
    """Return what the last (largest) cut file shows after some numbers of bytes."""
    files = list(codec.cut_files(image))
    if not files:
        return []
    setting, data = files[-1]
    pixels = image.width * image.height
    cuts = [c for c in (round(bpp * pixels / 8) for bpp in RECEIVED_BPP) if c < len(data)]
    steps = []
    for cut, picture in zip(cuts, codec.decode_prefixes(data, cuts), strict=True):
        entry: dict[str, Any] = {"bytes": cut, "setting": setting, "total": len(data)}
        if picture is not None:
            shown = picture.convert(image.mode)
            entry |= {"msssim": round(judge.msssim(shown), 5), "uri": lossless_uri(shown)}
        steps.append(entry)
    return steps


def data_uri(data: bytes, mime: str) -> str:
    """Return the bytes as an address that needs no network."""
    return f"data:{mime};base64,{base64.b64encode(data).decode()}"


def lossless_uri(image: Image) -> str:
    """Return the picture as lossless WebP."""
    out = io.BytesIO()
    image.save(out, "WEBP", lossless=True, quality=60, method=3)
    return data_uri(out.getvalue(), "image/webp")


def choose(sources: Sequence[Source], wanted: str) -> list[Source]:
    """``3`` -> three pictures spread over the list; ``a,b`` -> those named so, in this order."""
    if wanted.isdigit():
        count = min(int(wanted), len(sources))
        return [sources[(2 * i + 1) * len(sources) // (2 * count)] for i in range(count)]
    names = [n.strip() for n in wanted.split(",")]
    return [s for n in names for s in sources if n in (s.name, s.id)]


def make_views(
    sources: Sequence[Source], codecs: Sequence[Codec], definitions: tuple[str, ...], jobs: int
) -> tuple[list[dict[str, Any]], list[str]]:
    """Return for each picture: original, targets, views by codec, steps received; and problems."""
    progress = Progress(len(sources) * len(codecs))
    problems: list[str] = []
    leader = first_with_steps(codecs)
    order = [[leader]] if leader else []
    order.append([c for c in codecs if c is not leader])
    pictures = {source.id: _blank(source) for source in sources}
    for group in order:
        tasks = [
            _task(source, codec, pictures[source.id], definitions, received=source is sources[0])
            for source in sources
            for codec in group
        ]
        for task, result in run_parallel(_safely, tasks, min(jobs, len(tasks))):
            progress.step(task.codec)
            if not isinstance(result, dict):
                problems.append(f"{task.codec} on {task.source.id}: {result}")
                continue
            _file_away(pictures[task.source.id], task, result, leads=group == [leader])
    progress.close()
    return list(pictures.values()), problems


def _safely(task: ViewTask) -> Any:
    try:
        return take_shots(task)
    except Exception as error:
        return f"{type(error).__name__}: {error}"


def _blank(source: Source) -> dict[str, Any]:
    image = read_picture(source.path).image
    return {
        "id": source.id,
        "width": image.width,
        "height": image.height,
        "original": lossless_uri(image),
        "targets": default_targets(image.width * image.height),
        "views": {},
        "received": {},
    }


def _task(
    source: Source,
    codec: Codec,
    picture: dict[str, Any],
    definitions: tuple[str, ...],
    *,
    received: bool,
) -> ViewTask:
    return ViewTask(source, codec.identity(), picture["targets"], definitions, received)


def _file_away(
    picture: dict[str, Any], task: ViewTask, result: dict[str, Any], *, leads: bool
) -> None:
    """Keep the views; what the leading codec reached is what the others are matched to."""
    picture["views"][task.codec] = result["views"]
    if result["received"]:
        picture["received"][task.codec] = result["received"]
    if leads:
        picture["targets"] = tuple(
            Target(t.kind, view["msssim"] if t.kind == "msssim" else view["bytes"])
            for t, view in zip(task.targets, result["views"], strict=True)
        )
