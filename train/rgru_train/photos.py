"""The photos of a run: where they come from, of which kind they are, which are held out.

A folder of photos may have a table in it or beside it, ``train_manifest.csv`` or ``manifest.csv``,
with a line for each photo and columns ``file``, ``source``, ``licence`` and ``kind``; other columns
are not read. Without it a photo's source is its name without the trailing number.
"""

from __future__ import annotations

import contextlib
import csv
import dataclasses
import hashlib
import itertools
import warnings
from collections import Counter, defaultdict
from collections.abc import Callable, Iterable, Iterator, Sequence
from operator import attrgetter
from pathlib import Path
from typing import TypedDict, TypeVar

import numpy as np
from numpy.typing import NDArray
from PIL import Image, ImageOps

from rgru_format import InvalidInput, Unreadable

T = TypeVar("T")
Pixels = NDArray[np.uint8]
SUFFIXES = (".png", ".jpg", ".jpeg", ".webp", ".tif", ".tiff", ".bmp")
FORMATS = ("PNG", "JPEG", "WEBP", "TIFF", "BMP", "AVIF")  # the last for tiles
TABLES = ("train_manifest.csv", "manifest.csv")
UNKNOWN = "not recorded"
_UNREADABLE = (OSError, SyntaxError, ValueError, Image.DecompressionBombError)
_HELD_OUT_OF = 32
"""One file name in so many is held out for validation."""
_OF_A_KIND = 2
"""At least so many photos of each kind are held out, of a kind of few photos one."""
_LARGE = (384, 512)
"""Shorter and longer side that a photo needs to be held out for its kind: what validation cuts."""


@dataclasses.dataclass(frozen=True)
class Photo:
    """A photo and what the table says of it."""

    path: Path
    source: str
    kind: str = ""
    """Empty if it is not known."""
    licence: str = UNKNOWN
    recorded: str = UNKNOWN
    """The source that the table names."""

    @property
    def group(self) -> str:
        """The kind, or the source of a photo whose kind is not known."""
        return self.kind or self.source

    @property
    def digest(self) -> int:
        """A hash of the file's name."""
        return int.from_bytes(hashlib.sha256(self.path.name.encode()).digest()[:4], "little")

    @property
    def size(self) -> tuple[int, int]:
        """Width and height, from the header."""
        with _opened(self.path) as image:
            return image.size


def find_photos(folder: Path) -> tuple[list[Photo], list[Photo]]:
    """Return (training, held out) photos under ``folder``.

    A hash of the file's name decides, and of each kind the first few by it are held out too.

    Raises:
        InvalidInput: the folder holds no photo.
    """
    rows = _table(folder)
    paths = sorted(p for p in folder.rglob("*") if p.suffix.lower() in SUFFIXES and p.is_file())
    if not paths:
        raise InvalidInput(f"{folder}: no photos found (looked for {', '.join(SUFFIXES)})")
    photos = [
        _photo(path, rows.get(path.name) or rows.get(path.relative_to(folder).as_posix()) or {})
        for path in paths
    ]
    names = {photo.path for photo in photos if photo.digest % _HELD_OUT_OF == 0}
    of_kind = defaultdict(list)
    for photo in photos:
        of_kind[photo.kind].append(photo)
    for kind, members in of_kind.items():
        if kind:
            names.update(_first_of_kind(members, names))
    held_out = [photo for photo in photos if photo.path in names]
    return [photo for photo in photos if photo.path not in names], held_out


def _first_of_kind(photos: Sequence[Photo], held_out: set[Path]) -> list[Path]:
    """Photos of one kind that are held out besides."""
    wanted = _OF_A_KIND if len(photos) >= 8 * _OF_A_KIND else 1
    order = sorted(photos, key=lambda photo: (photo.path not in held_out, photo.digest))
    sizes = read_each(order, attrgetter("size"))
    large = (p.path for p, size in sizes if _LARGE[0] <= min(size) and _LARGE[1] <= max(size))
    chosen = list(itertools.islice(large, wanted))
    return chosen if len(photos) > len(chosen) else []


def _table(folder: Path) -> dict[str, dict[str, str]]:
    """Rows of the table in the folder, else beside it, by file."""
    places = [place / name for place in (folder, folder.resolve().parent) for name in TABLES]
    table = next((path for path in places if path.is_file()), None)
    if table is None:
        return {}
    try:
        with table.open(newline="", encoding="utf-8-sig") as file:
            return {row.get("file") or "": row for row in csv.DictReader(file)}
    except (UnicodeDecodeError, csv.Error) as error:
        raise InvalidInput(f"{table}: not a table in UTF-8 ({error})") from None


def _photo(path: Path, row: dict[str, str]) -> Photo:
    named, licence = row.get("source"), row.get("licence")
    source = named or path.stem.rstrip("0123456789").rstrip("_-")
    return Photo(path, source, row.get("kind") or "", licence or UNKNOWN, named or UNKNOWN)


@contextlib.contextmanager
def _opened(path: Path) -> Iterator[Image.Image]:
    """Open a photo, whatever its name says; Pillow would run other programs on some formats."""
    try:
        with Image.open(path, formats=FORMATS) as image:
            yield image
    except _UNREADABLE as error:
        raise Unreadable(f"{path}: cannot be read as a photo ({error})") from error


def load(path: Path) -> Pixels:
    """Read a photo as (H, W, 3), uint8, upright.

    Raises:
        Unreadable: it is damaged, or no photo of a format that is read.
    """
    with _opened(path) as image:
        return np.asarray(ImageOps.exif_transpose(image).convert("RGB"))


class Summary(TypedDict):
    """What the model card tells of photos: where they are, and how many."""

    folder: str
    training: int
    held_out: int
    kinds: dict[str, tuple[int, int]]
    """Of each kind, in training and held out."""
    sources: list[tuple[str, str, int]]
    """Source, licence, photos in training; largest first."""


def read_each(photos: Iterable[Photo], read: Callable[[Photo], T]) -> Iterator[tuple[Photo, T]]:
    """Yield photos with what is read of them; one that cannot be read is told and left out."""
    for photo in photos:
        try:
            found = read(photo)
        except Unreadable as error:
            # Told from here it is told once, though a run asks for photos more than once.
            warnings.warn(f"{error}; left out", stacklevel=1)
        else:
            yield photo, found


def summary(folder: Path, training: Sequence[Photo], held_out: Sequence[Photo]) -> Summary:
    """Return what the model card tells of the photos that ``find_photos`` found in a folder."""
    counts = Counter((photo.recorded, photo.licence) for photo in training)
    kinds = Counter(p.kind for p in training), Counter(p.kind for p in held_out)
    return {
        "folder": str(folder.resolve()),
        "training": len(training),
        "held_out": len(held_out),
        "kinds": {kind: (kinds[0][kind], kinds[1][kind]) for kind in sorted(kinds[0])},
        "sources": [(*key, count) for key, count in counts.most_common()],
    }
