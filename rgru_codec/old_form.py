"""Model packages of the old form: LiteRT files and a head in each layer. Goes with the last one."""

from __future__ import annotations

import dataclasses
import hashlib
from collections.abc import Mapping
from pathlib import Path
from typing import Any

FILES = ("model.json", "encoder.tflite", "decoder.tflite", "head.tflite", "context.bin")


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


def package_id(folder: Path) -> bytes:
    """The id that the files of a package give: four bytes."""
    digest = hashlib.sha256()
    for name in FILES:
        content = (folder / name).read_bytes()
        digest.update(f"{name} {len(content)}\n".encode())
        digest.update(content)
    return digest.digest()[:4]


@dataclasses.dataclass(frozen=True)
class OldForm:
    """What packages of the old form say of their networks."""

    reconstruction: str
    """``additive`` or ``one_shot``."""
    codes: tuple[int, ...]
    gains: tuple[float, ...]
    stride: int
    steps: Mapping[str, StepShape]
    """Shapes of ``encoder``, ``decoder`` and ``head``."""

    @classmethod
    def parse(cls, table: Mapping[str, Any]) -> OldForm:
        """Read the table of a package."""
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
            reconstruction=table["reconstruction"],
            codes=tuple(table["codes"]),
            gains=tuple(table["gains"]),
            stride=table["stride"],
            steps=steps,
        )
