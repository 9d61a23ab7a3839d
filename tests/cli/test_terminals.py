"""What is printed: nothing that a terminal would obey, and words for whatever happens."""

from __future__ import annotations

import errno
import os
import subprocess
import sys
from pathlib import Path

import pytest
from PIL import Image, ImageCms

import rgru_codec
from rgru_codec.cli.status import explain
from rgru_codec.terminal import printable
from rgru_format import BOX_ICC, Box, Header, write_file

from .conftest import Rgru, environment, picture, process

posix = pytest.mark.skipif(sys.platform == "win32", reason="names and streams of POSIX")
ESCAPE = "e\x1b]0;owned\x07\x1b[31m\u202etxt"


@pytest.mark.parametrize(
    ("text", "shown"),
    [
        ("plain — ü 字", "plain — ü 字"),
        ("\x1b[31mred\x07", "\\x1b[31mred\\x07"),
        ("two\nlines\r\t", "two\\nlines\\r\\t"),
        ("\u202egnp.exe", "\\u202egnp.exe"),
        ("\udcff", "\\udcff"),
        ("\x9b31m", "\\x9b31m"),
    ],
)
def test_controls_are_escaped(text: str, shown: str) -> None:
    assert printable(text) == shown


@posix
def test_names_with_controls_reach_no_terminal(rgru: Rgru, folder: Path) -> None:
    name = f"{ESCAPE}.png"
    picture().save(name)
    Path(f"{ESCAPE}.txt").write_text("no picture")
    Path(f"{ESCAPE}2.rgru").write_bytes(b"x")
    for words in (
        ("compress", name, "-l", 1, "-v"),
        ("compress", name, f"{ESCAPE}.txt", "-f", "-l", 1),
        ("info", f"{ESCAPE}.rgru", f"{ESCAPE}2.rgru"),
        ("info", "--json", f"{ESCAPE}.rgru"),
        ("verify", f"{ESCAPE}.rgru", f"{ESCAPE}2.rgru"),
        ("compare", name, f"{ESCAPE}.rgru"),
        ("thumbnail", f"{ESCAPE}.rgru", f"{ESCAPE}small.png"),
        ("decompress", f"{ESCAPE}.rgru", "-o", f"{ESCAPE}/", "--partial"),
        ("compress", "--bpp", ESCAPE, name),
        (ESCAPE,),
    ):
        result = rgru(*words)
        for text in (result.out, result.err):
            assert not set(text) & set("\x1b\x07\u202e\x9b"), words
        assert result.out or result.err


def test_a_profile_s_words_reach_no_terminal(rgru: Rgru, folder: Path) -> None:
    profile = bytearray(ImageCms.ImageCmsProfile(ImageCms.createProfile("sRGB")).tobytes())
    place = profile.find("sRGB".encode("utf-16-be"))
    assert place > 0
    profile[place : place + 8] = "\x1b[31".encode("utf-16-be")
    header = Header(8, 8, rgru_codec.default_model().id)
    Path("p.rgru").write_bytes(write_file(header, [], [Box(BOX_ICC, bytes(profile))]))
    result = rgru("info", "p.rgru")
    assert "Colour: \\x1b[31" in result.out
    assert "\x1b" not in result.out


@posix
def test_names_that_are_no_text(folder: Path, data: bytes) -> None:
    """In the usual locales standard output refuses them."""
    name = os.fsdecode(b"b\xff\xe5\xad\x97.rgru")
    try:
        Path(name).write_bytes(data)
    except OSError:
        pytest.skip("this file system takes proper names only")
    environ = {**environment(), "PYTHONIOENCODING": "latin-1"}
    words = [sys.executable, "-m", "rgru_codec.cli", "verify", name, "whole.rgru"]
    result = subprocess.run(words, env=environ, capture_output=True, check=False)
    assert result.returncode == 0, result.stderr
    assert b"b\\udcff\\u5b57.rgru: checksums match" in result.stdout
    assert b"whole.rgru: checksums match" in result.stdout


@posix
@pytest.mark.parametrize(
    ("words", "closed", "name"),
    [
        ("compress a.png -o b.rgru -l 1", ">&-", "b.rgru"),
        ("decompress whole.rgru -o b.png", "<&- >&- 2>&-", "b.png"),
        ("info whole.rgru", ">&-", "whole.rgru"),
    ],
)
def test_streams_that_are_closed(folder: Path, words: str, closed: str, name: str) -> None:
    """The numbers of closed streams would go to files, and words of libraries into these."""
    script = f"{sys.executable} -m rgru_codec.cli {words} {closed}"
    result = subprocess.run(
        ["bash", "-c", script], env=environment(), capture_output=True, check=False
    )
    assert (result.returncode, b"bug" in result.stderr) == (0, False), result.stderr
    if name == "b.rgru":
        assert Path(name).read_bytes() == rgru_codec.compress("a.png", layers=1)
    elif name == "b.png":
        with Image.open(name) as image:
            assert image.size == (40, 24)


@posix
@pytest.mark.parametrize(
    ("words", "closed", "hint"),
    [
        ("compress a.png -o -", ">&-", "standard output is closed"),
        ("decompress whole.rgru -o /dev/stdout", ">&-", "standard output is closed"),
        ("info -", "<&-", "standard input is closed"),
        ("compress - -o b.rgru", "<&-", "standard input is closed"),
    ],
)
def test_a_stream_that_is_closed_is_no_terminal(
    folder: Path, words: str, closed: str, hint: str
) -> None:
    script = f"{sys.executable} -m rgru_codec.cli {words} {closed}"
    result = subprocess.run(
        ["bash", "-c", script], env=environment(), capture_output=True, check=False, text=True
    )
    assert (result.returncode, hint in result.stderr) == (2, True), result.stderr


@pytest.mark.skipif(not Path("/dev/full").exists(), reason="Linux has /dev/full")
@pytest.mark.parametrize(
    "words",
    [("--help",), ("--version",), ("info", "--help"), ("completion", "bash"), ("info", "a.rgru")],
)
@pytest.mark.parametrize("unbuffered", ["", "1"])
def test_an_answer_that_cannot_be_written_is_no_success(
    folder: Path, words: tuple[str, ...], unbuffered: str
) -> None:
    """Argparse passes over what the stream says: help into a full disk used to exit with 0."""
    Path("a.rgru").write_bytes(Path("whole.rgru").read_bytes())
    with Path("/dev/full").open("wb") as full:
        result = subprocess.run(
            [sys.executable, "-m", "rgru_codec.cli", *words],
            env={**environment(), "PYTHONUNBUFFERED": unbuffered},
            stdout=full,
            stderr=subprocess.PIPE,
            check=False,
            text=True,
        )
    assert result.returncode == 1
    assert "standard output: no space left on the device" in result.stderr
    assert "Traceback" not in result.stderr


@pytest.mark.parametrize(
    "error",
    [
        MemoryError(),
        OSError(errno.ENOMEM, "Cannot allocate memory"),
        ImportError("libx.so: failed to map segment from shared object"),
        RuntimeError("can't start new thread"),
    ],
)
def test_every_way_of_saying_that_memory_ran_out(error: Exception) -> None:
    failure = explain(error, "a.png")
    assert (failure.code, failure.message) == (4, "a.png: not enough memory")


def test_memory_that_runs_out_in_the_engine(
    rgru: Rgru, folder: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    from ai_edge_litert.interpreter import Interpreter

    def full(self: object) -> None:
        raise RuntimeError("XNNPack delegate failed to reshape runtimeNode number 16")

    from rgru_codec.runtime import engine

    monkeypatch.setattr(engine, "_idle", {})
    monkeypatch.setattr(Interpreter, "allocate_tensors", full)
    result = rgru("compress", "a.png", "-o", "b.rgru")
    assert (result.code, "memory" in result.err) == (4, True), result.err
    assert "bug" not in result.err
    assert not Path("b.rgru").exists()


@pytest.mark.skipif(sys.platform != "linux", reason="limits of Linux")
@pytest.mark.parametrize("megabytes", [230, 240, 250, 290])
def test_too_little_memory_does_not_look_like_a_bug(folder: Path, megabytes: int) -> None:
    """With numpy 1.26 a product of matrices asked for memory for ever."""
    picture(768, 512).save("mid.png")
    command = f"exec {sys.executable} -m rgru_codec.cli compress mid.png -f"
    result = subprocess.run(
        ["bash", "-c", f"ulimit -v {megabytes}000; {command}"],
        env=environment(),
        capture_output=True,
        check=False,
        timeout=120,
    )
    err = result.stderr.decode()
    assert "bug" not in err, err
    assert result.returncode in (0, 4) or "OpenBLAS" in err, err


def test_nothing_is_printed_before_a_usage_error(folder: Path) -> None:
    result = process("compress", "--layers", "\x1b[31m", "a.png", cwd=folder)
    assert (result.returncode, result.stdout) == (2, b"")
    assert b"\x1b" not in result.stderr
