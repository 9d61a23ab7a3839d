"""What arguments of command lines may be, for all programs; only the standard library is loaded."""

from __future__ import annotations

import argparse
from collections.abc import Callable
from pathlib import Path


def named_path(text: str) -> Path:
    """Take a path; the name of a variable that is not set would be ``.``.

    Raises:
        ArgumentTypeError: It is empty.
    """
    if not text:
        raise argparse.ArgumentTypeError("there is no file name: an argument is empty")
    return Path(text)


def count(least: int, most: int | None = None) -> Callable[[str], int]:
    """Take a whole number of at least ``least``, and at most ``most``."""

    def parse(text: str) -> int:
        try:
            value = int(text)
        except ValueError:
            raise argparse.ArgumentTypeError(f"{text!r} is not a whole number") from None
        if value < least or (most is not None and value > most):
            words = f"{least} or more" if most is None else f"{least}..{most}"
            raise argparse.ArgumentTypeError(f"{value} is out of range, it must be {words}")
        return value

    return parse


def between(low: float, high: float, *, open_ends: bool = False) -> Callable[[str], float]:
    """Take a number in a range."""

    def parse(text: str) -> float:
        value = _number(text)
        inside = low < value < high if open_ends else low <= value <= high
        if not inside:
            words = f"between {low:g} and {high:g}" if open_ends else f"{low:g}..{high:g}"
            raise argparse.ArgumentTypeError(f"{text} is out of range, it must be {words}")
        return value

    return parse


def above(low: float) -> Callable[[str], float]:
    """Take a number above ``low``; infinity is one."""

    def parse(text: str) -> float:
        value = _number(text)
        if not value > low:
            raise argparse.ArgumentTypeError(f"{text} is out of range, it must be above {low:g}")
        return value

    return parse


def _number(text: str) -> float:
    try:
        return float(text)
    except ValueError:
        raise argparse.ArgumentTypeError(f"{text!r} is not a number") from None
