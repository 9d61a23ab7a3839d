"""Which files may be written: what outputs must not harm."""

from __future__ import annotations

import os
import sys
from collections.abc import Iterable
from pathlib import Path

from rgru_codec.cli.files import LIST, PICTURE_SUFFIXES, RGRU, STREAM, Kind, check_names
from rgru_codec.cli.status import UNUSABLE, USAGE, Failure
from rgru_codec.files import descriptor_of


class Outputs:
    """The paths that a command is about to write: what each of them must not harm."""

    def __init__(self, inputs: Iterable[str]) -> None:
        self._inputs = {i for name in inputs if (i := _identity(name)) is not None}
        self._claimed: set[object] = set()

    def claim(self, target: str, kind: Kind, *, derived: bool = False, force: bool = False) -> None:
        """Refuse a target before any work is spent on it, with `Failure`.

        ``derived``: its name comes from that of an input, rather than from the user; then it
        overwrites nothing, unless ``force`` says so.
        """
        descriptor = 1 if target == STREAM else descriptor_of(target)
        if descriptor is not None:
            if descriptor == 1 and sys.stdout is None:
                raise Failure(USAGE, f"standard output is closed; name a {kind.place}")
            if kind is not LIST and _is_terminal(descriptor):
                raise Failure(
                    USAGE,
                    f"not writing binary data to a terminal; name a {kind.place}, or use a pipe",
                )
            return
        check_names(target)
        path = Path(target)
        if path.is_dir():
            raise Failure(UNUSABLE, f"{target}: is a folder")
        self._claim_once(target, kind)
        if derived and path.exists() and not path.is_file():
            raise Failure(UNUSABLE, f"{target}: is a pipe or a device; name another {kind.place}")
        if path.suffix.lower() in (PICTURE_SUFFIXES | RGRU.suffixes) - kind.suffixes:
            raise Failure(USAGE, f"{target}: {kind.writer} is {kind.words}")
        if derived and not force and os.path.lexists(target):
            raise Failure(UNUSABLE, f"{target}: exists; --force overwrites it")
        if path.is_file():
            _check_existing(path, target, kind, force)
        elif not derived and not path.parent.is_dir():
            if os.path.lexists(path.parent):
                raise Failure(UNUSABLE, f"{target}: {path.parent} is not a folder")
            raise Failure(UNUSABLE, f"{target}: the folder {path.parent} does not exist")

    def _claim_once(self, target: str, kind: Kind) -> None:
        """Refuse what is read, and what is written already."""
        identity = _identity(target)
        if identity is not None and identity in self._inputs:
            raise Failure(USAGE, f"{target}: is the input; name another {kind.place}")
        key = identity or os.path.realpath(target)
        if key in self._claimed and (identity is None or Path(target).is_file()):
            raise Failure(USAGE, f"{target}: two outputs cannot go to one file")
        self._claimed.add(key)


def _check_existing(path: Path, target: str, kind: Kind, force: bool) -> None:
    from rgru_codec.models import is_part

    found = path.stat()
    if is_part(Path(os.path.realpath(path))):
        raise Failure(USAGE, f"{target}: is part of a model; name another {kind.place}")
    if not (found.st_mode & 0o222 and os.access(path, os.W_OK)):
        raise Failure(UNUSABLE, f"{target}: is write-protected")
    suffix = Path(os.path.realpath(path)).suffix.lower()  # of what a link points to
    told = suffix in kind.suffixes and found.st_nlink == 1  # a further name may say otherwise
    if kind.signatures and not force and not told:
        with path.open("rb") as file:
            head = file.read(16)
        if head and not head.startswith(kind.signatures):
            raise Failure(UNUSABLE, f"{target}: exists, and is not {kind.words}; {kind.way_out}")


def _identity(name: str) -> tuple[int, int] | None:
    """Return what two names of one file have in common; None if there is no such file."""
    try:
        found = Path(name).stat()
    except (OSError, ValueError):
        return None
    return found.st_dev, found.st_ino


def _is_terminal(descriptor: int) -> bool:
    return sys.stdout.isatty() if descriptor == 1 else os.isatty(descriptor)
