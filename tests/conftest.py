"""The order of the tests."""

from __future__ import annotations

import pytest


def pytest_collection_modifyitems(items: list[pytest.Item]) -> None:
    """Put the longest files first, so that no core waits for another at the end."""
    items.sort(key=lambda item: not item.nodeid.startswith(("tests/train", "tests/web")))
