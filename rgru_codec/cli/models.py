"""``rgru models``: what models there are, another one, and whether they are sound."""

from __future__ import annotations

import argparse
from pathlib import Path
from typing import TYPE_CHECKING, Any

from rgru_codec.cli.files import check_names
from rgru_codec.cli.status import DONE, UNUSABLE, exit_code, fail, layer_count, show

if TYPE_CHECKING:
    from rgru_codec.models import Model


def add_command(commands: Any) -> None:
    """Add the command to the parser."""
    parser = commands.add_parser(
        "models",
        help="list, install and check models",
        usage="%(prog)s [-h] [ACTION ...]",
        description="Without an action: list the models at hand, in the order of search. Files "
        "name the model that they need by its id.",
    )
    parser.set_defaults(run=list_models)
    actions = parser.add_subparsers(title="actions", metavar="ACTION", prog=parser.prog)
    one = actions.add_parser(
        "add",
        help="install models or encoders for yourself",
        description="Install model packages (.zip, or a folder), or further encoders of a model "
        "(encoder*.safetensors), into your data folder. They are checked first.",
    )
    one.add_argument("inputs", nargs="+", metavar="FILE", help="a package, or an encoder")
    one.set_defaults(run=add)
    one = actions.add_parser(
        "verify",
        help="check models",
        description="Check models: their id, their shapes, and that the inference engine computes "
        "what the written weights say.",
    )
    one.add_argument(
        "inputs", nargs="*", metavar="MODEL", help="an id, a name, or a folder (default: all)"
    )
    one.set_defaults(run=verify)


def list_models(args: argparse.Namespace) -> int:
    """List all models; those that cannot be used are told, and do not hinder the others."""
    from rgru_codec.models import Model, default_model, folders
    from rgru_format import RgruError

    try:
        default = default_model().folder
    except RgruError:
        default = None
    code = DONE
    for folder in folders():
        try:
            model = Model.load(folder)
        except Exception as error:
            fail(error)
            code = UNUSABLE
        else:
            show(_words(model) + ("  (default)" if folder == default else ""))
    return code


def _words(model: Model) -> str:
    encoders = ", ".join(model.encoders()) or "none"
    layers = layer_count(model.iterations)
    return f"{model.id.hex()}  {model.name}  {layers}  encoders: {encoders}  {model.folder}"


def add(args: argparse.Namespace) -> int:
    """Install all inputs."""
    from rgru_codec import packages

    check_names(*args.inputs)
    for name in args.inputs:
        try:
            installed = packages.add(Path(name))
        except Exception as error:
            return fail(error)
        show(f"{name}: installed as {installed}")
    return DONE


def verify(args: argparse.Namespace) -> int:
    """Check models, the others too if one is not sound."""
    from rgru_codec import packages
    from rgru_codec.models import folders, model_named

    check_names(*args.inputs)
    codes = []
    for name in args.inputs or map(str, folders()):
        try:
            model = model_named(name)
            difference = packages.check(model)
        except Exception as error:
            codes.append(fail(error))
        else:
            show(f"{_words(model)}: sound, engines differ by {difference:.1g} at most")
    return exit_code(codes)
