"""What the numbers mean survives, however a file says it; what says nothing new costs nothing."""

from __future__ import annotations

import io
import struct
import zlib
from pathlib import Path

import numpy as np
import pytest
from PIL import Image, ImageCms

import rgru_codec
from rgru_codec import colour
from rgru_codec.picture import to_planes
from rgru_format import Colour

from .conftest import photo

SRGB = ImageCms.createProfile("sRGB")


def chunk(name: bytes, content: bytes) -> bytes:
    crc = zlib.crc32(name + content)
    return struct.pack(">I", len(content)) + name + content + struct.pack(">I", crc)


def png(*chunks: tuple[bytes, bytes], mode: str = "RGB", value: object = (190, 90, 70)) -> bytes:
    """A PNG of one colour with chunks put behind its head."""
    file = io.BytesIO()
    Image.new(mode, (16, 16), value).save(file, "PNG")  # type: ignore[arg-type]
    data = file.getvalue()
    return data[:33] + b"".join(chunk(*one) for one in chunks) + data[33:]


def gama(value: float) -> tuple[bytes, bytes]:
    return b"gAMA", struct.pack(">I", round(value * 100000))


def chrm(places: tuple[float, ...]) -> tuple[bytes, bytes]:
    return b"cHRM", struct.pack(">8I", *(round(value * 100000) for value in places))


def shown(image: Image.Image) -> np.ndarray:
    """The picture on an sRGB screen, by a viewer that manages colour."""
    icc = image.info.get("icc_profile")
    if icc is None:
        return np.asarray(image.convert("RGB")).astype(int)
    profile = ImageCms.ImageCmsProfile(io.BytesIO(icc))
    seen = ImageCms.profileToProfile(image, profile, SRGB, outputMode="RGB")
    assert seen is not None
    return np.asarray(seen).astype(int)


def stored(data: bytes) -> Image.Image:
    """What a decoder hands out, with the pixels of the source: the network's error left out."""
    planes = to_planes(Image.open(io.BytesIO(data)))
    image = Image.fromarray(planes.pixels)
    if planes.grey:
        image = image.convert("L")
    found = rgru_codec.decompress(rgru_codec.compress(data, layers=1))
    if "icc_profile" in found.info:
        image.info["icc_profile"] = found.info["icc_profile"]
    return image


P3_GREEN = png((b"cICP", bytes([12, 13, 0, 1])), value=(0, 255, 0))


def test_code_points_of_a_png_are_kept() -> None:
    found = stored(P3_GREEN)
    assert np.array_equal(np.asarray(found)[0, 0], (0, 255, 0))
    into_p3 = ImageCms.ImageCmsProfile(
        io.BytesIO(colour.profile_of(colour.ColourSpace(colour.PRIMARIES[12], 13)))
    )
    profile = ImageCms.ImageCmsProfile(io.BytesIO(found.info["icc_profile"]))
    same = ImageCms.profileToProfile(found, profile, into_p3)
    assert same is not None
    assert np.abs(np.asarray(same).astype(int) - np.asarray(found)).max() <= 1


def test_code_points_stand_above_a_profile() -> None:
    """PNG, third edition: cICP before iCCP."""
    icc = colour.profile_of(colour.ColourSpace(colour.PRIMARIES[1], 8))
    data = png((b"cICP", bytes([1, 13, 0, 1])), (b"iCCP", b"x\0\0" + zlib.compress(icc)))
    assert "icc_profile" not in stored(data).info


@pytest.mark.parametrize("gamma", [1.0, 1 / 1.8, 1 / 1.4])
def test_gamma_of_a_png_is_kept(gamma: float) -> None:
    values = stored(png(gama(gamma), value=(128, 128, 128)))
    light = (128 / 255) ** (1 / gamma)
    expected = 255 * (1.055 * light ** (1 / 2.4) - 0.055)
    assert shown(values)[0, 0] == pytest.approx([expected] * 3, abs=1.5)


def test_gamma_of_a_grey_png_is_kept() -> None:
    found = stored(png(gama(1.0), mode="L", value=128))
    assert found.mode == "L"
    assert shown(found)[0, 0] == pytest.approx([188] * 3, abs=1.5)


def test_chromaticities_of_a_png_are_kept() -> None:
    wide = stored(png(chrm(colour.PRIMARIES[9]), gama(0.45455), value=(190, 90, 70)))
    as_code = stored(png((b"cICP", bytes([9, 13, 0, 1])), value=(190, 90, 70)))
    assert np.abs(shown(wide) - shown(as_code)).max() <= 1
    assert np.abs(shown(wide) - (190, 90, 70)).max() > 9


@pytest.mark.parametrize(
    "chunks",
    [
        [gama(0.45455)],
        [gama(0.45455), chrm(colour.PRIMARIES[1])],
        [(b"sRGB", b"\0"), gama(1.0)],
        [(b"cICP", bytes([1, 13, 0, 1]))],
        [(b"cICP", bytes([2, 2, 0, 1]))],
        [chrm((0.0,) * 8), gama(0.0)],
        [(b"gAMA", b"\0")],
    ],
)
@pytest.mark.filterwarnings("ignore:code points of colour")
def test_a_png_that_says_srgb_or_nothing_costs_nothing(chunks: list[tuple[bytes, bytes]]) -> None:
    try:
        image = Image.open(io.BytesIO(png(*chunks)))
    except Exception:
        pytest.skip("Pillow refuses it")
    planes = to_planes(image)
    assert (planes.icc_profile, planes.colour) == (None, None)


def test_code_points_that_are_not_known_are_said() -> None:
    planes = to_planes(Image.open(io.BytesIO(png((b"cICP", bytes([99, 13, 0, 1]))))))
    assert "code points of colour (cICP) that are not known were left out" in planes.notes
    planes = to_planes(Image.open(io.BytesIO(png((b"cICP", bytes([12, 13, 0, 0]))))))
    assert "narrow-range values (cICP) were taken as full range" in planes.notes


def test_code_points_of_an_avif_are_kept() -> None:
    file = io.BytesIO()
    Image.new("RGB", (16, 16), (190, 90, 70)).save(file, "AVIF", quality=100, subsampling="4:4:4")
    data = bytearray(file.getvalue())
    at = data.index(b"colrnclx") + 8
    before = to_planes(Image.open(io.BytesIO(bytes(data))))
    assert (before.icc_profile, before.colour) == (None, None), "sRGB"
    data[at : at + 2] = (12).to_bytes(2, "big")
    found = stored(bytes(data))
    assert "Display P3" in ImageCms.getProfileDescription(
        ImageCms.ImageCmsProfile(io.BytesIO(found.info["icc_profile"]))
    )


def test_a_picture_that_was_read_before_keeps_what_pillow_tells(tmp_path: Path) -> None:
    image = Image.open(io.BytesIO(png(gama(1.0))))
    image.load()
    assert to_planes(image).colour == Colour(1, 8)
    (tmp_path / "p3.png").write_bytes(P3_GREEN)
    image = Image.open(tmp_path / "p3.png")
    image.load()
    assert to_planes(image).colour == Colour(12, 13), "the file is looked at again"


@pytest.mark.parametrize("primaries", colour.PRIMARIES)
@pytest.mark.parametrize("transfer", [1, 4, 5, 7, 8, 13, 16, 17, 18])
def test_a_profile_that_is_made_says_what_it_was_made_of(primaries: int, transfer: int) -> None:
    said = colour.of_code_points(primaries, transfer)
    assert said is not None
    for grey in (False, True):
        icc = colour.profile_of(said, grey)
        ImageCms.getProfileDescription(ImageCms.ImageCmsProfile(io.BytesIO(icc)))
        found = colour.of_profile(icc)
        if transfer not in (16, 18) or not grey:
            assert found is not None
            assert found.transfer == transfer
    found = colour.of_profile(colour.profile_of(said))
    assert found is not None
    assert found.chromaticities == pytest.approx(said.chromaticities, abs=0.0015)


def test_profiles_of_srgb_are_recognised_and_others_are_not() -> None:
    icc = ImageCms.ImageCmsProfile(SRGB).tobytes()
    table = np.rint(
        colour.to_light(colour.ColourSpace(colour.PRIMARIES[1], 13), np.linspace(0, 1, 1024))
        * 65535
    )
    curve = b"curv\0\0\0\0" + struct.pack(">I", 1024) + table.astype(">u2").tobytes()
    ours = colour.ColourSpace(colour.PRIMARIES[1], 13)
    as_table = _with_curve(ours, curve)
    gamma = _with_curve(ours, b"curv\0\0\0\0" + struct.pack(">IH", 1, round(2.2 * 256)))
    for known in (icc, as_table, colour.profile_of(ours), colour.profile_of(ours, grey=True)):
        found = colour.of_profile(known)
        assert found is not None
        assert found.is_srgb
    found = colour.of_profile(gamma)
    assert found is not None
    assert (found.code_points, found.is_srgb) == ((1, 4), False)
    odd = _with_curve(ours, b"curv\0\0\0\0" + struct.pack(">IH", 1, round(1.9 * 256)))
    assert colour.of_profile(odd) is None
    lab = ImageCms.ImageCmsProfile(ImageCms.createProfile("LAB")).tobytes()
    for unknown in (lab, b"", b"profile", icc[:200], icc[:128], bytes(4000), b"\xff" * 4000):
        assert colour.of_profile(unknown) is None


def _with_curve(said: colour.ColourSpace, curve: bytes) -> bytes:
    """A profile whose curves are replaced."""
    names = (b"rXYZ", b"gXYZ", b"bXYZ")
    matrix = colour.matrix_of(said.chromaticities)
    tags = {n: colour._xyz_tag(matrix[:, i]) for i, n in enumerate(names)}
    tags |= dict.fromkeys((b"rTRC", b"gTRC", b"bTRC"), curve)
    return colour._packed(tags, b"RGB ")


def test_a_profile_with_random_bytes_changed_never_fails() -> None:
    generator = np.random.default_rng(0)
    icc = colour.profile_of(colour.ColourSpace(colour.PRIMARIES[12], 13))
    for _ in range(500):
        broken = bytearray(icc)
        for _ in range(4):
            broken[generator.integers(len(broken))] = generator.integers(256)
        colour.of_profile(bytes(broken))


def test_a_profile_of_srgb_is_left_out_unless_it_is_wanted() -> None:
    icc = ImageCms.ImageCmsProfile(SRGB).tobytes()
    pixels = photo(16, 24)
    image = Image.fromarray(pixels)
    image.info["icc_profile"] = icc
    plain = rgru_codec.compress(pixels, layers=1)
    assert rgru_codec.compress(image, layers=1) == plain
    assert rgru_codec.compress(pixels, layers=1, icc_profile=icc) == plain
    for data in (
        rgru_codec.compress(image, layers=1, keep_icc=True),
        rgru_codec.compress(pixels, layers=1, icc_profile=icc, keep_icc=True),
    ):
        assert rgru_codec.decompress(data).info["icc_profile"] == icc


def test_what_code_points_say_takes_four_bytes() -> None:
    """And the decoder hands out a profile of it."""
    p3 = colour.ColourSpace(colour.PRIMARIES[12], 13)
    image = Image.fromarray(photo(16, 24))
    plain = len(rgru_codec.compress(image, layers=1))
    image.info["icc_profile"] = _with_curve(p3, colour._curve(p3))
    for picture in (image, Image.open(io.BytesIO(P3_GREEN))):
        data = rgru_codec.compress(picture, layers=1)
        boxes = [one.box for one in rgru_codec.info(data).boxes]
        assert [(box.type, box.content) for box in boxes] == [(b"cicp", bytes([12, 13, 0, 1]))]
        found = rgru_codec.decompress(data)
        assert found.info["icc_profile"] == colour.profile_of(p3)
        again = rgru_codec.info(rgru_codec.compress(found, layers=1))
        assert [one.box for one in again.boxes] == boxes
    assert len(rgru_codec.compress(image, layers=1)) < plain + 16
    assert not rgru_codec.info(rgru_codec.compress(image.convert("L"), layers=1)).boxes
    kept = rgru_codec.compress(image, layers=1, keep_icc=True)
    assert rgru_codec.decompress(kept).info["icc_profile"] == image.info["icc_profile"]


def test_code_points_of_a_file_that_are_not_known_are_said() -> None:
    from rgru_format import BOX_COLOUR, Box, Colour, inspect, write_file

    found = inspect(rgru_codec.compress(photo(16, 24), layers=1))
    boxes = [Box(BOX_COLOUR, Colour(99, 13).pack())]
    odd = write_file(found.header, [[group.payload for group in found.groups]], boxes)
    with pytest.warns(UserWarning, match=r"its colour \(cicp 630d0001\) is not known"):
        image = rgru_codec.decompress(odd)
    assert "icc_profile" not in image.info


def test_stripping_icc_strips_every_way_of_saying_colour() -> None:
    for data in (P3_GREEN, png(gama(1.0))):
        assert (
            "icc_profile"
            not in rgru_codec.decompress(rgru_codec.compress(data, layers=1, strip="icc")).info
        )
