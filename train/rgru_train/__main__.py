"""Train the networks, resume a run, export a model package.

rgru-train --config train/configs/compact.toml --data photos/ --out runs/first
rgru-train --config train/configs/compact.toml --data photos/ --out runs/first --resume
rgru-train export runs/first --out models/
"""

from __future__ import annotations

import argparse
import os
import signal
import sys
import time
from pathlib import Path

from rgru_format import RgruError


def parser() -> argparse.ArgumentParser:
    """The command line."""
    top = argparse.ArgumentParser(
        prog="rgru-train", description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    top.add_argument("--config", type=Path, required=True, help="TOML file of the run")
    top.add_argument(
        "--data", type=Path, required=True, help="folder with photos (searched recursively)"
    )
    top.add_argument("--out", type=Path, required=True, help="folder of the run")
    top.add_argument("--resume", action="store_true", help="continue from the last checkpoint")
    top.add_argument("--init-from", type=Path, help="folder of a run to take the weights of")
    top.add_argument("--steps", type=int, help="stop (with a checkpoint) at this step")
    return top


def main(arguments: list[str] | None = None) -> int:
    """Entry point; returns the exit code."""
    arguments = sys.argv[1:] if arguments is None else arguments
    exporting = arguments[:1] == ["export"]
    options = (export_parser() if exporting else parser()).parse_args(arguments[exporting:])
    os.environ.setdefault("TF_CPP_MIN_LOG_LEVEL", "2")
    try:
        _export(options) if exporting else _train(options)
    except RgruError as error:
        print(f"rgru-train: {error}", file=sys.stderr)
        return 2
    return 0


def export_parser() -> argparse.ArgumentParser:
    """The command line of ``rgru-train export``."""
    top = argparse.ArgumentParser(prog="rgru-train export", description="Write a model package.")
    top.add_argument("run", type=Path, help="folder of the run")
    top.add_argument("--out", type=Path, default=Path("models"), help="where packages go")
    top.add_argument("--name", default="compact", help="name in model.json")
    return top


def _export(options: argparse.Namespace) -> None:
    from rgru_train.config import RunConfig
    from rgru_train.export import export
    from rgru_train.loop import Trainer

    config = RunConfig.from_json((options.run / "config.json").read_text())
    trainer = Trainer(config, options.run)
    trainer.restore()
    trainer.use_averages()
    print(export(trainer.model, options.name, options.out))


def _train(options: argparse.Namespace) -> None:
    from rgru_train.config import RunConfig
    from rgru_train.data import Crops, find_photos
    from rgru_train.loop import Log, Trainer
    from rgru_train.validation import load_validation, validate

    config = RunConfig.from_toml(options.config)
    training = config.training
    options.out.mkdir(parents=True, exist_ok=True)
    trainer = Trainer(config, options.out)
    if options.resume:
        trainer.restore()
    elif options.init_from:
        trainer.start_from(options.init_from)
    (options.out / "config.json").write_text(config.as_json())
    photos, held_out = find_photos(options.data)
    crops = Crops(photos, training.crop, training.batch, training.seed)
    pictures = load_validation(held_out, *training.validation_crop)
    log = Log(options.out)
    stopping: list[int] = []
    for number in (signal.SIGTERM, signal.SIGINT):
        signal.signal(number, lambda received, frame: stopping.append(received))
    last = min(options.steps or training.steps, training.steps)
    counts = f"{len(crops.pictures)} photos, {len(pictures)} held out"
    print(f"config {config.digest}: {counts}", flush=True)
    begin = time.perf_counter()
    for batch in crops.dataset(trainer.step, last):
        row = trainer.train_step(batch)
        if trainer.step % 20 == 0:
            row["seconds"] = round((time.perf_counter() - begin) / 20, 3)
            begin = time.perf_counter()
            log.write("train", row)
            if trainer.step % 100 == 0:
                print(row, flush=True)
        if trainer.step % training.save_every == 0 or stopping or trainer.step == last:
            trainer.save()
        if stopping:
            return
        if trainer.step % training.validate_every == 0 or trainer.step == last:
            iterations = training.iterations_at(trainer.step - 1, config.network.iterations)
            weights = trainer.use_averages()
            result = validate(trainer.model, pictures, iterations)
            trainer.use_weights(weights)
            log.write("validation", {"step": trainer.step, **result})
            print(trainer.step, result, flush=True)
            begin = time.perf_counter()


if __name__ == "__main__":
    sys.exit(main())
