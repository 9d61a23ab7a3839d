"""Weights to start from: of another run, of a packed one, or of a model package."""

from __future__ import annotations

from pathlib import Path

from rgru_codec.models import default_model, model_named
from rgru_format import InvalidInput, ModelMissing
from rgru_train import state
from rgru_train.export import weights_of


def starting_weights(source: str) -> state.Arrays:
    """Return the weights that ``--init-from`` names, by name.

    Args:
        source: The folder of a run, a packed run, the folder of a model package, the id or the
            name of an installed model, or ``default``.

    Raises:
        InvalidInput: Nothing of that name, or its weights cannot be read back.
    """
    path = Path(source)
    if any((path / name).exists() for name in (state.NEWEST, state.PREVIOUS)):
        return state.part(state.load(path), "averages")
    if path.is_file():
        return state.part(state.read(path), "averages")
    try:
        return weights_of(default_model() if source == "default" else model_named(source))
    except (InvalidInput, ModelMissing) as error:
        raise InvalidInput(f"{source}: neither a run nor a model to start from ({error})") from None
