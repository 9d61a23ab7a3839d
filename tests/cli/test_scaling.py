"""Regions and limits on the command line."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest
from PIL import Image

from rgru_format import Limits

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
    name = "result.rgru" if command == "compress" else "result.png"
    output = (name,) if command == "thumbnail" else ("-o", name)
    result = rgru(command, source, *output, "--max-memory", "1M")
    assert result.code == 4
    assert "bytes of memory, the limit is 1 000 000; allow more with --max-memory " in result.err
    assert not Path(name).exists()
    needed = result.err.split()[-1]
    assert rgru(command, source, *output, "--max-memory", needed).code == 0


@pytest.mark.parametrize("verbose", [(), ("-v",)])
def test_compress_above_the_default_limit_says_what_it_did(
    rgru: Rgru, folder: Path, monkeypatch: pytest.MonkeyPatch, verbose: tuple[str, ...]
) -> None:
    """--max-pixels holds for the summary too: it used to fail behind the work."""
    defaults = Limits.__init__.__defaults__
    assert defaults is not None
    monkeypatch.setattr(Limits.__init__, "__defaults__", (100, *defaults[1:]))
    result = rgru("compress", "a.png", "-o", "b.rgru", "-l", 2, "--max-pixels", 960, *verbose)
    assert (result.code, "2 layers" in result.err) == (0, True)
