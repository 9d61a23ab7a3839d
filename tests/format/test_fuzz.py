"""What the fuzzer does with an input, for its first inputs and all that it ever found.

Fuzzing itself is not part of the tests: make fuzz.
"""

from __future__ import annotations

import importlib.util
import subprocess
import sys
from pathlib import Path

import pytest

from tools.fuzz.seeds import seeds
from tools.fuzz.targets import TARGETS, one_input

FINDINGS = {
    "alpha_fault_before_another": "of two faults the second was named, not the first",
}
"""Files in the folder findings, each with what went wrong."""


def test_the_first_inputs_pass() -> None:
    inputs = dict(seeds())
    assert {data[-4] % len(TARGETS) for data in inputs.values()} == set(range(len(TARGETS)))
    for data in inputs.values():
        one_input(data)


def test_past_findings_stay_mended() -> None:
    folder = Path(__file__).with_name("findings")
    assert {path.name for path in folder.glob("[!.]*")} == set(FINDINGS)
    for name in FINDINGS:
        one_input((folder / name).read_bytes())


@pytest.mark.slow
def test_the_fuzzer_runs(tmp_path: Path) -> None:
    if importlib.util.find_spec("atheris") is None:
        pytest.skip("atheris is not installed: it has wheels for Linux on x86-64 only")
    root = Path(__file__).parents[2]
    done = subprocess.run(
        [sys.executable, "-m", "tools.fuzz", "inputs", "-max_total_time=10"],
        env={"PYTHONPATH": f"{root}:{root / 'format'}"},
        cwd=tmp_path,
        capture_output=True,
        check=False,
        text=True,
    )
    assert done.returncode == 0, done.stderr[-4000:]
