"""rgru decompress: whole, cut and damaged files; steps and animations."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest
from PIL import Image, ImageCms, ImageSequence

import rgru_codec
from rgru_codec.cli.status import number
from rgru_format import Header

from .conftest import Rgru, picture, process


def test_whole_file(rgru: Rgru, folder: Path, data: bytes) -> None:
    result = rgru("decompress", "whole.rgru")
    layers = rgru_codec.default_model().iterations
    assert (result.code, result.out) == (0, "")
    assert result.err == f"whole.png: 40x24 RGB, {layers} layers\n"
    with Image.open("whole.png") as image:
        assert image.tobytes() == rgru_codec.decompress(data).tobytes()


@pytest.mark.parametrize("suffix", ["png", "jpg", "webp", "tiff", "ppm", "bmp"])
def test_formats(rgru: Rgru, folder: Path, suffix: str) -> None:
    assert rgru("decompress", "whole.rgru", "-o", f"b.{suffix}").code == 0
    assert rgru("decompress", "whole.rgru", "--format", suffix).code == 0
    assert (folder / f"whole.{suffix}").read_bytes() == (folder / f"b.{suffix}").read_bytes()
    with Image.open(f"b.{suffix}") as image:
        assert image.size == (40, 24)


def test_layers(rgru: Rgru, folder: Path, data: bytes) -> None:
    for layers in (0, 1, 3):
        assert rgru("decompress", "whole.rgru", "-o", "b.png", "--layers", layers).code == 0
        with Image.open("b.png") as image:
            assert image.tobytes() == rgru_codec.decompress(data, layers).tobytes()


def test_cut_file(rgru: Rgru, folder: Path, data: bytes) -> None:
    result = rgru("decompress", "cut.rgru")
    size = len(data) * 2 // 3
    assert result.code == 3
    assert f"cut.rgru: cut short at byte {number(size)}, inside layer" in result.err
    with Image.open("cut.png") as image:
        assert image.tobytes() == rgru_codec.decompress(data[:size]).tobytes()
    assert rgru("decompress", "cut.rgru", "--partial", "-o", "b.png").code == 0
    assert rgru("decompress", "cut.rgru", "--layers", 1, "-o", "b.png").code == 0


def test_a_file_cut_at_a_layer_is_whole(rgru: Rgru, folder: Path, data: bytes) -> None:
    (folder / "two.rgru").write_bytes(data[: rgru_codec.info(data).layers[1].end])
    assert rgru("decompress", "two.rgru").code == 0


def test_a_file_without_layers_is_cut_short(rgru: Rgru, folder: Path, data: bytes) -> None:
    (folder / "header.rgru").write_bytes(data[:21])
    result = rgru("decompress", "header.rgru", "-o", "grey.png")
    assert (result.code, "at byte 21, before its first layer" in result.err) == (3, True)
    with Image.open("grey.png") as image:
        assert image.getextrema() == ((128, 128),) * 3
    assert rgru("decompress", "header.rgru", "-o", "grey.png", "--layers", 0).code == 0


def test_alpha_that_was_cut_off(rgru: Rgru, folder: Path) -> None:
    rgba = picture().convert("RGBA")
    data = rgru_codec.compress(rgba, layers=2)
    (folder / "x.rgru").write_bytes(data[: rgru_codec.info(data).layers[0].end])
    result = rgru("decompress", "x.rgru")
    assert (result.code, "before its alpha plane" in result.err) == (3, True)


def test_damaged_file(rgru: Rgru, folder: Path, data: bytes) -> None:
    result = rgru("decompress", "broken.rgru")
    assert result.code == 1
    assert "broken.rgru: the checksum of a group of codes does not match (layer" in result.err
    assert "are intact, use --partial to decode them" in result.err
    assert not (folder / "broken.png").exists()
    assert rgru("decompress", "broken.rgru", "--partial").code == 0
    broken = (folder / "broken.rgru").read_bytes()
    with Image.open("broken.png") as image:
        assert image.tobytes() == rgru_codec.decompress(broken, partial=True).tobytes()
    assert rgru("decompress", "broken.rgru", "--layers", 1, "-o", "b.png").code == 0


@pytest.mark.parametrize(
    ("layer", "words"),
    [
        (0, "; no layer precedes it that could be decoded\n"),
        (1, "; 1 layer is intact, use --partial to decode it\n"),
        (2, "; 2 layers are intact, use --partial to decode them\n"),
    ],
)
def test_damage_says_how_many_layers_precede_it(
    rgru: Rgru, folder: Path, data: bytes, layer: int, words: str
) -> None:
    broken = bytearray(data)
    broken[rgru_codec.info(data).layers[layer].offsets[0] + 9] ^= 1
    Path("b.rgru").write_bytes(broken)
    for options in ((), ("--steps", "s")):
        result = rgru("decompress", "b.rgru", *options)
        assert (result.code, result.err.endswith(words)) == (1, True), result.err


@pytest.mark.parametrize(
    ("content", "code", "words"),
    [
        (b"", 1, "is empty"),
        (b"GIF89a", 1, "signature is missing"),
        (b"\x89RGRU\r\n\x1a", 1, "ends inside the header"),
    ],
)
def test_not_our_files(rgru: Rgru, folder: Path, content: bytes, code: int, words: str) -> None:
    (folder / "x.rgru").write_bytes(content)
    for option in ([], ["--partial"]):
        result = rgru("decompress", "x.rgru", *option)
        assert (result.code, words in result.err) == (code, True)
    assert not (folder / "x.png").exists()


def test_missing_model(rgru: Rgru, folder: Path) -> None:
    from rgru_format import Header

    (folder / "x.rgru").write_bytes(Header(8, 8, b"none").pack())
    result = rgru("decompress", "x.rgru")
    assert (result.code, "needs model 6e6f6e65" in result.err) == (5, True)


def test_limit(rgru: Rgru, folder: Path) -> None:
    result = rgru("decompress", "whole.rgru", "--max-pixels", "0.5k")
    assert (result.code, "--max-pixels 960" in result.err) == (4, True)


def test_bad_outputs(rgru: Rgru, folder: Path) -> None:
    for target, words in (
        ("b.xyz", "no picture format is known by '.xyz'"),
        ("b.pfm", "no picture format is known by '.pfm'"),  # Pillow would write PPM
        ("b.rgru", "the output of this command is a picture"),
        ("b.jxl", "no picture format is known by '.jxl'"),
        ("b.mp4", "no picture format is known by '.mp4'"),
        ("b.torrent", "or say it with --format"),
        ("b.mpg", "no picture format is known by '.mpg'"),
    ):
        result = rgru("decompress", "whole.rgru", "-o", target)
        assert (result.code, words in result.err) == (2, True)
    assert rgru("decompress", "whole.rgru", "--format", "xyz").code == 2
    assert rgru("decompress", "whole.rgru", "--format", "pbm").code == 2


@pytest.mark.parametrize(
    "kind",
    ["jpeg2000", "nonsense", "p n g", "../png", "/tmp/x", "x.png", ".", "rgru", "mp4", "jxl"],
)
@pytest.mark.parametrize("output", [(), ("-o", "b.png"), ("-o", "b")], ids=" ".join)
def test_a_format_that_is_not_known_is_refused(
    rgru: Rgru, folder: Path, kind: str, output: tuple[str, ...]
) -> None:
    """Also by a program that has told Pillow of .rgru files."""
    rgru_codec.pillow.register()
    before = sorted(folder.iterdir())
    result = rgru("decompress", "whole.rgru", "--format", kind, *output)
    assert (result.code, f"--format {kind}: no picture format" in result.err) == (2, True)
    assert "use .png, .jpg, .webp" in result.err
    assert sorted(folder.iterdir()) == before


def test_a_suffix_of_what_cannot_be_written_is_refused_with_a_format_too(
    rgru: Rgru, folder: Path
) -> None:
    assert rgru("decompress", "whole.rgru", "-o", "b.mpg", "--format", "png").code == 2
    assert not Path("b.mpg").exists()


def test_a_suffix_that_is_not_known_is_refused_before_the_steps(rgru: Rgru, folder: Path) -> None:
    assert rgru("decompress", "whole.rgru", "-o", "b.xyz", "--steps", "s").code == 2
    assert not Path("s").exists()


def test_alpha_in_jpeg(rgru: Rgru, folder: Path) -> None:
    (folder / "x.rgru").write_bytes(rgru_codec.compress(translucent("RGBA"), layers=1))
    result = rgru("decompress", "x.rgru", "-o", "b.jpg")
    words = "x.rgru: JPEG cannot hold this picture: its alpha would be lost; use .png"
    assert (result.code, words in result.err) == (2, True)
    assert not (folder / "b.jpg").exists()


def translucent(mode: str) -> Image.Image:
    image = picture().convert(mode)
    image.putalpha(picture(seed=1).convert("L"))
    return image


@pytest.mark.parametrize("suffix", ["ppm", "pnm", "bmp", "dib", "gif", "pcx", "mpo", "sgi", "tga"])
@pytest.mark.parametrize("mode", ["LA", "RGBA"])
def test_alpha_is_kept_or_the_picture_refused(
    rgru: Rgru, folder: Path, mode: str, suffix: str
) -> None:
    data = rgru_codec.compress(translucent(mode), layers=1)
    Path("b.rgru").write_bytes(data)
    name = f"b.{suffix}"
    result = rgru("decompress", "b.rgru", "-o", name)
    if result.code:
        assert (result.code, "cannot hold this picture" in result.err) == (2, True)
        assert "use .png" in result.err
        assert not Path(name).exists()
        return
    assert suffix in ("sgi", "tga")
    with Image.open(name) as image:
        alpha = image.convert("RGBA").getchannel("A").tobytes()
    assert alpha == rgru_codec.decompress(data).getchannel("A").tobytes()


@pytest.mark.parametrize("suffix", ["png", "webp", "tiff"])
def test_colour_under_full_transparency_is_kept(rgru: Rgru, folder: Path, suffix: str) -> None:
    image = picture().convert("RGBA")
    image.putalpha(0)
    data = rgru_codec.compress(image, layers=1)
    Path("b.rgru").write_bytes(data)
    assert rgru("decompress", "b.rgru", "-o", f"b.{suffix}").code == 0
    with Image.open(f"b.{suffix}") as back:
        assert back.tobytes() == rgru_codec.decompress(data).tobytes()


@pytest.mark.parametrize("suffix", ["bmp", "jpg", "pcx", "ppm"])
@pytest.mark.parametrize("mode", ["LA", "RGBA"])
def test_alpha_that_is_opaque_can_be_left_out(
    rgru: Rgru, folder: Path, mode: str, suffix: str
) -> None:
    """JPEG refused it, and of grey pictures all of these did."""
    data = rgru_codec.compress(picture().convert(mode), layers=1)
    Path("b.rgru").write_bytes(data)
    assert rgru("decompress", "b.rgru", "-o", f"b.{suffix}").code == 0
    with Image.open(f"b.{suffix}") as image:
        assert image.mode == {"LA": "L", "RGBA": "RGB"}[mode]


def test_icons_have_the_size_of_the_picture(rgru: Rgru, folder: Path) -> None:
    """Pillow scales to the usual sizes of icons, without a word."""
    for size, code in (((200, 150), 0), ((256, 9), 0), ((257, 9), 2)):
        Path("b.rgru").write_bytes(rgru_codec.compress(picture(*size), layers=1))
        result = rgru("decompress", "b.rgru", "-o", f"{size[0]}.ico")
        assert result.code == code, result.err
        if code:
            assert "ICO cannot hold this picture: it has more than 256 pixels" in result.err
            continue
        with Image.open(f"{size[0]}.ico") as image:
            assert image.size == size
    assert not Path("257.ico").exists()
    result = rgru("decompress", "whole.rgru", "-o", "b.icns")
    assert (result.code, "its 40x24 pixels would become 1024x1024" in result.err) == (2, True)


def test_colours_that_a_palette_has_no_room_for_are_said(rgru: Rgru, folder: Path) -> None:
    result = rgru("decompress", "whole.rgru", "-o", "b.gif")
    words = "rgru: whole.rgru: colours were changed, GIF cannot hold all of them"
    assert (result.code, words in result.err) == (0, True)
    assert "colours" not in rgru("decompress", "whole.rgru", "--layers", 0, "-o", "b.gif").err
    assert "colours" not in rgru("decompress", "whole.rgru", "-o", "b.tga").err


def test_metadata_goes_along(rgru: Rgru, folder: Path) -> None:
    exif = Image.Exif()
    exif[0x010F] = "Cam"
    profile = bytes(36) + b"acsp" + bytes(88)
    data = rgru_codec.compress(
        picture(), layers=1, exif=exif.tobytes(), icc_profile=profile, xmp=b"<x>1</x>"
    )
    (folder / "m.rgru").write_bytes(data)
    for name in ("m.png", "m.jpg", "m.webp"):
        assert rgru("decompress", "m.rgru", "-o", name).code == 0
        with Image.open(name) as image:
            assert image.info["icc_profile"] == profile
            assert image.getexif()[0x010F] == "Cam"
            assert image.info["xmp"] == b"<x>1</x>"
    rgru("decompress", "m.rgru", "-o", "s.png", "--strip", "all")
    with Image.open("s.png") as image:
        assert not image.info


def test_xmp_that_is_no_text_is_left_out_of_a_png_and_said(rgru: Rgru, folder: Path) -> None:
    data = rgru_codec.compress(picture(), layers=1, xmp=b"<x:xmpmeta \xff\xfe/>")
    (folder / "t.rgru").write_bytes(data)
    result = rgru("decompress", "t.rgru", "-o", "t.png")
    assert (result.code, "metadata was left out, PNG cannot hold XMP" in result.err) == (0, True)
    with Image.open("t.png") as image:
        assert "xmp" not in image.info


def test_metadata_that_is_too_large_for_the_format(rgru: Rgru, folder: Path) -> None:
    exif = b"II*\0\x08\0\0\0\0\0\0\0\0\0" + bytes(70_000)
    (folder / "m.rgru").write_bytes(rgru_codec.compress(picture(), layers=1, exif=exif))
    result = rgru("decompress", "m.rgru", "-o", "m.jpg")
    assert (result.code, "metadata was left out" in result.err) == (0, True)


def test_steps(rgru: Rgru, folder: Path, data: bytes) -> None:
    result = rgru("decompress", "whole.rgru", "--steps", "steps")
    layers = rgru_codec.default_model().iterations
    assert result.code == 0
    names = sorted(path.name for path in (folder / "steps").iterdir())
    assert names == [f"whole-{n:02d}.png" for n in range(1, layers + 1)]
    for layer in (1, 2, layers):
        with Image.open(folder / "steps" / f"whole-{layer:02d}.png") as image:
            assert image.tobytes() == rgru_codec.decompress(data, layer).tobytes()
    assert not (folder / "whole.png").exists()
    assert rgru("decompress", "whole.rgru", "--steps", "steps").code == 1


@pytest.mark.parametrize("name", ["whole.rgru", "cut.rgru", "broken.rgru"])
def test_no_step_is_written_if_the_name_of_a_later_one_is_taken(
    rgru: Rgru, folder: Path, name: str
) -> None:
    """Those before it were left behind."""
    (folder / "steps").mkdir()
    taken = folder / "steps" / f"{Path(name).stem}-02.png"
    picture().save(taken)
    result = rgru("decompress", name, "--steps", "steps", "--partial")
    assert (result.code, f"steps/{taken.name}: exists" in result.err) == (1, True)
    assert list((folder / "steps").iterdir()) == [taken]
    assert rgru("decompress", name, "--steps", "steps", "--partial", "-l", 1).code == 0
    assert rgru("decompress", name, "--steps", "steps", "--partial", "--force").code == 0


@pytest.mark.parametrize("layers", [1, 2])
@pytest.mark.parametrize("options", [(), ("-l", "1")], ids=" ".join)
def test_the_last_step_shows_what_the_whole_file_shows(
    rgru: Rgru, folder: Path, layers: int, options: tuple[str, ...]
) -> None:
    image = picture().convert("RGBA")
    image.putalpha(picture(seed=1).convert("L"))
    xmp = b"<x:xmpmeta xmlns:x='adobe:ns:meta/'/>"
    Path("t.rgru").write_bytes(rgru_codec.compress(image, layers=layers, xmp=xmp))
    assert rgru("decompress", "t.rgru", "--steps", "s", "-o", "t.png", *options).code == 0
    last = sorted(Path("s").iterdir())[-1]
    with Image.open(last) as step, Image.open("t.png") as whole:
        assert step.getchannel("A").getextrema() != (255, 255)
        assert step.tobytes() == whole.tobytes()
        assert step.info.get("xmp") == whole.info.get("xmp")


@pytest.mark.parametrize(
    ("name", "words"),
    [
        ("text.txt", "text.txt: not a .rgru file"),
        ("missing.rgru", "missing.rgru: no such file"),
        ("empty.png", "empty.png: is empty"),
    ],
)
def test_steps_name_the_file_that_has_none(rgru: Rgru, folder: Path, name: str, words: str) -> None:
    result = rgru("decompress", name, "--steps", "steps")
    assert (result.code, result.err.startswith(f"rgru: {words}")) == (1, True)
    assert not (folder / "steps").exists()


@pytest.mark.parametrize("options", [("--format", "jpg"), ("-q", "90")], ids=" ".join)
@pytest.mark.parametrize("stages", [("--steps", "s"), ("--animate", "a.webp")], ids=" ".join)
def test_format_and_quality_of_no_picture_are_refused(
    rgru: Rgru, folder: Path, stages: tuple[str, str], options: tuple[str, str]
) -> None:
    result = rgru("decompress", "whole.rgru", *stages, *options)
    assert (result.code, "is for the picture that -o names" in result.err) == (2, True)
    assert not Path(stages[1]).exists()
    assert rgru("decompress", "whole.rgru", *stages, *options, "-o", "b.jpg").code == 0
    with Image.open("b.jpg") as image:
        assert image.format == "JPEG"


def test_steps_of_a_cut_file(rgru: Rgru, folder: Path) -> None:
    result = rgru("decompress", "cut.rgru", "--steps", "steps", "-o", "c.png")
    assert result.code == 3
    assert (folder / "c.png").exists()
    last = sorted((folder / "steps").iterdir())[-1]
    with Image.open(last) as step, Image.open("c.png") as image:
        assert step.tobytes() == image.tobytes()


def test_steps_of_a_damaged_file(rgru: Rgru, folder: Path) -> None:
    result = rgru("decompress", "broken.rgru", "--steps", "steps", "--animate", "a.webp")
    assert result.code == 1
    assert result.err.startswith("rgru: broken.rgru: the checksum of a group of codes ")
    assert "are intact, use --partial" in result.err
    assert not (folder / "steps").exists()
    assert not (folder / "a.webp").exists()
    assert rgru("decompress", "broken.rgru", "--steps", "steps", "-l", 2).code == 0
    result = rgru("decompress", "broken.rgru", "--steps", "more", "--partial")
    assert (result.code, "decoded what is intact" in result.err) == (0, True)
    assert list((folder / "more").iterdir())


@pytest.mark.parametrize("name", ["a.webp", "a.gif", "a.apng"])
def test_animation(rgru: Rgru, folder: Path, name: str) -> None:
    assert rgru("decompress", "whole.rgru", "--animate", name, "-l", 3).code == 0
    with Image.open(name) as image:
        assert getattr(image, "n_frames", 1) == 3
        assert image.width == 40
        assert image.height > 24, "bytes are written below"
        image.seek(1)
        assert np.asarray(image.convert("L"))[24:].max() > 150


def test_an_animation_of_a_region_tells_the_bits_per_pixel_of_the_file(
    rgru: Rgru, folder: Path, data: bytes, monkeypatch: pytest.MonkeyPatch
) -> None:
    """The bytes of all of it were divided by the pixels of the region."""
    from rgru_codec.cli import animation

    texts = []

    def labelled(image: Image.Image, text: str) -> Image.Image:
        texts.append(text)
        return image

    monkeypatch.setattr(animation, "_labelled", labelled)
    part = ("--animate", "a.png", "--region", "0,0,8,6", "-f")
    assert rgru("decompress", "whole.rgru", *part, "-l", 2).code == 0
    ends = [layer.end for layer in rgru_codec.info(data).layers[:2]]
    assert [text.split()[-2] for text in texts] == [f"{8 * end / 960:.3f}" for end in ends]


@pytest.mark.parametrize("name", ["a.webp", "a.png"])
def test_an_animation_keeps_the_colour_profile(rgru: Rgru, folder: Path, name: str) -> None:
    icc = ImageCms.ImageCmsProfile(ImageCms.createProfile("sRGB")).tobytes()
    for mode, strip, kept in (("RGBA", "exif", icc), ("RGB", "icc", None), ("L", "exif", None)):
        image = picture().convert(mode)
        data = rgru_codec.compress(image, layers=2, icc_profile=icc, keep_icc=True)
        (folder / "p.rgru").write_bytes(data)
        assert rgru("decompress", "p.rgru", "--animate", name, "--strip", strip).code == 0
        with Image.open(name) as image:
            assert image.info.get("icc_profile") == kept


def test_each_step_is_the_picture_of_so_many_layers(rgru: Rgru, folder: Path) -> None:
    """Alpha and metadata stand behind the first layer: its step was opaque, without them."""
    Path("t.rgru").write_bytes(rgru_codec.compress(translucent("RGBA"), layers=3, xmp=b"<x/>"))
    assert rgru("decompress", "t.rgru", "--steps", "s").code == 0
    for layers in (1, 2, 3):
        assert rgru("decompress", "t.rgru", "-l", layers, "-o", f"{layers}.png").code == 0
        assert Path(f"s/t-0{layers}.png").read_bytes() == Path(f"{layers}.png").read_bytes()


@pytest.mark.parametrize("name", ["a.webp", "a.png", "a.gif"])
def test_an_animation_keeps_alpha(rgru: Rgru, folder: Path, name: str) -> None:
    image = picture().convert("LA")
    image.paste((90, 0), (4, 4, 20, 20))
    Path("t.rgru").write_bytes(rgru_codec.compress(image, layers=3))
    assert rgru("decompress", "t.rgru", "--animate", name).code == 0
    with Image.open(name) as moving:
        for frame in ImageSequence.Iterator(moving):
            alpha = frame.convert("RGBA").getchannel("A").crop((0, 0, *image.size))
            assert alpha.tobytes() == image.getchannel("A").tobytes()


@pytest.mark.parametrize("stages", [("--steps", "s"), ("--animate", "a.webp")], ids=" ".join)
def test_steps_and_animations_need_a_layer(
    rgru: Rgru, folder: Path, data: bytes, stages: tuple[str, str]
) -> None:
    Path("header.rgru").write_bytes(data[:21])
    for partial in ((), ("--partial",)):
        result = rgru("decompress", "header.rgru", *stages, *partial)
        words = "rgru: header.rgru: holds no layer, there is nothing to "
        assert (result.code, result.err.startswith(words)) == (2, True)
    result = rgru("decompress", "whole.rgru", *stages, "-l", 0)
    assert (result.code, "--layers 0: --steps and --animate show" in result.err) == (2, True)
    assert not Path(stages[1]).exists()
    assert (
        "whole.rgru: 1 picture, 1 layer\n" in rgru("decompress", "whole.rgru", *stages, "-l", 1).err
    )


@pytest.mark.parametrize("stages", [("--steps", "s"), ("--animate", "a.webp")], ids=" ".join)
@pytest.mark.parametrize(
    ("options", "code"),
    [(("--region", "0,0,9999,1"), 2), (("--max-memory", "1M"), 4)],
    ids=["region", "memory"],
)
def test_steps_and_animations_refuse_with_the_words_of_the_picture(
    rgru: Rgru, folder: Path, stages: tuple[str, str], options: tuple[str, str], code: int
) -> None:
    """They said that the file holds no layer."""
    expected = rgru("decompress", "whole.rgru", *options)
    assert expected.code == code
    assert rgru("decompress", "whole.rgru", *stages, *options) == expected
    assert not Path(stages[1]).exists()


@pytest.mark.parametrize("stages", [("--steps", "s"), ("--animate", "a.webp")], ids=" ".join)
def test_steps_and_animations_name_the_model_that_is_missing(
    rgru: Rgru, folder: Path, stages: tuple[str, str]
) -> None:
    Path("u.rgru").write_bytes(Header(8, 8, b"none").pack())
    result = rgru("decompress", "u.rgru", *stages)
    assert (result.code, "u.rgru: the file needs model 6e6f6e65" in result.err) == (5, True)


@pytest.mark.parametrize(
    ("size", "name"), [((16, 16384), "t.webp"), ((16384, 16), "t.webp"), ((10, 65530), "t.gif")]
)
def test_an_animation_too_large_for_its_format_is_refused(
    rgru: Rgru, folder: Path, size: tuple[int, int], name: str
) -> None:
    Path("t.rgru").write_bytes(rgru_codec.compress(Image.new("RGB", size), layers=1))
    result = rgru("decompress", "t.rgru", "--animate", name, "--steps", "s")
    kind = name[2:].upper()
    assert (result.code, f"t.rgru: {kind} cannot hold this picture" in result.err) == (2, True)
    assert "use .png" in result.err
    assert not Path(name).exists()
    assert not Path("s").exists()


def test_animation_names(rgru: Rgru, folder: Path) -> None:
    result = rgru("decompress", "whole.rgru", "--animate", "a.jpg")
    assert (result.code, "an animation is a .webp, .gif or .png" in result.err) == (2, True)
    result = rgru("decompress", "whole.rgru", "cut.rgru", "--animate", "a.webp")
    assert (result.code, "take one input" in result.err) == (2, True)


def test_streams(folder: Path, data: bytes) -> None:
    result = process("decompress", "-", "--format", "ppm", stdin=data)
    assert result.returncode == 0
    assert result.stdout.startswith(b"P6\n40 24\n255\n")
    expected = rgru_codec.decompress(data).tobytes()
    assert result.stdout.endswith(expected)


def test_cut_stream(data: bytes) -> None:
    result = process("decompress", "-", stdin=data[:-1])
    assert result.returncode == 3
    assert b"standard input: cut short" in result.stderr
    assert result.stdout.startswith(b"\x89PNG")
