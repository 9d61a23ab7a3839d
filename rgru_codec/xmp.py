"""XMP that is too long for one segment of a JPEG (XMP specification, part 3, 1.1.3.1).

What has no room stands in further segments as a packet of its own, *Extended XMP*. The first packet
names it by its MD5.
"""

from __future__ import annotations

import dataclasses
import hashlib
import re
from collections.abc import Iterator, Mapping
from xml.parsers import expat

NAME, EXTENSION = b"http://ns.adobe.com/xap/1.0/\0", b"http://ns.adobe.com/xmp/extension/\0"
"""What the segments begin with."""
MOST = 65502
"""Bytes of the first packet."""
_PIECE = 65400
"""Bytes of the extension in a segment."""
_NOTE = (
    b'<rdf:Description rdf:about="" xmlns:xmpNote="http://ns.adobe.com/xmp/note/" '
    b'xmpNote:HasExtendedXMP="%s"/>'
)
_RDF = "http://www.w3.org/1999/02/22-rdf-syntax-ns#"
_PADDING = rb">\s{64,}<"
"""Room to edit a packet in place, which stands between tags."""
_RDF_START, _RDF_END = rb"<rdf:RDF[^<>]*>", b"</rdf:RDF"
_ATTRIBUTE = re.compile(rb"""\s+([\w.:-]+)\s*=\s*(?:"[^"]*"|'[^']*')""")
_TAG = re.compile(rb"<[\w.:-]+(?:" + _ATTRIBUTE.pattern + rb")*\s*/?>")


def joined(main: bytes, pieces: Mapping[bytes, Mapping[int, bytes]]) -> bytes | None:
    """Return XMP with its extension put in; None if they do not belong together.

    Args:
        main: The first packet.
        pieces: By name, the extension's bytes by their offsets.
    """
    named = re.search(rb"""xmpNote:HasExtendedXMP\s*(?:=\s*["']|>\s*)([0-9A-Fa-f]{32})""", main)
    if named is None or named[1].upper() not in {key.upper() for key in pieces}:
        return None
    parts = next(found for key, found in pieces.items() if key.upper() == named[1].upper())
    extension = b"".join(parts[offset] for offset in sorted(parts))
    if _digest(extension).encode() != named[1].upper():
        return None
    start, stop = re.search(_RDF_START, extension), extension.rfind(_RDF_END)
    end = main.rfind(_RDF_END)
    if start is None or stop < start.end() or end < 0 or b"<!" in main + extension:
        return None
    head = re.sub(rb"""\s?xmpNote:HasExtendedXMP\s*=\s*(?:"[^"]*"|'[^']*')""", b"", main[:end])
    head = re.sub(rb"<xmpNote:HasExtendedXMP>[^<]*</xmpNote:HasExtendedXMP>", b"", head)
    head = head.replace(_NOTE.replace(b' xmpNote:HasExtendedXMP="%s"', b""), b"")
    result = head + extension[start.end() : stop].strip() + main[end:]
    try:  # a namespace that only the extension's frame declares would be missing
        expat.ParserCreate(namespace_separator=" ").Parse(result.strip(b"\0 \r\n\t"), True)
    except (expat.ExpatError, ValueError, LookupError):
        return None
    return result


def segments(xmp: bytes) -> bytes | None:
    """Return the APP1 segments of a JPEG that hold XMP; None if it cannot be taken apart."""
    if len(xmp) > MOST:
        xmp = re.sub(_PADDING, b">\n<", xmp)
    if len(xmp) <= MOST:
        return _segment(NAME + xmp)
    found = split(xmp)
    if found is None:
        return None
    main, extension = found
    head = EXTENSION + _digest(extension).encode() + len(extension).to_bytes(4, "big")
    return _segment(NAME + main) + b"".join(
        _segment(head + at.to_bytes(4, "big") + extension[at : at + _PIECE])
        for at in range(0, len(extension), _PIECE)
    )


def _segment(content: bytes) -> bytes:
    return b"\xff\xe1" + (len(content) + 2).to_bytes(2, "big") + content


def _digest(extension: bytes) -> str:
    return hashlib.md5(extension, usedforsecurity=False).hexdigest().upper()


def split(xmp: bytes) -> tuple[bytes, bytes] | None:
    """Return a first packet of ``MOST`` bytes at most and its extension, which has the largest.

    Properties keep their bytes; those that are attributes become elements in the extension.

    Args:
        xmp: A packet, UTF-8.

    Returns:
        None if it is no XMP, or nothing that is to be moved has a name.
    """
    start, end = re.search(_RDF_START, xmp), xmp.rfind(_RDF_END)
    try:
        properties = list(_properties(xmp))
    except (expat.ExpatError, ValueError, LookupError, IndexError):
        return None
    if start is None or end < 0 or b"<!" in xmp:
        return None
    note = _NOTE % (b"0" * 32)
    excess, moved = len(xmp) + len(note) - MOST, list[_Property]()
    for one in sorted(properties, key=lambda one: one.start - one.stop):
        if excess > 0:
            moved.append(one)
            excess -= one.stop - one.start
    if excess > 0:
        return None
    moved.sort(key=lambda one: one.start)
    bodies = b"".join(one.head + one.element(xmp) + b"</rdf:Description>" for one in moved)
    extension = b'<x:xmpmeta xmlns:x="adobe:ns:meta/">' + start[0] + bodies
    extension += b"</rdf:RDF></x:xmpmeta>"
    kept, last = b"", 0
    for one in moved:
        kept, last = kept + xmp[last : one.start], one.stop
    note = note.replace(b"0" * 32, _digest(extension).encode())
    return kept + xmp[last:end] + note + xmp[end:], extension


@dataclasses.dataclass(frozen=True)
class _Property:
    """A property of a description, an element or an attribute with the space before it."""

    start: int
    stop: int
    name: bytes
    """Of an attribute; empty of an element."""
    head: bytes
    """The start tag of its description, with namespaces and without properties."""

    def element(self, xmp: bytes) -> bytes:
        """Return it as an element."""
        text = xmp[self.start : self.stop]
        if not self.name:
            return text
        value = text.split(b"=", 1)[1].strip()[1:-1]
        return b"<" + self.name + b">" + value + b"</" + self.name + b">"


def _properties(xmp: bytes) -> Iterator[_Property]:
    """The properties of all descriptions; raises what expat does, ValueError or LookupError."""
    parser = expat.ParserCreate(namespace_separator=" ")
    found = list[_Property]()
    path: list[tuple[str, re.Match[bytes], bytes]] = []

    def start_element(name: str, attributes: object) -> None:
        tag, head = _TAG.match(xmp, parser.CurrentByteIndex), b""
        if tag is None:
            raise ValueError("a tag that is not UTF-8")
        if name == f"{_RDF} Description" and [one[0] for one in path[-1:]] == [f"{_RDF} RDF"]:
            head, inside = _without_properties(tag[0])
            at = tag.start()
            found.extend(_Property(at + a.start(), at + a.end(), a[1], head) for a in inside)
        path.append((name, tag, head))

    def end_element(name: str) -> None:
        _, tag, _ = path.pop()
        if path and (head := path[-1][2]):
            alone = tag[0].endswith(b"/>")
            stop = tag.end() if alone else xmp.index(b">", parser.CurrentByteIndex) + 1
            found.append(_Property(tag.start(), stop, b"", head))

    parser.StartElementHandler, parser.EndElementHandler = start_element, end_element
    parser.Parse(xmp, True)
    return iter(found)


def _without_properties(tag: bytes) -> tuple[bytes, list[re.Match[bytes]]]:
    """Take the properties out of a description's start tag; returns it, not closed, and them."""
    kept, properties = b"<rdf:Description", []
    for one in _ATTRIBUTE.finditer(tag):
        if one[1].startswith((b"xmlns", b"rdf:", b"xml:")):
            kept += one[0]
        else:
            properties.append(one)
    return kept + b">", properties
