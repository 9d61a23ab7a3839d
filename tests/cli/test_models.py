"""``rgru models``, ``--model`` and ``--encoder``."""

from __future__ import annotations

import os
import shutil
from pathlib import Path

import pytest

from rgru_codec import models, packages
from rgru_codec.models import Model
from rgru_codec.packages import pack
from rgru_format import InvalidInput
from tools import tiny_model as made

from .conftest import Rgru, picture

SHIPPED = len(list(models.WEIGHTS.glob(f"*/{models.TABLE}")))
"""Models in the package."""


@pytest.fixture(scope="module")
def model(tmp_path_factory: pytest.TempPathFactory) -> Model:
    """A small model of random numbers, in a folder of its own."""
    return made.write(tmp_path_factory.mktemp("models"))


@pytest.fixture(autouse=True)
def own_home(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv(models.VARIABLE, "")
    monkeypatch.setattr(models, "user_home", lambda: tmp_path / "home")
    monkeypatch.setattr(packages, "user_home", lambda: tmp_path / "home")
    models._find.cache_clear()


@pytest.mark.parametrize("name", ["model.json", "context.bin", "encoder.safetensors", "link"])
def test_no_file_of_a_model_is_overwritten(
    rgru: Rgru, model: Model, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, name: str
) -> None:
    """``-f`` did so: the model in use was lost."""
    monkeypatch.chdir(tmp_path)
    picture(40, 32).save("a.png")
    shutil.copytree(model.folder, "M")
    Path("link").symlink_to(Path("M", "context.bin"))
    before = {path: path.read_bytes() for path in Path("M").iterdir()}
    target = name if name == "link" else Path("M", name)
    for option in (("-o", target, "-f"), ("--failures", target)):
        result = rgru("compress", "a.png", "--model", "M", *option)
        assert (result.code, f"{target}: is part of a model" in result.err) == (2, True)
    assert {path: path.read_bytes() for path in Path("M").iterdir()} == before


def test_a_file_of_a_missing_model_ends_with_what_to_type(
    rgru: Rgru, model: Model, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.chdir(tmp_path)
    picture(40, 32).save("a.png")
    assert rgru("compress", "a.png", "-l", 2, "--model", model.folder).code == 0
    monkeypatch.setenv(models.VARIABLE, "")
    for command in (("decompress", "a.rgru", "-o", "b.png"), ("thumbnail", "a.rgru", "b.png")):
        result = rgru(*command)
        assert result.code == 5
        assert f"needs model {model.id.hex()}, which is not installed" in result.err
        assert result.err.rstrip().endswith("install it with: rgru models add FILE")
        assert not Path("b.png").exists()
    assert rgru("decompress", "a.rgru", "-o", "b.png", "--model", model.folder).code == 0
    assert "(tiny)" in rgru("info", "a.rgru", "--model", model.folder).out
    monkeypatch.setenv(models.VARIABLE, "")
    Path("made.zip").write_bytes(pack(model))
    assert rgru("models", "add", "made.zip").code == 0
    assert rgru("decompress", "a.rgru", "-o", "c.png").code == 0
    assert Path("b.png").read_bytes() == Path("c.png").read_bytes()
    listed = rgru("models").out.splitlines()
    assert listed[0].startswith(f"{model.id.hex()}  tiny  4 layers  encoders: default, smaller")
    assert [line.endswith("(default)") for line in listed[1:]] == [True] + [False] * (SHIPPED - 1)
    assert "sound" in rgru("models", "verify", "tiny").out


def test_encoders_are_chosen_by_name(
    rgru: Rgru, model: Model, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.chdir(tmp_path)
    picture(40, 32).save("a.png")
    files = []
    for name in ("default", "smaller"):
        target = f"{name}.rgru"
        options = ("--model", model.folder, "--encoder", name)
        assert rgru("compress", "a.png", "-o", target, *options).code == 0
        assert rgru("decompress", target, "--model", model.folder).code == 0
        files.append(Path(target).read_bytes())
    assert files[0] != files[1]
    result = rgru("compress", "a.png", "-o", "x.rgru", "--model", model.folder, "--encoder", "x")
    assert result.code == 2
    assert "has no encoder 'x'; it has: default, smaller" in result.err


@pytest.mark.parametrize("name", ["model.json", "decoder.safetensors", "context.bin"])
def test_damaged_models_are_told_and_do_not_hinder_others(
    rgru: Rgru, model: Model, tmp_path: Path, name: str
) -> None:
    home = tmp_path / "home" / model.id.hex()
    home.mkdir(parents=True)
    for path in model.folder.iterdir():
        (home / path.name).write_bytes(path.read_bytes())
    (home / name).write_bytes(b"{}")
    for command in (("models",), ("models", "verify")):
        result = rgru(*command)
        assert result.code != 0
        assert str(home) in result.err
        assert "bug" not in result.err
        assert len(result.out.splitlines()) == SHIPPED


def test_help_says_what_happens_without_an_action(rgru: Rgru) -> None:
    words = rgru("models", "--help").out
    assert words.startswith("usage: rgru models [-h] [ACTION ...]\n")
    assert "Without an action: list the models at hand" in words
    assert rgru("models", "add", "--help").out.startswith("usage: rgru models add [-h] FILE")


def test_what_is_no_model_is_not_installed(rgru: Rgru, tmp_path: Path) -> None:
    (tmp_path / "a.zip").write_bytes(b"PK")
    result = rgru("models", "add", tmp_path / "a.zip")
    assert (result.code, "not a model package" in result.err) == (2, True)
    result = rgru("models", "add", tmp_path / "missing.zip")
    assert (result.code, result.err) == (
        1,
        f"rgru: no such file or directory: {tmp_path}/missing.zip\n",
    )
    assert rgru("models", "verify", "nothing").code == 2


COMMANDS = [
    ("compress", "a.png", "-o", "b.rgru"),
    ("decompress", "a.rgru", "-o", "b.png"),
    ("info", "a.rgru"),
    ("thumbnail", "a.rgru", "b.png"),
    ("verify", "a.rgru"),
    ("compare", "a.png", "a.rgru"),
]


@pytest.mark.parametrize("words", COMMANDS, ids=lambda words: words[0])
def test_every_command_on_files_takes_a_model(
    rgru: Rgru, model: Model, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, words: tuple[str]
) -> None:
    monkeypatch.chdir(tmp_path)
    picture(40, 32).save("a.png")
    assert rgru("compress", "a.png", "-l", 1, "--model", model.folder).code == 0
    result = rgru(*words, "--model", model.folder)
    assert (result.code, "not installed" in result.out + result.err) == (0, False)
    result = rgru(*words, "--model", "01020304")
    assert result.code == 5
    assert result.err == (
        "rgru: --model 01020304: is not installed; install it with: rgru models add FILE\n"
    )


@pytest.mark.parametrize("words", COMMANDS, ids=lambda words: words[0])
def test_a_variable_that_names_no_model_is_told(
    rgru: Rgru, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, words: tuple[str]
) -> None:
    """It was passed over: pictures were compressed with another model, without a word."""
    monkeypatch.chdir(tmp_path)
    picture(40, 32).save("a.png")
    assert rgru("compress", "a.png", "-l", 1).code == 0
    monkeypatch.setenv(models.FIRST, "compact")
    assert rgru(*words).code == 0
    monkeypatch.setenv(models.FIRST, "/typo")
    result = rgru(*words)
    assert (result.code, "RGRU_MODEL: /typo: neither the folder" in result.err) == (2, True)
    with pytest.raises(InvalidInput, match="RGRU_MODEL: /typo"):
        models.default_model()


def test_who_misses_a_model_is_told_of_a_folder_that_is_not_there(
    rgru: Rgru, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """A wrong RGRU_MODELS was passed over, and the model said to be missing."""
    from rgru_format import Header

    monkeypatch.chdir(tmp_path)
    picture(40, 32).save("a.png")
    Path("x.rgru").write_bytes(Header(8, 8, b"none").pack())
    monkeypatch.setenv(models.VARIABLE, os.pathsep.join([str(tmp_path), "typo"]))
    words = "; RGRU_MODELS names typo, which is not there\n"
    for command in (
        ("decompress", "x.rgru"),
        ("compress", "a.png", "--model", "nano"),
        ("compress", "a.png", "--model", "01020304"),
    ):
        assert rgru(*command).err.endswith(words)
    assert rgru("compress", "a.png", "-l", 1).code == 0


def test_of_a_damaged_model_nothing_is_said_of_the_file(
    rgru: Rgru, model: Model, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.chdir(tmp_path)
    picture(40, 32).save("a.png")
    assert rgru("compress", "a.png", "-l", 1, "--model", model.folder).code == 0
    home = shutil.copytree(model.folder, tmp_path / "home" / model.id.hex())
    (home / "context.bin").write_bytes(b"x")
    result = rgru("decompress", "a.rgru", "-o", "b.png")
    assert (result.code, result.err.endswith("; install the model again\n")) == (1, True)
    assert "--partial" not in result.err


@pytest.mark.skipif(os.pathsep != ":", reason="where folders of a list are parted by colons")
def test_the_folder_of_a_model_may_hold_a_colon(
    rgru: Rgru, model: Model, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """``--model`` reaches other processes by a variable: one that is not taken apart."""
    monkeypatch.chdir(tmp_path)
    place = Path("12:30:00") / model.id.hex()
    shutil.copytree(model.folder, place)
    for name in ("a.png", "b.png"):
        picture(40, 32).save(name)
    assert rgru("compress", "a.png", "b.png", "-j", 2, "-l", 1, "--model", place).code == 0
    result = rgru("decompress", "a.rgru", "b.rgru", "-j", 2, "-o", "out/", "--model", place)
    assert result.code == 0, result.err
    assert rgru("info", "a.rgru", "--model", place).out.count("not installed") == 0
    assert models.FIRST not in os.environ
    assert rgru("decompress", "a.rgru", "-o", "c.png").code == 5


@pytest.mark.parametrize("part", ["context.bin", "decoder.safetensors", "model.json"])
def test_a_package_that_is_damaged_is_named_as_the_user_named_it(
    rgru: Rgru, model: Model, tmp_path: Path, part: str
) -> None:
    """Not by the folder in which it was tried."""
    bad = tmp_path / "bad"
    shutil.copytree(model.folder, bad)
    (bad / part).write_bytes((bad / part).read_bytes()[:-1] + b"x")
    for command in (("models", "add", bad), ("models", "verify", bad)):
        result = rgru(*command)
        assert result.code in (1, 2)
        assert str(bad) in result.err, result.err
        assert ".new-" not in result.err
