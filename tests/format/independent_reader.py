"""A second reader of .rgru files, written from format/SPEC.md alone.

Standard library and plain integers only; nothing of this project is imported. It is slow and
meant to be read beside the document, whose section numbers stand at each part.

    python independent_reader.py CONTEXT_FOLDER FILE...    prints what SPEC section 12 lists
"""

from __future__ import annotations

import hashlib
import json
import math
import struct
import sys
import zlib
from collections.abc import Iterator
from pathlib import Path
from typing import Any

Grid = list[list[list[int]]]  # rows, columns, channels
PACKED = (b"iccp", b"exif", b"xmp ")
MAX_PIXELS, MAX_POSITIONS, MAX_METADATA = 2**26, 2**10, 2**24


class Fault(Exception):  # noqa: N818 - as the kinds of section 12
    """What is wrong with a file: the kind of error, layer and offset of section 12."""

    def __init__(self, kind: str, layer: int | None = None, offset: int | None = None) -> None:
        super().__init__(kind, layer, offset)
        self.report = {"error": kind, "layer": layer, "offset": offset}


def crc16(data: bytes, register: int) -> int:
    """Section 2."""
    for byte in data:
        for bit in range(7, -1, -1):
            differs = (register >> 15 & 1) != (byte >> bit & 1)
            register = register << 1 & 0xFFFF
            if differs:
                register ^= 0x1021
    return register


def u(data: bytes) -> int:
    return sum(byte << 8 * index for index, byte in enumerate(data))


def clamp(value: int, low: int, high: int) -> int:
    return low if value < low else high if value > high else value


# Section 3


def read_header(data: bytes) -> dict[str, Any]:
    if data[:8] != bytes.fromhex("8952475255 0D0A1A"):
        raise Fault("NotRgru")
    if len(data) < 21 or crc16(data[:19], 0xFFFF) != u(data[19:21]):
        raise Fault("Damaged", None, 0)
    if data[14] & 0x0F != 1 or data[14] & 0xC0:
        raise Fault("UnsupportedVersion")
    width, height = u(data[8:11]), u(data[11:14])
    if not width or not height:
        raise Fault("Damaged", None, 0)
    rows, columns = math.ceil(height / 16), math.ceil(width / 16)
    thin = min(width, height) < 9
    if width * height > MAX_PIXELS or (thin and rows * columns > MAX_POSITIONS):
        raise Fault("LimitExceeded")
    return {
        "width": width,
        "height": height,
        "grey": bool(data[14] & 0x10),
        "alpha": bool(data[14] & 0x20),
        "model": data[15:19],
    }


# Sections 4 to 6: elements as (kind, payload, offset, layer)


def read_head(data: bytes, at: int) -> tuple[int, int] | None:
    """Return v and the offset behind the head; None where the data ends inside it."""
    v = 0
    for index in range(5):
        if at + index >= len(data):
            return None
        byte = data[at + index]
        v |= (byte & 0x7F) << 7 * index
        if not byte & 0x80:
            if (index and not byte) or v >> 2 >= 2**30:
                break
            return v, at + index + 1
    raise ValueError


class Elements:
    """The elements behind the header, of a file whose model is known."""

    def __init__(self, data: bytes, header: dict[str, Any], context: Context) -> None:
        self.data, self.header, self.context = data, header, context
        self.positions = math.ceil(header["width"] / 16) * math.ceil(header["height"] / 16)
        self.at = 21
        self.layer = self.in_layer = self.groups = self.boxes = self.metadata = 0
        self.closed = False  # the last layer, by a box
        self.seen: set[bytes] = set()
        self.ignored = 0

    def __iter__(self) -> Iterator[tuple[int, bytes, int, int]]:
        """Yield kind, payload or (of a box) type and content, offset and layer."""
        while self.at < len(self.data):
            complete = self.complete()
            if not any(self.data[self.at : self.at + 8]):  # the end of section 4
                self.ignored = len(self.data) - self.at
                return
            try:
                one = self.element()
            except Fault:
                if not complete:
                    raise
                one = None
            if one is None:
                self.ignored = len(self.data) - self.at if complete else 0
                return
            yield one

    def complete(self) -> bool:
        """Section 5."""
        layers = self.context.layers
        alpha = b"ALPH" in self.seen or not self.header["alpha"]
        return self.layer == len(layers) and not self.lacking() and alpha

    def lacking(self) -> int:
        """How many groups of the last layer are missing."""
        if not self.layer:
            return 0
        return len(self.context.layers[self.layer - 1]["bounds"]) - self.in_layer

    def element(self) -> tuple[int, bytes, int, int] | None:
        """Section 10: the checks in their order; None where the data ends inside the element."""
        data, at = self.data, self.at
        kind = data[at] & 3
        damaged = Fault("Damaged", max(self.layer, 1) if kind == 0 else self.layer + 1, at)
        if kind == 0 and (not self.layer or self.closed or not self.lacking()):
            raise damaged
        if kind == 1 and (self.lacking() or self.layer == len(self.context.layers)):
            raise damaged
        if kind == 2 and (self.lacking() or self.boxes == 256):
            raise damaged
        if kind == 3:
            raise damaged
        try:
            head = read_head(data, at)
        except ValueError:
            raise damaged from None
        if head is None:
            return None
        v, check_at = head
        length, payload_at = v >> 2, check_at + 2
        name = data[payload_at : payload_at + 4]
        if kind == 2:
            if length < 4:
                raise damaged
            if len(name) < 4:
                return None
            self.check_box(name, length, damaged)
        else:
            bounds = self.context.layers[self.layer - (kind == 0)]["bounds"]
            start, stop = bounds[0 if kind else self.in_layer]
            if length > 2 * (stop - start) * self.positions + 8:
                raise damaged
        if len(data) < payload_at + length:
            return None
        payload = data[payload_at : payload_at + length]
        start = 0xFFFF if kind == 2 else self.groups % 65536
        if crc16(data[at:check_at] + payload, start) != u(data[check_at:payload_at]):
            raise damaged
        if kind == 2:
            payload = self.box(name, payload[4:], damaged)
        else:
            self.groups, self.closed = self.groups + 1, False
            self.layer += kind
            self.in_layer = 1 if kind else self.in_layer + 1
        self.at = payload_at + length
        return kind, payload, at, self.layer + (kind == 2)

    def check_box(self, name: bytes, length: int, damaged: Fault) -> None:
        """Sections 6 and 6.1, as far as type and length go."""
        if not name[:1].isalpha() or any(not 0x20 <= byte <= 0x7E for byte in name):
            raise damaged
        colour = {b"cicp", b"iccp"}
        if name in self.seen or (name in colour and self.seen & colour):
            raise damaged
        critical = name[:1].isupper() and name != b"ALPH"
        if self.layer and (name in colour or critical):
            raise damaged
        expanded = self.header["height"] * (self.header["width"] + 1)
        if name == b"ALPH":
            if not self.header["alpha"] or length - 4 > expanded + expanded // 1024 + 64:
                raise damaged
        elif name == b"cicp" and length != 8:
            raise damaged
        elif self.metadata + length - (name in PACKED) > MAX_METADATA:
            raise Fault("LimitExceeded")

    def box(self, name: bytes, content: bytes, damaged: Fault) -> bytes:
        """Sections 6 and 6.1, as far as the content goes; returns type and content, inflated."""
        if name[:1].isupper() and name != b"ALPH":
            raise Fault("UnsupportedVersion")
        if name == b"cicp" and content[2:] != b"\0\1":
            raise damaged
        if name in PACKED:
            if content[:1] not in (b"\0", b"\1"):
                raise damaged
            deflated, content = content[0], content[1:]
            if deflated:
                content = inflate(content, MAX_METADATA - self.metadata - 4, damaged)
        if name in (b"cicp", b"iccp", b"exif", b"xmp ", b"ALPH"):
            self.seen.add(name)
        self.metadata += 0 if name == b"ALPH" else 4 + len(content)
        self.boxes, self.closed = self.boxes + 1, True
        return name + content


def inflate(content: bytes, most: int, damaged: Fault) -> bytes:
    """Expand a zlib stream that nothing follows, but not beyond a size."""
    expander = zlib.decompressobj()
    try:
        data = expander.decompress(content, most + 1)
    except zlib.error:
        raise damaged from None
    if len(data) > most:
        raise Fault("LimitExceeded")
    if not expander.eof or expander.unused_data:
        raise damaged
    return data


def read_alpha(content: bytes, height: int, width: int, damaged: Fault) -> bytes:
    """Section 6.2."""
    expander = zlib.decompressobj()
    try:
        rows = expander.decompress(content, height * (width + 1) + 1)
    except zlib.error:
        raise damaged from None
    if len(rows) != height * (width + 1) or not expander.eof or expander.unused_data:
        raise damaged
    plane = bytearray()
    above = bytes(width)
    for y in range(height):
        kind, *differences = rows[y * (width + 1) : (y + 1) * (width + 1)]
        if kind > 2:
            raise damaged
        row = bytearray()
        for x, d in enumerate(differences):
            left = row[x - 1] if x else 0
            row.append((d + (0, left, above[x])[kind]) % 256)
        plane += row
        above = bytes(row)
    return bytes(plane)


# Section 7

PHASES = {
    2: ((0, 1), (1, 0)),
    4: ((0, 2), (3, 1)),
    5: ((0, 3, 1, 3), (4, 2, 4, 2), (1, 3, 0, 3), (4, 2, 4, 2)),
}
"""Section 7.3."""


class Context:
    """Section 7.6."""

    def __init__(self, data: bytes) -> None:
        assert data[:8] == bytes.fromhex("895247525543 4D0A")
        assert zlib.crc32(data[:-4]) == u(data[-4:])
        version, T, self.K, self.M, entries = struct.unpack_from("<BBHHH", data, 8)
        assert (version, entries) == (1, 353)
        self.data, self.at = data, 16
        sizes = [self.take("H", 3) for _ in range(T)]
        self.table = self.take("H", 353)
        self.layers = [self.layer(C, G, F) for C, G, F in sizes]
        assert self.at == len(data) - 4

    def take(self, kind: str, count: int) -> list[int]:
        values = struct.unpack_from(f"<{count}{kind}", self.data, self.at)
        self.at += struct.calcsize(f"<{count}{kind}")
        return list(values)

    def kernel(self, taps: int, inputs: int, outputs: int) -> list[list[list[int]]]:
        """Return kernel[tap][input][output]."""
        flat = self.take("h", taps * inputs * outputs)
        rows = [flat[n * outputs : (n + 1) * outputs] for n in range(taps * inputs)]
        return [rows[tap * inputs : (tap + 1) * inputs] for tap in range(taps)]

    def layer(self, C: int, G: int, F: int) -> dict[str, Any]:
        K, M = self.K, self.M
        stops = [sum(C // G + (j < C % G) for j in range(g + 1)) for g in range(G)]
        layer: dict[str, Any] = {"C": C, "F": F}
        layer["bounds"] = list(zip([0, *stops], stops, strict=False))
        layer["U"] = self.kernel(9, K, M)
        layer["passes"] = []
        for start, stop in layer["bounds"]:
            for n in [start] + (F - 1) * [stop]:
                one = {"n": n, "V": self.kernel(9, n, M), "v": self.take("i", M)}
                one |= {"W": self.kernel(1, M, M), "w": self.take("i", M)}
                own = stop - start
                one |= {"R": self.kernel(1, M, own), "r": self.take("i", own)}
                layer["passes"].append(one)
        layer |= {"A": self.kernel(9, C, K), "B": self.kernel(1, K, K), "a": self.take("i", K)}
        rows = {2: 4, 4: 10, 5: 12}[F]
        return layer | {"Q": [self.take("h", C) for _ in range(rows)], "q": self.take("i", C // 2)}


def conv(
    X: Grid, kernel: list[list[list[int]]], y: int, x: int, outputs: int, step: int = 1
) -> list[int]:
    """Section 7.4: conv3 for nine taps (wide3 if step is 2), conv1 for one, at a position."""
    total = [0] * outputs
    reach = 1 if len(kernel) == 9 else 0
    side = 2 * reach + 1
    for tap, weights in enumerate(kernel):
        row, column = y + step * (tap // side - reach), x + step * (tap % side - reach)
        if 0 <= row < len(X) and 0 <= column < len(X[0]):
            for value, by_output in zip(X[row][column], weights, strict=False):
                if value:
                    for o, weight in enumerate(by_output):
                        total[o] += value * weight
    return total


def requant(values: list[int]) -> list[int]:
    return [clamp((z + 128) // 256, 0, 255) for z in values]


def add(*parts: list[int]) -> list[int]:
    return [sum(terms) for terms in zip(*parts, strict=True)]


# Section 8


class RangeDecoder:
    """Section 8.3."""

    def __init__(self, payload: bytes) -> None:
        self.payload, self.at = payload, 0
        self.lower, self.range = 0, 2**64 - 1
        self.point = self.word() << 32
        self.point |= self.word()

    def word(self) -> int:
        four = self.payload[self.at : self.at + 4] + bytes(4)
        self.at += 4
        return four[0] << 24 | four[1] << 16 | four[2] << 8 | four[3]

    def bit(self, k: int) -> int:
        c = (65536 - k) * (2**24 - 2) // 65536 + 1
        scale = self.range // 2**24
        q = (self.point - self.lower) % 2**64 // scale
        if q >= 2**24:
            raise ValueError
        bit = 0 if q < c else 1
        if bit:
            self.lower = (self.lower + scale * c) % 2**64
            self.range = scale * (2**24 - c)
        else:
            self.range = scale * c
        if self.range < 2**32:
            self.lower = self.lower * 2**32 % 2**64
            self.range = self.range * 2**32 % 2**64
            self.point = self.point * 2**32 % 2**64 + self.word()
        return bit


class Learned:
    """Section 7.7: what the model learns in a group."""

    def __init__(self, channels: int) -> None:
        self.n = 0
        self.shift, self.slope = [0] * channels, [0] * channels
        self.known, self.sure = [20 * 2**16] * channels, [50 * 2**24] * channels

    def chunk(self) -> int:
        """Section 7.3."""
        return max(16, min(512, self.n // 4))

    def corrected(self, i: int, j: int) -> int:
        """Section 7.4, step 2.7."""
        return clamp(i + (self.shift[j] + self.slope[j] * i + 2048) // 4096, -176, 176)

    def learn(self, met: list[list[tuple[int, int, int]]]) -> None:
        """Take i, k and the code at each position of a chunk, for each channel."""
        self.n += len(met[0])
        for j, column in enumerate(met):
            e = [65536 - k if code == 1 else -k for _, k, code in column]
            w = [k * (65536 - k) // 65536 for _, k, _ in column]
            i = [i for i, _, _ in column]
            self.known[j] = min(self.known[j], 200 * 2**16) + sum(w)
            self.sure[j] = min(self.sure[j], 1000 * 2**24)
            self.sure[j] += sum(a * b * b for a, b in zip(w, i, strict=True))
            step = 65536 * sum(e) // self.known[j]
            self.shift[j] = clamp(self.shift[j] + step, -176 * 4096, 176 * 4096)
            step = 65536 * sum(a * b for a, b in zip(e, i, strict=True)) // self.sure[j]
            self.slope[j] = clamp(self.slope[j] + step, -4096, 4096)


class Picture:
    """The codes of one file, group by group (sections 5, 7 and 8)."""

    def __init__(self, context: Context, height: int, width: int) -> None:
        self.context = context
        self.h, self.w = math.ceil(height / 16), math.ceil(width / 16)
        self.t, self.g = 0, 0  # whole layers; groups of the next one
        self.state = self.empty(context.K)
        self.codes: Grid = []
        self.before: Grid = []  # codes of the last whole layer
        self.digests: list[str] = []

    def empty(self, channels: int) -> Grid:
        return [[[0] * channels for _ in range(self.w)] for _ in range(self.h)]

    def add_group(self, payload: bytes, layer: int, offset: int) -> None:
        weights = self.context.layers[self.t]
        if not self.g:
            self.codes = self.empty(weights["C"])
        start, stop = weights["bounds"][self.g]
        decoder = RangeDecoder(payload)
        try:
            learned = Learned(stop - start)
            for phase in range(weights["F"]):
                # All of a pass is predicted before any of it is known.
                places = [(y, x) for y in range(self.h) for x in range(self.w)]
                square = PHASES[weights["F"]]
                side = len(square)
                places = [(y, x) for y, x in places if square[y % side][x % side] == phase]
                logits = self.logits(self.g, phase, places)
                while places:
                    size = learned.chunk()
                    self.add_chunk(decoder, places[:size], logits[:size], learned)
                    del places[:size], logits[:size]
        except ValueError:
            raise Fault("Damaged", layer, offset) from None
        self.g += 1
        if self.g == len(weights["bounds"]):
            self.end_layer(weights)

    def add_chunk(
        self,
        decoder: RangeDecoder,
        places: list[tuple[int, int]],
        logits: list[list[int]],
        learned: Learned,
    ) -> None:
        """Section 7.3: the codes of a chunk."""
        start, stop = self.context.layers[self.t]["bounds"][self.g]
        met: list[list[tuple[int, int, int]]] = [[] for _ in range(stop - start)]
        for channels in ([j for j in range(start, stop) if j % 2 == odd] for odd in (0, 1)):
            for (y, x), row in zip(places, logits, strict=True):
                for j in channels:
                    i = self.partner(row[j - start], y, x, j)
                    moved = learned.corrected(i, j - start)
                    k = self.context.table[moved + 176]
                    self.codes[y][x][j] = 2 * decoder.bit(k) - 1
                    met[j - start].append((i, k, self.codes[y][x][j]))
        learned.learn(met)

    def partner(self, i: int, y: int, x: int, j: int) -> int:
        """Section 7.4, step 2.6."""
        if j % 2 and self.codes[y][x][j - 1] == 1:
            i = clamp(i + self.context.layers[self.t]["q"][j // 2], -176, 176)
        return i

    def own(self, known: Grid, phase: int, y: int, x: int, j: int) -> int:
        """Section 7.4, step 2.4: the term of a channel."""
        weights = self.context.layers[self.t]
        C, Q = weights["C"], weights["Q"]

        def at(grid: Grid, y: int, x: int, j: int) -> int:
            inside = 0 <= y < len(grid) and 0 <= x < len(grid[0]) and j < min(C, len(grid[y][x]))
            return grid[y][x][j] if inside else 0

        total = 0
        for row, channel in ((0, j), (1, j ^ 1)):
            total += Q[row][j] * 64 * at(self.before, y, x, channel)
            edges = ((y - 1, x), (y, x - 1), (y, x + 1), (y + 1, x))
            far = ((y - 2, x), (y, x - 2), (y, x + 2), (y + 2, x))
            corners = ((y - 1, x - 1), (y - 1, x + 1), (y + 1, x - 1), (y + 1, x + 1))
            kinds: dict[tuple[int, int], list[tuple[int, tuple[tuple[int, int], ...]]]] = {
                (2, 1): [(2, edges)],
                (4, 1): [(2, corners)],
                (4, 2): [(4, edges)],
                (4, 3): [(6, edges), (8, corners)],
                (5, 1): [(2, far)],
                (5, 2): [(4, corners)],
                (5, 3): [(6, edges)],
                (5, 4): [(8, edges), (10, corners)],
            }
            for first, around in kinds.get((weights["F"], phase), []):
                total += Q[first + row][j] * sum(at(known, v, u, channel) for v, u in around)
        return total

    def logits(self, g: int, phase: int, places: list[tuple[int, int]]) -> list[list[int]]:
        """Section 7.4, steps 2.1 to 2.5: i of each channel of a group at some positions."""
        n = self.context.layers[self.t]["bounds"][g][1 if phase else 0]
        known = [[[64 * code for code in cell[:n]] for cell in row] for row in self.codes]
        return [self.logits_at(g, phase, known, y, x) for y, x in places]

    def logits_at(self, g: int, phase: int, known: Grid, y: int, x: int) -> list[int]:
        M = self.context.M
        weights = self.context.layers[self.t]
        one = weights["passes"][weights["F"] * g + phase]
        u = conv(self.state, weights["U"], y, x, M)
        step = 2 if (weights["F"], phase) == (5, 1) else 1
        h = requant(add(u, conv(known, one["V"], y, x, M, step), one["v"]))
        h = requant(add(conv([[h]], one["W"], 0, 0, M), one["w"]))
        z = add(conv([[h]], one["R"], 0, 0, len(one["r"])), one["r"])
        start, stop = weights["bounds"][g]
        z = add(z, [self.own(known, phase, y, x, j) for j in range(start, stop)])
        return [clamp((v + 512) // 1024, -176, 176) for v in z]

    def end_layer(self, weights: dict[str, Any]) -> None:
        """Section 7.4, step 3."""
        self.digests.append(self.digest())
        e = [[[64 * code for code in cell] for cell in row] for row in self.codes]
        K = self.context.K
        after = self.empty(K)
        for y in range(self.h):
            for x in range(self.w):
                total = conv(e, weights["A"], y, x, K)
                total = add(total, conv([[self.state[y][x]]], weights["B"], 0, 0, K))
                after[y][x] = requant(add(total, weights["a"]))
        self.state = after
        self.before = self.codes
        self.t, self.g = self.t + 1, 0

    def digest(self) -> str:
        """Section 8.6."""
        flat = [code for row in self.codes for cell in row for code in cell]
        return hashlib.sha256(bytes(code % 256 for code in flat)).hexdigest()

    def unfinished(self) -> dict[str, Any] | None:
        """Sections 8.5 and 12."""
        if not self.g:
            return None
        bounds = self.context.layers[self.t]["bounds"]
        places = [(y, x) for y in range(self.h) for x in range(self.w)]
        missing = range(self.g, len(bounds))
        logits = [self.logits(g, 0, places) for g in missing]
        values = []
        for (y, x), *rows in zip(places, *logits, strict=True):
            values += [32768 * code for code in self.codes[y][x][: bounds[self.g][0]]]
            every = enumerate([i for row in rows for i in row], bounds[self.g][0])
            values += [self.context.table[self.partner(i, y, x, j) + 176] - 32768 for j, i in every]
        packed = struct.pack(f"<{len(values)}i", *values)
        return {
            "groups": self.g,
            "codes": self.digest(),
            "expectation": hashlib.sha256(packed).hexdigest(),
        }


def read(data: bytes, contexts: dict[bytes, Context]) -> dict[str, Any]:
    """Return what section 12 says of a valid file.

    Raises:
        Fault: the file is not valid.
    """
    header = read_header(data)
    if header["model"] not in contexts:
        raise Fault("ModelMissing")
    height, width = header["height"], header["width"]
    context = contexts[header.pop("model")]
    picture = Picture(context, height, width)
    boxes: list[dict[str, str]] = []
    plane = None
    elements = Elements(data, header, context)
    for kind, payload, offset, layer in elements:
        if kind != 2:
            picture.add_group(payload, layer, offset)
            continue
        content = payload[4:]
        digest = hashlib.sha256(content).hexdigest()
        boxes.append({"type": payload[:4].decode("ascii"), "sha256": digest})
        if payload[:4] == b"ALPH":
            alpha = read_alpha(content, height, width, Fault("Damaged", layer, offset))
            plane = hashlib.sha256(alpha).hexdigest()
    found: dict[str, Any] = {"boxes": boxes, "alpha_plane": plane, "layers": picture.digests}
    found |= {"unfinished": picture.unfinished(), "ignored": elements.ignored}
    return header | found


def main(folder: Path, files: list[Path]) -> None:
    contexts = {}
    for path in folder.glob("*.bin"):
        data = path.read_bytes()
        contexts[hashlib.sha256(data).digest()[:4]] = Context(data)
    results = {}
    for path in files:
        try:
            results[path.stem] = read(path.read_bytes(), contexts)
        except Fault as fault:
            results[path.stem] = fault.report
    json.dump(results, sys.stdout, indent=1)


if __name__ == "__main__":
    main(Path(sys.argv[1]), [Path(name) for name in sys.argv[2:]])
