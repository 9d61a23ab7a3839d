"""How much faster the shipped network is than the paper's, both in the same runtime.

    pip install -e '.[train]'                # builds the paper's network
    python tools/paper.py
    python tools/paper.py --iterations 5 --runs 5

Networks alone, without the entropy stage: residuals to codes and codes to pictures of 768x512
pixels, whose content does not matter. The paper's network has random weights, which cost the same.
"""

from __future__ import annotations

import argparse
import statistics
import tempfile
import time
from collections.abc import Callable
from itertools import islice
from pathlib import Path

import numpy as np

from rgru_codec.iterations import Codes, Painter, Pixels, encode
from rgru_codec.models import Model, default_model

ROOT = Path(__file__).parents[1]
SIZE = (512, 768)


def paper(folder: Path) -> Model:
    """A package of the network of train/configs/paper.toml, untrained."""
    from rgru_train.config import RunConfig
    from rgru_train.export import export
    from rgru_train.loop import Model as TrainedModel

    config = RunConfig.from_toml(ROOT / "train" / "configs" / "paper.toml")
    return Model.load(export(TrainedModel(config), "paper", folder))


def median_seconds(runs: int, work: Callable[[], object]) -> float:
    """Median time of some runs, after one that is not counted."""
    work()
    times = []
    for _ in range(runs):
        start = time.perf_counter()
        work()
        times.append(time.perf_counter() - start)
    return statistics.median(times)


def codes_of(model: Model, pixels: Pixels, iterations: int) -> list[Codes]:
    """Codes of the first iterations."""
    return [codes for codes, _ in islice(encode(model, pixels), iterations)]


def paint(model: Model, layers: list[Codes]) -> Pixels:
    """The picture of these layers."""
    painter = Painter(model, *SIZE)
    for codes in layers:
        painter.add_layer(codes)
    return painter.show()


def seconds(model: Model, pixels: Pixels, iterations: int, runs: int) -> tuple[float, float]:
    """Seconds to encode and to decode."""
    layers = codes_of(model, pixels, iterations)
    encoding = median_seconds(runs, lambda: codes_of(model, pixels, iterations))
    return encoding, median_seconds(runs, lambda: paint(model, layers))


def main() -> None:
    """Time both and print the ratios."""
    parser = argparse.ArgumentParser(description="The shipped network against the paper's.")
    parser.add_argument("--iterations", type=int, default=4, help="of both networks")
    parser.add_argument("--runs", type=int, default=3, help="each time is a median of so many")
    options = parser.parse_args()
    pixels = np.random.default_rng(0).integers(0, 256, (*SIZE, 3), dtype=np.uint8)
    with tempfile.TemporaryDirectory() as folder:
        rows = {
            name: seconds(model, pixels, options.iterations, options.runs)
            for name, model in (("paper", paper(Path(folder))), ("shipped", default_model()))
        }
    print(f"{SIZE[1]}x{SIZE[0]}, {options.iterations} iterations, median of {options.runs} runs")
    for name, (encoding, decoding) in rows.items():
        print(f"{name:8} encode {encoding:7.3f} s   decode {decoding:7.3f} s")
    ratios = [a / b for a, b in zip(rows["paper"], rows["shipped"], strict=True)]
    both = sum(rows["paper"]) / sum(rows["shipped"])
    print(f"ratio    encode {ratios[0]:7.1f}     decode {ratios[1]:7.1f}     both {both:.1f}")


if __name__ == "__main__":
    main()
