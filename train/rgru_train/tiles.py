"""Photos to carry to a machine that has an accelerator and little else: tiles in a folder.

A tile is a square cut out of a photo, kept as AVIF 4:4:4 of high quality; ``tiles.json`` says how
often each is drawn (see ``rgru_train.crops``).
"""

from __future__ import annotations

import concurrent.futures
import io
import json
from collections.abc import Sequence
from pathlib import Path

import msgspec
import numpy as np
from numpy.typing import NDArray
from PIL import Image

from rgru_format import InvalidInput
from rgru_train.crops import draw_weights, large_enough, square
from rgru_train.made import made
from rgru_train.nets.config import Positive
from rgru_train.photos import Photo, Pixels, load, read_each

SIDE = 320
"""Of a tile, in pixels."""
_TABLE = "tiles.json"
_QUALITY = 84


def pack(photos: Sequence[Photo], folder: Path, megabytes: float, seed: int = 1) -> int:
    """Write tiles, round after round one of each photo, until the room is used; return how many.

    Photos with a side below ``SIDE``, and those that cannot be read, are left out.

    Raises:
        InvalidInput: that leaves none, or there is no room for one.
    """
    large = large_enough(photos, SIDE)
    weights = dict(zip(large, draw_weights(large), strict=True))
    rng = np.random.default_rng(seed)
    room = megabytes * 1e6
    shares: dict[str, float] = {}
    while True:
        order = [large[i] for i in rng.permutation(len(large))]
        for photo, pixels in read_each(order, lambda photo: load(photo.path)):
            coded = _coded(square(pixels, SIDE, rng))
            room -= len(coded)
            if room < 0 and not shares:
                raise InvalidInput(f"{megabytes:g} megabytes have no room for a tile")
            if room < 0:
                (folder / _TABLE).write_text(json.dumps(shares))
                return len(shares)
            if not shares:
                folder.mkdir(parents=True)
            name = f"{len(shares):05}.avif"
            (folder / name).write_bytes(coded)
            shares[name] = float(weights[photo])
        if not shares:
            raise InvalidInput("none of the photos can be read to its end")


def _coded(tile: Pixels) -> bytes:
    file = io.BytesIO()
    Image.fromarray(tile).save(file, "AVIF", quality=_QUALITY, subsampling="4:4:4", speed=7)
    return file.getvalue()


def _shares(folder: Path) -> dict[str, float]:
    """How often each tile of a folder is drawn."""
    path = folder / _TABLE
    try:
        shares = msgspec.json.decode(path.read_bytes(), type=dict[str, Positive])
    except (ValueError, msgspec.DecodeError) as error:
        raise InvalidInput(f"{path}: not a table of tiles ({error}); pack them anew") from None
    if not shares:
        raise InvalidInput(f"{path}: names no tile; pack them anew")
    return shares


def unpack(
    folders: Sequence[Path], made_share: float, seed: int = 1
) -> tuple[Pixels, NDArray[np.float64]]:
    """Read tiles (N, SIDE, SIDE, 3), and how often each is drawn, cumulated (N,), up to 1.

    Args:
        folders: what ``pack`` wrote.
        made_share: share of tiles that are made out of others (``rgru_train.made``): at least one
            in eight of all is such a tile, drawn accordingly rarely.
        seed: of what is made.

    Raises:
        InvalidInput: a folder is not as ``pack`` wrote it.
    """
    files = {f / name: share for f in folders for name, share in _shares(f).items()}
    Image.init()  # threads that meet Pillow's first use find half of its plugins
    with concurrent.futures.ThreadPoolExecutor() as pool:
        tiles = list(pool.map(load, files))
    for path, tile in zip(files, tiles, strict=True):
        if tile.shape != (SIDE, SIDE, 3):
            raise InvalidInput(f"{path}: not a tile of {SIDE}x{SIDE} pixels; pack them anew")
    rng = np.random.default_rng(seed)
    count = len(tiles) // 8 if made_share else 0
    extra = [made(tiles[int(rng.integers(len(tiles)))], rng) for _ in range(count)]
    shares = np.array(list(files.values())) / sum(files.values())
    shares = np.concatenate(
        [shares * (1.0 - made_share), np.full(count, made_share / max(count, 1))]
    )
    return np.stack([*tiles, *extra]), np.cumsum(shares)
