from pathlib import Path

import pytest
from PIL import Image

LAYERED = str(Path(__file__).with_name("layered.py"))


@pytest.fixture
def layered():
    return LAYERED


@pytest.fixture
def photo():
    data = pytest.importorskip("skimage.data")
    return Image.fromarray(data.astronaut()[20:196, 130:322])


@pytest.fixture
def folder(tmp_path, photo):
    """Three pictures: two colour ones of different sizes and a grey one."""
    pictures = tmp_path / "photos"
    pictures.mkdir()
    photo.save(pictures / "a.png")
    photo.transpose(Image.Transpose.ROTATE_90).crop((0, 0, 170, 192)).save(pictures / "b.png")
    photo.convert("L").save(pictures / "c.png")
    return pictures
