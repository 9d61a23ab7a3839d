"""Rectangles of pixels."""

from __future__ import annotations

import dataclasses
from collections.abc import Iterator


@dataclasses.dataclass(frozen=True)
class Rect:
    """A rectangle of pixels: rows ``top`` to ``bottom``, columns ``left`` to ``right``."""

    top: int
    bottom: int
    left: int
    right: int

    @property
    def height(self) -> int:
        """Rows."""
        return self.bottom - self.top

    @property
    def width(self) -> int:
        """Columns."""
        return self.right - self.left

    def grown(self, border: int, within: Rect) -> Rect:
        """With ``border`` more pixels on each side, as far as ``within`` goes."""
        return Rect(
            max(self.top - border, within.top),
            min(self.bottom + border, within.bottom),
            max(self.left - border, within.left),
            min(self.right + border, within.right),
        )

    def aligned(self, unit: int) -> Rect:
        """Grown to multiples of ``unit``."""
        return Rect(
            self.top // unit * unit,
            -(-self.bottom // unit) * unit,
            self.left // unit * unit,
            -(-self.right // unit) * unit,
        )

    def moved(self, down: int, right: int) -> Rect:
        """The same size elsewhere."""
        return Rect(self.top + down, self.bottom + down, self.left + right, self.right + right)

    def bands(self, rows: int) -> Iterator[Rect]:
        """Yield the parts of at most so many rows, from the top."""
        for top in range(self.top, self.bottom, rows):
            yield Rect(top, min(top + rows, self.bottom), self.left, self.right)

    def slices(self, spacing: int = 1) -> tuple[slice, slice]:
        """Rows and columns of an array with one value every ``spacing`` pixels."""
        return (
            slice(self.top // spacing, self.bottom // spacing),
            slice(self.left // spacing, self.right // spacing),
        )
