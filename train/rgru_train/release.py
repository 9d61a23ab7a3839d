"""``rgru-train export``: from a run to a checked model package with its card."""

from __future__ import annotations

import shutil
import tempfile
from pathlib import Path

import msgspec

from rgru_codec.packages import CARD
from rgru_format import InvalidInput
from rgru_train.card import SIZE_LIMIT, check_size, model_card
from rgru_train.config import RunConfig
from rgru_train.export import export
from rgru_train.integers import code_lengths
from rgru_train.log import read_log
from rgru_train.photos import Pixels, Summary, find_photos, summary
from rgru_train.trainer import Trainer
from rgru_train.validation import validation_samples

_PICTURES = 4
"""So many validation pictures are coded to compare code lengths."""


def release(
    run: Path,
    out: Path,
    *,
    name: str = "compact",
    data: Path | None = None,
    notes: str = "",
    best: bool = False,
    size_limit: float = SIZE_LIMIT,
) -> Path:
    """Write the package of a run with its model card; return its folder.

    It takes its place when all is well: one that is refused leaves nothing behind.

    Args:
        run: the folder of the run.
        out: where the package's folder goes.
        name: of the model.
        data: the folder with the photos; by default the one that the run used, if it is there.
        notes: what the model is bad at.
        best: take the best checkpoint by validation, not the newest.
        size_limit: megabytes that the package may take, deflated.

    Raises:
        InvalidInput: there is no checkpoint, the package differs from TensorFlow, or is too large.
    """
    trainer = Trainer.of_run(run, best)
    config = trainer.config
    out.mkdir(parents=True, exist_ok=True)
    with tempfile.TemporaryDirectory(dir=out, prefix=".new-") as place:
        package = export(trainer.model, name, Path(place)).folder
        check_size(package, size_limit)
        known, pictures = _data(run, data, config, trainer.model.codec.stride)
        lengths = code_lengths(trainer.model, pictures[:_PICTURES]) if pictures else []
        card = model_card(name, package, config, trainer.step, read_log(run), known, lengths, notes)
        (package / CARD).write_bytes(card.encode(errors="backslashreplace"))
        return shutil.copytree(package, out / package.name, dirs_exist_ok=True)


def _data(
    run: Path, data: Path | None, config: RunConfig, stride: int
) -> tuple[Summary | None, list[Pixels]]:
    """What is known of the photos, and validation pictures if the photos are at hand."""
    recorded = run / "data.json"
    if data is None and recorded.exists():
        try:
            known = msgspec.json.decode(recorded.read_bytes(), type=Summary)
        except (ValueError, msgspec.DecodeError) as error:
            raise InvalidInput(f"{recorded}: {error}; name the photos with --data") from None
        data = Path(known["folder"])
        if not data.is_dir():
            return known, []
    if data is None:
        return None, []
    training, held_out = find_photos(data)
    samples = validation_samples(held_out, config.training, stride)
    return summary(data, training, held_out), [sample.pixels for sample in samples]
