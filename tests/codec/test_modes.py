"""Pictures as people have them: every mode of Pillow, transparency, depth, frames."""

from __future__ import annotations

import io
import warnings
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from PIL import Image, ImageCms

import rgru_codec
from rgru_codec.picture import to_planes

from .conftest import photo


def base() -> Image.Image:
    return Image.fromarray(photo(20, 30))


def in_mode(mode: str) -> Image.Image:
    if mode == "PA":
        image = base().convert("P")
        image.putalpha(Image.linear_gradient("L").resize(image.size))
        return image
    if mode in ("La", "RGBa"):
        return in_mode({"La": "LA", "RGBa": "RGBA"}[mode]).convert(mode)
    if mode in ("LA", "RGBA"):
        image = base().convert(mode[:-1])
        image.putalpha(Image.linear_gradient("L").resize(image.size))
        return image
    if mode == "LAB":
        profiles = [ImageCms.createProfile(name) for name in ("sRGB", "LAB")]
        lab = ImageCms.profileToProfile(base(), profiles[0], profiles[1], outputMode="LAB")
        assert lab is not None
        return lab
    return base().convert(mode)


def roundtrip(image: Image.Image, **options: Any) -> Image.Image:
    return rgru_codec.decompress(rgru_codec.compress(image, layers=1, **options))


def reopened(image: Image.Image, kind: str, **options: Any) -> Image.Image:
    file = io.BytesIO()
    image.save(file, kind, **options)
    return Image.open(io.BytesIO(file.getvalue()))


@pytest.mark.parametrize(
    ("mode", "result"),
    [
        ("1", "L"),
        ("L", "L"),
        ("P", "RGB"),
        ("RGB", "RGB"),
        ("RGBX", "RGB"),
        ("YCbCr", "RGB"),
        ("HSV", "RGB"),
        ("LA", "LA"),
        ("La", "LA"),
        ("PA", "RGBA"),
        ("RGBA", "RGBA"),
        ("RGBa", "RGBA"),
    ],
)
def test_mode(mode: str, result: str) -> None:
    image = in_mode(mode)
    found = roundtrip(image)
    assert (found.mode, found.size) == (result, image.size)
    if "A" in result:
        alpha = image.convert(result).getchannel("A")
        assert np.array_equal(np.asarray(found.getchannel("A")), np.asarray(alpha))


@pytest.mark.parametrize("mode", ["CMYK", "LAB"])
def test_conversion_to_srgb_is_said(mode: str) -> None:
    image = in_mode(mode)
    image.info["icc_profile"] = b"belongs to the old colours"
    with pytest.warns(UserWarning, match=f"{mode} was converted to sRGB"):
        found = roundtrip(image)
    assert found.mode == "RGB"
    assert "icc_profile" not in found.info


def test_colours_survive_the_conversions() -> None:
    rgb = np.asarray(base()).astype(int)
    for mode in ("CMYK", "YCbCr", "LAB", "HSV"):
        planes = to_planes(in_mode(mode))
        assert np.abs(planes.pixels - rgb).mean() < 6, mode


@pytest.mark.parametrize("kind", ["noise", "opaque", "clear", "edge"])
@pytest.mark.parametrize("mode", ["LA", "RGBA"])
def test_alpha_is_exact(kind: str, mode: str) -> None:
    alpha = {
        "noise": np.random.default_rng(1).integers(0, 256, (20, 30), np.uint8),
        "opaque": np.full((20, 30), 255, np.uint8),
        "clear": np.zeros((20, 30), np.uint8),
        "edge": np.repeat(np.array([0, 255], np.uint8), 15)[None].repeat(20, 0),
    }[kind]
    image = base().convert(mode[:-1])
    image.putalpha(Image.fromarray(alpha))
    found = roundtrip(image)
    assert found.mode == mode
    assert np.array_equal(np.asarray(found.getchannel("A")), alpha)


@pytest.mark.parametrize(
    ("mode", "transparency"),
    [
        ("1", 0),
        ("1", 1),
        ("L", 37),
        ("RGB", (1, 2, 3)),
        ("P", 5),
        ("P", bytes(range(256))),
    ],
)
def test_transparency_of_png(mode: str, transparency: Any) -> None:
    image = base().convert(mode)
    image.putpixel((3, 4), transparency if isinstance(transparency, tuple) else 37)
    image = reopened(image, "PNG", transparency=transparency)
    expected = np.asarray(image.convert("RGBA").getchannel("A"))
    found = roundtrip(image)
    assert found.mode == ("LA" if mode in ("1", "L") else "RGBA")
    assert np.array_equal(np.asarray(found.getchannel("A")), expected)


def test_a_transparent_value_beyond_all_integers_is_invalid_input() -> None:
    image = base().convert("L")
    image.info["transparency"] = 2**70
    with pytest.raises(rgru_codec.InvalidInput, match="mode L cannot be converted"):
        to_planes(image)


def test_grey_is_luma_of_equal_planes() -> None:
    planes = to_planes(base().convert("L"))
    assert planes.grey
    assert np.array_equal(planes.pixels[..., 0], np.asarray(base().convert("L")))
    assert np.array_equal(planes.pixels[..., 0], planes.pixels[..., 2])


def deep_pictures() -> dict[str, Image.Image]:
    ramp = np.linspace(0, 65535, 600).astype(np.uint16).reshape(20, 30)
    pictures = {
        "I;16": Image.fromarray(ramp),
        "I;16B": Image.frombytes("I;16B", (30, 20), ramp.astype(">u2").tobytes()),
        "I": Image.fromarray(ramp.astype(np.int32)),
        "F": Image.fromarray((ramp / 65535).astype(np.float32)),
        "png": reopened(Image.fromarray(ramp), "PNG"),
    }
    colour = b"P6 30 20 65535\n" + np.repeat(ramp, 3).astype(">u2").tobytes()
    pictures["ppm"] = Image.open(io.BytesIO(colour))
    return pictures


@pytest.mark.parametrize("name", ["I;16", "I;16B", "I", "F", "png", "ppm"])
def test_depth_is_refused_or_converted(name: str) -> None:
    with pytest.raises(rgru_codec.InvalidInput, match=r"more than 8 bits.*--depth 8"):
        rgru_codec.compress(deep_pictures()[name])
    planes = to_planes(deep_pictures()[name], convert_depth=True)
    expected = np.linspace(0, 255, 600).reshape(20, 30)
    assert np.abs(planes.pixels[..., 0] - expected).max() < 1.01


@pytest.mark.parametrize("factor", [257, 257.0, 1.0 / 255.0])
@pytest.mark.parametrize("mode", ["L", "RGBA"])
def test_deep_arrays_are_converted_on_request(factor: float, mode: str) -> None:
    pixels = np.asarray(base().convert(mode))
    deep = pixels * np.uint16(257) if isinstance(factor, int) else pixels * np.float32(factor)
    with pytest.raises(rgru_codec.InvalidInput, match="use convert_depth=True"):
        rgru_codec.compress(deep)
    expected = rgru_codec.compress(pixels, layers=1)
    assert rgru_codec.compress(deep, layers=1, convert_depth=True) == expected
    with pytest.raises(rgru_codec.InvalidInput, match="convert them first"):
        rgru_codec.compress(pixels.astype(np.int64), convert_depth=True)


def test_sixteen_bit_colour_png_is_refused() -> None:
    """Pillow opens it as 8-bit RGB without a word."""
    with pytest.raises(rgru_codec.InvalidInput, match="more than 8 bits a channel \\(16 bits\\)"):
        rgru_codec.compress(Image.open(io.BytesIO(png_48_bit())))
    assert roundtrip(Image.open(io.BytesIO(png_48_bit())), convert_depth=True).mode == "RGB"


@pytest.mark.parametrize(
    ("kind", "options", "mark", "at", "byte", "words"),
    [
        ("SGI", {"bpc": 2}, b"\x01\xda", 0, 0x01, "16 bits"),
        ("AVIF", {}, b"av1C", 6, 0x4C, "10 bits"),
        ("AVIF", {}, b"av1C", 6, 0x6C, "12 bits"),
        ("JPEG2000", {}, b"\xff\x4f\xff\x51", 42, 11, "12 bits"),
    ],
)
def test_deep_colour_is_refused_where_pillow_scales_it(
    kind: str, options: dict[str, Any], mark: bytes, at: int, byte: int, words: str
) -> None:
    """Files of 8 bits whose headers are made to name more; SGI writes 16 itself."""
    Image.init()
    if kind not in Image.SAVE:
        pytest.skip(f"Pillow comes without {kind}")
    file = io.BytesIO()
    base().save(file, kind, **options)
    data = bytearray(file.getvalue())
    data[data.index(mark) + at] = byte
    bits = int(words.split()[0])  # AVIF's box pixi has to agree
    data = data.replace(b"pixi\0\0\0\0\3\x08\x08\x08", b"pixi\0\0\0\0\3" + bytes([bits] * 3))
    with pytest.raises(rgru_codec.InvalidInput, match=rf"more than 8 bits a channel \({words}\)"):
        rgru_codec.compress(bytes(data))


@pytest.mark.parametrize("kind", ["AVIF", "JPEG2000"])
@pytest.mark.parametrize("mode", ["RGB", "RGBA", "L"])
def test_eight_bits_of_formats_that_may_have_more(kind: str, mode: str) -> None:
    Image.init()
    if kind not in Image.SAVE:
        pytest.skip(f"Pillow comes without {kind}")
    file = io.BytesIO()
    base().convert(mode).save(file, kind)
    assert rgru_codec.compress(file.getvalue(), layers=1)


def png_48_bit() -> bytes:
    import struct
    import zlib

    def chunk(name: bytes, content: bytes) -> bytes:
        check = struct.pack(">I", zlib.crc32(name + content))
        return struct.pack(">I", len(content)) + name + content + check

    rows = (b"\0" + bytes(range(18))) * 3
    return (
        b"\x89PNG\r\n\x1a\n"
        + chunk(b"IHDR", struct.pack(">IIBBBBB", 3, 3, 16, 2, 0, 0, 0))
        + chunk(b"IDAT", zlib.compress(rows))
        + chunk(b"IEND", b"")
    )


def test_sixteen_bit_tiff_is_refused(tmp_path: Path) -> None:
    image = reopened(Image.fromarray(np.arange(600, dtype=np.uint16).reshape(20, 30)), "TIFF")
    image.load()  # nothing but the tag says it then
    with pytest.raises(rgru_codec.InvalidInput, match="more than 8 bits"):
        rgru_codec.compress(image)


@pytest.mark.parametrize("top", [1.0, 255.0, 65535.0])
def test_float_ranges(top: float) -> None:
    ramp = np.linspace(0, top, 600, dtype=np.float32).reshape(20, 30)
    planes = to_planes(Image.fromarray(ramp), convert_depth=True)
    assert planes.pixels.max() == 255
    assert planes.pixels[10, 0, 0] == pytest.approx(128, abs=2)


@pytest.mark.parametrize("bad", [-1.0, 1e9, np.nan, np.inf])
def test_float_out_of_range(bad: float) -> None:
    ramp = np.full((4, 4), 0.5, np.float32)
    ramp[0, 0] = bad
    with pytest.raises(rgru_codec.InvalidInput, match="has values from"):
        to_planes(Image.fromarray(ramp), convert_depth=True)


def animation() -> Image.Image:
    frames = [base(), base().rotate(90), base().rotate(180)]
    return reopened(
        frames[0], "WEBP", save_all=True, append_images=frames[1:], lossless=True, duration=100
    )


def test_animations_are_refused() -> None:
    with pytest.raises(rgru_codec.InvalidInput, match=r"has 3 frames.*--frame N"):
        rgru_codec.compress(animation())


def test_a_frame_on_request() -> None:
    image = animation()
    planes = to_planes(image, frame=2)
    assert image.tell() == 0
    image.seek(2)
    assert np.array_equal(planes.pixels, np.asarray(image.convert("RGB")))
    with pytest.raises(rgru_codec.InvalidInput, match=r"frame 3 does not exist.*frames 0\.\.2"):
        to_planes(image, frame=3)
    with pytest.raises(rgru_codec.InvalidInput, match="one frame only"):
        to_planes(base(), frame=1)


def test_previews_of_phones_are_no_animation(tmp_path: Path) -> None:
    """Phones write MPO: a JPEG with a depth map or gain map behind it."""
    image = reopened(base(), "MPO", save_all=True, append_images=[base().rotate(90)])
    assert getattr(image, "n_frames", 1) == 2
    with pytest.warns(UserWarning, match="further pictures of the file were left out: 1"):
        assert roundtrip(image).size == image.size


def test_the_picture_stays_as_it_is() -> None:
    image = base()
    image.getexif()[0x0112] = 6
    before = dict(image.info), image.size, image.mode, image.getexif()[0x0112]
    rgru_codec.compress(image, layers=1)
    assert (dict(image.info), image.size, image.mode, image.getexif()[0x0112]) == before


def test_broken_pictures_are_invalid_input(tmp_path: Path) -> None:
    file = io.BytesIO()
    base().save(file, "PNG")
    whole = file.getvalue()
    with pytest.raises(rgru_codec.InvalidInput, match="cannot be read"):
        rgru_codec.compress(Image.open(io.BytesIO(whole[: len(whole) // 2])))
    with pytest.raises(rgru_codec.InvalidInput, match=r"^is not a picture of a known format$"):
        rgru_codec.compress(b"no picture")
    with pytest.raises(rgru_codec.InvalidInput, match=r"^is empty$"):
        rgru_codec.compress(b"")
    with pytest.raises(rgru_codec.InvalidInput, match=r"is a \.rgru file already"):
        rgru_codec.compress(rgru_codec.compress(base(), layers=1))
    with pytest.raises(rgru_codec.InvalidInput, match="a path or an open file"):
        rgru_codec.compress(3)  # type: ignore[arg-type]


def test_sources(tmp_path: Path) -> None:
    path = tmp_path / "a.png"
    base().save(path)
    data = rgru_codec.compress(base(), layers=1)
    with path.open("rb") as file:
        for source in (path, str(path), path.read_bytes(), file):
            assert rgru_codec.compress(source, layers=1) == data
    (tmp_path / "a.rgru").write_bytes(data)
    with (tmp_path / "a.rgru").open("rb") as file:
        for other in (tmp_path / "a.rgru", str(tmp_path / "a.rgru"), bytearray(data), file):
            assert rgru_codec.decompress(other).size == (30, 20)


def test_nothing_warns_without_a_reason() -> None:
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        for mode in ("1", "L", "P", "RGBA", "YCbCr"):
            rgru_codec.compress(in_mode(mode), layers=1)
