"""The conformance vectors: what they hold, and that they stay as they are."""

from __future__ import annotations

import hashlib
import json
from pathlib import Path

import pytest

from rgru_format import ContextModel, InvalidInput, ModelMissing, coder
from rgru_format.conformance import VECTORS, run_vectors


def sums() -> list[str]:
    return (VECTORS / "SHA256SUMS.not-frozen").read_text().splitlines(keepends=True)


def test_every_file_is_listed_with_its_hash() -> None:
    lines = [line.rstrip("\n").split("  ", 1) for line in sums()]
    listed = {name: digest for digest, name in lines}
    files = {path for path in VECTORS.rglob("*") if path.is_file() and path.suffix != ".not-frozen"}
    assert {path.relative_to(VECTORS).as_posix() for path in files} == set(listed)
    for path in files:
        digest = hashlib.sha256(path.read_bytes()).hexdigest()
        assert digest == listed[path.relative_to(VECTORS).as_posix()], path.name


def no_model(model_id: bytes) -> ContextModel:
    raise ModelMissing(model_id)


@pytest.mark.parametrize("plain", [False, True], ids=["constriction", "plain Python"])
def test_every_vector_decodes_as_described(plain: bool, monkeypatch: pytest.MonkeyPatch) -> None:
    if plain:
        monkeypatch.setattr(coder, "_library", lambda: None)
    results = run_vectors(VECTORS)
    assert len(results) == len(list(VECTORS.glob("*valid/*.rgru")))
    assert [one for one in results if one.problem is not None] == []


def test_a_wrong_vector_is_reported(tmp_path: Path) -> None:
    for kind in ("valid", "invalid", "context"):
        (tmp_path / kind).mkdir()
    model = (VECTORS / "context" / "tiny.bin").read_bytes()
    (tmp_path / "context" / "tiny.bin").write_bytes(model)
    table = json.loads((VECTORS / "valid" / "example.json").read_text())
    data = (VECTORS / "valid" / "example.rgru").read_bytes()
    table["layers"][1] = "0" * 64
    (tmp_path / "valid" / "a.rgru").write_bytes(data)
    (tmp_path / "valid" / "a.json").write_text(json.dumps(table))
    (tmp_path / "valid" / "b.rgru").write_bytes(data[:-1] + b"x")
    (tmp_path / "valid" / "b.json").write_text(json.dumps(table))
    (tmp_path / "invalid" / "c.rgru").write_bytes(data)
    (tmp_path / "invalid" / "c.json").write_text("{}")
    problems = [str(one.problem) for one in run_vectors(tmp_path)]
    assert "layers is" in problems[0]
    assert "Damaged: the checksum" in problems[1]
    assert "decodes, expected" in problems[2]


def test_models_may_come_from_elsewhere(tmp_path: Path) -> None:
    (tmp_path / "valid").mkdir()
    for suffix in (".rgru", ".json"):
        source = (VECTORS / "valid" / "example").with_suffix(suffix)
        (tmp_path / "valid" / f"example{suffix}").write_bytes(source.read_bytes())
    assert "not installed" in str(run_vectors(tmp_path)[0].problem)
    model = ContextModel.from_bytes((VECTORS / "context" / "tiny.bin").read_bytes())
    assert run_vectors(tmp_path, lambda _: model)[0].problem is None
    assert "not installed" in str(run_vectors(tmp_path, no_model)[0].problem)


def test_a_folder_without_vectors_is_an_error(tmp_path: Path) -> None:
    with pytest.raises(InvalidInput, match="holds no conformance vectors"):
        run_vectors(tmp_path)
