"""Photos are held out by name and kind, drawn by kind and source, and some crops are made."""

from __future__ import annotations

import warnings
from collections.abc import Callable
from pathlib import Path

import numpy as np
import pytest
from PIL import Image

from rgru_format import InvalidInput, Unreadable
from rgru_train import made
from rgru_train.config import TrainingConfig
from rgru_train.crops import Crops, draw_weights, large_enough
from rgru_train.photos import Photo, Pixels, find_photos, load
from rgru_train.validation import validation_samples

from .tiny import write_table


def test_held_out_photos_are_chosen_by_name(photos: Path) -> None:
    training, held_out = find_photos(photos)
    assert [p.path.name for p in held_out] == ["p45.png", "p63.png"]
    assert len(training) == 6


def test_an_empty_folder_is_named(tmp_path: Path) -> None:
    with pytest.raises(InvalidInput, match="no photos found"):
        find_photos(tmp_path)


def test_each_kind_is_held_out(tmp_path: Path) -> None:
    rows: list[tuple[str, ...]] = [("file", "source", "licence", "kind")]
    for kind, count in (("people", 40), ("text", 5), ("night", 1), ("", 5)):
        for i in range(count):
            name = f"{kind or 'old'}{i}.png"
            rows.append((name, "somewhere", "CC0-1.0", kind))
            Image.new("L", (512, 384)).save(tmp_path / name)
    Image.new("L", (32, 32)).save(tmp_path / "text9.png")
    rows.append(("text9.png", "somewhere", "CC0-1.0", "text"))
    write_table(tmp_path / "manifest.csv", rows)
    training, held_out = find_photos(tmp_path)
    by_name = {p.path.name for p in (*training, *held_out) if p.digest % 32 == 0}
    kinds = [photo.kind for photo in held_out]
    assert by_name <= {photo.path.name for photo in held_out}
    assert kinds.count("people") >= 2
    assert kinds.count("text") >= 1
    assert "night" not in kinds  # the only one of its kind teaches
    assert len(training) + len(held_out) == 52
    assert all(min(p.size) > 32 for p in held_out if p.path.name not in by_name)


def test_kinds_are_drawn_by_the_root_of_their_numbers_and_sources_within_them() -> None:
    photos = [Photo(Path(f"a{i}"), "one", "people") for i in range(9)]
    photos += [Photo(Path(f"b{i}"), "two", "people") for i in range(7)]
    photos += [Photo(Path(f"c{i}"), "three") for i in range(4)]
    weights = draw_weights(photos)
    assert weights.sum() == pytest.approx(1.0)
    people, others = weights[:16].sum(), weights[16:].sum()
    assert people / others == pytest.approx(4.0 / 2.0)
    assert weights[:9].sum() / weights[9:16].sum() == pytest.approx(3.0 / 7.0**0.5)


def test_photos_are_read_upright(tmp_path: Path) -> None:
    image = Image.new("RGB", (6, 4))
    exif = Image.Exif()
    exif[0x0112] = 6
    image.save(tmp_path / "turned.jpg", exif=exif)
    assert load(tmp_path / "turned.jpg").shape == (6, 4, 3)


@pytest.mark.parametrize(
    "make", [made.flat, made.shapes, made.exchanged, made.lettered, made.nearly_grey]
)
def test_made_crops_are_crops_and_follow_from_the_numbers(
    make: Callable[[Pixels, np.random.Generator], Pixels],
) -> None:
    crop = np.random.default_rng(0).integers(0, 256, (64, 64, 3), dtype=np.uint8)
    before = crop.copy()
    for seed in range(20):
        one, other = (make(crop, np.random.default_rng(seed)) for _ in range(2))
        assert (one.shape, one.dtype) == (crop.shape, np.dtype(np.uint8))
        np.testing.assert_array_equal(one, other)
    np.testing.assert_array_equal(crop, before)


def test_flat_crops_reach_the_corners_of_the_cube() -> None:
    crop = np.zeros((16, 16, 3), np.uint8)
    found = {tuple(made.flat(crop, np.random.default_rng(i))[0, 0].tolist()) for i in range(400)}
    corners = {(r, g, b) for r in (0, 255) for g in (0, 255) for b in (0, 255)}
    assert corners <= found


def test_nearly_grey_crops_have_next_to_no_colour() -> None:
    crop = np.random.default_rng(0).integers(0, 256, (64, 64, 3), dtype=np.uint8)
    for seed in range(10):
        pixels = made.nearly_grey(crop, np.random.default_rng(seed)).astype(int)
        assert np.ptp(pixels, axis=2).mean() < 0.2 * np.ptp(crop.astype(int), axis=2).mean() + 20


def test_so_many_crops_are_made(photos: Path) -> None:
    both = [photo for part in find_photos(photos) for photo in part]
    plain, some = (
        Crops(both, TrainingConfig(crop=32, batch=64, made=share)) for share in (0.0, 0.25)
    )
    different = (plain.draw(0) != some.draw(0)).any(axis=(1, 2, 3))
    assert 0.1 < different.mean() < 0.45


def test_no_other_program_is_run_on_a_photo(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Pillow hands PostScript to Ghostscript, whatever the file is called."""
    content = b"%!PS-Adobe-3.0 EPSF-3.0\n%%BoundingBox: 0 0 9 9\n%%EndComments\nshowpage\n"
    (tmp_path / "a.jpg").write_bytes(content)
    monkeypatch.setattr("PIL.EpsImagePlugin.Ghostscript", lambda *_: pytest.fail("it ran"))
    for read in (load, lambda path: Photo(path, "").size):
        with pytest.raises(Unreadable):
            read(tmp_path / "a.jpg")


def test_another_photo_stands_in_for_a_damaged_one(tmp_path: Path) -> None:
    """Training ended, or hung, without the name of the file."""
    noise = np.random.default_rng(0).integers(0, 256, (64, 64, 3), dtype=np.uint8)
    paths = [tmp_path / f"{name}.png" for name in "ab"]
    for path in paths:
        Image.fromarray(noise).save(path)
    paths[0].write_bytes(paths[0].read_bytes()[:-5000])
    settings = TrainingConfig(crop=32, batch=8)
    crops = Crops([Photo(path, "") for path in paths], settings)
    with pytest.warns(UserWarning, match=r"a\.png.*another one stands in"):
        assert crops.draw(0).shape == (8, 32, 32, 3)
    with pytest.raises(Unreadable, match=r"a\.png"):
        Crops([Photo(paths[0], "")], settings).draw(0)


def test_photos_that_cannot_be_read_are_told_and_left_out(tmp_path: Path) -> None:
    """An empty one among them, or a damaged one of those held out, ended the run."""
    for i in range(8):
        Image.new("RGB", (512, 384)).save(tmp_path / f"p{i}.png")
    (tmp_path / "p9.png").write_bytes(b"")
    write_table(
        tmp_path / "manifest.csv", [("file", "kind"), *((f"p{i}.png", "a") for i in range(10))]
    )
    with warnings.catch_warnings(record=True) as said:
        warnings.simplefilter("default")
        training, held_out = find_photos(tmp_path)
        assert len(large_enough([*training, *held_out], 32)) == 8
        find_photos(tmp_path)
    assert [str(one.message).rpartition("; ")[2] for one in said] == ["left out"]
    damaged = held_out[0].path
    damaged.write_bytes(damaged.read_bytes()[:200])
    with pytest.warns(UserWarning, match=f"{damaged.name}.*left out"):
        assert len(validation_samples(held_out, TrainingConfig(), 16)) == len(held_out) - 1


def test_tables_that_begin_with_a_byte_order_mark(tmp_path: Path) -> None:
    for name in ("a.png", "b.png"):
        Image.new("L", (64, 64)).save(tmp_path / name)
    (tmp_path / "folder.png").mkdir()
    table = "file,source,licence,kind\na.png,s,CC0,text\nb.png,s,CC0,text\n"
    (tmp_path / "manifest.csv").write_text(table, encoding="utf-8-sig")
    assert {photo.kind for part in find_photos(tmp_path) for photo in part} == {"text"}


def test_a_table_in_another_encoding_is_named(tmp_path: Path) -> None:
    """It ended in a traceback, without the table's name."""
    Image.new("L", (64, 64)).save(tmp_path / "a.png")
    (tmp_path / "manifest.csv").write_text("file,source\na.png,Café\n", encoding="latin-1")
    with pytest.raises(InvalidInput, match=r"manifest\.csv: not a table in UTF-8"):
        find_photos(tmp_path)


def test_a_photo_that_is_too_large_to_be_one_is_named(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    Image.new("L", (64, 64)).save(tmp_path / "a.png")
    monkeypatch.setattr(Image, "MAX_IMAGE_PIXELS", 64)
    with pytest.raises(Unreadable, match=r"a\.png"):
        load(tmp_path / "a.png")
