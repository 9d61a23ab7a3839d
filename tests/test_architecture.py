"""The doors between the rooms, and what an import may cost."""

from __future__ import annotations

import os
import subprocess
import sys
from pathlib import Path

import pytest

ROOT = Path(__file__).parents[1]
HEAVY = ("tensorflow", "keras", "ai_edge_litert", "matplotlib")


def environment() -> dict[str, str]:
    folders = [ROOT, *(ROOT / name for name in ("format", "train", "eval"))]
    return {**os.environ, "PYTHONPATH": os.pathsep.join(map(str, folders))}


def loaded(code: str, cwd: Path) -> set[str]:
    """Modules in ``sys.modules`` after running ``code`` in a process of its own."""
    script = f"{code}\nimport sys\nprint('\\0'.join(sys.modules), file=sys.stderr)"
    result = subprocess.run(
        [sys.executable, "-c", script],
        capture_output=True,
        text=True,
        env=environment(),
        cwd=cwd,
        check=True,
    )
    return set(result.stderr.strip().splitlines()[-1].split("\0"))


@pytest.fixture(scope="module")
def folder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A folder with a file in it that names the installed model."""
    from rgru_codec import default_model
    from rgru_format import Header, Writer

    folder = tmp_path_factory.mktemp("files")
    model = default_model()
    writer = Writer(Header(8, 8, model.id))
    writer.add_layer([b""] * model.context().groups[0])
    (folder / "a.rgru").write_bytes(writer.getvalue())
    return folder


def run(*arguments: str) -> str:
    return f"""
from rgru_codec.cli import main
try:
    assert main({list(arguments)!r}) == 0
except SystemExit as stop:
    assert not stop.code
"""


@pytest.mark.parametrize(
    "code",
    [
        "import rgru_codec",
        "import rgru_codec; rgru_codec.compress; rgru_codec.Decoder",
        "import rgru_codec.RgruImagePlugin",
        run("--help"),
        run("info", "a.rgru"),
        run("verify", "a.rgru"),
        run("completion", "bash"),
    ],
)
def test_nothing_heavy_is_loaded(code: str, folder: Path) -> None:
    modules = loaded(code, folder)
    assert not modules & set(HEAVY)


def test_help_and_import_load_no_numpy(folder: Path) -> None:
    for code in ("import rgru_codec", run("--help")):
        assert not loaded(code, folder) & {"numpy", "PIL", "constriction"}


def test_compression_needs_no_tensorflow(folder: Path) -> None:
    code = """
import numpy, rgru_codec
rgru_codec.decompress(rgru_codec.compress(numpy.zeros((8, 8, 3), "uint8"), layers=1))
"""
    assert not loaded(code, folder) & {"tensorflow", "keras", "matplotlib", "skimage"}


@pytest.mark.skipif(not (ROOT / "pyproject.toml").is_file(), reason="not a checkout")
def test_rooms_look_down_never_up() -> None:
    pytest.importorskip("importlinter")
    script = "from importlinter.cli import lint_imports_command; lint_imports_command()"
    result = subprocess.run(
        [sys.executable, "-c", script, "--no-cache"],
        capture_output=True,
        text=True,
        env=environment(),
        cwd=ROOT,
        check=False,
    )
    assert result.returncode == 0, result.stdout + result.stderr
    assert "0 broken" in result.stdout
