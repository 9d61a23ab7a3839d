"""What a signal leaves behind: no file in part, no process."""

from __future__ import annotations

import signal
import subprocess
import sys
import time
from pathlib import Path

import pytest

from .conftest import environment, picture

posix = pytest.mark.skipif(sys.platform == "win32", reason="signals of POSIX")


@posix
@pytest.mark.parametrize("name", ["SIGTERM", "SIGHUP"])
@pytest.mark.parametrize("moment", ["encoding", "writing"])
def test_no_temporary_file_stays_behind_a_signal(folder: Path, name: str, moment: str) -> None:
    """The file is made when its bytes are ready; a signal after that takes it away."""
    script = f"""
import os, signal, sys
from rgru_codec import files
from rgru_codec.cli import main, pictures
from pathlib import Path
def end(*args, **options):
    left = [p.name for p in Path().glob(".*")]
    print(left, flush=True)
    os.kill(os.getpid(), signal.{name})
    signal.sigtimedwait([], 5)
if {moment!r} == "writing":
    os.fsync = end
else:
    pictures.encode_picture = end
    from rgru_codec.cli import decompress
    decompress.encode_picture = end
sys.exit(main(["decompress", "whole.rgru", "-o", "b.png"]))
"""
    command = [sys.executable, "-c", script]
    result = subprocess.run(command, env=environment(), capture_output=True, check=False)
    assert result.returncode == 128 + getattr(signal, name)
    assert (b".part" in result.stdout) == (moment == "writing")
    assert not list(folder.glob(".*"))
    assert not Path("b.png").exists()
    assert b"Traceback" not in result.stderr


@pytest.mark.skipif(not Path("/proc/self/stat").exists(), reason="looks into /proc")
@pytest.mark.parametrize("name", ["SIGTERM", "SIGKILL"])
def test_no_process_and_no_file_outlives_the_program(folder: Path, name: str) -> None:
    for number in range(8):
        picture(300, 200, seed=number).save(folder / f"big{number}.png")
    command = [sys.executable, "-m", "rgru_codec.cli", "compress", "big*.png", "-j", "2"]
    running = subprocess.Popen(
        command, env=environment(), stderr=subprocess.DEVNULL, start_new_session=True
    )
    until = time.monotonic() + 60
    while not list(folder.glob("big*.rgru")) and time.monotonic() < until:
        time.sleep(0.02)
    running.send_signal(getattr(signal, name))
    running.wait(30)
    until = time.monotonic() + 10
    while left(running.pid) and time.monotonic() < until:
        time.sleep(0.1)
    assert not left(running.pid)
    assert not list(folder.glob(".rgru-*"))
    assert len(list(folder.glob("big*.rgru"))) < 8


def left(session: int) -> list[str]:
    found = []
    for path in Path("/proc").glob("[0-9]*/stat"):
        try:
            fields = path.read_text().rsplit(")", 1)[1].split()
        except OSError:
            continue
        if int(fields[3]) == session and fields[0] != "Z":
            found.append(path.parent.name)
    return found


@posix
def test_a_worker_that_is_terminated_fails_its_picture_only(folder: Path) -> None:
    """The batch used to end without a word, summary or list."""
    for number in range(6):
        picture(300, 200, seed=number).save(folder / f"big{number}.png")
    script = """
import glob, os, signal, sys, time
from pathlib import Path
from rgru_codec import encoder
from rgru_codec.cli import main
if __name__ == "__main__":
    sys.exit(main(["compress", "big*.png", "-l", "1", "-j", "2", "--failures", "failed"]))
whole = encoder.encode
def encode(*args):
    if glob.glob("big*.rgru") and not os.path.exists("mark"):
        Path("mark").touch()
        os.kill(os.getpid(), signal.SIGTERM)
        time.sleep(.5)  # another thread may get it: Python runs handlers in this one, here
    return whole(*args)
encoder.encode = encode
"""
    Path("script.py").write_text(script)
    result = subprocess.run(
        [sys.executable, "script.py"], env=environment(), capture_output=True, check=False
    )
    err = result.stderr.decode()
    assert (result.returncode, "5 compressed, 1 failed" in err) == (1, True), err
    assert "the process working on it died (exit code 143)" in err
    assert Path("failed").read_text().count("\n") == 1
