"""How much faster the shipped network is than the paper's, both in TensorFlow.

    pip install -e '.[train]'
    python tools/paper.py
    python tools/paper.py --iterations 5 --runs 5

Networks alone, without the entropy stage: a picture of 768x512 pixels, whose content does not
matter, to codes and to the picture of each iteration. Weights are random, which cost the same.
"""

from __future__ import annotations

import argparse
import statistics
import time
from collections.abc import Callable
from pathlib import Path

SIZE = (512, 768)


def median_seconds(runs: int, work: Callable[[], object]) -> float:
    """Return the median time of some runs, after one that is not counted."""
    work()
    times = []
    for _ in range(runs):
        start = time.perf_counter()
        work()
        times.append(time.perf_counter() - start)
    return statistics.median(times)


def seconds(name: str, iterations: int, runs: int) -> float:
    """Return the time that so many iterations of an installed configuration take."""
    import tensorflow as tf

    from rgru_train.config import RunConfig
    from rgru_train.nets.networks import Codec

    codec = Codec(RunConfig.from_toml(Path(name)).network)
    picture = tf.zeros((1, *SIZE, 3))
    run = tf.function(lambda: codec.iterate(picture, iterations)[1][-1], autograph=False)
    return median_seconds(runs, lambda: run().numpy())


def main(arguments: list[str] | None = None) -> None:
    """Measure both and print what each takes."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0] if __doc__ else None)
    parser.add_argument("--iterations", type=int, default=3)
    parser.add_argument("--runs", type=int, default=3)
    options = parser.parse_args(arguments)
    ours, paper = (seconds(name, options.iterations, options.runs) for name in ("compact", "paper"))
    print(f"{options.iterations} iterations: {ours:.3f} s, the paper's network {paper:.3f} s")
    print(f"{paper / ours:.0f} times faster")


if __name__ == "__main__":
    main()
