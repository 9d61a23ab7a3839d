"""Train the networks, resume a run, measure it, export a model package.

rgru-train run --config compact --data photos/ --out runs/first
rgru-train run --data photos/ --out runs/first --resume
rgru-train run --config other.toml --data photos/ --out runs/second --init-from default
rgru-train validate runs/first --data photos/
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
from pathlib import Path

from rgru_format import InvalidInput, RgruError


def parser() -> argparse.ArgumentParser:
    """Return the command line of training."""
    top = argparse.ArgumentParser(
        prog="rgru-train", description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    commands = top.add_subparsers(required=True, metavar="COMMAND")
    for add in (
        _add_run,
        _add_validate,
        _add_average,
        _add_pack,
        _add_unpack,
        _add_export,
        _add_describe,
    ):
        add(commands)
    return top


_HELP = ("-h", "--help")
_CONFIG = "TOML file, or the name of an installed configuration (compact, nano, short, paper)"
_DATA = "folder with photos (searched recursively)"


def _path(text: str) -> Path:
    from rgru_codec.files import named_path

    return named_path(text)


def _packed(text: str) -> Path:
    if _path(text).suffix != ".npz":
        raise argparse.ArgumentTypeError(f"{text}: the name of a packed run ends in .npz")
    return Path(text)


def _add_run(commands: argparse._SubParsersAction[argparse.ArgumentParser]) -> None:
    one = commands.add_parser("run", help="train, from the beginning or on from a checkpoint")
    one.add_argument("--config", type=_path, help=f"{_CONFIG}; by default what the run began with")
    one.add_argument("--data", type=_path, required=True, help=_DATA)
    one.add_argument("--out", type=_path, required=True, help="folder of the run")
    one.add_argument("--resume", action="store_true", help="continue from the last checkpoint")
    one.add_argument(
        "--init-from",
        metavar="MODEL",
        help="start from the weights of a run's folder, a packed run, a model package, an "
        "installed model's id, or 'default'; what has no counterpart starts afresh",
    )
    one.add_argument("--steps", type=int, help="stop (with a checkpoint) at this step")
    one.set_defaults(work=_run)


def _add_validate(commands: argparse._SubParsersAction[argparse.ArgumentParser]) -> None:
    one = commands.add_parser("validate", help="measure a run's newest checkpoint")
    one.add_argument("run", type=_path, help="folder of the run")
    one.add_argument("--data", type=_path, required=True, help=_DATA)
    one.set_defaults(work=_validate)


def _add_average(commands: argparse._SubParsersAction[argparse.ArgumentParser]) -> None:
    one = commands.add_parser("average", help="write a run that goes on from the mean of others")
    one.add_argument("runs", type=_path, nargs="+", metavar="RUN", help="same start, other crops")
    one.add_argument("--out", type=_path, required=True, help="folder of the new run")
    one.set_defaults(work=_average)


def _add_pack(commands: argparse._SubParsersAction[argparse.ArgumentParser]) -> None:
    one = commands.add_parser("pack", help="write a run as one small file to go on from")
    one.add_argument("run", type=_path, help="folder of the run")
    one.add_argument("--out", type=_packed, required=True, help="the file, .npz")
    one.set_defaults(work=_pack)


def _add_unpack(commands: argparse._SubParsersAction[argparse.ArgumentParser]) -> None:
    one = commands.add_parser("unpack", help="make a run to resume of what pack wrote")
    one.add_argument("file", type=_path, help="the file")
    one.add_argument("--out", type=_path, required=True, help="folder of the run")
    one.set_defaults(work=_unpack)


def _add_export(commands: argparse._SubParsersAction[argparse.ArgumentParser]) -> None:
    one = commands.add_parser("export", help="write a model package")
    one.add_argument("run", type=_path, help="folder of the run")
    one.add_argument("--out", type=_path, default=Path("models"), help="where packages go")
    one.add_argument("--name", default="compact", help="name in model.json")
    one.add_argument("--data", type=_path, help="folder with the photos, if it has moved")
    one.add_argument("--notes", default="", help="what the model is bad at: a text or a file")
    one.add_argument("--best", action="store_true", help="the best checkpoint by validation")
    one.add_argument("--size-limit", type=float, default=10.0, help="megabytes (default: 10)")
    one.set_defaults(work=_export)


def _add_describe(commands: argparse._SubParsersAction[argparse.ArgumentParser]) -> None:
    one = commands.add_parser("describe", help="print what a network costs")
    one.add_argument("--config", type=_path, required=True, help=_CONFIG)
    one.set_defaults(work=_describe)


def main(arguments: list[str] | None = None) -> int:
    """Run the command line; return the exit code."""
    options = parser().parse_args(_with_command(sys.argv[1:] if arguments is None else arguments))
    os.environ.setdefault("TF_CPP_MIN_LOG_LEVEL", "3")  # errors of TensorFlow are exceptions
    try:
        _check_installed()
        options.work(options)
    except RgruError as error:
        from rgru_codec.terminal import tell

        tell(f"rgru-train: {error}")
        return 2
    return 0


def _with_command(arguments: list[str]) -> list[str]:
    """Options alone are those of ``run``."""
    options_alone = arguments and arguments[0].startswith("-")
    return arguments if not options_alone or arguments[0] in _HELP else ["run", *arguments]


def _check_installed() -> None:
    for name in ("tensorflow", "msgspec"):
        if importlib.util.find_spec(name) is None:
            raise InvalidInput(f"the module {name!r} is missing: pip install 'rgru-codec[train]'")


def _load_tensorflow() -> None:
    """Import TensorFlow without its words on graphics cards, which no setting of its silences."""
    sys.stderr.flush()
    stderr = os.dup(2)
    nowhere = os.open(os.devnull, os.O_WRONLY)
    os.dup2(nowhere, 2)
    try:
        importlib.import_module("tensorflow")
    finally:
        os.dup2(stderr, 2)
        os.close(nowhere)
        os.close(stderr)


def _run(options: argparse.Namespace) -> None:
    if options.resume and options.init_from:
        raise InvalidInput("--resume continues a run, --init-from begins one: give one of them")
    if not options.config and not (options.resume and (options.out / "config.json").exists()):
        raise InvalidInput("give --config (a run that is there has its own)")
    print("loading TensorFlow", flush=True)
    _load_tensorflow()
    from rgru_train import run
    from rgru_train.config import RunConfig

    if options.config:
        config = RunConfig.from_toml(options.config)
    else:
        config = RunConfig.of_run(options.out)
    run.train(
        config,
        run.Options(options.data, options.out, options.resume, options.init_from, options.steps),
    )


def _validate(options: argparse.Namespace) -> None:
    _load_tensorflow()
    from rgru_train import run
    from rgru_train.config import RunConfig

    config = RunConfig.of_run(options.run)
    print(json.dumps(run.evaluate(config, run.Options(options.data, options.run))))


def _average(options: argparse.Namespace) -> None:
    _load_tensorflow()
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
    _load_tensorflow()
    from rgru_train.release import release

    # Not Path.is_file: a long text is no name that it can ask for.
    notes = options.notes
    text = Path(notes).read_text() if os.path.isfile(notes) else notes  # noqa: PTH113
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
    _load_tensorflow()
    from rgru_train.config import RunConfig
    from rgru_train.run import network_rows

    for name, value in network_rows(RunConfig.from_toml(options.config)).items():
        print(f"{name}: {value}")


if __name__ == "__main__":
    sys.exit(main())
