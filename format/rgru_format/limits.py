"""What a decoder is willing to spend on a file that it has not asked for.

Every check happens on numbers read from the file, before memory for them is allocated.
"""

from __future__ import annotations

import dataclasses
import math
import numbers

from rgru_format.errors import InvalidInput, LimitExceeded

MAX_SIDE = 2**24 - 1
"""Largest width and height of a picture, in pixels: the header has 24 bits for each."""

MAX_CODES = 1024
"""Largest number of codes a position has in one layer (SPEC section 9)."""

MAX_GROUPS = 64
"""Largest number of groups of a layer (SPEC section 9)."""

MAX_LAYERS = 64
"""Largest number of layers of a model and of a file (SPEC section 9)."""

MAX_BOXES = 256
"""Largest number of boxes of a file (SPEC section 9)."""

POSITION = 16
"""Side of the square of pixels that one position of the grid stands for, in pixels."""

_FEW = 256
"""Positions that nobody needs to be kept from, however low the limit and thin the picture."""
_NARROW = 9
"""Pixels of a side below which a picture is thin: of 8, it has twice the positions of a square one,
and costs a little more than twice, since its codes lie in fewer and longer rows."""
_THIN = 2**16
"""Pixels that a position counts as in thin pictures."""


def as_number(value: object) -> int | float | None:
    """Return a number of any type (numpy's wrap around, and are no int) as Python's own.

    Returns:
        None if it is no number.
    """
    if isinstance(value, bool) or not isinstance(value, numbers.Real):
        return None
    if isinstance(value, numbers.Integral):
        return int(value)
    try:
        return float(value)
    except OverflowError:  # a fraction beyond all floats
        return -math.inf if value < 0 else math.inf


@dataclasses.dataclass(frozen=True)
class Limits:
    """Bounds that a caller puts on a decoder; the defaults are safe for unknown files."""

    max_pixels: int = 2**26
    """Width times height, in pixels. Work goes by the squares of 16 x 16 pixels, the positions: a
    picture one pixel wide costs 16 times what a square one of as many pixels costs. Where a side
    has less than 9 pixels the positions count instead, 2^16 each, so that by default there are
    2^10 at most. No picture with more has 1.9 times those of a square one."""
    max_metadata_bytes: int = 2**24
    """Types and contents of all boxes together, inflated; the alpha plane is not counted (its size
    follows from the picture's)."""
    max_memory: int | None = None
    """Bytes of working memory; None: no bound beyond what ``max_pixels`` implies."""

    def __post_init__(self) -> None:
        """Refuse bounds that bound nothing.

        Raises:
            InvalidInput: One is no number of at least 0.
        """
        for name in ("max_pixels", "max_metadata_bytes", "max_memory"):
            value = getattr(self, name)
            if value is None and name == "max_memory":
                continue
            number = as_number(value)
            if number is None or not number >= 0:  # nor if it is nan
                raise InvalidInput(f"{name} must be a number, 0 or more, got {value!r}")
            object.__setattr__(self, name, number)

    def check_pixels(self, height: int, width: int) -> None:
        """Raise LimitExceeded where a picture has more pixels than allowed."""
        rows, columns = grid_size(height, width)
        pixels, how, about = height * width, "", ""
        if min(height, width) < _NARROW and rows * columns > _FEW:
            pixels = rows * columns * _THIN
            about = "thin"
            how = "the picture is so thin that it counts as more; pass Limits(max_pixels=...)"
        if pixels > self.max_pixels:
            raise LimitExceeded("max_pixels", pixels, self.max_pixels, how, about)

    def check_memory(self, value: int) -> None:
        """Raise LimitExceeded where ``value`` bytes are more than may be allocated."""
        if self.max_memory is not None and value > self.max_memory:
            raise LimitExceeded("max_memory", value, self.max_memory)


ANY_SIZE = Limits(max_pixels=2**48)
"""For files that were just written, or whose reader has a bound of its own."""


def grid_size(height: int, width: int) -> tuple[int, int]:
    """Return rows and columns of positions of a picture of ``height`` x ``width`` pixels."""
    return -(-height // POSITION), -(-width // POSITION)


def largest_payload(positions: int, codes: int) -> int:
    """Return the most bytes of a group of ``codes`` codes a position (SPEC section 9).

    A code costs less than 16 bits, because no probability is under 1/65536.
    """
    return 2 * positions * codes + 8


def largest_alpha(height: int, width: int) -> int:
    """Return the bytes that the content of an alpha box can need (SPEC section 6.2)."""
    expanded = height * (width + 1)
    return expanded + expanded // 1024 + 64
