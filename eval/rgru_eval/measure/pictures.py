"""Pictures to be compressed: found in folders, read as 8-bit RGB or grey, checked with words.

All contestants get the same pixels and nothing else: the orientation tag is applied, then
profiles and every other piece of metadata are dropped, so that no codec pays for what another one
throws away.
"""

from __future__ import annotations

import csv
import dataclasses
import hashlib
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path

import numpy as np
from numpy.typing import NDArray
from PIL import Image as Pil
from PIL.Image import Image

from rgru_codec.source import read_planes
from rgru_codec.terminal import tell
from rgru_eval.errors import EvalError
from rgru_format import RgruError

LOSSY_SUFFIXES = frozenset((".jpg", ".jpeg", ".mpo", ".avif"))
SUFFIXES = LOSSY_SUFFIXES | {".png", ".ppm", ".pgm", ".bmp", ".tif", ".tiff", ".webp", ".gif"}
MANIFESTS = "*manifest*.csv"
"""Tables beside the pictures, with a column ``kind`` and one of file names."""


@dataclass(frozen=True)
class Source:
    """One picture file: the set it belongs to, its name in that set, and where it lies."""

    set: str
    name: str
    path: Path
    kind: str = ""
    """What it shows, by the manifest beside it: people, text, ..."""

    @property
    def id(self) -> str:
        """``set/name``, unique within one results file."""
        return f"{self.set}/{self.name}"


@dataclass(frozen=True)
class Picture:
    """A picture in memory: mode ``RGB`` or ``L``, no metadata; ``notes`` say what was changed."""

    image: Image
    notes: tuple[str, ...]

    @property
    def pixels(self) -> int:
        """Width times height."""
        return self.image.width * self.image.height

    def digest(self) -> str:
        """Return the SHA-256 of mode, size and pixels, whatever the file around them."""
        head = f"{self.image.mode} {self.image.width}x{self.image.height}\n".encode()
        return hashlib.sha256(head + self.image.tobytes()).hexdigest()


def find_pictures(folders: Iterable[str]) -> list[Source]:
    """List the pictures of each folder (or single file); ``NAME=FOLDER`` names the set.

    Without a name the set is called as the folder is. Sub-folders are not entered.

    Raises:
        EvalError: a folder is absent or holds no picture; a manifest cannot be read.
    """
    sources: list[Source] = []
    taken: dict[str, Path] = {}
    for text in folders:
        label, folder = _split_label(text)
        if not folder.exists():
            raise EvalError(f"{text}: no such file or folder")
        home = folder if folder.is_dir() else folder.parent
        label = _unique(label or home.resolve().name or "pictures", home.resolve(), taken)
        files = sorted(folder.iterdir()) if folder.is_dir() else [folder]
        kinds = _kinds(home)
        found = [
            Source(label, p.stem, p, kinds.get(p.name) or kinds.get(p.stem, ""))
            for p in files
            if p.suffix.lower() in SUFFIXES and not p.name.startswith("._")
        ]
        if not found:
            known = " ".join(sorted(SUFFIXES))
            raise EvalError(f"{text}: no pictures here; file names ending in {known} are read")
        for source in found:
            _check_name(source.path.name)
        sources += [s for s in found if s.path not in {known.path for known in sources}]
    return _distinct_names(sources)


def _check_name(name: str) -> None:
    try:
        name.encode()
    except UnicodeError:
        raise EvalError(f"{name!a}: rename it, its name is not UTF-8") from None


def _kinds(folder: Path) -> Mapping[str, str]:
    """Return file name -> kind, by the manifests in a folder."""
    kinds: dict[str, str] = {}
    here = {name for file in folder.iterdir() for name in (file.name, file.stem)}
    for path in sorted(folder.glob(MANIFESTS)):
        try:
            with path.open(encoding="utf-8-sig", newline="") as file:
                reader = csv.DictReader(file)
                rows, heads = list(reader), list(reader.fieldnames or ())
        except (OSError, ValueError, csv.Error) as error:
            raise EvalError(f"{path}: cannot be read as a table ({error})") from error
        if "kind" not in heads:
            continue
        columns = [[Path(row[head] or "").name for row in rows] for head in heads if head != "kind"]
        names = max(columns, key=lambda column: len(here.intersection(column)), default=[])
        if not here.intersection(names):
            tell(f"{path}: names no picture of its folder; no kinds are taken from it")
        values = ((row["kind"] or "").strip() for row in rows)
        kinds |= dict(zip(names, values, strict=False))
    return kinds


def _split_label(text: str) -> tuple[str, Path]:
    """Split ``name=folder``; a plain existing path that holds ``=`` stays whole."""
    label, equals, rest = text.partition("=")
    if equals and not Path(text).exists():
        return label, Path(rest)
    return "", Path(text)


def _unique(label: str, home: Path, taken: dict[str, Path]) -> str:
    """Return the label, numbered if another folder has it already."""
    label = label.replace("/", "-")
    if not label.strip("."):  # it names a folder of files later
        label = label.replace(".", "-")
    candidate, number = label, 2
    while taken.get(candidate, home) != home:
        candidate, number = f"{label}-{number}", number + 1
    taken[candidate] = home
    return candidate


def _distinct_names(sources: Sequence[Source]) -> list[Source]:
    """Use whole file names where two files of one set differ in their suffix only."""
    stems = [s.id for s in sources]
    return [
        s if stems.count(s.id) == 1 else dataclasses.replace(s, name=s.path.name) for s in sources
    ]


def read_picture(path: Path) -> Picture:
    """Read one picture as 8-bit RGB or grey; what is transparent is laid on white.

    Raises:
        EvalError: the file is broken, animated or deeper than 8 bits: rounding those in silence
            would change what is measured.
    """
    try:
        planes = read_planes(path)
    except (OSError, RgruError) as error:
        why = str(error).partition("; ")[0]  # behind it stand options that are not ours
        raise EvalError(f"{path.name}: cannot be read: {why}") from error
    notes = list(planes.notes)
    if path.suffix.lower() in LOSSY_SUFFIXES:
        notes.append("the source was compressed with losses before")
    if planes.icc_profile:
        notes.append("colour profile dropped, pixels taken as sRGB")
    image = Pil.fromarray(planes.pixels)
    if planes.alpha is not None:
        notes.append("transparency laid on white")
        white = Pil.new("RGB", image.size, "white")
        image = Pil.composite(image, white, Pil.fromarray(planes.alpha))
    return Picture(image.convert("L") if planes.grey else image, tuple(notes))


def pixels_of(image: Image) -> NDArray[np.uint8]:
    """Return uint8 samples 0..255, shape (height, width, channels), channels 1 or 3."""
    array = np.asarray(image, dtype=np.uint8)
    return array[..., None] if array.ndim == 2 else array
