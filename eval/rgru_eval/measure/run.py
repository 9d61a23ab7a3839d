"""``rgru-eval run``: plan the tasks, leave out what is done, measure, keep the results file."""

from __future__ import annotations

import json
import os
import shlex
import time
from collections import defaultdict
from collections.abc import Collection, Generator, Iterator, Sequence
from contextlib import closing, contextmanager
from dataclasses import dataclass
from operator import itemgetter
from pathlib import Path
from typing import Any

from rgru_codec.msssim import count_scales
from rgru_codec.processes import cores, run_in_processes
from rgru_eval.errors import EvalError, InterruptedRunError, in_words
from rgru_eval.judge.metrics import GROUPS, METRICS, check_metrics, metric_names
from rgru_eval.measure.codecs import BASELINE, Codec, on_any_ladder
from rgru_eval.measure.machine import describe_machine, describe_software, load_average, lock
from rgru_eval.measure.pictures import Source, find_pictures, read_picture
from rgru_eval.measure.progress import Throttle, bar, say
from rgru_eval.measure.registry import make_codecs
from rgru_eval.measure.tasks import Outcome, Task, measure_memory, run_parallel, run_task
from rgru_eval.results import NAMES, Results, Row, load_results, read_json

BUSY = 0.5
"""Load beside our own work from which times are told to be doubtful, in cores."""


@dataclass(frozen=True)
class Order:
    """What the user asked for. ``jobs`` 0 = one worker a core."""

    images: tuple[str, ...]
    codecs: tuple[str, ...]
    out: Path
    metrics: tuple[str, ...]
    definitions: tuple[str, ...] = ()
    jobs: int = 0
    prefixes: bool = True
    restart: bool = False
    limit: int = 0
    keep_files: bool = True
    """Whether the files that are measured stay in ``files_folder(out)``."""
    beam: tuple[str, ...] = ()
    """Options of an Apache Beam pipeline to work in, instead of processes of this machine."""


def run(order: Order) -> Results:
    """Measure and return the results, which are in ``order.out`` as well.

    Raises EvalError if nothing can be measured, InterruptedRunError after Ctrl-C.
    """
    check_metrics(order.metrics)
    sources = find_pictures(order.images)[: order.limit or None]
    codecs = make_codecs(order.codecs, order.definitions)
    with _alone(order.out):
        return _filled(order, sources, codecs)


@contextmanager
def _alone(out: Path) -> Iterator[None]:
    """Keep other runs out of these results: of two, what the first had measured would be lost."""
    with paths_file(out).open("a") as file:
        try:
            lock(file)
        except (BlockingIOError, PermissionError):
            raise EvalError(
                f"{out}: another run is writing this file; wait for its end, or name another --out"
            ) from None
        except OSError:
            pass  # a file system without locks
        yield


def _filled(order: Order, sources: Sequence[Source], codecs: Sequence[Codec]) -> Results:
    """Measure what the results file lacks, and save it."""
    restart = order.restart or not order.out.exists()
    results = Results() if restart else load_results(order.out)
    sources = _register_pictures(results, sources)
    codecs = _register_codecs(results, codecs)
    _describe(results, order)
    tasks = _tasks_left(results, order, sources, codecs)
    _save_paths(order.out, sources)
    _note_load(results, tasks, 0)
    try:
        _measure(results, order, tasks)
        _note_load(results, tasks, min(order.jobs or cores(), len(tasks)))
        _measure_memory(results, order, sources, codecs)
    except KeyboardInterrupt:
        raise InterruptedRunError(
            f"interrupted; {order.out} holds what was measured so far,"
            f" the same command goes on from there"
        ) from None
    finally:
        results.metadata["updated"] = _now()
        results.save(order.out)
    for line in load_notes(results):
        say(line)
    wanted = {("file", s.set, s.name, c.identity()) for s in sources for c in codecs}
    if not any(tuple(row[name] for name in NAMES[:4]) in wanted for row in results.rows):
        raise EvalError("every codec failed on every picture; see the messages above")
    return results


def _note_load(results: Results, tasks: Sequence[Task], ours: int) -> None:
    """Keep the largest load that was not our own work: it makes times longer than they are."""
    load = load_average()
    if tasks and load is not None:
        before = results.metadata.get("load_of_others", 0.0)
        results.metadata["load_of_others"] = round(max(before, load - ours), 2)


def load_notes(results: Results) -> list[str]:
    """Return a warning if the machine was busy with other work during the measurement."""
    load = results.metadata.get("load_of_others") or 0.0
    if load < BUSY:
        return []
    cores_there = results.metadata.get("machine", {}).get("cores", "?")
    return [
        f"the machine was busy: {load:.1f} other processes wanted its {cores_there} cores, so that"
        " times are longer than they would be; sizes and quality are not affected"
    ]


def _now() -> str:
    return time.strftime("%Y-%m-%dT%H:%M:%SZ", time.gmtime())


def _register_pictures(results: Results, sources: Sequence[Source]) -> list[Source]:
    """Check every picture, note its size and digest; broken ones are named and left out."""
    known = results.pictures
    good: list[Source] = []
    for source in sources:
        _forgive(results, "picture", source.id)
        try:
            picture = read_picture(source.path)
        except EvalError as error:
            _skip(results, "picture", source.id, str(error))
            continue
        width, height = picture.image.size
        about = {
            "set": source.set,
            "name": source.name,
            "kind": source.kind,
            "width": width,
            "height": height,
            "mode": picture.image.mode,
            "msssim_scales": count_scales(height, width),
            "sha256": picture.digest(),
            "notes": list(picture.notes),
        }
        if known.get(source.id, about)["sha256"] != about["sha256"]:
            say(f"{source.id}: other pixels than before, its rows are measured again")
            results.take(set=source.set, image=source.name)
        known[source.id] = about
        good.append(source)
    results.metadata["images"] = list(known.values())
    if not good:
        raise EvalError("no picture can be read; nothing to measure")
    for line in picture_notes(results):
        say(line)
    return good


def picture_notes(results: Results) -> list[str]:
    """Return what a reader of the numbers must know about the pictures."""
    images = results.metadata["images"]
    notes = []
    if len({i["width"] * i["height"] for i in images}) > 1:
        notes.append("pictures of different sizes: means are over pictures, not over pixels")
    grey = sum(i["mode"] == "L" for i in images)
    if grey:
        notes.append(f"{grey} grey of {len(images)} pictures: RGB and luma MS-SSIM are equal there")
    small = [i["name"] for i in images if i["msssim_scales"] < 5]
    if small:
        notes.append(
            f"{len(small)} pictures have a side below 161 px: MS-SSIM with fewer scales and"
            f" renormalised weights, not comparable with the others ({', '.join(small[:5])})"
        )
    changed = [i["name"] for i in images if i["notes"]]
    if changed:
        kinds = "; ".join(sorted({note for i in images for note in i["notes"]}))
        notes.append(f"{len(changed)} pictures: {kinds}")
    return notes


def _skip(results: Results, what: str, name: str, why: str) -> None:
    """Report on the screen and in the results."""
    say(f"skipped {what} {name}: {why}")
    results.metadata["skipped"].append({"what": what, "name": name, "why": why})


def _forgive(results: Results, what: str, name: str) -> None:
    """Take back what an earlier run noted about something that is tried again now."""
    skipped = results.metadata["skipped"]
    skipped[:] = [s for s in skipped if (s["what"], s["name"]) != (what, name)]


def _register_codecs(results: Results, codecs: Sequence[Codec]) -> list[Codec]:
    """Check every codec; rows of another version of one are measured again."""
    usable: list[Codec] = []
    for codec in codecs:
        identity = codec.identity()
        _forgive(results, "codec", identity)
        try:
            codec.check()
            versions = codec.versions()
        except Exception as error:  # also what a user's own class raises
            why = in_words(error)
            if any(row["codec"] == identity for row in results.rows):
                say(f"{identity}: cannot run here, rows of before are kept: {why}")
            else:
                _skip(results, "codec", identity, why)
            continue
        old = results.metadata["codecs"].get(identity, {})
        if old.get("versions", versions) != versions:
            dropped = len(results.take(codec=identity))
            say(f"{identity}: other versions than before, {dropped} rows measured again")
            old = {}
        results.metadata["codecs"][identity] = old | {
            "label": codec.label(),
            "unit": codec.UNIT,
            "parameters": codec.options,
            "settings": list(codec.settings),
            "versions": versions,
        }
        usable.append(codec)
    if not usable:
        raise EvalError("none of the codecs can run here; see the messages above")
    return usable


def _describe(results: Results, order: Order) -> None:
    """Note machine, versions and the command; folders by their last name only."""
    about = results.metadata
    about.setdefault("created", _now())
    about["machine"] = describe_machine()
    about["software"] = describe_software()
    about["metrics"] = {name: metric.definition for name, metric in METRICS.items()}
    about["baseline"] = on_any_ladder(BASELINE, about["codecs"])
    about["jobs"] = order.jobs or cores()
    about["threads"] = "1 for each codec, unless its parameters say otherwise"
    command = shlex.join(["rgru-eval", "run", *_shown_arguments(order)])
    if command not in about["commands"]:
        about["commands"].append(command)


def _shown_arguments(order: Order) -> list[str]:
    parts = [text.rpartition("=") for text in order.images]
    folders = [f"{name}{sign}{Path(place).resolve().name}" for name, sign, place in parts]
    words = ["--set", *folders, "--codecs", ",".join(order.codecs)]
    words += ["--metrics", ",".join(order.metrics), "--jobs", str(order.jobs or cores())]
    for text in order.definitions:
        words += ["--define", Path(text).name]
    return [*words, "--out", order.out.name]


def _tasks_left(
    results: Results, order: Order, sources: Sequence[Source], codecs: Sequence[Codec]
) -> list[Task]:
    """Return what no row answers yet, and what failed; of lacking metrics only these."""
    pictures, have = results.pictures, _columns_there(results)
    failed: dict[str, list[str]] = defaultdict(list)
    for note in results.metadata["skipped"]:
        failed[note["name"]].append(note["why"])
    files = str(files_folder(order.out)) if order.keep_files and not order.beam else ""
    tasks = []
    for source in sources:
        about = pictures[source.id]
        wanted = metric_names(order.metrics, min(about["width"], about["height"]))
        for codec in codecs:
            name = codec.identity()
            files_there, problems = have[source.id, name], failed[_name(source, name)]
            there = set.intersection(*files_there.values()) if files_there else set()
            missing = tuple(g for g in order.metrics if wanted & {*GROUPS[g]} - there)
            left = () if missing else _settings_left(codec, files_there, problems)
            metrics = order.metrics if problems else missing
            if metrics:
                how = (order.prefixes and not left, order.definitions, files, codec.spec(), left)
                tasks.append(Task(source, name, metrics, *how))
    done = len(sources) * len(codecs) - len(tasks)
    say(
        f"pictures: {len(sources)}, codecs: {len(codecs)}, tasks to do: {len(tasks)}"
        + (f", done before: {done}" if done else "")
    )
    return tasks


def _columns_there(results: Results) -> dict[tuple[str, str], dict[float, set[str]]]:
    """Return what is known of whole files: picture and codec -> setting -> columns."""
    have: dict[tuple[str, str], dict[float, set[str]]] = defaultdict(dict)
    for row in results.rows:
        if row["kind"] == "file":
            columns = {name for name, value in row.items() if value is not None}
            have[f"{row['set']}/{row['image']}", row["codec"]][row["setting"]] = columns
    return have


def _settings_left(
    codec: Codec, done: Collection[float], problems: Sequence[str]
) -> tuple[float, ...]:
    """Return the settings that failed; none where more failed, or one go makes the whole ladder."""
    alone = all(why.startswith(f"at {codec.UNIT} ") for why in problems)
    each = type(codec).steps is Codec.steps
    return tuple(s for s in codec.settings if s not in done) if alone and each else ()


def files_folder(out: Path) -> Path:
    """Return where the files that were measured are kept, for the viewer of the report."""
    return _beside(out, ".files")


def _beside(out: Path, ending: str) -> Path:
    """Return a place beside a results file, the same by whichever of its names it is called."""
    file = Path(os.path.realpath(out))
    return file.with_name(file.name + ending)


def _measure(results: Results, order: Order, tasks: Sequence[Task]) -> None:
    finished: Generator[tuple[Any, Any], None, None]
    if order.beam:
        from rgru_eval.measure.beam import run_beam

        finished = run_beam(tasks, f"{order.out.resolve()}.beam", order.beam)
    else:
        finished = run_parallel(run_task, tasks, order.jobs)
    throttle = Throttle()
    with bar(len(tasks)) as progress, closing(finished):
        for task, outcome in finished:
            _keep(results, task, outcome)
            throttle(lambda: results.save(order.out))
            progress.set_postfix_str(f"{task.source.name} {task.codec}", refresh=False)
            progress.update()


def _keep(results: Results, task: Task, outcome: Any) -> None:
    """Replace the rows of this task; note its problems."""
    where = _name(task.source, task.codec)
    _forgive(results, "task", where)
    if not isinstance(outcome, Outcome):
        _skip(results, "task", where, in_words(outcome))
        return
    for problem in outcome.problems:
        _skip(results, "task", where, problem)
    old = results.take(set=task.source.set, image=task.source.name, codec=task.codec)
    results.rows += [*old, *outcome.rows] if task.settings else _joined(old, outcome.rows)


def _name(source: Source, codec: str) -> str:
    """Return what the work of a codec on a picture is called among what was skipped."""
    return f"{codec} on {source.id}"


def _joined(old: Sequence[Row], new: Sequence[Row]) -> list[Row]:
    """Return new rows, with the metrics that old rows of the same files have.

    Old rows of other files go, so that the next run measures all metrics of the new ones.
    """
    key = itemgetter("kind", "setting", "bytes")
    known = {key(r): r for r in old}
    if not all(key(r) in known for r in new if r["kind"] == "file"):
        return list(new)
    joined = [known.pop(key(r), {}) | {k: v for k, v in r.items() if v is not None} for r in new]
    return joined + list(known.values())


def _measure_memory(
    results: Results, order: Order, sources: Sequence[Source], codecs: Sequence[Codec]
) -> None:
    """Note the peak memory of each codec on the first picture, each in a fresh process."""
    about = results.metadata["codecs"]
    for codec in codecs:
        if "memory_mb" not in about[codec.identity()]:
            probe = (codec.spec(), order.definitions, sources[0].path)
            for _, figures in run_in_processes(measure_memory, [probe], 1):
                if isinstance(figures, dict):
                    about[codec.identity()]["memory_mb"] = figures


def paths_file(out: Path) -> Path:
    """Return where the pictures' places on this machine are noted; not for sharing."""
    return _beside(out, ".local")


def _save_paths(out: Path, sources: Sequence[Source]) -> None:
    places = {source.id: str(source.path.resolve()) for source in sources}
    file = paths_file(out)
    file.write_text(json.dumps(_read_places(file) | places, indent=1), "utf-8")


def _read_places(file: Path) -> dict[str, str]:
    """Return picture id -> path, of all that are noted; nothing from a damaged file."""
    if not file.exists() or not file.stat().st_size:
        return {}
    try:
        return read_json(file, dict[str, str])
    except EvalError as error:
        say(f"{file}: damaged, ignored ({error}); the next 'rgru-eval run' writes it anew")
        return {}


def load_paths(files: Sequence[Path]) -> dict[str, Path]:
    """Return picture id -> path for the pictures of these results that are still there."""
    places: dict[str, Path] = {}
    for file in map(paths_file, files):
        places |= {k: Path(v) for k, v in _read_places(file).items() if Path(v).exists()}
    return places
