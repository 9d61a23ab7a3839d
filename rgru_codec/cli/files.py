"""Inputs and outputs: which files are meant, and reading no more of them than needed.

Every path that a command writes goes through `rgru_codec.cli.outputs.Outputs.claim` before work
begins, and through `write` when its bytes are ready.
"""

from __future__ import annotations

import contextlib
import dataclasses
import os
import stat
import sys
from collections.abc import Callable, Iterable, Iterator, Sequence
from pathlib import Path
from typing import IO, TYPE_CHECKING, BinaryIO

from rgru_codec.cli.status import UNUSABLE, USAGE, Failure, named
from rgru_codec.files import PICTURE_SUFFIXES as PICTURE_SUFFIXES
from rgru_codec.files import descriptor_of, write_file

if TYPE_CHECKING:
    from rgru_format import Limits

STREAM = "-"
"""Standard input or standard output."""

_NO_NAME = "there is no file name: an argument is empty"


@dataclasses.dataclass(frozen=True)
class Kind:
    """What a command writes."""

    words: str
    suffixes: frozenset[str]
    """Names of its own; a file that is there under another name is looked into."""
    signatures: tuple[bytes, ...] = ()
    """What files of this kind begin with."""
    writer: str = "the output of this command"
    place: str = "file with -o"
    """How the user names another."""
    way_out: str = "--force overwrites it"
    """What can be done where a file of another kind has the name."""


RGRU = Kind("a .rgru file", frozenset({".rgru"}), (b"\x89RGRU",))
PICTURE = Kind(
    "a picture",
    PICTURE_SUFFIXES,
    (
        *(
            b"\x89PNG",
            b"\xff\xd8",
            b"RIFF",
            b"GIF8",
            b"II*\0",
            b"MM\0*",
            b"BM",
            b"P4",
            b"P5",
            b"P6",
        ),
        *(b"\0\0\0\x0cjP  ", b"\0\0\0 ftyp", b"\0\0\0\x1cftyp", b"\0\0\0\x18ftyp", b"qoif"),
    ),
)
STEP = dataclasses.replace(PICTURE, place="folder with --steps")
THUMBNAIL = dataclasses.replace(
    PICTURE, place="file as OUT", way_out="name another file as OUT, or remove it"
)
ANIMATION = Kind(
    "an animation (.webp, .gif or .png)",
    frozenset({".webp", ".gif", ".png", ".apng"}),
    place="file with --animate",
)
LIST = Kind(
    "a list of file names",
    frozenset(),
    writer="what --failures writes",
    place="file with --failures",
)


@dataclasses.dataclass(frozen=True)
class Job:
    """One input and where its result goes; ``-`` is a standard stream."""

    source: str
    target: str
    derived: bool
    """The target's name was not given by the user: without ``force`` it overwrites nothing."""
    force: bool = False
    times: bool = False
    """The target gets the time of the source."""

    @property
    def shown_source(self) -> str:
        """The source's name for messages."""
        return display_name(self.source)

    @property
    def shown_target(self) -> str:
        """The target's name for messages."""
        return display_name(self.target, "standard output")


@dataclasses.dataclass(frozen=True)
class Plan:
    """What a command has to do."""

    jobs: list[Job]
    kind: Kind
    """Of the targets."""
    passed_over: int = 0
    """Files in folders that are of no kind that is meant."""
    read: tuple[str, ...] = ()
    """Further files that are read: of metadata."""
    many: bool = False
    """Whether more than one input, or a folder, is meant."""

    @classmethod
    def of(
        cls,
        inputs: Sequence[str],
        output: str | None,
        kind: Kind,
        suffix: str,
        suffixes: Callable[[], frozenset[str]],
        *,
        read: Iterable[str | None] = (),
        force: bool = False,
        times: bool = False,
        beside: bool = True,
    ) -> Plan:
        """Pair inputs with outputs.

        Without ``output`` the inputs may also be a file and the name of its result. ``suffix`` is
        that of derived names; ``suffixes`` tells which files of a folder are meant; with ``force``
        derived names may overwrite; ``beside`` says that results go beside their sources where
        there is no ``output``.
        """
        if output is None:
            inputs, output = _in_and_out(inputs, kind, suffix)
        others = tuple(name for name in read if name is not None)
        check_names(output, *inputs, *others)
        check_standard_input([*inputs, *others])
        found = [_expand(text, suffixes, kind) for text in inputs]
        pairs = [pair for one in found for pair in one.pairs]
        many = len(pairs) != 1 or any(one.folder for one in found)
        folder = _as_folder(output, many, kind)
        if folder is None and output is not None:
            jobs = [Job(pairs[0][0], output, False, force, times)]
        else:
            if folder is None and beside:
                _check_regular(source for source, _ in pairs)
            targets = [_derived(source, below, folder, suffix) for source, below in pairs]
            jobs = [
                Job(source, target, True, force, times)
                for (source, _), target in zip(pairs, targets, strict=True)
            ]
        return cls(jobs, kind, sum(one.passed_over for one in found), others, many)


def _in_and_out(inputs: Sequence[str], kind: Kind, suffix: str) -> tuple[Sequence[str], str | None]:
    """Take ``IN OUT`` apart: a file and the name of its result, which does not exist.

    Where something like it is meant, but what is not certain, it is refused.
    """
    if len(inputs) == 2 and inputs[1] == STREAM != inputs[0]:
        raise Failure(USAGE, "-: is standard input here; for standard output give -o -")
    meant = [text for text in inputs[1:] if Path(text).suffix.lower() in kind.suffixes]
    new = [text for text in meant if not _is_there(text)]
    if len(inputs) == 2 and new:
        return inputs[:1], inputs[1]
    if len(inputs) == 2 and not _is_there(inputs[1]) and _is_there(inputs[0]):
        new = [inputs[1]]
    if len(inputs) == 2 and meant:
        raise Failure(USAGE, f"{meant[0]}: exists; if it is to be overwritten, give -o {meant[0]}")
    if new and Path(new[0]).suffix.lower() in (PICTURE_SUFFIXES | RGRU.suffixes) - kind.suffixes:
        fitting = Path(new[0]).with_suffix(suffix)
        raise Failure(
            USAGE,
            f"{new[0]}: does not exist; if it is the output, that is {kind.words}: name it with "
            f"-o {fitting}",
        )
    if new:
        raise Failure(
            USAGE,
            f"{new[0]}: does not exist; if it is the output, name it with -o (a folder, or "
            "one file for one input)",
        )
    return inputs, None


def _is_folder(text: str) -> bool:
    """Tell whether a folder is named; what cannot be looked at fails when it is opened."""
    try:
        return Path(text).is_dir()
    except OSError:
        return False


def _is_there(text: str) -> bool:
    return text in ("", STREAM) or os.path.lexists(text) or bool(_matches(text))


@dataclasses.dataclass(frozen=True)
class _Found:
    """What an argument stands for."""

    pairs: list[tuple[str, Path]]
    """Files, and the paths of their results below an output folder."""
    passed_over: int = 0
    folder: bool = False
    """Whether a folder is among it."""


def _expand(text: str, suffixes: Callable[[], frozenset[str]], kind: Kind) -> _Found:
    if text == STREAM:
        return _Found([(STREAM, Path("stdin"))])
    matches = [] if os.path.lexists(text) else _matches(text)
    found: dict[str, Path] = {}
    passed_over = 0
    for match in matches or [text]:  # a name that matches nothing fails when it is opened
        if _is_folder(match):  # as the shell would hand it over
            meant, others = _in_folder(match, suffixes(), kind)
            found |= {str(path): path.relative_to(match) for path in meant} | found
            passed_over += others
        else:
            found.setdefault(match, Path(Path(match).name))
    if not found:
        raise Failure(
            UNUSABLE,
            f"{text}: the folder holds no files of a known kind; if it is for the output, "
            "name it with -o",
        )
    return _Found(list(found.items()), passed_over, any(map(_is_folder, matches or [text])))


def _in_folder(folder: str, suffixes: frozenset[str], kind: Kind) -> tuple[list[Path], int]:
    """Return the files that are meant in a folder and below, and how many others there are.

    Of those below one that cannot be looked into is among them, and fails when it is opened.
    """
    closed: list[Path] = []

    def keep(error: OSError) -> None:
        if error.filename == folder:
            raise error
        closed.append(Path(error.filename))

    files = [
        Path(place, name)
        for place, _, names in os.walk(folder, onerror=keep)
        for name in names
        if name[:2] != "._"  # macOS puts them beside NAME on foreign disks: its attributes
    ]
    meant = [p for p in files if p.suffix.lower() in suffixes and not _is_no_file(str(p))]
    known = suffixes | kind.suffixes  # results of an earlier run are no surprise
    others = [p for p in files if p.suffix.lower() not in known and p.name[0] != "."]
    return sorted(meant + closed), len(others)


def _matches(pattern: str) -> list[str]:
    import glob

    return sorted(glob.glob(pattern, recursive=True))  # noqa: PTH207 (absolute patterns)


def _as_folder(output: str | None, many: bool, kind: Kind) -> Path | None:
    """Return the output folder, or None if the output is a file, a stream or not given."""
    if output is None or output == STREAM:
        if many and output is not None:
            raise Failure(USAGE, "many inputs cannot go to standard output; give a folder with -o")
        return None
    path = Path(output)
    if path.is_dir() or output.endswith(("/", os.sep)):
        return path
    if many and path.exists():
        raise Failure(USAGE, f"{output}: there are many inputs, but this is not a folder")
    if many and path.suffix.lower() in PICTURE_SUFFIXES | kind.suffixes:
        raise Failure(
            USAGE,
            f"{output}: is the name of one file, for many inputs; give a folder with -o "
            f"({output}/ if that is to be its name)",
        )
    return path if many else None


def _derived(source: str, below: Path, folder: Path | None, suffix: str) -> str:
    if folder is not None:
        return str(folder / below.with_suffix(suffix))
    return STREAM if source == STREAM else str(Path(source).with_suffix(suffix))


def _check_regular(sources: Iterable[str]) -> None:
    """Refuse pipes and devices, beside which no result belongs."""
    for source in sources:
        if source != STREAM and (descriptor_of(source) is not None or _is_no_file(source)):
            raise Failure(USAGE, f"{source}: is no regular file; name the output with -o")


def _is_no_file(source: str) -> bool:
    """Tell whether a name is that of a pipe or a device; what is not there fails when opened."""
    try:
        return not stat.S_ISREG(Path(source).stat().st_mode)
    except (OSError, ValueError):
        return False


def read_rgru(source: str, limits: Limits) -> bytes:
    """Read a .rgru file or standard input, as long as it is one."""
    from rgru_codec.source import read_rgru as read

    with opened(source) as file:
        data = read(file, limits)
    if not data:
        raise _empty(source)
    return data


def pieces_of(source: str) -> Iterator[bytes]:
    """Yield a file, or standard input, a piece at a time."""
    from rgru_codec.source import pieces_of as pieces

    empty = True
    with opened(source) as file:
        for piece in pieces(file):
            empty = False
            yield piece
    if empty:
        raise _empty(source)


def _empty(source: str) -> Failure:
    return Failure(UNUSABLE, f"{display_name(source)}: is empty")


@contextlib.contextmanager
def opened(source: str) -> Iterator[BinaryIO | IO[bytes]]:
    """Open a file, or standard input."""
    if source == STREAM:
        if sys.stdin is None or sys.stdin.isatty():
            what = "closed" if sys.stdin is None else "a terminal"
            raise Failure(USAGE, f"standard input is {what}; give a file or a pipe")
        yield sys.stdin.buffer
        return
    if not source:
        raise Failure(USAGE, _NO_NAME)
    with Path(source).open("rb") as file:
        yield file


def display_name(name: str, stream: str = "standard input") -> str:
    """Return the name for messages."""
    return stream if name == STREAM else name


def _make_folder(folder: Path) -> None:
    try:
        folder.mkdir(parents=True, exist_ok=True)
    except (FileExistsError, NotADirectoryError):
        raise Failure(UNUSABLE, f"{folder}: cannot be made, a file is in the way") from None


def check_names(*names: str | None) -> None:
    """Refuse names that are empty, as of a variable that is not set."""
    if "" in names:
        raise Failure(USAGE, _NO_NAME)


def check_standard_input(names: Iterable[str]) -> None:
    """Refuse standard input where it is named again, since the first reader empties it."""
    found = [name for name in names if name == STREAM or descriptor_of(name) == 0]
    if len(found) > 1:
        words = "can be read once only; name it once"
        raise Failure(USAGE, f"{' '.join(found)}: standard input {words}")


def write(job: Job, content: bytes | memoryview) -> None:
    """Write the target of a job; if that is not possible nothing is left behind."""
    with named(job.shown_target):
        if job.target == STREAM:
            sys.stdout.buffer.write(content)
            sys.stdout.buffer.flush()
            return
        if job.derived:
            _make_folder(Path(job.target).parent)
        like = None
        if job.source != STREAM and stat.S_ISREG((found := Path(job.source).stat()).st_mode):
            like = found
        overwrite = job.force or not job.derived
        write_file(job.target, content, overwrite=overwrite, like=like, times=job.times)
