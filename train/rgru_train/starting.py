"""Where a run can start from: another run, a packed one, or a model package."""

from __future__ import annotations

from pathlib import Path

from rgru_codec.models import default_model, model_named
from rgru_format import InvalidInput, ModelMissing
from rgru_train import state
from rgru_train.export import weights_of


def starting_state(source: str) -> state.Arrays:
    """Return what ``--init-from`` names: ``averages/NAME`` and, of a run, its rate control.

    Args:
        source: The folder of a run, a packed run, the folder of a model package, the id or the
            name of an installed model, or ``default``.

    Raises:
        InvalidInput: Nothing of that name, or its weights cannot be read back.
    """
    path = Path(source)
    if state.is_run(path):
        return state.load(path)
    if path.is_file():
        return state.read(path)
    try:
        weights = weights_of(default_model() if source == "default" else model_named(source))
        return {f"averages/{name}": array for name, array in weights.items()}
    except (InvalidInput, ModelMissing) as error:
        raise InvalidInput(f"{source}: neither a run nor a model to start from ({error})") from None
