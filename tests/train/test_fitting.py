"""The context model alone is taught on, on codes of whole photos."""

from __future__ import annotations

import contextlib
import io
from pathlib import Path

import numpy as np
import pytest

from rgru_format import InvalidInput
from rgru_train import state
from rgru_train.__main__ import main
from rgru_train.fitting import Grids, fit, rate_at
from rgru_train.trainer import Trainer

from .tiny import tiny


def grids(rows: int, columns: int) -> tuple[Grids, list[np.ndarray]]:
    rng = np.random.default_rng(0)
    codes = [rng.choice(np.array([-1, 1], np.int8), (rows, columns, n)) for n in (3, 10)]
    return Grids((rows, columns), [np.packbits(c > 0, axis=2) for c in codes]), codes


def test_a_window_holds_a_small_picture_whole() -> None:
    picture, codes = grids(5, 7)
    window = picture.window((3, 10), np.random.default_rng(1), 8)
    for found, expected in zip(window.codes, codes, strict=True):
        np.testing.assert_array_equal(found[:5, :7], expected)
        assert not found[5:].any()
        assert not found[:, 7:].any()
    np.testing.assert_array_equal(window.inside, window.counted)
    assert window.inside[:5, :7].all()
    assert window.inside.sum() == 5 * 7


def test_positions_at_a_cut_do_not_count() -> None:
    picture, codes = grids(40, 6)
    seen = set()
    for seed in range(40):
        window = picture.window((3, 10), np.random.default_rng(seed), 16)
        (top,) = (
            y for y in range(25) if np.array_equal(codes[0][y : y + 16], window.codes[0][:, :6])
        )
        rows = np.flatnonzero(window.counted[:, 0, 0])
        assert rows[0] == (3 if top else 0)
        assert rows[-1] == (12 if top < 24 else 15)
        assert window.counted[:, :6].sum() == 6 * len(rows)
        seen.add(top)
    assert len(seen) > 10


def test_the_rate_rises_and_falls() -> None:
    rates = [rate_at(step, 1000) for step in range(1000)]
    assert rates[0] < rates[49] == rates[299] == max(rates)
    assert rates[-1] < 0.02 * max(rates)


@pytest.fixture(scope="module")
def fitted(tmp_path_factory: pytest.TempPathFactory, photos: Path) -> tuple[Path, list[str]]:
    run = tmp_path_factory.mktemp("runs") / "fitted"
    run.mkdir()
    (run / "config.json").write_text(tiny().as_json())
    Trainer(tiny(), run).save()
    said = io.StringIO()
    with contextlib.redirect_stdout(said):
        assert main(["fit", str(run), "--data", str(photos), "--steps", "30"]) == 0
    return run, said.getvalue().splitlines()


def test_fitting_saves_bits_in_photos_that_it_has_not_seen(fitted: tuple[Path, list[str]]) -> None:
    results = [line.split() for line in fitted[1] if line.startswith("layer")]
    assert len(results) == 2
    for words in results:
        assert float(words[4]) < 0.985 * float(words[2])


def test_fitting_changes_the_context_model_alone(fitted: tuple[Path, list[str]]) -> None:
    before, after = Trainer(tiny(), fitted[0]).arrays(), state.load(fitted[0])
    changed = {name for name in before if not np.array_equal(before[name], after[name])}
    assert {name.split("/")[0] for name in changed} == {"weights", "averages"}
    assert {name.split("/")[1] for name in changed} == {"C0", "C1"}


def test_without_photos_to_measure_by_nothing_is_fitted(
    fitted: tuple[Path, list[str]], photos: Path, tmp_path: Path
) -> None:
    (tmp_path / "p0.png").write_bytes((photos / "p0.png").read_bytes())
    with pytest.raises(InvalidInput, match="too few photos"):
        fit(fitted[0], tmp_path, 1)
