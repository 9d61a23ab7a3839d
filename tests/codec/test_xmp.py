"""XMP that is too long for one segment of a JPEG."""

from __future__ import annotations

import io
from pathlib import Path
from xml.etree import ElementTree

import pytest
from PIL import Image

import rgru_codec
from rgru_codec import xmp
from rgru_codec.cli import main
from rgru_codec.foreign import facts_of

from .conftest import photo

RDF = "{http://www.w3.org/1999/02/22-rdf-syntax-ns#}"
FRAME = (
    '<?xpacket begin="" id="W5M0MpCehiHzreSzNTczkc9d"?><x:xmpmeta xmlns:x="adobe:ns:meta/">'
    f'<rdf:RDF xmlns:rdf="{RDF[1:-1]}">%s</rdf:RDF></x:xmpmeta>%s<?xpacket end="w"?>'
)
START = '<rdf:Description rdf:about="" xmlns:a="urn:a/" xmlns:b="urn:b/"%s>'
LONG = "long text &lt;é&gt; " * 5000

TEXTS = {
    "element": START % "" + f"<a:long>{LONG}</a:long><a:short>s</a:short></rdf:Description>",
    "attribute": START % f' a:long="{LONG}" b:arrow="->" a:short="s"' + "</rdf:Description>",
    "alone": START[:-1] % f" a:arrow='> \"' b:long='{LONG}'" + "/>",
    "bag": START % ""
    + "<a:none/><b:bag><rdf:Bag>"
    + "<rdf:li>item &amp; more</rdf:li>" * 4000
    + "</rdf:Bag></b:bag><a:none2 b:q='1'/></rdf:Description>",
    "many": "".join(
        START % f' a:p{n}="{n}"' + f"<b:q{n}>{'words ' * (1000 + n)}</b:q{n}></rdf:Description>\n"
        for n in range(30)
    ),
}


def properties(packet: bytes) -> set[tuple[str, str]]:
    """Names and contents of all properties."""
    found = set[tuple[str, str]]()
    for one in ElementTree.fromstring(packet.strip(b"\0")).iter(f"{RDF}Description"):
        found |= {(n, v) for n, v in one.attrib.items() if not n.startswith(RDF)}
        for child in one:
            bare = not len(child) and not child.attrib
            shown = (child.text or "") if bare else ElementTree.tostring(child, "unicode").strip()
            found.add((child.tag, shown))
    return found


@pytest.mark.parametrize("name", TEXTS)
def test_long_xmp_is_split_into_segments_and_joined_again(name: str) -> None:
    packet = (FRAME % (TEXTS[name], " " * 3000)).encode()
    segments = xmp.segments(packet)
    assert segments is not None
    jpeg = io.BytesIO()
    Image.fromarray(photo(16, 24)).save(jpeg, "JPEG", extra=segments)
    with Image.open(jpeg) as image:
        facts = facts_of(image)
        first = image.info["xmp"]
    assert len(first) <= 65502
    assert b"HasExtendedXMP" in first
    assert facts.xmp is not None
    assert facts.notes == ()
    assert b"xmpNote" not in facts.xmp
    assert properties(facts.xmp) == properties(packet)
    if name != "alone":  # what is short stays where every reader finds it
        assert len(properties(first)) > 1


def test_padding_alone_needs_no_second_segment() -> None:
    short = START % "" + "<a:short>s</a:short></rdf:Description>"
    found = xmp.segments((FRAME % (short, " " * 70_000)).encode())
    assert found is not None
    assert len(found) < 1000
    assert xmp.EXTENSION not in found
    bare = xmp.segments(b'<x:xmpmeta xmlns:x="adobe:ns:meta/">' + b" " * 70_000 + b"</x:xmpmeta>")
    assert bare is not None
    assert bare.endswith(b'<x:xmpmeta xmlns:x="adobe:ns:meta/">\n</x:xmpmeta>')


@pytest.mark.parametrize(
    "packet", [bytes(70_000), b"<x/>" * 20_000, b"<" * 70_000, b" " * 200_000, b"\xff\xfe" * 40_000]
)
def test_what_is_no_xmp_is_not_split(packet: bytes) -> None:
    assert xmp.segments(packet) is None


def test_long_xmp_goes_through_the_command_line(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.chdir(tmp_path)
    packet = (FRAME % (TEXTS["many"], "")).encode()
    Path("a.rgru").write_bytes(rgru_codec.compress(photo(16, 24), layers=1, xmp=packet))
    assert main(["decompress", "a.rgru", "-o", "a.jpg"]) == 0
    assert main(["compress", "a.jpg", "-o", "b.rgru", "-l", "1"]) == 0
    assert "left out" not in capsys.readouterr().err
    assert properties(rgru_codec.decompress("b.rgru").info["xmp"]) == properties(packet)
