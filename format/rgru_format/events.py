"""What a reader tells of a file, piece by piece, and how it ended (SPEC sections 3 to 6 and 10)."""

from __future__ import annotations

import dataclasses

from rgru_format.boxes import Box
from rgru_format.container import Header


@dataclasses.dataclass(frozen=True)
class HeaderRead:
    """The header is complete and sound."""

    header: Header


@dataclasses.dataclass(frozen=True)
class BoxRead:
    """A box is complete and sound; its content is inflated, except that of the alpha plane."""

    box: Box
    layer: int
    """Number of the layer that the box stands before."""
    offset: int
    """First byte of the element, counted from the start of the file."""
    end: int
    """One past the last byte of the element."""


@dataclasses.dataclass(frozen=True)
class GroupRead:
    """A group of codes is complete and its checksum matches."""

    layer: int
    """Number of the layer, from 1."""
    group: int
    """Number of the group in its layer, from 0."""
    payload: bytes = dataclasses.field(repr=False)
    offset: int
    """First byte of the element, counted from the start of the file."""
    end: int
    """One past the last byte of the element."""


@dataclasses.dataclass(frozen=True)
class NeedMoreData:
    """Nothing more can be said before ``at_least`` further bytes arrive; always the last event."""

    at_least: int


@dataclasses.dataclass(frozen=True)
class Ending:
    """How a file ended, as ``Reader.close`` tells it. A cut file is normal, not an error."""

    layers: int
    """Layers of which at least one group arrived."""
    groups: int
    """Groups of the last layer that arrived."""
    offset: int
    """End of the last whole element."""
    unfinished: int
    """Bytes after ``offset``: the beginning of an element that was cut."""
    missing: int
    """Bytes that the cut element lacks at least; 0 when nothing was cut."""
    cut_layer: int | None
    """Layer to which the cut element belongs; None: nothing was cut, or a box."""
    ignored: int = 0
    """Bytes after ``offset`` that no decoder looks at: they stand behind the end of the file."""


Event = HeaderRead | BoxRead | GroupRead | NeedMoreData
