"""SPEC.md, read by a machine: its example, its table, and the reader that was written from it."""

from __future__ import annotations

import binascii
import hashlib
import json
import re
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

from rgru_format import LimitExceeded, sigmoid_table
from rgru_format.conformance import VECTORS
from rgru_format.container import MAX_PAYLOAD
from rgru_format.limits import (
    MAX_BOXES,
    MAX_CODES,
    MAX_GROUPS,
    MAX_LAYERS,
    POSITION,
    Limits,
    grid_size,
)
from tools.make_vectors import write_random

from . import independent_reader as reader

READER = Path(__file__).with_name("independent_reader.py")
SPEC = (VECTORS.parent / "SPEC.md").read_text()


def read_independently(files: list[Path]) -> dict[str, Any]:
    """Run the independent reader where neither our packages nor any others can be imported."""
    done = subprocess.run(
        [sys.executable, "-I", "-S", str(READER), str(VECTORS / "context"), *map(str, files)],
        capture_output=True,
        check=True,
        text=True,
    )
    assert done.stderr == ""
    table: dict[str, Any] = json.loads(done.stdout)
    return table


@pytest.mark.parametrize("kind", ["valid", "invalid"])
def test_the_independent_reader_finds_the_same(kind: str) -> None:
    expected = {}
    for path in sorted((VECTORS / kind).glob("*.json")):
        table = json.loads(path.read_text())
        if "context" in table or kind == "invalid":
            table.pop("context", None)
            expected[path.stem] = table
    files = [VECTORS / kind / f"{name}.rgru" for name in expected]
    assert read_independently(files) == expected


def test_the_independent_reader_reads_random_files(tmp_path: Path) -> None:
    write_random(tmp_path, count=15, seed=1000)
    expected = {}
    for path in tmp_path.glob("*.json"):
        expected[path.stem] = json.loads(path.read_text())
        del expected[path.stem]["context"]
    assert len(expected) == 15
    assert read_independently(sorted(tmp_path.glob("*.rgru"))) == expected


def test_the_independent_reader_imports_the_standard_library_only() -> None:
    modules = set(re.findall(r"^(?:import|from) (\w+)", READER.read_text(), re.MULTILINE))
    assert modules <= sys.stdlib_module_names


def test_the_example_is_the_file() -> None:
    block = SPEC.split("## 13. ")[1].split("```text\n")[1].split("```")[0]
    data = bytearray()
    for line in block.splitlines():
        if line:
            match = re.match(r"([0-9a-f]{2})  ((?:[0-9a-f]{2} )+)", line)
            assert match is not None
            assert int(match[1], 16) == len(data)
            data += bytes.fromhex(match[2])
    assert bytes(data) == (VECTORS / "valid" / "example.rgru").read_bytes()
    assert json.loads((VECTORS / "valid" / "example.json").read_text())["layers"][0] in SPEC
    digest = "b270c4ea4b8d137dacb760d61496460fdca76142074cf48dec3023aae909fdc1"
    assert hashlib.sha256(bytes.fromhex("01ff01ff01ff")).hexdigest() == digest
    assert digest in SPEC


def test_the_numbers_of_the_example_are_those_of_the_independent_reader() -> None:
    """Every table of section 13, from the reader that was written from the text."""
    text = SPEC.split("## 13. ")[1].split("## 14. ")[0]
    data = (VECTORS / "valid" / "example.rgru").read_bytes()
    context = reader.Context((VECTORS / "context" / "tiny.bin").read_bytes())
    steps = [list(map(str, row)) for row in traced_layer(context, data)]
    lines = [line.split() for line in text.splitlines()]
    for row in steps:
        assert row in lines, row


def traced_layer(context: reader.Context, data: bytes) -> Iterator[list[object]]:
    """Yield the rows that section 13 shows of layer 1 of the example."""
    picture = reader.Picture(context, height=12, width=20)
    one = context.layers[0]["passes"][0]
    h = reader.requant(one["v"])
    first = reader.conv([[h]], one["W"], 0, 0, context.M)
    second = reader.add(first, one["w"])
    again = reader.requant(second)
    z = reader.add(reader.conv([[again]], one["R"], 0, 0, 3), one["r"])
    i = [reader.clamp((value + 512) // 1024, -176, 176) for value in z]
    for name, row in [("v", one["v"]), ("h", h), ("conv1(h; W)", first), ("... + w", second)]:
        yield [*name.split(), *row]
    for name, row in [("h'", again), ("z", z), ("i (step 2.5)", i)]:
        yield [*name.split(), *row]

    rows: list[list[object]] = []

    class Decoder(reader.RangeDecoder):
        def bit(self, k: int) -> int:
            split = (65536 - k) * (2**24 - 2) // 65536 + 1
            state = [f"{self.lower:016x}", f"{self.range:016x}"]
            part = (self.point - self.lower) % 2**64 // (self.range // 2**24)
            bit = super().bit(k)
            rows.append([k, split, *state, part, bit])
            return bit

    class Learned(reader.Learned):
        def learn(self, met: list[list[tuple[int, int, int]]]) -> None:
            super().learn(met)
            if self.n == 1:
                for j, ((i, k, code),) in enumerate(met):
                    learned = [self.known[j], self.sure[j], self.shift[j], self.slope[j]]
                    rows.append([j, i, k, f"{code:+}", *learned])

    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(reader, "RangeDecoder", Decoder)
        patch.setattr(reader, "Learned", Learned)
        picture.add_group(data[0x21:0x22], 1, 0x1E)
    channels = iter((0, 2, 1, 0, 2, 1))  # in the order of the stream
    for row in rows:
        yield row if len(row) == 8 else [next(channels), *row]


def test_the_checksum_has_the_check_value_of_spec() -> None:
    assert "0x29B1" in SPEC
    assert binascii.crc_hqx(b"123456789", 0xFFFF) == 0x29B1


def test_the_limits_are_those_of_spec() -> None:
    text = SPEC.split("## 9. Limits")[1].split("## 10.")[0]
    assert f"| channels of a layer | {MAX_CODES} |" in text
    assert f"| groups of a layer | {MAX_GROUPS} |" in text
    assert f"| boxes of a file | {MAX_BOXES} |" in text
    assert f"| layers of a model, layers of a file | {MAX_LAYERS} |" in text
    assert MAX_PAYLOAD == 2**30 - 1
    assert "| width * height | 2^26 pixels |" in text
    thin = "| positions of the grid of a picture of less than 9 pixels in width or height | 2^10 |"
    assert thin in text
    assert re.search(r"before it \| 2\^24 bytes", text)
    assert Limits() == Limits(2**26, 2**24, None)
    Limits().check_pixels(2**26 // 9, 9)
    Limits().check_pixels(1, 2**14)
    Limits(max_pixels=2**26 + 2**16).check_pixels(1, 2**14 + 1)
    Limits(max_pixels=2**12).check_pixels(1, 2**12)
    Limits().check_pixels(9, 70_001)
    for height, width in ((2**14 + 1, 1), (8, 2**14 + 1), (2**24 - 1, 1), (9, 2**23)):
        with pytest.raises(LimitExceeded):
            Limits().check_pixels(height, width)


@pytest.mark.parametrize("height", range(1, 40))
@pytest.mark.parametrize("width", [2**14 + 1, 20_000, 1_000_000, 2**24 - 1])
def test_no_large_picture_has_more_than_twice_the_positions_of_a_square_one(
    height: int, width: int
) -> None:
    """Work goes by positions; 1 x 1 000 000 used to cost 16 times what 1000 x 1000 costs."""
    try:
        Limits().check_pixels(height, width)
    except LimitExceeded:
        return
    rows, columns = grid_size(height, width)
    assert rows * columns <= 1.9 * height * (width + POSITION) / POSITION**2
    assert rows * columns <= 2**19


def test_small_models_have_the_usual_table_and_one_has_not() -> None:
    table = sigmoid_table().astype("<u2").tobytes()
    for path in (VECTORS / "context").glob("*.bin"):
        data = path.read_bytes()
        at = 16 + 6 * data[9]
        assert (data[at : at + len(table)] == table) == (path.name != "odd_table.bin")


def test_every_section_that_code_names_exists() -> None:
    headings = set(re.findall(r"^#{2,3} (\d+(?:\.\d+)?)", SPEC, re.MULTILINE))
    for path in VECTORS.parent.rglob("*.py"):
        for numbers in re.findall(r"SPEC sections? ([\d., toand]*\d)", path.read_text()):
            for number in re.findall(r"\d+(?:\.\d+)?", numbers):
                assert number in headings, f"{path.name} names section {number}"
