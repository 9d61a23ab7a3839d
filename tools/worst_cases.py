"""What the most expensive files of 64 KB cost, for the table of SPEC's section on security.

    python -m tools.worst_cases                 # all cases: some 20 minutes of processor time
    python -m tools.worst_cases --part 16       # a 16th of the largest pictures, for a busy machine
    python -m tools.worst_cases --only alpha metadata

Each file goes to the limit of one field and is read by a process of its own, first as far as its
codes and then to its picture. Time is that of the processor, summed over cores; memory is the peak
of the process (Linux tells it) above that of one that reads a file of 16 x 16 pixels. Codes and
pixels are those of the installed model. The files are short, since empty streams are legal.
"""

from __future__ import annotations

import argparse
import json
import math
import subprocess
import sys
import tempfile
import zlib
from collections.abc import Callable, Iterator
from pathlib import Path

from rgru_format import BOX_ALPHA, BOX_EXIF, POSITION, Box, Header, Writer
from rgru_format.container import pack_box, pack_group, pack_head
from rgru_format.limits import MAX_GROUPS, MAX_LAYERS, largest_payload

LARGEST = 2**16
"""Bytes of a file."""
SIDE = 2**13
"""Of the largest square picture within the limit on pixels."""
STRIP = 17
"""Of the strip with the most positions for its pixels."""
LENGTH = 2**14
"""Of the longest picture of one pixel's width that the limits allow."""


def empty(width: int, height: int, layers: int | None = None, *boxes: bytes) -> bytes:
    """Return a file whose groups hold no bytes; elements of boxes stand behind layer 1."""
    from rgru_codec import default_model

    model = default_model()
    writer = Writer(Header(width, height, model.id, alpha=any(b"ALPH" in box for box in boxes)))
    parts = [b""]
    for number, groups in enumerate(model.context().groups[:layers]):
        before = writer.size
        writer.add_layer([b""] * groups)
        parts += [writer.getvalue()[before:], *(boxes if number == 0 else ())]
    return writer.header.pack() + b"".join(parts)


def alpha(width: int, height: int) -> bytes:
    """Return a file of no layers whose alpha plane is as large as its limit on pixels allows."""
    stream, rows = zlib.compressobj(9), max(1, 2**16 // width)
    row = bytes([1]) + bytes(width)
    content = b"".join(stream.compress(rows * row) for _ in range(height // rows))
    content += stream.compress(height % rows * row) + stream.flush()
    header = Header(width, height, _model_id(), alpha=True)
    return header.pack() + pack_box(Box(BOX_ALPHA, content))


def full() -> bytes:
    """Return a file whose only group is as long as its codes allow."""
    from rgru_codec import default_model

    model = default_model()
    start, stop = model.context().layers[0].bounds[0]
    rows = (LARGEST - 100) // largest_payload(1, stop - start)
    header = Header(POSITION, POSITION * rows, model.id)
    return header.pack() + pack_group(bytes(largest_payload(rows, stop - start)), 0, True)


def many() -> bytes:
    """Return a file of as many groups as it may have, of a model that is not at hand."""
    writer = Writer(Header(16, 16, b"none"))
    for _ in range(MAX_LAYERS):
        writer.add_layer([b""] * MAX_GROUPS)
    return writer.getvalue()


def _model_id() -> bytes:
    from rgru_codec import default_model

    return default_model().id


def _small(*elements: bytes) -> bytes:
    return empty(16, 16, 0) + b"".join(elements)


Case = tuple[str, Callable[[], bytes]]


def cases(part: int) -> dict[str, Case]:
    """Return words and file of each case; pictures have a part of the pixels that are allowed."""
    side, long = math.isqrt(SIDE**2 // part), SIDE**2 // part // STRIP
    square, thin, strip = f"{side} x {side}", f"1 x {LENGTH}", f"{STRIP} x {long}"
    return {
        "nothing": ("one layer of 16 x 16 pixels", lambda: empty(16, 16, 1)),
        "header": ("width, height: 16777215 x 1", lambda: empty(2**24 - 1, 1, 1)),
        "square_1": (f"pixels: {square}, one layer", lambda: empty(side, side, 1)),
        "strip_1": (f"positions: {strip}, one layer", lambda: empty(STRIP, long, 1)),
        "square": (f"pixels: {square}, all layers", lambda: empty(side, side)),
        "strip": (f"positions: {strip}, all layers", lambda: empty(STRIP, long)),
        "thin": (f"positions: {thin}, all layers", lambda: empty(1, LENGTH)),
        "payload": ("payload of a group, one layer", full),
        "groups": ("64 layers of 64 groups, of a model that is not installed", many),
        "alpha": ("`ALPH` of 8192 x 6200, no layer", lambda: alpha(SIDE, 6200)),
        "alpha_strip": (f"`ALPH` of {STRIP} x 1048576, no layer", lambda: alpha(STRIP, 2**20)),
        "metadata": (
            "metadata: 16 MiB in a deflated `exif` box",
            lambda: _small(pack_box(Box(BOX_EXIF, bytes(2**24 - 4)))),
        ),
        "boxes": ("256 boxes", lambda: _small(256 * pack_box(Box(b"note", bytes(240))))),
        "length": (
            "length of a payload: 2^30 - 1 claimed",
            lambda: _small(pack_head(2, 2**30 - 1) + b"\0\0note"),
        ),
        "behind": ("64 KB behind the last layer", lambda: empty(16, 16).ljust(LARGEST, b"\0")),
    }


READ = """
import json, sys, time
import rgru_codec
from rgru_format import Limits, RgruError, check
from rgru_codec.models import known_context
how, path = sys.argv[1:]
said = "read"
try:
    if how == "codes":
        check(open(path, "rb").read(), Limits(), known_context)[0].sound()
    else:
        rgru_codec.decompress(path)
except RgruError as error:
    said = type(error).__name__
peak = next(line for line in open("/proc/self/status") if line.startswith("VmHWM:"))
print(json.dumps([said, time.process_time(), int(peak.split()[1]) / 1024]))
"""


def measure(how: str, path: Path) -> tuple[str, float, float]:
    """Return how reading a file ended, its seconds, and the peak of memory in MiB."""
    done = subprocess.run(
        [sys.executable, "-c", READ, how, str(path)], capture_output=True, check=True, text=True
    )
    said, seconds, memory = json.loads(done.stdout)
    return said, seconds, memory


def rows(every: dict[str, Case], names: list[str]) -> Iterator[str]:
    """Yield the table's rows."""
    with tempfile.TemporaryDirectory() as folder:
        idle: dict[str, tuple[float, float]] = {}
        for name in dict.fromkeys(["nothing", *names]):
            words, make = every[name]
            path = Path(folder) / f"{name}.rgru"
            path.write_bytes(make())
            assert path.stat().st_size <= LARGEST, name
            cells = [words, f"{path.stat().st_size:,}".replace(",", " ")]
            for how in ("codes", "picture"):
                said, seconds, memory = measure(how, path)
                least = idle.setdefault(how, (seconds, memory))
                seconds, memory = max(seconds - least[0], 0), max(memory - least[1], 0)
                cost = f"{seconds:.1f} s, {memory:.0f} MiB"
                cells.append(cost if said == "read" else f"{cost} ({said})")
            if name in names:
                yield "| " + " | ".join(cells) + " |"


def main() -> None:
    """Read the command line."""
    parser = argparse.ArgumentParser(description=(__doc__ or "").splitlines()[0])
    parser.add_argument("--only", nargs="+", choices=list(cases(1))[1:])
    parser.add_argument("--part", type=int, default=1, help="of the largest pictures")
    args = parser.parse_args()
    every = cases(args.part)
    print("| to the limit | bytes | codes | picture |\n|---|---:|---:|---:|")
    for row in rows(every, args.only or list(every)[1:]):
        print(row, flush=True)


if __name__ == "__main__":
    main()
