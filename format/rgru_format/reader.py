"""Push parser: bytes go in as they arrive, events come out (SPEC sections 3 to 6 and 10).

    reader = Reader()
    for chunk in source:
        for event in reader.feed(chunk):
            ...
    ending = reader.close()

The events and errors do not depend on how the bytes were cut into chunks. The codes inside a
group are left alone: ``rgru_format.codes.CodesDecoder`` decodes them. So is the alpha plane:
``rgru_format.alpha.alpha_of`` inflates it.
"""

from __future__ import annotations

from collections.abc import Callable

from rgru_format.boxes import (
    BOX_ALPHA,
    BOX_COLOUR,
    COLOUR_BOXES,
    METADATA_BOXES,
    SINGLE_BOXES,
    Box,
    is_foreign,
    unpack_content,
    valid_type,
)
from rgru_format.container import (
    CRC_SIZE,
    CRC_START,
    HEADER_SIZE,
    KIND_BOX,
    KIND_GROUP,
    KIND_LAYER,
    MAX_HEAD_SIZE,
    MAX_PAYLOAD,
    SIGNATURE,
    Header,
    check_signature,
    crc16,
)
from rgru_format.context.model import ContextModel
from rgru_format.errors import Damaged, LimitExceeded, NotRgru, RgruError, UnsupportedVersion
from rgru_format.events import BoxRead, Ending, Event, GroupRead, HeaderRead, NeedMoreData
from rgru_format.limits import (
    MAX_BOXES,
    MAX_CODES,
    MAX_GROUPS,
    MAX_LAYERS,
    Limits,
    largest_alpha,
    largest_payload,
)

FindModel = Callable[[bytes], ContextModel | None]
"""Takes a model id and returns its context model; None or ModelMissing where it is not known."""

_SMALLEST_ELEMENT = 1 + CRC_SIZE
_END = bytes(8)
"""No element begins so: where one would, the file ends (SPEC section 4)."""
_NEVER = MAX_PAYLOAD
"""Bytes wanted when nothing can follow any more."""


class Reader:
    """Turns the bytes of one file into events; holds one element at most.

    An error is raised once all events before it have been handed out: at once when there are
    none, otherwise by the next call. It is then raised by every further call. Events that came
    before stay valid.

    Args:
        limits: bounds on what the file may ask for.
        find_model: asked once, for the model that the header names. With the model the reader
            knows how many layers and groups there are; without, it reads elements as they come.
    """

    def __init__(self, limits: Limits | None = None, find_model: FindModel | None = None) -> None:
        self.limits = limits or Limits()
        self.header: Header | None = None
        self.model: ContextModel | None = None
        self.layer = 0
        """Layers opened so far."""
        self.groups = 0
        """Groups of the last layer."""
        self.offset = 0
        """End of the last whole structure, in bytes."""
        self.error: RgruError | None = None
        self._find_model = find_model
        self._buffer = bytearray()
        self._position = 0  # of the first byte in the buffer that is not used up
        self._wanted = HEADER_SIZE
        self._ordinal = 0
        self._after_box = False
        self._boxes = 0
        self._single_boxes: set[bytes] = set()
        self._metadata_bytes = 0
        self.ended = False
        """Whether something has come that stands behind the end of the file."""
        self._ignored = 0

    @property
    def complete(self) -> bool:
        """Whether all layers of the model are there, and the alpha plane if there is one."""
        if self.model is None or self.header is None or self.layer < len(self.model.layers):
            return False
        alpha = not self.header.alpha or BOX_ALPHA in self._single_boxes
        return alpha and self._layer_is_whole(self.model)

    def feed(self, data: bytes) -> list[Event]:
        """Take in further bytes; return what has become known.

        Raises:
            NotRgru, UnsupportedVersion, Damaged, LimitExceeded: see the class.
            ModelMissing: by ``find_model``.
        """
        if self.error is not None:
            raise self.error
        self._buffer += data
        events: list[Event] = []
        try:
            while (event := self._next()) is not None:
                events.append(event)
        except RgruError as error:
            self.error = error
            self._buffer.clear()
            self._position = 0
            if not events:
                raise
            return events
        if self._position:
            del self._buffer[: self._position]
            self._position = 0
        events.append(NeedMoreData(self._wanted - len(self._buffer)))
        return events

    def close(self) -> Ending:
        """Tell that no more bytes come.

        Raises:
            NotRgru: the data ended inside the signature.
            Damaged: the data ended inside the header.
            RgruError: an error found earlier.
        """
        if self.error is not None:
            raise self.error
        present = len(self._buffer)
        if self.header is None:
            if present < len(SIGNATURE):
                check_signature(bytes(self._buffer))
                raise NotRgru(f"not a .rgru file: it ends after {present} bytes")
            raise Damaged(f"the file ends inside the header, after {present} bytes", offset=0)
        if self.complete or not any(self._buffer):  # fewer zeros than eight
            self.ended |= present > 0
            self._ignore()
            present = 0
        return Ending(
            layers=self.layer,
            groups=self.groups,
            offset=self.offset,
            unfinished=present,
            missing=self._wanted - present if present else 0,
            cut_layer=self._cut_layer(),
            ignored=self._ignored,
        )

    def _cut_layer(self) -> int | None:
        kind = self._buffer[0] & 3 if self._buffer else KIND_BOX
        return None if kind == KIND_BOX else self._layer_of(kind)

    def _next(self) -> Event | None:
        """Return the next event, or None and set the number of bytes wanted."""
        if self.header is None:
            return self._next_header()
        if self._find_model is not None:  # here, so that the header is handed out before an error
            self.model = self._find_model(self.header.model_id)
            self._find_model = None
        if not self.ended:
            try:
                event = self._next_element()
            except (Damaged, LimitExceeded, UnsupportedVersion):
                if not self.complete:
                    raise
                self.ended = True  # what follows is not of the file (SPEC section 5)
            if not self.ended:
                return event
        self._ignore()
        return None

    def _ignore(self) -> None:
        self._ignored += len(self._buffer) - self._position
        self._buffer.clear()
        self._position = 0
        self._wanted = _NEVER

    def _next_header(self) -> HeaderRead | None:
        if len(self._buffer) >= len(SIGNATURE):  # all of it, so that pieces do not change words
            check_signature(bytes(self._buffer[: len(SIGNATURE)]))
        if len(self._buffer) < HEADER_SIZE:
            self._wanted = HEADER_SIZE
            return None
        header = Header.unpack(bytes(self._buffer[:HEADER_SIZE]))
        self.limits.check_pixels(header.height, header.width)
        self.header = header
        self._use(HEADER_SIZE)
        return HeaderRead(header)

    def _next_element(self) -> BoxRead | GroupRead | None:
        present = len(self._buffer) - self._position
        if present == 0:
            self._wanted = _SMALLEST_ELEMENT
            return None
        begins = self._buffer[self._position : self._position + len(_END)]
        if not any(begins):
            self.ended = begins == _END
            self._wanted = max(present + 1, _SMALLEST_ELEMENT)
            return None
        kind = self._buffer[self._position] & 3
        self._check_order(kind)
        head = self._head(present)
        if head is None:
            return None
        head_size, length = head
        if kind == KIND_BOX:
            if length < 4:
                raise self._damaged(f"a box of {length} bytes has no room for its type")
            type_at = self._position + head_size + CRC_SIZE
            if present < head_size + CRC_SIZE + 4:
                self._wanted = head_size + CRC_SIZE + 4
                return None
            self._check_box(bytes(self._buffer[type_at : type_at + 4]), length)
        else:
            self._check_group(kind, length)
        size = head_size + CRC_SIZE + length
        if present < size:
            self._wanted = size
            return None
        payload = self._checked_payload(kind, head_size, length)
        return self._box(payload, size) if kind == KIND_BOX else self._group(kind, payload, size)

    def _use(self, size: int) -> None:
        self._position += size
        self.offset += size

    def _head(self, present: int) -> tuple[int, int] | None:
        """Return size of the head and length of the payload, or None if the head is not whole."""
        value = 0
        for index in range(min(present, MAX_HEAD_SIZE)):
            byte = self._buffer[self._position + index]
            value |= (byte & 0x7F) << (7 * index)
            if byte < 0x80:
                if index and byte == 0:
                    raise self._damaged("the length of an element is not in its shortest form")
                length = value >> 2
                if length > MAX_PAYLOAD:
                    raise self._damaged(f"an element claims {length} bytes")
                return index + 1, length
        if present >= MAX_HEAD_SIZE:
            raise self._damaged("the length of an element does not end")
        self._wanted = present + _SMALLEST_ELEMENT
        return None

    def _layer_of(self, kind: int) -> int:
        """Return the layer of an element of this kind here; of a box, the one it stands before."""
        return max(self.layer, 1) if kind == KIND_GROUP else self.layer + 1

    def _damaged(self, message: str) -> Damaged:
        kind = self._buffer[self._position] & 3
        return Damaged(message, layer=self._layer_of(kind), offset=self.offset)

    def _layer_is_whole(self, model: ContextModel) -> bool:
        """Tell whether no group of the last layer is missing; so before the first, too."""
        return self.layer == 0 or self.groups == model.groups[self.layer - 1]

    def _check_order(self, kind: int) -> None:
        inside = self.model is not None and not self._layer_is_whole(self.model)
        if kind == KIND_GROUP:
            if self.layer == 0:
                raise self._damaged("a group stands before the first layer")
            if self._after_box:
                raise self._damaged("a box stands between the groups of a layer")
            if self.model is not None and not inside:
                raise self._damaged(f"layer {self.layer} has more groups than its model")
            if self.groups >= MAX_GROUPS:
                raise self._damaged(f"a layer has more than {MAX_GROUPS} groups")
        elif kind == KIND_LAYER:
            most = MAX_LAYERS if self.model is None else len(self.model.layers)
            if inside:
                raise self._damaged(f"layer {self.layer} has fewer groups than its model")
            if self.layer >= most:
                raise self._damaged(f"the file has more than {most} layers")
        elif kind == KIND_BOX:
            if inside:
                raise self._damaged("a box stands behind a layer that lacks groups")
            if self._boxes >= MAX_BOXES:
                raise self._damaged(f"the file has more than {MAX_BOXES} boxes")
        else:
            raise self._damaged("an element is of the reserved kind 3")

    def _check_group(self, kind: int, length: int) -> None:
        """Refuse a length before anything of that size is held."""
        assert self.header is not None
        rows, columns = self.header.grid
        channels = MAX_CODES
        if self.model is not None:
            weights = self.model.layers[self.layer - (kind == KIND_GROUP)]
            start, stop = weights.bounds[0 if kind == KIND_LAYER else self.groups]
            channels = stop - start
        if length > largest_payload(rows * columns, channels):
            raise self._damaged(f"a group claims {length} bytes, more than its codes can need")

    def _check_box(self, name: bytes, length: int) -> None:
        """Refuse a type, place or length before anything of that size is held."""
        if not valid_type(name):
            raise self._damaged(f"a box has the type {name!r}")
        shown = name.decode()
        if name in self._single_boxes:
            raise self._damaged(f"the box {shown} occurs twice")
        if name in COLOUR_BOXES and self._single_boxes & COLOUR_BOXES:
            raise self._damaged("the file has two boxes of colour")
        early = name in COLOUR_BOXES or is_foreign(name)
        if early and self.layer:
            raise self._damaged(f"the box {shown} stands after a layer")
        if name == BOX_ALPHA:
            self._check_alpha(length - 4)
        elif name == BOX_COLOUR and length != 8:
            raise self._damaged(f"the box {shown} has {length - 4} bytes, not 4")
        else:
            self._check_metadata(length - (name in METADATA_BOXES))  # the byte before content

    def _check_metadata(self, length: int) -> None:
        most = self.limits.max_metadata_bytes
        if self._metadata_bytes + length > most:
            raise LimitExceeded("max_metadata_bytes", self._metadata_bytes + length, most)

    def _check_alpha(self, size: int) -> None:
        assert self.header is not None
        if not self.header.alpha:
            raise self._damaged("the file has an alpha box but its header says it has none")
        if size > largest_alpha(self.header.height, self.header.width):
            raise self._damaged(f"the alpha box claims {size} bytes, more than it can need")

    def _checked_payload(self, kind: int, head_size: int, length: int) -> bytes:
        start = CRC_START if kind == KIND_BOX else self._ordinal & 0xFFFF
        head_end = self._position + head_size
        payload_at = head_end + CRC_SIZE
        payload = bytes(memoryview(self._buffer)[payload_at : payload_at + length])
        actual = crc16(payload, crc16(bytes(self._buffer[self._position : head_end]), start))
        if actual != int.from_bytes(self._buffer[head_end:payload_at], "little"):
            what = "box" if kind == KIND_BOX else "group of codes"
            raise self._damaged(f"the checksum of a {what} does not match")
        return payload

    def _group(self, kind: int, payload: bytes, size: int) -> GroupRead:
        if kind == KIND_LAYER:
            self.layer += 1
            self.groups = 0
        self.groups += 1
        self._ordinal += 1
        self._after_box = False
        offset = self.offset
        self._use(size)
        return GroupRead(self.layer, self.groups - 1, payload, offset, self.offset)

    def _box(self, payload: bytes, size: int) -> BoxRead:
        box = self._opened(payload[:4], payload[4:])
        if box.type in SINGLE_BOXES:
            self._single_boxes.add(box.type)
        if box.type != BOX_ALPHA:
            self._metadata_bytes += 4 + len(box.content)
        self._boxes += 1
        self._after_box = True
        offset = self.offset
        self._use(size)
        return BoxRead(box, self.layer + 1, offset, self.offset)

    def _opened(self, name: bytes, stored: bytes) -> Box:
        """Return a box whose checksum matches, its content inflated."""
        if is_foreign(name):
            raise UnsupportedVersion(
                f"the file needs a decoder that knows the box {name.decode()}, a later edition"
            )
        most = self.limits.max_metadata_bytes
        room = most - self._metadata_bytes - 4
        try:
            return Box(name, unpack_content(name, stored, room, most))
        except Damaged as error:
            raise self._damaged(error.message) from None
