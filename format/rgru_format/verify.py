"""Checking files: structure and checksums without weights, and the conformance vectors.

`check_file` needs nothing but the bytes: every checksum, the order of elements and the alpha
plane. `run_vectors` decodes the files of format/vectors and compares the codes (SPEC section 12).
"""

from __future__ import annotations

import dataclasses
import hashlib
import json
from collections.abc import Callable, Iterable
from pathlib import Path
from typing import Any

import numpy as np

from rgru_format.alpha import decode_alpha
from rgru_format.codes import CodesDecoder, codes_digest
from rgru_format.container import BOX_ALPHA, Header, crc16
from rgru_format.context.model import ContextModel
from rgru_format.errors import Damaged, InvalidInput, ModelMissing, RgruError
from rgru_format.limits import Limits
from rgru_format.reader import BoxRead, Ending, GroupRead, HeaderRead, Reader

VECTORS = Path(__file__).parents[1] / "vectors"
"""The conformance vectors of a checkout; an installed package has none."""

FindModel = Callable[[bytes], ContextModel]
"""Takes a model id, returns its context model or raises ModelMissing."""


@dataclasses.dataclass(frozen=True)
class LayerReport:
    """What arrived of one layer."""

    layer: int
    groups: int
    offset: int
    """First byte of the first group, from the start of the file."""
    end: int
    """One past the last byte of the last group."""
    payload: int
    """Bytes of the groups without heads and checksums."""


@dataclasses.dataclass(frozen=True)
class Report:
    """What `check_file` found."""

    size: int
    """Bytes of the file."""
    header: Header | None
    boxes: tuple[BoxRead, ...]
    layers: tuple[LayerReport, ...]
    groups: tuple[GroupRead, ...]
    ending: Ending | None
    """None after an error."""
    error: RgruError | None
    suspicion: str | None
    """A guess, in words: the file looks cut, but a damaged length would explain it too."""

    @property
    def sound(self) -> bool:
        """Tell whether no error was found; a cut file is sound."""
        return self.error is None

    @property
    def cut(self) -> bool:
        """Tell whether the file ends inside an element."""
        return self.ending is not None and self.ending.unfinished > 0


def check_file(data: bytes, limits: Limits | None = None) -> Report:
    """Check a file as far as that goes without a model; errors are returned, not raised.

    The report holds what stands before the first error.

    Args:
        data: the whole file.
        limits: bounds on what the file may ask for.
    """
    reader = Reader(limits)
    header, ending, error, suspicion = None, None, None, None
    boxes: list[BoxRead] = []
    groups: list[GroupRead] = []
    try:
        for event in reader.feed(data):
            if isinstance(event, HeaderRead):
                header = event.header
            elif isinstance(event, BoxRead):
                boxes.append(event)
                _check_alpha(reader.header, event, limits)
            elif isinstance(event, GroupRead):
                groups.append(event)
        ending = reader.close()
        if ending.unfinished:
            suspicion = _suspect_length(data, ending, len(groups))
    except RgruError as caught:
        ending, error = None, caught
    layers = tuple(_summary(groups))
    return Report(len(data), header, tuple(boxes), layers, tuple(groups), ending, error, suspicion)


def _check_alpha(header: Header | None, one: BoxRead, limits: Limits | None = None) -> None:
    """Inflate the alpha plane, if the box holds one.

    Raises:
        Damaged: the plane cannot be read; names the offset of its box.
    """
    if header is None or one.box.type != BOX_ALPHA:
        return
    try:
        decode_alpha(one.box.content, header.height, header.width, limits)
    except Damaged as error:
        raise Damaged(error.message, offset=one.offset) from None


def _summary(groups: Iterable[GroupRead]) -> Iterable[LayerReport]:
    layers: dict[int, list[GroupRead]] = {}
    for group in groups:
        layers.setdefault(group.layer, []).append(group)
    for layer, members in layers.items():
        payload = sum(len(group.payload) for group in members)
        yield LayerReport(layer, len(members), members[0].offset, members[-1].end, payload)


def _suspect_length(data: bytes, ending: Ending, ordinal: int) -> str | None:
    """Tell whether a flipped bit in the head of the unfinished element would explain the cut.

    A length that was damaged upwards looks like a file that was cut. If the element, its head
    corrected by one bit, ends inside the file with a matching checksum, damage is far more
    likely: by chance this happens once in thousands of cut files.
    """
    rest = data[ending.offset :]
    for bit in range(8 * min(5, len(rest))):
        head = bytearray(rest[:5])
        head[bit // 8] ^= 1 << bit % 8
        size = next((n for n in range(1, len(head) + 1) if head[n - 1] < 0x80), None)
        if size is None or bit // 8 >= size:
            continue
        value = sum((head[n] & 0x7F) << 7 * n for n in range(size))
        payload_at = size + 2
        end = payload_at + (value >> 2)
        start = 0xFFFF if value & 3 == 2 else ordinal & 0xFFFF
        if end > len(rest):
            continue
        actual = crc16(rest[payload_at:end], crc16(bytes(head[:size]), start))
        if actual == int.from_bytes(rest[size:payload_at], "little"):
            return (
                f"the element at byte {ending.offset} would be whole if bit {bit % 8} of byte "
                f"{ending.offset + bit // 8} were flipped: its length may be damaged"
            )
    return None


@dataclasses.dataclass(frozen=True)
class VectorResult:
    """How one conformance vector fared."""

    name: str
    """Path inside the folder of vectors, without suffix."""
    problem: str | None
    """None: as it should be."""


def describe_codes(
    decoder: CodesDecoder, groups: Iterable[GroupRead]
) -> tuple[list[str], dict[str, Any] | None]:
    """Decode groups and return what SPEC section 12 says of their codes.

    Args:
        decoder: a new decoder.
        groups: as the reader delivered them.

    Returns:
        The digest of each complete layer; and for a layer of which only some groups arrived
        their number, the digest of its codes with 0 for unknown ones and the digest of the
        expectation in 32768ths, as little-endian int32. Otherwise None.

    Raises:
        Damaged: as `CodesDecoder.decode`.
    """
    layers: list[str] = []
    for group in groups:
        decoder.decode(group)
        if decoder.layer > len(layers):
            assert decoder.last is not None
            layers.append(codes_digest(decoder.last))
    if decoder.current is None:
        return layers, None
    expected = (decoder.expectation() * 32768).astype("<i4")
    unfinished = {
        "groups": decoder.group,
        "codes": codes_digest(decoder.current),
        "expectation": hashlib.sha256(expected.tobytes()).hexdigest(),
    }
    return layers, unfinished


def run_vectors(folder: Path = VECTORS, find_model: FindModel | None = None) -> list[VectorResult]:
    """Decode all vectors of a folder and compare.

    Args:
        folder: laid out as format/vectors.
        find_model: for vectors whose context model does not lie in the folder.

    Raises:
        InvalidInput: there are no vectors.
    """
    if not (folder / "valid").is_dir():
        raise InvalidInput(
            f"{folder} holds no conformance vectors; they are part of a checkout: "
            "rgru verify --vectors CHECKOUT/format/vectors"
        )
    models = _models(folder, find_model)
    results = []
    for path in sorted(folder.glob("valid/*.rgru")):
        results.append(VectorResult(f"valid/{path.stem}", _check_valid(path, models)))
    for path in sorted(folder.glob("invalid/*.rgru")):
        results.append(VectorResult(f"invalid/{path.stem}", _check_invalid(path, models)))
    return results


def _models(folder: Path, find_model: FindModel | None) -> FindModel:
    own = {}
    for path in sorted(folder.glob("context/*.bin")):
        model = ContextModel.from_bytes(path.read_bytes())
        own[model.digest()[:4]] = model

    def find(model_id: bytes) -> ContextModel:
        if model_id in own:
            return own[model_id]
        if find_model is None:
            raise ModelMissing(model_id)
        return find_model(model_id)

    return find


def _expected(path: Path) -> dict[str, Any]:
    table: dict[str, Any] = json.loads(path.with_suffix(".json").read_text())
    return table


def decode_vector(data: bytes, find_model: FindModel) -> dict[str, Any]:
    """Return what a valid vector holds, in the form of its json file.

    Raises:
        RgruError: the file is not valid.
    """
    report = check_file(data)
    if report.header is None:
        assert report.error is not None
        raise report.error
    header = report.header
    decoder = CodesDecoder(find_model(header.model_id), *header.grid)
    layers, unfinished = describe_codes(decoder, report.groups)
    if report.error is not None:
        raise report.error
    plane = None
    for one in report.boxes:
        if one.box.type == BOX_ALPHA:
            plane = decode_alpha(one.box.content, header.height, header.width)
    return {
        "width": header.width,
        "height": header.height,
        "grey": header.grey,
        "alpha": header.alpha,
        "boxes": [
            {"type": one.box.type.decode(), "sha256": _sha256(one.box.content)}
            for one in report.boxes
        ],
        "alpha_plane": None if plane is None else _sha256(np.ascontiguousarray(plane).tobytes()),
        "layers": layers,
        "unfinished": unfinished,
    }


def _sha256(data: bytes) -> str:
    return hashlib.sha256(data).hexdigest()


def _check_valid(path: Path, find_model: FindModel) -> str | None:
    expected = _expected(path)
    try:
        found = decode_vector(path.read_bytes(), find_model)
    except RgruError as error:
        return f"{type(error).__name__}: {error}"
    for key, value in found.items():
        if expected[key] != value:
            return f"{key} is {value}, expected {expected[key]}"
    return None


def _check_invalid(path: Path, find_model: FindModel) -> str | None:
    expected = _expected(path)
    try:
        decode_vector(path.read_bytes(), find_model)
    except RgruError as error:
        found = {
            "error": type(error).__name__,
            "layer": getattr(error, "layer", None),
            "offset": getattr(error, "offset", None),
        }
        return None if found == expected else f"{found}, expected {expected}"
    return f"decodes, expected {expected}"
