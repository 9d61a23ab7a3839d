"""The pool of processes: one lost worker is one lost task, and no worker outlives its parent."""

from __future__ import annotations

import importlib
import os
import signal
import subprocess
import sys
import time
from collections.abc import Iterator
from pathlib import Path
from types import ModuleType

import pytest

from rgru_codec.processes import WorkerLost, cores, run_in_processes

from .conftest import environment

TASKS = """
import os, signal, sys, time

def work(task):
    if task == "raise":
        raise ValueError("no")
    if task == "leave":
        sys.exit(3)
    if task in ("SIGKILL", "SIGTERM"):
        os.kill(os.getpid(), getattr(signal, task))
        time.sleep(30)
    if task == "variable":
        return os.environ["RGRU_TEST_VARIABLE"]
    if task == "unsendable":
        return lambda: 0
    if task == "sleep":
        open(f"asleep-{os.getpid()}", "w").close()
        time.sleep(60)
    return str(task) * 2
"""
posix = pytest.mark.skipif(sys.platform == "win32", reason="signals of POSIX")


@pytest.fixture
def tasks(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[ModuleType]:
    (tmp_path / "some_tasks.py").write_text(TASKS)
    monkeypatch.syspath_prepend(tmp_path)
    monkeypatch.chdir(tmp_path)
    yield importlib.import_module("some_tasks")
    del sys.modules["some_tasks"]


def test_every_task_has_its_result(tasks: ModuleType) -> None:
    found = dict(run_in_processes(tasks.work, range(7), 2))
    assert found == {n: str(n) * 2 for n in range(7)}


def test_an_exception_is_a_result(tasks: ModuleType) -> None:
    found = dict(run_in_processes(tasks.work, ["raise", "unsendable", "a"], 1))
    assert isinstance(found["raise"], ValueError)
    assert "cannot be sent to another process" in str(found["unsendable"])
    assert found["a"] == "aa"


@posix
@pytest.mark.parametrize("processes", [1, 2])
@pytest.mark.parametrize(
    ("task", "words"),
    [("SIGKILL", "SIGKILL; out of memory?"), ("SIGTERM", "exit code 143"), ("leave", "code 3")],
)
def test_a_lost_worker_loses_one_task(
    tasks: ModuleType, task: str, words: str, processes: int
) -> None:
    found = dict(run_in_processes(tasks.work, ["a", task, "b", "c", "d"], processes))
    lost = found.pop(task)
    assert isinstance(lost, WorkerLost)
    assert words in str(lost)
    assert found == {name: name * 2 for name in "abcd"}


def test_workers_get_their_variables(tasks: ModuleType) -> None:
    given = {"RGRU_TEST_VARIABLE": "set"}
    assert list(run_in_processes(tasks.work, ["variable"], 1, environment=given)) == [
        ("variable", "set")
    ]
    assert "RGRU_TEST_VARIABLE" not in os.environ


def test_closing_early_ends_the_workers(tasks: ModuleType, tmp_path: Path) -> None:
    running = run_in_processes(tasks.work, ["a", "sleep", "b"], 2)
    next(running)
    until = time.monotonic() + 20
    while not list(tmp_path.glob("asleep-*")) and time.monotonic() < until:
        time.sleep(0.02)
    running.close()
    (mark,) = tmp_path.glob("asleep-*")
    assert not alive(int(mark.name.split("-")[1]))


def alive(pid: int) -> bool:
    try:
        state = Path(f"/proc/{pid}/stat").read_text().rsplit(")", 1)[1].split()[0]
    except OSError:
        return False
    return state != "Z"


@pytest.mark.skipif(not Path("/proc/self/stat").exists(), reason="looks into /proc")
@pytest.mark.parametrize("name", ["SIGKILL", "SIGTERM", "SIGHUP", "SIGINT"])
def test_workers_end_with_their_parent_however_it_dies(
    tasks: ModuleType, tmp_path: Path, name: str
) -> None:
    script = "import some_tasks; from rgru_codec.processes import run_in_processes\n"
    script += "list(run_in_processes(some_tasks.work, ['sleep', 'sleep', 'sleep'], 2))"
    paths = os.pathsep.join([str(tmp_path), environment()["PYTHONPATH"]])
    parent = subprocess.Popen(
        [sys.executable, "-c", script],
        env={**environment(), "PYTHONPATH": paths},
        stderr=subprocess.DEVNULL,
    )
    until = time.monotonic() + 30
    while len(list(tmp_path.glob("asleep-*"))) < 2 and time.monotonic() < until:
        time.sleep(0.02)
    workers = [int(mark.name.split("-")[1]) for mark in tmp_path.glob("asleep-*")]
    assert len(workers) == 2
    parent.send_signal(getattr(signal, name))
    parent.wait(20)
    until = time.monotonic() + 10
    while any(map(alive, workers)) and time.monotonic() < until:
        time.sleep(0.05)
    assert not any(map(alive, workers))
    assert len(list(tmp_path.glob("asleep-*"))) == 2, "the third task was begun"


NO_SEMAPHORES = """
import _multiprocessing, sys
def refuse(*args):
    raise OSError(38, "Function not implemented")
_multiprocessing.SemLock = refuse
sys.modules["multiprocessing.synchronize"] = None  # its import says the same
import some_tasks
from rgru_codec.processes import run_in_processes
print(sorted(run_in_processes(some_tasks.work, [1, 2, 3], 2)))
"""


def test_the_pool_needs_no_semaphores(tasks: ModuleType, tmp_path: Path) -> None:
    """Without /dev/shm there are none."""
    paths = os.pathsep.join([str(tmp_path), environment()["PYTHONPATH"]])
    result = subprocess.run(
        [sys.executable, "-c", NO_SEMAPHORES],
        env={**environment(), "PYTHONPATH": paths},
        capture_output=True,
        check=True,
    )
    assert result.stdout == b"[(1, '11'), (2, '22'), (3, '33')]\n"


def test_cores_are_those_of_this_process() -> None:
    assert 1 <= cores() <= (os.cpu_count() or 1)
