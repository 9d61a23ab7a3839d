"""The context model: its file, its bound, and one result whatever runs it."""

from __future__ import annotations

import dataclasses
import hashlib
import os
import subprocess
import sys
import threading
import zlib
from typing import Any

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from numpy.typing import NDArray
from threadpoolctl import threadpool_info

from rgru_format import (
    ContextModel,
    Damaged,
    Evaluator,
    InvalidInput,
    PassWeights,
    sigmoid_table,
)
from rgru_format.context import evaluator as evaluation
from rgru_format.context.evaluator import Codes
from rgru_format.context.exact import exact_products
from rgru_format.context.file import TABLE_SIZE
from rgru_format.context.order import (
    chunk_size,
    group_bounds,
    neighbour_rows,
    phase_grid,
    phase_positions,
    turns,
)
from rgru_format.context.weights import ACCUMULATOR_MAX
from tools.random_files import random_codes, random_model

from .definition import DefinedEvaluator

GRIDS = [(1, 1), (1, 2), (2, 1), (1, 9), (9, 1), (3, 3), (5, 8), (7, 5)]


def assert_equal_results(model: ContextModel, layers: list[Codes]) -> None:
    rows, columns = layers[0].shape[:2]
    plain = DefinedEvaluator(model, rows, columns)
    quick = Evaluator(model, rows, columns)
    previous = None
    for t, codes in enumerate(layers):
        plain.start_layer(previous)
        quick.start_layer(previous)
        for group in range(model.groups[t]):
            for phase in range(model.phases[t]):
                for everywhere in (False, True):
                    one = plain.indices(codes, group, phase, everywhere)
                    other = quick.indices(codes, group, phase, everywhere)
                    if everywhere and phase:
                        continue  # no use of it: a later pass knows only a part of its group
                    assert one.dtype == other.dtype == np.int16
                    np.testing.assert_array_equal(one, other)
        previous = codes


@pytest.mark.parametrize("phases", [(2,) * 5, (4, 4, 2, 4, 4), (5, 5, 2, 4, 5)])
@pytest.mark.parametrize("extreme", [False, True])
@pytest.mark.parametrize("grid", GRIDS)
def test_fast_path_equals_reference(
    grid: tuple[int, int], extreme: bool, phases: tuple[int, ...]
) -> None:
    sizes = ((3, 4, 7, 2, 9), (1, 2, 3, 1, 4))
    model = random_model(5, *sizes, states=4, hidden=6, extreme=extreme, phases=phases)
    assert_equal_results(model, random_codes(1, model, *grid))
    for sign in (-1, 1):
        shapes = [(*grid, count) for count in model.codes]
        assert_equal_results(model, [np.full(shape, sign, np.int8) for shape in shapes])


@settings(max_examples=25)
@given(st.integers(0, 2**32), st.integers(1, 9), st.integers(1, 9), st.booleans(), st.data())
def test_fast_path_equals_reference_on_random_models(
    seed: int, rows: int, columns: int, extreme: bool, data: st.DataObject
) -> None:
    codes = data.draw(st.lists(st.integers(1, 9), min_size=1, max_size=3))
    groups = [data.draw(st.integers(1, count)) for count in codes]
    width = data.draw(st.integers(1, 20))
    phases = [data.draw(st.sampled_from([2, 4, 5])) for _ in codes]
    kind: dict[str, Any] = {"extreme": extreme, "phases": phases}
    model = random_model(seed, codes, groups, states=width, hidden=21 - width, **kind)
    assert_equal_results(model, random_codes(seed, model, rows, columns))


def test_channels_without_effect_are_left_out() -> None:
    model = random_model(5, (3, 4, 7), (1, 2, 3), states=5, hidden=6, phases=(5, 4, 2))
    for layer in model.layers[1:]:
        layer.U[:, :, 3:] = layer.B[3:] = 0
    for one in (one for layer in model.layers[:2] for group in layer.passes for one in group):
        one.W[[0, 4]] = one.R[2:] = 0
    assert_equal_results(model, random_codes(1, model, 7, 9))
    found = [evaluation.prepared(model, t) for t in range(3)]
    assert [layer.a.size for layer in found] == [3, 3, 3]
    assert [layer.U.shape[2] for layer in found] == [4, 4, 6]
    assert found[1].passes[1][1].W.shape == (4, 2)


def test_models_of_which_nothing_has_an_effect() -> None:
    model = random_model(5, (3, 4), (1, 2), states=2, hidden=3)
    for layer in model.layers:
        for one in (one for group in layer.passes for one in group):
            one.W[:] = one.R[:] = 0
        layer.U[:] = layer.B[:] = 0
    assert_equal_results(model, random_codes(1, model, 4, 3))


def test_extreme_models_use_the_whole_range() -> None:
    model = random_model(3, (6, 6), (2, 1), states=8, hidden=8, extreme=True)
    evaluator = DefinedEvaluator(model, 6, 6)
    evaluator.start_layer(None)
    codes = random_codes(0, model, 6, 6)[0]
    index = evaluator.indices(codes, 1, 1)
    assert (index.min(), index.max()) == (0, TABLE_SIZE - 1)


def test_tiles_do_not_show() -> None:
    """A grid of several tiles in both directions, odd sizes."""
    model = random_model(8, (2, 3), (1, 2), states=3, hidden=3, extreme=True, phases=(5, 2))
    assert_equal_results(model, random_codes(2, model, 67, 141))
    assert_equal_results(model, random_codes(2, model, 9, 1030))  # too wide for whole rows


PROGRAM = """
import hashlib, sys
sys.path[:0] = {path!r}
from rgru_format import Evaluator
from tools.random_files import random_codes, random_model
digest = hashlib.sha256()
for extreme in (False, True):
    model = random_model(11, (96, 64), (1, 2), states=48, hidden=64, extreme=extreme)
    first, second = random_codes(4, model, 24, 31)
    evaluator = Evaluator(model, 24, 31)
    evaluator.start_layer(None)
    digest.update(evaluator.indices(first, 0, 1).tobytes())
    evaluator.start_layer(first)
    for group in (0, 1):
        for phase in (0, 1):
            digest.update(evaluator.indices(second, group, phase).tobytes())
print(digest.hexdigest())
"""


def test_the_number_of_threads_does_not_matter() -> None:
    digests = set()
    for threads in ("1", "2", "3"):
        names = ("OPENBLAS_NUM_THREADS", "MKL_NUM_THREADS", "OMP_NUM_THREADS")
        done = subprocess.run(
            [sys.executable, "-c", PROGRAM.format(path=[p for p in sys.path if p])],
            env={**os.environ, **dict.fromkeys(names, threads)},
            capture_output=True,
            check=True,
            text=True,
        )
        digests.add(done.stdout.strip())
    digest = hashlib.sha256()
    for extreme in (False, True):
        model = random_model(11, (96, 64), (1, 2), states=48, hidden=64, extreme=extreme)
        first, second = random_codes(4, model, 24, 31)
        evaluator = DefinedEvaluator(model, 24, 31)
        evaluator.start_layer(None)
        digest.update(evaluator.indices(first, 0, 1).tobytes())
        evaluator.start_layer(first)
        for group in (0, 1):
            for phase in (0, 1):
                digest.update(evaluator.indices(second, group, phase).tobytes())
    assert digests == {digest.hexdigest()}


def test_only_known_codes_are_looked_at(model: ContextModel) -> None:
    codes = random_codes(1, model, 5, 6)[2].copy()
    other = codes.copy()
    start, stop = group_bounds(5, 3)[1]
    later = phase_positions(5, 6, 1, 5)
    for phase in (2, 3, 4):
        later = np.append(later, phase_positions(5, 6, phase, 5))
    other.reshape(-1, 5)[later, start:] *= -1  # own group in phase 1, and all later groups
    other[..., stop:] *= -1
    for kind in (Evaluator, DefinedEvaluator):
        evaluator = kind(model, 5, 6)
        evaluator.start_layer(None)
        evaluator.start_layer(random_codes(1, model, 5, 6)[0])
        evaluator.start_layer(random_codes(1, model, 5, 6)[1])
        one = evaluator.indices(codes, 1, 1)
        np.testing.assert_array_equal(one, evaluator.indices(other, 1, 1))


@pytest.mark.parametrize("extreme", [False, True])
def test_models_come_back_from_their_bytes(extreme: bool) -> None:
    model = random_model(2, (3, 4, 5), (1, 2, 3), extreme=extreme, phases=(2, 4, 5))
    data = model.to_bytes()
    again = ContextModel.from_bytes(data)
    assert again.to_bytes() == data
    assert (again.codes, again.groups) == ((3, 4, 5), (1, 2, 3))
    assert again.phases == (2, 4, 5)
    assert (again.states, again.hidden) == (4, 5)
    assert again.digest() == hashlib.sha256(data).digest()


def test_damaged_models_are_refused() -> None:
    data = random_model(2).to_bytes()
    for size in range(0, len(data), 97):
        with pytest.raises(Damaged, match="context model"):
            ContextModel.from_bytes(data[:size])
    for bit in range(0, 8 * len(data), 131):
        flipped = bytearray(data)
        flipped[bit // 8] ^= 1 << bit % 8
        with pytest.raises(Damaged, match="context model"):
            ContextModel.from_bytes(bytes(flipped))


@pytest.mark.parametrize(
    ("at", "value", "word"),
    [
        (8, b"\x00", "layout"),
        (8, b"\x02", "layout"),
        (9, b"\x41", "64 layers, got 65"),
        (9, b"\x00", "layers"),
        (10, b"\x00\x00", "state channels"),
        (10, b"\xff\xff", "state channels"),
        (12, b"\x00\x00", "hidden channels"),
        (14, b"\x00\x00", "table"),
        (16, b"\x00\x00", "codes"),
        (16, b"\x00\x04", "too early"),
        (16, b"\x01\x04", "codes"),
        (18, b"\x00\x00", "groups"),
        (18, b"\x09\x00", "groups"),
        (20, b"\x03\x00", "phases"),
        (28, b"\x00\x00", "probability of 0"),
        (28, b"\x09\x00", "decrease"),
    ],
)
def test_bad_fields_of_a_model_are_refused(at: int, value: bytes, word: str) -> None:
    body = bytearray(random_model(2).to_bytes()[:-4])
    body[at : at + len(value)] = value
    data = bytes(body) + zlib.crc32(body).to_bytes(4, "little")
    with pytest.raises(Damaged, match=word):
        ContextModel.from_bytes(data)


def test_left_over_bytes_of_a_model_are_refused() -> None:
    body = random_model(2).to_bytes()[:-4] + b"\0"
    with pytest.raises(Damaged, match="left over"):
        ContextModel.from_bytes(body + zlib.crc32(body).to_bytes(4, "little"))


def raised(weights: PassWeights, name: str) -> PassWeights:
    """Return weights with the bias of a sum raised in magnitude by one."""
    bias = getattr(weights, name).copy()
    bias[0] += np.sign(bias[0]) or 1
    return dataclasses.replace(weights, **{name: bias})


@pytest.mark.parametrize("name", ["v", "w", "r"])
def test_a_sum_that_could_leave_the_exact_range_is_refused(name: str) -> None:
    model = random_model(3, (4,), (2,), states=3, hidden=3, extreme=True)
    layer = model.layers[0]
    first, second = layer.passes[0], layer.passes[1]
    changed = dataclasses.replace(layer, passes=(first, (second[0], raised(second[1], name))))
    with pytest.raises(
        InvalidInput, match=rf"layer 1, sum .*group 1, phase 1.*{ACCUMULATOR_MAX + 1}"
    ):
        ContextModel((changed,), model.table)


@pytest.mark.parametrize(("phases", "row"), [*[(2, r) for r in range(4)], (4, 0), (4, 9), (5, 11)])
def test_what_a_channel_adds_to_its_logit_is_bounded_too(phases: int, row: int) -> None:
    model = random_model(3, (4,), (2,), states=3, hidden=3, extreme=True, phases=(phases,))
    layer = model.layers[0]
    Q = layer.Q.copy()
    Q[row, 1] += 1
    with pytest.raises(InvalidInput, match=r"sum R of group 0"):
        ContextModel((dataclasses.replace(layer, Q=Q),), model.table)


def test_phases_are_two_four_or_five_and_the_same_in_all_groups() -> None:
    model = random_model(3, (4,), (2,), states=3, hidden=3, phases=(4,))
    layer = model.layers[0]
    for count, word in [(3, "2, 4 or 5 phases"), (0, "2, 4 or 5 phases"), (2, "Q must be")]:
        passes = tuple(group[:count] for group in layer.passes)
        with pytest.raises(InvalidInput, match=word):
            ContextModel((dataclasses.replace(layer, passes=passes),), model.table)
    uneven = (layer.passes[0], layer.passes[1][:2])
    with pytest.raises(InvalidInput, match="the same number of phases"):
        ContextModel((dataclasses.replace(layer, passes=uneven),), model.table)


def test_a_shift_beyond_the_table_is_refused() -> None:
    model = random_model(3, (4,), (2,), states=3, hidden=3)
    q = model.layers[0].q.copy()
    q[1] = 353
    with pytest.raises(InvalidInput, match="352 sixteenths"):
        ContextModel((dataclasses.replace(model.layers[0], q=q),), model.table)


def test_the_sum_of_the_state_is_bounded_too() -> None:
    model = random_model(3, (4,), (2,), states=3, hidden=3, extreme=True)
    bias = model.layers[0].a.copy()
    bias[0] += np.sign(bias[0])
    with pytest.raises(InvalidInput, match=r"sum A \+ B"):
        ContextModel((dataclasses.replace(model.layers[0], a=bias),), model.table)


def test_wrong_shapes_are_refused(model: ContextModel) -> None:
    layer = model.layers[0]
    wrong = dataclasses.replace(layer, a=layer.a[:-1])
    with pytest.raises(InvalidInput, match="a must be int32"):
        ContextModel((wrong,), model.table)
    with pytest.raises(InvalidInput, match="layers"):
        ContextModel((), model.table)
    with pytest.raises(InvalidInput, match="table"):
        ContextModel(model.layers, model.table[1:])


def test_the_usual_table() -> None:
    table = sigmoid_table()
    assert table.shape == (353,)
    assert (table[0], table[176], table[352]) == (1, 32768, 65535)
    assert (np.diff(table.astype(int)) >= 0).all()
    assert (table.astype(int) + table[::-1].astype(int) == 65536).all()
    assert hashlib.sha256(table.astype("<u2").tobytes()).hexdigest() == (
        "8a56f9186636316ade60eb269429d69add42cfb168f7a4df63e5abb756e1b0ef"
    )


def test_groups_are_even_parts_larger_ones_first() -> None:
    assert group_bounds(10, 4) == [(0, 3), (3, 6), (6, 8), (8, 10)]
    assert group_bounds(4, 1) == [(0, 4)]
    assert group_bounds(3, 3) == [(0, 1), (1, 2), (2, 3)]


def test_two_phases_are_a_checkerboard_in_raster_order() -> None:
    assert phase_positions(2, 3, 0, 2).tolist() == [0, 2, 4]
    assert phase_positions(2, 3, 1, 2).tolist() == [1, 3, 5]
    assert phase_positions(1, 1, 1, 2).tolist() == []


def test_four_phases_know_all_neighbours_of_the_kinds_that_they_look_at() -> None:
    rows, columns = 6, 7
    grid = phase_grid(rows, columns, 4)
    assert grid[:2, :2].tolist() == [[0, 2], [3, 1]]
    for phase in range(4):
        for _, taps in neighbour_rows(4, phase):
            for place in phase_positions(rows, columns, phase, 4):
                y, x = divmod(int(place), columns)
                around = [(y + dy - 1, x + dx - 1) for dy, dx in taps]
                inside = [(v, u) for v, u in around if 0 <= v < rows and 0 <= u < columns]
                assert all(grid[v, u] < phase for v, u in inside)
    rows_of_q = [row for phase in range(4) for row, _ in neighbour_rows(4, phase)]
    assert rows_of_q == [2, 4, 6, 8]


def test_chunks_grow_from_16_to_512_positions() -> None:
    assert [chunk_size(n) for n in (0, 67, 68, 71, 72, 2047, 2048, 10**6)] == [
        *(16, 16, 17, 17, 18, 511, 512, 512)
    ]


@pytest.mark.parametrize(
    ("group", "expected"),
    [((0, 5), [[0, 2, 4], [1, 3]]), ((3, 6), [[4], [3, 5]]), ((2, 3), [[2]]), ((3, 4), [[3]])],
)
def test_even_channels_come_before_odd_ones(
    group: tuple[int, int], expected: list[list[int]]
) -> None:
    every = range(9)
    assert [list(every[channels]) for channels in turns(*group)] == expected


@pytest.mark.parametrize("name", ["divide", "over", "invalid"])
def test_flags_that_a_processor_sets_in_exact_products_mean_nothing(
    monkeypatch: pytest.MonkeyPatch, name: str, model: ContextModel
) -> None:
    """As some do with the Scalable Matrix Extension (numpy issue 28687)."""
    causes = {"divide": (1.0, 0.0), "over": (1e38, 1e-38), "invalid": (0.0, 0.0)}
    honest = evaluation._requantise

    def noisy(total: NDArray[np.float32]) -> NDArray[np.float32]:
        above, below = causes[name]
        np.divide(np.float32(above), np.float32(below))  # sets the flag
        return honest(total)

    codes = random_codes(1, model, 4, 5)
    expected = Evaluator(model, 4, 5)
    evaluator = Evaluator(model, 4, 5)
    with np.errstate(all="raise"):
        expected.start_layer(None)
        monkeypatch.setattr(evaluation, "_requantise", noisy)
        evaluator.start_layer(None)
        found = evaluator.indices(codes[0], 0, 1)
        evaluator.start_layer(codes[0])
        monkeypatch.undo()
        np.testing.assert_array_equal(found, expected.indices(codes[0], 0, 1))


def blas_threads() -> set[int]:
    return {one["num_threads"] for one in threadpool_info() if one["user_api"] == "blas"}


def test_the_entropy_stage_uses_one_blas_thread_and_gives_the_others_back() -> None:
    seen: list[set[int]] = []
    before = blas_threads()
    inside, leave = threading.Event(), threading.Event()

    def other() -> None:
        with exact_products():
            inside.set()
            leave.wait()

    thread = threading.Thread(target=other)
    with exact_products():
        thread.start()
        inside.wait()
        seen.append(blas_threads())
    seen.append(blas_threads())  # the other thread is still at work
    leave.set()
    thread.join()
    assert seen == [{1}, {1}]
    assert blas_threads() == before


@pytest.mark.skipif(not hasattr(os, "fork"), reason="there is no fork on this system")
def test_a_process_forked_while_another_thread_decodes_goes_on() -> None:
    program = """
import os, sys, threading, warnings
warnings.simplefilter("ignore")  # newer Pythons warn of the fork that is tried here
sys.path[:0] = {path!r}
from rgru_format import Evaluator
from tools.random_files import random_codes, random_model
model = random_model(11, (96,), (1,), states=48, hidden=64)
codes = random_codes(4, model, 60, 60)[0]

def work(times):
    for _ in range(times):
        evaluator = Evaluator(model, 60, 60)
        evaluator.start_layer(None)
        evaluator.indices(codes, 0, 1)

threading.Thread(target=work, args=(10**6,), daemon=True).start()
for _ in range(4):
    child = os.fork()
    if not child:
        work(2)
        os._exit(0)
    assert os.waitpid(child, 0)[1] == 0
os._exit(7)
"""
    done = subprocess.run(
        [sys.executable, "-c", program.format(path=[p for p in sys.path if p])],
        check=False,
        timeout=60,
    )
    assert done.returncode == 7
