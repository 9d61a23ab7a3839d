"""Exit codes, and words for what went wrong."""

from __future__ import annotations

import contextlib
import errno
import math
import os
import sys
from collections.abc import Iterable, Iterator
from typing import TYPE_CHECKING

from rgru_codec.terminal import printable, tell

if TYPE_CHECKING:
    from rgru_format import LimitExceeded

DONE = 0
UNUSABLE = 1
USAGE = 2
CUT = 3
LIMIT = 4
MODEL = 5
INTERRUPTED = 130
_NO_MEMORY = ("failed to map segment", "annot allocate memory", "can't start new thread")

EPILOG = """\
exit codes:
  0    done
  1    a file cannot be used: not a picture, not a .rgru file, damaged, not readable or writable
  2    usage: an option is wrong, or does not fit the picture
  3    a .rgru file is cut short; its picture was written from what is there
  4    a limit is exceeded (raise it with --max-pixels or --max-memory)
  5    the model that a file needs is not installed
  130  interrupted

With several inputs: the code of the failures if they agree, otherwise 1.
"""


class Failure(Exception):  # noqa: N818
    """What a command could not do: an exit code and a message for the user."""

    def __init__(self, code: int, message: str) -> None:
        super().__init__(code, message)
        self.code = code
        self.message = message


@contextlib.contextmanager
def named(name: str) -> Iterator[None]:
    """Name the target in errors that do not (a full disk does not say which file it met)."""
    try:
        yield
    except BrokenPipeError:
        raise
    except FileExistsError:
        raise Failure(UNUSABLE, f"{name}: exists; --force overwrites it") from None
    except OSError as error:
        words = f"cannot be written: {_reason(error)}"
        if error.errno == errno.ENOSPC:
            words = "no space left on the device; nothing was written"
        raise Failure(UNUSABLE, f"{name}: {words}") from None


def write_out(text: str) -> None:
    """Write text to standard output, if there is one."""
    if sys.stdout is not None:
        with named("standard output"):
            try:
                sys.stdout.write(text)
                sys.stdout.flush()
            except OSError:
                discard_output()
                raise


def discard_output() -> None:
    """Let go what standard output did not take: Python would try again, and complain, at exit."""
    os.dup2(os.open(os.devnull, os.O_WRONLY), sys.stdout.fileno())


def show(line: str) -> None:
    """Print a line of an answer on standard output, if there is one."""
    write_out(printable(line, sys.stdout) + "\n")


def say(message: str) -> None:
    """Print a message on standard error, with the program's name."""
    tell(f"rgru: {message}")


def explain(error: BaseException, name: str = "") -> Failure:
    """Put an error that work on a file raised as exit code and words: what, where, what to do."""
    place = f"{name}: " if name else ""
    if isinstance(error, Failure):
        return error
    if _is_no_memory(error):
        return Failure(LIMIT, f"{place}not enough memory")
    if isinstance(error, OSError):
        other = error.filename is not None and str(error.filename) != name
        return Failure(UNUSABLE, place + _reason(error) + f": {error.filename}" * other)
    # The format's errors are imported only where something has failed.
    from rgru_format import InvalidInput, LimitExceeded, ModelMissing, RgruError, Unreadable

    if isinstance(error, LimitExceeded):
        return Failure(LIMIT, place + _limit_words(error))
    if isinstance(error, ModelMissing):
        return Failure(MODEL, place + str(error))
    if isinstance(error, InvalidInput) and not isinstance(error, Unreadable):
        return Failure(USAGE, f"{place}{error}")
    if isinstance(error, RgruError):
        return Failure(UNUSABLE, f"{place}{error}")
    return Failure(
        UNUSABLE,
        f"{place}unexpected {type(error).__name__}: {error}. This is a bug, please report it; "
        "RGRU_DEBUG=1 shows where it happened",
    )


def fail(error: BaseException, name: str = "") -> int:
    """Say what went wrong, as `explain` puts it; returns the exit code."""
    failure = explain(error, name)
    say(failure.message)
    return failure.code


def exit_code(codes: Iterable[int]) -> int:
    """Return the code of several inputs: that of the failures if they agree, otherwise 1."""
    bad = set(codes) - {DONE}
    return bad.pop() if len(bad) == 1 else UNUSABLE if bad else DONE


def _is_no_memory(error: BaseException) -> bool:
    """Tell whether memory ran out: Python, the system, libraries or threads say it."""
    if isinstance(error, MemoryError) or getattr(error, "errno", None) == errno.ENOMEM:
        return True
    words = str(error) if isinstance(error, ImportError | RuntimeError) else ""
    return any(sign in words for sign in _NO_MEMORY)


def _limit_words(error: LimitExceeded) -> str:
    value, counts = number(error.value), "is so thin that it counts as"
    words = {
        "max_pixels": f"the picture {counts if error.about == 'thin' else 'has'} {value} pixels",
        "max_memory": f"the picture needs about {value} bytes of memory",
        "max_metadata_bytes": f"the metadata takes {value} bytes",
    }.get(error.name)
    if words is None:
        return str(error)
    way = f"allow more with --{error.name.replace('_', '-')} {error.value}"
    if error.about == "file":  # that is not all it takes
        words = f"the picture's file alone has {value} bytes, and its pixels take more"
        way = "allow more than that with --max-memory"
    if error.name == "max_metadata_bytes":
        way = "compress can leave it out with --strip"
    return f"{words}, the limit is {number(error.limit)}; {way}"


def _reason(error: OSError) -> str:
    words = error.strerror or str(error) or type(error).__name__
    return words[:1].lower() + words[1:]


def finite(value: float) -> float | None:
    """Return what JSON can hold: None for infinity, the PSNR of pictures that are the same."""
    return value if math.isfinite(value) else None


def words_of_psnr(value: float | None, digits: int) -> str:
    """Write ``31.4 dB`` of what `finite` gives."""
    return "infinite" if value is None else f"{value:.{digits}f} dB"


def layer_count(layers: int, groups: int = 0) -> str:
    """Write ``3 layers and 1 group of the next``."""
    words = counted(layers, "layer")
    if groups:
        words += f" and {counted(groups, 'group')} of the next"
    return words


def counted(value: int, what: str) -> str:
    """Write ``1 byte``, ``12 345 bytes``."""
    return f"{number(value)} {what}{'s' * (value != 1)}"


def are(value: int) -> str:
    """Return the verb that goes with a count."""
    return "is" if value == 1 else "are"


def number(value: int) -> str:
    """Write 12345 as ``12 345``."""
    return f"{value:,}".replace(",", " ")
