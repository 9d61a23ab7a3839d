"""How much text survives: lines of known words, coded at a ladder of rates, read by an OCR engine.

Cards are made by a seed: lines in several sizes, fonts, contrasts and rotations on photos and on
plain grounds. The engine is told where a line lies, so that reading counts and finding does not.
The character error rate is the edit distance over the length of the text, spaces aside, 1 at most.
"""

from __future__ import annotations

import shutil
import subprocess
import tempfile
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd
from PIL import Image, ImageDraw, ImageFont

from rgru_eval.errors import EvalError, UnavailableError
from rgru_eval.measure.codecs import Codec, Step
from rgru_eval.measure.machine import version_of
from rgru_eval.measure.progress import bar
from rgru_eval.show.plots import draw_figure, look_of, rate_axis
from rgru_eval.show.style import styles
from rgru_eval.show.tables import markdown

WIDTH, HEIGHT = 512, 384
SIZES = (10, 13, 17, 22, 30)
"""Heights of the letters' em square, in pixels; one line of each on a card."""
CONTRASTS = (0.9, 0.5)
"""Distance of the text from the ground, as a part of the distance to black or white."""
ANGLES = (0.0, 0.0, -4.0, 7.0)
"""Degrees, against the clock."""
FONTS = ("DejaVuSans", "DejaVuSerif", "DejaVuSansMono", "DejaVuSans-Bold", "STIXGeneral")
"""Of the matplotlib package."""
PHOTOS = ("astronaut", "chelsea", "coffee", "rocket")
"""Of scikit-image's package."""
SYLLABLES = ("ba", "ce", "di", "fo", "gu", "ha", "je", "ki", "lo", "mu", "na", "pe", "qui", "ro")
SETTINGS = 7
"""Steps of a codec's ladder that are measured, spread over it."""
RATES = (0.1, 0.2, 0.4, 0.8)
"""Bits per pixel at which the table gives the error."""


@dataclass(frozen=True)
class Line:
    """A line of text on a card."""

    text: str
    size: int
    font: str
    contrast: float
    angle: float
    centre: tuple[int, int]
    box: tuple[int, int]
    """Width and height before the rotation, with a margin."""


@dataclass(frozen=True)
class Card:
    """A picture with lines of known text."""

    image: Image.Image
    ground: str
    lines: tuple[Line, ...]


def make_cards(count: int, seed: int = 0) -> list[Card]:
    """Make cards, photos and plain grounds in turn; the same for the same seed."""
    return [_card(np.random.default_rng([seed, number]), number) for number in range(count)]


def _card(random: np.random.Generator, number: int) -> Card:
    image, ground = _photo(random, number // 2) if number % 2 else _plain(random)
    lines, top = [], 8
    for size in random.permutation(SIZES).tolist():
        line = _line(random, size, top)
        image = _drawn(image, line)
        lines.append(line)
        top += _rows(line.box, line.angle)
    return Card(image, ground, tuple(lines))


def _plain(random: np.random.Generator) -> tuple[Image.Image, str]:
    colour = tuple(int(level) for level in random.integers(20, 236, 3))
    return Image.new("RGB", (WIDTH, HEIGHT), colour), "plain"


def _photo(random: np.random.Generator, number: int) -> tuple[Image.Image, str]:
    from skimage import data

    name = PHOTOS[number % len(PHOTOS)]
    photo = Image.fromarray(getattr(data, name)())
    scale = max(WIDTH / photo.width, HEIGHT / photo.height, 1.0)
    photo = photo.resize((round(photo.width * scale), round(photo.height * scale)))
    x = int(random.integers(0, photo.width - WIDTH + 1))
    y = int(random.integers(0, photo.height - HEIGHT + 1))
    return photo.crop((x, y, x + WIDTH, y + HEIGHT)), name


def _line(random: np.random.Generator, size: int, top: int) -> Line:
    name = str(random.choice(FONTS))
    font, text = _font(name, size), ""
    while not text or font.getlength(text) < 0.5 * WIDTH:
        text = f"{text} {_word(random)}".strip()
    left, upper, right, lower = font.getbbox(text)
    box = (int(right - left) + size, int(lower - upper) + size // 2)
    contrast, angle = float(random.choice(CONTRASTS)), float(random.choice(ANGLES))
    centre = (WIDTH // 2, top + _rows(box, angle) // 2)
    return Line(text, size, name, contrast, angle, centre, box)


def _word(random: np.random.Generator) -> str:
    if random.random() < 0.25:
        return str(random.integers(100, 10000))
    word = "".join(random.choice(SYLLABLES, random.integers(2, 4)))
    return word.capitalize() if random.random() < 0.3 else word


def _rows(box: tuple[int, int], angle: float) -> int:
    """Return the height that a rotated line takes."""
    turn = np.deg2rad(abs(angle))
    return int(box[0] * np.sin(turn) + box[1] * np.cos(turn)) + 4


def _font(name: str, size: int) -> ImageFont.FreeTypeFont:
    import matplotlib

    return ImageFont.truetype(f"{matplotlib.get_data_path()}/fonts/ttf/{name}.ttf", size)


def _drawn(image: Image.Image, line: Line) -> Image.Image:
    """Draw a line with its contrast against the ground below it."""
    font = _font(line.font, line.size)
    mask = Image.new("L", line.box)
    ImageDraw.Draw(mask).text((line.box[0] / 2, line.box[1] / 2), line.text, 255, font, "mm")
    turned = mask.rotate(line.angle, Image.Resampling.BICUBIC, expand=True)
    place = (line.centre[0] - turned.width // 2, line.centre[1] - turned.height // 2)
    below = image.crop((*place, place[0] + turned.width, place[1] + turned.height))
    level = float(np.asarray(below.convert("L")).mean())
    end = 255 if level < 128 else 0
    ink = round(level + line.contrast * (end - level))
    image = image.copy()
    image.paste((ink, ink, ink), place, turned)
    return image


def cut_out(image: Image.Image, line: Line) -> Image.Image:
    """Return a line upright, enlarged to a height that engines read well."""
    x, y = line.centre
    upright = image.rotate(-line.angle, Image.Resampling.BICUBIC, center=(x, y))
    width, height = line.box
    part = upright.crop((x - width // 2, y - height // 2, x + width // 2, y + height // 2))
    scale = 48 / part.height
    return part.resize((round(part.width * scale), 48), Image.Resampling.BICUBIC)


@dataclass(frozen=True)
class Reader:
    """An OCR engine: its name, and what it reads in a picture of one line."""

    name: str
    read: Callable[[Image.Image], str]


def rapid_ocr() -> Reader:
    """Return the recognition network of rapidocr-onnxruntime, whose weights come with it."""
    from rapidocr_onnxruntime import RapidOCR

    engine = RapidOCR(intra_op_num_threads=1, inter_op_num_threads=1)

    def read(line: Image.Image) -> str:
        # One at a time: a batch is padded to its longest line, which takes five times as long.
        found, _ = engine.text_rec([np.asarray(line.convert("RGB"))[..., ::-1]])
        return str(found[0][0])

    return Reader(f"rapidocr-onnxruntime {version_of('rapidocr-onnxruntime')}", read)


def tesseract() -> Reader:
    """Return the program tesseract."""

    def run(*words: str, check: bool) -> str:
        command = ["tesseract", *words]
        done = subprocess.run(command, capture_output=True, text=True, timeout=60, check=check)
        return done.stdout.strip()

    def read(line: Image.Image) -> str:
        with tempfile.NamedTemporaryFile(suffix=".png") as file:
            line.save(file.name)
            return run(file.name, "-", "--psm", "7", check=False)

    return Reader(run("--version", check=True).splitlines()[0], read)


def make_reader() -> Reader:
    """Return the engine that is installed; raises UnavailableError without one."""
    try:
        return rapid_ocr()
    except ModuleNotFoundError as error:
        if shutil.which("tesseract"):
            return tesseract()
        raise UnavailableError(
            f"no OCR engine ({error.name} is missing): pip install 'rgru-codec[legibility]',"
            " or install the program tesseract"
        ) from None


def error_rate(read: str, text: str) -> float:
    """Return the edit distance over the length of the text, spaces aside, 1 at most."""
    read, text = read.replace(" ", ""), text.replace(" ", "")
    row = list(range(len(read) + 1))
    for i, wanted in enumerate(text, 1):
        before, row = row, [i]
        for j, seen in enumerate(read, 1):
            row.append(min(before[j] + 1, row[-1] + 1, before[j - 1] + (wanted != seen)))
    return min(1.0, row[-1] / len(text))


def measure(cards: Sequence[Card], codecs: Sequence[Codec], reader: Reader) -> pd.DataFrame:
    """Read every line of every card, uncompressed and from each codec at each setting.

    Returns:
        A row a line: codec, setting, bpp (of the card's file), card, ground, text, size, font,
        contrast, angle, read, error. Uncompressed cards have the codec ``uncompressed``.
    """
    rows: list[dict[str, Any]] = []
    with bar(len(cards) * (len(codecs) + 1)) as progress:
        for number, card in enumerate(cards):
            for codec in (None, *codecs):
                for figures, picture in _coded(card.image, codec):
                    about = {"card": number, "ground": card.ground, **figures}
                    rows += (about | _read(line, picture, reader) for line in card.lines)
                progress.update()
    return pd.DataFrame(rows)


def _coded(image: Image.Image, codec: Codec | None) -> Iterator[tuple[dict[str, Any], Image.Image]]:
    """Return a card from a codec at each setting, or uncompressed, with its size."""
    if codec is None:
        yield {"codec": "uncompressed", "setting": 0.0, "bpp": 24.0}, image
        return
    ladder = codec.settings
    places = np.linspace(0, len(ladder) - 1, min(SETTINGS, len(ladder))).astype(int)
    for step in codec.steps(image, [ladder[place] for place in places]):
        if not isinstance(step, Step):
            raise EvalError(f"{codec.identity()}: {step.reason}")
        bpp = 8 * len(step.data) / (WIDTH * HEIGHT)
        figures = {"codec": codec.identity(), "setting": step.setting, "bpp": bpp}
        yield figures, step.picture.convert("RGB")


def _read(line: Line, picture: Image.Image, reader: Reader) -> dict[str, Any]:
    read = reader.read(cut_out(picture, line))
    known = {name: getattr(line, name) for name in ("text", "size", "font", "contrast", "angle")}
    return {**known, "read": read, "error": error_rate(read, line.text)}


def curve(rows: pd.DataFrame) -> tuple[list[float], list[float]]:
    """Return mean bpp and mean error at each setting, by ascending bpp."""
    means = rows.groupby("setting")[["bpp", "error"]].mean().sort_values("bpp")
    return means["bpp"].tolist(), means["error"].tolist()


def table(rows: pd.DataFrame, labels: Mapping[str, str]) -> str:
    """Return the error in percent at some rates, over all lines and by size, as Markdown.

    Between settings it is linear in log-bpp; n/a outside of a codec's curve.
    """
    cells = []
    parts = [("all sizes", rows), *((f"{size} px", own) for size, own in rows.groupby("size"))]
    for name, part in parts:
        floor = part[part["codec"] == "uncompressed"]["error"].mean()
        cells.append([f"**{name}**", *(f"at {rate:g} bpp" for rate in RATES)])
        cells.append(["uncompressed", *[f"{100 * floor:.0f} %"] * len(RATES)])
        for codec, label in labels.items():
            bpp, error = curve(part[part["codec"] == codec])
            values = np.interp(np.log(RATES), np.log(bpp), error, left=np.nan, right=np.nan)
            texts = ["n/a" if np.isnan(v) else f"{100 * v:.0f} %" for v in values]
            cells.append([label, *texts])
    return markdown(["characters read wrongly", *[""] * len(RATES)], cells)


def plot(rows: pd.DataFrame, labels: Mapping[str, str], path: Path) -> None:
    """Draw the error against bits per pixel."""

    def draw(axes: Any) -> bool:
        for codec, style in styles(list(labels)).items():
            bpp, error = curve(rows[rows["codec"] == codec])
            axes.plot(bpp, [100 * e for e in error], ".-", label=labels[codec], **look_of(style))
        floor = 100 * rows[rows["codec"] == "uncompressed"]["error"].mean()
        axes.axhline(floor, color="0.6", linestyle=":", label="uncompressed")
        rate_axis(axes, 0.03, 3, "bits per pixel (whole file)")
        axes.set_ylabel("characters read wrongly, %")
        axes.legend()
        return True

    draw_figure(path, draw)
