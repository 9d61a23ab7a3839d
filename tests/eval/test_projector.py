"""What the Embedding Projector is given, read by TensorBoard's own plugin."""

from __future__ import annotations

import json
from pathlib import Path

import numpy as np
import pytest
from PIL import Image

from rgru_codec import compress
from rgru_eval.__main__ import main
from rgru_eval.errors import EvalError
from rgru_eval.studies.projector import decode_groups, write_projector
from rgru_format import inspect


def test_tensorboard_opens_what_was_written(photo: Image.Image, tmp_path: Path) -> None:
    pytest.importorskip("tensorboard")
    from tensorboard.backend.event_processing.plugin_event_multiplexer import EventMultiplexer
    from tensorboard.plugins.base_plugin import TBContext
    from tensorboard.plugins.projector.projector_plugin import ProjectorPlugin
    from werkzeug.test import Client
    from werkzeug.wrappers import Response

    photo.save(tmp_path / "face.png")
    out = tmp_path / "points"
    words = ["projector", "--images", str(tmp_path / "face.png"), "--layer", "2"]
    assert main([*words, "--out", str(out)]) == 0
    context = TBContext(logdir=str(out), multiplexer=EventMultiplexer())
    apps = ProjectorPlugin(context).get_plugin_apps()

    def get(route: str) -> Response:
        name = "layer%202"
        return Client(apps[route], Response).get(f"{route}?run=.&name={name}")

    (embedding,) = json.loads(get("/info").data)["embeddings"]
    contents = inspect(compress(photo, layers="all", strip=True))
    codes = decode_groups(contents.groups, contents.header.grid)[1][: 176 // 16, : 192 // 16]
    assert embedding["tensorShape"] == [codes.shape[0] * codes.shape[1], codes.shape[2]]
    tensor = np.frombuffer(get("/tensor").data, np.float32).reshape(embedding["tensorShape"])
    assert np.array_equal(tensor, codes.reshape(-1, codes.shape[2]))
    heads, *lines = get("/metadata").data.decode().splitlines()
    assert heads == "picture\tx\ty\tmean colour"
    assert len(lines) == len(tensor)
    assert lines[13].startswith("face\t16\t16\t#")
    (tmp_path / "sprite.png").write_bytes(get("/sprite_image").data)
    with Image.open(tmp_path / "sprite.png") as sheet:
        side = sheet.width // 16
        x, y = 16 * (13 % side), 16 * (13 // side)
        thumbnail = sheet.crop((x, y, x + 16, y + 16))
    assert thumbnail.tobytes() == photo.crop((16, 16, 32, 32)).tobytes()


def test_points_are_chosen_among_many_the_same_each_time(
    photo: Image.Image, tmp_path: Path
) -> None:
    for name in ("one", "two"):
        assert write_projector([("p\t", photo)], 1, tmp_path / name, most=20) == 20
    first, second = ((tmp_path / n / "metadata.tsv").read_text() for n in ("one", "two"))
    assert first == second
    assert len(first.splitlines()) == 21
    assert {line.count("\t") for line in first.splitlines()} == {3}


def test_what_cannot_be_shown_is_told(photo: Image.Image, tmp_path: Path) -> None:
    with pytest.raises(EvalError, match="--layer 99: the model has layers 1 to"):
        write_projector([("p", photo)], 99, tmp_path, 50)
    with pytest.raises(EvalError, match="no whole block of 16x16"):
        write_projector([("p", photo.crop((0, 0, 15, 15)))], 1, tmp_path, 50)
