"""The results file: one JSON file with a row for each picture, codec and setting.

The file is a JSON Table Schema with more beside it, so that the rows open as a table with types,
``pandas.read_json("kodak.json", orient="table")``, and yet everything that defines them (versions,
machine, commands, model id, what was skipped) cannot be lost from beside them, as it is with CSV.
Rows stand one a line, so that changes can be read in version control.
"""

from __future__ import annotations

import json
import math
from collections.abc import Iterable, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, TypeVar

import msgspec

from rgru_codec.files import write_file
from rgru_eval.errors import EvalError, in_words
from rgru_eval.judge.metrics import METRICS

T = TypeVar("T")
FORMAT = "rgru-eval results"
VERSION = 1

# name, type, meaning: the columns of a row, in order
COLUMNS = (
    ("kind", "string", "file: a whole file; prefix: one file cut after so many bytes"),
    ("set", "string", "set of pictures"),
    ("image", "string", "picture"),
    ("codec", "string", "codec spec, key of metadata.codecs"),
    ("setting", "number", "setting of the codec that made the file"),
    ("bytes", "integer", "size of the whole file, or bytes received of it"),
    ("bpp", "number", "8 * bytes / pixels"),
    *((name, "number", "see metadata.metrics") for name in METRICS),
    ("encode_s", "number", "seconds to encode, one thread"),
    ("decode_s", "number", "seconds to decode, one thread"),
)
NAMES = tuple(name for name, _, _ in COLUMNS)
_DIGITS = {"setting": 9, "bpp": 6} | {name: metric.digits for name, metric in METRICS.items()}

_TYPES: dict[str, Any] = {"string": str, "integer": int, "number": float}
_Row = msgspec.defstruct(
    "_Row",
    [(n, _TYPES[t]) if n in NAMES[:7] else (n, _TYPES[t] | None, None) for n, t, _ in COLUMNS],
)


class _Memory(msgspec.Struct):
    peak: float


class _Codec(msgspec.Struct):
    label: str
    settings: list[float]
    versions: dict[str, str]
    parameters: dict[str, Any] | None = None
    memory_mb: _Memory | None = None


class _Picture(msgspec.Struct):
    set: str
    name: str
    width: int
    height: int
    mode: str
    msssim_scales: int
    sha256: str
    notes: list[str]
    kind: str | None = None


class _Note(msgspec.Struct):
    what: str
    name: str
    why: str


class _Metadata(msgspec.Struct):
    codecs: dict[str, _Codec]
    images: list[_Picture]
    skipped: list[_Note]
    commands: list[str]
    machine: dict[str, Any] | None = None
    software: dict[str, Any] | None = None
    metrics: dict[str, Any] | None = None
    baseline: str | None = None
    load_of_others: float | None = None


Row = dict[str, Any]


@dataclass
class Results:
    """Rows and what defines them. ``metadata`` has codecs, images, skipped and more by name."""

    metadata: dict[str, Any] = field(default_factory=dict)
    rows: list[Row] = field(default_factory=list)

    def __post_init__(self) -> None:
        for key, empty in (("codecs", {}), ("images", []), ("skipped", []), ("commands", [])):
            self.metadata.setdefault(key, empty)

    @property
    def sets(self) -> list[str]:
        """Names of the sets, in order."""
        return list(dict.fromkeys(image["set"] for image in self.metadata["images"]))

    @property
    def pictures(self) -> dict[str, dict[str, Any]]:
        """What is known of each picture, by its id ``set/name``."""
        return {f"{image['set']}/{image['name']}": image for image in self.metadata["images"]}

    def label(self, codec: str) -> str:
        """Name of a codec for people."""
        return str(self.metadata["codecs"].get(codec, {}).get("label", codec))

    def unit(self, codec: str) -> str:
        """What a codec's settings are: quality, layers ..."""
        return str(self.metadata["codecs"].get(codec, {}).get("unit", "setting"))

    def take(self, **fields: str) -> list[Row]:
        """Remove the rows with these values, and return them."""
        taken = [r for r in self.rows if all(r[name] == fields[name] for name in fields)]
        self.rows = [r for r in self.rows if any(r[name] != fields[name] for name in fields)]
        return taken

    def save(self, path: Path) -> None:
        """Write the file in one move: readers and interruptions never see half of it."""
        order = {name: place for place, name in enumerate(self.metadata["codecs"])}
        self.rows.sort(
            key=lambda r: (r["set"], r["image"], order.get(r["codec"], 99), r["kind"], r["bytes"])
        )
        write_file(path, self.to_json().encode())

    def to_json(self) -> str:
        """Return the file's text."""
        fields = [{"name": n, "type": t, "description": d} for n, t, d in COLUMNS]
        head = {"format": FORMAT, "version": VERSION, "metadata": self.metadata}
        text = json.dumps(head | {"schema": {"fields": fields}}, indent=1, ensure_ascii=False)
        lines = [json.dumps([_plain(n, row.get(n)) for n in NAMES]) for row in self.rows]
        return text[:-2] + ',\n "data": [\n' + ",\n".join(lines) + "\n ]\n}\n"


def _plain(name: str, value: Any) -> Any:
    """Round numbers to the digits that mean something; what is not finite becomes null."""
    if not isinstance(value, float):
        return value
    if not math.isfinite(value):
        return None
    digits = _DIGITS.get(name)
    return float(f"{value:.4g}") if digits is None else round(value, digits)


def read_json(path: Path, kind: type[T]) -> T:
    """Read a file of JSON as something of a kind; raises EvalError where it is none."""
    try:
        return msgspec.json.decode(path.read_bytes(), type=kind)
    except (OSError, ValueError, RecursionError, msgspec.MsgspecError) as error:
        raise EvalError(f"{path}: not a file of rgru-eval ({error})") from None


def load_results(path: Path) -> Results:
    """Read a results file; raises EvalError for other files, other versions and damaged ones."""
    if not path.exists():
        raise EvalError(f"{path}: no such results file; make one with 'rgru-eval run'")
    content = read_json(path, dict[str, Any])
    if content.get("format") != FORMAT:
        raise EvalError(f"{path}: not a results file of rgru-eval")
    if content.get("version") != VERSION:
        raise EvalError(
            f"{path}: results of version {content.get('version')}, this rgru-eval reads version"
            f" {VERSION}; run it again, or use the rgru-eval that wrote it"
        )
    try:
        names = [f["name"] for f in content["schema"]["fields"]]
        rows = [dict(zip(names, values, strict=True)) for values in content["data"]]
        if missing := set(NAMES) - set(METRICS) - set(names):  # metrics may be newer than the file
            raise ValueError(f"columns missing: {sorted(missing)}")
        results = Results(msgspec.convert(content["metadata"], dict[str, Any]), rows)
        _check(results)
    except (EvalError, KeyError, TypeError, ValueError, msgspec.MsgspecError) as error:
        raise EvalError(
            f"{path}: the results file is damaged ({in_words(error)}); restore it, or measure"
            " again: 'rgru-eval run --restart'"
        ) from error
    return results


def _check(results: Results) -> None:
    """Raise ValueError for results that no run writes."""
    msgspec.convert(results.metadata, _Metadata)
    msgspec.convert(results.rows, list[_Row])  # type: ignore[valid-type]
    codecs, pictures = results.metadata["codecs"], results.pictures
    for row in results.rows:
        picture = f"{row['set']}/{row['image']}"
        if row["codec"] not in codecs or picture not in pictures:
            raise ValueError(f"metadata has no {row['codec']}, or no {picture}")
        if not (row["bytes"] > 0 and 0 < row["bpp"] < math.inf):
            raise ValueError(f"{row['bytes']} bytes, {row['bpp']} bpp")
    files = [
        tuple(row[name] for name in NAMES[:5]) for row in results.rows if row["kind"] == "file"
    ]
    if len({*files}) < len(files):
        raise ValueError("one file has several rows")


def merge(parts: Sequence[Results]) -> Results:
    """Join results of the same pictures, measured in several runs, into one.

    A codec found in several parts is taken from the last one. Raises EvalError when two
    parts mean different pixels by one name.
    """
    whole = Results(json.loads(json.dumps(parts[0].metadata)), list(parts[0].rows))
    known = whole.pictures
    for part in parts[1:]:
        for name, image in part.pictures.items():
            if known.setdefault(name, image)["sha256"] != image["sha256"]:
                raise EvalError(f"{name}: the results to be joined differ in its pixels")
        for codec, about in part.metadata["codecs"].items():
            whole.take(codec=codec)
            whole.metadata["codecs"][codec] = about
        whole.rows += part.rows
        for name in ("skipped", "commands"):
            kept = whole.metadata[name]
            kept += [note for note in part.metadata[name] if note not in kept]
    whole.metadata["images"] = list(known.values())
    return whole


def load_all(paths: Iterable[Path]) -> Results:
    """Read results files and join them."""
    return merge([load_results(path) for path in paths])
