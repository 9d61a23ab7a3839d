"""The model card: what a package was trained on, for how long, what it costs and reaches."""

from __future__ import annotations

import io
import itertools
import zipfile
from collections.abc import Sequence
from pathlib import Path
from typing import Any

from rgru_codec.models import FILES
from rgru_format import InvalidInput
from rgru_train.config import RunConfig
from rgru_train.nets.cost import cost_of

CARD = "MODEL_CARD.md"
SIZE_LIMIT = 8.0
"""Megabytes (10^6 bytes) that a package may take in a wheel, deflated."""
_CURVE_ROWS = 12


def packed_size(folder: Path) -> int:
    """Bytes of a package with its card, deflated as in a wheel."""
    buffer = io.BytesIO()
    with zipfile.ZipFile(buffer, "w", zipfile.ZIP_DEFLATED) as archive:
        for name in (*FILES, CARD):
            if (folder / name).exists():
                archive.write(folder / name, name)
    return len(buffer.getvalue())


def check_size(folder: Path, limit: float = SIZE_LIMIT) -> int:
    """Bytes of a package, if they are within ``limit`` megabytes.

    Raises:
        InvalidInput: they are not.
    """
    size = packed_size(folder)
    if size > limit * 1e6:
        raise InvalidInput(
            f"{folder}: {size / 1e6:.2f} MB packed, more than {limit:g}; "
            "shrink the network, or allow it with --size-limit"
        )
    return size


def hours(rows: Sequence[dict[str, Any]]) -> float:
    """Hours of training steps in a log, those that a kill undid included."""
    steps = [row["step"] for row in rows if row["kind"] == "train"]
    seconds = [row.get("seconds", 0.0) for row in rows if row["kind"] == "train"]
    # Behind a resumption the log goes back; a row tells of as many steps as rows are apart.
    apart = min((b - a for a, b in itertools.pairwise(steps) if b > a), default=1)
    return float(sum(seconds) * apart / 3600.0)


def model_card(
    name: str,
    package: Path,
    config: RunConfig,
    step: int,
    rows: Sequence[dict[str, Any]],
    data: dict[str, Any] | None,
    lengths: Sequence[tuple[float, float, float]],
    notes: str,
) -> str:
    """The text of the card.

    Args:
        name: of the model.
        package: its folder, named by its id.
        config: of the run.
        step: of the checkpoint.
        rows: of the run's log.
        data: what :func:`rgru_train.manifest.summary` gives, if the photos are known.
        lengths: what :func:`rgru_train.export.code_lengths` gives; empty if not measured.
        notes: what the model is bad at.
    """
    parts = [
        f"# Model {name} ({package.name})",
        _facts(config, step, rows),
        "## Bad at",
        notes.strip() or "Not examined yet.",
        "## Data",
        _data(data),
        "## Validation",
        _validation(step, rows),
        "## Code length, integer context model against the trained one",
        _lengths(lengths),
    ]
    return "\n\n".join(parts) + "\n"


def _table(head: Sequence[str], rows: Sequence[Sequence[object]]) -> str:
    lines = [head, ["---"] * len(head), *rows]
    return "\n".join(f"| {' | '.join(map(str, line))} |" for line in lines)


def _facts(config: RunConfig, step: int, rows: Sequence[dict[str, Any]]) -> str:
    network, cost = config.network, cost_of(config.network)
    training = config.training
    per_iteration = "kMAC a pixel and iteration"
    facts = [
        ("network", f"{network.cell}, {network.reconstruction}, {network.iterations} iterations"),
        ("codes a position", ", ".join(map(str, network.codes))),
        ("configuration", f"{config.digest} (whole in model.json)"),
        ("distortion", training.distortion),
        ("steps", f"{step} of {training.batch} crops of {training.crop}x{training.crop} pixels"),
        ("hours", f"{hours(rows):.1f}"),
        (f"{per_iteration}, encoding", f"{cost.encode / 1e3:.1f}"),
        (f"{per_iteration}, decoding", f"{cost.decode / 1e3:.1f}"),
        (f"{per_iteration}, context model", f"{cost.context / 1e3:.1f}"),
    ]
    return _table(("", ""), facts)


def _data(data: dict[str, Any] | None) -> str:
    if data is None:
        return "Not recorded."
    counts = f"{data['training']} photos in training, {data['held_out']} held out by file name."
    return f"{counts}\n\n{_table(('source', 'licence', 'photos'), data['sources'])}"


def _validation(step: int, rows: Sequence[dict[str, Any]]) -> str:
    """Rate and MS-SSIM of the layers, and how they came about."""
    curve = [row for row in rows if row["kind"] == "validation" and row["step"] <= step]
    if not curve:
        return "Not measured."
    last = curve[-1]
    measures = zip(last["bpp"], last["ms_ssim"], strict=True)
    layers = [(t + 1, f"{b:.3f}", f"{q:.4f}") for t, (b, q) in enumerate(measures)]
    every = -(-len(curve) // _CURVE_ROWS)
    some = curve[::-1][::every][::-1]
    progress = [(row["step"], *map(_number, row["bpp_at"].values())) for row in some]
    qualities = [f"bpp at {quality}" for quality in last["bpp_at"]]
    red, green, blue = last["colour"]
    return "\n\n".join(
        [
            f"Held-out photos, RGB MS-SSIM, ideal code length, at step {last['step']}. "
            f"Mean error of R, G, B after the last layer: {red}, {green}, {blue} levels.",
            _table(("layer", "bpp", "MS-SSIM"), layers),
            _table(("step", *qualities), progress),
        ]
    )


def _number(value: float | None) -> str:
    return "-" if value is None else f"{value:.3f}"


def _lengths(lengths: Sequence[tuple[float, float, float]]) -> str:
    if not lengths:
        return "Not measured."
    rows = [
        (t + 1, f"{f:.4f}", f"{i:.4f}", f"{100 * (i / f - 1):+.2f} %", f"{coded:.4f}")
        for t, (f, i, coded) in enumerate(lengths)
    ]
    total = [sum(column) for column in zip(*lengths, strict=True)]
    change = f"{100 * (total[1] / total[0] - 1):+.2f} %"
    rows.append(("all", f"{total[0]:.4f}", f"{total[1]:.4f}", change, f"{total[2]:.4f}"))  # type: ignore[arg-type]
    head = ("layer", "float, bpp", "integer, bpp", "difference", "coded groups, bpp")
    text = "Bits per pixel of validation pictures; what is coded learns of each picture besides."
    return f"{text}\n\n{_table(head, rows)}"
