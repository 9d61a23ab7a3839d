"""Train the networks, resume a run, measure it, export a model package.

rgru-train run --config compact --data photos/ --out runs/first
rgru-train run --data photos/ --out runs/first --resume
rgru-train run --config other.toml --data photos/ --out runs/second --init-from default
rgru-train validate runs/first --data photos/
rgru-train fit runs/first --data photos/
rgru-train average runs/first runs/twin --out runs/mean
rgru-train pack runs/first --out first.npz
rgru-train unpack first.npz --out runs/first
rgru-train export runs/first --out models/ --notes "Small text smears in the first layers."
rgru-train describe --config compact
"""

from __future__ import annotations

import argparse
import importlib
import importlib.util
import json
import os
import sys
from collections.abc import Callable
from pathlib import Path
from typing import Any

from rgru_codec.arguments import above, count, named_path
from rgru_codec.terminal import tell, without_stderr
from rgru_format import InvalidInput, RgruError

_CONFIG = "TOML file, or the name of an installed configuration (compact, nano, short, paper)"
_DATA = "folder with photos (searched recursively)"


def _packed(text: str) -> Path:
    if named_path(text).suffix != ".npz":
        raise argparse.ArgumentTypeError(f"{text}: the name of a packed run ends in .npz")
    return Path(text)


def parser() -> argparse.ArgumentParser:
    """Return the command line of training."""
    top = argparse.ArgumentParser(
        prog="rgru-train", description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    commands = top.add_subparsers(required=True, metavar="COMMAND")

    def command(
        name: str, work: Callable[[argparse.Namespace], None], help: str, *, light: bool = False
    ) -> Any:
        one = commands.add_parser(name, help=help)
        one.set_defaults(work=work, light=light)
        return one.add_argument

    add = command("run", _run, "train, from the beginning or on from a checkpoint", light=True)
    add("--config", type=named_path, help=f"{_CONFIG}; by default what the run began with")
    add("--data", type=named_path, required=True, help=_DATA)
    add("--out", type=named_path, required=True, help="folder of the run")
    add("--resume", action="store_true", help="continue from the last checkpoint")
    add(
        "--init-from",
        metavar="MODEL",
        help="start from the weights of a run's folder, a packed run, a model package, an "
        "installed model's id, or 'default'; what has no counterpart starts afresh",
    )
    add("--steps", type=count(0), help="stop (with a checkpoint) at this step")

    add = command("validate", _validate, "measure a run's newest checkpoint")
    add("run", type=named_path, help="folder of the run")
    add("--data", type=named_path, required=True, help=_DATA)

    add = command("fit", _fit, "teach a run's context model on, on codes of whole photos")
    add("run", type=named_path, help="folder of the run")
    add("--data", type=named_path, required=True, help=_DATA)
    add("--steps", type=count(1), default=6000, help="of two windows each (default: 6000)")

    add = command("average", _average, "write a run that goes on from the mean of others")
    add("runs", type=named_path, nargs="+", metavar="RUN", help="same start, other crops")
    add("--out", type=named_path, required=True, help="folder of the new run")

    add = command("pack", _pack, "write a run as one small file to go on from", light=True)
    add("run", type=named_path, help="folder of the run")
    add("--out", type=_packed, required=True, help="the file, .npz")

    add = command("unpack", _unpack, "make a run to resume of what pack wrote", light=True)
    add("file", type=named_path, help="the file")
    add("--out", type=named_path, required=True, help="folder of the run")

    add = command("export", _export, "write a model package")
    add("run", type=named_path, help="folder of the run")
    add("--out", type=named_path, default=Path("models"), help="where packages go")
    add("--name", default="compact", help="name in model.json")
    add("--data", type=named_path, help="folder with the photos, if it has moved")
    add("--notes", default="", help="what the model is bad at: a text or a file")
    add("--best", action="store_true", help="the best checkpoint by validation")
    add("--size-limit", type=above(0), default=10.0, help="megabytes (default: 10)")

    add = command("describe", _describe, "print what a network costs")
    add("--config", type=named_path, required=True, help=_CONFIG)
    return top


def main(arguments: list[str] | None = None) -> int:
    """Run the command line; return the exit code."""
    options = parser().parse_args(arguments)
    os.environ.setdefault("TF_CPP_MIN_LOG_LEVEL", "3")  # errors of TensorFlow are exceptions
    try:
        _check_installed()
        if not options.light:  # run loads it when its options make sense
            _load_tensorflow()
        options.work(options)
    except (RgruError, OSError, FloatingPointError) as error:
        tell(f"rgru-train: {error}")
        return 2
    except KeyboardInterrupt:
        tell("rgru-train: interrupted")
        return 130
    return 0


def _check_installed() -> None:
    for name in ("tensorflow", "msgspec"):
        if importlib.util.find_spec(name) is None:
            raise InvalidInput(f"the module {name!r} is missing: pip install 'rgru-codec[train]'")


def _load_tensorflow() -> None:
    """Import TensorFlow without its words on graphics cards, which no setting of its silences."""
    with without_stderr():
        importlib.import_module("tensorflow")


def _run(options: argparse.Namespace) -> None:
    if options.resume and options.init_from:
        raise InvalidInput("--resume continues a run, --init-from begins one: give one of them")
    if not options.config and not (options.resume and (options.out / "config.json").exists()):
        raise InvalidInput("give --config (a run that is there has its own)")
    print("loading TensorFlow", flush=True)
    _load_tensorflow()
    from rgru_train import run
    from rgru_train.config import RunConfig

    config = (
        RunConfig.from_toml(options.config) if options.config else RunConfig.of_run(options.out)
    )
    given = (options.data, options.out, options.resume, options.init_from, options.steps)
    run.train(config, run.Options(*given))


def _validate(options: argparse.Namespace) -> None:
    from rgru_train.run import evaluate

    print(json.dumps(evaluate(options.run, options.data)))


def _fit(options: argparse.Namespace) -> None:
    from rgru_train.fitting import fit

    fit(options.run, options.data, options.steps)


def _average(options: argparse.Namespace) -> None:
    from rgru_train.run import average

    average(options.runs, options.out)


def _pack(options: argparse.Namespace) -> None:
    from rgru_train.state import pack

    size = pack(options.run, options.out)
    print(f"{options.out}: {size / 1e6:.1f} MB; rgru-train unpack {options.out} --out RUN")


def _unpack(options: argparse.Namespace) -> None:
    from rgru_train.state import unpack

    unpack(options.file, options.out)
    print(f"rgru-train run --data PHOTOS --out {options.out} --resume")


def _export(options: argparse.Namespace) -> None:
    from rgru_train.release import release

    # Not Path.is_file: a long text is no name that it can ask for.
    notes = options.notes
    text = Path(notes).read_text("utf-8", "backslashreplace") if os.path.isfile(notes) else notes  # noqa: PTH113
    keys = ("name", "data", "best", "size_limit")
    more = {key: getattr(options, key) for key in keys}
    print(release(options.run, options.out, notes=text, **more))


def _describe(options: argparse.Namespace) -> None:
    from rgru_train.config import RunConfig
    from rgru_train.run import network_rows

    for name, value in network_rows(RunConfig.from_toml(options.config)).items():
        print(f"{name}: {value}")


if __name__ == "__main__":
    sys.exit(main())
