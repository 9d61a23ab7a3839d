"""Takes steps under JAX: ``jax_steps.py CONFIG.json CHECKPOINT.npz CROPS.npy OUT.npz``."""

from __future__ import annotations

import contextlib
import sys
from pathlib import Path

import jax
import numpy as np

from rgru_format import InvalidInput
from rgru_train import state
from rgru_train.accelerated import Accelerated, draw
from rgru_train.config import RunConfig


def main() -> None:
    config, checkpoint, crops, out = map(Path, sys.argv[1:])
    jax.config.update("jax_default_matmul_precision", "highest")
    with contextlib.suppress(InvalidInput):
        Accelerated(RunConfig.from_json(config.read_text()), {})
        raise SystemExit("a start without weights was taken")
    run = Accelerated(RunConfig.from_json(config.read_text()), state.read(checkpoint))
    step = jax.jit(run.step)
    losses = []
    for batch in np.load(crops):
        rate = np.float32(run.config.training.learning_rate)
        run.state, row = step(run.state, batch, rate)
        losses.append(float(row["loss"]))
    tiles = np.random.default_rng(0).integers(0, 256, (3, 48, 48, 3), dtype=np.uint8)
    placed = {"pixels": tiles, "shares": np.array([0.5, 0.5, 1.0], np.float32)}
    drawn = np.asarray(draw(placed, jax.random.PRNGKey(0), 4, 32))
    arrays = run.arrays()
    arrays["losses"], arrays["drawn"], arrays["tiles"] = np.array(losses), drawn, tiles
    with out.open("wb") as file:
        np.savez(file, **arrays)  # type: ignore[arg-type]


if __name__ == "__main__":
    main()
