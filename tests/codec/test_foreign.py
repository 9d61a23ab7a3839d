"""What Pillow does not tell or passes over: depth, transparency, texts, parts of other formats."""

from __future__ import annotations

import copy
import hashlib
import importlib
import io
import struct
import sys
import time
import zlib
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import tifffile
from PIL import Image, PngImagePlugin

import rgru_codec
from rgru_codec.exif import orientation_of
from rgru_codec.foreign import _bits_of_jxl, _isobmff, readable_png
from rgru_codec.picture import from_array, to_planes
from rgru_codec.source import read_planes

from .conftest import photo
from .test_colour import chunk


def grey_png(bits: int, key: int, values: list[int]) -> bytes:
    """A grey PNG of one row with a transparent value."""
    packed = "".join(f"{value:0{bits}b}" for value in values)
    packed += "0" * (-len(packed) % 8)
    row = int(packed, 2).to_bytes(len(packed) // 8, "big")
    head = struct.pack(">IIBBBBB", len(values), 1, bits, 0, 0, 0, 0)
    return (
        b"\x89PNG\r\n\x1a\n"
        + chunk(b"IHDR", head)
        + chunk(b"tRNS", struct.pack(">H", key))
        + chunk(b"IDAT", zlib.compress(b"\0" + row))
        + chunk(b"IEND", b"")
    )


@pytest.mark.parametrize("bits", [1, 2, 4, 8])
def test_the_transparent_value_of_grey_is_found_at_every_depth(bits: int) -> None:
    levels = list(range(2**bits))[:16]
    for key in (levels[0], levels[1], levels[-1]):
        planes = read_planes(grey_png(bits, key, levels))
        assert planes.alpha is not None
        assert planes.alpha[0].tolist() == [0 if level == key else 255 for level in levels]
        scaled = [level * 255 // (2**bits - 1) for level in levels]
        assert planes.pixels[0, :, 0].tolist() == scaled


def test_grey_with_alpha_of_sixteen_bits_stays_grey() -> None:
    levels = np.array([[[0, 65535], [40 * 257, 9 * 257], [65535, 0]]], ">u2")
    head = struct.pack(">IIBBBBB", 3, 1, 16, 4, 0, 0, 0)
    parts = [(b"IHDR", head), (b"IDAT", zlib.compress(b"\0" + levels.tobytes())), (b"IEND", b"")]
    data = b"\x89PNG\r\n\x1a\n" + b"".join(chunk(*one) for one in parts)
    planes = read_planes(data, convert_depth=True)
    assert planes.grey
    assert planes.pixels[0, :, 0].tolist() == [0, 40, 255]
    assert planes.alpha is not None
    assert planes.alpha[0].tolist() == [255, 9, 0]
    with Image.open(io.BytesIO(data)) as image:
        image.load()
        image.paste((255, 0, 0, 255), (0, 0, 1, 1))
        assert not to_planes(image, convert_depth=True).grey


def test_the_transparent_colour_of_sixteen_bits_is_found() -> None:
    values = np.array([[[1000, 2000, 3000], [65535, 0, 0], [257, 514, 771]]], ">u2")
    head = struct.pack(">IIBBBBB", 3, 1, 16, 2, 0, 0, 0)
    data = (
        b"\x89PNG\r\n\x1a\n"
        + chunk(b"IHDR", head)
        + chunk(b"tRNS", struct.pack(">HHH", 65535, 0, 0))
        + chunk(b"IDAT", zlib.compress(b"\0" + values.tobytes()))
        + chunk(b"IEND", b"")
    )
    planes = read_planes(data, convert_depth=True)
    assert planes.alpha is not None
    assert planes.alpha[0].tolist() == [255, 0, 255]


def mean_of(array: np.ndarray) -> float:
    return float(np.asarray(from_array(array, convert_depth=True)).mean())


@pytest.mark.parametrize("kind", ["f2", "f4", "f8", ">f4"])
@pytest.mark.parametrize("top", [1.0, 255.0, 65535.0])
def test_a_small_overshoot_of_floats_is_clipped(kind: str, top: float) -> None:
    if kind == "f2" and top > 65000:
        pytest.skip("half precision ends at 65504")
    values = np.full((16, 16), top / 2).astype(kind)
    plain = mean_of(np.where(np.eye(16) > 0, top, values).astype(kind))
    for over in (top * 1.002, top * 1.06):
        above = np.where(np.eye(16) > 0, over, values).astype(kind)
        assert mean_of(above) == pytest.approx(plain, abs=0.1)
        below = np.where(np.eye(16) > 0, top - over, values).astype(kind)
        below[0, 1] = top
        assert mean_of(below) == pytest.approx(127.5, abs=8.5)


@pytest.mark.parametrize(
    "value", [2.0, 1.2, 10.0, 300.0, 1000.0, 80000.0, -0.2, -1.0, float("nan"), float("inf"), -1e30]
)
def test_floats_between_two_ranges_are_refused(value: float) -> None:
    array = np.full((4, 4), min(value, 0.5) if value < 1 else value, np.float32)
    array[0, 0] = value
    with pytest.raises(rgru_codec.InvalidInput, match="scale them first"):
        from_array(array, convert_depth=True)


@pytest.mark.parametrize("kind", ["<u2", ">u2"])
def test_sixteen_bits_are_scaled_in_either_byte_order(kind: str) -> None:
    ramp = np.linspace(0, 65535, 256).astype(kind).reshape(16, 16)
    assert np.array_equal(np.asarray(from_array(ramp, convert_depth=True)).ravel(), np.arange(256))


def tiff(bits: int, rows: bytes, width: int, kind: int = 1, shades: int = 1) -> bytes:
    """A grey TIFF of one row."""
    entries = [(256, 3, width), (257, 3, 1), (258, 3, bits), (259, 3, 1), (262, 3, shades)]
    entries += [(273, 4, 8), (277, 3, 1), (278, 3, 1), (279, 4, len(rows)), (339, 3, kind)]
    body = rows + bytes(len(rows) % 2)
    table = struct.pack("<H", len(entries))
    for tag, code, value in entries:
        table += struct.pack("<HHI", tag, code, 1)
        table += struct.pack("<I", value) if code == 4 else struct.pack("<HH", value, 0)
    return b"II*\0" + struct.pack("<I", 8 + len(body)) + body + table + bytes(4)


@pytest.mark.parametrize(("bits", "kind"), [(8, np.uint8), (16, np.dtype("<u2"))])
def test_tiff_whose_zero_is_white_is_no_negative(bits: int, kind: Any) -> None:
    rows = np.array([0, 2**bits - 1, 2 ** (bits - 2)], kind)
    planes = read_planes(tiff(bits, rows.tobytes(), 3, shades=0), convert_depth=True)
    assert planes.pixels[0, :, 0].tolist() == [255, 0, 191]


@pytest.mark.parametrize("order", "<>")
def test_bands_of_sixteen_bits_that_stand_apart(order: str) -> None:
    """Pillow takes them for bands of 8 bits, which gives another picture."""
    bands = np.random.default_rng(0).integers(0, 2**16, (3, 5, 7), np.uint16)
    content = bands.astype(f"{order}u2").tobytes()
    lists = struct.pack(f"{order}3H3I3I", 16, 16, 16, *(8 + n * 70 for n in range(3)), 70, 70, 70)
    at = 8 + len(content)
    entries = [(256, 4, 1, 7), (257, 4, 1, 5), (258, 3, 3, at), (259, 4, 1, 1), (262, 4, 1, 2)]
    entries += [(273, 4, 3, at + 6), (277, 4, 1, 3), (278, 4, 1, 5), (279, 4, 3, at + 18)]
    entries += [(284, 4, 1, 2)]
    table = struct.pack(f"{order}H", len(entries))
    table += b"".join(struct.pack(f"{order}HHII", *entry) for entry in entries) + bytes(4)
    head = (b"II*\0" if order == "<" else b"MM\0*") + struct.pack(f"{order}I", at + len(lists))
    planes = read_planes(head + content + lists + table, convert_depth=True)
    assert planes.pixels.tolist() == (np.moveaxis(bands, 0, -1) >> 8).tolist()


def test_twelve_bits_are_scaled_by_twelve_bits() -> None:
    values = [0, 2048, 4095, 1000]
    packed = "".join(f"{value:012b}" for value in values)
    data = tiff(12, int(packed, 2).to_bytes(6, "big"), 4)
    planes = read_planes(data, convert_depth=True)
    assert planes.pixels[0, :, 0].tolist() == [round(v * 255 / 4095) for v in values]
    assert np.array_equal(read_planes(data, convert_depth=True, frame=0).pixels, planes.pixels)
    with pytest.raises(rgru_codec.InvalidInput, match=r"12 bits|mode I;16"):
        read_planes(data)


@pytest.mark.parametrize("bits", [10, 14])
def test_depths_that_cannot_be_read_are_refused(bits: int) -> None:
    with pytest.raises(rgru_codec.Unreadable):
        read_planes(tiff(bits, bytes(range(bits)), 4), convert_depth=True)


@pytest.mark.parametrize("convert", [False, True])
def test_signed_and_long_integers_have_no_range_that_is_known(convert: bool) -> None:
    """Without --depth 8 they were told to ask for it, and then refused."""
    signed = tiff(16, np.array([0, 100, 32767, 5], "<i2").tobytes(), 4, kind=2)
    signed_bytes = tiff(8, np.array([0, 100, -100, 5], "i1").tobytes(), 4, kind=2)
    long = tiff(32, np.array([0, 100, 200, 5], "<u4").tobytes(), 4)
    for data in (signed, signed_bytes, long):
        with pytest.raises(
            rgru_codec.InvalidInput, match=r"scale them to 0\.\.65535|cannot be read"
        ):
            read_planes(data, convert_depth=convert)


@pytest.mark.parametrize(("bits", "kind"), [(16, ">i2"), (-32, ">f4")])
def test_fits_of_more_than_eight_bits_is_refused(bits: int, kind: str) -> None:
    """Its highest byte comes first, and Pillow reads it last: another picture, without a word."""
    cards = ["SIMPLE  = T", f"BITPIX  = {bits}", "NAXIS   = 2", "NAXIS1  = 3", "NAXIS2  = 1", "END"]
    head = "".join(card.ljust(80) for card in cards).ljust(2880).encode()
    rows = np.array([0, 1, 256]).astype(kind).tobytes()
    with pytest.raises(rgru_codec.InvalidInput, match="FITS of more than 8 bits"):
        read_planes(head + rows.ljust(2880, b"\0"), convert_depth=True)


@pytest.fixture
def jpeg_xl(monkeypatch: pytest.MonkeyPatch) -> Iterator[None]:
    """The plugin, which other tests are not to meet."""
    name = "pillow_jxl.JpegXLImagePlugin"
    was_there = name in sys.modules
    for table in ("ID", "OPEN", "SAVE", "SAVE_ALL", "EXTENSION", "MIME"):
        monkeypatch.setattr(Image, table, copy.copy(getattr(Image, table)))
    plugin = pytest.importorskip(name)
    if "JXL" not in Image.OPEN:
        importlib.reload(plugin)
    yield
    if not was_there:  # its next import is to register it again
        sys.modules.pop(name, None)


@pytest.mark.usefixtures("jpeg_xl")
def test_jpeg_xl_of_sixteen_bits_is_refused(tmp_path: Path) -> None:
    deep = Image.fromarray((np.arange(256, dtype=np.uint16) * 257).reshape(16, 16))
    deep.save(tmp_path / "deep.jxl", lossless=True)
    with pytest.raises(rgru_codec.InvalidInput, match="more than 8 bits"):
        rgru_codec.compress(tmp_path / "deep.jxl")
    Image.fromarray(photo(16, 24)).save(tmp_path / "plain.jxl", lossless=True)
    assert read_planes(tmp_path / "plain.jxl").pixels.shape == (16, 24, 3)


@pytest.mark.usefixtures("jpeg_xl")
def test_orientation_of_jpeg_xl_is_that_of_its_codestream(tmp_path: Path) -> None:
    exif = Image.Exif()
    exif[0x0112] = 6
    image = Image.fromarray(photo(16, 24))
    image.save(tmp_path / "a.jxl", lossless=True, exif=exif.tobytes())
    planes = read_planes(tmp_path / "a.jxl")
    assert planes.pixels.shape == (16, 24, 3)
    assert planes.exif is not None
    assert orientation_of(planes.exif) == 1


def bits(*fields: tuple[int, int]) -> bytes:
    """Fields (value, count), least significant bit first."""
    number, at = 0, 0
    for value, count in fields:
        number, at = number | value << at, at + count
    return number.to_bytes(-(-at // 8) + 8, "little")


SMALL = ((1, 1), (2, 5), (1, 3))  # the size: 24 rows, square


@pytest.mark.parametrize(
    ("fields", "expected"),
    [
        (((1, 1),), 8),
        (((0, 1), (0, 1), (0, 1), (0, 2)), 8),
        (((0, 1), (0, 1), (0, 1), (1, 2)), 10),
        (((0, 1), (0, 1), (0, 1), (2, 2)), 12),
        (((0, 1), (0, 1), (0, 1), (3, 2), (15, 6)), 16),
        (((0, 1), (0, 1), (1, 1), (0, 2)), 32),
        (((0, 1), (1, 1), (5, 3), (0, 1), (0, 1), (0, 1), (0, 1), (3, 2), (15, 6)), 16),
    ],
)
def test_the_depth_of_jpeg_xl_stands_in_its_header(
    fields: tuple[tuple[int, int], ...], expected: int
) -> None:
    stream = b"\xff\x0a" + bits(*SMALL, *fields)
    assert _bits_of_jxl(stream) == expected
    boxed = bytes(4) + b"JXL \r\n\x87\n" + bytes(30) + b"jxlc" + stream
    assert _bits_of_jxl(boxed) == expected
    assert _bits_of_jxl(stream[:3]) == 8


def test_the_depth_of_heic_stands_in_its_configuration() -> None:
    record = bytes(17) + bytes([0xFA, 0xF8])  # 10 bits of luma, 8 of chroma
    assert _isobmff(b"....ftypheic" + b"hvcC" + record).bits == 10
    assert _isobmff(b"pixi\0\0\0\0\3\x0c\x0c\x0c").bits == 12
    assert _isobmff(b"hvcC" + bytes(17) + bytes([0xF8, 0xF8])).bits == 8


def test_a_depth_that_a_reader_tells_is_believed() -> None:
    image = Image.fromarray(photo(16, 24))
    image.info["bit_depth"] = 10  # pillow-heif
    with pytest.raises(rgru_codec.InvalidInput, match="10 bits"):
        rgru_codec.compress(image)
    assert to_planes(image, convert_depth=True).pixels.shape == (16, 24, 3)


def extended_jpeg(spoil: bool = False, declared: bytes = b" xmlns:crs='http://crs/'") -> bytes:
    """A JPEG with 70 kB of XMP in a main packet and an extension."""
    body = b"<rdf:Description" + declared + b"><crs:Table>%s</crs:Table></rdf:Description>"
    extension = (
        b'<x:xmpmeta xmlns:x="adobe:ns:meta/"><rdf:RDF '
        b'xmlns:rdf="http://www.w3.org/1999/02/22-rdf-syntax-ns#">'
        + body % (b"A" * 70000)
        + b"</rdf:RDF></x:xmpmeta>"
    )
    guid = hashlib.md5(extension).hexdigest().upper().encode()
    main = (
        b'<x:xmpmeta xmlns:x="adobe:ns:meta/"><rdf:RDF '
        b'xmlns:rdf="http://www.w3.org/1999/02/22-rdf-syntax-ns#"><rdf:Description '
        b'xmlns:xmpNote="http://ns.adobe.com/xmp/note/" xmpNote:HasExtendedXMP="'
        + guid
        + b'" title="t"/></rdf:RDF></x:xmpmeta>'
    )
    if spoil:
        extension = extension.replace(b"AAAA", b"BBBB", 1)
    segments = [b"http://ns.adobe.com/xap/1.0/\0" + main]
    for at in (40000, 0):  # in any order
        piece = extension[at : at + 40000]
        head = b"http://ns.adobe.com/xmp/extension/\0" + guid
        segments.append(head + struct.pack(">II", len(extension), at) + piece)
    file = io.BytesIO()
    Image.fromarray(photo(16, 24)).save(file, "JPEG")
    data = file.getvalue()
    packed = b"".join(b"\xff\xe1" + struct.pack(">H", len(s) + 2) + s for s in segments)
    return data[:2] + packed + data[2:]


def test_extended_xmp_is_joined() -> None:
    found = rgru_codec.decompress(rgru_codec.compress(extended_jpeg(), layers=1)).info["xmp"]
    assert found.count(b"A" * 70000) == 1
    assert b"HasExtendedXMP" not in found
    assert b'title="t"' in found
    from xml.etree import ElementTree

    ElementTree.fromstring(found)


@pytest.mark.parametrize("options", [{"spoil": True}, {"declared": b""}])
def test_extended_xmp_that_is_broken_is_said(options: dict[str, Any]) -> None:
    with pytest.warns(UserWarning, match="Extended XMP that does not belong together"):
        data = rgru_codec.compress(extended_jpeg(**options), layers=1)
    assert b'title="t"' in rgru_codec.decompress(data).info["xmp"]


def png_with(*chunks: tuple[bytes, bytes], behind: bool = False) -> bytes:
    file = io.BytesIO()
    Image.fromarray(photo(16, 24)).save(file, "PNG")
    data = file.getvalue()
    at = len(data) - 12 if behind else 33
    return data[:at] + b"".join(chunk(*one) for one in chunks) + data[at:]


def saved(kind: str, **options: Any) -> bytes:
    file = io.BytesIO()
    Image.fromarray(photo(16, 24)).save(file, kind, **options)
    return file.getvalue()


def jpeg_with_iptc() -> bytes:
    iptc = b"\x1c\x02\x78\0\5Hello"
    content = b"Photoshop 3.0\x008BIM\4\4\0\0" + struct.pack(">I", len(iptc)) + iptc
    data = saved("JPEG")
    return data[:2] + b"\xff\xed" + struct.pack(">H", len(content) + 2) + content + data[2:]


@pytest.mark.parametrize(
    ("data", "words"),
    [
        (saved("JPEG", comment=b"by me"), "a comment was left out"),
        (saved("GIF", comment=b"by me"), "a comment was left out"),
        (saved("TIFF", tiffinfo={33723: b"\x1c\x02\x78\0\5Hello"}), "IPTC was left out"),
        (jpeg_with_iptc(), "IPTC was left out"),
    ],
)
def test_comments_and_iptc_that_are_left_out_are_said(data: bytes, words: str) -> None:
    with pytest.warns(UserWarning, match=words):
        rgru_codec.compress(data, layers=1)


def test_channels_of_a_tiff_that_are_left_out_are_said() -> None:
    """Two of five went without a word."""
    file = io.BytesIO()
    pixels = np.full((32, 48, 5), 90, np.uint8)
    tifffile.imwrite(file, pixels, photometric="rgb")
    with pytest.warns(UserWarning, match="of 5 channels all but the first 3 were left out"):
        rgru_codec.compress(file.getvalue(), layers=1)


LARGE = zlib.compress(b"A" * 2**21)


@pytest.mark.parametrize("behind", [False, True])
@pytest.mark.parametrize(
    "large",
    [
        (b"zTXt", b"Comment\0\0" + LARGE),
        (b"iTXt", b"Comment\0\1\0\0\0" + LARGE),
        (b"iCCP", b"profile\0\0" + LARGE),
    ],
)
def test_texts_and_profiles_too_large_for_pillow_are_left_out_and_said(
    large: tuple[bytes, bytes], behind: bool
) -> None:
    data = png_with(large, behind=behind)
    with pytest.raises(ValueError, match="too large"):
        Image.open(io.BytesIO(data)).load()
    with pytest.warns(
        UserWarning, match=r"text was left out: (Comment|ICC profile) \(over 1 MiB\)"
    ):
        packed = rgru_codec.compress(data, layers=1)
    assert packed == rgru_codec.compress(photo(16, 24), layers=1)


def test_texts_that_are_too_large_together_are_left_out() -> None:
    one = (b"zTXt", b"Comment\0\0" + zlib.compress(b"A" * 1_000_000))
    data = png_with(*[one] * 70)
    smaller = readable_png(data)
    Image.open(io.BytesIO(smaller)).load()
    assert smaller.count(b"over 1 MiB") == 3
    assert readable_png(png_with(one)) == png_with(one)
    assert readable_png(b"no png") == b"no png"


def test_png_text_that_is_dropped_is_said() -> None:
    info, file = PngImagePlugin.PngInfo(), io.BytesIO()
    info.add_text("Title", "a")
    info.add_itxt("Author\n", "b")
    info.add_itxt("XML:com.adobe.xmp", "<x/>")
    Image.fromarray(photo(16, 24)).save(file, "PNG", pnginfo=info)
    image = Image.open(io.BytesIO(file.getvalue()))
    with pytest.warns(UserWarning, match="text was left out: Title, Author"):
        found = rgru_codec.decompress(rgru_codec.compress(image, layers=1))
    assert found.info["xmp"] == b"<x/>"
    rgru_codec.compress(file.getvalue(), layers=1, strip=True)  # asked for: nothing to say


def test_gain_maps_that_are_dropped_are_said() -> None:
    image, file = Image.fromarray(photo(16, 24)), io.BytesIO()
    image.save(file, "JPEG", xmp=b'<x hdrgm:Version="1.0"/>')
    with pytest.warns(UserWarning, match=r"the gain map \(HDR\) was left out"):
        rgru_codec.compress(file.getvalue(), layers=1)
    file = io.BytesIO()
    image.save(file, "JPEG", xmp=b"<x>a bitmap of tmap</x>")
    rgru_codec.compress(file.getvalue(), layers=1)
    assert _isobmff(b"infe\2\0\0\0\0\2\0\0tmap").notes
    assert not _isobmff(b"a bitmap of tmap").notes


@pytest.mark.parametrize("name", ["a.jpg", "a.png", "a.eps"])
def test_no_other_program_is_run_on_a_file(name: str, tmp_path: Path, monkeypatch: Any) -> None:
    content = b"%!PS-Adobe-3.0 EPSF-3.0\n%%BoundingBox: 0 0 10 10\n%%EndComments\nshowpage\n"
    (tmp_path / name).write_bytes(content)
    monkeypatch.setattr("PIL.EpsImagePlugin.Ghostscript", lambda *a, **k: pytest.fail("it ran"))
    with pytest.raises(rgru_codec.Unreadable, match="not a picture of a known format"):
        rgru_codec.compress(tmp_path / name)


def test_a_picture_file_is_read_as_the_codec_sees_it(tmp_path: Path) -> None:
    image = Image.fromarray(photo(16, 24))
    image.save(tmp_path / "a.mpo", "MPO", save_all=True, append_images=[image.rotate(90)])
    assert read_planes(tmp_path / "a.mpo").pixels.shape == (16, 24, 3)
    image.save(tmp_path / "a.gif", save_all=True, append_images=[image.rotate(90)])
    with pytest.raises(rgru_codec.InvalidInput, match="2 frames"):
        read_planes(tmp_path / "a.gif")
    with pytest.raises(rgru_codec.LimitExceeded):
        read_planes(tmp_path / "a.mpo", limits=rgru_codec.Limits(max_pixels=10))
    with pytest.raises(rgru_codec.Unreadable):
        read_planes(b"text")


@pytest.mark.parametrize("mode", ["RGBa", "La", "RGBA", "LA"])
def test_alpha_is_straight(mode: str) -> None:
    """Premultiplied colours are divided by their alpha."""
    straight = Image.new("RGBA" if mode.startswith("RGB") else "LA", (16, 16))
    value: Any = (200, 100, 40, 128) if straight.mode == "RGBA" else (200, 128)
    straight.paste(value, (0, 0, 16, 16))
    planes = to_planes(straight.convert(mode))
    assert planes.alpha is not None
    assert (planes.alpha == 128).all()
    expected = value[:3] if straight.mode == "RGBA" else (200,) * 3
    assert planes.pixels[0, 0] == pytest.approx(expected, abs=1)


def test_colour_under_full_transparency_can_be_cleared() -> None:
    pixels = np.dstack([photo(16, 24), np.full((16, 24), 255, np.uint8)])
    pixels[:, :12, 3] = 0
    kept = to_planes(Image.fromarray(pixels))
    assert np.array_equal(kept.pixels, pixels[..., :3])
    settings = rgru_codec.Settings(strip="hidden")
    planes = to_planes(Image.fromarray(pixels), wanted=settings.metadata())
    assert np.unique(planes.pixels[:, :12].reshape(-1, 3), axis=0).shape == (1, 3)
    assert np.array_equal(planes.pixels[:, 12:], pixels[:, 12:, :3])


def test_a_frame_of_a_tiff_has_its_own_metadata() -> None:
    """Orientation, depth and tags are those of the page that was chosen."""
    from PIL.TiffImagePlugin import ImageFileDirectory_v2

    tags, file = ImageFileDirectory_v2(), io.BytesIO()
    tags[274], tags[271] = 6, "Cam"
    first, second = Image.fromarray(photo(16, 24)), Image.fromarray(photo(16, 40))
    second.encoderinfo = {"tiffinfo": tags}
    first.save(file, "TIFF", save_all=True, append_images=[second])
    image = Image.open(io.BytesIO(file.getvalue()))
    for frame, shape in ((0, (16, 24, 3)), (1, (40, 16, 3)), (0, (16, 24, 3))):
        planes = to_planes(image, frame=frame)
        assert planes.pixels.shape == shape
        assert image.tell() == 0
    assert b"Cam" in (to_planes(image, frame=1).exif or b"")


def test_exif_of_a_file_that_is_none_is_left_out_and_said() -> None:
    from rgru_format import BOX_EXIF, Box, inspect, write_file

    found = inspect(rgru_codec.compress(photo(16, 24), layers=1))
    layers = [[group.payload for group in found.groups]]
    odd = write_file(found.header, layers, [Box(BOX_EXIF, b"garbage that is no TIFF")])
    with pytest.warns(UserWarning, match="damaged Exif data was left out"):
        image = rgru_codec.decompress(odd)
    assert "exif" not in image.info


def test_info_tells_what_is_ignored_behind_the_last_layer() -> None:
    data = rgru_codec.compress(photo(16, 24), layers="all")
    found = rgru_codec.info(data + bytes(100))
    assert (found.ignored, found.error, found.unfinished) == (100, None, 0)
    assert found.bytes_for(layers=99) >= len(data)


def test_zeros_behind_the_signature_of_a_png_are_no_chunks() -> None:
    """They used to count as one chunk for every twelve bytes."""
    data = b"\x89PNG\r\n\x1a\n" + bytes(2**24)
    start = time.process_time()
    with pytest.raises(rgru_codec.Unreadable):
        rgru_codec.compress(data)
    assert time.process_time() - start < 0.5
