from pathlib import Path

import pytest
from PIL import Image

from rgru_eval.measure import run, tasks


@pytest.fixture
def photo() -> Image.Image:
    data = pytest.importorskip("skimage.data")
    return Image.fromarray(data.astronaut()[20:196, 130:322])


@pytest.fixture
def folder(tmp_path: Path, photo: Image.Image) -> Path:
    """Three pictures: two colour ones of different sizes and a grey one."""
    pictures = tmp_path / "photos"
    pictures.mkdir()
    photo.save(pictures / "a.png")
    photo.transpose(Image.Transpose.ROTATE_90).crop((0, 0, 170, 192)).save(pictures / "b.png")
    photo.convert("L").save(pictures / "c.png")
    return pictures


@pytest.fixture
def no_memory_probe(monkeypatch: pytest.MonkeyPatch) -> None:
    """A fresh process a codec costs seconds; one test of the run has it on."""
    monkeypatch.setattr(run, "_measure_memory", lambda *arguments: None)
    tasks.forget()
