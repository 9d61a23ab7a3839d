"""What a new user tries first: IN OUT, models by path, progress, quality, what is passed over."""

from __future__ import annotations

import json
import os
import shutil
import sys
from pathlib import Path

import numpy as np
import pytest
from PIL import Image, ImageCms

import rgru_codec
from rgru_codec.cli.pictures import encode_picture, picture_format

from .conftest import Rgru, picture
from .test_batch import Terminal


def test_in_out(rgru: Rgru, folder: Path) -> None:
    """As cjxl, avifenc and ImageMagick have it."""
    assert rgru("compress", "a.png", "b.rgru", "-l", 2).code == 0
    assert Path("b.rgru").read_bytes() == rgru_codec.compress("a.png", layers=2)
    for name in ("b.png", "b.jpg"):
        assert rgru("decompress", "b.rgru", name).code == 0
        with Image.open(name) as image:
            assert image.size == (40, 24)
    assert not Path("a.rgru").exists()


@pytest.mark.parametrize(
    ("words", "hint"),
    [
        (("compress", "a.png", "whole.rgru"), "whole.rgru: exists; if it is to be overwritten"),
        (("decompress", "whole.rgru", "a.png"), "a.png: exists; if it is to be overwritten"),
        (("compress", "a.png", "c.png", "b.rgru"), "b.rgru: does not exist; if it is the output"),
        (("decompress", "whole.rgru", "cut.rgru", "b.png"), "if it is the output, name it with -o"),
        (("compress", "a.png", "new"), "new: does not exist; if it is the output, name it with -o"),
        (("compress", "a.png", "new.png"), "new.png: does not exist; if it is the output"),
        (("compress", "a.png", "-"), "-: is standard input here; for standard output give -o -"),
        (("compress", "sub", "b.rgru"), "b.rgru: is the name of one file, for many inputs"),
        (("compress", "a.png", "c.png", "-o", "b.rgru"), "b.rgru: is the name of one file"),
        (("compress", "sub", "-o", "b.rgru"), "b.rgru: is the name of one file"),
        (("decompress", "whole.rgru", "cut.rgru", "-o", "b.png"), "b.png: is the name of one file"),
    ],
)
def test_what_is_not_certain_gets_a_hint_before_any_work(
    rgru: Rgru, folder: Path, words: tuple[str, ...], hint: str
) -> None:
    picture().save("c.png")
    Path("sub").mkdir()
    picture().save("sub/d.png")
    before = {p: p.stat().st_mtime_ns for p in folder.rglob("*")}
    result = rgru(*words)
    assert (result.code, hint in result.err) == (2, True), result.err
    assert {p: p.stat().st_mtime_ns for p in folder.rglob("*")} == before


@pytest.mark.parametrize(
    ("words", "advice"),
    [
        (("compress", "a.png", "new.png"), "that is a .rgru file: name it with -o new.rgru"),
        (("decompress", "whole.rgru", "new.rgru"), "that is a picture: name it with -o new.png"),
    ],
    ids=["compress", "decompress"],
)
def test_the_advice_for_an_output_of_the_wrong_kind_can_be_followed(
    rgru: Rgru, folder: Path, words: tuple[str, ...], advice: str
) -> None:
    """It was to name new.png with -o, which is refused."""
    result = rgru(*words)
    assert (result.code, f"{words[-1]}: does not exist; " in result.err) == (2, True)
    assert result.err.endswith(f"{advice}\n")
    assert rgru(*words[:-1], "-o", advice.split()[-1]).code == 0


@pytest.mark.parametrize(
    "words",
    [
        ("compress", ""),
        ("compress", "a.png", "-o", ""),
        ("compress", "a.png", "--failures", ""),
        ("decompress", ""),
        ("decompress", "whole.rgru", "-o", ""),
        ("info", ""),
        ("verify", ""),
        ("compare", "", "a.png"),
        ("thumbnail", "", "t.png"),
        ("thumbnail", "whole.rgru", ""),
        ("compress", "a.png", "--exif", ""),
        ("compress", "a.png", "--xmp", ""),
        ("compress", "a.png", "--icc", ""),
        ("decompress", "whole.rgru", "--steps", ""),
        ("decompress", "whole.rgru", "--animate", ""),
        ("decompress", "whole.rgru", "--format", ""),
        ("models", "add", ""),
        ("models", "verify", ""),
        ("info", "whole.rgru", "--model", ""),
        ("verify", "--vectors", ""),
    ],
)
def test_an_empty_argument_is_no_name(rgru: Rgru, folder: Path, words: tuple[str, ...]) -> None:
    """``rgru compress "$UNSET"`` used to compress every picture below the current folder."""
    before = sorted(folder.rglob("*"))
    result = rgru(*words)
    assert (result.code, "there is no file name" in result.err) == (2, True)
    assert sorted(folder.rglob("*")) == before


def test_attributes_of_macos_are_passed_over_and_other_files_counted(
    rgru: Rgru, folder: Path
) -> None:
    Path("p/sub").mkdir(parents=True)
    picture().save("p/one.png")
    Path("p/._one.png").write_bytes(b"\0\5\x16\7")
    for name in ("p/song.mp3", "p/sub/notes.txt", "p/.DS_Store"):
        Path(name).write_bytes(b"x")
    result = rgru("compress", "p", "-l", 1)
    assert (result.code, "2 other files were passed over" in result.err) == (0, True)
    assert sorted(p.name for p in Path("p").glob("*.rgru")) == ["one.rgru"]
    result = rgru("compress", "p", "-l", 1, "-f")
    assert "2 other files were passed over" in result.err, "results are not among them"
    assert "passed over" not in rgru("compress", "p", "-l", 1, "-f", "-Q").err


def test_asking_for_more_layers_than_there_are(rgru: Rgru, folder: Path) -> None:
    layers = rgru_codec.default_model().iterations
    result = rgru("decompress", "whole.rgru", "-o", "b.png", "-l", 20)
    words = f"{layers} layers, which is all there are (20 were asked for)"
    assert (result.code, words in result.err) == (0, True)


def test_compare_tells_the_bytes_of_so_many_layers(rgru: Rgru, folder: Path, data: bytes) -> None:
    layers = rgru_codec.info(data).layers
    for count in (1, 3):
        words = ("compare", "a.png", "whole.rgru", "--layers", count)
        table = json.loads(rgru(*words, "--json").out)
        assert table["bytes_b"] == layers[count - 1].end
        assert table["bpp_b"] == 8 * layers[count - 1].end / 960
        assert f" {layers[count - 1].end} bytes" in rgru(*words).out
    assert json.loads(rgru("compare", "a.png", "whole.rgru", "--json").out)["bytes_b"] == len(data)
    result = rgru("compare", "a.png", "whole.rgru", "--layers", 20, "--json")
    assert json.loads(result.out)["layers_b"] == len(layers)
    told = f"whole.rgru: has {len(layers)} layers and no more (20 were asked for)"
    assert told in result.err
    result = rgru("compare", "whole.rgru", "a.png", "--layers", 20, "--json")
    table = json.loads(result.out)
    assert (table["layers_a"], table["layers_b"], told in result.err) == (len(layers), None, True)


def test_an_empty_folder_behind_another_input_gets_a_hint(rgru: Rgru, folder: Path) -> None:
    """As ``cp`` has it: ``rgru compress photos/ out/``."""
    Path("out").mkdir()
    result = rgru("compress", "a.png", "out")
    assert (result.code, "if it is for the output, name it with -o" in result.err) == (1, True)
    assert not list(Path("out").iterdir())


def test_a_picture_of_lossy_formats_takes_a_quality(rgru: Rgru, folder: Path) -> None:
    for kind in ("jpg", "webp", "avif"):
        sizes = []
        for quality in (10, 90):
            name = f"q{quality}.{kind}"
            assert rgru("decompress", "whole.rgru", "-o", name, "-q", quality).code == 0
            sizes.append(Path(name).stat().st_size)
        assert sizes[0] < sizes[1], kind
    result = rgru("decompress", "whole.rgru", "-o", "b.png", "-q", 50)
    assert (result.code, "PNG has no quality" in result.err) == (2, True)
    assert rgru("decompress", "whole.rgru", "-o", "b.jpg", "-q", 101).code == 2


@pytest.mark.parametrize(
    ("name", "default", "found"),
    [
        ("picture", None, "PNG"),
        ("photo.2024-05-01", None, "PNG"),
        ("photo.v2", ".webp", "WEBP"),
        ("photo.JPG", ".png", "JPEG"),
        (".gnome_desktop_thumbnail.A1B2C3", ".png", "PNG"),
        (".gnome_desktop_thumbnail.abcdef", ".png", "PNG"),
        (".jpg", None, "JPEG"),
        ("/dev/null", None, "PNG"),
    ],
)
def test_names_that_do_not_say_a_format(name: str, default: str | None, found: str) -> None:
    assert picture_format(name, default) == found


def test_format_holds_where_the_name_does_not_say_it(rgru: Rgru, folder: Path) -> None:
    for name, options, kind in (
        ("picture", (), "PNG"),
        ("picture", ("--format", "webp"), "WEBP"),
        ("photo.2024-05-01", ("--format", "jpg"), "JPEG"),
        ("b.xyz", ("--format", "jpg"), "JPEG"),
        ("b.png", ("--format", "jpg"), "PNG"),
    ):
        assert rgru("decompress", "whole.rgru", "-o", name, *options).code == 0
        with Image.open(name) as image:
            assert image.format == kind
    assert rgru("decompress", "whole.rgru", "-o", "b.xyz").code == 2


PROFILE = ImageCms.ImageCmsProfile(ImageCms.createProfile("sRGB")).tobytes()


def exif(size: int = 0) -> bytes:
    tags = Image.Exif()
    tags[0x010F] = "Cam"
    tags[282], tags[283], tags[296] = 300.0, 300.0, 2
    return tags.tobytes() + bytes(size)


@pytest.mark.parametrize(
    ("kind", "pieces", "kept", "left_out"),
    [
        ("JPEG", {}, {"icc_profile", "exif", "xmp"}, ""),
        ("JPEG", {"xmp": bytes(70_000)}, {"icc_profile", "exif"}, "JPEG cannot hold XMP"),
        ("JPEG", {"exif": exif(70_000)}, {"icc_profile", "xmp"}, "JPEG cannot hold Exif"),
        ("PNG", {"exif": exif(70_000)}, {"icc_profile", "exif", "xmp"}, ""),
        ("WEBP", {}, {"icc_profile", "exif", "xmp"}, ""),
        ("AVIF", {}, {"icc_profile", "exif", "xmp"}, ""),
        (
            "AVIF",
            {"exif": b"Exif\0\0no"},
            {"icc_profile", "xmp"},
            "AVIF cannot hold Exif",
        ),
        ("TIFF", {}, {"icc_profile", "xmp"}, ""),
        (
            "TIFF",
            {"exif": b"Exif\0\0no"},
            {"icc_profile", "xmp"},
            "TIFF cannot hold Exif",
        ),
        *(
            (kind, {}, set[str](), f"{kind} cannot hold the ICC profile, Exif and XMP")
            for kind in ("GIF", "PPM", "BMP", "TGA", "JPEG2000", "QOI")
        ),
    ],
)
@pytest.mark.filterwarnings("ignore:Corrupt EXIF")
def test_only_the_piece_that_a_format_cannot_hold_is_left_out(
    kind: str, pieces: dict[str, bytes], kept: set[str], left_out: str, tmp_path: Path
) -> None:
    image = picture()
    given = {"icc_profile": PROFILE, "exif": exif(), "xmp": b"<x/>"} | pieces
    image.info.update(given)
    content, notes = encode_picture(image, kind)
    said = tuple(note for note in notes if not note.startswith("colours"))
    assert said == ((f"metadata was left out, {left_out}",) if left_out else ())
    (tmp_path / "file").write_bytes(content)
    with Image.open(tmp_path / "file") as back:
        back.load()
        assert {name for name in given if back.info.get(name)} == kept
        if "icc_profile" in kept:
            assert back.info["icc_profile"] == PROFILE
        if kind == "TIFF" and not left_out:
            assert back.getexif()[0x010F] == "Cam"


@pytest.mark.parametrize("kind", ["JPEG", "PNG", "TIFF", "BMP"])
def test_dots_per_inch_are_kept_where_the_format_has_a_place(kind: str, tmp_path: Path) -> None:
    image = picture()
    image.info["exif"] = exif()
    content, _ = encode_picture(image, kind)
    (tmp_path / "file").write_bytes(content)
    with Image.open(tmp_path / "file") as back:
        assert [round(value) for value in back.info["dpi"]] == [300, 300]


@pytest.mark.parametrize(
    ("unit", "said", "kept"), [(2, 72, 72), (3, 72, 183), (1, 72, None), (2, 10**6, None)]
)
def test_dots_per_inch_that_a_picture_is_given(
    unit: int, said: int, kept: int | None, tmp_path: Path
) -> None:
    tags, image = Image.Exif(), picture()
    tags.update({282: float(said), 283: float(said), 296: unit})
    image.info["exif"] = tags.tobytes()
    (tmp_path / "file").write_bytes(encode_picture(image, "PNG")[0])
    with Image.open(tmp_path / "file") as back:
        assert back.info.get("dpi", (None,))[0] == (kept and pytest.approx(kept, abs=0.5))


def test_what_is_left_out_is_said(rgru: Rgru, folder: Path) -> None:
    data = rgru_codec.compress(
        picture(), layers=1, icc_profile=PROFILE, xmp=bytes(70_000), keep_icc=True
    )
    Path("m.rgru").write_bytes(data)
    result = rgru("decompress", "m.rgru", "-o", "m.jpg")
    words = "rgru: m.rgru: metadata was left out, JPEG cannot hold XMP"
    assert (result.code, words in result.err) == (0, True)
    with Image.open("m.jpg") as image:
        assert image.info["icc_profile"] == PROFILE
    assert rgru("decompress", "m.rgru", "-o", "m.jpg", "-Q").err == ""


@pytest.mark.filterwarnings("ignore:Corrupt EXIF")
def test_exif_that_nobody_can_follow_costs_no_picture(rgru: Rgru, folder: Path) -> None:
    """TIFF and AVIF of Pillow raise SyntaxError on it."""
    for number, exif_data in enumerate((b"II*\0" + b"\xff" * 20, b"MM\0*\0\0\0\x08\xff\xff")):
        data = rgru_codec.compress(picture(), layers=1, exif=exif_data)
        Path("m.rgru").write_bytes(data)
        for suffix in ("tiff", "avif", "png", "jpg", "webp"):
            result = rgru("decompress", "m.rgru", "-o", f"m{number}.{suffix}")
            assert result.code == 0, result.err
            assert "bug" not in result.err
            with Image.open(f"m{number}.{suffix}") as image:
                assert image.size == (40, 24)


@pytest.mark.parametrize("command", ["compress", "decompress"])
def test_progress_within_a_picture(
    rgru: Rgru, folder: Path, monkeypatch: pytest.MonkeyPatch, command: str
) -> None:
    from rgru_codec.cli import progress

    seen: list[float] = []

    class Listening(progress.Progress):
        def within(self, job: object) -> progress.Share:
            return seen.append

    monkeypatch.setattr("rgru_codec.cli.batch.Progress", Listening)
    assert rgru(command, "a.png" if command == "compress" else "whole.rgru", "-f").code == 0
    assert len(seen) > rgru_codec.default_model().iterations
    assert seen == sorted(seen)
    assert 0 < seen[0] < 0.6
    assert 0.9 <= seen[-1] <= 1.0 or command == "decompress"


def test_the_bar_shows_bytes_and_time_left(folder: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    import time

    from rgru_codec.cli.files import Job
    from rgru_codec.cli.progress import Progress

    terminal = Terminal()
    monkeypatch.setattr(sys, "stderr", terminal)
    job = Job("whole.rgru", "a.png", True)
    bar = Progress([job], delay=0)
    time.sleep(0.15)
    bar.within(job)(0.5)
    assert " 50%|" in terminal.getvalue()
    assert "B/s" in terminal.getvalue()
    assert "<00:0" in terminal.getvalue(), "time left"
    bar.close()


@pytest.mark.skipif(sys.platform == "win32", reason="terminals of POSIX")
def test_the_bar_is_drawn_on_a_terminal_that_does_not_tell_its_size(folder: Path) -> None:
    import pty
    import subprocess

    from .conftest import environment

    script = """
import time
from rgru_codec.cli.files import Job
from rgru_codec.cli.progress import Progress
job = Job("whole.rgru", "a.png", True)
bar = Progress([job], delay=0.1)
time.sleep(0.3)
bar.within(job)(0.5)
bar.close()
"""
    ours, theirs = pty.openpty()
    subprocess.run([sys.executable, "-c", script], env=environment(), stderr=theirs, check=True)
    os.close(theirs)
    drawn = os.read(ours, 4096).decode()
    os.close(ours)
    assert " 50%|" in drawn


def test_a_large_file_that_is_no_picture_is_not_read(rgru: Rgru, folder: Path) -> None:
    with Path("huge").open("wb") as file:
        file.truncate(1 << 40)  # more than any memory has
    for words in (("compress", "huge", "-o", "b.rgru"), ("compare", "a.png", "huge")):
        result = rgru(*words)
        assert (result.code, "huge: is not a picture of a known format" in result.err) == (1, True)


@pytest.mark.parametrize("command", ["info", "verify", "decompress", "thumbnail"])
def test_a_large_file_of_another_kind_is_not_read(
    rgru: Rgru, folder: Path, data: bytes, command: str
) -> None:
    """3 GB that are no .rgru file used to be read, twice."""
    import resource

    def peak() -> int:
        return resource.getrusage(resource.RUSAGE_SELF).ru_maxrss

    names = {"huge": b"", "tail.rgru": data}
    for name, start in names.items():
        with Path(name).open("wb") as file:
            file.write(start)
            file.truncate(3 << 30)
    before = peak()
    output = {"decompress": ("-o", "b.png"), "thumbnail": ("t.png",)}.get(command, ())
    result = rgru(command, "huge", *output)
    assert (result.code, "huge: not a .rgru file" in result.err) == (1, True)
    rgru(command, "tail.rgru", *output)
    unit = 1 if sys.platform == "darwin" else 1024
    assert (peak() - before) * unit < 300e6


def test_bytes_behind_the_last_layer_cost_no_picture(rgru: Rgru, folder: Path, data: bytes) -> None:
    Path("z.rgru").write_bytes(data + bytes(5000))
    result = rgru("decompress", "z.rgru")
    words = "what stands behind the end of the picture was ignored"
    assert (result.code, words in result.err) == (0, True)
    with Image.open("z.png") as image:
        assert np.array_equal(np.asarray(image), np.asarray(rgru_codec.decompress(data)))
    assert words not in rgru("decompress", "whole.rgru", "-f").err


def test_environment_variable_is_looked_at_by_workers_too(
    folder: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    from .conftest import process

    model = rgru_codec.default_model()
    shutil.copytree(model.folder, folder / "mine" / model.id.hex())
    monkeypatch.setenv("RGRU_MODELS", str(folder / "mine"))
    picture(seed=3).save("c.png")
    result = process("compress", "a.png", "c.png", "-l", 1, "-j", 2, cwd=folder)
    assert result.returncode == 0, result.stderr.decode()
    assert os.path.exists("c.rgru")  # noqa: PTH110 (the working folder)


@pytest.mark.skipif(not Path("/dev/zero").exists(), reason="there is no endless file here")
@pytest.mark.parametrize(
    ("words", "code"),
    [
        (("compress", "/dev/zero", "-o", "z.rgru"), 1),
        (("compare", "/dev/zero", "a.png"), 1),
        (("compress", "a.png", "-o", "z.rgru", "--exif", "/dev/zero"), 4),
        (("compress", "a.png", "-o", "z.rgru", "--xmp", "/dev/zero"), 4),
        (("compress", "a.png", "-o", "z.rgru", "--icc", "/dev/zero"), 4),
    ],
)
def test_an_endless_file_is_not_read_to_its_end(
    rgru: Rgru, folder: Path, words: tuple[str, ...], code: int
) -> None:
    assert rgru(*words).code == code
    assert not Path("z.rgru").exists()


def test_a_file_in_the_way_of_a_folder_is_named(rgru: Rgru, folder: Path) -> None:
    before = Path("a.png").read_bytes()
    for force in ([], ["--force"]):
        result = rgru("decompress", "whole.rgru", "--steps", "a.png", *force)
        assert (result.code, "a.png: cannot be made, a file is in the way" in result.err) == (1, 1)
    assert Path("a.png").read_bytes() == before


def test_large_pictures_are_read_from_a_stream(rgru: Rgru, folder: Path) -> None:
    """Those with a signature, and one without."""
    from rgru_codec.cli.pictures import read_picture

    for name in ("large.bmp", "large.tga", "large.tiff"):
        Image.new("RGB", (2600, 2200)).save(name)
        assert len(read_picture(name)) == Path(name).stat().st_size > 2**24


@pytest.mark.parametrize("kind", ["AVIF", "GIF", "JPEG"])
def test_exif_that_says_upright_and_no_more_is_not_missed(kind: str) -> None:
    """AVIF has a place of its own for it, and GIF means it."""
    tags = Image.Exif()
    tags[0x0112] = 1
    image = picture()
    image.info["exif"] = tags.tobytes()
    assert not any("metadata" in note for note in encode_picture(image, kind)[1])
