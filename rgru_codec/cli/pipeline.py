"""The pipeline of ``rgru-batch``: pictures in, .rgru files and two lists out.

    match -> by target -> compress -> metrics   DIR/_rgru/metrics.jsonl
                                   -> failures  DIR/_rgru/failures.jsonl (the dead letters)

A bundle may be worked on twice, by a runner that retries or a user who starts again. Results are
therefore written under a temporary name and renamed, and what is there and sound is not done
again. A picture that fails never stops the pipeline.
"""

from __future__ import annotations

import argparse
import dataclasses
import json
import posixpath
import time
import uuid
from collections.abc import Iterable, Iterator, Sequence
from typing import TYPE_CHECKING, Any

import apache_beam as beam
from apache_beam.io.filesystems import FileSystems
from apache_beam.metrics.metric import Metrics, MetricsFilter
from apache_beam.options.pipeline_options import PipelineOptions

if TYPE_CHECKING:
    from rgru_codec.encoder import Settings

REPORTS = "_rgru"
"""Folder of lists and temporary files, below the output folder."""
LISTS = {"metrics": False, "failures": True}
"""Names of the lists; whether they are of pictures that failed."""
_WILDCARDS = frozenset("*?[")
_WORDS = ("compressed", "skipped", "failed")


@dataclasses.dataclass(frozen=True)
class Outcome:
    """What became of a picture: a line of one of the lists."""

    failed: bool
    line: dict[str, Any]


def run(args: argparse.Namespace, rest: Sequence[str]) -> dict[str, int]:
    """Build and run the pipeline.

    Args:
        args: options of ``rgru-batch compress``.
        rest: options of the pipeline.

    Returns:
        How many pictures were compressed, skipped because they were done, and failed.
    """
    from rgru_codec.cli.compress import settings_of
    from rgru_codec.cli.pictures import known_suffixes

    output = args.output.rstrip("/")
    work = Compress(settings_of(args), output, args.force, args.measure)
    temporary = _temporary(output)
    _remove(temporary)
    patterns = [_pattern(text) for text in args.input]
    pipeline = beam.Pipeline(options=PipelineOptions(list(rest), save_main_session=False))
    outcomes = (
        pipeline
        | "Patterns" >> beam.Create(patterns)
        | "Match" >> beam.FlatMap(_matches, known_suffixes(), output)
        # One group for each target: finds two pictures with one name, and spreads the work.
        | "By target" >> beam.GroupByKey()
        | "Compress" >> beam.ParDo(work)
    )
    for name, failed in LISTS.items():
        _write(outcomes, f"{temporary}/{name}", failed)
    result = pipeline.run()
    result.wait_until_finish()
    for name in LISTS:
        FileSystems.rename([f"{temporary}/{name}.jsonl"], [f"{output}/{REPORTS}/{name}.jsonl"])
    _remove(temporary)
    return _counts(result)


def _temporary(output: str) -> str:
    """A folder for files that are being written."""
    return f"{output}/{REPORTS}/temporary"


def _write(outcomes: Any, path: str, failed: bool) -> None:
    """One JSON object a line, in one file."""
    (
        outcomes
        | f"{path} only" >> beam.Filter(lambda outcome: outcome.failed == failed)
        | f"{path} lines" >> beam.Map(lambda outcome: json.dumps(outcome.line, sort_keys=True))
        | f"{path} write"
        >> beam.io.WriteToText(path, ".jsonl", num_shards=1, shard_name_template="")
    )


def _counts(result: Any) -> dict[str, int]:
    counters = result.metrics().query(MetricsFilter().with_namespace(REPORTS))["counters"]
    found = {counter.key.metric.name: counter.result for counter in counters}
    return {word: int(found.get(word) or 0) for word in _WORDS}


def _remove(path: str) -> None:
    """Delete what a run that was killed has left."""
    if FileSystems.exists(path) or FileSystems.match([f"{path}/**"])[0].metadata_list:
        FileSystems.delete([path])


def _pattern(text: str) -> tuple[str, str]:
    """(pattern, folder that names are kept below)."""
    if not _WILDCARDS & set(text):
        return f"{text.rstrip('/')}/**", text.rstrip("/")
    parts = text.split("/")
    fixed = next(i for i, part in enumerate(parts) if _WILDCARDS & set(part))
    return text, "/".join(parts[:fixed])


def _matches(
    pattern: tuple[str, str], suffixes: frozenset[str], output: str
) -> Iterator[tuple[str, str]]:
    """(target, source) of each picture that a pattern matches."""
    glob, base = pattern
    for found in FileSystems.match([glob])[0].metadata_list:
        below = found.path[len(base) :].lstrip("/") if base else found.path
        stem, suffix = posixpath.splitext(below)
        if suffix.lower() in suffixes:
            yield f"{output}/{stem}.rgru", found.path


class Compress(beam.DoFn):  # type: ignore[misc]
    """(target, sources) to outcomes; writes the targets.

    Args:
        settings: of the compressor.
        output: where files go.
        force: do again what is there.
        measure: the MS-SSIM of each picture as well.
    """

    def __init__(self, settings: Settings, output: str, force: bool, measure: bool) -> None:
        super().__init__()
        self._settings, self._force, self._measure = settings, force, measure
        self._temporary = _temporary(output)

    def setup(self) -> None:
        """Load the model, once a worker: the codec keeps networks from picture to picture."""
        import numpy as np

        from rgru_codec.encoder import compress

        compress(np.zeros((16, 16, 3), np.uint8), layers=1, threads=self._settings.threads)

    def process(self, element: tuple[str, Iterable[str]]) -> Iterator[Outcome]:
        """One picture; other sources with the same target are failures."""
        target, sources = element
        first, *others = sorted(set(sources))
        yield self._attempt(first, target)
        for other in others:
            words = f"{other}: its output {target} is already that of {first}"
            yield self._failed(other, 1, words)

    def _attempt(self, source: str, target: str) -> Outcome:
        from rgru_codec.cli.status import explain

        start = time.monotonic()
        try:
            there = not self._force and FileSystems.exists(target)
            line = self._skip(target) if there else self._compress(source, target)
        except Exception as error:  # whatever it is: the pictures after it are not to suffer
            failure = explain(error, source)
            return self._failed(source, failure.code, failure.message)
        seconds = round(time.monotonic() - start, 3)
        Metrics.counter(REPORTS, line["status"]).inc()
        return Outcome(False, {"source": source, "target": target, "seconds": seconds, **line})

    def _failed(self, source: str, code: int, message: str) -> Outcome:
        Metrics.counter(REPORTS, "failed").inc()
        return Outcome(True, {"source": source, "code": code, "message": message})

    def _compress(self, source: str, target: str) -> dict[str, Any]:
        from rgru_codec.encoder import encode, prepare
        from rgru_codec.metrics import ms_ssim, psnr

        with FileSystems.open(source, "application/octet-stream") as file:
            data = file.read()
        planes = prepare(data, self._settings)
        encoded = encode(planes, self._settings)
        self._replace(target, encoded.data)
        value = psnr(encoded.shown, planes.pixels)
        line: dict[str, Any] = {
            "status": "compressed",
            "bytes_in": len(data),
            "psnr": None if value == float("inf") else round(value, 3),
            **_sizes(encoded.data),
        }
        if self._measure:
            line["ms_ssim"] = round(ms_ssim(encoded.shown, planes.pixels), 5)
        return line

    def _skip(self, target: str) -> dict[str, Any]:
        from rgru_codec.cli.status import UNUSABLE, Failure
        from rgru_codec.cli.verify import fault_in

        with FileSystems.open(target, "application/octet-stream") as file:
            data = file.read()
        if fault := fault_in(data):
            raise Failure(UNUSABLE, f"{target}: exists, but {fault}; --force replaces it")
        return {"status": "skipped", **_sizes(data)}

    def _replace(self, target: str, data: bytes) -> None:
        """Write under a name of this attempt's own, then rename: no one sees half a file."""
        path = f"{self._temporary}/{uuid.uuid4().hex}"
        with FileSystems.create(path, "application/octet-stream") as file:
            file.write(data)
        folder = posixpath.dirname(target)
        if not FileSystems.exists(folder):
            _make(folder)
        FileSystems.rename([path], [target])


def _make(folder: str) -> None:
    """Make a folder; another worker may be faster."""
    try:
        FileSystems.mkdirs(folder)
    except OSError:
        if not FileSystems.exists(folder):
            raise


def _sizes(data: bytes) -> dict[str, Any]:
    from rgru_codec.inspection import info
    from rgru_format import Limits

    found = info(data, limits=Limits(max_pixels=2**48)).as_dict()
    return {
        "width": found["width"],
        "height": found["height"],
        "bytes": found["size"],
        "bpp": found["bpp"],
        "layers": len(found["layers"]),
    }
