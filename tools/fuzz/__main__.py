"""Coverage-guided fuzzing with atheris, for ``make fuzz``.

    python -m tools.fuzz FOLDER -max_total_time=600

All arguments go to libFuzzer. The folder keeps inputs that reach something new; it is given the
first ones if it is empty. An input that fails is left in the current folder, to be mended and added
to tests/format/findings.
"""

from __future__ import annotations

import os
import sys
from pathlib import Path

os.environ.setdefault("OPENBLAS_NUM_THREADS", "1")  # the grids are tiny

import atheris

with atheris.instrument_imports(include=["rgru_format"]):
    import rgru_format.conformance
    import rgru_format.writer  # noqa: F401 - imported here to be instrumented

from tools.fuzz.seeds import seeds
from tools.fuzz.targets import one_input


def main() -> None:
    """Fuzz until libFuzzer's arguments say stop."""
    for folder in (Path(one) for one in sys.argv[1:] if not one.startswith("-")):
        folder.mkdir(parents=True, exist_ok=True)
        if not any(folder.iterdir()):
            for name, data in seeds():
                (folder / name).write_bytes(data)
    options = ["-max_len=4096", "-timeout=20", "-rss_limit_mb=2048"]
    atheris.Setup([sys.argv[0], *options, *sys.argv[1:]], one_input)
    atheris.Fuzz()


if __name__ == "__main__":
    main()
