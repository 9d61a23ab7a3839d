"""How much is kept: layers, quality, MS-SSIM, bits per pixel, bytes."""

from __future__ import annotations

import io
import itertools
from fractions import Fraction
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from numpy.typing import NDArray
from PIL import Image

import rgru_codec
from rgru_codec.encoder import DEFAULT_MSSSIM, Settings, encode, prepare
from rgru_codec.metrics import ms_ssim
from rgru_format import cut_to_size

from .conftest import photo, profile

Pixels = NDArray[np.uint8]


def similarity(data: bytes, pixels: Pixels) -> float:
    return ms_ssim(np.asarray(rgru_codec.decompress(data)), pixels)


@pytest.mark.parametrize("layers", [1, 2, 4])
def test_layers(layers: int, pixels: Pixels, data: bytes) -> None:
    small = rgru_codec.compress(pixels, layers=layers)
    assert len(rgru_codec.info(small).layers) == layers
    assert data.startswith(small)


@pytest.mark.parametrize(
    ("name", "plain", "numpys"),
    [
        ("layers", 2, np.int64(2)),
        ("layers", 2, np.uint8(2)),
        ("quality", 30, np.uint8(30)),
        ("quality", 30.5, np.float16(30.5)),
        ("bpp", 1.5, np.float32(1.5)),
        ("target_size", 250, np.uint8(250)),
        ("msssim", 0.5, np.float32(0.5)),
    ],
)
def test_numbers_of_numpy_are_numbers(name: str, plain: float, numpys: Any, pixels: Pixels) -> None:
    wanted: dict[str, Any] = {name: plain}
    given: dict[str, Any] = {name: numpys, "threads": np.uint8(1), "frame": np.uint8(0)}
    assert type(getattr(Settings(**given), name)) is type(plain)
    assert rgru_codec.compress(Image.fromarray(pixels), **given) == rgru_codec.compress(
        pixels, **wanted
    )


def test_all_layers(data: bytes, pixels: Pixels) -> None:
    most = rgru_codec.default_model().iterations
    assert len(rgru_codec.info(data).layers) == most
    assert rgru_codec.compress(pixels, layers=most) == data


def saved(pixels: Pixels) -> bytes:
    rgru_codec.pillow.register()
    file = io.BytesIO()
    Image.fromarray(pixels).save(file, "RGRU")
    return file.getvalue()


def written(pixels: Pixels, folder: Path) -> bytes:
    rgru_codec.imwrite(folder / "a.rgru", pixels)
    return (folder / "a.rgru").read_bytes()


def test_by_default_a_file_has_the_fewest_layers_of_the_stated_similarity(tmp_path: Path) -> None:
    pixels = photo(96, 112)
    whole = rgru_codec.compress(pixels, layers="all")
    found = rgru_codec.compress(pixels)
    ends = [layer.end for layer in rgru_codec.info(whole).layers]
    reached = [similarity(whole[:end], pixels) for end in ends]
    first = next((n for n, value in enumerate(reached) if value >= DEFAULT_MSSSIM), len(ends) - 1)
    assert found == whole[: ends[first]]
    assert found == saved(pixels) == written(pixels, tmp_path)
    assert DEFAULT_MSSSIM == 0.98  # what the documentation says


def test_by_default_a_picture_that_is_out_of_reach_has_all_layers() -> None:
    generator = np.random.default_rng(0)
    noise = generator.integers(0, 256, (64, 64, 3), dtype=np.uint8)
    encoded = encode(prepare(noise, Settings()), Settings())
    assert encoded.layers == rgru_codec.default_model().iterations
    assert encoded.msssim is not None
    assert encoded.msssim < DEFAULT_MSSSIM


def test_a_target_size_is_the_file_cut_there_and_a_part_of_the_next_group(
    pixels: Pixels, data: bytes
) -> None:
    for size in (len(data) // 3, len(data) // 2, len(data) - 1, len(data), 10 * len(data)):
        small, cut = rgru_codec.compress(pixels, target_size=size), cut_to_size(data, size)
        assert len(cut) <= len(small) <= size
        assert small.startswith(cut)
        assert similarity(small, pixels) > similarity(cut, pixels) - 1e-3


def test_the_room_of_a_target_is_used() -> None:
    pixels = photo(160, 192)
    whole = rgru_codec.compress(pixels, layers="all")
    gained = used = 0
    sizes = range(len(whole) // 8, len(whole), len(whole) // 24)
    for size in sizes:
        small, cut = rgru_codec.compress(pixels, target_size=size), cut_to_size(whole, size)
        gained += similarity(small, pixels) > similarity(cut, pixels)
        used += len(small) > len(cut)
        assert len(small) <= size
    assert gained >= used - 1
    assert used > 4  # the least part of a group takes some room, too


def test_bpp_counts_the_whole_file(pixels: Pixels, data: bytes) -> None:
    bpp = 0.6 * 8 * len(data) / pixels[..., 0].size
    small = rgru_codec.compress(pixels, bpp=bpp)
    assert 8 * len(small) / pixels[..., 0].size <= bpp
    assert small == rgru_codec.compress(pixels, target_size=int(bpp * pixels[..., 0].size / 8))


def test_msssim_takes_the_fewest_layers(pixels: Pixels, data: bytes) -> None:
    ends = [layer.end for layer in rgru_codec.info(data).layers]
    reached = [similarity(data[:end], pixels) for end in ends]
    wanted = (reached[0] + max(reached)) / 2
    first = next(n for n, value in enumerate(reached) if value >= wanted)
    assert len(rgru_codec.compress(pixels, msssim=wanted)) == ends[first]


@pytest.mark.parametrize("options", [{"layers": 3}, {"msssim": 0.95}, {"quality": 40}])
def test_what_is_coded_beside_the_painter_is_what_is_coded_alone(
    options: dict[str, Any], pixels: Pixels
) -> None:
    alone, beside = (rgru_codec.compress(pixels, threads=n, **options) for n in (1, 2))
    assert alone == beside


def test_msssim_that_is_out_of_reach(pixels: Pixels) -> None:
    with pytest.raises(rgru_codec.InvalidInput, match="cannot be reached: all"):
        rgru_codec.compress(pixels, msssim=0.9999999)


def test_quality_100_keeps_everything(pixels: Pixels, data: bytes) -> None:
    assert rgru_codec.compress(pixels, quality=100) == data


def test_neighbouring_qualities_differ_and_higher_ones_are_better() -> None:
    """A model has some groups only: between two of them the next one is coded in part."""
    pixels = photo(160, 192)
    files = [rgru_codec.compress(pixels, quality=quality) for quality in range(1, 101, 3)]
    sizes = [len(file) for file in files]
    assert sizes == sorted(set(sizes))
    reached = [similarity(file, pixels) for file in files]
    assert all(after > before - 1e-3 for before, after in itertools.pairwise(reached))
    assert all(after > before for before, after in itertools.pairwise(reached[::3]))


def test_qualities_of_whole_groups_are_beginnings_of_the_whole_file(
    pixels: Pixels, data: bytes
) -> None:
    _, *others = rgru_codec.default_model().context().groups
    for count in range(sum(others) + 1):
        quality = 1 + 99 * count / sum(others)
        assert data.startswith(rgru_codec.compress(pixels, quality=quality))


def test_the_lowest_quality_is_the_first_layer(pixels: Pixels) -> None:
    """Qualities 1 to 5 used to leave grey holes, a part of the first layer being all they had."""
    lowest = rgru_codec.compress(pixels, quality=1)
    assert lowest == rgru_codec.compress(pixels, layers=1)


def test_neighbouring_qualities_give_larger_files() -> None:
    """Of a group that says little, 58, 59 and 60 once gave the same file."""
    picture = photo(192, 192)
    sizes = [len(rgru_codec.compress(picture, quality=quality)) for quality in range(52, 68)]
    assert sizes == sorted(set(sizes))


def test_the_lowest_quality_keeps_alpha(pixels: Pixels) -> None:
    rgba = np.dstack([pixels, pixels[..., 0]])
    picture = rgru_codec.decompress(rgru_codec.compress(rgba, quality=1))
    assert np.array_equal(np.asarray(picture)[..., 3], pixels[..., 0])


def test_a_size_too_small_says_what_is_needed(pixels: Pixels) -> None:
    with pytest.raises(rgru_codec.InvalidInput, match="30 bytes cannot be met") as raised:
        rgru_codec.compress(pixels, target_size=30)
    smallest = int(str(raised.value).split()[-2])
    assert len(rgru_codec.compress(pixels, target_size=smallest)) == smallest
    with pytest.raises(rgru_codec.InvalidInput, match=f"the smallest.*has {smallest} bytes"):
        rgru_codec.compress(pixels, target_size=smallest - 1)
    bpp = f"{8 * smallest / pixels[..., 0].size:.3g} bits per pixel"
    with pytest.raises(rgru_codec.InvalidInput, match=bpp):
        rgru_codec.compress(pixels, bpp=0.001)


@pytest.mark.parametrize("size", [(70, 90), (90, 70), (128, 32)])
def test_the_size_that_is_told_as_the_smallest_can_be_met(size: tuple[int, int]) -> None:
    """It was refused where the length of the group takes a byte less in a smaller file."""
    grey = Image.fromarray(photo(*size)).convert("L")
    smallest = smallest_size(grey)
    assert len(rgru_codec.compress(grey, target_size=smallest)) <= smallest


def test_numbers_beyond_all_bounds_bound_nothing(pixels: Pixels, data: bytes) -> None:
    """They overflowed: bits per pixel beyond floats, and limits of NumPy's small integers."""
    for bpp in (1e308, 10**400):
        assert rgru_codec.compress(pixels, bpp=bpp) == data
    beyond: Any = Fraction(10**400)
    with pytest.raises(rgru_codec.InvalidInput, match="bpp must be above 0"):
        rgru_codec.compress(pixels, bpp=beyond)
    file = io.BytesIO()
    Image.fromarray(pixels).save(file, "PNG")
    file.seek(0)
    numpys: dict[str, Any] = {"max_pixels": np.int32(2**27), "max_metadata_bytes": np.int8(127)}
    numpys["max_memory"] = beyond
    assert rgru_codec.compress(file, limits=rgru_codec.Limits(**numpys), layers="all") == data


def test_a_size_may_be_smaller_than_that_of_the_lowest_quality() -> None:
    """Such a target was refused: "the smallest file" was that of the whole first group."""
    pixels = photo(160, 192)
    size = len(rgru_codec.compress(pixels, quality=1)) * 9 // 10
    assert len(rgru_codec.compress(pixels, target_size=size)) <= size


@pytest.mark.parametrize("late", ["exif", "xmp", "alpha"])
def test_the_smallest_file_is_that_also_with_boxes_behind_layer_1(late: str) -> None:
    """With Exif, for which dots per inch are enough, it had all of layer 1."""
    image = Image.fromarray(photo(160, 192))
    contents = {"exif": b"II*\0\x08\0\0\0\0\0", "xmp": b"<x/>"}
    given: dict[str, Any] = {name: contents[name] for name in contents if name == late}
    if late == "alpha":
        image.putalpha(Image.linear_gradient("L").resize(image.size))
    whole = rgru_codec.compress(image, layers=1, **given)
    smallest = smallest_size(image, **given)
    assert smallest < len(whole)
    for size in (smallest, (smallest + len(whole)) // 2, len(whole) - 1, len(whole)):
        small = rgru_codec.compress(image, target_size=size, **given)
        found = rgru_codec.info(small)
        assert len(small) <= size
        assert (found.unfinished, len(found.boxes), found.alpha_missing) == (0, 1, False)
    assert small == whole
    bpp = 8 * smallest / (160 * 192)
    assert len(rgru_codec.compress(image, bpp=bpp, **given)) <= smallest


def smallest_size(image: Any, **given: Any) -> int:
    """What the refusal of a size that is too small says."""
    with pytest.raises(rgru_codec.InvalidInput, match="the smallest file") as raised:
        rgru_codec.compress(image, target_size=30, **given)
    return int(str(raised.value).split()[-2])


def test_alpha_counts(pixels: Pixels) -> None:
    noise = np.random.default_rng(0).integers(0, 256, pixels.shape[:2], np.uint8)
    rgba = np.dstack([pixels, noise])
    smallest = smallest_size(rgba)
    assert len(rgru_codec.compress(rgba, target_size=smallest)) == smallest
    for size in (1000, smallest - 1):
        with pytest.raises(rgru_codec.InvalidInput, match=f"cannot be met.*has {smallest} bytes"):
            rgru_codec.compress(rgba, target_size=size)
    assert len(rgru_codec.compress(rgba, target_size=2600)) <= 2600


@pytest.mark.parametrize(
    ("options", "words"),
    [
        ({"layers": 0}, "layers must be 1"),
        ({"layers": 1000}, "layers must be 1"),
        ({"quality": 0}, "quality must be 1..100, got 0"),
        ({"quality": 500}, "quality must be 1..100, got 500"),
        ({"quality": float("nan")}, "quality must be 1..100"),
        ({"msssim": 1.0}, "msssim must lie between 0 and 1, got 1.0"),
        ({"bpp": 0}, "bpp must be above 0"),
        ({"bpp": float("nan")}, "bpp must be above 0"),
        ({"bpp": float("inf")}, "bpp must be above 0"),
        ({"target_size": -1}, "target_size must be above 0"),
        ({"layers": 1, "bpp": 1.0}, "layers and bpp exclude each other"),
        ({"strip": ["jfif"]}, "strip takes icc, exif, xmp, gps, hidden and all, got 'jfif'"),
        ({"exif": b"rubbish"}, "exif must be Exif data"),
        ({"strip": "jfif"}, "strip takes icc, exif, xmp, gps, hidden and all, got 'jfif'"),
        ({"strip": ""}, "strip takes icc, exif, xmp, gps, hidden and all, got ''"),
        ({"layers": 2.5}, r"layers must be a whole number, or 'all', got 2\.5"),
        ({"layers": "most"}, "layers must be a whole number, or 'all', got 'most'"),
        ({"layers": "all", "bpp": 1.0}, "layers and bpp exclude each other"),
        ({"quality": "high"}, "quality must be a number, got 'high'"),
        ({"target_size": "3k"}, "target_size must be a number, got '3k'"),
        ({"xmp": "<x/>"}, "xmp must be bytes, got str"),
        ({"exif": Image.Exif()}, "exif must be bytes, got Exif"),
    ],
)
def test_options_out_of_range(options: dict[str, Any], words: str, pixels: Pixels) -> None:
    with pytest.raises(rgru_codec.InvalidInput, match=words):
        rgru_codec.compress(pixels, **options)


def test_limits_of_the_encoder(pixels: Pixels) -> None:
    with pytest.raises(rgru_codec.LimitExceeded, match="max_pixels: 1920 is over the limit of 100"):
        rgru_codec.compress(pixels, limits=rgru_codec.Limits(max_pixels=100))
    limits = rgru_codec.Limits(max_metadata_bytes=10)
    with pytest.raises(rgru_codec.LimitExceeded, match="max_metadata_bytes"):
        rgru_codec.compress(pixels, icc_profile=profile(), limits=limits)
