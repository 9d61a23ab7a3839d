from pathlib import Path
from typing import Any

import pytest
from PIL import Image

from rgru_eval.measure import run, tasks
from rgru_eval.measure.run import Order

SMALL = "jpeg:optimize,q=10+50"


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


def order(folder: Path, tmp_path: Path, **changes: Any) -> Order:
    values: dict[str, Any] = {
        "images": (str(folder),),
        "codecs": (SMALL,),
        "out": tmp_path / "out.json",
        "metrics": ("msssim", "psnr"),
        "jobs": 1,
    }
    return Order(**(values | changes))
