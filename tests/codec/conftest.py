"""What the tests of the codec share: small pictures and files.

Nothing here depends on how well the installed model compresses, nor on how many layers it has.
"""

from __future__ import annotations

import os

# Before numpy is loaded: threads that wait for each other on a busy machine cost more than they do.
os.environ.setdefault("OPENBLAS_NUM_THREADS", "1")

from collections.abc import Iterator

import numpy as np
import pytest
from numpy.typing import NDArray
from PIL import Image

import rgru_codec
from rgru_codec.models import Model
from tools import tiny_model as made


def photo(height: int, width: int) -> NDArray[np.uint8]:
    """A piece of a photo, (height, width, 3)."""
    data = pytest.importorskip("skimage.data")
    top, left = 60, 170
    whole = np.asarray(data.astronaut())
    return np.ascontiguousarray(whole[top : top + height, left : left + width])


def profile(size: int = 128, text: bytes = b"") -> bytes:
    """The shell of an ICC profile: its signature, and whatever text."""
    return (bytes(36) + b"acsp" + text).ljust(size, b"\0")


@pytest.fixture(scope="session")
def pixels() -> NDArray[np.uint8]:
    return photo(48, 40)


@pytest.fixture(scope="session")
def data(pixels: NDArray[np.uint8]) -> bytes:
    """A file of all layers."""
    return rgru_codec.compress(pixels, layers="all")


@pytest.fixture(scope="session")
def alpha_data(pixels: NDArray[np.uint8]) -> bytes:
    """A file with two layers, an alpha plane and metadata."""
    alpha = np.linspace(0, 255, pixels[..., 0].size).astype(np.uint8).reshape(pixels.shape[:2])
    rgba = np.dstack([pixels, alpha])
    return rgru_codec.compress(rgba, layers=2, icc_profile=profile(), xmp=b"<x/>")


@pytest.fixture
def pillow_limit() -> Iterator[None]:
    """Puts Pillow's limit on pixels back."""
    before = Image.MAX_IMAGE_PIXELS
    yield
    Image.MAX_IMAGE_PIXELS = before


@pytest.fixture(scope="session")
def made_model(tmp_path_factory: pytest.TempPathFactory) -> Model:
    """A small model of random numbers."""
    return made.write(tmp_path_factory.mktemp("models"))
