"""Model packages: what a file names by its model id, and the encoders that go with it.

A package is a folder named by its id in hexadecimal:

* ``model.json``: the table of the decoding half (SPEC section 11.2);
* ``decoder.safetensors``: the weights of decoder, linear path and painter, and the gains;
* ``context.bin``: the integer context model (SPEC section 7.6);
* ``encoder.safetensors``, ``encoder-NAME.safetensors``: encoders, each with its table. Files say
  nothing of them: a model may get better ones as long as it lives;
* ``MODEL_CARD.md``: where it comes from.

The id is the first four bytes of a SHA-256 over the first three; it is held against them whenever a
package is loaded. Packages are looked for in :func:`homes`.
"""

from __future__ import annotations

import dataclasses
import functools
import hashlib
import importlib.metadata
import json
import os
import re
from collections.abc import Iterator
from pathlib import Path
from typing import Any

from rgru_codec.runtime.networks import DecodingHalf, EncodingHalf
from rgru_codec.runtime.weights import unpack_arrays
from rgru_format import ContextModel, Damaged, InvalidInput, ModelMissing, RgruError

TABLE, WEIGHTS_FILE, CONTEXT = "model.json", "decoder.safetensors", "context.bin"
DECODING_HALF = (TABLE, WEIGHTS_FILE, CONTEXT)
"""The files that the id covers, in this order."""
ENCODER_NAMES = re.compile(r"encoder(?:-([A-Za-z0-9][A-Za-z0-9._]*))?\.safetensors")
DEFAULT_ENCODER = "default"
"""Name of the encoder in ``encoder.safetensors``."""

WEIGHTS = Path(__file__).parent / "weights"
"""The home of the packages that ship with this distribution."""
_RELEASED = WEIGHTS / "released.json"
VARIABLE = "RGRU_MODELS"
"""Environment variable: packages or folders of packages, separated as in PATH."""
FIRST = "RGRU_MODEL"
"""Environment variable: one package, or the id or name of a model, which comes before them."""
ENTRY_POINTS = "rgru.models"
"""Group of entry points by which distributions announce a module that lies beside packages."""
_IDS = re.compile("[0-9a-fA-F]{8}")
_MOST_BYTES = 2**26
"""No file of a package may be larger."""


@dataclasses.dataclass(frozen=True, eq=False)
class Model:
    """A model package that is at hand."""

    id: bytes
    """Four bytes, as files carry them."""
    digest: bytes
    """The SHA-256 that they begin."""
    folder: Path
    name: str
    half: DecodingHalf
    """Its networks, encoders apart."""

    @property
    def codes(self) -> tuple[int, ...]:
        """Codes a position, for each layer."""
        return self.half.codes

    @property
    def gains(self) -> tuple[float, ...]:
        """Factor on the residual, for each layer."""
        return self.half.gains

    @property
    def iterations(self) -> int:
        """Layers that a file of this model can have."""
        return len(self.codes)

    def context(self) -> ContextModel:
        """The context model (read once).

        Raises:
            Damaged: it is no context model.
        """
        return _context(self.folder, self.digest)

    def encoders(self) -> dict[str, Path]:
        """Files of the encoders at hand, by name, those beside the model first."""
        found: dict[str, Path] = {}
        for folder in dict.fromkeys([self.folder, *(home / self.id.hex() for home in homes())]):
            for path in sorted(folder.glob("encoder*.safetensors"), key=lambda path: path.stem):
                if named := ENCODER_NAMES.fullmatch(path.name):
                    found.setdefault(named[1] or DEFAULT_ENCODER, path)
        return found

    def encoder(self, name: str | None = None) -> EncodingHalf:
        """The encoder of a name; by default ``encoder.safetensors``, or else the first there is.

        Raises:
            InvalidInput: there is none of that name, or it is another model's.
        """
        found = self.encoders()
        if name is None and found:
            name = DEFAULT_ENCODER if DEFAULT_ENCODER in found else next(iter(found))
        if not found:
            raise InvalidInput(
                f"model {self.id.hex()} has no encoder here: its files open, but new ones need "
                "another model (rgru models lists them), or rgru models add encoder.safetensors"
            )
        if name not in found:
            raise InvalidInput(
                f"model {self.id.hex()} has no encoder {name!r}; it has: {', '.join(found)}"
            )
        return _encoder(self, found[name])

    @classmethod
    def load(cls, folder: Path) -> Model:
        """Read a package.

        Raises:
            InvalidInput: the folder holds no package, or one that does not fit SPEC.
            Damaged: its content does not give the id that its folder is named by, or is not that
                of the released model of this id.
        """
        folder = Path(_name_of(folder))
        if not (folder / TABLE).is_file():
            raise InvalidInput(f"{folder}: not a model package, it has no {TABLE}")
        stats = [path.stat() for name in DECODING_HALF if (path := folder / name).exists()]
        return _load(folder, tuple((stat.st_size, stat.st_mtime_ns) for stat in stats))


ModelLike = Model | str | os.PathLike[str]
"""A model, or what names it: the folder of a package, an id, or the name of one at hand."""


@functools.lru_cache(maxsize=8)
def _load(folder: Path, state: object) -> Model:
    """Read a package; ``state`` changes with its files."""
    table = parse_table(read_part(folder / TABLE), str(folder / TABLE))
    parts = [read_part(folder / name) for name in DECODING_HALF]
    digest = digest_of(parts)
    released = _released().get(digest[:4].hex())
    if released is not None and released["sha256"] != digest.hex():
        raise Damaged(f"{folder}: not the released model {digest[:4].hex()}, but another")
    if _IDS.fullmatch(folder.name) and folder.name.lower() != digest[:4].hex():
        raise Damaged(f"{folder}: damaged; its files give the id {digest[:4].hex()}")
    arrays, _ = unpack_arrays(parts[1], str(folder / WEIGHTS_FILE))
    try:
        half = DecodingHalf(table, arrays)
    except InvalidInput as error:
        raise InvalidInput(f"{folder}: {error}") from None
    return Model(digest[:4], digest, folder, str(table.get("name", "")), half)


def digest_of(parts: list[bytes]) -> bytes:
    """SHA-256 of the decoding half: its files in the order of ``DECODING_HALF``."""
    digest = hashlib.sha256()
    for name, content in zip(DECODING_HALF, parts, strict=True):
        digest.update(f"{name} {len(content)}\n".encode())
        digest.update(content)
    return digest.digest()


def read_part(path: Path) -> bytes:
    """The content of a package's file.

    Raises:
        InvalidInput: it is not there, cannot be read, or is larger than any should be.
    """
    try:
        if path.stat().st_size > _MOST_BYTES:
            raise InvalidInput(f"{path}: larger than {_MOST_BYTES} bytes, not a model's file")
        return path.read_bytes()
    except OSError as error:
        raise InvalidInput(f"{path}: {error.strerror or error}") from None


def parse_table(text: bytes | str, where: str) -> dict[str, Any]:
    """A table in JSON.

    Raises:
        InvalidInput: it is none.
    """
    try:
        table = json.loads(text)
    except (ValueError, RecursionError) as error:
        raise InvalidInput(f"{where}: not a table in JSON ({error})") from None
    if not isinstance(table, dict):
        raise InvalidInput(f"{where}: not a table in JSON")
    return table


def load_encoder(model: Model, data: bytes, where: str) -> EncodingHalf:
    """An encoder from the content of its file.

    Raises:
        InvalidInput: it is none, or another model's.
    """
    arrays, words = unpack_arrays(data, where)
    if words.get("model") != model.digest.hex():
        raise InvalidInput(f"{where}: an encoder of model {words.get('model', 'unknown')[:8]}")
    try:
        return EncodingHalf(model.half, parse_table(words.get("table", ""), where), arrays)
    except InvalidInput as error:
        raise InvalidInput(f"{where}: {error}") from None


@functools.lru_cache(maxsize=8)
def _encoder(model: Model, path: Path) -> EncodingHalf:
    return load_encoder(model, read_part(path), str(path))


@functools.lru_cache(maxsize=8)
def _context(folder: Path, digest: bytes) -> ContextModel:
    try:
        return ContextModel.from_bytes(read_part(folder / CONTEXT))
    except Damaged as error:
        raise Damaged(f"{folder / CONTEXT}: {error.message}") from None


@functools.cache
def _released() -> dict[str, dict[str, str]]:
    """Released models by id: ``sha256``, ``name``, and ``install``, the command that brings it."""
    table: dict[str, dict[str, str]] = json.loads(_RELEASED.read_text())
    return table


def user_home() -> Path:
    """Where ``rgru models add`` puts packages."""
    import platformdirs

    return platformdirs.user_data_path("rgru", appauthor=False) / "models"


def homes() -> Iterator[Path]:
    """Folders that hold packages in folders named by their ids, in the order of search.

    Those that ``RGRU_MODEL`` and ``RGRU_MODELS`` name (packages themselves too), the user's own,
    those of distributions with an entry point, those that ship with this one.
    """
    yield from (path for path in _named() if not (path / TABLE).is_file())
    yield user_home()
    for point in importlib.metadata.entry_points(group=ENTRY_POINTS):
        try:
            home = Path(point.load().__file__).parent
        except Exception:  # the faults of other distributions hinder nothing
            continue
        yield home
    yield WEIGHTS


def _named() -> list[Path]:
    parts = [os.environ.get(FIRST, ""), *os.environ.get(VARIABLE, "").split(os.pathsep)]
    return [Path(part) for part in parts if part]


def _not_there() -> str:
    """Say what ``RGRU_MODELS`` names in vain, for those who miss a model."""
    parts = os.environ.get(VARIABLE, "").split(os.pathsep)
    lost = [part for part in parts if part and not Path(part).exists()]
    return "".join(f"; {VARIABLE} names {part}, which is not there" for part in lost)


def is_part(path: Path) -> bool:
    """Tell whether a file belongs to a package, be that at hand or not."""
    named = path.name in DECODING_HALF or ENCODER_NAMES.fullmatch(path.name) is not None
    return named and (path.parent / TABLE).is_file()


def folders() -> Iterator[Path]:
    """The folder of every package at hand, in the order of search.

    Of those that ship the one that compresses by default comes first: models of later versions
    share its name.
    """
    yield from (path for path in _named() if (path / TABLE).is_file())
    for home in homes():
        found = sorted(path.parent for path in home.glob(f"*/{TABLE}"))
        found = [folder for folder in found if _IDS.fullmatch(folder.name)]  # as files look it up
        yield from sorted(found, key=lambda folder: folder != WEIGHTS / _shipped())


def _shipped() -> str:
    """The id of the model that compresses when nothing else is said; empty if it is lost."""
    try:
        return (WEIGHTS / "default").read_text().strip()
    except OSError:
        return ""


def find_model(model_id: bytes) -> Model:
    """The package with this id.

    Raises:
        ModelMissing: it is not at hand; packages that could not be read are named.
        Damaged: it is not what its id says.
        InvalidInput: its content does not fit SPEC.
    """
    return _find(model_id, tuple(_named()))


def model_of(model_id: bytes, given: Model | None) -> Model:
    """The package of a file that names this id: ``given`` if it has it, or else one at hand.

    Raises:
        ModelMissing, Damaged, InvalidInput: as :func:`find_model`.
    """
    return given if given is not None and given.id == model_id else find_model(model_id)


@functools.lru_cache(maxsize=8)
def _find(model_id: bytes, named: tuple[Path, ...]) -> Model:
    passed_over = ""
    for path in named:
        if (path / TABLE).is_file():
            try:
                if (model := Model.load(path)).id == model_id:
                    return model
            except (InvalidInput, Damaged) as error:
                if path.name.lower() == model_id.hex():
                    raise
                passed_over += f"; passed over: {error}"  # another model's, as far as can be told
    for home in homes():
        folder = home / model_id.hex()
        if (folder / TABLE).is_file():
            try:
                return Model.load(folder)
            except (InvalidInput, Damaged) as error:
                raise Damaged(f"{error}; install the model again") from None
    row = _released().get(model_id.hex(), {})
    way = row.get("install", "rgru models add FILE")
    raise ModelMissing(model_id, way + passed_over + _not_there())


def model_named(text: str) -> Model:
    """The model that a user names: the folder of a package, an id, or the name of a model.

    Of several models of one name it is the first of `folders`.

    Raises:
        ModelMissing, InvalidInput, Damaged: as :func:`find_model`.
    """
    if (Path(text) / TABLE).is_file():
        return Model.load(Path(text))
    if _IDS.fullmatch(text):
        return find_model(bytes.fromhex(text))
    for folder in folders():
        try:
            model = Model.load(folder)
        except RgruError:
            continue
        if model.name == text:
            return model
    words = "neither the folder of a model, nor the id or name of one at hand"
    raise InvalidInput(f"{text}: {words}{_not_there()}")


def as_model(model: ModelLike) -> Model:
    """A model, or what names it.

    Raises:
        ModelMissing, InvalidInput, Damaged: as :func:`model_named`.
    """
    return model if isinstance(model, Model) else model_named(_name_of(model))


def _name_of(model: object) -> str:
    """What names a model, as text."""
    if isinstance(model, str | os.PathLike) and isinstance(name := os.fspath(model), str):
        return name
    raise InvalidInput(f"a model is named by a folder, an id or a name, got {model!r}")


def known_context(model_id: bytes) -> ContextModel | None:
    """The context model of an installed package; None if it is not installed."""
    try:
        return find_model(model_id).context()
    except ModelMissing:
        return None


def default_model() -> Model:
    """The model that compresses when none is named.

    The one that ``RGRU_MODEL`` names, the first package that ``RGRU_MODELS`` names, or else the
    one that ships.

    Raises:
        ModelMissing: it is not installed.
        InvalidInput: ``RGRU_MODEL`` names none.
    """
    if first := os.environ.get(FIRST):
        try:
            return model_named(first)
        except InvalidInput as error:
            raise InvalidInput(f"{FIRST}: {error}") from None
    for path in _named():
        if (path / TABLE).is_file():
            return Model.load(path)
    if not (name := _shipped()):
        raise ModelMissing(bytes(4), "pip install --force-reinstall rgru-codec")
    return find_model(bytes.fromhex(name))
