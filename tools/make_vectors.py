"""Write conformance vectors, or random valid files for testing other programs.

    python -m tools.make_vectors                             # adds vectors that are missing
    python -m tools.make_vectors --random 100 --seed 7 --out /tmp/files

The script leaves existing files alone and appends new ones to the list of hashes. What a release
had is never edited or replaced. SPEC section 12 describes the folder.
"""

from __future__ import annotations

import argparse
import hashlib
import json
from collections.abc import Iterable, Iterator
from pathlib import Path
from typing import Any

from rgru_format import (
    inspect,
)
from rgru_format.conformance import VECTORS, decode_vector
from tools.invalid_vectors import invalid
from tools.random_files import random_file
from tools.valid_vectors import CONTEXTS, valid


def describe(data: bytes) -> dict[str, Any]:
    """Return what a decoder has to find in a valid vector."""
    models = {make().digest()[:4]: (name, make()) for name, make in CONTEXTS.items()}
    name, _ = models[inspect(data).header.model_id]
    return {"context": f"{name}.bin"} | decode_vector(data, lambda one: models[one][1])


def _sha256(data: bytes) -> str:
    return hashlib.sha256(data).hexdigest()


def vectors() -> Iterator[tuple[str, bytes]]:
    """Yield path and content of every file of the folder but SHA256SUMS."""
    for name, make in CONTEXTS.items():
        yield f"context/{name}.bin", make().to_bytes()
    for name, data in valid():
        yield f"valid/{name}.rgru", data
        yield f"valid/{name}.json", _json(describe(data))
    for name, data, expected in invalid():
        yield f"invalid/{name}.rgru", data
        yield f"invalid/{name}.json", _json(expected)


def _json(value: dict[str, Any]) -> bytes:
    return (json.dumps(value, indent=1) + "\n").encode()


def write_vectors(folder: Path) -> int:
    """Add the files that are missing, and a line for each to the list; return how many."""
    return add_files(folder, vectors())


def add_files(folder: Path, files: Iterable[tuple[str, bytes]]) -> int:
    """Add files (path, content) that are missing, and a line for each to the list."""
    added = []
    for path, data in files:
        target = folder / path
        if not target.exists():
            target.parent.mkdir(parents=True, exist_ok=True)
            target.write_bytes(data)
            added.append(f"{_sha256(data)}  {path}\n")
    with list_of(folder).open("a") as sums:
        sums.writelines(added)
    return len(added)


def list_of(folder: Path) -> Path:
    """Return the list of hashes, which only grows."""
    return folder / "SHA256SUMS"


def write_random(folder: Path, count: int, seed: int) -> None:
    """Write random valid files and their descriptions, as in vectors/valid."""
    folder.mkdir(parents=True, exist_ok=True)
    models = [CONTEXTS[name]() for name in ("tiny", "mixed")]
    for number in range(seed, seed + count):
        model = models[number % len(models)]
        data = random_file(number, model, model.digest()[:4])
        (folder / f"random_{number}.rgru").write_bytes(data)
        (folder / f"random_{number}.json").write_bytes(_json(describe(data)))


def main() -> None:
    """Read the command line."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0] if __doc__ else None)
    parser.add_argument("--random", type=int, metavar="N", help="write N random valid files")
    parser.add_argument("--seed", type=int, default=0, help="of the first random file")
    parser.add_argument("--out", type=Path, default=VECTORS, help="folder to write to")
    arguments = parser.parse_args()
    if arguments.random is not None:
        write_random(arguments.out, arguments.random, arguments.seed)
    else:
        print(f"{write_vectors(arguments.out)} files added to {arguments.out}")


if __name__ == "__main__":
    main()
