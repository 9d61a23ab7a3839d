"""ICC, Exif and XMP: kept byte for byte, orientation applied, stripped on demand."""

from __future__ import annotations

import io
import struct
import time
import warnings
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from PIL import Image, ImageCms

import rgru_codec
from rgru_codec import metadata
from rgru_codec.exif import is_exif, with_orientation_reset, without_gps
from rgru_codec.metadata import read_metadata
from rgru_codec.picture import to_planes

from .conftest import photo, profile

ICC = ImageCms.ImageCmsProfile(ImageCms.createProfile("sRGB")).tobytes()
XMP = (
    b'<x:xmpmeta xmlns:x="adobe:ns:meta/"><rdf:Description tiff:Orientation="6" a="b"/></x:xmpmeta>'
)


def exif(orientation: int | None = None, order: str = "<") -> bytes:
    """A camera's Exif: maker, orientation, a maker note, a thumbnail directory."""
    mark = b"II*\0" if order == "<" else b"MM\0*"
    entries = [(0x010F, 2, 4, b"Cam\0")]
    if orientation is not None:
        entries.append((0x0112, 3, 1, struct.pack(order + "HH", orientation, 0)))
    body = struct.pack(order + "H", len(entries))
    for tag, kind, count, value in entries:
        body += struct.pack(order + "HHI", tag, kind, count) + value
    thumbnail = 8 + len(body) + 4
    body += struct.pack(order + "I", thumbnail) + struct.pack(order + "H", 0) + b"\0\0\0\0note"
    return mark + struct.pack(order + "I", 8) + body


def jpeg(size: tuple[int, int] = (24, 16), **options: Any) -> Image.Image:
    file = io.BytesIO()
    Image.fromarray(photo(size[1], size[0])).save(file, "JPEG", quality=100, **options)
    return Image.open(io.BytesIO(file.getvalue()))


def kept(image: Image.Image, **options: Any) -> Image.Image:
    return rgru_codec.decompress(rgru_codec.compress(image, layers=1, **options))


@pytest.mark.parametrize("kind", ["JPEG", "PNG", "WEBP", "TIFF"])
def test_icc_is_kept_byte_for_byte(kind: str) -> None:
    file = io.BytesIO()
    Image.fromarray(photo(16, 24)).save(file, kind, icc_profile=ICC)
    image = Image.open(io.BytesIO(file.getvalue()))
    assert kept(image, keep_icc=True).info["icc_profile"] == ICC


PRIMARIES = {  # XYZ of red, green and blue, adapted to D50
    "Display P3": ((0.5151, 0.2412, -0.0011), (0.2920, 0.6922, 0.0419), (0.1571, 0.0666, 0.7841)),
    "Adobe RGB": ((0.6097, 0.3111, 0.0195), (0.2053, 0.6257, 0.0609), (0.1492, 0.0632, 0.7446)),
}


def wide_profile(primaries: tuple[tuple[float, ...], ...]) -> bytes:
    """An ICC profile (version 2) of these primaries and gamma 2.2."""

    def xyz(values: tuple[float, ...]) -> bytes:
        return struct.pack(">3i", *(round(value * 65536) for value in values))

    curve = b"curv\0\0\0\0" + struct.pack(">IHH", 1, round(2.2 * 256), 0)
    names = (b"rXYZ", b"gXYZ", b"bXYZ")
    tags = {b"wtpt": b"XYZ \0\0\0\0" + xyz((0.9642, 1.0, 0.8249))}
    tags |= {n: b"XYZ \0\0\0\0" + xyz(v) for n, v in zip(names, primaries, strict=True)}
    tags |= dict.fromkeys((b"rTRC", b"gTRC", b"bTRC"), curve)
    table, body, start = struct.pack(">I", len(tags)), b"", 128 + 4 + 12 * len(tags)
    for name, content in tags.items():
        table += name + struct.pack(">II", start + len(body), len(content))
        body += content
    head = struct.pack(
        ">I4xI4s4s4s12x4s", start + len(body), 2 << 24, b"mntr", b"RGB ", b"XYZ ", b"acsp"
    )
    return (head + bytes(28) + xyz((0.9642, 1.0, 0.8249))).ljust(128, b"\0") + table + body


def as_seen(image: Image.Image) -> np.ndarray:
    """The picture as a colour-managed viewer shows it on an sRGB screen."""
    profile = ImageCms.ImageCmsProfile(io.BytesIO(image.info["icc_profile"]))
    shown = ImageCms.profileToProfile(image, profile, ImageCms.createProfile("sRGB"))
    assert shown is not None
    return np.asarray(shown)


@pytest.mark.parametrize("name", PRIMARIES)
def test_wide_colours_look_the_same_in_a_managed_viewer(name: str) -> None:
    original = Image.new("RGB", (64, 64), (190, 90, 70))
    original.info["icc_profile"] = wide_profile(PRIMARIES[name])
    found = rgru_codec.decompress(rgru_codec.compress(original, layers="all"))
    meant = as_seen(original).mean((0, 1))
    assert np.abs(as_seen(found).mean((0, 1)) - meant).max() < 3
    assert np.abs(np.asarray(found).mean((0, 1)) - meant).max() > 9, "unmanaged"


@pytest.mark.parametrize("kind", ["JPEG", "PNG", "WEBP"])
def test_exif_is_kept_byte_for_byte(kind: str) -> None:
    file = io.BytesIO()
    Image.fromarray(photo(16, 24)).save(file, kind, exif=b"Exif\0\0" + exif(1))
    found = kept(Image.open(io.BytesIO(file.getvalue())))
    assert found.info["exif"] == b"Exif\0\0" + exif(1)
    assert found.getexif()[0x010F] == "Cam"


@pytest.mark.parametrize("orientation", range(1, 9))
@pytest.mark.parametrize("order", ["<", ">"])
def test_orientation_is_applied_and_reset(orientation: int, order: str) -> None:
    image = jpeg(exif=b"Exif\0\0" + exif(orientation, order))
    planes = to_planes(image)
    from PIL import ImageOps

    assert np.array_equal(planes.pixels, np.asarray(ImageOps.exif_transpose(image)))
    assert planes.exif is not None
    assert planes.exif.endswith(b"note"), "what lies behind the directory keeps its place"
    found = kept(image)
    assert found.size == ((24, 16) if orientation < 5 else (16, 24))
    assert found.getexif()[0x0112] == 1
    assert found.getexif()[0x010F] == "Cam"


def test_a_thumbnail_that_was_not_turned_is_unlinked() -> None:
    start = 8 + 2 + 2 * 12
    assert with_orientation_reset(exif(6))[start : start + 4] == b"\0\0\0\0"
    assert with_orientation_reset(exif(1)) == exif(1)
    assert with_orientation_reset(exif(None)) == exif(None)


def test_exif_of_tiff_leaves_storage_out() -> None:
    file = io.BytesIO()
    tags = {271: "Cam", 272: "One", 315: "Me"}
    Image.fromarray(photo(16, 24)).save(file, "TIFF", tiffinfo=tags)
    found = kept(Image.open(io.BytesIO(file.getvalue()))).getexif()
    assert dict(found) == tags


def test_orientation_of_tiff() -> None:
    file = io.BytesIO()
    Image.fromarray(photo(16, 24)).save(file, "TIFF", tiffinfo={274: 6, 271: "Cam"})
    image = Image.open(io.BytesIO(file.getvalue()))
    found = kept(image)
    assert found.size == (16, 24)
    assert found.getexif().get(0x0112, 1) == 1


def test_xmp_is_kept_and_its_orientation_is_not() -> None:
    upright = XMP.replace(b' tiff:Orientation="6"', b"")
    assert kept(jpeg(xmp=upright)).info["xmp"] == upright
    turned = kept(jpeg(xmp=XMP))
    assert turned.size == (16, 24)
    assert turned.info["xmp"] == upright


def test_png_xmp() -> None:
    from PIL.PngImagePlugin import PngInfo

    info, file = PngInfo(), io.BytesIO()
    info.add_itxt("XML:com.adobe.xmp", "<x>ü</x>")
    Image.fromarray(photo(16, 24)).save(file, "PNG", pnginfo=info)
    found = kept(Image.open(io.BytesIO(file.getvalue())))
    assert found.info["xmp"] == "<x>ü</x>".encode()


def test_arguments_replace_the_pictures_own() -> None:
    image = jpeg(exif=b"Exif\0\0" + exif(6), icc_profile=ICC, xmp=b"<old/>")
    with pytest.warns(UserWarning, match=r"given, 8, was not applied: .* has its own, 6"):
        found = kept(image, icc_profile=profile(), exif=exif(8), xmp=b"<new/>")
    assert found.info["icc_profile"] == profile()
    assert found.info["exif"] == b"Exif\0\0" + with_orientation_reset(exif(8))
    assert found.info["xmp"] == b"<new/>"
    assert found.size == (16, 24), "the picture's own orientation is applied all the same"


@pytest.mark.parametrize(
    ("strip", "left"),
    [
        (False, {"icc_profile", "exif", "xmp"}),
        (True, set()),
        (["exif"], {"icc_profile", "xmp"}),
        ("exif", {"icc_profile", "xmp"}),
        (["xmp", "icc"], {"exif"}),
    ],
)
def test_strip(strip: bool | str | list[str], left: set[str]) -> None:
    image = jpeg(exif=b"Exif\0\0" + exif(6), icc_profile=ICC, xmp=b"<old/>")
    found = kept(image, strip=strip, keep_icc=True)
    assert set(found.info) - {"layers"} == left
    assert found.size == (16, 24)


def test_strip_and_give() -> None:
    found = kept(jpeg(exif=b"Exif\0\0" + exif(1)), strip=True, xmp=b"<new/>")
    assert found == kept(jpeg(exif=b"Exif\0\0" + exif(1)), strip=["all"], xmp=b"<new/>")
    assert set(found.info) == {"layers", "xmp"}


@pytest.mark.parametrize("kind", ["JPEG", "PNG", "WEBP", "TIFF"])
def test_what_comes_back_can_be_saved(kind: str, tmp_path: Path) -> None:
    found = kept(jpeg(exif=b"Exif\0\0" + exif(6), icc_profile=ICC), keep_icc=True)
    path = tmp_path / "x"
    found.save(path, kind, exif=found.info["exif"], icc_profile=found.info["icc_profile"])
    with Image.open(path) as again:
        assert again.info["icc_profile"] == ICC
        assert again.getexif()[0x010F] == "Cam"


@pytest.mark.parametrize(
    "damaged",
    [b"", b"Exif\0\0", b"Exif\0\0rubbish", b"Exif\0\0II*\0", b"Exif\0\0MM\0*\xff\xff\xff\xff"]
    + [b"Exif\0\0" + exif(6)[:n] for n in range(4, len(exif(6)), 3)],
)
def test_damaged_exif_never_fails(damaged: bytes) -> None:
    image = Image.fromarray(photo(16, 24))
    image.info["exif"] = damaged
    planes = to_planes(image)
    assert planes.exif is None or is_exif(planes.exif)
    if damaged == b"Exif\0\0rubbish":
        assert planes.notes == ("damaged Exif data was left out",)


def test_random_exif_never_fails() -> None:
    generator = np.random.default_rng(0)
    image = Image.fromarray(photo(16, 24))
    for _ in range(300):
        content = bytearray(exif(6))
        for _ in range(3):
            content[generator.integers(8, len(content))] = generator.integers(256)
        image.info["exif"] = bytes(content)
        image._exif = None
        read_metadata(image)


def test_damaged_profiles_are_kept_and_harmless() -> None:
    image = Image.fromarray(photo(16, 24))
    image.info["icc_profile"] = b"no profile at all"
    assert kept(image).info["icc_profile"] == b"no profile at all"
    cmyk = image.convert("CMYK")
    cmyk.info["icc_profile"] = b"no profile at all"
    with pytest.warns(UserWarning, match="CMYK"):
        kept(cmyk)


@pytest.mark.parametrize(
    "filling",
    [
        b" " * 300_000,
        b"<exif:GPS" + b"a" * 300_000,
        b"xmp <exif:GPSa " * 20_000,
        b"\n" * 300_000,
        b"<a>" + b"GPS" * 100_000 + b"</a>",
    ],
    ids=["spaces", "one long name", "many names", "lines", "one long text"],
)
def test_large_xmp_is_searched_in_the_time_of_its_length(filling: bytes) -> None:
    """XMP is padded with spaces, and strangers may put more of them there."""
    start = time.monotonic()
    xmp = XMP.replace(b"<rdf:Desc", filling + b"<rdf:Desc")
    with warnings.catch_warnings(record=True) as caught:  # of names without end
        warnings.simplefilter("always")
        image = kept(Image.fromarray(photo(8, 8)), xmp=xmp, strip="gps")
    assert time.monotonic() - start < 5
    assert b"tiff:Orientation" not in image.info.get("xmp", b"")
    left_out = "xmp" not in image.info
    assert left_out == bool(caught) == (b"<exif:GPSa" in filling)


@pytest.mark.parametrize("encoding", ["utf-8", "utf-16", "utf-16-be"])
@pytest.mark.parametrize(
    "place",
    [
        '<e:GPSLatitude rdf:parseType="Resource"><rdf:value>48,1N</rdf:value></e:GPSLatitude>',
        "<exif:GPSLatitude><![CDATA[48,1N]]></exif:GPSLatitude>",
        "<exif:GPSLatitude><!-- a --> 48,1N</exif:GPSLatitude>",
        '<GPSLatitude xmlns="http://ns.adobe.com/exif/1.0/">48,1N</GPSLatitude>',
        '<rdf:Description é:GPSLatitude = "48,1N"/>',
        "<é:GPSLatitude>48,1N</é:GPSLatitude>",
    ],
)
def test_xmp_whose_place_cannot_be_taken_out_is_left_out_and_that_is_said(
    place: str, encoding: str
) -> None:
    xmp = f'<x:xmpmeta xmlns:x="adobe:ns:meta/">{place}</x:xmpmeta>'.encode(encoding)
    with pytest.warns(UserWarning, match="XMP was left out: the place cannot be taken out"):
        image = kept(Image.fromarray(photo(8, 8)), xmp=xmp, strip="gps")
    assert "xmp" not in image.info
    whole = kept(Image.fromarray(photo(8, 8)), xmp=xmp)
    assert whole.info["xmp"] == xmp
    assert metadata.without_gps("xmp", xmp) is None


def test_xmp_that_speaks_of_gps_in_a_text_is_kept() -> None:
    xmp = b"<x:xmpmeta><dc:title>GPS or not</dc:title><a:b>GPSMAP 60</a:b></x:xmpmeta>"
    assert metadata.without_gps("xmp", xmp) == xmp


@pytest.mark.parametrize("kind", [2, 3, 5, 11, 12])
def test_a_pointer_to_gps_of_another_type_never_fails(kind: int) -> None:
    """Not a number of the type float among others."""
    bad = b"II*\0" + struct.pack("<IHHHIII", 8, 1, 0x8825, kind, 1, 0x7FC00000, 0) + b"\xff" * 40
    assert without_gps(bad) is None


@pytest.mark.parametrize(
    "info",
    [
        {"gamma": "x"},
        {"chromaticity": ("a",) * 8},
        {"dpi": "x"},
        {"exif": 5},
        {"xmp": 5},
        {"icc_profile": 5},
    ],
    ids=str,
)
def test_strange_values_of_a_picture_are_passed_over(info: dict[str, Any]) -> None:
    image = Image.fromarray(photo(8, 8))
    image.info.update(info)
    assert kept(image).info.keys() == {"layers"}


@pytest.mark.parametrize(("mode", "key"), [("L", b"x"), ("RGB", (1, 2)), ("RGB", b"a"), ("P", "x")])
def test_a_transparent_colour_that_is_none_is_an_error_of_ours(mode: str, key: Any) -> None:
    image = Image.fromarray(photo(8, 8)).convert(mode)
    image.info["transparency"] = key
    with pytest.raises(rgru_codec.InvalidInput):
        kept(image)
