"""rgru compress: targets, outputs, metadata, refusals."""

from __future__ import annotations

import errno
import io
import os
import re
from pathlib import Path

import numpy as np
import pytest
from PIL import Image, ImageCms

import rgru_codec
from rgru_codec.cli.status import explain, number
from rgru_format import LimitExceeded, Limits

from .conftest import Rgru, picture, process


def test_summary_line(rgru: Rgru, folder: Path) -> None:
    result = rgru("compress", "a.png", "-o", "b.rgru", "--layers", "all")
    size = len((folder / "b.rgru").read_bytes())
    layers = rgru_codec.default_model().iterations
    assert result.code == 0
    assert result.out == ""
    before = f"{(folder / 'a.png').stat().st_size:,}".replace(",", " ")
    pattern = (
        rf"b\.rgru: 40x24, {layers} layers, {before} (→|->) {size:,} bytes "
        rf"\({8 * size / 960:.3f} bpp\), PSNR \d+\.\d dB, \d+\.\d s\n"
    ).replace(f"{size:,}", f"{size:,}".replace(",", " "))
    assert re.fullmatch(pattern, result.err), result.err


def test_a_picture_file_larger_than_a_picture_is_not_read(rgru: Rgru, folder: Path) -> None:
    """1.5 GB behind a small picture were read into memory, ``--max-memory`` or not."""
    os.truncate("a.png", 3 << 30)
    for option in ((), ("--max-memory", "200M")):
        result = rgru("compress", "a.png", "-o", "b.rgru", *option)
        words = "file alone has 3 221 225 472 bytes, and its pixels take more"
        assert (result.code, words in result.err) == (4, True), result.err
    assert rgru("compare", "a.png", "a.png").code == 4
    assert not Path("b.rgru").exists()


def test_the_summary_says_what_the_default_is(rgru: Rgru, folder: Path) -> None:
    most = rgru_codec.default_model().iterations
    flat = Image.new("RGB", (64, 48), (120, 130, 140))
    for image, words in (
        (flat, rf"[1-4] of {most} layers for MS-SSIM 0\.9[89]\d"),
        (Image.effect_noise((64, 48), 200), rf"{most} of {most} layers for MS-SSIM 0\.\d{{3}}, "),
    ):
        image.save("c.png")
        result = rgru("compress", "c.png", "-o", "b.rgru")
        assert re.search(words, result.err), result.err
        assert Path("b.rgru").read_bytes() == rgru_codec.compress("c.png")
        assert ("(--layers all keeps all)" in result.err) == (image is flat)
    assert rgru("compress", "c.png", "-o", "b.rgru", "--layers", "most").code == 2


def test_derived_name_never_overwrites(rgru: Rgru, folder: Path) -> None:
    assert rgru("compress", "a.png").code == 0
    before = (folder / "a.rgru").read_bytes()
    result = rgru("compress", "a.png", "-l", 1)
    assert result.code == 1
    assert "a.rgru: exists" in result.err
    assert "--force" in result.err
    assert (folder / "a.rgru").read_bytes() == before
    assert rgru("compress", "a.png", "-l", 1, "--force").code == 0
    assert (folder / "a.rgru").read_bytes() != before


def test_given_names_are_overwritten(rgru: Rgru, folder: Path) -> None:
    (folder / "b.rgru").write_bytes(b"old")
    assert rgru("compress", "a.png", "-o", "b.rgru", "-l", 1).code == 0
    assert rgru_codec.decompress(folder / "b.rgru").size == (40, 24)


def test_quiet_and_verbose(rgru: Rgru, folder: Path) -> None:
    assert rgru("compress", "a.png", "-o", "b.rgru", "-l", 1, "-Q").err == ""
    assert rgru("compress", "a.png", "-o", "b.rgru", "-l", 1, "-Q", "-v").code == 2
    lines = rgru("compress", "a.png", "-o", "b.rgru", "-l", 3, "-v").err.splitlines()
    assert lines[1].split() == ["layer", "bytes", "total", "bpp", "complete"]
    assert len(lines) == 5
    result = rgru("decompress", "b.rgru", "-v")
    assert "model " in result.err
    assert "no metadata" in result.err


@pytest.mark.parametrize(
    ("options", "arguments"),
    [
        (["--layers", "2"], {"layers": 2}),
        (["-q", "1"], {"quality": 1}),
        (["--bpp", "3"], {"bpp": 3.0}),
        (["--target-size", "0.3k"], {"target_size": 300}),
        (["--msssim", "0.05"], {"msssim": 0.05}),
    ],
)
def test_targets(rgru: Rgru, folder: Path, options: list[str], arguments: dict[str, float]) -> None:
    assert rgru("compress", "a.png", "-o", "b.rgru", *options).code == 0
    expected = rgru_codec.compress(folder / "a.png", **arguments)  # type: ignore[arg-type]
    assert (folder / "b.rgru").read_bytes() == expected


@pytest.mark.parametrize(
    ("options", "words"),
    [
        (["-q", "500"], "argument -q/--quality: 500 is out of range, it must be 1..100"),
        (["-q", "good"], "'good' is not a number"),
        (["--layers", "0"], "0 is out of range, it must be 1 or more"),
        (["--layers", "1.5"], "'1.5' is not a whole number"),
        (["--msssim", "1"], "must be between 0 and 1"),
        (["--bpp", "-1"], "must be between 0 and 1000"),
        (["--target-size", "20q"], "'20q' is not a size"),
        (["--target-size", "0"], "is not above 0"),
        (["--layers", "2", "-q", "50"], "not allowed with"),
        (["--strip", "iptc"], "unknown metadata iptc"),
        (["--strip", "exif,,gps"], "unknown metadata ''; choose from exif, gps"),
        (["--depth", "12"], "invalid choice"),
        (["--strip", "all", "--keep-icc"], "--keep-icc: --strip leaves the profile out; give one"),
        (["-j", "0"], "0 is out of range"),
        (["--layers", "1000"], "--layers 1000: the model"),
        (["--msssim", "0.9999999"], "cannot be reached"),
        (["--msssim", "0.9999999"], "or for --layers all (layers='all')"),
        (["--target-size", "22"], "a target of 22 bytes cannot be met"),
        (["--frame", "3"], "frame 3 does not exist"),
    ],
)
def test_usage(rgru: Rgru, folder: Path, options: list[str], words: str) -> None:
    result = rgru("compress", "a.png", "-o", "b.rgru", *options)
    assert result.code == 2
    assert words in result.err
    assert not (folder / "b.rgru").exists()


@pytest.mark.parametrize(
    ("source", "words"),
    [
        ("text.txt", "text.txt: is not a picture of a known format"),
        ("empty.png", "empty.png: is empty"),
        ("missing.png", "missing.png: no such file or directory"),
        ("whole.rgru", "whole.rgru: is a .rgru file already"),
        ("nothing*.png", "no such file"),
        ("sub", "sub: the folder holds no files of a known kind"),
    ],
)
def test_inputs_that_are_no_pictures(rgru: Rgru, folder: Path, source: str, words: str) -> None:
    (folder / "sub").mkdir()
    result = rgru("compress", source, "-o", "b.rgru")
    assert result.code == 1
    assert words in result.err
    assert not (folder / "b.rgru").exists()


@pytest.mark.skipif(not hasattr(os, "geteuid") or os.geteuid() == 0, reason="root reads all")
def test_unreadable_file(rgru: Rgru, folder: Path) -> None:
    (folder / "a.png").chmod(0)
    result = rgru("compress", "a.png")
    assert (result.code, "permission denied" in result.err) == (1, True)


def test_permission_denied_in_words(
    rgru: Rgru, folder: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    def refuse(path: Path, mode: str) -> None:
        raise PermissionError(errno.EACCES, "Permission denied", str(path))

    monkeypatch.setattr(Path, "open", refuse)
    result = rgru("compress", "a.png")
    assert (result.code, result.err) == (1, "rgru: a.png: permission denied\n")


@pytest.mark.parametrize("kind", ["PNG", "JPEG", "GIF"])
def test_a_damaged_header_is_not_called_another_format(rgru: Rgru, folder: Path, kind: str) -> None:
    picture().save("whole", kind)
    whole = Path("whole").read_bytes()
    for content in (whole[:8] + bytes(range(200)), whole[:12], whole[:20]):
        Path("head").write_bytes(content)
        result = rgru("compress", "head", "-o", "b.rgru")
        assert result.code == 1
        assert (f"begins as {kind}, but its header is damaged" in result.err) or (
            "truncated" in result.err or "cannot be read" in result.err
        ), result.err
        assert "known format" not in result.err


def test_truncated_pictures(rgru: Rgru, folder: Path) -> None:
    whole = (folder / "a.png").read_bytes()
    (folder / "a.png").write_bytes(whole[: len(whole) // 2])
    result = rgru("compress", "a.png")
    assert result.code == 1
    assert "a.png: the picture cannot be read" in result.err


@pytest.mark.parametrize(
    ("target", "words"),
    [
        ("no/b.rgru", "no/b.rgru: the folder no does not exist"),
        ("a.png/b.rgru", "a.png/b.rgru: a.png is not a folder"),
        ("a.png", "a.png: is the input"),
        ("b.jpg", "b.jpg: the output of this command is a .rgru file"),
    ],
)
def test_bad_targets(rgru: Rgru, folder: Path, target: str, words: str) -> None:
    before = (folder / "a.png").read_bytes()
    result = rgru("compress", "a.png", "-o", target)
    assert result.code in (1, 2)
    assert words in result.err
    assert (folder / "a.png").read_bytes() == before
    assert not (folder / "b.jpg").exists()


def test_full_disk(rgru: Rgru, folder: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    (folder / "b.rgru").write_bytes(b"old")

    def full(path: Path, target: Path) -> None:
        raise OSError(errno.ENOSPC, "No space left on device")

    monkeypatch.setattr(Path, "replace", full)
    result = rgru("compress", "a.png", "-o", "b.rgru", "-l", 1)
    assert result.code == 1
    assert "b.rgru: no space left on the device; nothing was written" in result.err
    assert (folder / "b.rgru").read_bytes() == b"old"


@pytest.mark.skipif(not Path("/dev/full").exists(), reason="needs /dev/full")
def test_full_device(rgru: Rgru, folder: Path) -> None:
    result = rgru("compress", "a.png", "-o", "/dev/full", "-l", 1)
    assert (result.code, "no space left" in result.err) == (1, True)


def test_new_files_have_the_usual_permissions(rgru: Rgru, folder: Path) -> None:
    rgru("compress", "a.png", "-o", "b.rgru", "-l", 1)
    assert (folder / "b.rgru").stat().st_mode & 0o777 == (folder / "a.png").stat().st_mode & 0o777
    (folder / "b.rgru").chmod(0o600)
    rgru("compress", "a.png", "-o", "b.rgru", "-l", 1)
    assert (folder / "b.rgru").stat().st_mode & 0o777 == 0o600


def test_links_stay_links(rgru: Rgru, folder: Path) -> None:
    (folder / "real").mkdir()
    (folder / "b.rgru").symlink_to(folder / "real" / "c.rgru")
    rgru("compress", "a.png", "-o", "b.rgru", "-l", 1)
    assert (folder / "b.rgru").is_symlink()
    assert (folder / "real" / "c.rgru").stat().st_size


def test_limit(rgru: Rgru, folder: Path) -> None:
    result = rgru("compress", "a.png", "--max-pixels", 900)
    assert result.code == 4
    assert "a.png: the picture has 960 pixels, the limit is 900" in result.err
    assert "--max-pixels 960" in result.err
    assert rgru("compress", "a.png", "--max-pixels", 960, "-l", 1).code == 0


def test_the_help_tells_the_limit_that_holds(rgru: Rgru) -> None:
    assert f"(default {number(Limits().max_pixels)})" in " ".join(rgru("info", "-h").out.split())


def test_what_is_over_a_limit_is_not_read_off_the_words_of_the_error(
    rgru: Rgru, folder: Path
) -> None:
    """Other words for how to raise it would have called a thin picture, or a file, another."""
    Image.new("RGB", (1, 5000)).save("thin.png")
    result = rgru("compress", "thin.png", "--max-pixels", 5000)
    assert (result.code, "the picture is so thin that it counts as 20" in result.err) == (4, True)
    words = explain(LimitExceeded("max_pixels", 9, 8, "a file so thin")).message
    assert words == "the picture has 9 pixels, the limit is 8; allow more with --max-pixels 9"
    words = explain(LimitExceeded("max_memory", 9, 8, "reworded", "file")).message
    assert "the picture's file alone has 9 bytes" in words


def test_streams(folder: Path) -> None:
    whole = (folder / "a.png").read_bytes()
    result = process("compress", "-", "--layers", 2, stdin=whole)
    assert result.returncode == 0
    assert result.stdout == rgru_codec.compress(picture(), layers=2)
    assert b"standard output: 40x24, 2 layers" in result.stderr
    back = process("decompress", "-", stdin=result.stdout)
    assert Image.open(io.BytesIO(back.stdout)).size == (40, 24)


def test_no_binary_to_a_terminal(rgru: Rgru, folder: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("sys.stdout.isatty", lambda: True)
    for command, source in (("compress", "a.png"), ("decompress", "whole.rgru")):
        result = rgru(command, source, "-o", "-")
        assert result.code == 2
        assert "not writing binary data to a terminal" in result.err


def test_terminal_as_input(rgru: Rgru, monkeypatch: pytest.MonkeyPatch, folder: Path) -> None:
    monkeypatch.setattr("sys.stdin", io.StringIO())
    monkeypatch.setattr("sys.stdin.isatty", lambda: True)
    result = rgru("compress", "-", "-o", "b.rgru")
    assert (result.code, "standard input is a terminal" in result.err) == (2, True)


def test_all_in_a_list_of_metadata_means_all(rgru: Rgru, folder: Path) -> None:
    """It was unknown, and the advice was to choose it."""
    picture().save("m.png", exif=Image.Exif(), xmp=b"<x/>", dpi=(300, 300))
    for names, name in (("exif,all", "b.rgru"), ("all", "c.rgru"), ("icc", "d.rgru")):
        assert rgru("compress", "m.png", "-o", name, "-l", 1, "--strip", names).code == 0
    assert Path("b.rgru").read_bytes() == Path("c.rgru").read_bytes()
    assert Path("d.rgru").read_bytes() != Path("c.rgru").read_bytes()


def test_metadata_options(rgru: Rgru, folder: Path) -> None:
    exif = Image.Exif()
    exif[0x010F] = "Cam"
    picture().save("m.png", exif=exif, icc_profile=b"own")
    profile = ImageCms.ImageCmsProfile(ImageCms.createProfile("sRGB")).tobytes()
    (folder / "icc").write_bytes(profile)
    (folder / "xmp").write_bytes(b"<x/>")
    (folder / "exif").write_bytes(b"II*\0\x08\0\0\0\0\0\0\0\0\0")

    def kept(*options: object) -> dict[str, object]:
        assert rgru("compress", "m.png", "-o", "m.rgru", "-l", 1, *options).code == 0
        info = {str(k): v for k, v in rgru_codec.decompress(folder / "m.rgru").info.items()}
        del info["layers"]
        return info

    assert set(kept()) == {"exif", "icc_profile"}
    assert kept("--strip", "all") == {}
    assert set(kept("--strip", "exif,xmp")) == {"icc_profile"}
    found = kept("--icc", "icc", "--keep-icc", "--xmp", "xmp", "--exif", "exif")
    assert found["icc_profile"] == profile
    assert found["xmp"] == b"<x/>"
    assert found["exif"] == b"Exif\0\0" + (folder / "exif").read_bytes()
    assert kept("--icc", os.devnull, "--exif", os.devnull) == {}
    for name in ("icc", "exif", "xmp"):
        result = rgru("compress", "m.png", "-o", "m.rgru", f"--{name}", "missing")
        assert result.code == 1
        assert result.err == f"rgru: --{name} missing: no such file or directory\n"
    (folder / "large").write_bytes(bytes(17_000_000))
    result = rgru("compress", "m.png", "-o", "m.rgru", "--xmp", "large")
    assert result.code == 4
    assert "--xmp large: has more than the 16 777 216 bytes" in result.err
    result = rgru("compress", "m.png", "-o", "m.rgru", "--exif", "icc")
    assert (result.code, "--exif icc: is not Exif data" in result.err) == (2, True)
    result = rgru("compress", "m.png", "-o", "m.rgru", "--icc", "m.png")
    assert (result.code, "--icc m.png: is not an ICC profile" in result.err) == (2, True)


def test_depth_and_frames(rgru: Rgru, folder: Path) -> None:
    Image.fromarray(np.arange(600, dtype=np.uint16).reshape(20, 30)).save("deep.png")
    result = rgru("compress", "deep.png")
    assert (result.code, "--depth 8" in result.err) == (2, True)
    assert rgru("compress", "deep.png", "--depth", 8, "-l", 1).code == 0
    frames = [picture(seed=n) for n in range(3)]
    frames[0].save("move.gif", save_all=True, append_images=frames[1:])
    result = rgru("compress", "move.gif")
    assert (result.code, "--frame N" in result.err) == (2, True)
    assert rgru("compress", "move.gif", "--frame", 1, "-l", 1).code == 0


def test_conversions_are_said(rgru: Rgru, folder: Path) -> None:
    picture().convert("CMYK").save("c.jpg")
    result = rgru("compress", "c.jpg", "-l", 1)
    assert (result.code, "c.jpg: CMYK was converted to sRGB" in result.err) == (0, True)
