"""Speed of the browser decoder in Chromium beside LiteRT with one thread, in the same run.

python tools/web_speed.py [PACKAGE]

PACKAGE is the folder of a model in the written form; by default the one that ships. Times of the
networks are processor time, so that other work on the machine matters little; when pictures are
shown is told by the clock. Needs node, Chromium, and ``cd web && npm run build``.
"""

from __future__ import annotations

import json
import subprocess
import sys
import tempfile
import time
from pathlib import Path

import numpy as np
from PIL import Image

import rgru_codec
from rgru_codec.models import Model
from rgru_codec.packages import random_inputs, run
from rgru_codec.runtime.litert import LiteRT
from rgru_codec.runtime.networks import Network
from rgru_codec.runtime.rect import Rect

WEB = Path(__file__).parents[1] / "web"
_WINDOW = Rect(0, 512, 0, 768)
_RUNS = 15


def main() -> None:
    """Print a table of both."""
    model = Model.load(Path(sys.argv[1])) if len(sys.argv) > 1 else rgru_codec.default_model()
    with tempfile.TemporaryDirectory() as name:
        place = Path(name)
        pages, file = place / "models", place / "photo.rgru"
        file.write_bytes(rgru_codec.compress(_photo(), layers="all", model=model))
        _node("bin/rgru-pack-model.mjs", str(model.folder), str(pages))
        _node("build.mjs", "tools")
        found = json.loads(_node("build/speed.mjs", str(pages), model.id.hex(), str(file)))
    most = max(model.codes)
    print(f"model {model.id.hex()}, 768 x 512; relaxed SIMD: {found['relaxed']}")
    for key, make in (("decoder", model.half.decoder), ("painter", model.half.painter)):
        own = _litert(make(most))
        print(f"{key}: LiteRT {own:.0f} ms, Chromium {found[key]:.0f} ms, {found[key] / own:.2f} x")
    print("layers shown after", ", ".join(f"{at / 1000:.2f}" for at in found["shown"]), "s")
    print(f"memory of the page: {found['memory']} MiB")


def _photo() -> Image.Image:
    import skimage.data

    photo = np.asarray(skimage.data.astronaut())
    return Image.fromarray(np.concatenate([photo, photo[:, :256]], axis=1))


def _node(*arguments: str) -> str:
    done = subprocess.run(
        ["node", *arguments], cwd=WEB, check=True, stdout=subprocess.PIPE, text=True
    )
    return done.stdout


def _litert(network: Network) -> float:
    engine, inputs = LiteRT(network, 1), random_inputs(network, _WINDOW)
    times = []
    for _ in range(_RUNS):
        began = time.process_time()
        run(engine, inputs, _WINDOW)
        times.append(time.process_time() - began)
    return 1000 * sorted(times)[_RUNS // 2]


if __name__ == "__main__":
    main()
