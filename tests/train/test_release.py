"""A run becomes a package with a card, and a package becomes the start of a run."""

from __future__ import annotations

import json
from collections.abc import Iterator
from pathlib import Path

import numpy as np
import pytest
import tensorflow as tf

from rgru_codec import models
from rgru_format import InvalidInput
from rgru_train import starting, state
from rgru_train.__main__ import main
from rgru_train.card import check_size, hours, packed_size
from rgru_train.config import RunConfig
from rgru_train.log import read_log
from rgru_train.photos import find_photos, summary
from rgru_train.release import _data, release
from rgru_train.run import Options, average, train
from rgru_train.trainer import Trainer

from .tiny import TINY, eagerly, tiny


@pytest.fixture(scope="module")
def reference(photos: Path, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A run of 8 steps."""
    run = tmp_path_factory.mktemp("runs") / "reference"
    with eagerly():
        train(tiny(), Options(photos, run))
    return run


@pytest.fixture(scope="module")
def released(reference: Path, photos: Path, tmp_path_factory: pytest.TempPathFactory) -> Path:
    out = tmp_path_factory.mktemp("models")
    return release(reference, out, name="tiny", data=photos, notes="Bad at everything.", best=True)


@pytest.fixture(scope="module")
def trainer(reference: Path) -> Trainer:
    trainer = Trainer(tiny(), reference)
    trainer.restore()
    return trainer


def test_the_card_tells_what_the_model_is(released: Path) -> None:
    card = (released / "MODEL_CARD.md").read_text()
    assert card.startswith(f"# Model tiny ({released.name})")
    for words in (
        tiny().digest,
        "8 of 2 crops of 32x32 pixels",
        "Bad at everything.",
        "6 photos in training, 2 held out",
        "at step 8",
        "| 2 |",
        "kMAC",
    ):
        assert words in card, words


def test_the_configuration_is_on_the_card_and_not_in_the_id(released: Path) -> None:
    table = json.loads((released / "model.json").read_text())
    assert list(table) == ["name", "codes", "decoder", "painter"]
    _, _, rest = (released / "MODEL_CARD.md").read_text().partition("```json\n")
    assert RunConfig.from_json(rest.partition("\n```")[0]) == tiny()


def test_the_manifest_gives_sources_and_licences(released: Path, photos: Path) -> None:
    assert summary(photos, *find_photos(photos))["sources"] == [
        ("blobs", "CC0-1.0", 4),
        ("not recorded", "not recorded", 2),
    ]


def test_photos_are_looked_for_once(
    photos: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """The folder was searched again for the card, at the start of a run as well."""
    searched, search = [], Path.rglob

    def counted(path: Path, pattern: str) -> Iterator[Path]:
        searched.append(path)
        return search(path, pattern)

    monkeypatch.setattr(Path, "rglob", counted)
    known, pictures = _data(tmp_path, photos, tiny(), 16)
    assert searched == [photos]
    assert known is not None
    assert (known["held_out"], len(pictures)) == (2, 2)


def test_integers_cost_what_floats_cost(released: Path) -> None:
    (row,) = (
        line for line in (released / "MODEL_CARD.md").read_text().splitlines() if "| all |" in line
    )
    _, _, _, _, difference, _, _ = row.split("|")
    assert abs(float(difference.replace("%", ""))) < 1.0


def test_a_run_starts_from_a_package_a_run_and_a_packed_run(
    released: Path, reference: Path, trainer: Trainer, tmp_path: Path
) -> None:
    packed = tmp_path / "packed.npz"
    state.pack(reference, packed)
    exact = {name: average.numpy() for name, average in trainer.averages.items()}
    for source, tolerance in ((reference, 0.0), (packed, 2.0**-10), (released, 2.0**-4)):
        other = Trainer(tiny(), tmp_path)
        assert other.start_from(starting.starting_state(str(source))) == []
        for name in ("D/rnn0/W/pointwise", "B/bias"):
            found = other.model.named[name].numpy()
            np.testing.assert_allclose(found, exact[name], rtol=tolerance, atol=tolerance / 8)
    with pytest.raises(InvalidInput, match="neither a run nor a model"):
        starting.starting_state("nothing")


def test_a_packed_run_is_small_and_whole(reference: Path, tmp_path: Path) -> None:
    packed = tmp_path / "packed.npz"
    size = state.pack(reference, packed)
    assert size == packed.stat().st_size < (reference / "checkpoint.npz").stat().st_size / 4
    arrays = state.read(packed)
    assert arrays["step"] == 8
    assert arrays["config"].item() == (reference / "config.json").read_text()
    assert [path.name for path in tmp_path.iterdir()] == ["packed.npz"]


def test_a_packed_run_goes_on_where_it_was(
    reference: Path, photos: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    packed, run = tmp_path / "packed.npz", tmp_path / "run"
    assert main(["pack", str(reference), "--out", str(packed)]) == 0
    assert main(["unpack", str(packed), "--out", str(run)]) == 0
    assert "--resume" in capsys.readouterr().out
    other = Trainer(RunConfig.of_run(run), run)
    other.restore()
    assert other.step == 8
    exact = state.load(reference)
    assert other.control is not None
    np.testing.assert_array_equal(other.control.log_prices, exact["log_prices"])
    name = "D/rnn0/W/pointwise"
    for variables in (other.model.named, other.averages):
        found = variables[name].numpy()
        np.testing.assert_allclose(found, exact[f"averages/{name}"], rtol=1e-3, atol=1e-4)
    batch = tf.zeros((2, 32, 32, 3), tf.uint8)
    with eagerly():
        assert np.isfinite(other.train_step(batch)["loss"])
    with pytest.raises(InvalidInput, match="exists: name another"):
        state.unpack(packed, run)
    with pytest.raises(InvalidInput, match="not a packed run"):
        state.unpack(reference / "checkpoint.npz", tmp_path / "other")


@pytest.mark.parametrize("lost", ["config", "step", "mean_distortion", "averages"])
def test_what_is_no_whole_packed_run_is_refused(lost: str, reference: Path, tmp_path: Path) -> None:
    packed, run = tmp_path / "packed.npz", tmp_path / "run"
    state.pack(reference, packed)
    whole = state.read(packed)
    np.savez(packed, **{key: a for key, a in whole.items() if not key.startswith(lost)})  # type: ignore[arg-type]
    with pytest.raises(InvalidInput, match="not a packed run"):
        state.unpack(packed, run)
    np.savez(packed, **{**whole, "config": np.array("{}")})  # type: ignore[arg-type]
    with pytest.raises(InvalidInput, match=r"packed\.npz: not a configuration"):
        state.unpack(packed, run)
    assert not run.exists()


def test_a_run_without_configuration_is_not_packed(reference: Path, tmp_path: Path) -> None:
    """It ended in an error of another kind; a mean of such runs could not be resumed."""
    (tmp_path / state.NEWEST).write_bytes((reference / state.NEWEST).read_bytes())
    for make in (state.pack, lambda run, out: average([run], out)):
        with pytest.raises(InvalidInput, match="holds no run"):
            make(tmp_path, tmp_path / "made.npz")
    assert not (tmp_path / "made.npz").exists()


def test_an_installed_model_is_found_by_its_id_and_as_default(
    released: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(models, "WEIGHTS", released.parent)
    (released.parent / "default").write_text(f"{released.name}\n")
    for name in (released.name, "default"):
        assert "averages/D/rnn0/W/pointwise" in starting.starting_state(name)


def test_validate_measures_what_the_run_measured(
    reference: Path, photos: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    assert main(["validate", str(reference), "--data", str(photos)]) == 0
    found = json.loads(capsys.readouterr().out)
    (expected,) = (row for row in read_log(reference) if row["kind"] == "validation")
    assert found["step"] == expected["step"] == 8
    np.testing.assert_allclose(found["ms_ssim"], expected["ms_ssim"], atol=2e-3)


def test_describe_prints_costs(capsys: pytest.CaptureFixture[str]) -> None:
    assert main(["describe", "--config", str(TINY)]) == 0
    assert "kMAC/px to decode all: " in capsys.readouterr().out


def test_a_command_line_that_makes_no_sense_says_why(
    photos: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    assert main(["run", "--data", str(photos), "--out", str(tmp_path), "--resume"]) == 2
    assert "give --config" in capsys.readouterr().err


def test_a_package_that_is_too_large_is_refused(released: Path) -> None:
    size = packed_size(released)
    assert check_size(released) == size
    with pytest.raises(InvalidInput, match="MB packed, more than"):
        check_size(released, size / 2e6)


def test_a_refused_package_leaves_nothing_and_takes_nothing_away(
    released: Path, reference: Path, tmp_path: Path
) -> None:
    """It stayed, with or without a card; whoever looks next finds a package."""
    recorded = reference / "data.json"
    known = recorded.read_bytes()
    try:
        recorded.write_bytes(known[:20])
        with pytest.raises(InvalidInput, match="name the photos with --data"):
            release(reference, tmp_path / "first")
    finally:
        recorded.write_bytes(known)
    before = {path: path.read_bytes() for path in released.parent.rglob("*") if path.is_file()}
    for out in (tmp_path / "second", released.parent):
        with pytest.raises(InvalidInput, match="MB packed, more than"):
            release(reference, out, name="tiny", best=True, size_limit=1e-3)
    assert not [path for path in tmp_path.rglob("*") if path.is_file()]
    after = {path: path.read_bytes() for path in released.parent.rglob("*") if path.is_file()}
    assert after == before


@pytest.mark.parametrize("content", ["{}", '"x"', '{"folder": ".", "training": NaN}', "[" * 9999])
def test_photos_that_a_damaged_file_tells_of_are_asked_for(tmp_path: Path, content: str) -> None:
    """They ended in a traceback, and --data, which the error asked for, in the same error."""
    (tmp_path / "data.json").write_text(content)
    with pytest.raises(InvalidInput, match=r"data\.json: .*; name the photos with --data"):
        _data(tmp_path, None, tiny(), 16)
    with pytest.raises(InvalidInput, match="no photos found"):
        _data(tmp_path, tmp_path, tiny(), 16)


def test_hours_count_steps_that_a_kill_undid() -> None:
    def row(step: int) -> dict[str, object]:
        return {"kind": "train", "step": step, "seconds": 3.6}

    # Killed behind step 60, resumed from step 40: 100 steps were taken.
    rows = [row(step) for step in (20, 40, 60, 60, 80)]
    assert hours(rows) == pytest.approx(0.1)


def test_a_line_of_the_log_that_is_no_text_is_left_out(tmp_path: Path) -> None:
    """As a crash of the machine leaves it; export ended in a traceback."""
    rows: list[dict[str, object]] = [
        {"kind": "train", "step": 1},
        {"kind": "validation", "step": 2, "bpp_at": {}, "kinds": {}, "bpp": [0.1]},
    ]
    good = [json.dumps(row).encode() for row in rows]
    wrong = [b"\xff\0", b"3", b"{}", b'{"kind": "train", "step": NaN}', b"[" * 100_000]
    wrong.append(good[1].replace(b'"bpp_at": {}', b'"bpp_at": {"0.9": "x"}'))
    (tmp_path / "log.jsonl").write_bytes(b"\n".join([good[0], *wrong, good[1], b'{"st']))
    assert read_log(tmp_path) == rows
