"""The browser decoder (web/): its own tests, on files and pictures of this side."""

from __future__ import annotations

import json
import os
import shutil
import subprocess
from pathlib import Path

import numpy as np
import pytest

import rgru_codec
from rgru_codec import iterations
from rgru_codec.metrics import ms_ssim
from rgru_codec.runtime import engine
from rgru_codec.runtime.reference import Reference
from rgru_format import CodesEncoder
from rgru_format.container import Header, pack_group
from rgru_format.limits import grid_size
from tests.codec.conftest import photo
from tools import tiny_model

WEB = Path(__file__).parents[2] / "web"


@pytest.fixture(scope="module")
def node() -> str:
    found = shutil.which("node")
    if found is None:
        pytest.skip("no node here: web/ is not tested")
    if not (WEB / "node_modules" / "esbuild").is_dir():
        pytest.skip("web/setup.sh has not run, or npm's packages cannot be had: web/ is not tested")
    return found


@pytest.fixture
def reference(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """A made model, a file of it; codes, levels and MS-SSIM as the reference engine has them."""
    monkeypatch.setattr(engine, "best_engine", lambda: Reference)
    model = tiny_model.write(tmp_path / "models")
    pixels = photo(150, 205)
    height, width = pixels.shape[:2]
    writer = CodesEncoder(model.context(), *grid_size(height, width))
    data, count = Header(width, height, model.id).pack(), 0
    similar = []
    for t, (codes, painter) in enumerate(iterations.encode(model, pixels), 1):
        for group, payload in enumerate(writer.encode_layer(codes)):
            data += pack_group(payload, count, group == 0)
            count += 1
        (tmp_path / f"codes{t}.bin").write_bytes(codes.tobytes())
        (tmp_path / f"levels{t}.bin").write_bytes(np.ascontiguousarray(painter.show()).tobytes())
        similar.append(ms_ssim(pixels, painter.show()))
    (tmp_path / "photo.rgru").write_bytes(data)
    (tmp_path / "photo.rgb").write_bytes(pixels.tobytes())
    described = {"width": width, "height": height, "model": model.id.hex(), "msssim": similar}
    (tmp_path / "photo.json").write_text(json.dumps(described))
    return tmp_path


def test_the_package_for_pages_has_the_version_of_the_library() -> None:
    package, lock = (
        json.loads((WEB / name).read_text()) for name in ("package.json", "package-lock.json")
    )
    versions = [package["version"], lock["version"], lock["packages"][""]["version"]]
    assert versions == [rgru_codec.__version__] * 3


def test_the_browser_decoder_passes_its_tests(node: str, reference: Path) -> None:
    """Vectors, pictures, codes: see web/test. What it skips it says, with -s."""
    environment = {**os.environ, "RGRU_REFERENCE": str(reference)}
    run = subprocess.run(
        ["npm", "test"], cwd=WEB, env=environment, capture_output=True, text=True, timeout=900
    )
    print(run.stdout)
    assert run.returncode == 0, run.stdout[-8000:] + run.stderr[-4000:]
