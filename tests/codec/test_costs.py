"""What the most expensive files cost, against the table of SPEC section 14."""

from __future__ import annotations

import re
import sys
from pathlib import Path

import pytest

from tools.worst_cases import cases, rows

SPEC = Path(__file__).parents[2] / "format" / "SPEC.md"
PART = 16
COST = re.compile(r"([\d.]+) s, (\d+) MiB(.*)")


def costs(row: str) -> list[tuple[float, float, str]]:
    """Seconds, MiB, and how reading ended: as far as the codes, and to the picture."""
    cells = [COST.fullmatch(cell.strip()) for cell in row.strip("| ").split("|")[2:]]
    return [(float(cell[1]), float(cell[2]), cell[3]) for cell in cells if cell]


def stated() -> list[str]:
    """The rows of the table."""
    _, _, rest = SPEC.read_text("utf-8").partition("<!-- begin worst cases -->")
    return [line for line in rest.partition("<!-- end worst cases -->")[0].splitlines()[4:] if line]


@pytest.mark.skipif(sys.platform != "linux", reason="reads the peak of memory from /proc")
@pytest.mark.bench
@pytest.mark.parametrize("name", list(cases(1))[1:])
def test_a_file_of_64_kb_costs_what_spec_says(name: str) -> None:
    """Pictures at a sixteenth of their limit, for a sixteenth of the time."""
    whole, part = cases(1), cases(PART)
    said = stated()[list(whole).index(name) - 1]
    assert whole[name][0] in said
    share = 1 if whole[name][0] == part[name][0] else PART
    (row,) = rows(part, [name])
    for found, limit in zip(costs(row), costs(said), strict=True):
        assert found[0] <= 2 * limit[0] / share + 0.5
        assert found[1] <= 1.25 * limit[1] + 16
        assert found[2] == limit[2]


@pytest.mark.skipif(not SPEC.is_file(), reason="SPEC is part of a checkout")
def test_the_table_in_spec_has_every_case() -> None:
    for row, (words, _) in zip(stated(), list(cases(1).values())[1:], strict=True):
        assert row.startswith(f"| {words} |")
        assert len(costs(row)) == 2
