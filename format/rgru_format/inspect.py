"""What a file holds: its elements and how it ends, and whether all of it is sound.

``inspect`` needs nothing but the bytes: every checksum and the order of elements. ``check``
inflates the alpha plane and decodes the codes too. Both give a ``Report`` of every file that has a
header: a fault behind it is part of the report, with what stands before the fault.
"""

from __future__ import annotations

import dataclasses
from collections.abc import Iterable

from rgru_format.alpha import Plane, alpha_of
from rgru_format.boxes import BOX_ALPHA
from rgru_format.codes import CodesDecoder, codes_digest
from rgru_format.container import CRC_START, HEADER_SIZE, KIND_BOX, Header, crc16
from rgru_format.context.model import ContextModel
from rgru_format.errors import RgruError
from rgru_format.events import BoxRead, Ending, GroupRead, HeaderRead, NeedMoreData
from rgru_format.limits import Limits
from rgru_format.reader import FindModel, Reader


@dataclasses.dataclass(frozen=True)
class Layer:
    """What arrived of one layer."""

    number: int
    """From 1."""
    groups: tuple[GroupRead, ...]
    complete: bool | None
    """Whether all its groups are there; None if the model is not known."""

    @property
    def offsets(self) -> tuple[int, ...]:
        """Where the groups begin, in bytes from the start of the file."""
        return tuple(group.offset for group in self.groups)

    @property
    def end(self) -> int:
        """One past the last byte of the last group: the file up to here holds the layer."""
        return self.groups[-1].end

    @property
    def bytes(self) -> int:
        """Size of the groups."""
        return sum(group.end - group.offset for group in self.groups)

    @property
    def framing(self) -> int:
        """Bytes of heads and checksums among them."""
        return self.bytes - sum(len(group.payload) for group in self.groups)


@dataclasses.dataclass(frozen=True)
class Report:
    """What a file holds, up to the first fault if there is one."""

    size: int
    """Bytes of the file, those behind its end too; after a fault, those that were looked at."""
    header: Header
    model: ContextModel | None = dataclasses.field(repr=False)
    """None if it is not known."""
    elements: tuple[BoxRead | GroupRead, ...]
    """In the order of the file."""
    ending: Ending | None
    """None after a fault."""
    error: RgruError | None
    """The fault."""
    suspicion: str | None = None
    """A guess, in words: the file looks cut, but a damaged length would explain it too."""

    @property
    def boxes(self) -> tuple[BoxRead, ...]:
        """The boxes."""
        return tuple(one for one in self.elements if isinstance(one, BoxRead))

    @property
    def groups(self) -> tuple[GroupRead, ...]:
        """The groups of all layers."""
        return tuple(one for one in self.elements if isinstance(one, GroupRead))

    @property
    def layers(self) -> tuple[Layer, ...]:
        """The layers, the last one perhaps without all its groups."""
        found: dict[int, list[GroupRead]] = {}
        for group in self.groups:
            found.setdefault(group.layer, []).append(group)
        return tuple(Layer(n, tuple(groups), self._whole(n, groups)) for n, groups in found.items())

    def _whole(self, number: int, groups: list[GroupRead]) -> bool | None:
        return None if self.model is None else len(groups) == self.model.groups[number - 1]

    @property
    def end(self) -> int:
        """One past the last byte of the last whole element."""
        return self.elements[-1].end if self.elements else HEADER_SIZE

    @property
    def unfinished(self) -> int:
        """Bytes at the end that belong to an element that was cut."""
        return self.ending.unfinished if self.ending else 0

    @property
    def ignored(self) -> int:
        """Bytes behind the end of the file (SPEC sections 4 and 5)."""
        return self.ending.ignored if self.ending else 0

    @property
    def used(self) -> int:
        """Bytes of the file up to its end."""
        return self.size - self.ignored

    @property
    def alpha_missing(self) -> bool:
        """Whether the header tells of an alpha plane that is not there."""
        return self.header.alpha and not any(one.box.type == BOX_ALPHA for one in self.boxes)

    def sound(self) -> Report:
        """Return the report itself if there is no fault; a cut file has none.

        Raises:
            RgruError: the fault.
        """
        if self.error is not None:
            raise self.error
        return self


def inspect(
    data: bytes | bytearray | memoryview | Iterable[bytes],
    limits: Limits | None = None,
    find_model: FindModel | None = None,
) -> Report:
    """Tell what a file holds as far as that goes without decoding anything.

    Args:
        data: the file, whole or in pieces; after a fault no further piece is asked for.
        limits: bounds on what the file may ask for.
        find_model: with the model, layers can be complete, and a wrong number of groups is seen.

    Raises:
        NotRgru, UnsupportedVersion, Damaged, LimitExceeded: the header cannot be used.
    """
    reader = Reader(limits, find_model)
    elements: list[BoxRead | GroupRead] = []
    ending, error, size = None, None, 0
    rest = bytearray()  # what the reader was given behind the last whole element
    try:
        for piece in [bytes(data)] if isinstance(data, bytes | bytearray | memoryview) else data:
            size += len(piece)
            before = reader.offset
            events = reader.feed(piece)
            elements += [one for one in events if not isinstance(one, HeaderRead | NeedMoreData)]
            if reader.ended:
                rest.clear()
                continue
            rest += piece
            del rest[: reader.offset - before]
        ending = reader.close()
    except RgruError as caught:
        if reader.header is None:
            raise
        error = caught
    assert reader.header is not None
    suspicion = None
    if ending is not None and ending.unfinished:
        ordinal = sum(isinstance(one, GroupRead) for one in elements)
        suspicion = _suspect_length(bytes(rest), ending.offset, ordinal)
    return Report(size, reader.header, reader.model, tuple(elements), ending, error, suspicion)


@dataclasses.dataclass
class Decoded:
    """What the elements of a file say, as far as they have been decoded."""

    codes: CodesDecoder | None = None
    """After the last group; None without a model."""
    digests: list[str] = dataclasses.field(default_factory=list)
    """The digest of each complete layer (SPEC section 8.6)."""
    alpha: Plane | None = None


def check(
    data: bytes | bytearray | memoryview | Iterable[bytes],
    limits: Limits | None = None,
    find_model: FindModel | None = None,
) -> tuple[Report, Decoded]:
    """Decode all that a file holds; codes only if the model is known.

    Args:
        data: the file, whole or in pieces.
        limits: bounds on what the file may ask for.
        find_model: see ``inspect``.

    Raises:
        NotRgru, UnsupportedVersion, Damaged, LimitExceeded: the header cannot be used.
    """
    report, decoded = inspect(data, limits, find_model), Decoded()
    if report.model is not None:
        decoded.codes = CodesDecoder(report.model, *report.header.grid)
    for index, one in enumerate(report.elements):
        try:
            _decode(one, report, decoded, limits)
        except RgruError as error:
            sound = report.elements[:index]
            fault = dataclasses.replace(report, elements=sound, ending=None, error=error)
            return dataclasses.replace(fault, suspicion=None), decoded
    return report, decoded


def _decode(
    one: BoxRead | GroupRead, report: Report, decoded: Decoded, limits: Limits | None
) -> None:
    if isinstance(one, BoxRead):
        if one.box.type == BOX_ALPHA:
            decoded.alpha = alpha_of(one, report.header, limits)
    elif decoded.codes is not None:
        decoded.codes.decode(one)
        if decoded.codes.current is None and decoded.codes.last is not None:
            decoded.digests.append(codes_digest(decoded.codes.last))


def _suspect_length(rest: bytes, offset: int, ordinal: int) -> str | None:
    """Tell whether a flipped bit in the head of the unfinished element would explain the cut.

    A length that was damaged upwards looks like a file that was cut. If the element, its head
    corrected by one bit, ends inside the file with a matching checksum, damage is far more
    likely: by chance this happens once in thousands of cut files.

    Args:
        rest: the file from the unfinished element on.
        offset: where that begins.
        ordinal: groups before it.
    """
    for bit in range(8 * min(5, len(rest))):
        head = bytearray(rest[:5])
        head[bit // 8] ^= 1 << bit % 8
        size = next((n for n in range(1, len(head) + 1) if head[n - 1] < 0x80), None)
        if size is None or bit // 8 >= size:
            continue
        value = sum((head[n] & 0x7F) << 7 * n for n in range(size))
        payload_at = size + 2
        end = payload_at + (value >> 2)
        start = CRC_START if value & 3 == KIND_BOX else ordinal & 0xFFFF
        if end > len(rest):
            continue
        actual = crc16(rest[payload_at:end], crc16(bytes(head[:size]), start))
        if actual == int.from_bytes(rest[size:payload_at], "little"):
            return (
                f"the element at byte {offset} would be whole if bit {bit % 8} of byte "
                f"{offset + bit // 8} were flipped: its length may be damaged"
            )
    return None
