"""The program as a whole: help, times, pipes, completions, man page, errors that are bugs."""

from __future__ import annotations

import builtins
import os
import re
import resource
import shutil
import subprocess
import sys
from pathlib import Path
from typing import Any

import pytest

import rgru_codec
from rgru_codec.cli import main
from rgru_codec.cli.program import COMMANDS, build_parser

from .conftest import ROOT, Rgru, environment, picture, process


def test_help(rgru: Rgru) -> None:
    result = rgru("--help")
    assert result.code == 0
    for command in COMMANDS:
        assert command in result.out
        assert rgru(command, "--help").code == 0
    for code in ("0 ", "1 ", "2 ", "3 ", "4 ", "5 ", "130 "):
        assert re.search(rf"^  {code}", result.out, re.MULTILINE)


def test_usage(rgru: Rgru) -> None:
    assert rgru().code == 2
    assert rgru("nonsense").code == 2
    assert rgru("compress").code == 2
    assert rgru("--version").out == f"rgru {rgru_codec.__version__}\n"


def cpu_seconds(*args: object, cwd: Path) -> float:
    before = resource.getrusage(resource.RUSAGE_CHILDREN)
    assert process(*args, cwd=cwd).returncode == 0
    after = resource.getrusage(resource.RUSAGE_CHILDREN)
    return after.ru_utime + after.ru_stime - before.ru_utime - before.ru_stime


@pytest.mark.bench
def test_help_is_immediate(tmp_path: Path) -> None:
    assert min(cpu_seconds("--help", cwd=tmp_path) for _ in range(3)) < 0.25


@pytest.mark.bench
def test_small_pictures_are_quick(tmp_path: Path) -> None:
    """Processor time: on a machine that has nothing else to do, wall time is no longer."""
    picture(64, 64).save(tmp_path / "a.png")
    for args in (("compress", "a.png", "-f"), ("decompress", "a.rgru", "-f")):
        assert min(cpu_seconds(*args, cwd=tmp_path) for _ in range(3)) < 1.5, args


def test_an_interruption_while_the_program_is_loaded_has_no_traceback(
    monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    def interrupted(name: str, *rest: Any) -> Any:
        if name == "rgru_codec.cli.program":
            raise KeyboardInterrupt
        return load(name, *rest)

    load = builtins.__import__
    monkeypatch.setattr(builtins, "__import__", interrupted)
    assert main(["--version"]) == 130
    assert capsys.readouterr().err == "rgru: interrupted\n"


def test_nobody_reads_on(tmp_path: Path, data: bytes) -> None:
    (tmp_path / "a.rgru").write_bytes(data)
    command = [sys.executable, "-m", "rgru_codec.cli", "decompress", "a.rgru", "-o", "-"]
    running = subprocess.Popen(
        command,
        cwd=tmp_path,
        env=environment(),
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
    )
    assert running.stdout is not None
    running.stdout.close()
    _, err = running.communicate(timeout=30)
    assert running.returncode == 1
    assert err == b""


def test_a_bug_has_no_traceback(rgru: Rgru, folder: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    def broken(*args: object) -> None:
        raise ZeroDivisionError("nought")

    monkeypatch.setattr("rgru_codec.encoder.prepare", broken)
    result = rgru("compress", "a.png")
    assert result.code == 1
    assert "a.png: unexpected ZeroDivisionError: nought. This is a bug" in result.err
    monkeypatch.setenv("RGRU_DEBUG", "1")
    with pytest.raises(ZeroDivisionError):
        rgru("compress", "a.png")


def test_no_memory(rgru: Rgru, folder: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    def hungry(*args: object) -> None:
        raise MemoryError

    monkeypatch.setattr("rgru_codec.encoder.prepare", hungry)
    result = rgru("compress", "a.png")
    assert (result.code, "a.png: not enough memory" in result.err) == (4, True)


def test_ascii_terminals(folder: Path) -> None:
    environ = {**environment(), "PYTHONIOENCODING": "ascii"}
    command = [sys.executable, "-m", "rgru_codec.cli", "compress", "a.png", "-l", "1"]
    result = subprocess.run(command, capture_output=True, env=environ, cwd=folder, check=True)
    assert b" -> " in result.stderr


def test_strange_names(folder: Path) -> None:
    name = os.fsdecode("bä\xff ".encode("latin-1") + b"d.png")
    try:
        (folder / name).write_bytes((folder / "a.png").read_bytes())
    except OSError:
        pytest.skip("this file system takes proper names only")
    assert process("compress", name, "-l", 1, cwd=folder).returncode == 0
    assert (folder / name).with_suffix(".rgru").exists()


@pytest.mark.parametrize("shell", ["bash", "zsh", "tcsh"])
def test_completion(rgru: Rgru, shell: str) -> None:
    result = rgru("completion", shell)
    assert result.code == 0
    assert rgru("--print-completion", shell) == result
    assert "rgru" in result.out
    assert "thumbnail" in result.out
    assert {"zsh": ':_files"', "tcsh": "/f/"}.get(shell, "compgen_files") in result.out


@pytest.mark.skipif(shutil.which("bash") is None, reason="needs bash")
@pytest.mark.parametrize(
    ("line", "found"),
    [
        ("rgru comp", "compare completion compress"),
        ("rgru compress --la", "--layers"),
        ("rgru compress a.", "a.png"),
        ("rgru compress a.png who", "whole.rgru"),
        ("rgru decompress whole.rgru -o a.", "a.png"),
        ("rgru decompress --steps st", "steps"),
        ("rgru compare a.png who", "whole.rgru"),
    ],
)
def test_completion_works_in_bash(rgru: Rgru, folder: Path, line: str, found: str) -> None:
    (folder / "steps").mkdir()
    (folder / "still.txt").touch()
    Path("rgru.bash").write_text(rgru("completion", "bash").out)
    ask = (
        f"source ./rgru.bash; COMP_WORDS=({line}); COMP_CWORD={line.count(' ')}; "
        f"COMP_LINE='{line}'; _shtab_rgru; echo ${{COMPREPLY[@]}}"
    )
    result = subprocess.run(["bash", "-c", ask], capture_output=True, text=True, check=False)
    assert sorted(result.stdout.split()) == found.split()


checkout = pytest.mark.skipif(
    not (ROOT / "docs").is_dir(), reason="the manual page is part of a checkout"
)


@checkout
def test_man_page_is_up_to_date() -> None:
    """tools/make_man.py writes it anew."""
    pytest.importorskip("argparse_manpage")
    from tools import make_man

    page = make_man.PAGE.read_text("utf-8")
    assert page == make_man.page()
    actions = next(a for a in build_parser()._actions if a.metavar == "COMMAND").choices
    assert isinstance(actions, dict)
    for command, parser in actions.items():
        assert f"rgru {command}" in page
        for action in parser._actions:
            for option in action.option_strings:
                if option.startswith("--") and option != "--help":
                    assert option.replace("-", "\\-") in page, (command, option)


@checkout
@pytest.mark.skipif(shutil.which("groff") is None, reason="groff is not installed")
def test_man_page_is_sound_troff() -> None:
    command = ["groff", "-man", "-Tutf8", "-ww", str(ROOT / "docs" / "rgru.1")]
    result = subprocess.run(command, capture_output=True, check=True)
    assert result.stderr == b""
    assert b"show this help" in result.stdout or b"processes that work" in result.stdout
