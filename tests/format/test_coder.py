"""The range coder: golden bytes, the integer text of SPEC, and how much it costs."""

from __future__ import annotations

import random
import subprocess
import sys
from collections.abc import Iterator

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from numpy.typing import NDArray

from rgru_format import Damaged, coder
from rgru_format.coder import BitDecoder, BitEncoder, chances

Probabilities = NDArray[np.uint16]
BACKENDS = ("constriction", "plain Python")


@pytest.fixture(params=BACKENDS, autouse=True, scope="module")
def backend(request: pytest.FixtureRequest) -> Iterator[str]:
    """Every test is run with constriction and with what serves where it is missing."""
    with pytest.MonkeyPatch.context() as patch:
        if request.param == "constriction":
            pytest.importorskip("constriction")
        else:
            patch.setattr(coder, "_library", lambda: None)
        yield request.param


lists = st.lists(st.integers(1, 65535), max_size=300)


def encode(bits: list[int], chance: list[int]) -> bytes:
    encoder = BitEncoder()
    encoder.encode(np.array(bits, np.int32), chances(np.array(chance, np.uint16)))
    return encoder.finish()


def plain_decode(payload: bytes, chance: list[int]) -> list[int]:
    """SPEC section 8.3, in plain integers."""
    top = 2**64
    at = 8
    point = int.from_bytes(payload[:8].ljust(8, b"\0"), "big")
    lower, width, bits = 0, top - 1, []
    for k in chance:
        split = (65536 - k) * (2**24 - 2) // 65536 + 1
        scale = width >> 24
        quotient = (point - lower) % top // scale
        assert quotient < 2**24
        bit = int(quotient >= split)
        lower = (lower + scale * split * bit) % top
        width = scale * (2**24 - split if bit else split)
        if width < 2**32:
            word = int.from_bytes(payload[at : at + 4].ljust(4, b"\0"), "big")
            at += 4
            lower, width = (lower << 32) % top, width << 32
            point = (point << 32) % top | word
        bits.append(bit)
    return bits


def message(seed: int, size: int) -> tuple[list[int], list[int]]:
    generator = random.Random(seed)  # its sequence never changes, unlike numpy's
    chance = [generator.randrange(1, 65536) for _ in range(size)]
    return [int(generator.randrange(65536) < k) for k in chance], chance


@pytest.mark.parametrize(
    ("bits", "chance", "expected"),
    [
        ([], [], ""),
        ([0], [32768], ""),
        ([1], [32768], "80"),
        ([1, 0, 1, 1, 0, 0, 1, 0], [32768] * 8, "b2"),
        ([1] * 4, [1] * 4, "fffffffffdff0201"),
        ([0] * 4, [65535] * 4, ""),
        ([0] * 5000, [1] * 5000, ""),
        (*message(7, 100), "da7aa096f643370e3f0e"),
    ],
)
def test_golden_bytes(bits: list[int], chance: list[int], expected: str) -> None:
    assert encode(bits, chance).hex() == expected


@given(lists, st.integers(0, 2**300 - 1))
def test_bits_come_back_from_both_decoders(chance: list[int], digits: int) -> None:
    bits = [digits >> index & 1 for index in range(len(chance))]
    payload = encode(bits, chance)
    assert not payload.endswith(b"\0")
    assert plain_decode(payload, chance) == bits
    assert BitDecoder(payload).decode(chances(np.array(chance, np.uint16))).tolist() == bits


def test_carries_into_earlier_words_survive_the_early_end() -> None:
    # Many short messages, so that the interval ends on either side of a carry.
    for seed in range(2000):
        bits, chance = message(seed, seed % 90)
        payload = encode(bits, chance)
        assert BitDecoder(payload).decode(chances(np.array(chance, np.uint16))).tolist() == bits


def test_no_stream_can_end_a_byte_earlier() -> None:
    for seed in range(300):
        bits, chance = message(seed, 1 + seed % 90)
        payload = encode(bits, chance)
        if payload:
            shorter = payload[:-1]
            value = int.from_bytes(shorter, "big")
            for other in (value, value + 1):
                if other < 256 ** len(shorter):
                    candidate = other.to_bytes(len(shorter), "big")
                    assert plain_decode_or_none(candidate, chance) != bits


def plain_decode_or_none(payload: bytes, chance: list[int]) -> list[int] | None:
    try:
        return plain_decode(payload, chance)
    except AssertionError:
        return None


@given(st.binary(max_size=40), lists)
def test_any_bytes_decode_alike_or_are_damage(payload: bytes, chance: list[int]) -> None:
    expected = plain_decode_or_none(payload, chance)
    try:
        actual = BitDecoder(payload).decode(chances(np.array(chance, np.uint16))).tolist()
    except Damaged:
        actual = None
    assert actual == expected


def test_splitting_a_message_over_calls_changes_nothing() -> None:
    bits, chance = message(3, 500)
    coder = BitEncoder()
    for start in range(0, 500, 7):
        part = slice(start, start + 7)
        coder.encode(np.array(bits[part], np.int32), chances(np.array(chance[part], np.uint16)))
    assert coder.finish() == encode(bits, chance)


@pytest.mark.parametrize("size", [0, 1, 10, 100, 1000, 50000])
def test_size_is_close_to_the_ideal(size: int) -> None:
    bits, chance = message(size, size)
    p = np.array(chance) / 65536
    ideal = -np.log2(np.where(np.array(bits) == 1, p, 1 - p)).sum()
    assert 8 * len(encode(bits, chance)) <= ideal * 1.001 + 32


def test_the_cheapest_and_the_dearest_bit() -> None:
    assert len(encode([1] * 100_000, [65535] * 100_000)) <= 2.3 / 8 + 4
    assert len(encode([1] * 100, [1] * 100)) <= 200 + 4


def test_the_coder_prints_nothing() -> None:
    program = (
        "import numpy as np\n"
        "from rgru_format.coder import BitDecoder, BitEncoder, chances\n"
        "coder = BitEncoder()\n"
        "coder.encode(np.ones(9, np.int32), chances(np.full(9, 40000, np.uint16)))\n"
        "data = coder.finish()\n"
        "assert BitDecoder(data).decode(chances(np.full(9, 40000, np.uint16))).all()\n"
    )
    path = repr([p for p in sys.path if p])
    done = subprocess.run(
        [sys.executable, "-W", "error", "-c", f"import sys; sys.path[:0] = {path}\n{program}"],
        capture_output=True,
        check=True,
    )
    assert (done.stdout, done.stderr) == (b"", b"")
