"""Weights to start from: of another run, of a packed one, or read back from a model package."""

from __future__ import annotations

from pathlib import Path

from rgru_format import InvalidInput
from rgru_train import state


def starting_weights(source: str) -> state.Arrays:
    """The weights that ``--init-from`` names, by name.

    Args:
        source: the folder of a run, a packed run, the folder of a model package, or the id of an
            installed package, or ``default``.

    Raises:
        InvalidInput: nothing of that name, or its weights cannot be read back.
    """
    path = Path(source)
    if (path / state.NEWEST).exists():
        return state.part(state.load(path), "averages")
    if path.is_file():
        return state.part(state.read(path), "averages")
    raise InvalidInput(f"{source}: neither a run, nor a model package, nor an installed model")
