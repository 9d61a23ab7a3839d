"""Coverage-guided fuzzing with atheris.

    python format/fuzz/run.py format/fuzz/corpus -max_total_time=600

All arguments go to libFuzzer; folders among them hold inputs, the first takes new ones.
"""

from __future__ import annotations

import os
import sys
from pathlib import Path

os.environ.setdefault("OPENBLAS_NUM_THREADS", "1")  # the grids are tiny
sys.path.insert(0, str(Path(__file__).parents[1]))

import atheris

with atheris.instrument_imports(include=["rgru_format"]):
    pass

from targets import one_input


def main() -> None:
    """Fuzz until libFuzzer's arguments say stop."""
    atheris.Setup(sys.argv, one_input)
    atheris.Fuzz()


if __name__ == "__main__":
    main()
