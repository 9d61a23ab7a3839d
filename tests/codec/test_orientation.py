"""Pixels are turned as the orientation says, and what is stored then says 1, whatever its form."""

from __future__ import annotations

import io
import struct
from typing import Any

import numpy as np
import pytest
from PIL import Image, ImageOps

import rgru_codec
from rgru_codec import exif as tiff
from rgru_codec.exif import orientation_of
from rgru_codec.metadata import without_gps
from rgru_codec.picture import to_planes

from .conftest import photo

TYPES = {
    "BYTE": (1, "B"),
    "ASCII": (2, None),
    "SHORT": (3, "H"),
    "LONG": (4, "I"),
    "RATIONAL": (5, "II"),
    "SBYTE": (6, "b"),
    "UNDEFINED": (7, "B"),
    "SSHORT": (8, "h"),
    "SLONG": (9, "i"),
    "FLOAT": (11, "f"),
    "DOUBLE": (12, "d"),
    "IFD": (13, "I"),
}


def exif(kind: str, orientation: int, order: str, count: int = 1) -> bytes:
    """A TIFF structure with a maker, this orientation, and a second directory."""
    number, code = TYPES[kind]
    if code is None:
        value = b"%d\0" % orientation * count
    else:
        parts = (orientation, 1) if code == "II" else (orientation,)
        value = struct.pack(order + code, *parts) * count
    behind = 8 + 2 + 2 * 12 + 4
    outside = value if len(value) > 4 else b""
    shown = struct.pack(order + "I", behind) if outside else value.ljust(4, b"\0")
    entries = struct.pack(order + "HHI4s", 0x010F, 2, 4, b"Cam\0")
    entries += struct.pack(order + "HHI4s", 0x0112, number, count, shown)
    following = struct.pack(order + "I", behind + len(outside))
    mark = b"II*\0" if order == "<" else b"MM\0*"
    body = struct.pack(order + "H", 2) + entries + following + outside + struct.pack(order + "H", 0)
    return mark + struct.pack(order + "I", 8) + body + bytes(4)


def saved(kind: str, content: bytes) -> Image.Image:
    """A picture (24, 16) of a format with Exif put in byte for byte."""
    file = io.BytesIO()
    image = Image.fromarray(photo(16, 24))
    image.save(file, kind, exif=b"Exif\0\0II*\0\x08\0\0\0\0\0\0\0\0\0" + bytes(len(content) - 14))
    stand_in = b"II*\0\x08\0\0\0\0\0\0\0\0\0" + bytes(len(content) - 14)
    data = file.getvalue().replace(stand_in, content)
    if kind == "PNG":  # the checksum of the chunk
        import zlib

        at = data.index(b"eXIf")
        chunk = data[at : at + 4 + len(content)]
        data = (
            data[: at + len(chunk)]
            + struct.pack(">I", zlib.crc32(chunk))
            + data[at + len(chunk) + 4 :]
        )
    assert content in data
    return Image.open(io.BytesIO(data))


def seen(image: Image.Image) -> Image.Image:
    """The picture as a viewer shows it that reads Exif."""
    shown = ImageOps.exif_transpose(image)
    assert shown is not None
    return shown


@pytest.mark.parametrize("order", ["<", ">"])
@pytest.mark.parametrize("kind", TYPES)
@pytest.mark.parametrize("orientation", [1, 3, 6, 7])
def test_orientation_in_whatever_type_the_tag_has_is_applied_once(
    kind: str, order: str, orientation: int
) -> None:
    content = exif(kind, orientation, order)
    assert tiff.orientation_of(content) == orientation
    image = Image.fromarray(photo(16, 24))
    image.info["exif"] = content
    planes = to_planes(image)
    assert planes.pixels.shape[:2] == ((24, 16) if orientation > 4 else (16, 24))
    assert planes.exif is not None
    assert tiff.orientation_of(planes.exif) == 1
    assert len(planes.exif) == len(content)
    file = io.BytesIO()
    Image.fromarray(planes.pixels).save(file, "JPEG", exif=tiff.PREFIX + planes.exif)
    again = Image.open(io.BytesIO(file.getvalue()))
    assert again.getexif().get(0x0112, 1) in (1, "1", b"\1")
    assert again.getexif()[0x010F] == "Cam"
    assert seen(again).size == again.size


@pytest.mark.parametrize("container", ["JPEG", "PNG", "WEBP"])
@pytest.mark.parametrize("kind", ["BYTE", "LONG", "SSHORT", "SLONG"])
def test_orientation_of_files_is_applied_once(container: str, kind: str) -> None:
    image = saved(container, exif(kind, 6, ">"))
    found = rgru_codec.decompress(rgru_codec.compress(image, layers=1))
    assert found.size == (16, 24)
    assert seen(found).size == (16, 24)


@pytest.mark.parametrize("compression", ["raw", "tiff_lzw"])
@pytest.mark.parametrize("kind", [1, 3, 4, 8, 9])
def test_orientation_of_a_tiff_is_applied_once(kind: int, compression: str) -> None:
    from PIL.TiffImagePlugin import ImageFileDirectory_v2

    tags, file = ImageFileDirectory_v2(), io.BytesIO()
    tags.tagtype[0x0112] = kind
    tags[0x0112] = 6
    Image.fromarray(photo(16, 24)).save(file, "TIFF", tiffinfo=tags, compression=compression)
    image = Image.open(io.BytesIO(file.getvalue()))
    found = rgru_codec.decompress(rgru_codec.compress(image, layers=1))
    assert found.size == (16, 24)
    assert seen(found).size == (16, 24)


def test_orientation_of_an_avif_is_applied_once() -> None:
    file = io.BytesIO()
    Image.fromarray(photo(16, 24)).save(file, "AVIF", exif=exif("SHORT", 6, "<"))
    image = Image.open(io.BytesIO(file.getvalue()))
    found = rgru_codec.decompress(rgru_codec.compress(image, layers=1))
    assert (found.size, seen(found).size) == ((16, 24), (16, 24))


@pytest.mark.parametrize("count", [2, 3, 8])
def test_of_several_orientations_in_a_tag_the_first_counts(count: int) -> None:
    for kind in ("BYTE", "SHORT", "LONG"):
        content = exif(kind, 6, "<", count)
        assert tiff.orientation_of(content) == 6
        reset = tiff.with_orientation_reset(content)
        parsed = Image.Exif()
        parsed.load(reset)
        assert parsed[0x0112] == 1


def test_a_patch_is_kept_where_the_directory_has_no_end() -> None:
    """The pointer to the next directory is missing: the tag is there all the same."""
    content = exif("SHORT", 6, "<")[: 8 + 2 + 2 * 12]
    assert tiff.orientation_of(tiff.with_orientation_reset(content)) == 1


def test_both_of_two_orientation_tags_are_reset() -> None:
    content = bytearray(exif("SHORT", 6, "<"))
    content[10:22] = content[22:34]
    content[10 + 8] = 8
    reset = tiff.with_orientation_reset(bytes(content))
    assert reset[10 + 8] == reset[22 + 8] == 1


@pytest.mark.parametrize(
    "options", [{"exif": exif("SHORT", 6, "<")}, {"exif": exif("LONG", 6, ">")}]
)
def test_pixels_are_turned_by_exif_that_is_given(options: dict[str, Any]) -> None:
    pixels = photo(16, 24)
    for exif_bytes in (options["exif"], b"Exif\0\0" + options["exif"]):
        found = rgru_codec.decompress(rgru_codec.compress(pixels, layers=1, exif=exif_bytes))
        assert found.size == (16, 24)
        assert tiff.orientation_of(tiff.without_prefix(found.info["exif"])) == 1


def test_pixels_are_turned_by_exif_that_is_given_to_pillow_and_imwrite(tmp_path: Any) -> None:
    import rgru_codec.pillow

    rgru_codec.pillow.register()
    given = Image.Exif()
    given[0x0112] = 8
    image = Image.fromarray(photo(16, 24))
    image.save(tmp_path / "a.rgru", exif=given, layers=1)
    rgru_codec.imwrite(tmp_path / "b.rgru", np.asarray(image), exif=given.tobytes(), layers=1)
    for name in ("a.rgru", "b.rgru"):
        assert rgru_codec.imread(tmp_path / name).shape == (24, 16, 3)


def test_xmp_never_keeps_an_orientation_that_the_pixels_do_not_have() -> None:
    """Exif says 1 and XMP says 6: Exif counts, and a viewer that reads XMP must not turn."""
    image = Image.fromarray(photo(16, 24))
    for said in (
        b'<x tiff:Orientation="6"/>',
        b"<x tiff:Orientation = '6' a='b'/>",
        b"<x><tiff:Orientation> 6 </tiff:Orientation></x>",
    ):
        image.info.update(exif=exif("SHORT", 1, "<"), xmp=said)
        for strip in (False, "exif"):
            found = rgru_codec.decompress(rgru_codec.compress(image, layers=1, strip=strip))
            assert found.size == (24, 16)
            assert b"6" not in found.info["xmp"]


def test_exif_with_the_prefix_of_jpeg_inside_a_png_is_kept() -> None:
    image = Image.fromarray(photo(16, 24))
    image.info["exif"] = tiff.PREFIX * 3 + exif("SHORT", 6, "<")
    found = rgru_codec.decompress(rgru_codec.compress(image, layers=1))
    assert found.size == (16, 24)
    assert found.info["exif"] == tiff.PREFIX + tiff.with_orientation_reset(exif("SHORT", 6, "<"))


def gps_exif(order: str = "<") -> bytes:
    parsed = Image.Exif()
    parsed.endian = order
    parsed[0x010F] = "Cam"
    parsed[0x0131] = "software"
    parsed.get_ifd(0x8825).update({1: "N", 2: (52.0, 30.0, 15.25), 3: "E", 4: (13.0, 24.0, 1.5)})
    parsed[0x9C9B] = b"t\0i\0"
    return tiff.without_prefix(parsed.tobytes())


@pytest.mark.parametrize("order", ["<", ">"])
def test_gps_alone_can_be_stripped(order: str) -> None:
    content = gps_exif(order)
    image = Image.fromarray(photo(16, 24))
    image.info["exif"] = content
    image.info["xmp"] = (
        b'<x exif:GPSLatitude="52,30.25N" a="1"><exif:GPSLongitude>13,24E</exif:GPSLongitude>'
        b"<exif:GPSAltitude/><b/></x>"
    )
    found = rgru_codec.decompress(rgru_codec.compress(image, layers=1, strip="gps"))
    parsed = found.getexif()
    assert (parsed[0x010F], parsed[0x0131]) == ("Cam", "software")
    assert 0x8825 not in parsed
    assert found.info["xmp"] == b'<x a="1"><b/></x>'
    for value in (15.25, 1.5):  # nothing of it is left among the bytes
        numbers = struct.pack(order + "I", round(value * 100))
        assert numbers not in found.info["exif"]
    assert len(found.info["exif"]) == len(content) + 6


def test_resolution_is_kept() -> None:
    pixels = photo(16, 24)
    for kind, dpi in (
        ("PNG", (300, 300)),
        ("JPEG", (240, 240)),
        ("TIFF", (600, 300)),
        ("BMP", (96, 96)),
    ):
        file = io.BytesIO()
        Image.fromarray(pixels).save(file, kind, dpi=dpi)
        image = Image.open(io.BytesIO(file.getvalue()))
        found = rgru_codec.decompress(rgru_codec.compress(image, layers=1))
        assert found.info["dpi"] == pytest.approx(dpi, rel=1e-3), kind
        again = io.BytesIO()
        found.save(again, "PNG", dpi=found.info["dpi"])
        assert Image.open(again).info["dpi"] == pytest.approx(dpi, rel=1e-3)
    assert "dpi" not in rgru_codec.decompress(rgru_codec.compress(pixels, layers=1)).info


def test_resolution_joins_the_exif_that_is_there() -> None:
    image = Image.fromarray(photo(16, 24))
    for order in "<>":
        image.info.update(exif=gps_exif(order), dpi=(300.0, 150.0))
        found = rgru_codec.decompress(rgru_codec.compress(image, layers=1))
        parsed = found.getexif()
        assert found.info["dpi"] == (300.0, 150.0)
        assert (parsed[0x010F], parsed[282], parsed[283], parsed[296]) == ("Cam", 300, 150, 2)
        assert parsed.get_ifd(0x8825)[2] == (52.0, 30.0, 15.25)
    assert "dpi" not in rgru_codec.decompress(rgru_codec.compress(image, layers=1, strip=True)).info


@pytest.mark.parametrize("in_exif", [True, False])
@pytest.mark.parametrize("orientation", [1, 3, 6, 8])
def test_resolution_turns_with_the_picture(orientation: int, in_exif: bool) -> None:
    exif = Image.Exif()
    exif[0x112] = orientation
    dpi = (300, 150)
    if in_exif:
        exif.update({282: 300, 283: 150, 296: 2})
    file = io.BytesIO()
    image = Image.fromarray(photo(16, 24))
    image.save(file, "PNG", exif=exif, **({} if in_exif else {"dpi": dpi}))
    found = rgru_codec.decompress(rgru_codec.compress(Image.open(file), layers=1))
    on_side = orientation > 4
    assert found.size == ((16, 24) if on_side else (24, 16))
    assert found.info["dpi"] == pytest.approx(dpi[::-1] if on_side else dpi, rel=1e-3)


@pytest.mark.parametrize(("text", "turned"), [(b"6\0", True), (b"200\0", False), (b"60\0", False)])
def test_an_orientation_in_text_is_one_digit(text: bytes, turned: bool) -> None:
    head = b"MM\0*" + struct.pack(">IHHHI", 8, 1, 0x112, 2, len(text))
    assert (orientation_of(head + text.ljust(4, b"\0") + bytes(4)) == 6) is turned


def test_places_that_makers_put_under_their_own_names_are_stripped() -> None:
    """Drones write their place into XMP a second time."""
    xmp = b'<r drone-dji:GpsLatitude="+48.1" exif:GPSLatitude="48,6N" drone-dji:Yaw="3" a="b"/>'
    assert without_gps("xmp", xmp) == b'<r drone-dji:Yaw="3" a="b"/>'
    xmp = b"<r><d:GpsLongitude>+11.5</d:GpsLongitude><d:GPSAltitude/><d:Yaw>3</d:Yaw></r>"
    assert without_gps("xmp", xmp) == b"<r><d:Yaw>3</d:Yaw></r>"
