"""Making, installing and checking model packages."""

from __future__ import annotations

import io
import json
import tempfile
import zipfile
from collections.abc import Mapping
from pathlib import Path, PurePosixPath
from typing import Any

import numpy as np
from numpy.typing import NDArray

from rgru_codec.files import write_file
from rgru_codec.models import (
    CONTEXT,
    DECODING_HALF,
    DEFAULT_ENCODER,
    ENCODER_NAMES,
    Model,
    digest_of,
    find_model,
    load_encoder,
    read_part,
    user_home,
)
from rgru_codec.runtime.engine import Engine, Maker, best_engine
from rgru_codec.runtime.networks import Network
from rgru_codec.runtime.rect import Rect
from rgru_codec.runtime.reference import Reference
from rgru_codec.runtime.weights import Array, pack_arrays, unpack_arrays
from rgru_format import POSITION, ContextModel, Damaged, InvalidInput

CARD = "MODEL_CARD.md"
TOLERANCE = 1e-3
"""By which engines may differ, of what is of the order of 1: an eighth of a level."""
_MOST_BYTES = 2**27
"""A package may take no more, unpacked."""


def write_package(
    home: Path,
    table: Mapping[str, Any],
    arrays: Mapping[str, NDArray[Any]],
    context: ContextModel,
    encoders: Mapping[str, tuple[Mapping[str, Any], Mapping[str, NDArray[Any]]]],
    *,
    version: str = "1",
) -> Model:
    """Write a package from named arrays, and check it.

    Args:
        home: the folder in which the package's folder is made, named by its id.
        table: what becomes ``model.json``; keys that SPEC does not name may be there too.
        arrays: of the decoding half, float16 or float32.
        context: the integer context model.
        encoders: table and arrays by name; ``default`` is the one that is taken when none is named.
        version: of these encoders.

    Raises:
        InvalidInput: tables and arrays do not fit each other, or engines differ.
    """
    parts = [json.dumps(table, indent=1).encode(), pack_arrays(arrays), context.to_bytes()]
    digest = digest_of(parts)
    files = dict(zip(DECODING_HALF, parts, strict=True))
    for name, (own, weights) in encoders.items():
        words = {"name": name, "version": version, "model": digest.hex()}
        words["table"] = json.dumps(own, separators=(",", ":"))
        files[_encoder_file(name)] = pack_arrays(weights, words)
    return _install(home, files)


def _encoder_file(name: str) -> str:
    file = "encoder.safetensors" if name == DEFAULT_ENCODER else f"encoder-{name}.safetensors"
    if not ENCODER_NAMES.fullmatch(file):
        raise InvalidInput(f"{name!r} is no name for an encoder: letters, digits, dots, _")
    return file


def add(source: Path, home: Path | None = None) -> Path:
    """Install a package, or an encoder for a model that is at hand.

    Args:
        source: a zip of a package's files, the folder of a package, or an ``encoder*.safetensors``.
        home: where packages go; by default the user's own.

    Returns:
        The package's folder, or the encoder's file.

    Raises:
        InvalidInput: there is nothing of that kind, or its content does not fit SPEC.
        ModelMissing: the model of an encoder is not at hand.
        OSError: it cannot be written.
    """
    home = home or user_home()
    if ENCODER_NAMES.fullmatch(source.name) and source.is_file():
        return _add_encoder(source, home)
    files = _files_of_folder(source) if source.is_dir() else _files_of_zip(source)
    missing = [name for name in DECODING_HALF if name not in files]
    if missing:
        raise InvalidInput(f"{source}: not a model package, {missing[0]} is missing")
    return _install(home, files, str(source)).folder


def _add_encoder(source: Path, home: Path) -> Path:
    data = read_part(source)
    _, words = unpack_arrays(data, str(source))
    try:
        digest = bytes.fromhex(words["model"])
    except (KeyError, ValueError):
        raise InvalidInput(f"{source}: does not say whose encoder it is") from None
    model = find_model(digest[:4])
    encoding = load_encoder(model, data, str(source))
    for network in encoding.networks():
        compare(network)
    folder = home / model.id.hex()
    folder.mkdir(parents=True, exist_ok=True)
    write_file(folder / source.name, data)
    return folder / source.name


def _install(home: Path, files: Mapping[str, bytes], source: str = "package") -> Model:
    """Write files (by name) beside their place, check them, and move them there."""
    home.mkdir(parents=True, exist_ok=True)
    with tempfile.TemporaryDirectory(dir=home, prefix=".new-") as place:
        folder = Path(place)
        for name, content in files.items():
            (folder / name).write_bytes(content)
        try:
            model = Model.load(folder)
            check(model)
        except (InvalidInput, Damaged) as error:
            raise type(error)(str(error).replace(place, source)) from None
        final = home / model.id.hex()
        final.mkdir(exist_ok=True)
        for name, content in files.items():
            write_file(final / name, content)
    return Model.load(final)


def _files_of_folder(folder: Path) -> dict[str, bytes]:
    return {path.name: read_part(path) for path in folder.iterdir() if _belongs(path.name)}


def _files_of_zip(source: Path) -> dict[str, bytes]:
    """Nothing but files of a package is unpacked, wherever in the archive they lie."""
    files: dict[str, bytes] = {}
    try:
        with zipfile.ZipFile(source) as archive:
            for row in archive.infolist():
                name = PurePosixPath(row.filename).name
                if not _belongs(name):
                    continue
                if name in files or row.file_size > _MOST_BYTES:
                    raise InvalidInput(f"{source}: {row.filename} is there twice, or too large")
                with archive.open(row) as file:
                    files[name] = file.read(row.file_size)
    except FileNotFoundError:
        raise
    except (zipfile.BadZipFile, NotImplementedError, EOFError, OSError, RuntimeError) as error:
        raise InvalidInput(f"{source}: not a model package ({error})") from None
    return files


def _belongs(name: str) -> bool:
    return name in (*DECODING_HALF, CARD) or bool(ENCODER_NAMES.fullmatch(name))


def check(model: Model) -> float:
    """Check all of a package: context model, encoders, and engines against each other.

    Returns:
        The largest difference between the best engine and the reference.

    Raises:
        InvalidInput, Damaged: something does not fit.
    """
    found = tuple(model.context().codes)
    if found != model.codes:
        raise InvalidInput(f"{model.folder}: {CONTEXT} is for codes {found}, not {model.codes}")
    return max(map(compare, networks_of(model)))


def networks_of(model: Model) -> list[Network]:
    """All networks of a package, those of each encoder too."""
    encoders = (network for name in model.encoders() for network in model.encoder(name).networks())
    return [*model.half.networks(), *encoders]


def compare(network: Network, maker: Maker | None = None) -> float:
    """The largest difference between an engine and the reference, on a small random picture.

    Raises:
        InvalidInput: it is more than rounding.
    """
    window = Rect(0, 5 * POSITION, 0, 7 * POSITION)
    engines = [(maker or best_engine())(network, 1), Reference(network, 1)]
    found, expected = (run(engine, random_inputs(network, window), window) for engine in engines)
    worst = 0.0
    for name, values in expected.items():
        size = max(1.0, float(np.abs(values).max()))
        worst = max(worst, float(np.abs(found[name] - values).max()) / size)
    if not worst <= TOLERANCE:
        raise InvalidInput(f"{network.name}: engines differ by {worst:.3g}")
    return worst


def random_inputs(network: Network, window: Rect, seed: int = 0) -> dict[str, Array]:
    """Codes of random signs, and other inputs between -1 and 1."""
    rng = np.random.default_rng(seed)
    inputs = {}
    for name, port in network.inputs.items():
        shape = (1, window.height // port.spacing, window.width // port.spacing, port.channels)
        values = rng.uniform(-1.0, 1.0, shape)
        inputs[name] = (np.where(values < 0, -1, 1) if name == "codes" else values).astype("f")
    return inputs


def run(engine: Engine, inputs: Mapping[str, Array], window: Rect) -> dict[str, Array]:
    """One step over arrays, copied in and out."""

    def source(values: Array) -> Any:
        return lambda _, out: np.copyto(out, values)

    sources = {name: source(values) for name, values in inputs.items()}
    with engine.step(sources, window) as outputs:
        return {name: values.copy() for name, values in outputs.items()}


def pack(model: Model) -> bytes:
    """A package as one file, as :func:`add` takes it."""
    file = io.BytesIO()
    with zipfile.ZipFile(file, "w", zipfile.ZIP_DEFLATED) as archive:
        for name, content in sorted(_files_of_folder(model.folder).items()):
            archive.writestr(f"{model.id.hex()}/{name}", content)
    return file.getvalue()
