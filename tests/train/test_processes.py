"""Runs as users start them: killed and resumed, and spread over two workers."""

from __future__ import annotations

import json
import random
import re
import socket
import subprocess
import sys
import time
from collections.abc import Iterator
from pathlib import Path

import numpy as np
import pytest

from rgru_train import state
from rgru_train.log import read_log

from .tiny import TINY, command, environment

PATIENCE = 3600.0
"""Seconds that a process may take on a machine with other work."""


def wait_for(path: Path, process: subprocess.Popen[str]) -> None:
    end = time.monotonic() + PATIENCE
    while not path.exists():
        assert process.poll() is None, "the run ended by itself"
        assert time.monotonic() < end, f"{path} never came"
        time.sleep(0.02)


def assert_same_state(found: Path, expected: Path) -> None:
    with np.load(found) as one, np.load(expected) as other:
        assert sorted(one.files) == sorted(other.files)
        for name in other.files:
            np.testing.assert_allclose(one[name], other[name], rtol=1e-5, atol=1e-6, err_msg=name)


def test_a_run_killed_at_any_moment_is_resumed_to_the_same_end(
    reference: Path, photos: Path, tmp_path: Path
) -> None:
    run, moment = tmp_path / "run", random.uniform(0.0, 1.0)
    arguments = ("run", "--config", TINY, "--data", photos, "--out", run)
    process = subprocess.Popen(command(*arguments), env=environment(), text=True)
    wait_for(run / "log.jsonl", process)
    time.sleep(moment)
    process.kill()
    process.wait()
    other = tmp_path / "other.toml"
    other.write_text(TINY.read_text() + "validate_every = 999\n")
    resume = command("run", "--config", other, "--data", photos, "--out", run, "--resume")
    result = subprocess.run(
        resume, env=environment(), check=True, timeout=PATIENCE, stdout=subprocess.PIPE, text=True
    )
    assert "another configuration: [training] validate_every: 1000 -> 999" in result.stdout
    assert re.search(r"resumed .* at step \d", result.stdout)
    assert_same_state(run / "checkpoint.npz", reference / "checkpoint.npz")


def free_ports(count: int) -> list[int]:
    sockets = [socket.create_server(("localhost", 0)) for _ in range(count)]
    ports = [int(s.getsockname()[1]) for s in sockets]
    for s in sockets:
        s.close()
    return ports


@pytest.fixture(scope="session", autouse=True)
def two_workers(
    photos: Path, tmp_path_factory: pytest.TempPathFactory
) -> Iterator[tuple[Path, list[subprocess.Popen[str]]]]:
    """A run of two processes, started first so that it goes on beside the other tests."""
    run = tmp_path_factory.mktemp("workers") / "run"
    arguments = ("run", "--config", TINY, "--data", photos, "--out", run)
    cluster = {"worker": [f"localhost:{port}" for port in free_ports(2)]}
    processes = []
    for index in range(2):
        config = json.dumps({"cluster": cluster, "task": {"type": "worker", "index": index}})
        processes.append(
            subprocess.Popen(command(*arguments), env=environment(TF_CONFIG=config), text=True)
        )
    yield run, processes
    for process in processes:
        process.kill()
        process.wait()


def test_two_workers_take_the_steps_of_one_process(
    reference: Path, two_workers: tuple[Path, list[subprocess.Popen[str]]]
) -> None:
    run, processes = two_workers
    assert [process.wait(PATIENCE) for process in processes] == [0, 0]
    for found, expected in zip(read_log(run)[:4], read_log(reference)[:4], strict=True):
        for key in ("loss", "distortion", "bpp", "norm"):
            np.testing.assert_allclose(found[key], expected[key], rtol=1e-3, err_msg=key)
    one, other = (state.load(folder) for folder in (run, reference))
    assert one["step"] == other["step"] == 8
    names = [name for name in other if name.startswith("weights/")]
    differences = np.concatenate([np.abs(one[n] - other[n]).ravel() for n in names])
    # Adam moves a weight by its full rate (1e-3) whichever sign a vanishing gradient rounds to.
    assert np.mean(differences < 1e-4) > 0.99
    assert differences.max() < 8 * 2e-3


def test_a_run_speaks_at_once_and_of_nothing_else(reference: Path) -> None:
    assert reference.with_suffix(".stdout").read_text().startswith("loading TensorFlow\nconfig ")
    assert reference.with_suffix(".stderr").read_text() == ""


def test_without_tensorflow_the_command_says_what_to_install() -> None:
    script = (
        "import sys; sys.modules['tensorflow'] = None; sys.argv = ['rgru-train', 'describe', "
        "'--config', 'short']; from rgru_train.__main__ import main; sys.exit(main())"
    )
    result = subprocess.run(
        [sys.executable, "-c", script], env=environment(), capture_output=True, text=True
    )
    assert result.returncode == 2
    assert result.stderr == (
        "rgru-train: the module 'tensorflow' is missing: pip install 'rgru-codec[train]'\n"
    )
