"""What a program does that forks after it has decoded: multiprocessing, DataLoader, gunicorn."""

from __future__ import annotations

import os
import subprocess
import sys
from pathlib import Path

import pytest

import rgru_codec

from .conftest import photo

pytestmark = pytest.mark.skipif(not hasattr(os, "fork"), reason="this system cannot fork")

START = """
import multiprocessing, os, sys
import rgru_codec

data = open(sys.argv[1], "rb").read()
live = rgru_codec.Decoder(threads=2)
live.feed(data[:-1])
live.picture()
rgru_codec.decompress(data, threads=2)

def ended(child):
    pid = os.fork()
    if not pid:
        child()
    return os.waitstatus_to_exitcode(os.waitpid(pid, 0)[1])

def square(x):
    return x * x
"""
CHILDREN = {
    "that_leaves_at_once": "assert ended(lambda: os._exit(3)) == 3",
    "that_exits": "assert ended(lambda: sys.exit(4)) == 4",
    "that_frees_a_decoder": "assert ended(lambda: (globals().pop('live'), sys.exit(5))) == 5",
    "that_goes_on": """
assert ended(lambda: (live.feed(data[-1:]), live.picture(), sys.exit(6))) == 6
""",
    "that_decodes": "assert ended(lambda: (rgru_codec.decompress(data), sys.exit(7))) == 7",
    "of_a_pool": """
with multiprocessing.get_context("fork").Pool(2) as pool:
    assert pool.map(square, range(4)) == [0, 1, 4, 9]
""",
}


@pytest.mark.parametrize("child", CHILDREN)
def test_a_forked_process(child: str, tmp_path: Path) -> None:
    """Every child used to end with a segmentation fault, and a pool never."""
    file = tmp_path / "a.rgru"
    file.write_bytes(rgru_codec.compress(photo(64, 80), layers=5))
    script = tmp_path / "forks.py"
    script.write_text(START + CHILDREN[child])
    command = [sys.executable, "-W", "ignore", str(script), str(file)]
    result = subprocess.run(command, capture_output=True, text=True, timeout=120, check=False)
    assert result.returncode == 0, result.stderr
