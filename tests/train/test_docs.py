"""docs/training.md names every key of a configuration as the code does."""

from __future__ import annotations

import ast
from pathlib import Path

import pytest

from .tiny import ROOT

TRAIN = ROOT / "train" / "rgru_train"
KINDS = ("Conv", "Separable", "Residual", "Rnn", "SpaceToDepth", "DepthToSpace")
CONFIGS = [
    (TRAIN / "config.py", "TrainingConfig"),
    *((TRAIN / "nets" / "config.py", name) for name in ("NetworkConfig", *KINDS, "LinearConfig")),
]


def key_rows(source: Path, name: str) -> list[str]:
    """Rows | key | default | meaning | of a dataclass whose fields have docstrings."""
    tree = ast.parse(source.read_text())
    (table,) = (n for n in tree.body if isinstance(n, ast.ClassDef) and n.name == name)
    rows = []
    for field, after in zip(table.body, table.body[1:], strict=False):
        if not isinstance(field, ast.AnnAssign):
            continue
        default = "required" if field.value is None else f"`{toml(ast.unparse(field.value))}`"
        meaning = ast.literal_eval(after.value) if isinstance(after, ast.Expr) else ""
        words = " ".join(meaning.split()).replace("``", "`")
        rows.append(f"| `{ast.unparse(field.target)}` | {default} | {words} |")
    return rows


def toml(value: str) -> str:
    """A Python default as TOML writes it."""
    changes = {"(": "[", ")": "]", "'": '"', "True": "true", "False": "false", "None": "absent"}
    for python, other in changes.items():
        value = value.replace(python, other)
    return value


@pytest.mark.parametrize(("source", "name"), CONFIGS)
def test_training_page_lists_every_key(source: Path, name: str) -> None:
    page = (ROOT / "docs" / "training.md").read_text().splitlines()
    rows = key_rows(source, name)
    assert [row for row in rows if row not in page] == []
