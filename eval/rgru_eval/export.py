"""Results in the JSON shapes of other tools, one file a codec.

``compressai``: the shape of CompressAI's ``bench`` and of its ``results`` folder, so that its plot
tool draws our curves beside its own: name, description, and lists over the settings.
``codec-compare``: batches of webmproject/codec-compare, one row a picture and setting, with
the field names that its page knows; ``batches.json`` lists them.
"""

from __future__ import annotations

import json
import re
from pathlib import Path
from typing import Any

import numpy as np

from rgru_eval.results import Results, Row, curve_rows

# CompressAI's names of our columns
COMPRESSAI = {
    "psnr-rgb": "psnr",
    "ms-ssim-rgb": "msssim_rgb",
    "bpp": "bpp",
    "encoding_time": "encode_s",
    "decoding_time": "decode_s",
}
# codec-compare's names of our columns, with a description
COMPARE = {
    "original_name": ("image", "Picture"),
    "quality": ("setting", "Setting of the codec"),
    "encoded_size": ("bytes", "Size of the whole file in bytes"),
    "bpp": ("bpp", "Bits per pixel"),
    "msssim": ("msssim_rgb", "MS-SSIM, mean of R, G and B"),
    "msssim_luma": ("msssim_luma", "MS-SSIM of luma"),
    "psnr": ("psnr", "PSNR over all channels, dB"),
    "ssim": ("ssim", "SSIM, mean of the channels"),
    "ssimulacra2": ("ssimulacra2", "SSIMULACRA2"),
    "encoding_time": ("encode_s", "Seconds to encode, one thread"),
    "decoding_time": ("decode_s", "Seconds to decode, one thread"),
}


def export(results: Results, shape: str, folder: Path) -> list[Path]:
    """Write all codecs of all sets to ``folder``; return the files."""
    folder.mkdir(parents=True, exist_ok=True)
    written: list[Path] = []
    for set_name in results.sets:
        for codec in results.metadata["codecs"]:
            rows = curve_rows(results.rows, "file", set_name, codec)
            if not rows:
                continue
            make = _compressai if shape == "compressai" else _batch
            path = folder / f"{_file_name(set_name)}-{_file_name(codec)}.json"
            path.write_text(json.dumps(make(results, set_name, codec, rows), indent=2), "utf-8")
            written.append(path)
    if shape == "codec-compare":
        index = folder / "batches.json"
        index.write_text(json.dumps([[path.name] for path in written], indent=1), "utf-8")
        written.append(index)
    return written


def _file_name(text: str) -> str:
    return re.sub(r"[^A-Za-z0-9.]+", "-", text).strip("-")


def _versions(results: Results, codec: str) -> str:
    versions = results.metadata["codecs"][codec]["versions"]
    return ", ".join(f"{name} {version}" for name, version in versions.items())


def _compressai(results: Results, set_name: str, codec: str, rows: list[Row]) -> dict[str, Any]:
    """Return means over the pictures at each setting, in the order of the rate."""
    by_setting: dict[float, list[Row]] = {}
    for row in rows:
        by_setting.setdefault(row["setting"], []).append(row)
    points = sorted(by_setting.values(), key=lambda group: _mean(group, "bpp") or 0)
    return {
        "name": results.label(codec),
        "description": f"{set_name}: {codec}. {_versions(results, codec)}. Whole files.",
        "results": {
            name: [_mean(group, column) for group in points] for name, column in COMPRESSAI.items()
        },
    }


def _mean(rows: list[Row], column: str) -> float | None:
    values = [row[column] for row in rows if row.get(column) is not None]
    return float(np.mean(values)) if values else None


def _batch(results: Results, set_name: str, codec: str, rows: list[Row]) -> dict[str, Any]:
    """Return constants and one row a picture and setting; columns without values stay out."""
    constants = {
        "name": ("Name of this batch", results.label(codec)),
        "codec": ("Codec and its parameters", codec),
        "version": ("Versions of its libraries", _versions(results, codec)),
        "time": ("When this was measured", results.metadata.get("updated", "")),
        "source_data_set": ("Set of pictures", set_name),
    }
    fields = {
        name: (column, text)
        for name, (column, text) in COMPARE.items()
        if all(row.get(column) is not None for row in rows)
    }
    return {
        "constant_descriptions": [{name: text} for name, (text, _) in constants.items()],
        "constant_values": [value for _, value in constants.values()],
        "field_descriptions": [{name: text} for name, (_, text) in fields.items()],
        "field_values": [[row[column] for column, _ in fields.values()] for row in rows],
    }
