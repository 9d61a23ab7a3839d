"""Every example of the pages in docs/ runs: Python in one namespace a page, shell line by line."""

from __future__ import annotations

import importlib.metadata
import re
import shutil
import subprocess
import sys
from pathlib import Path

import pytest

from .conftest import ROOT, environment, picture

sybil = pytest.importorskip("sybil")

from sybil.parsers.markdown import CodeBlockParser, PythonCodeBlockParser  # noqa: E402

pytestmark = pytest.mark.skipif(
    not (ROOT / "docs").is_dir(), reason="the pages are part of a checkout"
)
PAGES = ["cli.md", "python.md", "progressive.md", "format.md", "scaling.md"]


@pytest.fixture
def workshop(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """A folder as the pages assume it: a photo, a file of it, the program they call."""
    import rgru_codec

    picture(96, 64).save(tmp_path / "photo.png")
    (tmp_path / "examples").mkdir()
    shutil.copy(ROOT / "examples" / "slow_stream.py", tmp_path / "examples")
    monkeypatch.chdir(tmp_path)
    rgru_codec.imwrite("photo.rgru", rgru_codec.imread(rgru_codec.compress("photo.png")))
    return tmp_path


def run_example(example: object) -> None:
    run_shell(str(example.parsed))  # type: ignore[attr-defined]


def run_shell(lines: str) -> None:
    start = f'set -e; set -o pipefail; rgru() {{ {sys.executable} -m rgru_codec.cli "$@"; }}\n'
    start += f'python() {{ {sys.executable} "$@"; }}\n'
    script = start + lines
    result = subprocess.run(
        ["bash", "-c", script], capture_output=True, env=environment(), check=False
    )
    assert result.returncode == 0, (script, result.stderr.decode())


@pytest.mark.parametrize("page", PAGES)
def test_examples(page: str, workshop: Path) -> None:
    if page == "cli.md":
        Path("photo.rgru").unlink()  # the first example makes it
    evaluate(ROOT / "docs" / page)


def test_no_page_is_forgotten() -> None:
    """tests/train runs training.md, which needs TensorFlow."""
    marks = ("```sh\n", "```python\n")
    texts = {path.name: path.read_text("utf-8") for path in (ROOT / "docs").glob("*.md")}
    found = {name for name, text in texts.items() if any(mark in text for mark in marks)}
    assert found == {*PAGES, "training.md"}


def evaluate(path: Path) -> None:
    """Run the examples of a page in the working folder."""
    shell = CodeBlockParser("sh", run_example)
    pages = sybil.Sybil(parsers=[PythonCodeBlockParser(), shell], path=str(path.parent))
    examples = list(pages.parse(path).examples())
    assert examples
    if shutil.which("bash") is None:
        examples = [e for e in examples if e.region.evaluator is not run_example]
    for example in examples:
        example.evaluate()


def test_the_install_without_compiled_libraries_names_all_others() -> None:
    """It named neither threadpoolctl nor tqdm, and rgru ended in a traceback."""
    required = importlib.metadata.requires("rgru-codec") or []
    names = {re.split(r"[^\w-]", one)[0] for one in required if "extra ==" not in one}
    line = re.search(r"pip install (numpy .*)", (ROOT / "docs" / "platforms.md").read_text("utf-8"))
    assert line
    assert {*line[1].split(), "ai-edge-litert", "constriction"} == names


@pytest.mark.skipif(shutil.which("bash") is None, reason="needs bash")
def test_examples_of_the_manual_page(workshop: Path) -> None:
    image = picture(96, 64, noise=0)  # the MS-SSIM of the example is reached on a photo
    Path("photos").mkdir()
    for name in ("photo.png", "photo.jpg", "photos/one.png", "photos/two.jpg"):
        image.save(name)
    Path("photo.rgru").unlink()
    pytest.importorskip("argparse_manpage")
    from tools.make_man import EXAMPLES

    for line in EXAMPLES.splitlines():
        run_shell(line)
    assert Path("early.png").exists()


def test_examples_of_the_readme(workshop: Path) -> None:
    import rgru_codec

    Path("photo.rgru").unlink()  # the first example makes it
    picture(96, 64, noise=0).save("photo.png")  # the quality of the example is reached on a photo
    evaluate(ROOT / "README.md")
    assert len(list(Path().glob("layers*.png"))) >= len(rgru_codec.info("photo.rgru").layers)


@pytest.mark.parametrize("page", ["cli.md", "measured.md"])
def test_samples_are_of_the_shipped_model(page: str) -> None:
    """tools/refresh.py writes them anew."""
    from rgru_codec import default_model

    found = re.findall(r"[Mm]odel ([0-9a-f]{8})", (ROOT / "docs" / page).read_text("utf-8"))
    assert found
    assert set(found) == {default_model().id.hex()}


def test_the_slow_stream_draws_and_saves(workshop: Path) -> None:
    command = [sys.executable, "examples/slow_stream.py", "photo.rgru", "--seconds", "3", "--draw"]
    result = subprocess.run(command, capture_output=True, env=environment(), check=True)
    stages = sorted(Path("stages").glob("*.png"))
    assert len(stages) > 2
    assert "\u2580".encode() in result.stdout
    assert f"{len(stages)} pictures in stages".encode() in result.stdout


def test_the_slow_stream_explains_bad_files(workshop: Path) -> None:
    broken = bytearray(Path("photo.rgru").read_bytes())
    broken[-1] ^= 1
    Path("broken.rgru").write_bytes(broken)
    Path("text.txt").write_text("no picture")
    for name, words in (
        ("broken.rgru", "the checksum of a group of codes does not match"),
        ("text.txt", "not a picture of a known format"),
        ("missing.rgru", "No such file"),
    ):
        command = [sys.executable, "examples/slow_stream.py", name, "--seconds", "0.1"]
        result = subprocess.run(command, capture_output=True, env=environment(), check=False)
        assert result.returncode == 1
        error = result.stderr.decode()
        assert error.startswith(f"{name}: ")
        assert words in error
        assert error.count("\n") == 1


def test_links_between_pages() -> None:

    for path in (ROOT / "docs").glob("*.md"):
        for target in re.findall(r"\]\(([^)#:]+)\)", path.read_text("utf-8")):
            assert (path.parent / target).exists(), (path.name, target)
