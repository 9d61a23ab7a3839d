"""The page of the rooms names functions that exist."""

from __future__ import annotations

import ast
import re
from pathlib import Path

import pytest

ROOT = Path(__file__).parents[1]
PAGE = (ROOT / "docs" / "architecture.md").read_text()
STOPS = re.findall(r"`([\w/]+\.py):([\w.]+)`", PAGE)


def names(path: Path) -> set[str]:
    """Functions of a module, and methods as ``Class.method``."""
    found = set()
    for node in ast.parse(path.read_text()).body:
        if isinstance(node, ast.FunctionDef):
            found.add(node.name)
        if isinstance(node, ast.ClassDef):
            methods = (item for item in node.body if isinstance(item, ast.FunctionDef))
            found |= {f"{node.name}.{method.name}" for method in methods}
    return found


@pytest.mark.parametrize(("file", "name"), STOPS)
def test_each_stop_of_a_walk_exists(file: str, name: str) -> None:
    assert name in names(ROOT / file)


def test_walks_are_short() -> None:
    walks = [len(re.findall(r"^\d+\. ", part, re.M)) for part in PAGE.split("\n## ")[1:]]
    assert len(walks) == 5
    assert max(walks) <= 15
    assert len(PAGE.splitlines()) <= 60
