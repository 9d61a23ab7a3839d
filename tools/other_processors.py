"""Decode the conformance vectors on other processors and with other arithmetic.

    python -m tools.other_processors --root build/processors

On this machine: numpy without the newer vector instructions, and each kernel of OpenBLAS. Under
emulation: the entropy stage and the independent reader, with Debian's Python and numpy for arm64
(pixels too) and for s390x, which is big-endian. Needs a Debian machine, for apt-get and dpkg-deb,
which fetch and unpack without installing anything, and an hour of one core. Prints a table for
docs/measured.md; --write puts it there. What fails is named, and the exit code is 1.
"""

from __future__ import annotations

import argparse
import dataclasses
import json
import os
import platform
import signal
import subprocess
import sys
import time
from collections.abc import Iterator, Mapping, Sequence
from pathlib import Path

from tools.refresh import DOCS, ROOT, put

VECTORS = ROOT / "format" / "vectors"
READER = ROOT / "tests" / "format" / "independent_reader.py"
NUMPY = ("python3-minimal", "python3-numpy", "python3-threadpoolctl", "libopenblas0-pthread")
PIXELS = ("python3-pil", "python3-platformdirs")
OLD_CPU = "SSE41 SSE42 POPCNT AVX F16C FMA3 AVX2 AVX512F AVX512CD AVX512_SKX X86_V2 X86_V3 X86_V4"
"""Whatever of these a release of numpy has; those that it cannot switch off are left out."""
KERNELS = ("Prescott", "Nehalem", "Sandybridge", "Haswell", "Zen", "SkylakeX")
ARM_KERNELS = ("ARMV8", "CORTEXA53", "NEOVERSEN1")

CODES = """
import json, sys
import numpy
from pathlib import Path
from rgru_format import coder
from rgru_format.conformance import run_vectors
from threadpoolctl import threadpool_info
results = run_vectors(Path(sys.argv[1]))
if sys.argv[2:]:
    from rgru_codec.vectors import check_pixels
    results += check_pixels(Path(sys.argv[1]))
blas = [pool["architecture"] for pool in threadpool_info() if pool["user_api"] == "blas"]
print(json.dumps({
    "numpy": numpy.__version__, "order": sys.byteorder, "blas": blas[0] if blas else "none",
    "coder": "constriction" if coder._library() else "plain Python", "number": len(results),
    "wrong": [f"{one.name}: {one.problem}" for one in results if one.problem],
}))
"""
FEATURES = """
import os
os.environ.pop("NPY_DISABLE_CPU_FEATURES", None)
from numpy._core._multiarray_umath import __cpu_dispatch__, __cpu_features__
print(*[name for name in __cpu_dispatch__ if __cpu_features__.get(name)])
"""


@dataclasses.dataclass(frozen=True)
class Architecture:
    """One that qemu emulates and Debian has packages of."""

    name: str
    """As Debian has it."""
    qemu: str
    """As qemu and the compiler have it."""
    suite: str
    """Of Debian: of s390x the mirrors lack parts of newer ones."""
    kernels: Sequence[str]
    """Of OpenBLAS, beside the one that it chooses."""
    pixels: bool


ARCHITECTURES = (
    Architecture("arm64", "aarch64", "trixie", ARM_KERNELS, pixels=True),
    Architecture("s390x", "s390x", "bookworm", (), pixels=False),
)


@dataclasses.dataclass(frozen=True)
class Machine:
    """A way to run Python."""

    words: str
    command: Sequence[object]
    environment: Mapping[str, str] = dataclasses.field(default_factory=dict)
    pixels: bool = False

    def python(self, *arguments: object) -> str:
        """Return what Python prints with these arguments; a failure raises CalledProcessError."""
        environment = {"OPENBLAS_NUM_THREADS": "1", "PYTHONDONTWRITEBYTECODE": "1"}
        return subprocess.run(
            [str(word) for word in (*self.command, *arguments)],
            check=True,
            cwd=ROOT,
            env={**os.environ, **environment, **self.environment},
            stdout=subprocess.PIPE,
            text=True,
        ).stdout


def main() -> None:
    """Parse the command line, run all machines, print or write the table."""
    parser = argparse.ArgumentParser(description="Decode the vectors on other processors.")
    parser.add_argument("--root", type=Path, default=ROOT / "build" / "processors")
    parser.add_argument("--only", nargs="+", choices=["here", "arm64", "s390x"])
    parser.add_argument("--write", action="store_true", help="into docs/measured.md")
    options = parser.parse_args()
    wanted = options.only or ["here", "arm64", "s390x"]
    rows, wrong = [], []
    for machine in machines(options.root.resolve(), wanted):
        try:
            row, faults = decode(machine)
        except subprocess.CalledProcessError as error:
            if error.returncode != -signal.SIGILL:
                raise
            print(f"left out, since this processor has not its instructions: {machine.words}")
            continue
        print(row, *faults, sep="\n", flush=True)
        rows.append(row)
        wrong += faults
    table = "\n".join([*HEAD, *rows])
    if options.write and not wrong:
        put(DOCS / "measured.md", "processors", f"\n{table}\n")
    if wrong:
        raise SystemExit(f"{len(wrong)} vectors are not as they should be")


HEAD = (
    "| machine | numpy | kernel of BLAS | range coder | vectors | seconds |",
    "| --- | --- | --- | --- | --- | ---: |",
)


def decode(machine: Machine) -> tuple[str, list[str]]:
    """Run both decoders on a machine; return the row of the table and what went wrong."""
    start = time.monotonic()
    words = ["pixels"] if machine.pixels else []
    found = json.loads(machine.python("-c", CODES, VECTORS, *words))
    independent = independently(machine)
    faults = [f"{machine.words}: {fault}" for fault in [*found["wrong"], *independent]]
    checked = "codes, pixels" if machine.pixels else "codes"
    outcome = f"{found['number']} ({checked}), {len(faults)} wrong"
    cells = (
        f"{machine.words}, {found['order']}-endian",
        found["numpy"],
        found["blas"],
        found["coder"],
        outcome,
        f"{time.monotonic() - start:.0f}",
    )
    return f"| {' | '.join(cells)} |", faults


def independently(machine: Machine) -> Iterator[str]:
    """Hold what the independent reader prints against the descriptions of the vectors.

    It uses integers of Python alone: one run on each processor is enough.
    """
    if machine.environment:
        return
    for kind in ("valid", "invalid"):
        expected = {}
        for path in sorted((VECTORS / kind).glob("*.json")):
            table = json.loads(path.read_text("utf-8"))
            if "context" in table or kind == "invalid":  # not those of an installed model
                table.pop("context", None)
                expected[path.stem] = table
        files = [VECTORS / kind / f"{name}.rgru" for name in expected]
        found = json.loads(machine.python("-I", "-S", READER, VECTORS / "context", *files))
        for name in sorted(expected):
            if found.get(name) != expected[name]:
                yield f"independent reader: {kind}/{name}: {found.get(name)}"


def machines(root: Path, wanted: Sequence[str]) -> Iterator[Machine]:
    """Yield this machine in its disguises, then those under emulation."""
    if "here" in wanted:
        yield from here()
    for architecture in ARCHITECTURES:
        if architecture.name in wanted:
            yield from emulated(root, architecture)


def here() -> Iterator[Machine]:
    """Yield this machine as it is, with older instructions, with each kernel of OpenBLAS."""
    name, path = platform.machine(), {"PYTHONPATH": f"{ROOT}{os.pathsep}{ROOT / 'format'}"}
    os.environ.update(path)
    command = (sys.executable,)
    plain = Machine(name, command, pixels=True)
    yield plain
    features = [one for one in plain.python("-c", FEATURES).split() if one in OLD_CPU.split()]
    without = {"NPY_DISABLE_CPU_FEATURES": " ".join(features)}
    yield Machine(f"{name} without {', '.join(features)}", command, without, pixels=True)
    for kernel in KERNELS:
        environment = {"OPENBLAS_CORETYPE": kernel}
        yield Machine(f"{name}, `OPENBLAS_CORETYPE={kernel}`", command, environment)


def emulated(root: Path, architecture: Architecture) -> Iterator[Machine]:
    """Yield an emulated processor, fetched first, with each kernel of OpenBLAS."""
    qemu = fetch_qemu(root) / f"qemu-{architecture.qemu}-static"
    wanted = [*NUMPY, *(PIXELS if architecture.pixels else ())]
    tree = fetch(root / architecture.name, architecture.name, architecture.suite, wanted)
    python = next(tree.glob("usr/bin/python3.[0-9]*"))
    inside = {
        "LD_LIBRARY_PATH": f"{tree}/usr/lib/{architecture.qemu}-linux-gnu/openblas-pthread",
        "PYTHONPATH": f"{tree}/usr/lib/python3/dist-packages:{ROOT}:{ROOT / 'format'}",
    }
    for kernel in (None, *architecture.kernels):
        own = inside | ({"OPENBLAS_CORETYPE": kernel} if kernel else {})
        passed = [word for item in own.items() for word in ("-E", "=".join(item))]
        command = (qemu, "-L", tree, *passed, python)
        words = f"{architecture.name} (qemu)" + (
            f", `OPENBLAS_CORETYPE={kernel}`" if kernel else ""
        )
        marks = {"OPENBLAS_CORETYPE": kernel} if kernel else {}
        yield Machine(words, command, marks, pixels=architecture.pixels and not kernel)


def fetch_qemu(root: Path) -> Path:
    """Unpack this system's qemu-user-static; return the folder of its programs."""
    folder = root / "qemu"
    if not folder.is_dir():
        (root / "debs").mkdir(parents=True, exist_ok=True)
        subprocess.run(["apt-get", "download", "qemu-user-static"], check=True, cwd=root / "debs")
        for deb in (root / "debs").glob("qemu-user-static*.deb"):
            subprocess.run(["dpkg-deb", "-x", deb, folder], check=True)
    return folder / "usr" / "bin"


def fetch(folder: Path, architecture: str, suite: str, packages: Sequence[str]) -> Path:
    """Unpack packages of Debian and what they need; return the folder, a root for ``qemu -L``.

    A package that the mirror lacks is passed over: Python says what is missing that it needs.
    """
    tree = folder / "root"
    if tree.is_dir():
        return tree
    for part in ("lists/partial", "archives/partial"):
        (folder / part).mkdir(parents=True, exist_ok=True)
    (folder / "status").touch()
    key = "/usr/share/keyrings/debian-archive-keyring.gpg"
    source = f"deb [signed-by={key}] http://deb.debian.org/debian {suite} main\n"
    (folder / "sources.list").write_text(source)
    settings = {
        "APT::Architecture": architecture,
        "APT::Architectures": architecture,
        "APT::Install-Recommends": "false",
        "APT::Sandbox::User": "root",
        "Dir::State": folder,
        "Dir::State::status": folder / "status",
        "Dir::State::lists": folder / "lists",
        "Dir::Cache": folder,
        "Dir::Etc::sourcelist": folder / "sources.list",
        "Dir::Etc::sourceparts": "/dev/null",
        "Dir::Etc::preferencesparts": "/dev/null",
    }
    apt = ["apt-get", *(f"-o{key}={value}" for key, value in settings.items())]
    subprocess.run([*apt, "--quiet", "update"], check=True)
    plan = subprocess.run(
        [*apt, "--simulate", "install", *packages], check=True, capture_output=True, text=True
    ).stdout
    names = [line.split()[1] for line in plan.splitlines() if line.startswith("Inst ")]
    subprocess.run([*apt, "--quiet", "download", *names], check=False, cwd=folder / "archives")
    for deb in sorted((folder / "archives").glob("*.deb")):
        subprocess.run(["dpkg-deb", "-x", deb, tree], check=True)
    for name in ("lib", "lib64"):  # links that the system's own installer makes
        if not (tree / name).exists():
            (tree / name).symlink_to(f"usr/{name}")
    return tree


if __name__ == "__main__":
    main()
