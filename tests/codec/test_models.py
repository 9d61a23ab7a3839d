"""Model packages: what their id covers, where they are looked for, what damage does."""

from __future__ import annotations

import contextlib
import importlib.metadata
import json
import shutil
import zipfile
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from numpy.typing import NDArray

import rgru_codec
from rgru_codec import models, packages
from rgru_codec.iterations import encode
from rgru_codec.models import Model, find_model
from rgru_codec.runtime.reference import Reference
from rgru_codec.runtime.weights import Array, pack_arrays, unpack_arrays
from rgru_format import Damaged, InvalidInput, ModelMissing, RgruError
from tools import tiny_model as made

from .conftest import photo


@pytest.fixture
def package(made_model: Model, tmp_path: Path) -> Path:
    """A copy of a package, to be spoilt, in a home of its own."""
    return Path(shutil.copytree(made_model.folder, tmp_path / "home" / made_model.folder.name))


@pytest.fixture(autouse=True)
def no_packages_of_the_user(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[None]:
    monkeypatch.delenv(models.VARIABLE, raising=False)
    monkeypatch.setattr(models, "user_home", lambda: tmp_path / "user")
    monkeypatch.setattr(packages, "user_home", lambda: tmp_path / "user")
    models._find.cache_clear()
    yield
    models._find.cache_clear()


def test_the_id_covers_the_decoding_half_and_no_encoder(package: Path) -> None:
    before = Model.load(package)
    assert package.name == before.id.hex() == before.digest[:4].hex()
    (package / "encoder-smaller.safetensors").unlink()
    (package / "encoder.safetensors").write_bytes(b"another")
    assert Model.load(package).digest == before.digest
    for name in models.DECODING_HALF:
        content = (package / name).read_bytes()
        (package / name).write_bytes(content + b" ")
        with pytest.raises(Damaged, match="its files give the id"):
            Model.load(package)
        (package / name).write_bytes(content)


def test_files_of_both_encoders_decode_and_say_nothing_of_them(made_model: Model) -> None:
    pixels = photo(48, 40)
    found = []
    for name in ("default", "smaller"):
        codes, shown = [], None
        for layer, painter in encode(made_model, pixels, encoder=name):
            codes.append(layer)
            shown = painter.show()
        data = rgru_codec.compress(pixels, model=made_model, encoder=name)
        assert rgru_codec.info(data).header.model_id == made_model.id
        assert name.encode() not in data
        decoded = rgru_codec.decompress(data, model=made_model)
        np.testing.assert_array_equal(np.asarray(decoded), shown)
        found.append(codes)
    assert any((a != b).any() for a, b in zip(*found, strict=True))


def test_an_encoder_that_is_not_there_is_named(made_model: Model) -> None:
    with pytest.raises(InvalidInput, match=r"no encoder 'best'; it has: default, smaller"):
        rgru_codec.compress(photo(16, 16), model=made_model, encoder="best")


def test_a_model_without_encoders_opens_files_and_says_what_new_ones_need(package: Path) -> None:
    data = rgru_codec.compress(photo(16, 16), layers=1, model=Model.load(package))
    for path in package.glob("encoder*"):
        path.unlink()
    model = Model.load(package)
    assert rgru_codec.decompress(data, model=model).size == (16, 16)
    with pytest.raises(InvalidInput, match="its files open, but new ones need another model"):
        rgru_codec.compress(photo(16, 16), model=model)


def test_an_encoder_of_another_model_is_refused(made_model: Model, tmp_path: Path) -> None:
    other = made.write(tmp_path / "other", seed=5)
    assert other.id != made_model.id
    shutil.copy(made_model.folder / "encoder.safetensors", other.folder)
    with pytest.raises(InvalidInput, match=f"an encoder of model {made_model.id.hex()}"):
        other.encoder()


def test_models_are_looked_for_where_the_variable_says(
    package: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    model_id = bytes.fromhex(package.name)
    with pytest.raises(ModelMissing, match="install it with: rgru models add FILE"):
        find_model(model_id)
    for place in (package, package.parent):
        monkeypatch.setenv(models.VARIABLE, f"/nowhere:{place}")
        assert find_model(model_id).folder == package
    monkeypatch.setenv(models.VARIABLE, str(package))
    assert models.default_model().id == model_id
    pixels = photo(32, 32)
    data = rgru_codec.compress(pixels)
    assert rgru_codec.info(data).header.model_id == model_id
    assert rgru_codec.decompress(data).size == (32, 32)


def test_only_folders_that_files_can_find_are_listed(
    package: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """A folder of another name was listed, though no file that needs it could be opened."""
    shutil.copytree(package, tmp_path / "homes" / "other")
    monkeypatch.setenv(models.VARIABLE, str(tmp_path / "homes"))
    assert tmp_path / "homes" / "other" not in list(models.folders())
    shutil.copytree(package, tmp_path / "homes" / package.name)
    assert tmp_path / "homes" / package.name in list(models.folders())
    assert find_model(bytes.fromhex(package.name)).folder == tmp_path / "homes" / package.name


def test_a_damaged_package_of_another_model_does_not_stop_the_search(
    package: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Its error came for every file, those of the model that ships too."""
    data = rgru_codec.compress(photo(16, 16), layers=1)
    (package / models.WEIGHTS_FILE).write_bytes(b"damaged")
    monkeypatch.setenv(models.VARIABLE, str(package))
    models._find.cache_clear()
    assert rgru_codec.decompress(data).size == (16, 16)
    with pytest.raises(Damaged, match="its files give the id"):
        find_model(bytes.fromhex(package.name))
    with pytest.raises(ModelMissing, match=f"passed over: {package}: damaged"):
        find_model(bytes(4))


def test_distributions_announce_packages(package: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    class Point:
        def load(self) -> object:
            return type("module", (), {"__file__": str(package.parent / "__init__.py")})

    class Broken:
        def load(self) -> object:
            raise ImportError("gone")

    points = [Broken(), Point()]
    monkeypatch.setattr(importlib.metadata, "entry_points", lambda group: points)
    assert find_model(bytes.fromhex(package.name)).folder == package


def test_a_package_is_installed_from_a_zip_a_folder_and_a_file(
    made_model: Model, package: Path, tmp_path: Path
) -> None:
    archive = tmp_path / "made.zip"
    archive.write_bytes(packages.pack(made_model))
    home = tmp_path / "user"
    smaller = made_model.folder / "encoder-smaller.safetensors"
    with pytest.raises(ModelMissing):
        packages.add(smaller)
    for source in (archive, package):
        shutil.rmtree(home, ignore_errors=True)
        models._find.cache_clear()
        assert packages.add(source) == home / package.name
        assert find_model(made_model.id).digest == made_model.digest
        assert sorted(path.name for path in home.iterdir()) == [package.name]
    (home / package.name / smaller.name).unlink()
    assert packages.add(smaller) == home / package.name / smaller.name
    assert list(find_model(made_model.id).encoders()) == ["default", "smaller"]


def test_a_package_whose_networks_the_reference_does_not_confirm_is_not_installed(
    package: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    class Other(Reference):
        @contextlib.contextmanager
        def step(self, *args: Any) -> Iterator[dict[str, Array]]:
            with super().step(*args) as outputs:
                yield {name: 1.01 * values for name, values in outputs.items()}

    monkeypatch.setattr(packages, "best_engine", lambda: Other)
    for source in (package, package / "encoder.safetensors"):
        monkeypatch.setenv(models.VARIABLE, str(package.parent))
        with pytest.raises(InvalidInput, match="engines differ by"):
            packages.add(source)
        assert not list((tmp_path / "user").glob("*/*"))


@pytest.mark.parametrize("name", ["model.json", "decoder.safetensors", "context.bin"])
def test_a_package_without_a_file_is_not_installed(
    made_model: Model, tmp_path: Path, name: str
) -> None:
    archive = tmp_path / "cut.zip"
    with zipfile.ZipFile(archive, "w") as file:
        for path in made_model.folder.iterdir():
            if path.name != name:
                file.write(path, path.name)
    with pytest.raises(InvalidInput, match=f"{name} is missing"):
        packages.add(archive)
    assert not (tmp_path / "user").exists()


@pytest.mark.parametrize("content", [b"", b"PK\x03\x04", b"\x89PNG\r\n\x1a\n"])
def test_what_is_no_package_is_not_installed(tmp_path: Path, content: bytes) -> None:
    (tmp_path / "a.zip").write_bytes(content)
    with pytest.raises(InvalidInput, match="not a model package"):
        packages.add(tmp_path / "a.zip")
    with pytest.raises(FileNotFoundError):
        packages.add(tmp_path / "nothing.zip")


def test_every_flipped_byte_of_an_installed_model_is_seen(package: Path) -> None:
    """Whatever the damage: an error of ours, never another picture."""
    rng = np.random.default_rng(0)
    with pytest.MonkeyPatch.context() as patch:
        patch.setenv(models.VARIABLE, str(package.parent))
        for name in models.DECODING_HALF:
            content = bytearray((package / name).read_bytes())
            for place in [0, 8, len(content) - 1, *rng.integers(0, len(content), 20)]:
                damaged = bytearray(content)
                damaged[place] ^= 1 << int(rng.integers(8))
                (package / name).write_bytes(damaged)
                models._find.cache_clear()
                with pytest.raises(RgruError):
                    find_model(bytes.fromhex(package.name)).context()
            (package / name).write_bytes(content)


def test_another_model_under_the_id_of_a_released_one_is_refused(
    package: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    released = {package.name: {"sha256": "00" * 32, "name": "made"}}
    monkeypatch.setattr(models, "_released", lambda: released)
    with pytest.raises(Damaged, match="not the released model"):
        Model.load(package)


def test_a_missing_released_model_says_what_to_type(monkeypatch: pytest.MonkeyPatch) -> None:
    line = "pip install rgru-model-compact"
    monkeypatch.setattr(models, "_released", lambda: {"01020304": {"install": line}})
    with pytest.raises(ModelMissing, match=f"needs model 01020304.*install it with: {line}"):
        find_model(bytes([1, 2, 3, 4]))


BAD_TABLES = [
    ("[]", "not a table"),
    ("{", "not a table"),
    ("[" * 10000, "not a table"),
    ("{}", "codes is not a list"),
    ({"codes": [8, 12, 20, 1025]}, "channels come in pairs"),
    ({"codes": [8, 12, 20, 24.0]}, "codes is not a list"),
    ({"codes": [8] * 65}, "codes is not a list of 1 to 64 "),
    ({"decoder": []}, "does not begin with an rnn layer"),
    ({"decoder": None}, "not a list of layers"),
    ({"decoder": [{"kind": "lstm", "depth": 8}]}, "no layer of kind 'lstm'"),
    ({"decoder": [{"kind": "rnn"}]}, "depth"),
    ({"decoder": [{"kind": "rnn", "depth": 12, "stride": 2}]}, "32 pixels between positions"),
    ({"decoder": [{"kind": "rnn", "depth": 10**9}]}, "depth = 1000000000 does not fit"),
    ({"decoder": [{"kind": "rnn", "depth": 12, "size": 3}]}, "size = 3 does not fit"),
    ({"decoder": [*made.TABLE["decoder"], {"kind": "picture"}]}, "only the painter joins"),
    ({"painter": [{"kind": "conv", "depth": 3}]}, "does not end in pixels"),
    ({"painter": [{"kind": "depth_to_space", "factor": 5}]}, "depth_to_space by 5"),
    ({"codes": [8, 12, 20, 26]}, "has shape"),
]


@pytest.mark.parametrize(("change", "words"), BAD_TABLES)
def test_tables_that_do_not_fit_are_errors_of_ours(
    package: Path, change: str | dict[str, object], words: str
) -> None:
    text = change if isinstance(change, str) else json.dumps({**made.TABLE, **change})
    spoilt = package.rename(package.with_name("spoilt"))  # a name that promises no id
    (spoilt / "model.json").write_text(text)
    with pytest.raises(InvalidInput, match=words):
        Model.load(spoilt)


def test_weights_are_read_back_as_they_were_written() -> None:
    arrays: dict[str, NDArray[Any]] = {
        "b": np.array([[1.5, -2.0]], np.float32),
        "a": np.array([3.0], np.float16),
        "none": np.zeros((0, 2), "f"),
    }
    data = pack_arrays(arrays, {"name": "x"})
    found, words = unpack_arrays(data, "w")
    assert words == {"name": "x"}
    assert found.keys() == arrays.keys()
    for name, values in arrays.items():
        np.testing.assert_array_equal(found[name], values)
        assert found[name].dtype == np.float32
    assert len(data) % 2 == 0
    safetensors = pytest.importorskip("safetensors.numpy")
    for name, values in safetensors.load(data).items():
        np.testing.assert_array_equal(values, arrays[name])


def test_cut_and_strange_weights_are_errors_of_ours() -> None:
    data = pack_arrays({"a": np.ones((2, 3), np.float32), "b": np.ones(2, np.float16)})
    for size in range(len(data)):
        with pytest.raises(InvalidInput, match="not a file of weights"):
            unpack_arrays(data[:size], "w")
    start = int.from_bytes(data[:8], "little")

    def with_table(text: str) -> bytes:
        return len(text).to_bytes(8, "little") + text.encode() + data[8 + start :]

    row = '{"dtype":"F32","shape":%s,"data_offsets":%s}'
    for shape, offsets in [("[-1]", "[0,4]"), ("[9]", "[0,4]"), ("[1]", "[4,0]"), ("[1]", "[0]"),
                           ("[4611686018427387904,4]", "[0,28]"), ("7", "[0,28]")]:  # fmt: skip
        with pytest.raises(InvalidInput, match="not a file of weights"):
            unpack_arrays(with_table('{"a":' + row % (shape, offsets) + "}"), "w")
    nan = pack_arrays({"a": np.array([np.nan], np.float32)})
    with pytest.raises(InvalidInput, match="not finite"):
        unpack_arrays(nan, "w")


def test_of_models_of_one_name_the_default_one_is_meant(
    monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    """Models of later versions share a name; the order of their ids says nothing."""
    monkeypatch.setattr(models, "WEIGHTS", tmp_path)
    for name in ("00000001", "00000002", "00000003"):
        (tmp_path / name).mkdir()
        (tmp_path / name / models.TABLE).write_text("{}")
    (tmp_path / "default").write_text("00000002\n")
    shipped = [folder.name for folder in models.folders() if folder.parent == tmp_path]
    assert shipped == ["00000002", "00000001", "00000003"]
