"""The conformance vectors: what they hold, and that they stay as they are."""

from __future__ import annotations

import hashlib
import json
import subprocess
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

from rgru_format import ContextModel, InvalidInput, ModelMissing, coder
from rgru_format.conformance import VECTORS, run_vectors
from rgru_format.context import adaptation, order
from tools.make_vectors import list_of

ROOT = VECTORS.parents[1]
KEPT = ("format/vectors", "rgru_codec/weights", "models", "tests/released")
"""What files of a release are decoded with, or compared with: never changed, never taken away."""


def git(*arguments: str, root: Path = ROOT) -> str:
    command = ["git", "-C", str(root), *arguments]
    return subprocess.run(command, capture_output=True, check=True, text=True).stdout


def releases(root: Path = ROOT) -> list[str]:
    """The tags of releases, v1.0.0 and so on, that the checkout knows of."""
    try:
        return git("tag", "--list", "v[0-9]*", root=root).split()
    except (OSError, subprocess.CalledProcessError):
        pytest.skip("no git checkout: what was released is written in its tags")


def changed_since(tag: str, root: Path = ROOT) -> list[str]:
    """Vectors, and context models and weights of decoders, that are not as the tag has them."""
    wrong = []
    for line in git("ls-tree", "-r", tag, "--", *KEPT, root=root).splitlines():
        about, path = line.split("\t")
        kept = path.startswith(("format/vectors/", "tests/released/")) and "SHA256SUMS" not in path
        kept |= Path(path).name in ("context.bin", "decoder.safetensors", "model.json")
        if kept and about.split()[2] != blob(root / path):
            wrong.append(path)
    return wrong


def blob(path: Path) -> str:
    """git's name of a file's content; empty if there is no file."""
    if not path.is_file():
        return ""
    data = path.read_bytes()
    return hashlib.sha1(b"blob %d\0" % len(data) + data).hexdigest()


def sums() -> list[str]:
    return list_of(VECTORS).read_text().splitlines(keepends=True)


def test_nothing_that_was_released_changes() -> None:
    """As far as the checkout has the tags; see ``test_vectors_of_a_release_are_still_there``."""
    for tag in releases():
        assert changed_since(tag) == []


def test_a_changed_vector_or_context_model_of_a_release_is_found(tmp_path: Path) -> None:
    files = ["format/vectors/valid/a.rgru", "format/vectors/SHA256SUMS"]
    files += [
        "tests/released/1.0.0/grey.png",
        "rgru_codec/weights/01020304/context.bin",
        "rgru_codec/weights/01020304/MODEL_CARD.md",
    ]
    for name in files:
        path = tmp_path / name
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_text("as released\n")
    git("init", "--quiet", root=tmp_path)
    git("add", ".", root=tmp_path)
    author = ("-c", "user.name=a", "-c", "user.email=a@example.org")
    git(*author, "commit", "--quiet", "-m", "Release", root=tmp_path)
    assert releases(tmp_path) == []
    git("tag", "v1.0.0", root=tmp_path)
    assert releases(tmp_path) == ["v1.0.0"]
    (tmp_path / "format/vectors/valid/new.rgru").write_text("added later")
    (tmp_path / "format/vectors/SHA256SUMS").write_text("as released\nand more\n")
    (tmp_path / "rgru_codec/weights/01020304/MODEL_CARD.md").write_text("better words")
    assert changed_since("v1.0.0", tmp_path) == []
    (tmp_path / files[3]).write_text("trained again")
    (tmp_path / files[2]).write_text("painted again")
    (tmp_path / files[0]).unlink()
    assert changed_since("v1.0.0", tmp_path) == [files[0], files[3], files[2]]


def test_every_file_is_listed_with_its_hash() -> None:
    lines = [line.rstrip("\n").split("  ", 1) for line in sums()]
    listed = {name: digest for digest, name in lines}
    files = {path for path in VECTORS.rglob("*") if path.is_file()} - {list_of(VECTORS)}
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


WRONG_CHUNKS: dict[str, tuple[int, Callable[[int], int]]] = {
    "the least of 17 positions": (30, lambda n: max(17, min(512, n // 4))),
    "the least of 15 positions": (30, lambda n: max(15, min(512, n // 4))),
    "a third of those before": (10, lambda n: max(16, min(512, n // 3))),
    "a fifth of those before": (10, lambda n: max(16, min(512, n // 5))),
    "rounded up": (10, lambda n: max(16, min(512, -(-n // 4)))),
    "the most of 513 positions": (1, lambda n: max(16, min(513, n // 4))),
    "the most of 511 positions": (1, lambda n: max(16, min(511, n // 4))),
    "all of a phase at once": (30, lambda n: 10**6),
    "no growth": (10, lambda n: 16),
}


@pytest.mark.parametrize("name", WRONG_CHUNKS)
def test_a_wrong_rule_for_chunks_fails_many_vectors(
    name: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    least, rule = WRONG_CHUNKS[name]
    monkeypatch.setattr(adaptation, "chunk_size", rule)
    failed = [one.name for one in run_vectors(VECTORS) if one.problem is not None]
    assert len(failed) >= least, failed


WRONG_RULES: dict[str, tuple[Any, str, Any]] = {
    "what is kept of the past": (adaptation, "_KEPT", 2 * adaptation._KEPT),
    "information at the start": (adaptation, "_START", adaptation._START + 2**16),
    "odd channels first": (adaptation, "turns", lambda a, b: order.turns(a, b)[::-1]),
}


@pytest.mark.parametrize("name", WRONG_RULES)
def test_a_wrong_rule_for_adaptation_fails_vectors(
    name: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(*WRONG_RULES[name])
    failed = [one.name for one in run_vectors(VECTORS) if one.problem is not None]
    assert len(failed) >= 2, failed
