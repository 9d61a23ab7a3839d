"""Build the wheel, install it in fresh environments and run the tests against it: make wheel-test.

An environment gets the wheel alone first and has to compress, decompress and verify the
conformance vectors; then the extra ``eval`` and what the tests need, never TensorFlow. The tests
run in a copy of the checkout that lacks the packages, so that only the installed ones are there.

    python -m tools.wheel_test                       the Python that runs this
    python -m tools.wheel_test --python 3.10 3.13    others, by number or path
    python -m tools.wheel_test --lowest              the lowest versions that pyproject.toml allows
    python -m tools.wheel_test --tests tests/format  some of the tests
"""

from __future__ import annotations

import argparse
import os
import shutil
import subprocess
import sys
import tarfile
import tempfile
import zipfile
from collections.abc import Mapping, Sequence
from pathlib import Path

ROOT = Path(__file__).parents[1]
PACKAGES = ("rgru_codec", "rgru_format", "rgru_train", "rgru_eval")
ROOMS = ("rgru_codec", "format/rgru_format", "train/rgru_train", "eval/rgru_eval", "web")
"""What the copy lacks: the packages, and the browser decoder, which has its own tests."""
MODELS = ROOT / "models"
LARGEST_WHEEL = 15e6
TESTS = (
    "tests/test_architecture.py",
    "tests/test_released.py",
    "tests/format",
    "tests/codec",
    "tests/cli",
    "tests/eval",
)
"""Not those of training, of Beam and of the web, nor those that read the sources of a checkout."""
FOR_TESTS = ("hypothesis", "imageio", "pytest", "safetensors", "scikit-image", "sybil")
SMALL_DEMO = """
from PIL import Image
import rgru_codec
data = rgru_codec.compress(Image.linear_gradient("L").convert("RGB"), layers=2)
assert rgru_codec.decompress(data).size == (256, 256)
"""


def main() -> None:
    """Parse the command line and test each Python; exit code 1 if one fails."""
    parser = argparse.ArgumentParser(description="Run the tests against the built wheel.")
    parser.add_argument("--python", nargs="+", default=[sys.executable], metavar="PYTHON")
    parser.add_argument("--lowest", action="store_true", help="lowest versions of dependencies")
    parser.add_argument("--wheel", type=Path, help="this one instead of building one")
    parser.add_argument("--tests", nargs="+", default=TESTS)
    options = parser.parse_args()
    with tempfile.TemporaryDirectory(prefix="rgru-wheel-") as folder:
        place = Path(folder)  # no folder of a checkout: git and pip would find it
        wheel = options.wheel or build(place / "dist")
        look_into(wheel)
        models = [build_model(path, place / "models") for path in sorted(MODELS.iterdir())]
        copy = copy_of_tests(place / "checkout")
        failed = [
            python
            for number, python in enumerate(options.python)
            if not passes(
                place / f"environment{number}",
                python,
                wheel.resolve(),
                models,
                copy,
                options.tests,
                lowest=options.lowest,
            )
        ]
    if failed:
        raise SystemExit(f"the wheel does not work with {', '.join(failed)}")


def run(*command: object, cwd: Path = ROOT, **more: str) -> None:
    """Run a program; a failure ends this one."""
    clean = {key: value for key, value in os.environ.items() if key != "PYTHONPATH"}
    print("$", *command, flush=True)
    subprocess.run([str(word) for word in command], check=True, cwd=cwd, env=clean | more)


def build(folder: Path) -> Path:
    """Build the sdist and, from it, the wheel; both are kept in ``dist/`` too.

    Returns:
        The wheel.
    """
    run(sys.executable, "-m", "build", "--outdir", folder)
    made = sorted(folder.iterdir())
    look_into_source(made[-1])
    run(sys.executable, "-m", "twine", "check", "--strict", *made)
    shutil.copytree(folder, ROOT / "dist", dirs_exist_ok=True)
    return next(path for path in made if path.suffix == ".whl")


def build_model(source: Path, folder: Path) -> Path:
    """Build and return the wheel of a model's own distribution."""
    folder = folder / source.name
    run(sys.executable, "-m", "build", "--wheel", "--outdir", folder, source)
    (wheel,) = folder.iterdir()
    run(sys.executable, "-m", "twine", "check", "--strict", wheel)
    shutil.copy2(wheel, ROOT / "dist")
    if wheel.stat().st_size > LARGEST_WHEEL:
        raise SystemExit(f"{wheel.name} has {wheel.stat().st_size:,} bytes")
    return wheel


def look_into_source(sdist: Path) -> None:
    """Hold the sdist against what is tracked or would be."""
    with tarfile.open(sdist) as archive:
        names = {name.partition("/")[2] for name in archive.getnames()}
    if others := sorted(names - {"PKG-INFO", *listed()}):
        raise SystemExit(f"{sdist.name}: {len(others)} files of no checkout, as {others[0]}")


def look_into(wheel: Path) -> None:
    """Hold the wheel's size and content against what users need."""
    names = zipfile.ZipFile(wheel).namelist()
    others = [
        name for name in names if name.split("/")[0] not in PACKAGES and ".dist-info/" not in name
    ]
    tests = [name for name in names if "test" in Path(name).stem.lower()]
    untyped = [name for name in PACKAGES if f"{name}/py.typed" not in names]
    if others or tests or untyped:
        raise SystemExit(f"{wheel.name}: not for users {others + tests}, untyped {untyped}")
    size = wheel.stat().st_size
    if size > LARGEST_WHEEL:
        raise SystemExit(f"{wheel.name} has {size:,} bytes, more than {LARGEST_WHEEL:,.0f}")
    print(f"{wheel.name}: {size:,} bytes, {len(names)} files", flush=True)


def listed() -> list[str]:
    """The files of the checkout that are tracked or would be."""
    command = ["git", "ls-files", "-z", "--cached", "--others", "--exclude-standard"]
    found = subprocess.run(command, check=True, cwd=ROOT, capture_output=True, text=True).stdout
    return [name for name in found.split("\0") if (ROOT / name).is_file()]


def copy_of_tests(folder: Path) -> Path:
    """Copy what is tracked or would be, without the packages."""
    for name in listed():
        inside = any(name.startswith(f"{room}/") for room in ROOMS)
        if not inside:
            (folder / name).parent.mkdir(parents=True, exist_ok=True)
            shutil.copy2(ROOT / name, folder / name)
    return folder


def passes(
    environment: Path,
    python: str,
    wheel: Path,
    models: Sequence[Path],
    copy: Path,
    tests: Sequence[str],
    *,
    lowest: bool,
) -> bool:
    """Whether the wheels install in a fresh environment and the tests pass there."""
    inside = environment / ("Scripts" if os.name == "nt" else "bin") / "python"
    rgru = [inside, "-m", "rgru_codec.cli"]
    try:
        uv("venv", "--quiet", "--python", python, environment)
        pins = pinned(environment, inside) if lowest else []
        install = ("pip", "install", "--quiet", "--python", inside, "--only-binary", ":all:", *pins)
        uv(*install, wheel)
        run(*rgru, "--version", cwd=copy)
        run(inside, "-c", SMALL_DEMO, cwd=copy)
        run(*rgru, "verify", "--vectors", copy / "format" / "vectors", cwd=copy)
        for model in models:
            distribution = model.name.partition("-")[0]
            name = distribution.removeprefix("rgru_")
            uv(*install, model)
            run(inside, "-c", SMALL_DEMO.replace("layers=2", f"layers=2, model={name!r}"), cwd=copy)
            uv("pip", "uninstall", "--quiet", "--python", inside, distribution)
        uv(*install, f"{wheel}[eval]", *FOR_TESTS)
        uv("pip", "list", "--quiet", "--python", inside)
        documents_beside(inside, copy)
        run(inside, "-m", "pytest", "-q", "-p", "no:cacheprovider", *tests, cwd=copy)
    except subprocess.CalledProcessError as error:
        print(f"{python}: {error}", flush=True)
        return False
    return True


def uv(*words: object) -> None:
    """Run uv, which makes environments and finds lowest versions."""
    run(sys.executable, "-m", "uv", *words)


def pinned(environment: Path, inside: Path) -> list[object]:
    """Constraints that hold each direct dependency at the lowest version that has a wheel."""
    file = environment / "lowest.txt"
    compile_ = ("pip", "compile", "--quiet", "--python", inside, "--only-binary", ":all:")
    uv(*compile_, "--resolution", "lowest-direct", "--extra", "eval", "pyproject.toml", "-o", file)
    return ["--constraint", file]


def documents_beside(inside: Path, copy: Path) -> None:
    """Put SPEC and vectors where a checkout has them, beside rgru_format: its tests look there."""
    find = "import pathlib, rgru_format; print(pathlib.Path(rgru_format.__file__).parents[1])"
    environment: Mapping[str, str] = {**os.environ, "PYTHONPATH": ""}
    packages = subprocess.run(
        [inside, "-c", find], check=True, capture_output=True, text=True, env=environment, cwd=copy
    ).stdout.strip()
    if ROOT in Path(packages).parents:
        raise SystemExit(f"rgru_format was imported from {packages}, not from the wheel")
    shutil.copytree(copy / "format", packages, dirs_exist_ok=True)


if __name__ == "__main__":
    main()
