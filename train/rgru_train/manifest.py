"""Where the photos of a run come from: counts and licences, for the model card.

A folder of photos may have a table beside it or in it, ``train_manifest.csv`` or
``manifest.csv``, with a line for each photo and columns ``file``, ``source`` and ``licence``;
other columns are not read.
"""

from __future__ import annotations

import csv
from collections import Counter
from pathlib import Path
from typing import Any

from rgru_train.data import find_photos

NAMES = ("train_manifest.csv", "manifest.csv")
UNKNOWN = "not recorded"


def find_manifest(folder: Path) -> Path | None:
    """The table in the folder, else beside it."""
    places = [place / name for place in (folder, folder.resolve().parent) for name in NAMES]
    return next((path for path in places if path.is_file()), None)


def summary(folder: Path) -> dict[str, Any]:
    """Numbers of photos: ``training``, ``held_out``, and ``sources``, rows of the training photos.

    Each of ``sources`` is [source, licence, photos], the largest first.
    """
    training, held_out = find_photos(folder)
    manifest = find_manifest(folder)
    rows: dict[str, dict[str, str]] = {}
    if manifest:
        with manifest.open(newline="", encoding="utf-8") as file:
            rows = {row.get("file") or "": row for row in csv.DictReader(file)}

    def origin(photo: Path) -> tuple[str, str]:
        row = rows.get(photo.name) or rows.get(photo.relative_to(folder).as_posix()) or {}
        return row.get("source") or UNKNOWN, row.get("licence") or UNKNOWN

    counts = Counter(origin(photo) for photo in training)
    return {
        "folder": str(folder.resolve()),
        "training": len(training),
        "held_out": len(held_out),
        "sources": [[*key, count] for key, count in counts.most_common()],
    }
