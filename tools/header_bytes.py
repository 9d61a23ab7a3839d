"""What stands before the first picture, for docs/measured.md.

    python -m tools.header_bytes --images KODAK

For each kind of metadata: bytes from the start of a file to its first layer, and bytes of all
metadata, once as the format began (profile, Exif and XMP as they are, before the first layer) and
once as files are now. Metadata is made by arithmetic: a profile of 3 144 bytes that says sRGB in
curves of 1024 points, as most cameras write it; Exif with a thumbnail; XMP of an editor.
"""

from __future__ import annotations

import argparse
import io
import random
import statistics
import struct
from collections.abc import Iterator
from pathlib import Path

import numpy as np
from PIL import Image

import rgru_codec
from rgru_codec import colour
from rgru_format import Limits, inspect
from rgru_format.boxes import METADATA_BOXES
from rgru_format.container import HEADER_SIZE, pack_head

_SRGB_BYTES = 3144
_THUMBNAIL = 12_000


def usual_srgb() -> bytes:
    """Return a profile of 3 144 bytes that means sRGB, with curves of 1024 points."""
    srgb = colour.ColourSpace(colour.PRIMARIES[1], 13)
    light = np.rint(colour.to_light(srgb, np.linspace(0, 1, 1024)) * 65535)
    curve = b"curv\0\0\0\0" + struct.pack(">I", 1024) + light.astype(">u2").tobytes()
    small = colour.profile_of(srgb)
    tags = {name: small[at : at + size] for name, at, size in _table(small)}
    tags |= dict.fromkeys((b"rTRC", b"gTRC", b"bTRC"), curve)
    tags.pop(b"cicp", None)
    tags[b"vued"] = words = b"text\0\0\0\0"
    missing = _SRGB_BYTES - len(_profile(small, tags))
    tags[b"vued"] = words + (b"Reference viewing condition in IEC 61966-2-1. " * 30)[:missing]
    return _profile(small, tags)


def _table(profile: bytes) -> Iterator[tuple[bytes, int, int]]:
    (count,) = struct.unpack_from(">I", profile, 128)
    return struct.iter_unpack(">4sII", profile[132 : 132 + 12 * count])


def _profile(like: bytes, tags: dict[bytes, bytes]) -> bytes:
    """Return a profile with the header of another; equal tags share their place."""
    at, body, table = 132 + 12 * len(tags), b"", b""
    places: dict[bytes, int] = {}
    for name, content in tags.items():
        if content not in places:
            places[content] = at + len(body)
            body += content + bytes(-len(content) % 4)
        table += struct.pack(">4sII", name, places[content], len(content))
    head = struct.pack(">I", at + len(body)) + like[4:128] + struct.pack(">I", len(tags))
    return head + table + body


def exif() -> bytes:
    """Return Exif of a camera: some tags, and a thumbnail that does not deflate."""
    made = Image.Exif()
    made[0x010F], made[0x0110] = "A maker of cameras", "Model 1"
    made[0x9286] = b"ASCII\0\0\0" + b"comment " * 30
    return made.tobytes() + random.Random(1).randbytes(_THUMBNAIL)


def xmp() -> bytes:
    """Return XMP of an editor: words, and the two kilobytes of spaces that it leaves to fill in."""
    words = "".join(f"<crs:Setting{n}>{n * 7 % 100}</crs:Setting{n}>\n" for n in range(60))
    return f"<x:xmpmeta xmlns:x='adobe:ns:meta/'>{words}</x:xmpmeta>{' ' * 2048}".encode()


def kinds() -> Iterator[tuple[str, dict[str, bytes]]]:
    """Yield words and the metadata that a picture carries."""
    wide = (0.3127, 0.3290, 0.64, 0.33, 0.21, 0.71, 0.15, 0.06)
    adobe = colour.profile_of(colour.ColourSpace(wide, None, 2.19921875))
    p3 = colour.profile_of(colour.ColourSpace(colour.PRIMARIES[12], 13))
    yield "nothing", {}
    yield "sRGB profile of 3 144 bytes", {"icc_profile": usual_srgb()}
    yield "Display P3 profile", {"icc_profile": p3}
    yield "another profile (gamma 2.2, wide)", {"icc_profile": adobe}
    camera = {"icc_profile": usual_srgb(), "exif": exif()}
    yield "a camera's: sRGB profile, Exif", camera
    yield "an editor's: sRGB profile, Exif, XMP", camera | {"xmp": xmp()}


def measured(photo: Image.Image, metadata: dict[str, bytes]) -> tuple[int, int, int, int]:
    """Return bytes before the first layer and of all metadata, before and after."""
    source = io.BytesIO()
    photo.save(source, "WEBP", quality=90, method=0, **metadata)
    report = inspect(rgru_codec.compress(source.getvalue(), layers=1), Limits())
    raw = sum(_element(4 + len(content)) for content in metadata.values())
    now = sum(one.end - one.offset for one in report.boxes)
    assert {one.box.type for one in report.boxes} <= {*METADATA_BOXES, b"cicp"}
    return HEADER_SIZE + raw, report.layers[0].offsets[0], raw, now


def _element(payload: int) -> int:
    return len(pack_head(2, payload)) + 2 + payload


def main() -> None:
    """Read the command line."""
    parser = argparse.ArgumentParser(description=(__doc__ or "").splitlines()[0])
    parser.add_argument(
        "--images", type=Path, required=True, help="folder of photos, such as Kodak"
    )
    paths = sorted(parser.parse_args().images.glob("*.png"))
    print("| metadata | to the first layer | now | all metadata | now |")
    print("|---|---:|---:|---:|---:|")
    for words, metadata in kinds():
        rows = []
        for path in paths:
            with Image.open(path) as photo:
                rows.append(measured(photo.convert("RGB").crop((0, 0, 64, 64)), metadata))
        medians = (round(statistics.median(column)) for column in zip(*rows, strict=True))
        columns = (f"{median:,}".replace(",", " ") for median in medians)
        print(f"| {words} | {' | '.join(columns)} |")


if __name__ == "__main__":
    main()
