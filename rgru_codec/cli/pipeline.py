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
import difflib
import json
import os
import posixpath
import shutil
import time
import uuid
import warnings
from collections.abc import Iterable, Iterator, Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any

import apache_beam as beam
from apache_beam.io.filesystems import FileSystems
from apache_beam.metrics.metric import Metrics, MetricsFilter
from apache_beam.options.pipeline_options import PipelineOptions

from rgru_codec.cli.files import check_names
from rgru_codec.cli.status import UNUSABLE, USAGE, Failure, finite
from rgru_codec.files import write_file

if TYPE_CHECKING:
    from rgru_codec.settings import Settings

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
    """Build and run the pipeline; returns how many pictures came to what.

    ``rest`` are options of the pipeline itself.
    """
    from rgru_codec.cli.compress import settings_of
    from rgru_codec.cli.pictures import known_suffixes

    check_names(args.output, *args.input)
    _refuse_misspelt(rest, list(vars(args)))
    output = args.output.rstrip("/") or args.output
    settings = settings_of(args)
    model = settings.package()  # what is missing is told here rather than for each picture
    if settings.encoder is not None:
        model.encoder(settings.encoder)
    work = Compress(settings, output, args.force, args.measure)
    temporary = _temporary(output)
    patterns = [tuple(map(os.fsencode, _pattern(text))) for text in args.input]
    _remove(temporary)
    _make_lists(output)
    try:
        pipeline = beam.Pipeline(options=PipelineOptions(list(rest), save_main_session=False))
    except ValueError as error:
        raise Failure(USAGE, str(error)) from None
    outcomes = (
        pipeline
        | "Patterns" >> beam.Create(patterns)
        | "Match" >> beam.FlatMap(_matches, known_suffixes(), output)
        # One group for each target: finds two pictures with one name, and spreads the work.
        | "By target" >> beam.GroupByKey()
        | "Compress" >> beam.ParDo(work)
    )
    lists = (
        outcomes
        | "By list" >> beam.Map(lambda outcome: (outcome.failed, json.dumps(outcome.line)))
        | "One worker a list" >> beam.GroupByKey()
    )
    _ = lists | "Write lists" >> beam.ParDo(_WriteList(temporary))
    result = pipeline.run()
    result.wait_until_finish()
    for name in LISTS:
        _put(f"{temporary}/{name}.jsonl", f"{output}/{REPORTS}/{name}.jsonl")
    _remove(temporary)
    counts = _counts(result)
    if not any(counts.values()):
        raise Failure(UNUSABLE, f"{' '.join(args.input)}: no pictures of a known kind")
    return counts


def _refuse_misspelt(rest: Sequence[str], own: Sequence[str]) -> None:
    """Refuse options that neither Beam nor ``rgru-batch`` knows but look like ``own``.

    Beam warns of those it does not know and goes on: a pipeline of its own kind may know them.
    """
    known = PipelineOptions([]).get_all_options()
    for word in rest:
        name = word.partition("=")[0].lstrip("-").replace("-", "_")
        near = difflib.get_close_matches(name, own, 1, cutoff=0.8)
        if word.startswith("--") and name not in known and near:
            option = "--" + near[0].replace("_", "-")
            raise Failure(USAGE, f"{word}: no such option; did you mean {option}?")


def _make_lists(output: str) -> None:
    """Make the folder of the lists, to find out whether that is possible."""
    try:
        _make(f"{output}/{REPORTS}")
    except OSError as error:
        raise Failure(UNUSABLE, f"{output}: cannot be made a folder: {error}") from None


def _put(source: str, target: str) -> None:
    """Give a list its name; an empty one was not written."""
    if not FileSystems.exists(source):
        if not FileSystems.exists(folder := posixpath.dirname(source)):
            _make(folder)
        FileSystems.create(source, "application/octet-stream").close()
    FileSystems.rename([source], [target])


def _temporary(output: str) -> str:
    """Return a folder for files that are being written."""
    return f"{output}/{REPORTS}/temporary"


class _WriteList(beam.DoFn):  # type: ignore[misc]
    """(whether of failures, lines) to a file: one JSON object a line.

    Beam's own sink takes its path for a pattern, so that a folder ``out[5]`` breaks it.
    """

    def __init__(self, temporary: str) -> None:
        super().__init__()
        self._temporary = temporary

    def process(self, element: tuple[bool, Iterable[str]]) -> None:
        """Write one list; twice, if a runner repeats it."""
        failed, lines = element
        name = next(name for name, of_failures in LISTS.items() if of_failures == failed)
        target = f"{self._temporary}/{name}.jsonl"
        _write_whole(self._temporary, target, (line.encode() + b"\n" for line in lines))


def _counts(result: Any) -> dict[str, int]:
    counters = result.metrics().query(MetricsFilter().with_namespace(REPORTS))["counters"]
    found = {counter.key.metric.name: counter.result for counter in counters}
    return {word: int(found.get(word) or 0) for word in _WORDS}


def _remove(folder: str) -> None:
    """Delete what a run that was killed has left."""
    if "://" not in folder:
        shutil.rmtree(folder, ignore_errors=True)
    elif _match(f"{_literal(folder)}/**"):
        FileSystems.delete([f"{_literal(folder)}/**"])


def _literal(text: str) -> str:
    """Make a pattern that matches a text which may hold characters of patterns."""
    return "".join(f"[{c}]" if c in _WILDCARDS else c for c in text)


def _match(pattern: str, limit: int | None = None) -> list[str]:
    """List files that a pattern matches (Beam finds none for a relative one without ``./``)."""
    start = "" if "://" in pattern or pattern.startswith(("/", "./")) else "./"
    with warnings.catch_warnings():
        warnings.filterwarnings("ignore", "Possible nested set", FutureWarning)
        found = FileSystems.match([start + pattern], [limit])[0].metadata_list
    return [metadata.path.removeprefix(start) for metadata in found]


def _pattern(text: str) -> tuple[str, str]:
    """Return (pattern, folder that names are kept below) of a file, a folder or a pattern."""
    text = text.rstrip("/") or text
    found = text, posixpath.dirname(text)
    if FileSystems.exists(text) or not _WILDCARDS & set(text):
        folder = "://" not in text and Path(text).is_dir()
        alone = not folder and _match(_literal(text), 1)
        found = (_literal(text), found[1]) if alone else (f"{_literal(text)}/**", text)
    else:
        parts = text.split("/")
        fixed = next(i for i, part in enumerate(parts) if _WILDCARDS & set(part))
        found = text, "/".join(parts[:fixed])
    if not _match(found[0], 1):
        raise Failure(UNUSABLE, f"{text}: nothing matches")
    return found


def _matches(
    pattern: tuple[bytes, bytes], suffixes: frozenset[str], output: str
) -> Iterator[tuple[bytes, bytes]]:
    """Yield (target, source) of each picture that a pattern matches.

    Names travel as bytes: Beam encodes text as UTF-8, which names of files need not be.
    """
    glob, base = map(os.fsdecode, pattern)
    for path in _match(glob):
        stem, suffix = posixpath.splitext(path[len(base) :].lstrip("/") if base else path)
        if suffix.lower() in suffixes and not posixpath.basename(path).startswith("._"):
            yield os.fsencode(f"{output}/{stem}.rgru"), os.fsencode(path)


class Compress(beam.DoFn):  # type: ignore[misc]
    """(target, sources) to outcomes; writes the targets."""

    def __init__(self, settings: Settings, output: str, force: bool, measure: bool) -> None:
        super().__init__()
        self._settings, self._force, self._measure = settings, force, measure
        self._temporary = _temporary(output)

    def setup(self) -> None:
        """Load the model, once a worker: the codec keeps networks from picture to picture."""
        import numpy as np

        from rgru_codec.encoder import compress

        settings = self._settings
        compress(
            np.zeros((16, 16, 3), np.uint8),
            layers=1,
            model=settings.model,
            encoder=settings.encoder,
            threads=settings.threads,
        )

    def process(self, element: tuple[bytes, Iterable[bytes]]) -> Iterator[Outcome]:
        """One picture; other sources with the same target are failures."""
        target = os.fsdecode(element[0])
        first, *others = sorted(map(os.fsdecode, set(element[1])))
        yield self._attempt(first, target)
        for other in others:
            words = f"{other}: its output {target} is already that of {first}; "
            words += "write it to another folder with --output"
            yield self._failed(other, 1, words)

    def _attempt(self, source: str, target: str) -> Outcome:
        from rgru_codec.cli.status import explain

        start = time.monotonic()
        try:
            there = not self._force and FileSystems.exists(target)
            try:
                line = self._skip(target) if there else self._compress(source, target)
            except FileExistsError:  # another attempt was faster
                line = self._skip(target)
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
        from rgru_codec.cli.pictures import without_pillows_limit
        from rgru_codec.encoder import encode, prepare
        from rgru_codec.metrics import ms_ssim, psnr
        from rgru_codec.source import read_source

        without_pillows_limit()
        with FileSystems.open(source, "application/octet-stream") as file:
            data = read_source(file, self._settings.limits)
        planes = prepare(data, self._settings)
        encoded = encode(planes, self._settings)
        self._replace(target, encoded.data)
        line: dict[str, Any] = {
            "status": "compressed",
            "bytes_in": len(data),
            "psnr": finite(round(psnr(encoded.shown, planes.pixels), 3)),
            **_sizes(encoded.data),
        }
        if self._measure:
            line["ms_ssim"] = round(ms_ssim(encoded.shown, planes.pixels), 5)
        return line

    def _skip(self, target: str) -> dict[str, Any]:
        from rgru_codec.cli.verify import fault_in

        with FileSystems.open(target, "application/octet-stream") as file:
            data = file.read()
        if fault := fault_in(data):
            raise Failure(UNUSABLE, f"{target}: exists, but {fault}; --force replaces it")
        return {"status": "skipped", **_sizes(data)}

    def _replace(self, target: str, data: bytes) -> None:
        """Write a file of which no one sees half.

        One that has appeared meanwhile is a FileExistsError, on a disk of this machine only.
        """
        if "://" not in target:
            _make(posixpath.dirname(target))
            write_file(target, data, overwrite=self._force)
            return
        folder = posixpath.dirname(target)
        if not FileSystems.exists(folder):
            _make(folder)
        _write_whole(self._temporary, target, [data])


def _write_whole(temporary: str, target: str, pieces: Iterable[bytes]) -> None:
    """Write under a name of this attempt's own, in a folder for such, then rename."""
    path = f"{temporary}/{uuid.uuid4().hex}"
    with FileSystems.create(path, "application/octet-stream") as file:
        for piece in pieces:
            file.write(piece)
    FileSystems.rename([path], [target])


def _make(folder: str) -> None:
    """Make a folder; another worker may be faster."""
    try:
        FileSystems.mkdirs(folder)
    except OSError:
        if not FileSystems.exists(folder) or Path(folder).is_file():
            raise


def _sizes(data: bytes) -> dict[str, Any]:
    from rgru_codec.inspection import info
    from rgru_format.limits import ANY_SIZE

    found = info(data, limits=ANY_SIZE).as_dict()
    return {
        "width": found["width"],
        "height": found["height"],
        "bytes": found["size"],
        "bpp": found["bpp"],
        "layers": len(found["layers"]),
    }
