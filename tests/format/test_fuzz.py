"""The fuzzer: its corpus and past findings on every run, and a while of fuzzing.

RGRU_FUZZ_SECONDS sets how long (60 by default; 0 leaves it out).
"""

from __future__ import annotations

import importlib.util
import os
import re
import resource
import shutil
import subprocess
import sys
from collections.abc import Callable
from pathlib import Path

import pytest

from rgru_format.conformance import VECTORS

FUZZ = VECTORS.parent / "fuzz"
FINDINGS = {
    "alpha_fault_before_another": "check_file named the second of two faults, not the first",
}
"""Files in the folder findings, each with what went wrong."""


@pytest.fixture(scope="module")
def one_input() -> Callable[[bytes], None]:
    spec = importlib.util.spec_from_file_location("targets", FUZZ / "targets.py")
    assert spec is not None
    assert spec.loader is not None
    module = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(module)
    function: Callable[[bytes], None] = module.one_input
    return function


def test_the_corpus_passes(one_input: Callable[[bytes], None]) -> None:
    corpus = sorted((FUZZ / "corpus").iterdir())
    assert len(corpus) > 50
    for path in corpus:
        one_input(path.read_bytes())


def test_past_findings_stay_mended(one_input: Callable[[bytes], None]) -> None:
    folder = Path(__file__).with_name("findings")
    assert {path.name for path in folder.glob("[!.]*")} == set(FINDINGS)
    for name in FINDINGS:
        one_input((folder / name).read_bytes())


def test_a_while_of_fuzzing(tmp_path: Path) -> None:
    if importlib.util.find_spec("atheris") is None:
        pytest.skip("atheris is not installed: it has wheels for Linux on x86-64 only")
    seconds = int(os.environ.get("RGRU_FUZZ_SECONDS", "60"))
    if not seconds:
        pytest.skip("RGRU_FUZZ_SECONDS is 0")
    corpus = shutil.copytree(FUZZ / "corpus", tmp_path / "corpus")
    command = [sys.executable, str(FUZZ / "run.py"), str(corpus), f"-max_total_time={seconds}"]
    # The fuzzer's peak memory starts from that of the process that starts it.
    limit = 1024 + resource.getrusage(resource.RUSAGE_SELF).ru_maxrss // 1024
    options = ["-timeout=10", f"-rss_limit_mb={limit}", "-max_len=4096", "-print_final_stats=1"]
    done = subprocess.run(
        [*command, *options, f"-artifact_prefix={tmp_path}/"],
        capture_output=True,
        check=False,
        text=True,
        timeout=seconds + 120,
    )
    assert done.returncode == 0, done.stdout[-2000:] + done.stderr[-4000:]
    executed = re.search(r"stat::number_of_executed_units: *(\d+)", done.stderr)
    assert executed is not None
    assert int(executed[1]) > 100
