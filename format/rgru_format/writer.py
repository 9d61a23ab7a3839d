"""Putting a file together, and cutting one (SPEC sections 4 and 10).

The writer adds no information of its own: a file is the header and its elements in a row, so a
file with fewer layers is a prefix of the one with more.
"""

from __future__ import annotations

from collections.abc import Iterable, Sequence

from rgru_format.boxes import BOX_ALPHA, COLOUR_BOXES, LATE_BOXES, SINGLE_BOXES, Box, is_foreign
from rgru_format.container import HEADER_SIZE, Header, pack_box, pack_group
from rgru_format.errors import InvalidInput
from rgru_format.inspect import inspect
from rgru_format.limits import MAX_BOXES, MAX_GROUPS, MAX_LAYERS, Limits


class Writer:
    """Collects the elements of one file in order; refuses what SPEC forbids."""

    def __init__(self, header: Header, boxes: Iterable[Box] = ()) -> None:
        self.header = header
        self._parts = [header.pack()]
        self._size = HEADER_SIZE
        self._layer = 0
        self._ordinal = 0
        self._groups = 0
        self._boxes: list[bytes] = []
        for box in boxes:
            self.add_box(box)

    @property
    def size(self) -> int:
        """Bytes so far."""
        return self._size

    def add_box(self, box: Box) -> None:
        """Append a box.

        Raises:
            InvalidInput: a box that may not stand here.
        """
        name = box.type
        if len(self._boxes) >= MAX_BOXES:
            raise InvalidInput(f"a file holds at most {MAX_BOXES} boxes")
        if name in SINGLE_BOXES and name in self._boxes:
            raise InvalidInput(f"the box {name.decode()} may occur once only")
        if name in COLOUR_BOXES and COLOUR_BOXES & set(self._boxes):
            raise InvalidInput("a file has one box of colour at most")
        if name in COLOUR_BOXES and self._layer:
            raise InvalidInput(f"the box {name.decode()} must stand before the first layer")
        if is_foreign(name):
            raise InvalidInput(f"no decoder shows a file with the critical box {name.decode()}")
        if name == BOX_ALPHA and not self.header.alpha:
            raise InvalidInput("an alpha box needs the alpha flag in the header")
        self._boxes.append(name)
        self._groups = MAX_GROUPS  # a box closes the layer before it
        self._append(pack_box(box))

    def add_layer(self, groups: Sequence[bytes]) -> None:
        """Append a layer, or the first groups of the last layer of a file.

        Raises:
            InvalidInput: no group, or too many.
        """
        if not groups:
            raise InvalidInput("a layer has at least one group")
        for index, payload in enumerate(groups):
            self.add_group(payload, first_of_layer=index == 0)

    def add_group(self, payload: bytes, first_of_layer: bool) -> None:
        """Append one group.

        Raises:
            InvalidInput: a further group where no layer is open, or too many groups or layers.
        """
        if first_of_layer:
            if self._layer == MAX_LAYERS:
                raise InvalidInput(f"a file has at most {MAX_LAYERS} layers")
            self._layer += 1
            self._groups = 0
        elif self._groups >= MAX_GROUPS or not self._layer:
            raise InvalidInput("a further group needs an open layer with room for it")
        self._append(pack_group(payload, self._ordinal, first_of_layer))
        self._groups += 1
        self._ordinal += 1

    def getvalue(self) -> bytes:
        """Return the file."""
        return b"".join(self._parts)

    def _append(self, element: bytes) -> None:
        self._parts.append(element)
        self._size += len(element)


def write_file(
    header: Header, layers: Iterable[Sequence[bytes]], boxes: Iterable[Box] = ()
) -> bytes:
    """Return a file: header, boxes, layers; behind layer 1 alpha, Exif and XMP.

    Args:
        header: the header.
        layers: for each layer the payloads of its groups.
        boxes: those before layer 1 in the order in which they are to stand.

    Raises:
        InvalidInput: something that SPEC forbids.
    """
    boxes = list(boxes)
    writer = Writer(header, [box for box in boxes if box.type not in LATE_BOXES])
    late = [box for name in LATE_BOXES for box in boxes if box.type == name]
    for groups in layers:
        writer.add_layer(groups)
        while late:
            writer.add_box(late.pop(0))
    for box in late:
        writer.add_box(box)
    return writer.getvalue()


def cut_to_size(data: bytes, size: int, limits: Limits | None = None) -> bytes:
    """Return the longest beginning of a file that ends with a whole element within ``size`` bytes.

    Raises:
        InvalidInput: ``size`` is smaller than the header.
        RgruError: as ``Reader``, for what stands within ``size``.
    """
    if size < HEADER_SIZE:
        raise InvalidInput(f"a .rgru file has at least {HEADER_SIZE} bytes, {size} were asked for")
    head = data[:size]
    return head[: inspect(head, limits).sound().end]


def cut_to_layers(data: bytes, layers: int, limits: Limits | None = None) -> bytes:
    """Return a file with its first ``layers`` layers and the boxes before the next one.

    Raises:
        RgruError: as ``Reader``.
    """
    report = inspect(data, limits).sound()
    for group in report.groups:
        if group.layer > layers:
            return data[: group.offset]
    return data[: report.end]
