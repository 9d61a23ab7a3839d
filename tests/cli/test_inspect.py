"""rgru info, verify, compare, thumbnail."""

from __future__ import annotations

import json
import os
import sys
from pathlib import Path

import numpy as np
import pytest
from PIL import Image, ImageCms

import rgru_codec
from rgru_codec.metrics import ms_ssim, psnr
from rgru_format import inspect

from .conftest import Rgru, picture, process


def test_info(rgru: Rgru, folder: Path, data: bytes) -> None:
    result = rgru("info", "whole.rgru")
    lines = result.out.splitlines()
    model = rgru_codec.default_model()
    assert (result.code, result.err) == (0, "")
    start = f"RGRU 1, 40x24 RGB 8-bit, model {model.id.hex()} ({model.name}), {model.iterations} "
    assert lines[0].startswith(start)
    assert lines[1] == "Colour: sRGB (assumed)"
    assert lines[2].split() == ["layer", "bytes", "total", "bpp", "complete"]
    assert len(lines) == 3 + model.iterations + 1
    assert lines[3 + model.iterations - 1].split()[-1] == "yes"
    assert lines[-1] == "metadata: ICC -, Exif -, XMP -, alpha -"


def test_info_verbose(rgru: Rgru, folder: Path) -> None:
    result = rgru("info", "-v", "whole.rgru")
    assert "at 21" in result.out
    assert "overhead: header 21 B, lengths and checksums of layers " in result.out
    assert result.out.endswith("verdict: sound: every checksum matches\n")
    result = rgru("info", "-v", "cut.rgru")
    assert result.code == 0
    assert "cut short: the last" in result.out
    assert result.out.endswith("verdict: sound as far as it goes, and cut short\n")


def test_info_json(rgru: Rgru, folder: Path, data: bytes) -> None:
    table = json.loads(rgru("info", "whole.rgru", "--json").out)
    assert (table["width"], table["height"], table["mode"]) == (40, 24, "RGB")
    assert (table["version"], table["size"], table["unfinished"]) == (1, len(data), 0)
    assert table["model"] == rgru_codec.default_model().id.hex()
    assert table["layers"][-1]["end"] == len(data)
    assert set(table["layers"][0]) == {
        *("layer", "groups", "complete", "bytes", "framing", "end", "bpp")
    }
    assert 3 <= table["layers"][0]["framing"] < table["layers"][0]["bytes"]
    assert (table["metadata"], table["damage"]) == ({}, None)
    assert table["bpp"] == pytest.approx(8 * len(data) / 960, abs=1e-5)


@pytest.mark.parametrize("tail", [bytes(3_000_000), b"\xff" * 3_000_000])
def test_all_agree_on_the_size_of_a_file_with_a_tail(
    rgru: Rgru, folder: Path, data: bytes, tail: bytes
) -> None:
    """It was 65 536 bytes, as far as was read, and bits per pixel counted some of the tail."""
    Path("t.rgru").write_bytes(data + tail)
    size, bpp = len(data) + len(tail), 8 * len(data) / 960
    words = f"{size:,} bytes".replace(",", " ")
    found = rgru_codec.info("t.rgru")
    assert (found.size, found.ignored, found.used) == (size, len(tail), len(data))
    assert (found.bpp, found.bytes_for(layers=99)) == (bpp, len(data))
    table = json.loads(rgru("info", "t.rgru", "--json").out)
    assert (table["size"], table["ignored"]) == (size, len(tail))
    assert table["bpp"] == pytest.approx(bpp, abs=1e-5)
    assert f"{words} ({bpp:.3f} bpp)" in rgru("info", "t.rgru").out
    assert rgru("verify", "t.rgru").out.endswith(f", {words}\n")
    table = json.loads(rgru("compare", "a.png", "t.rgru", "--json").out)
    assert (table["bytes_b"], table["bpp_b"]) == (len(data), bpp)


def test_the_size_of_a_damaged_file_is_that_of_all_of_it(rgru: Rgru, folder: Path) -> None:
    broken = Path("broken.rgru").read_bytes() + bytes(200_000)
    Path("broken.rgru").write_bytes(broken)
    assert json.loads(rgru("info", "broken.rgru", "--json").out)["size"] == len(broken)


def test_info_counts_one_layer_as_one(rgru: Rgru, folder: Path) -> None:
    assert rgru("compress", "a.png", "-l", 1, "-o", "one.rgru").code == 0
    assert ", 1 layer, " in rgru("info", "one.rgru").out


def test_one_byte_is_no_bytes(rgru: Rgru, folder: Path, data: bytes) -> None:
    end = inspect(data).layers[0].end
    for size, words in ((end + 1, "the last 1 byte is unfinished"), (end + 2, "2 bytes are un")):
        Path("cut.rgru").write_bytes(data[:size])
        assert words in rgru("info", "cut.rgru").out
    Path("cut.rgru").write_bytes(data[:-1])
    assert "cut short: 1 byte or more is missing" in rgru("verify", "cut.rgru").out
    Path("long.rgru").write_bytes(data + b"\0")
    assert "ignored: 1 byte behind the end" in rgru("info", "long.rgru").out


def test_info_of_many(rgru: Rgru, folder: Path) -> None:
    result = rgru("info", "whole.rgru", "text.txt", "cut.rgru", "--json")
    assert result.code == 1
    assert len(result.out.splitlines()) == 2
    assert "text.txt: not a .rgru file" in result.err


def test_info_of_damage(rgru: Rgru, folder: Path) -> None:
    result = rgru("info", "broken.rgru")
    assert (result.code, "checksum" in result.err) == (1, True)
    assert result.out.startswith("RGRU 1, 40x24")
    table = json.loads(rgru("info", "broken.rgru", "--json").out)
    assert "checksum" in table["damage"]


def test_info_of_metadata(rgru: Rgru, folder: Path) -> None:
    profile = ImageCms.ImageCmsProfile(ImageCms.createProfile("sRGB")).tobytes()
    rgba = picture().convert("LA")
    for icc, words in (
        (profile, "sRGB built-in"),
        (bytes(36) + b"acsp" + bytes(88), "cannot be read"),
    ):
        data = rgru_codec.compress(rgba, layers=1, icc_profile=icc, xmp=b"<x/>", keep_icc=True)
        (folder / "m.rgru").write_bytes(data)
        result = rgru("info", "m.rgru")
        assert words in result.out
        assert "40x24 LA" in result.out
        assert "XMP 4 B, alpha " in result.out


def test_info_of_a_missing_model(rgru: Rgru, folder: Path) -> None:
    from rgru_format import Header

    (folder / "x.rgru").write_bytes(Header(8, 8, b"none").pack())
    result = rgru("info", "x.rgru")
    assert (result.code, "model 6e6f6e65 (not installed)" in result.out) == (0, True)


def test_info_from_a_stream(data: bytes) -> None:
    result = process("info", "-", "--json", stdin=data)
    assert json.loads(result.stdout)["file"] == "-"


@pytest.mark.parametrize(
    ("words", "size", "said"),
    [
        (("info", "-"), -1, "rgru: standard input: the checksum of a group"),
        (("compare", "a.png", "-"), 0, "rgru: standard input: is empty"),
        (("compare", "a.png", "-"), 9, "rgru: standard input: is not a picture of a known format"),
    ],
)
def test_messages_call_standard_input_by_its_name(
    folder: Path, words: tuple[str, ...], size: int, said: str
) -> None:
    """They called it ``-``."""
    broken = (folder / "broken.rgru").read_bytes()
    result = process(*words, stdin=broken if size < 0 else b"no picture"[:size], cwd=folder)
    assert (result.returncode, result.stderr.decode()[: len(said)]) == (1, said)


def test_compare_with_standard_input(folder: Path) -> None:
    result = process("compare", "a.png", "-", stdin=(folder / "a.png").read_bytes(), cwd=folder)
    assert b"B standard input: " in result.stdout


@pytest.mark.parametrize(
    ("name", "code", "words"),
    [
        ("whole.rgru", 0, "checksums match, codes decode"),
        ("cut.rgru", 3, "cut short"),
        ("broken.rgru", 1, "the checksum of a group of codes does not match"),
        ("text.txt", 1, "not a .rgru file"),
        ("missing.rgru", 1, "no such file"),
    ],
)
def test_verify(rgru: Rgru, folder: Path, name: str, code: int, words: str) -> None:
    result = rgru("verify", name)
    assert result.code == code
    assert words in result.out + result.err
    both = rgru("verify", "whole.rgru", name)
    assert both.code == code


def test_verify_counts_whole_layers(rgru: Rgru, folder: Path, data: bytes) -> None:
    layers = rgru_codec.default_model().iterations
    first = next(group for group in inspect(data).groups if group.layer == layers)
    for end, mark in ((first.end, ","), (first.end + 2, "; cut short")):
        (folder / "c.rgru").write_bytes(data[:end])
        words = f"; {layers - 1} layers and 1 group of the next{mark}"
        assert words in rgru("verify", "c.rgru").out


def test_verify_without_the_model(rgru: Rgru, folder: Path) -> None:
    from rgru_format import Header, Writer

    writer = Writer(Header(8, 8, b"none"))
    writer.add_layer([b""])
    (folder / "x.rgru").write_bytes(writer.getvalue())
    result = rgru("verify", "x.rgru")
    assert (result.code, "codes not checked (model 6e6f6e65" in result.out) == (0, True)


def test_verify_and_decompress_call_the_same_files_cut_short(
    rgru: Rgru, folder: Path, data: bytes
) -> None:
    rgba = rgru_codec.compress(picture().convert("RGBA"), layers=2)
    ends = [layer.end for layer in rgru_codec.info(rgba).layers]
    files = [(data[:21], "first layer"), (rgba[: ends[0]], "alpha plane"), (rgba[: ends[1]], "")]
    for content, missing in files:
        (folder / "x.rgru").write_bytes(content)
        for result in (rgru("verify", "x.rgru"), rgru("decompress", "x.rgru", "-o", "x.png")):
            assert result.code == (3 if missing else 0)
            words = result.out + result.err
            assert ("cut short" in words) == bool(missing)
            assert not missing or f"before its {missing}" in words


def test_verify_usage(rgru: Rgru) -> None:
    assert rgru("verify").code == 2


def test_verify_takes_files_or_vectors(rgru: Rgru, folder: Path) -> None:
    result = rgru("verify", "whole.rgru", "--vectors", folder)
    assert (result.code, "whole.rgru: --vectors checks no files" in result.err) == (2, True)


def test_verify_vectors(rgru: Rgru, tmp_path: Path) -> None:
    from rgru_format.conformance import VECTORS

    result = rgru("verify", "--vectors", tmp_path)
    assert (result.code, "no conformance vectors" in result.err) == (2, True)
    if not (VECTORS / "valid").is_dir():
        pytest.skip("the conformance files are part of a checkout")
    result = rgru("verify", "--vectors")
    assert (result.code, ", 0 failed" in result.out) == (0, True)


def test_compare(rgru: Rgru, folder: Path, data: bytes) -> None:
    original, decoded = np.asarray(picture()), np.asarray(rgru_codec.decompress(data))
    table = json.loads(rgru("compare", "a.png", "whole.rgru", "--json").out)
    assert table["psnr"] == pytest.approx(psnr(decoded, original))
    assert table["ms_ssim"] == pytest.approx(ms_ssim(decoded, original))
    assert table["bytes_b"] == len(data)
    assert f"PSNR {table['psnr']:.2f} dB" in rgru("compare", "a.png", "whole.rgru").out
    assert "PSNR infinite, MS-SSIM 1.00000" in rgru("compare", "a.png", "a.png").out
    first = json.loads(rgru("compare", "a.png", "whole.rgru", "--json", "--layers", 0).out)
    assert first["psnr"] < table["psnr"] or first["ms_ssim"] < table["ms_ssim"]
    result = rgru("compare", "a.png", "a.png", "--layers", 1)
    assert (result.code, "neither of the two is a .rgru file" in result.err) == (2, True)


def test_compare_grey_pictures(rgru: Rgru, folder: Path) -> None:
    picture().convert("L").save("grey.png")
    assert rgru("compress", "grey.png").code == 0
    table = json.loads(rgru("compare", "grey.png", "grey.rgru", "--json").out)
    original = np.asarray(Image.open("grey.png"))
    decoded = np.asarray(rgru_codec.decompress("grey.rgru"))
    assert decoded.ndim == 2
    assert table["psnr"] == pytest.approx(psnr(decoded, original))
    assert table["ms_ssim"] == pytest.approx(ms_ssim(original, decoded))
    in_colour = [np.dstack([grey] * 3) for grey in (original, decoded)]
    assert table["ms_ssim"] == pytest.approx(ms_ssim(*in_colour))


def test_compare_scales_sixteen_bits(rgru: Rgru, folder: Path) -> None:
    grey = picture().convert("L")
    grey.save("grey.png")
    Image.fromarray(np.asarray(grey).astype(np.uint16) * 257).save("deep.png")
    assert "PSNR infinite, MS-SSIM 1.0" in rgru("compare", "grey.png", "deep.png").out
    Image.fromarray(np.full((24, 40), -1.0, np.float32)).save("low.tif")
    result = rgru("compare", "grey.png", "low.tif")
    assert (result.code, "low.tif: the picture has values from -1" in result.err) == (2, True)


@pytest.mark.parametrize("name", ["cmyk.jpg", "deep.tif", "turned.jpg", "palette.png"])
def test_compare_sees_a_picture_as_compress_does(rgru: Rgru, folder: Path, name: str) -> None:
    picture().convert("CMYK").save("cmyk.jpg", quality=95)
    grey = np.asarray(picture().convert("L")).astype(np.uint16) * 257
    Image.fromarray(grey).save("deep.tif")
    exif = Image.Exif()
    exif[0x0112] = 6
    picture().save("turned.jpg", exif=exif)
    picture().convert("P").save("palette.png")
    said = rgru("compress", name, "-o", "x.rgru", "--depth", 8).err
    shown = json.loads(rgru("compare", name, "x.rgru", "--json").out)["psnr"]
    assert f"PSNR {shown:.1f} dB" in said


def test_info_tells_the_bytes_that_a_thumbnail_needs(rgru: Rgru, folder: Path) -> None:
    picture(200, 100).save("large.png")
    rgru("compress", "large.png")
    table = json.loads(rgru("info", "large.rgru", "--json").out)
    enough = table["bytes_for_thumbnail"]["64"]
    assert 0 < enough < table["size"]
    (folder / "head.rgru").write_bytes((folder / "large.rgru").read_bytes()[:enough])
    for name in ("large", "head"):
        assert rgru("thumbnail", f"{name}.rgru", f"{name}.ppm", "-s", 64).code == 0
    assert (folder / "head.ppm").read_bytes() == (folder / "large.ppm").read_bytes()


def test_compare_refuses(rgru: Rgru, folder: Path) -> None:
    picture(20, 20).save("small.png")
    result = rgru("compare", "a.png", "small.png")
    assert (result.code, "only pictures of the same size" in result.err) == (2, True)
    assert rgru("compare", "a.png", "text.txt").code == 1
    assert rgru("compare", "a.png", "missing.png").code == 1
    assert rgru("compare", "a.png", "broken.rgru").code == 1


def test_thumbnail(rgru: Rgru, folder: Path) -> None:
    assert rgru("thumbnail", "--size", 16, "whole.rgru", "t.png").code == 0
    with Image.open("t.png") as image:
        assert image.size == (16, 10)
    assert rgru("thumbnail", "cut.rgru", "no-suffix", "-Q").code == 0
    with Image.open("no-suffix") as image:
        assert (image.format, image.size) == ("PNG", (40, 24))


def test_thumbnail_says_what_it_wrote(rgru: Rgru, folder: Path, data: bytes) -> None:
    (folder / "one.rgru").write_bytes(rgru_codec.compress(picture(), layers=1))
    assert rgru("thumbnail", "one.rgru", "t.png").err == "t.png: 40x24, 1 layer used\n"
    assert b"standard output: 16x10, " in process("thumbnail", "whole.rgru", "-", "-s", 16).stderr


def test_thumbnail_says_that_a_file_is_damaged(rgru: Rgru, folder: Path, data: bytes) -> None:
    """It made a plain grey picture of a file that was damaged in layer 1, without a word."""
    result = rgru("thumbnail", "broken.rgru", "t.png")
    end = inspect(Path("broken.rgru").read_bytes()).end
    assert result.code == 0
    assert "the file is damaged, shown is what stands before: " in result.err
    assert f"byte {end})" in result.err
    broken = bytearray(data)
    broken[30] ^= 1
    Path("broken.rgru").write_bytes(broken)
    result = rgru("thumbnail", "broken.rgru", "u.png")
    assert (result.code, "broken.rgru: the checksum of a group" in result.err) == (1, True)
    assert not Path("u.png").exists()
    Path("header.rgru").write_bytes(data[:21])
    result = rgru("thumbnail", "header.rgru", "t.png")
    assert (result.code, result.err) == (0, "t.png: 40x24, 0 layers used\n")


@pytest.mark.skipif(sys.platform == "win32", reason="permissions of POSIX")
def test_thumbnail_has_the_permissions_of_its_file_and_its_own_time(
    rgru: Rgru, folder: Path
) -> None:
    Path("whole.rgru").chmod(0o640)
    os.utime("whole.rgru", (1, 1))
    assert rgru("thumbnail", "whole.rgru", "t.png").code == 0
    found = Path("t.png").stat()
    assert (found.st_mode & 0o777, found.st_mtime > 1) == (0o640, True)


def test_thumbnail_gives_advice_that_works(rgru: Rgru, folder: Path) -> None:
    Path("n2.txt").write_text("notes")
    result = rgru("thumbnail", "whole.rgru", "n2.txt")
    assert (result.code, Path("n2.txt").read_text()) == (1, "notes")
    assert "is not a picture; name another file as OUT, or remove it" in result.err
    Path("n2.txt").unlink()
    assert rgru("thumbnail", "whole.rgru", "n2.txt").code == 0, "desktops ask for any name"


def test_thumbnail_refuses(rgru: Rgru, folder: Path) -> None:
    assert rgru("thumbnail", "text.txt", "t.png").code == 1
    assert rgru("thumbnail", "empty.png", "t.png").code == 1
    assert rgru("thumbnail", "whole.rgru", "t.jxl").code == 2
    assert rgru("thumbnail", "whole.rgru", "t.rgru").code == 2
    assert rgru("thumbnail", "whole.rgru", "no/t.png").code == 1
    assert rgru("thumbnail", "--size", 0, "whole.rgru", "t.png").code == 2
    assert rgru("thumbnail", "--max-pixels", 9, "whole.rgru", "t.png").code == 4
