"""Steps under JAX are those under TensorFlow; tiles for the machine that takes them."""

from __future__ import annotations

import importlib.util
import subprocess
import sys
from pathlib import Path

import msgspec
import numpy as np
import pytest
import tensorflow as tf

from rgru_format import InvalidInput
from rgru_train.config import RunConfig
from rgru_train.eye import ssimulacra2_error
from rgru_train.losses import planes
from rgru_train.photos import Photo, find_photos
from rgru_train.state import NEWEST, read
from rgru_train.tiles import SIDE, pack, unpack
from rgru_train.trainer import Trainer
from tools import accelerate

from .tiny import environment, tiny

STEPS = 20


def config() -> RunConfig:
    """All losses and Muon; steps so small that no code falls to the other side by rounding."""
    training = msgspec.structs.replace(
        tiny().training,
        optimizer="muon",
        learning_rate=1e-6,
        warmup=1,
        colour_weight=(0.1, 0.1),
        squared_error=(0.1, 0.1),
        ssimulacra2=(0.5, 0.5),
    )
    wide = tuple(msgspec.structs.replace(layer, depth=48) for layer in tiny().network.decoder)
    return RunConfig(msgspec.structs.replace(tiny().network, decoder=wide), training)


@pytest.mark.skipif(importlib.util.find_spec("jax") is None, reason="JAX is not installed")
def test_20_steps_under_jax_are_those_under_tensorflow(tmp_path: Path) -> None:
    trainer = Trainer(config(), tmp_path)
    side = trainer.config.training.crop
    coarse = np.random.default_rng(1).integers(0, 256, (STEPS, 2, side // 16, side // 16, 3))
    crops = coarse.astype(np.uint8).repeat(16, axis=2).repeat(16, axis=3)
    start = trainer.arrays()
    trainer.save()
    np.save(tmp_path / "crops.npy", crops)
    (tmp_path / "config.json").write_text(trainer.config.as_json())
    losses = [trainer.train_step(tf.constant(batch))["loss"] for batch in crops]

    script = Path(__file__).parent / "jax_steps.py"
    names = ("config.json", NEWEST, "crops.npy", "out.npz")
    flags = "--xla_backend_optimization_level=0 --xla_llvm_disable_expensive_passes=true"
    subprocess.run(
        [sys.executable, script, *(tmp_path / name for name in names)],
        env=environment(KERAS_BACKEND="jax", JAX_PLATFORMS="cpu", XLA_FLAGS=flags),
        check=True,
    )
    other, mine = read(tmp_path / "out.npz"), trainer.arrays()
    np.testing.assert_allclose(other["losses"], losses, rtol=1e-4)
    for name in ("log_prices", "mean_rates", "mean_distortion"):
        np.testing.assert_allclose(other[name], mine[name], rtol=1e-3, err_msg=name)
    moved = {n: mine[n] - start[n] for n in start if n.startswith("weights/")}
    for name, change in moved.items():
        if np.abs(change).max(initial=0.0) > 1e-5:  # what stays still moves by rounding
            angle = np.sum(change * (other[name] - start[name])) / np.sum(change**2)
            assert angle == pytest.approx(1.0, abs=0.05), name
    assert other["drawn"].shape == (4, 32, 32, 3)
    assert set(map(tuple, other["drawn"].reshape(-1, 3))) <= set(
        map(tuple, other["tiles"].reshape(-1, 3))
    )


def test_tiles_hold_what_photos_show_and_are_drawn_as_often(tmp_path: Path) -> None:
    from PIL import Image

    photos = tmp_path / "photos"
    photos.mkdir()
    for name, level in (("a_1", 40), ("b_1", 200), ("small_1", 90)):
        side = SIDE // 2 if name == "small_1" else SIDE + 16
        Image.new("RGB", (side, side), (level,) * 3).save(photos / f"{name}.png")
    training, held_out = find_photos(photos)
    count = pack([*training, *held_out], tmp_path / "tiles", megabytes=0.01)
    tiles, shares = unpack([tmp_path / "tiles"], made_share=0.25)
    assert count > 8
    assert len(tiles) == count + count // 8
    assert tiles.shape[1:] == (SIDE, SIDE, 3)
    assert shares[-1] == pytest.approx(1.0)
    assert shares[count - 1] == pytest.approx(0.75)
    levels = set(np.round(tiles[:count].mean(axis=(1, 2, 3)) / 10.0).astype(int).tolist())
    assert levels == {4, 20}


def test_tiles_that_are_none_are_named(tmp_path: Path) -> None:
    from PIL import Image

    table = tmp_path / "tiles.json"
    for content in ("{}", "[1]", '{"a.avif": NaN}', '{"a.avif": 0}', '{"a.avif": "1"}', "\xff"):
        table.write_text(content, encoding="latin-1")
        with pytest.raises(InvalidInput, match=r"tiles\.json: .*pack them anew"):
            unpack([tmp_path], 0.0)
    table.write_text('{"a.avif": 1}')
    Image.new("RGB", (SIDE, 16)).save(tmp_path / "a.avif")
    with pytest.raises(InvalidInput, match=r"a\.avif: not a tile"):
        unpack([tmp_path], 0.0)
    (tmp_path / "a.avif").write_bytes(b"")
    with pytest.raises(InvalidInput, match=r"a\.avif: cannot be read"):
        unpack([tmp_path], 0.0)


def test_photos_too_small_for_tiles_are_named_and_not_cut_for_ever(
    photos: Path, tmp_path: Path
) -> None:
    with pytest.raises(InvalidInput, match=f"no photo is at least {SIDE} pixels"):
        pack(find_photos(photos)[0], tmp_path / "tiles", megabytes=0.01)


@pytest.mark.parametrize(
    ("words", "hint"),
    [
        ("pack --data {0} --out {0}/tiles", "no photos found"),
        ("pack --data {0} --out {0}/tiles --megabytes 0", "between 0 and 1e+09"),
        ("pack --data {0} --out {0}/tiles --seed -1", "must be 0 or more"),
        ("run --config no --tiles {0} --start {0} --seconds nan --out {0}", "between 0 and 1e+09"),
        ("run --config no --tiles {0} --start {0} --seconds 9 --chunk 0 --out {0}", "1 or more"),
    ],
)
def test_the_tool_says_in_a_line_what_it_cannot_do(
    words: str,
    hint: str,
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
    capsys: pytest.CaptureFixture[str],
) -> None:
    monkeypatch.setattr(sys, "argv", ["accelerate.py", *words.format(tmp_path).split()])
    with pytest.raises(SystemExit) as done:
        accelerate.main()
    assert done.value.code == 2
    assert hint in capsys.readouterr().err


def test_tiles_are_cut_though_a_photo_is_cut_short(tmp_path: Path) -> None:
    """Packing ended there; of nothing but such photos it ends, too, and not never."""
    from PIL import Image

    noise = np.random.default_rng(0).integers(0, 256, (SIDE, SIDE, 3), dtype=np.uint8)
    photos = [Photo(tmp_path / f"{name}.png", "") for name in "ab"]
    for photo in photos:
        Image.fromarray(noise).save(photo.path)
    photos[0].path.write_bytes(photos[0].path.read_bytes()[:-5000])
    with pytest.warns(UserWarning, match=r"a\.png.*left out"):
        assert pack(photos, tmp_path / "tiles", megabytes=0.5) > 1
    with (
        pytest.warns(UserWarning, match=r"a\.png.*left out"),
        pytest.raises(InvalidInput, match="none of the photos"),
    ):
        pack(photos[:1], tmp_path / "none", megabytes=0.5)


def test_a_folder_is_made_for_tiles_only_if_one_has_room(tmp_path: Path) -> None:
    from PIL import Image

    Image.new("RGB", (SIDE, SIDE)).save(tmp_path / "a.png")
    with pytest.raises(InvalidInput, match="no room for a tile"):
        pack([Photo(tmp_path / "a.png", "")], tmp_path / "tiles", megabytes=1e-5)
    assert not (tmp_path / "tiles").exists()


def test_errors_of_ssimulacra2_are_the_metrics() -> None:
    package = pytest.importorskip("ssimulacra2", reason="the evaluator's package is not installed")
    from io import BytesIO

    from PIL import Image
    from skimage.data import astronaut

    photo = Image.fromarray(astronaut()[:384, :384])
    target = planes(np.asarray(photo, np.float32)[None, None])
    original = BytesIO()
    photo.save(original, "BMP")
    scores = []
    for quality in (30, 60, 90):
        coded, shown = BytesIO(), BytesIO()
        photo.save(coded, "JPEG", quality=quality)
        Image.open(coded).save(shown, "BMP")
        decoded = planes(np.asarray(Image.open(coded), np.float32)[None, None])
        error = 0.9562382616834844 * float(ssimulacra2_error(decoded, target)[0, 0])
        # The metric's own last step.
        bent = 2.326765642916932 * error - 0.020884521182843837 * error**2
        bent += 6.248496625763138e-05 * error**3
        scores.append(100.0 - 10.0 * bent**0.6276336467831387)
        expected = package.compute_ssimulacra2(original, shown)
        assert scores[-1] == pytest.approx(expected, abs=4.0)
    assert scores == sorted(scores)
