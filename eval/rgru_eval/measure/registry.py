"""Names of codecs: the built-in ones, the programs known here, and those a user defines."""

from __future__ import annotations

import importlib.util
import re
from collections.abc import Mapping, Sequence
from pathlib import Path

from rgru_eval.errors import EvalError, in_words
from rgru_eval.measure.builtin import Avif, Jpeg, Jpeg2000, JpegXl, Webp
from rgru_eval.measure.codecs import ANCHORS, BASELINE, Codec, Factory, split_specs
from rgru_eval.measure.external import DEFINITIONS, Definition, command_factory
from rgru_eval.measure.rgru import Rgru
from rgru_eval.results import read_json

BUILT_IN: dict[str, Factory] = {
    "rgru": Rgru,
    "jpeg": Jpeg,
    "webp": Webp,
    "avif": Avif,
    "jxl": JpegXl,
    "jpeg2000": Jpeg2000,
    **{name: command_factory(definition) for name, definition in DEFINITIONS.items()},
}
# What a bare name stands for: no curve of these is shown without its stronger and weaker settings.
FAMILIES = {
    "jpeg": (
        BASELINE,
        "jpeg:subsampling=420",
        "jpeg:subsampling=420,optimize,progressive",
        "jpeg:subsampling=444,optimize",
    ),
    "avif": ANCHORS[1:],
}


def registry(definitions: Sequence[str] = ()) -> dict[str, Factory]:
    """Return all names; ``definitions`` are paths of .json and .py files (see codecs.py)."""
    known = dict(BUILT_IN)
    for text in definitions:
        path = Path(text)
        if path.suffix == ".py":
            known.update(_python_codecs(path))
        else:
            found = read_json(path, dict[str, Definition])
            known.update({name: command_factory(one) for name, one in found.items()})
    for name in known:
        if not re.fullmatch(r"[^,:\s]([^,:]*[^,:\s])?", str(name)):
            raise EvalError(f"codec '{name}': a name has no commas or colons, nor spaces around it")
    return known


def _python_codecs(path: Path) -> Mapping[str, Factory]:
    """Run a Python file of the user and return its ``CODECS``."""
    spec = importlib.util.spec_from_file_location(path.stem, path)
    if spec is None or spec.loader is None or not path.exists():
        raise EvalError(f"{path}: no such Python file")
    module = importlib.util.module_from_spec(spec)
    try:
        spec.loader.exec_module(module)
    except (Exception, SystemExit) as error:
        why = f"cannot be run: {in_words(error)}; 'python {path}' shows where"
        raise EvalError(f"{path}: {why}") from error
    codecs = getattr(module, "CODECS", None)
    if not isinstance(codecs, dict) or not codecs:
        raise EvalError(f"{path}: has no dictionary CODECS = {{'name': CodecClass}}")
    return codecs


def make_codecs(texts: Sequence[str], definitions: Sequence[str] = ()) -> list[Codec]:
    """Make the codecs of spec texts, each once, in the order given; families are opened up."""
    known = registry(definitions)
    codecs: dict[str, Codec] = {}
    for name, parameters in split_specs(texts, known):
        spec = f"{name}:{parameters}" if parameters else name
        for member in FAMILIES.get(spec, (spec,)):
            codec = made(member, known)
            codecs.setdefault(codec.identity(), codec)
    return list(codecs.values())


def make_codec(identity: str, definitions: Sequence[str] = ()) -> Codec:
    """Make the codec of one identity, as results name it."""
    known, name = registry(definitions), identity.partition(":")[0]
    if name not in known:
        raise EvalError(f"no codec '{name}' here; it may need the --define file of its run")
    return made(identity, known)


def made(spec: str, known: Mapping[str, Factory]) -> Codec:
    """Make a codec of ``name:a=1,b``."""
    name, _, parameters = spec.partition(":")
    pairs = (part.partition("=") for part in parameters.split(",") if part)
    try:
        return known[name](name, {key: value for key, _, value in pairs})
    except EvalError:
        raise
    except Exception as error:
        raise EvalError(f"{name}: cannot be made: {in_words(error)}") from error
