"""Desktop files: file(1) knows our pictures, MIME type and thumbnailer are sound."""

from __future__ import annotations

import configparser
import os
import shutil
import subprocess
import xml.etree.ElementTree as ElementTree
from pathlib import Path

import pytest
from PIL import Image

import rgru_codec
from rgru_codec.pillow import MIME
from rgru_format import SIGNATURE

from .conftest import ROOT, Rgru, picture

DESKTOP = ROOT / "format" / "desktop"
pytestmark = pytest.mark.skipif(
    not DESKTOP.is_dir(), reason="the desktop files are part of a checkout"
)


def file_says(path: Path, *options: str) -> str:
    command = ["file", "--brief", "-m", str(DESKTOP / "rgru.magic"), *options, str(path)]
    return subprocess.run(command, capture_output=True, text=True, check=True).stdout.strip()


@pytest.mark.skipif(shutil.which("file") is None, reason="file(1) is not installed")
@pytest.mark.parametrize(
    ("size", "mode", "words"),
    [
        ((40, 24), "RGB", "rgru image data, 40 x 24, 8-bit RGB, format version 1"),
        ((70_001, 9), "L", "rgru image data, 70001 x 9, 8-bit grey, format version 1"),
        ((3, 300), "RGBA", "rgru image data, 3 x 300, 8-bit RGB with alpha, format version 1"),
    ],
)
def test_file_knows_our_pictures(
    size: tuple[int, int], mode: str, words: str, tmp_path: Path
) -> None:
    path = tmp_path / "a"
    image = Image.new(mode, size) if max(size) > 1000 else picture(*size).convert(mode)
    path.write_bytes(rgru_codec.compress(image, layers=1))
    assert file_says(path) == words
    assert file_says(path, "--mime-type") == MIME


def test_mime_type() -> None:
    root = ElementTree.parse(DESKTOP / "rgru.xml").getroot()
    space = "{http://www.freedesktop.org/standards/shared-mime-info}"
    kind = root.find(f"{space}mime-type")
    match = root.find(f".//{space}match")
    assert kind is not None
    assert match is not None
    assert kind.get("type") == MIME
    assert match.get("value", "").encode().decode("unicode_escape").encode("latin-1") == SIGNATURE


def documented() -> list[str]:
    """The commands that docs/cli.md gives for desktops."""
    page = (ROOT / "docs" / "cli.md").read_text("utf-8")
    lines = page[page.index("For desktops") :].splitlines()
    return [line.strip() for line in lines if line.startswith("    ")]


def test_commands_for_desktops_are_documented() -> None:
    assert [line.split()[0] for line in documented()] == ["xdg-mime", "mkdir", "cp", "file"]


@pytest.mark.parametrize("tool", ["xdg-mime", "cp", "file"])
def test_the_documented_commands_for_desktops_work(tool: str, tmp_path: Path, data: bytes) -> None:
    for needed in {"xdg-mime": ("xdg-mime", "update-mime-database")}.get(tool, (tool,)):
        if shutil.which(needed) is None:
            pytest.skip(f"{needed} is not installed: the documented command cannot be tried")
    home = tmp_path / "home"
    (home / ".local" / "share").mkdir(parents=True)
    shutil.copytree(DESKTOP, tmp_path / "format" / "desktop")
    (tmp_path / "photo.rgru").write_bytes(data)
    lines = [line for line in documented() if line.split()[0] in (tool, "mkdir")]
    variables = {"HOME": str(home), "XDG_DATA_HOME": str(home / ".local/share")}
    variables["XDG_UTILS_INSTALL_MODE"] = "user"  # root would install for all
    result = subprocess.run(
        ["sh", "-e", "-c", "\n".join(lines)],
        cwd=tmp_path,
        env={**os.environ, **variables},
        capture_output=True,
        text=True,
        check=False,
    )
    assert result.returncode == 0, result.stderr
    if tool == "xdg-mime":
        found = (home / ".local/share/mime/globs2").read_text()
        assert f"{MIME}:*.rgru" in found
        assert (home / ".local/share/mime/image/x-rgru.xml").is_file()
    elif tool == "cp":
        assert (home / ".local/share/thumbnailers/rgru.thumbnailer").is_file()
    else:
        assert "rgru image data, 40 x 24" in result.stdout


def test_thumbnails_get_the_names_that_desktops_make_up(rgru: Rgru, folder: Path) -> None:
    """GNOME makes the file itself, under a random suffix."""
    for name in (".gnome_desktop_thumbnail.A1B2C3", ".gnome_desktop_thumbnail.webpxy", "no.suffix"):
        Path(name).touch()
        assert rgru("thumbnail", "--quiet", "--size", 16, "whole.rgru", name).code == 0
        with Image.open(name) as image:
            assert (image.format, image.size) == ("PNG", (16, 10))


def test_thumbnailer(rgru: Rgru, folder: Path) -> None:
    entry = configparser.ConfigParser(interpolation=None)
    entry.read(DESKTOP / "rgru.thumbnailer")
    section = entry["Thumbnailer Entry"]
    assert section["MimeType"] == f"{MIME};"
    places = {"%s": "16", "%i": "whole.rgru", "%o": "thumb"}
    program, *arguments = [places.get(word, word) for word in section["Exec"].split()]
    assert program == section["TryExec"] == "rgru"
    result = rgru(*arguments)
    assert (result.code, result.err) == (0, "")
    with Image.open("thumb") as image:
        assert (image.format, image.size) == ("PNG", (16, 10))
