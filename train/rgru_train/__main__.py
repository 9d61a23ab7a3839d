"""Train the networks, resume a run, measure it, export a model package.

rgru-train --config train/configs/compact.toml --data photos/ --out runs/first
rgru-train --data photos/ --out runs/first --resume
rgru-train --data photos/ --out runs/first --eval-only
rgru-train --config other.toml --data photos/ --out runs/second --init-from default
rgru-train average runs/first runs/twin --out runs/mean
rgru-train export runs/first --out models/ --notes "Small text smears in the first layers."
rgru-train describe --config train/configs/compact.toml
"""

from __future__ import annotations

import argparse
import json
import os
import sys
from pathlib import Path

from rgru_format import InvalidInput, RgruError


def parser() -> argparse.ArgumentParser:
    """The command line of training."""
    top = argparse.ArgumentParser(
        prog="rgru-train", description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    top.add_argument(
        "--config", type=Path, help="TOML file of the run; by default what the run began with"
    )
    top.add_argument(
        "--data", type=Path, required=True, help="folder with photos (searched recursively)"
    )
    top.add_argument("--out", type=Path, required=True, help="folder of the run")
    top.add_argument("--resume", action="store_true", help="continue from the last checkpoint")
    top.add_argument(
        "--init-from",
        metavar="MODEL",
        help="start from the weights of a run's folder, a model package, an installed model's id, "
        "or 'default'",
    )
    top.add_argument("--steps", type=int, help="stop (with a checkpoint) at this step")
    top.add_argument("--eval-only", action="store_true", help="validate the run and stop")
    return top


def export_parser() -> argparse.ArgumentParser:
    """The command line of ``rgru-train export``."""
    top = argparse.ArgumentParser(prog="rgru-train export", description="Write a model package.")
    top.add_argument("run", type=Path, help="folder of the run")
    top.add_argument("--out", type=Path, default=Path("models"), help="where packages go")
    top.add_argument("--name", default="compact", help="name in model.json")
    top.add_argument("--data", type=Path, help="folder with the photos, if it has moved")
    top.add_argument("--notes", default="", help="what the model is bad at: a text or a file")
    top.add_argument("--best", action="store_true", help="the best checkpoint by validation")
    top.add_argument("--size-limit", type=float, default=8.0, help="megabytes (default: 8)")
    return top


def average_parser() -> argparse.ArgumentParser:
    """The command line of ``rgru-train average``."""
    description = "Write a run that goes on from the mean of others (same start, other crops)."
    top = argparse.ArgumentParser(prog="rgru-train average", description=description)
    top.add_argument("runs", type=Path, nargs="+", metavar="RUN", help="folders of the runs")
    top.add_argument("--out", type=Path, required=True, help="folder of the new run")
    return top


def describe_parser() -> argparse.ArgumentParser:
    """The command line of ``rgru-train describe``."""
    description = "Print what a network costs."
    top = argparse.ArgumentParser(prog="rgru-train describe", description=description)
    top.add_argument("--config", type=Path, required=True, help="TOML file")
    return top


def main(arguments: list[str] | None = None) -> int:
    """Entry point; returns the exit code."""
    arguments = sys.argv[1:] if arguments is None else arguments
    os.environ.setdefault("TF_CPP_MIN_LOG_LEVEL", "2")
    commands = {
        "average": (average_parser, _average),
        "export": (export_parser, _export),
        "describe": (describe_parser, _describe),
    }
    make, run = commands.get("".join(arguments[:1]), (parser, _train))
    options = make().parse_args(arguments[make is not parser :])
    try:
        run(options)
    except RgruError as error:
        print(f"rgru-train: {error}", file=sys.stderr)
        return 2
    return 0


def _train(options: argparse.Namespace) -> None:
    from rgru_train import run
    from rgru_train.config import RunConfig

    if options.resume and options.init_from:
        raise InvalidInput("--resume continues a run, --init-from begins one: give one of them")
    own = options.out / "config.json"
    if options.config:
        config = RunConfig.from_toml(options.config)
    elif own.exists() and (options.resume or options.eval_only):
        config = RunConfig.from_json(own.read_text())
    else:
        raise InvalidInput("give --config (a run that is there has its own)")
    chosen = run.Options(
        options.data, options.out, options.resume, options.init_from, options.steps
    )
    if options.eval_only:
        print(json.dumps(run.evaluate(config, chosen)))
    else:
        run.train(config, chosen)


def _average(options: argparse.Namespace) -> None:
    from rgru_train.run import average

    average(options.runs, options.out)


def _export(options: argparse.Namespace) -> None:
    from rgru_train.release import release

    notes = Path(options.notes)
    text = notes.read_text() if options.notes and notes.is_file() else options.notes
    package = release(
        options.run,
        options.out,
        name=options.name,
        data=options.data,
        notes=text,
        best=options.best,
        size_limit=options.size_limit,
    )
    print(package)


def _describe(options: argparse.Namespace) -> None:
    from rgru_train.config import RunConfig
    from rgru_train.run import network_rows

    for name, value in network_rows(RunConfig.from_toml(options.config)).items():
        print(f"{name}: {value}")


if __name__ == "__main__":
    sys.exit(main())
