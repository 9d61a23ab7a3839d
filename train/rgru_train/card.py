"""The model card: what a package was trained on, for how long, what it costs and reaches."""

from __future__ import annotations

import io
import itertools
import zipfile
from collections.abc import Sequence
from pathlib import Path
from typing import Any

from rgru_codec.models import DECODING_HALF
from rgru_format import InvalidInput
from rgru_train.config import RunConfig
from rgru_train.nets.cost import cost_of
from rgru_train.photos import Summary

SIZE_LIMIT, DECODING_LIMIT = 10.0, 6.0
"""Megabytes (10^6 bytes) that a package, and its decoding half, may take in a wheel, deflated."""
_CURVE_ROWS = 12
_MEASURES = {
    "bpp": "bpp",
    "ms_ssim": "RGB MS-SSIM",
    "ms_ssim_luma": "luma MS-SSIM",
    "ssimulacra2": "SSIMULACRA2",
    "ciede2000": "CIEDE2000",
    "flat": "flat",
}
"""Rows of a validation that have a value for each layer, and what the card calls them."""


def packed_size(folder: Path, names: Sequence[str] | None = None) -> int:
    """Return the bytes of a package's files, or of some of them, deflated as in a wheel."""
    buffer = io.BytesIO()
    with zipfile.ZipFile(buffer, "w", zipfile.ZIP_DEFLATED) as archive:
        for path in sorted(folder.iterdir()):
            if names is None or path.name in names:
                archive.write(path, path.name)
    return len(buffer.getvalue())


def check_size(folder: Path, limit: float = SIZE_LIMIT) -> int:
    """Return the bytes of a package, deflated.

    Raises:
        InvalidInput: They are more than ``limit`` megabytes, or those of the decoding half more
            than their share of it.
    """
    size, half = packed_size(folder), packed_size(folder, DECODING_HALF)
    for found, most, what in (
        (size, limit, folder.name),
        (half, limit * DECODING_LIMIT / SIZE_LIMIT, f"{folder.name}, decoding half"),
    ):
        if found > most * 1e6:
            raise InvalidInput(
                f"model {what}: {found / 1e6:.2f} MB packed, more than {most:g}; "
                "shrink the network, or allow it with --size-limit"
            )
    return size


def hours(rows: Sequence[dict[str, Any]]) -> float:
    """Return the hours of training steps in a log, those that a kill undid included."""
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
    data: Summary | None,
    lengths: Sequence[tuple[float, float, float]],
    notes: str,
) -> str:
    """Return the text of the card of a package, whose folder is named by its id.

    Rows are of the run's log, lengths those of ``rgru_train.integers.code_lengths``, empty if not
    measured; notes say what the model is bad at.
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
        "## Configuration",
        f"```json\n{config.as_json()}\n```",
    ]
    return "\n\n".join(parts) + "\n"


def _table(head: Sequence[str], rows: Sequence[Sequence[object]]) -> str:
    lines = [head, ["---"] * len(head), *rows]
    return "\n".join(f"| {' | '.join(map(str, line))} |" for line in lines)


def _facts(config: RunConfig, step: int, rows: Sequence[dict[str, Any]]) -> str:
    network, cost = config.network, cost_of(config.network)
    training = config.training
    layers = network.iterations
    decoding = [f"{cost.decode(n) / 1e3:.1f}" for n in (min(3, layers), layers)]
    facts = [
        ("network", f"{network.cell}, {network.reconstruction}, {layers} iterations"),
        ("codes a position", ", ".join(map(str, network.codes))),
        ("configuration", config.digest),
        ("distortion", f"{training.distortion}, {training.luma:g} of it luma"),
        ("steps", f"{step} of {training.batch} crops of {training.crop}x{training.crop} pixels"),
        ("hours", f"{hours(rows):.1f}"),
        ("kMAC a pixel, encoding an iteration", f"{cost.encode / 1e3:.1f}"),
        ("kMAC a pixel, decoding a layer", f"{cost.decoder / 1e3:.1f}"),
        ("kMAC a pixel, painting a picture", f"{cost.painter / 1e3:.1f}"),
        ("kMAC a pixel, three layers and all", ", ".join(decoding)),
        ("kMAC a pixel, context model of a layer", f"{cost.context / 1e3:.1f}"),
    ]
    return _table(("", ""), facts)


def _data(data: Summary | None) -> str:
    if data is None:
        return "Not recorded."
    counts = f"{data['training']} photos in training, {data['held_out']} held out by name and kind."
    kinds = [(kind or "not recorded", *numbers) for kind, numbers in data["kinds"].items()]
    of_kinds = _table(("kind", "training", "held out"), kinds)
    return f"{counts}\n\n{of_kinds}\n\n{_table(('source', 'licence', 'photos'), data['sources'])}"


def _validation(step: int, rows: Sequence[dict[str, Any]]) -> str:
    """Rate and MS-SSIM of the layers, and how they came about."""
    curve = [row for row in rows if row["kind"] == "validation" and row["step"] <= step]
    if not curve:
        return "Not measured."
    last = curve[-1]
    measures = [name for name in _MEASURES if isinstance(last.get(name), list)]
    columns = zip(*(last[name] for name in measures), strict=False)
    layers = [(t, *values) for t, values in enumerate(columns, 1)]
    every = -(-len(curve) // _CURVE_ROWS)
    some = curve[::-1][::every][::-1]
    qualities = [f"bpp at {quality}" for quality in last["bpp_at"]]
    progress = [(row["step"], *map(_number, row["bpp_at"].values())) for row in some]
    kinds = [
        (kind, row["pictures"], *map(_number, row["bpp_at"].values()), row["ciede2000"][0])
        for kind, row in last["kinds"].items()
    ]
    return "\n\n".join(
        [
            f"Held-out photos, ideal code length, at step {last['step']}. CIEDE2000 is that of the "
            "means of 8x8 pixels; flat, the PSNR of the worst of 125 flat colours.",
            _table(("layer", *(_MEASURES[name] for name in measures)), layers),
            _table(("kind", "pictures", *qualities, "CIEDE2000, layer 1"), kinds),
            _table(("step", *qualities), progress),
        ]
    )


def _number(value: float | None) -> str:
    return "-" if value is None else f"{value:.3f}"


def _lengths(lengths: Sequence[tuple[float, float, float]]) -> str:
    if not lengths:
        return "Not measured."
    total = [sum(column) for column in zip(*lengths, strict=True)]
    layers = [*range(1, len(lengths) + 1), "all"]
    rows = [
        (layer, f"{f:.4f}", f"{i:.4f}", f"{100 * (i / f - 1):+.2f} %", f"{coded:.4f}")
        for layer, (f, i, coded) in zip(layers, [*lengths, total], strict=True)
    ]
    head = ("layer", "float, bpp", "integer, bpp", "difference", "coded groups, bpp")
    text = "Bits per pixel of validation pictures; what is coded learns of each picture besides."
    return f"{text}\n\n{_table(head, rows)}"
