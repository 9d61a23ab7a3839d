"""Pictures to be compressed: found in folders, read as 8-bit RGB or grey, checked with words.

All contestants get the same pixels and nothing else: the orientation tag is applied, then
profiles and every other piece of metadata are dropped, so no codec pays for what another one
throws away.
"""

from __future__ import annotations

import hashlib
from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    import numpy as np
    import numpy.typing as npt
    from PIL.Image import Image

SUFFIXES = frozenset(
    (".png", ".ppm", ".pgm", ".bmp", ".tif", ".tiff", ".jpg", ".jpeg", ".webp", ".avif", ".gif")
)
LOSSY_SUFFIXES = frozenset((".jpg", ".jpeg", ".avif"))


class EvalError(Exception):
    """Something the user can mend: the message says what, where and how."""


@dataclass(frozen=True)
class Source:
    """One picture file: the set it belongs to, its name in that set, and where it lies."""

    set: str
    name: str
    path: Path

    @property
    def id(self) -> str:
        """``set/name``, unique within one results file."""
        return f"{self.set}/{self.name}"


@dataclass(frozen=True)
class Picture:
    """A picture in memory: mode ``RGB`` or ``L``, no metadata; ``notes`` say what was changed."""

    image: Image
    notes: tuple[str, ...]

    @property
    def pixels(self) -> int:
        """Width times height."""
        return self.image.width * self.image.height

    def digest(self) -> str:
        """SHA-256 of mode, size and pixels: the same picture in another file has the same one."""
        head = f"{self.image.mode} {self.image.width}x{self.image.height}\n".encode()
        return hashlib.sha256(head + self.image.tobytes()).hexdigest()


def find_pictures(folders: Iterable[str]) -> list[Source]:
    """List the pictures of each folder (or single file); ``NAME=FOLDER`` names the set.

    Without a name the set is called as the folder is. Sub-folders are not entered. Raises
    EvalError for a folder that is absent or holds no picture.
    """
    sources: list[Source] = []
    taken: dict[str, Path] = {}
    for text in folders:
        label, folder = _split_label(text)
        if not folder.exists():
            raise EvalError(f"{text}: no such file or folder")
        home = folder if folder.is_dir() else folder.parent
        label = _unique(label or home.resolve().name or "pictures", home.resolve(), taken)
        files = sorted(folder.iterdir()) if folder.is_dir() else [folder]
        found = [Source(label, p.stem, p) for p in files if p.suffix.lower() in SUFFIXES]
        if not found:
            known = " ".join(sorted(SUFFIXES))
            raise EvalError(f"{text}: no pictures here; file names ending in {known} are read")
        sources += [s for s in found if s.path not in {known.path for known in sources}]
    return _distinct_names(sources)


def _split_label(text: str) -> tuple[str, Path]:
    """Split ``name=folder``; a plain existing path that holds ``=`` stays whole."""
    label, equals, rest = text.partition("=")
    if equals and not Path(text).exists():
        return label, Path(rest)
    return "", Path(text)


def _unique(label: str, home: Path, taken: dict[str, Path]) -> str:
    """Return the label, numbered if another folder has it already."""
    label = label.replace("/", "-")
    candidate, number = label, 2
    while taken.get(candidate, home) != home:
        candidate, number = f"{label}-{number}", number + 1
    taken[candidate] = home
    return candidate


def _distinct_names(sources: Sequence[Source]) -> list[Source]:
    """Use whole file names where two files of one set differ in their suffix only."""
    stems = [s.id for s in sources]
    return [s if stems.count(s.id) == 1 else Source(s.set, s.path.name, s.path) for s in sources]


def read_picture(path: Path) -> Picture:
    """Read one picture as 8-bit RGB or grey.

    Raises EvalError for files that are broken, animated or deeper than 8 bits: rounding those
    in silence would change what is measured.
    """
    from PIL import Image, ImageOps

    notes: list[str] = []
    try:
        with Image.open(path) as opened:
            if getattr(opened, "n_frames", 1) > 1:
                raise EvalError(f"{path.name}: an animation; give one frame as a file of its own")
            opened.load()
            image = ImageOps.exif_transpose(opened)
    except EvalError:
        raise
    except Exception as error:  # decoders raise many kinds; each means "cannot be read"
        raise EvalError(f"{path.name}: cannot be read ({type(error).__name__}: {error})") from error
    if path.suffix.lower() in LOSSY_SUFFIXES:
        notes.append("the source was compressed with losses before")
    if image.mode.startswith(("I", "F")):
        raise EvalError(f"{path.name}: more than 8 bits a sample; convert it to 8 bits first")
    if image.info.get("icc_profile"):
        notes.append("colour profile dropped, pixels taken as sRGB")
    image = _flatten(image, notes)
    clean = Image.frombytes(image.mode, image.size, image.tobytes())
    return Picture(clean, tuple(notes))


def _flatten(image: Image, notes: list[str]) -> Image:
    """Turn any 8-bit mode into RGB or L; what is transparent is laid on white."""
    from PIL import Image as Pil

    if image.mode in ("RGB", "L"):
        return image
    if image.mode in ("RGBA", "LA", "PA") or "transparency" in image.info:
        notes.append("transparency laid on white")
        layer = image.convert("RGBA")
        base = Pil.new("RGBA", layer.size, "white")
        flat = Pil.alpha_composite(base, layer)
        return flat.convert("L" if image.mode == "LA" else "RGB")
    if image.mode == "1":
        return image.convert("L")
    if image.mode != "P":
        notes.append(f"converted from {image.mode} to RGB")
    return image.convert("RGB")


def pixels_of(image: Image) -> npt.NDArray[np.uint8]:
    """Return uint8 samples 0..255, shape (height, width, channels), channels 1 or 3."""
    import numpy as np

    array = np.asarray(image, dtype=np.uint8)
    return array[..., None] if array.ndim == 2 else array
