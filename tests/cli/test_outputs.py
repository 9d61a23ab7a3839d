"""No command harms a file: what may be written, and what stays as it was."""

from __future__ import annotations

import os
import shutil
import stat
import subprocess
import sys
import time
from collections.abc import Callable
from pathlib import Path

import pytest
from PIL import Image

import rgru_codec

from .conftest import Rgru, environment, picture, process

posix = pytest.mark.skipif(sys.platform == "win32", reason="files and signals of POSIX")


def contents(folder: Path) -> dict[str, bytes]:
    return {str(p): p.read_bytes() for p in sorted(folder.rglob("*")) if p.is_file()}


def test_a_photo_named_to_failures_is_refused(rgru: Rgru, folder: Path) -> None:
    """``rgru compress --failures *.png -o out/`` swallows the first photo's name."""
    for name in ("b.png", "c.png"):
        picture().save(name)
    before = contents(folder)
    for option in ((), ("--force",)):
        result = rgru("compress", "--failures", "a.png", "b.png", "c.png", "-o", "out/", *option)
        assert (result.code, "a.png: what --failures writes is a list" in result.err) == (2, True)
        assert contents(folder) == before


@pytest.mark.parametrize("name", ["a.png", "whole.rgru", "new.jpg", "new.jxl"])
def test_no_list_of_failures_has_the_name_of_a_picture(rgru: Rgru, folder: Path, name: str) -> None:
    before = contents(folder)
    assert rgru("compress", "text.txt", "-o", "b.rgru", "--failures", name).code == 2
    assert contents(folder) == before


@pytest.mark.parametrize(
    "content", ["dear diary", "a.png\nnotes about it\n", "whole.rgru\n", "\0\1", "list.txt\n"]
)
def test_a_text_that_is_no_list_of_failures_is_refused(
    rgru: Rgru, folder: Path, content: str
) -> None:
    (folder / "notes").write_text(content)
    before = contents(folder)
    result = rgru("compress", "a.png", "text.txt", "-o", "out/", "--failures", "notes")
    assert (result.code, "notes: exists, and holds something else" in result.err) == (2, True)
    assert contents(folder) == before


def test_a_list_of_failures_is_replaced_by_that_of_the_next_run(rgru: Rgru, folder: Path) -> None:
    Path("failed").write_text("text.txt\ngone.png\n")
    assert rgru("compress", "a.png", "text.txt", "-o", "out/", "--failures", "failed").code == 1
    assert Path("failed").read_text() == "text.txt\n"
    assert rgru("compress", "text.txt", "a.png", "-f", "--failures", "failed", "-Q").code == 1
    Path("text.txt").unlink()
    assert rgru("compress", "a.png", "-o", "b.rgru", "--failures", "failed").code == 2
    Path("failed").write_text("")
    assert rgru("compress", "a.png", "-o", "b.rgru", "--failures", "failed").code == 0
    assert Path("failed").read_text() == ""


def test_the_failure_of_one_input_is_listed_too(rgru: Rgru, folder: Path) -> None:
    assert rgru("compress", "text.txt", "--failures", "failed").code == 1
    assert Path("failed").read_text() == "text.txt\n"
    Path("text.txt").rename("text")
    picture().save("text.txt", "PNG")
    assert rgru("compress", "text.txt", "--failures", "failed").code == 0
    assert Path("failed").read_text() == ""
    result = rgru("decompress", "broken.rgru", "--steps", "steps", "--failures", "broken")
    assert (result.code, Path("broken").read_text()) == (1, "broken.rgru\n")


@posix
def test_a_list_of_failures_goes_into_a_pipe(folder: Path) -> None:
    script = f"{sys.executable} -m rgru_codec.cli compress text.txt no.png -o out/ "
    script += "--failures >(tr a-z A-Z >upper)"
    subprocess.run(["bash", "-c", script], env=environment(), capture_output=True, check=False)
    until = time.monotonic() + 10
    while not Path("upper").exists() or not Path("upper").read_text():
        assert time.monotonic() < until
        time.sleep(0.05)
    assert Path("upper").read_text() == "TEXT.TXT\nNO.PNG\n"


Another = Callable[[Path], str]


def itself(path: Path) -> str:
    return str(path)


def spelt_otherwise(path: Path) -> str:
    return str(path.parent / "." / ".." / path.parent.name / path.name)


def symbolic_link(path: Path) -> str:
    Path("link").symlink_to(path)
    return "link"


def hard_link(path: Path) -> str:
    os.link(path, "link")
    return "link"


@posix
@pytest.mark.parametrize("another", [itself, spelt_otherwise, symbolic_link, hard_link])
@pytest.mark.parametrize(
    "words",
    [
        ("compress", "input", "-o", "OUT"),
        ("compress", "input", "-o", "OUT", "--force"),
        ("compress", "a.png", "input", "-o", "out/", "--failures", "OUT"),
        ("compress", "a.png", "-o", "b.rgru", "--xmp", "input", "--failures", "OUT"),
        ("compress", "a.png", "-o", "OUT", "--xmp", "input", "--force"),
        ("decompress", "input", "-o", "OUT", "--force"),
        ("decompress", "input", "--animate", "OUT"),
        ("decompress", "input", "-o", "b.png", "--failures", "OUT"),
        ("thumbnail", "input", "OUT"),
    ],
)
def test_no_output_is_an_input_under_whatever_name(
    rgru: Rgru, folder: Path, data: bytes, words: tuple[str, ...], another: Another
) -> None:
    source = folder / "input"
    source.write_bytes(Path("a.png").read_bytes() if words[0] == "compress" else data)
    given = [str(source) if w == "input" else another(source) if w == "OUT" else w for w in words]
    before = contents(folder)
    result = rgru(*given)
    if "--animate" in words:
        assert result.code == 2  # an animation has a suffix
    else:
        assert (result.code, "is the input; name another" in result.err) == (2, True)
    assert contents(folder) == before


def test_no_step_and_no_animation_is_an_input(rgru: Rgru, folder: Path, data: bytes) -> None:
    (folder / "x.png").write_bytes(data)  # a .rgru file under a picture's name
    (folder / "steps").mkdir()
    (folder / "steps" / "x-01.png").write_bytes(data)
    before = contents(folder)
    assert rgru("decompress", "x.png", "--animate", "x.png").code == 2
    result = rgru("decompress", "steps/x-01.png", "--steps", "steps", "-o", "y.png", "-f", "-l", 1)
    assert result.code == 0  # steps/x-01-01.png
    result = rgru("decompress", "x.png", "--steps", "steps", "-l", 1)
    assert (result.code, "exists" in result.err) == (1, True)
    assert before.items() <= contents(folder).items()


@posix
def test_no_later_step_is_an_input(rgru: Rgru, folder: Path, data: bytes) -> None:
    (folder / "steps").mkdir()
    os.link("whole.rgru", "steps/whole-03.png")
    result = rgru("decompress", "whole.rgru", "--steps", "steps", "--force")
    assert (result.code, "name another folder with --steps" in result.err) == (2, True)
    assert Path("whole.rgru").read_bytes() == data


def test_two_outputs_do_not_share_a_file(rgru: Rgru, folder: Path) -> None:
    result = rgru("decompress", "whole.rgru", "-o", "b.png", "--animate", "b.png")
    assert (result.code, "two outputs cannot go to one file" in result.err) == (2, True)
    result = rgru("compress", "a.png", "text.txt", "-o", "out/", "--failures", "out/a.rgru")
    assert result.code == 2
    assert not Path("b.png").exists()


@pytest.mark.parametrize(
    "words",
    [
        *[("compress", "a.png", "-o", f"b.{kind}") for kind in ("jxl", "png", "heic", "JPG")],
        *[("decompress", "whole.rgru", "-o", f"b.{kind}") for kind in ("rgru", "jxl", "heic")],
        ("decompress", "whole.rgru", "-o", "b.jxl", "--format", "png"),
        ("decompress", "whole.rgru", "--animate", "b.jpg"),
        ("thumbnail", "whole.rgru", "b.rgru"),
        ("thumbnail", "whole.rgru", "b.jxl"),
    ],
)
def test_no_file_gets_the_name_of_another_format(
    rgru: Rgru, folder: Path, words: tuple[str, ...]
) -> None:
    before = contents(folder)
    assert rgru(*words).code == 2
    assert contents(folder) == before


@pytest.mark.parametrize(
    "words",
    [("compress", "a.png", "-o", "diary"), ("decompress", "whole.rgru", "-o", "diary")],
)
def test_a_file_that_is_no_result_of_ours_is_not_overwritten(
    rgru: Rgru, folder: Path, words: tuple[str, ...]
) -> None:
    Path("diary").write_text("dear diary")
    result = rgru(*words)
    assert (result.code, "diary: exists, and is not a" in result.err) == (1, True)
    assert Path("diary").read_text() == "dear diary"
    assert rgru(*words, "--force").code == 0
    assert rgru(*words).code == 0, "now it is one"


@pytest.mark.skipif(sys.platform == "win32", reason="links need rights there")
def test_a_photo_behind_a_link_is_not_overwritten(rgru: Rgru, folder: Path) -> None:
    picture().save("photo.png")
    before = Path("photo.png").read_bytes()
    Path("b.rgru").symlink_to("photo.png")
    result = rgru("compress", "a.png", "-o", "b.rgru", "-l", 1)
    assert (result.code, "b.rgru: exists, and is not a .rgru file" in result.err) == (1, True)
    assert Path("photo.png").read_bytes() == before


@pytest.mark.parametrize("jobs", [1, 2])
def test_a_derived_name_that_appears_during_the_work_stays(
    rgru: Rgru, folder: Path, monkeypatch: pytest.MonkeyPatch, jobs: int
) -> None:
    from rgru_codec import encoder

    whole = encoder.encode

    def slow(*args: object, **options: object) -> object:
        Path("a.rgru").write_bytes(b"theirs")
        return whole(*args, **options)  # type: ignore[arg-type]

    monkeypatch.setattr(encoder, "encode", slow)
    result = rgru("compress", "a.png", "-l", 1, "-j", jobs)
    assert (result.code, "a.rgru: exists; --force overwrites it" in result.err) == (1, True)
    assert Path("a.rgru").read_bytes() == b"theirs"


@posix
def test_a_write_protected_file_is_not_replaced(rgru: Rgru, folder: Path) -> None:
    Path("b.rgru").write_bytes(b"old")
    Path("b.rgru").chmod(0o444)
    result = rgru("compress", "a.png", "-o", "b.rgru", "-l", 1)
    assert (result.code, "b.rgru: is write-protected" in result.err) == (1, True)
    assert Path("b.rgru").read_bytes() == b"old"


@posix
def test_hard_links_to_an_output_stay_together(rgru: Rgru, folder: Path) -> None:
    Path("b.rgru").write_bytes(rgru_codec.compress("a.png", layers=2))
    os.link("b.rgru", "c.rgru")
    assert rgru("compress", "a.png", "-o", "b.rgru", "-l", 1).code == 0
    assert Path("c.rgru").read_bytes() == rgru_codec.compress("a.png", layers=1)


@posix
def test_a_photo_that_has_a_second_name_is_not_overwritten(rgru: Rgru, folder: Path) -> None:
    picture().save("photo.jpg")
    before = Path("photo.jpg").read_bytes()
    os.link("photo.jpg", "b.rgru")
    result = rgru("compress", "a.png", "-o", "b.rgru", "-l", 1)
    assert (result.code, "b.rgru: exists, and is not a .rgru file" in result.err) == (1, True)
    assert Path("photo.jpg").read_bytes() == before


@posix
def test_a_writable_file_in_a_folder_that_is_not(folder: Path) -> None:
    Path("locked").mkdir()
    Path("locked/b.rgru").write_bytes(b"old")
    Path("locked").chmod(0o555)
    command = [sys.executable, "-m", "rgru_codec.cli", "compress", "a.png", "-l", "1", "-o"]
    if os.geteuid() == 0:  # root may write anywhere, unless it gives that up
        if shutil.which("setpriv") is None:
            pytest.skip("setpriv is not installed, and root may write anywhere")
        powers = "-dac_override,-dac_read_search"
        command = ["setpriv", f"--bounding-set={powers}", f"--inh-caps={powers}", *command]
    codes = [
        subprocess.run([*command, name], env=environment(), check=False).returncode
        for name in ("locked/b.rgru", "locked/c.rgru")
    ]
    Path("locked").chmod(0o755)
    assert codes == [0, 1]
    assert Path("locked/b.rgru").read_bytes() == rgru_codec.compress("a.png", layers=1)
    assert os.listdir("locked") == ["b.rgru"]  # noqa: PTH208 (names)


@posix
def test_standard_output_has_names(folder: Path, data: bytes) -> None:
    result = process("compress", "a.png", "-l", 1, "-o", "/dev/stdout", cwd=folder)
    assert (result.returncode, result.stdout) == (0, rgru_codec.compress("a.png", layers=1))
    result = process("decompress", "whole.rgru", "-o", "/dev/fd/1", cwd=folder)
    assert (result.returncode, result.stdout[:4]) == (0, b"\x89PNG")


@posix
def test_process_substitution(folder: Path) -> None:
    script = f"{sys.executable} -m rgru_codec.cli compress -Q -l 1 a.png -o >(cat >copy)"
    subprocess.run(["bash", "-c", script], env=environment(), check=True)
    until = time.monotonic() + 10
    while not Path("copy").exists() or not Path("copy").read_bytes():
        assert time.monotonic() < until
        time.sleep(0.05)
    assert Path("copy").read_bytes() == rgru_codec.compress("a.png", layers=1)


@posix
def test_pipes_and_devices_take_pictures_too(folder: Path) -> None:
    os.mkfifo("pipe")
    reader = subprocess.Popen(["cat", "pipe"], stdout=subprocess.PIPE)
    assert process("decompress", "whole.rgru", "-o", "pipe", cwd=folder).returncode == 0
    out, _ = reader.communicate(timeout=20)
    assert out.startswith(b"\x89PNG")
    assert stat.S_ISFIFO(Path("pipe").stat().st_mode)
    for command in ("compress", "decompress"):
        source = "a.png" if command == "compress" else "whole.rgru"
        assert process(command, source, "-o", os.devnull, cwd=folder).returncode == 0
    assert stat.S_ISCHR(Path(os.devnull).stat().st_mode)


def test_names_of_many_bytes(rgru: Rgru, folder: Path) -> None:
    name = "字" * 80
    picture().save(f"{name}.png")
    assert rgru("compress", f"{name}.png", "-l", 1).code == 0
    assert Path(f"{name}.rgru").exists()


def test_processes_need_no_shared_memory(folder: Path) -> None:
    """Where /dev/shm is missing, the standard pools fail at once."""
    picture(seed=1).save("b.png")
    script = """
import sys, _multiprocessing
def refuse(*args):
    raise FileNotFoundError(2, "No such file or directory")
_multiprocessing.SemLock = refuse
from rgru_codec.cli import main
if __name__ == "__main__":
    sys.exit(main(["compress", "a.png", "b.png", "-l", "1", "-j", "2"]))
"""
    Path("script.py").write_text(script)
    subprocess.run([sys.executable, "script.py"], env=environment(), check=True)
    assert Path("a.rgru").exists()
    assert Path("b.rgru").exists()


def test_times_and_permissions_are_kept(rgru: Rgru, folder: Path) -> None:
    Path("a.png").chmod(0o600)
    os.utime("a.png", (1_000_000_000, 1_000_000_000))
    assert rgru("compress", "a.png", "-l", 1).code == 0
    assert rgru("decompress", "a.rgru", "-o", "b.png").code == 0
    for name in ("a.rgru", "b.png"):
        assert Path(name).stat().st_mtime == 1_000_000_000
        if sys.platform != "win32":
            assert stat.S_IMODE(Path(name).stat().st_mode) == 0o600
    assert rgru("compress", "a.png", "-o", "c.rgru", "-l", 1, "--no-times").code == 0
    assert Path("c.rgru").stat().st_mtime > 1_600_000_000
    with Image.open("b.png") as image:
        assert image.size == (40, 24)
