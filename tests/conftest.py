"""The order of the tests, and what their processes inherit."""

from __future__ import annotations

import signal

import pytest

for _name, _usual in (("SIGINT", signal.default_int_handler), ("SIGHUP", signal.SIG_DFL)):
    # Programs inherit which signals are ignored: under nohup, or in the background of a shell.
    if hasattr(signal, _name) and signal.getsignal(getattr(signal, _name)) is signal.SIG_IGN:
        signal.signal(getattr(signal, _name), _usual)


def pytest_collection_modifyitems(items: list[pytest.Item]) -> None:
    """Put the longest files first, so that no core waits for another at the end."""
    items.sort(key=lambda item: not item.nodeid.startswith(("tests/train", "tests/web")))
