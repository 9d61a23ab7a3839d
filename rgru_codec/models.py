"""Model packages: the networks and integers that a file names by its model id.

A package is a folder under ``rgru_codec/weights``, named by its id in hexadecimal:

* ``model.json``: codes, gains, shapes; everything a decoder must know besides the networks;
* ``encoder.tflite``, ``decoder.tflite``, ``head.tflite``: LiteRT networks, any height and width;
* ``context.bin``: the integer context model (SPEC.md);
* ``MODEL_CARD.md``: where it comes from. Not part of the id.

The id is the first four bytes of the SHA-256 over name and content of the first five. It is
checked when a package is made and by the tests, not at every start.
"""

from __future__ import annotations

import dataclasses
import functools
import hashlib
import json
from collections.abc import Mapping
from pathlib import Path
from typing import Any

from rgru_format import ContextModel, InvalidInput, ModelMissing

FILES = ("model.json", "encoder.tflite", "decoder.tflite", "head.tflite", "context.bin")
WEIGHTS = Path(__file__).parent / "weights"


@dataclasses.dataclass(frozen=True)
class StepShape:
    """What one step of a network needs to know about its inputs and outputs."""

    inputs: tuple[tuple[int, int], ...]
    """(pixels a position, channels) of each input; the step's own states come last."""
    outputs: tuple[tuple[int, int], ...]
    """The same of each output; the new states come last."""
    states: int
    """How many states there are."""
    reach: int
    """How far, in pixels, an output depends on inputs around it."""

    @property
    def kept(self) -> tuple[tuple[int, int], ...]:
        """The states."""
        return self.outputs[len(self.outputs) - self.states :]


@dataclasses.dataclass(frozen=True)
class Model:
    """A model package that is at hand."""

    id: bytes
    """Four bytes, as files carry them."""
    folder: Path
    name: str
    reconstruction: str
    """``additive`` or ``one_shot``."""
    codes: tuple[int, ...]
    """Codes a position, for each layer."""
    gains: tuple[float, ...]
    """Factor on the residual, for each iteration."""
    stride: int
    """Pixels a position of the codes."""
    steps: Mapping[str, StepShape]
    """Shapes of ``encoder``, ``decoder`` and ``head``."""

    @property
    def iterations(self) -> int:
        """Layers that a file of this model can have."""
        return len(self.codes)

    def context(self) -> ContextModel:
        """The context model (read once)."""
        return _context(self.folder)

    def grid(self, height: int, width: int) -> tuple[int, int]:
        """Rows and columns of codes for a picture."""
        return -(-height // self.stride), -(-width // self.stride)

    @classmethod
    def load(cls, folder: Path) -> Model:
        """Read a package.

        Raises:
            InvalidInput: the folder holds no package.
        """
        try:
            table: dict[str, Any] = json.loads((folder / "model.json").read_text())
        except (OSError, ValueError) as error:
            raise InvalidInput(f"{folder}: not a model package ({error})") from None
        steps = {
            name: StepShape(
                tuple((int(s), int(c)) for s, c in step["inputs"]),
                tuple((int(s), int(c)) for s, c in step["outputs"]),
                int(step["states"]),
                int(step["reach"]),
            )
            for name, step in table["steps"].items()
        }
        return cls(
            id=bytes.fromhex(folder.name),
            folder=folder,
            name=table["name"],
            reconstruction=table["reconstruction"],
            codes=tuple(table["codes"]),
            gains=tuple(table["gains"]),
            stride=table["stride"],
            steps=steps,
        )


@functools.cache
def _context(folder: Path) -> ContextModel:
    return ContextModel.from_bytes((folder / "context.bin").read_bytes())


def package_id(folder: Path) -> bytes:
    """The id that the files of a package give: four bytes."""
    digest = hashlib.sha256()
    for name in FILES:
        content = (folder / name).read_bytes()
        digest.update(f"{name} {len(content)}\n".encode())
        digest.update(content)
    return digest.digest()[:4]


@functools.cache
def find_model(model_id: bytes) -> Model:
    """The package with this id.

    Raises:
        ModelMissing: it is not installed.
    """
    folder = WEIGHTS / model_id.hex()
    if not folder.is_dir():
        raise ModelMissing(model_id, str(WEIGHTS))
    return Model.load(folder)


def default_model() -> Model:
    """The package that compresses when none is named: the one ``weights/default`` names.

    Raises:
        ModelMissing: it is not installed.
    """
    try:
        name = (WEIGHTS / "default").read_text().strip()
    except OSError:
        raise ModelMissing(bytes(4), f"{WEIGHTS}: no default is named there") from None
    return find_model(bytes.fromhex(name))
