"""Regions and limits on the command line."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest
from PIL import Image

from .conftest import Rgru


def test_region(rgru: Rgru, folder: Path) -> None:
    assert rgru("decompress", "whole.rgru", "-o", "all.png").code == 0
    assert rgru("decompress", "whole.rgru", "--region", "9,5,20,11", "-o", "part.png").code == 0
    part = np.asarray(Image.open("part.png")).astype(int)
    whole = np.asarray(Image.open("all.png").crop((9, 5, 29, 16)))
    assert np.abs(part - whole).max() <= 1


@pytest.mark.parametrize(
    ("region", "words"),
    [
        ("1,2,3", "is not X,Y,W,H"),
        ("a,b,c,d", "is not X,Y,W,H"),
        ("0,0,0,1", "W and H at least 1"),
        ("30,0,20,5", "does not lie in the picture, which has 40x24 pixels"),
    ],
)
def test_a_region_that_is_none(rgru: Rgru, folder: Path, region: str, words: str) -> None:
    result = rgru("decompress", "whole.rgru", "--region", region, "-o", "part.png")
    assert (result.code, words in result.err) == (2, True)
    assert not Path("part.png").exists()


@pytest.mark.parametrize("command", ["compress", "decompress", "thumbnail"])
def test_memory_limit(rgru: Rgru, folder: Path, command: str) -> None:
    source = "a.png" if command == "compress" else "whole.rgru"
    output = ("result.png",) if command == "thumbnail" else ("-o", "result.png")
    result = rgru(command, source, *output, "--max-memory", "1M")
    assert result.code == 4
    assert "bytes of memory, the limit is 1 000 000; allow more with --max-memory " in result.err
    assert not Path("result.png").exists()
    needed = result.err.split()[-1]
    assert rgru(command, source, *output, "--max-memory", needed).code == 0
