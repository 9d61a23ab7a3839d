"""Train for some minutes on a machine that has an accelerator, JAX and no TensorFlow.

Here:   python tools/accelerate.py pack --data PHOTOS --out TILES --megabytes 35
There:  KERAS_BACKEND=jax python tools/accelerate.py run --config compact --tiles TILES
            --start train/checkpoints/compact.npz --seconds 600 --out OUT
Here:   rgru-train unpack OUT/run.npz --out RUN

``OUT`` gets ``run.npz``, what ``rgru-train pack`` writes of a run, below 16 MB; ``whole.npz`` in
``--keep`` holds all that another call there goes on from. The learning rate rises, stays, and falls
over the share ``--fall`` of the seconds; 0 leaves it where it is, for a call that will follow.
"""

from __future__ import annotations

import argparse
import json
import math
import sys
import time
from pathlib import Path
from typing import Any

import numpy as np

from rgru_codec.arguments import between, count
from rgru_codec.terminal import tell
from rgru_format import InvalidInput, RgruError

BEGIN = time.monotonic()


def main() -> None:
    """Pack tiles, or train on them."""
    above_0 = between(0.0, 1e9, open_ends=True)
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawTextHelpFormatter
    )
    commands = parser.add_subparsers(required=True)
    one = commands.add_parser("pack")
    one.add_argument("--data", type=Path, required=True)
    one.add_argument("--out", type=Path, required=True)
    one.add_argument("--megabytes", type=above_0, default=35.0)
    one.add_argument("--seed", type=count(0), default=1)
    one.set_defaults(run=pack)
    one = commands.add_parser("run")
    one.add_argument("--config", type=Path, required=True)
    one.add_argument("--tiles", type=Path, required=True, nargs="+")
    one.add_argument("--start", type=Path, required=True, help="a checkpoint, or a packed run")
    one.add_argument("--seconds", type=above_0, required=True, help="of the whole call")
    one.add_argument("--fall", type=between(0.0, 1.0), default=0.4)
    one.add_argument("--batch", type=count(1), default=32, help="crops a step")
    one.add_argument("--rate", type=above_0, default=1.5e-3, help="highest learning rate")
    one.add_argument(
        "--average", type=between(0.0, 1.0), default=0.995, help="decay of the running mean"
    )
    one.add_argument("--rise", type=count(1), default=100, help="steps")
    one.add_argument("--chunk", type=count(1), default=16, help="steps of one program")
    one.add_argument("--keep", type=Path, help="folder for the whole state and compiled programs")
    one.add_argument("--out", type=Path, required=True)
    one.set_defaults(run=run)
    options = parser.parse_args()
    try:
        options.run(options)
    except (RgruError, OSError) as error:
        tell(f"accelerate: {error}")
        sys.exit(2)


def pack(options: argparse.Namespace) -> None:
    """Cut tiles out of the training photos."""
    from rgru_train.photos import find_photos
    from rgru_train.tiles import pack as pack_tiles

    photos, _ = find_photos(options.data)
    count = pack_tiles(photos, options.out, options.megabytes, options.seed)
    print(f"{count} tiles of {len(photos)} photos in {options.out}")


def run(options: argparse.Namespace) -> None:
    """Train until the seconds are over."""
    import jax
    from msgspec import structs

    if options.keep:
        options.keep.mkdir(parents=True, exist_ok=True)
        jax.config.update("jax_compilation_cache_dir", str(options.keep / "compiled"))
    # Losses take differences of squares: no accelerator may round their products.
    jax.config.update("jax_default_matmul_precision", "highest")

    from rgru_train import state, tiles
    from rgru_train.accelerated import Accelerated
    from rgru_train.config import RunConfig

    config = RunConfig.from_toml(options.config)
    if config.training.crop > tiles.SIDE:
        raise InvalidInput(f"{options.config}: tiles have {tiles.SIDE} pixels, fewer than a crop")
    own = {"batch": options.batch, "learning_rate": options.rate, "average": options.average}
    try:
        config = structs.replace(config, training=structs.replace(config.training, **own))
    except ValueError as error:
        raise InvalidInput(f"--batch: {error}") from None
    whole = options.keep / "whole.npz" if options.keep else None
    start = whole if whole and whole.exists() else options.start
    run = Accelerated(config, state.read(start))
    pixels, shares = tiles.unpack(options.tiles, config.training.made)
    say(f"{jax.devices()[0].device_kind}: {len(pixels)} tiles, start at step {run.state['step']}")
    placed = {"pixels": jax.device_put(pixels), "shares": jax.device_put(np.float32(shares))}

    def save() -> None:
        arrays = run.arrays()
        state.pack_arrays(arrays, config.as_json(), options.out / "run.npz")
        if whole:
            state.write(whole, arrays)

    options.out.mkdir(parents=True, exist_ok=True)
    steps(options, config.training.learning_rate, run, placed)
    save()
    say("saved")


def steps(options: argparse.Namespace, highest: float, run: Any, placed: dict[str, Any]) -> None:
    """Take steps until the time is over, and log them."""
    import jax

    key = jax.random.PRNGKey(int(run.state["step"]))
    first, began, done = True, time.monotonic(), 0
    end = BEGIN + options.seconds
    with (options.out / "log.jsonl").open("a") as log:
        while time.monotonic() < end:
            share = (time.monotonic() - began) / max(end - began, 1e-9)
            rate = highest * factor(share, options.fall) * min(1.0, (done + 1) / options.rise)
            key, own = jax.random.split(key)
            run.state, row = run.steps(run.state, placed, own, np.float32(rate), options.chunk)
            row = {
                name: np.asarray(value, np.float64).round(5).tolist() for name, value in row.items()
            }
            if first:
                say("compiled")
                began, first = time.monotonic(), False
            done += options.chunk
            log.write(json.dumps({"step": int(run.state["step"]), "rate": rate, **row}) + "\n")
            if done // options.chunk % 32 == 1:
                speed = (time.monotonic() - began) / max(done - options.chunk, 1)
                say(f"step {run.state['step']} {speed:.4f} s rate {rate:.2e} {json.dumps(row)}")
            if not math.isfinite(row["loss"]):
                say("diverged")
                raise SystemExit(1)


def factor(share: float, fall: float) -> float:
    """Return the learning rate's factor when a share of the time is over."""
    if share < 1.0 - fall or not fall:
        return 1.0
    return 0.01 + 0.99 * 0.5 * (1.0 + math.cos(math.pi * (share - 1.0 + fall) / fall))


def say(text: str) -> None:
    """Print with the seconds since the start."""
    print(f"[{time.monotonic() - BEGIN:6.1f}] {text}", flush=True)


if __name__ == "__main__":
    main()
