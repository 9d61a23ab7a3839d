"""Many inputs: folders, patterns, processes, failures, interruption."""

from __future__ import annotations

import errno
import importlib
import io
import os
import signal
import subprocess
import sys
import time
from pathlib import Path
from typing import Any

import pytest

import rgru_codec
from rgru_codec.cli import batch
from rgru_codec.cli.files import RGRU, Job, Plan
from rgru_codec.cli.progress import Progress

from .conftest import Rgru, environment, picture, process


@pytest.fixture
def photos(folder: Path) -> Path:
    """Five pictures in two folders, and a text."""
    for name in ("p/1.png", "p/2.jpg", "p/deep/3.png", "p/deep/4.webp"):
        path = folder / name
        path.parent.mkdir(parents=True, exist_ok=True)
        picture(seed=len(name)).save(path)
    (folder / "p" / "readme.txt").write_text("no picture")
    return folder / "p"


def names(folder: Path) -> list[str]:
    return sorted(str(p.relative_to(folder)) for p in folder.rglob("*") if p.is_file())


def test_folder(rgru: Rgru, photos: Path) -> None:
    result = rgru("compress", "p", "-o", "out/", "-l", 1)
    assert result.code == 0
    assert names(Path("out")) == ["1.rgru", "2.rgru", "deep/3.rgru", "deep/4.rgru"]
    assert "rgru: 4 compressed in " in result.err
    assert "rgru: 1 other file was passed over\n" in result.err
    assert rgru("decompress", "out", "-o", "back").code == 0
    assert names(Path("back")) == ["1.png", "2.png", "deep/3.png", "deep/4.png"]


def test_beside_the_input(rgru: Rgru, photos: Path) -> None:
    assert rgru("compress", "p/1.png", "p/2.jpg", "-l", 1).code == 0
    assert {"1.rgru", "2.rgru"} < set(names(photos))


def test_pattern(rgru: Rgru, photos: Path) -> None:
    assert rgru("compress", "p/**/*.png", "-o", "out", "-l", 1).code == 0
    assert names(Path("out")) == ["1.rgru", "3.rgru"]


@pytest.mark.parametrize(
    ("pattern", "expected"),
    [
        ("p/*", ["1.rgru", "2.rgru", "3.rgru", "4.rgru"]),
        ("p/d*", ["3.rgru", "4.rgru"]),
        ("p/**", ["1.rgru", "2.rgru", "deep/3.rgru", "deep/4.rgru"]),
    ],
)
def test_folders_that_a_pattern_matches_are_taken_as_the_shell_would_hand_them_over(
    rgru: Rgru, photos: Path, pattern: str, expected: list[str]
) -> None:
    """They were left out without a word: a pattern of folders alone did nothing, with success."""
    (photos / "readme.txt").unlink()
    assert rgru("compress", pattern, "-o", "out", "-l", 1).code == 0
    assert names(Path("out")) == expected
    (photos / "deep" / "3.png").unlink()
    assert rgru("compress", "p/d*", "-o", "one", "-l", 1).code == 0
    assert names(Path("one")) == ["4.rgru"]


def test_what_cannot_be_looked_into_in_a_folder_fails(
    rgru: Rgru, photos: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """It was passed over without a word."""
    scandir = os.scandir

    def guarded(path: str) -> Any:
        if Path(path).name == "deep":
            raise PermissionError(errno.EACCES, "Permission denied", path)
        return scandir(path)

    (photos / "gone.png").symlink_to("nowhere")
    monkeypatch.setattr(os, "scandir", guarded)
    result = rgru("compress", "p", "-o", "out/", "-l", 1, "--failures", "failed")
    assert (result.code, "2 compressed, 2 failed" in result.err) == (1, True)
    assert Path("failed").read_text().split() == [str(Path("p/deep")), str(Path("p/gone.png"))]
    result = rgru("compress", "p/deep", "-o", "out/", "-l", 1)
    assert (result.code, "ermission denied" in result.err) == (1, True)


def test_a_failure_does_not_stop_the_others(rgru: Rgru, photos: Path) -> None:
    (photos / "2.jpg").write_bytes(b"no picture")
    result = rgru(
        "compress", "p", "missing.png", "-o", "out", "-l", 1, "--failures", "failures.txt"
    )
    assert result.code == 1
    assert names(Path("out")) == ["1.rgru", "deep/3.rgru", "deep/4.rgru"]
    assert "p/2.jpg: is not a picture" in result.err
    assert "3 compressed, 2 failed" in result.err
    assert Path("failures.txt").read_text() == "p/2.jpg\nmissing.png\n"


def test_failures_are_added_to_a_log_that_standard_output_is(folder: Path) -> None:
    """``>> log``: what the log says already is no list, and is none of ours."""
    Path("log").write_text("earlier\n")
    words = [sys.executable, "-m", "rgru_codec.cli", "compress", "b.png", "-o", "c.rgru"]
    with Path("log").open("ab") as log:
        command = [*words, "--failures", "/dev/stdout"]
        subprocess.run(command, stdout=log, stderr=log, env=environment(), check=False)
    assert Path("log").read_text() == "earlier\nrgru: b.png: no such file or directory\nb.png\n"


@pytest.mark.parametrize("jobs", [1, 2])
def test_a_name_that_is_too_long_does_not_stop_the_others(
    rgru: Rgru, photos: Path, jobs: int
) -> None:
    """Of an input, or of what is derived from it: .rgru is longer than .png."""
    (photos / f"{'a' * 251}.png").write_bytes((photos / "1.png").read_bytes())
    result = rgru("compress", "b" * 300, "p", "-l", 1, "-j", jobs, "--failures", "failed.txt")
    assert (result.code, "4 compressed, 2 failed" in result.err) == (1, True)
    assert f"p/{'a' * 251}.png: file name too long: p/{'a' * 251}.rgru" in result.err
    assert f"{'b' * 300}: file name too long" in result.err
    assert Path("failed.txt").read_text() == f"{'b' * 300}\np/{'a' * 251}.png\n"


def test_quiet_says_nothing_of_what_it_skips(rgru: Rgru, photos: Path) -> None:
    for _ in range(2):
        result = rgru("compress", "p", "-o", "out/", "-l", 1, "-Q")
        assert (result.code, result.err) == (0, "")
    result = rgru("compress", "p/1.png", "-o", "out/", "-l", 1, "-Q")
    assert (result.code, "1.rgru: exists" in result.err) == (1, True), "nothing was done at all"


def test_restart_says_what_it_skips(rgru: Rgru, photos: Path) -> None:
    assert rgru("compress", "p", "-o", "out", "-l", 1).code == 0
    Path("out/1.rgru").unlink()
    result = rgru("compress", "p", "-o", "out", "-l", 1)
    assert result.code == 0
    assert result.err.count("exists, left as it is") == 3
    assert "1 compressed, 3 skipped" in result.err
    assert rgru("compress", "p", "-o", "out", "-l", 1, "--force", "-Q").err == ""


@pytest.mark.parametrize("option", [(), ("--force",)], ids=["", "force"])
@pytest.mark.parametrize("command", ["compress", "decompress"])
def test_a_folder_or_a_pipe_under_the_name_of_a_result_is_not_done(
    rgru: Rgru, folder: Path, data: bytes, command: str, option: tuple[str, ...]
) -> None:
    suffix = "rgru" if command == "compress" else "png"
    Path("in").mkdir()
    for name in "xyz":
        picture().save(f"in/{name}.png")
        Path(f"in/{name}.rgru").write_bytes(data)
    Path(f"out/y.{suffix}").mkdir(parents=True)
    named = {f"out/y.{suffix}: is a folder"}
    if sys.platform != "win32":
        os.mkfifo(f"out/z.{suffix}")
        named.add(f"out/z.{suffix}: is a pipe or a device")
    layers = ("-l", 1)
    result = rgru(command, "in", "-o", "out/", *layers, *option, "--failures", "failed")
    assert (result.code, f"1 {command}ed, {len(named)} failed" in result.err) == (1, True)
    for words in named:
        assert words in result.err
    assert len(Path("failed").read_text().splitlines()) == len(named)
    assert Path(f"out/x.{suffix}").is_file()


def test_a_result_that_is_there_is_done_for_many_inputs_and_a_failure_for_one(
    rgru: Rgru, photos: Path
) -> None:
    """A folder counts as many, however few pictures it holds: its line is run again."""
    for code in (0, 0):
        assert rgru("compress", "p", "-l", 1).code == code
    Path("one").mkdir()
    picture().save("one/a.png")
    for code in (0, 0):
        assert rgru("compress", "one", "-o", "out", "-l", 1).code == code
    result = rgru("compress", "one/a.png", "-o", "out/", "-l", 1)
    assert (result.code, "out/a.rgru: exists, left as it is" in result.err) == (1, True)


@pytest.mark.skipif(sys.platform == "win32", reason="no such names there")
def test_names_with_breaks_in_the_list_of_failures(rgru: Rgru, folder: Path) -> None:
    odd = [f"a{character}b.png" for character in "\x85\u2028\r\x0c\x1c"]
    for name in (*odd, "c\nd.png"):
        Path(name).write_text("no picture")
    words = ("compress", *odd, "c\nd.png", "a.png", "-o", "out/", "--failures", "failed", "-f")
    for _ in range(2):
        result = rgru(*words)
        assert (result.code, "6 failed" in result.err) == (1, True)
        assert Path("failed").read_bytes().decode() == "".join(f"{name}\n" for name in odd)
        assert "c\\nd.png: is not in failed: a line break is in its name" in result.err


def test_exit_code_of_failures_that_agree(rgru: Rgru, photos: Path) -> None:
    result = rgru("compress", "p", "-o", "out", "-l", 1, "--max-pixels", 900)
    assert (result.code, "4 failed" in result.err) == (4, True)


def test_two_inputs_for_one_output(rgru: Rgru, folder: Path) -> None:
    picture().save("a.jpg")
    result = rgru("compress", "a.jpg", "a.png", "-l", 1)
    assert result.code == 1
    assert "a.png: its output a.rgru is already that of a.jpg; name another with -o" in result.err
    assert Path("a.rgru").exists()


@pytest.mark.parametrize(
    "words",
    [
        ("compress", "-", "-"),
        ("compress", "-", "a.png", "/dev/stdin", "-o", "out/"),
        ("decompress", "-", "-", "-o", "out/"),
        ("compress", "-", "--xmp", "/dev/stdin", "-o", "out"),
        ("info", "-", "-"),
        ("verify", "-", "-"),
        ("compare", "-", "-"),
    ],
    ids=" ".join,
)
def test_standard_input_is_named_once(rgru: Rgru, folder: Path, words: tuple[str, ...]) -> None:
    result = rgru(*words)
    assert (result.code, result.out) == (2, "")
    assert "standard input can be read once only" in result.err
    assert not Path("out").exists()


@pytest.mark.skipif(sys.platform == "win32", reason="no such names there")
def test_inputs_that_are_no_files_need_the_name_of_the_output(rgru: Rgru, folder: Path) -> None:
    os.mkfifo("pipe.png")
    with Path("a.png").open("rb") as file:
        opened = f"/dev/fd/{file.fileno()}"
        for name in ("/dev/stdin", "/dev/fd/0", "/proc/self/fd/0", opened, "/dev/null", "pipe.png"):
            for inputs in ((name,), ("a.png", name)):
                result = rgru("compress", *inputs)
                words = f"{name}: is no regular file; name the output with -o"
                assert (result.code, words in result.err) == (2, True)
        assert not Path("a.rgru").exists()
        assert rgru("compress", opened, "-o", "b.rgru", "-l", 1).code == 0
        assert not Path(f"{opened}.rgru").exists()
    assert rgru("decompress", "/dev/null").code == 2
    with Path("whole.rgru").open("rb") as file:
        opened = f"/dev/fd/{file.fileno()}"
        assert rgru("decompress", opened, "--steps", "s", "-l", 1).code == 0, "they have a folder"
    assert rgru("compress", "/dev/missing").code == 1


def test_an_output_given_like_an_input(rgru: Rgru, folder: Path) -> None:
    result = rgru("compress", "a.png", "text.txt", "a.rgru", "-l", 1)
    assert (result.code, Path("a.rgru").exists()) == (2, False)
    assert "a.rgru: does not exist; if it is the output, name it with -o" in result.err
    Path("a.rgru").touch()
    result = rgru("compress", "a.png", "text.txt", "a.rgru", "-f")
    assert "a.rgru: is the input; name another file with -o" in result.err


@pytest.mark.parametrize(
    ("words", "place"),
    [
        (("compress", "a.png", "-o", "a.png"), "file with -o"),
        (("thumbnail", "x.webp", "x.webp"), "file as OUT"),
        (("decompress", "x.webp", "-o", "b.png", "--failures", "x.webp"), "file with --failures"),
        (("decompress", "x.webp", "--animate", "x.webp"), "file with --animate"),
    ],
)
def test_an_output_that_is_the_input_is_told_by_its_own_option(
    rgru: Rgru, folder: Path, data: bytes, words: tuple[str, ...], place: str
) -> None:
    Path("x.webp").write_bytes(data)
    result = rgru(*words)
    assert (result.code, f"is the input; name another {place}\n" in result.err) == (2, True)


def test_an_input_that_has_the_name_of_its_output(rgru: Rgru, folder: Path) -> None:
    result = rgru("decompress", "a.png")
    assert (result.code, result.err) == (1, "rgru: a.png: not a .rgru file\n")
    Path("b.png").write_bytes(Path("whole.rgru").read_bytes())
    result = rgru("decompress", "b.png")
    assert (result.code, "b.png: is the input; name another file" in result.err) == (2, True)
    result = rgru("compress", "whole.rgru")
    assert (result.code, "whole.rgru: is a .rgru file already" in result.err) == (1, True)


def test_many_inputs_need_a_folder(rgru: Rgru, photos: Path) -> None:
    Path("file").write_bytes(b"x")
    for target, words in (("-", "cannot go to standard output"), ("file", "is not a folder")):
        result = rgru("compress", "p", "-o", target)
        assert (result.code, words in result.err) == (2, True)


def test_processes_give_the_same_files(photos: Path) -> None:
    (photos / "2.jpg").write_bytes(b"no picture")
    one = process("compress", "p", "-o", "one", "-l", 2, cwd=photos.parent)
    two = process("compress", "p", "-o", "two", "-l", 2, "-j", 2, cwd=photos.parent)
    assert (one.returncode, two.returncode) == (1, 1)
    assert b"p/2.jpg: is not a picture" in two.stderr
    assert b"3 compressed, 1 failed" in two.stderr
    first, second = photos.parent / "one", photos.parent / "two"
    assert names(first) == names(second)
    for name in names(first):
        assert (first / name).read_bytes() == (second / name).read_bytes()


@pytest.mark.parametrize("name", ["-", "/dev/stdin"])
def test_standard_input_among_inputs_of_several_processes(photos: Path, name: str) -> None:
    if name != "-" and not Path(name).exists():
        pytest.skip("it has no name here")
    words = ("compress", "p/1.png", name, "p/2.jpg", "-o", "out/", "-j", 2, "-l", 1)
    result = process(*words, stdin=Path("a.png").read_bytes(), cwd=photos.parent)
    assert result.returncode == 0, result.stderr.decode()
    assert names(Path("out")) == ["1.rgru", "2.rgru", "stdin.rgru"]


DEADLY = """
import os, signal
from rgru_codec.cli.batch import Outcome

def work(job, share):
    if job.source == "3":
        os.kill(os.getpid(), signal.SIGKILL)
    return Outcome(0, job.source)
"""


@pytest.mark.skipif(not hasattr(signal, "SIGKILL"), reason="no SIGKILL here")
def test_a_worker_that_dies_takes_one_job_with_it(
    folder: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    (folder / "deadly.py").write_text(DEADLY)
    monkeypatch.syspath_prepend(folder)
    work = importlib.import_module("deadly").work
    plan = Plan([Job(str(n), f"{n}.rgru", derived=True) for n in range(9)], RGRU)
    code = batch.run(work, plan, "compressed", jobs=2, failures="failures.txt")
    err = capsys.readouterr().err
    assert code == 1
    assert "3: the process working on it died (SIGKILL" in err
    assert "8 compressed, 1 failed" in err
    assert Path("failures.txt").read_text() == "3\n"


@pytest.mark.skipif(sys.platform == "win32", reason="signals of POSIX")
@pytest.mark.parametrize("jobs", [1, 2])
def test_interruption(folder: Path, jobs: int) -> None:
    for number in range(30):
        picture(300, 200, seed=number).save(folder / f"big{number:02d}.png")
    command = [sys.executable, "-m", "rgru_codec.cli", "compress", "big*.png", "-j", str(jobs)]
    running = subprocess.Popen(
        command, cwd=folder, env=environment(), stderr=subprocess.PIPE, start_new_session=True
    )
    until = time.monotonic() + 60
    while not list(folder.glob("big*.rgru")) and time.monotonic() < until:
        time.sleep(0.05)
    running.send_signal(signal.SIGINT)
    _, err = running.communicate(timeout=30)
    assert running.returncode == 130
    assert err.endswith(b"rgru: interrupted\n")
    assert b"Traceback" not in err
    done = list(folder.glob("big*.rgru"))
    assert 0 < len(done) < 30
    for path in done:
        assert not rgru_codec.info(path).unfinished


class Terminal(io.StringIO):
    def isatty(self) -> bool:
        return True


def test_progress_bar_on_a_terminal_only(folder: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    jobs = [Job("whole.rgru", "a.png", True), Job("cut.rgru", "b.png", True)]
    terminal = Terminal()
    monkeypatch.setattr(sys, "stderr", terminal)
    progress = Progress(jobs, delay=0)
    time.sleep(0.15)  # it is drawn ten times a second at most
    progress.finish(jobs[0])
    progress.tell("a line")
    assert "1/2 whole.rgru" in terminal.getvalue()
    assert "%|" in terminal.getvalue()
    assert "\ra line\n" in terminal.getvalue()
    progress.close()
    quiet = io.StringIO()
    monkeypatch.setattr(sys, "stderr", quiet)
    Progress(jobs, delay=0).finish(jobs[0])
    assert quiet.getvalue() == ""


def test_no_bar_within_the_first_second(folder: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    terminal = Terminal()
    monkeypatch.setattr(sys, "stderr", terminal)
    job = Job("whole.rgru", "a.png", True)
    progress = Progress([job])
    progress.within(job)(0.5)
    progress.finish(job)
    progress.close()
    assert terminal.getvalue().strip() == ""


def test_threads_are_divided(rgru: Rgru, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(batch, "cores", lambda: 8)
    assert batch.share_threads(None, 3) == 2
    assert batch.share_threads(5, 3) == 5
    assert batch.share_threads(None, 1) is None


def test_what_is_there_must_be_sound(rgru: Rgru, photos: Path) -> None:
    """A faulty file under a derived name is neither taken for done nor overwritten."""
    assert rgru("compress", "p", "-o", "out", "-l", 1).code == 0
    whole = Path("out/1.rgru").read_bytes()
    faults = {"cut short": whole[:-3], "faulty": whole[:30] + b"\0" + whole[31:], "empty": b""}
    for number, content in enumerate(faults.values()):
        Path("out/1.rgru").write_bytes(content)
        result = rgru("compress", "p", "-o", "out", "-l", 1, "--failures", "failures.txt")
        assert (result.code, number, "3 skipped, 1 failed" in result.err) == (1, number, True)
        assert "out/1.rgru: exists, but it is " in result.err
        assert Path("out/1.rgru").read_bytes() == content
        assert Path("failures.txt").read_text() == "p/1.png\n"
    assert rgru("compress", "p/1.png", "-o", "out", "-l", 1, "--force").code == 0
    assert Path("out/1.rgru").read_bytes() == whole
