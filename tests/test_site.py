"""The pages of the site: all of them are found, and no link leads nowhere."""

from __future__ import annotations

import os
import re
import subprocess
import sys
from pathlib import Path

import pytest

from tools import refresh, site_pages

ROOT = Path(__file__).parents[1]


def test_every_page_stands_in_the_navigation_once() -> None:
    named = re.findall(r": ([\w/.-]+\.md)$", (ROOT / "mkdocs.yml").read_text(), re.MULTILINE)
    pages = [path.as_posix() for path in site_pages.pages() if path.suffix == ".md"]
    assert sorted(named) == sorted(pages)


def test_the_site_is_built_without_a_warning(tmp_path: Path) -> None:
    pytest.importorskip("mkdocs", reason="needs mkdocs-material (pip install '.[docs]')")
    site_pages.main(tmp_path / "pages")
    config = (ROOT / "mkdocs.yml").read_text()
    for place in ("pages", "site/docs"):
        assert f" build/{place}\n" in config
        config = config.replace(f" build/{place}\n", f" {tmp_path / place}\n")
    (tmp_path / "mkdocs.yml").write_text(config)
    done = subprocess.run(
        [sys.executable, "-m", "mkdocs", "build", "-q", "-f", tmp_path / "mkdocs.yml"],
        capture_output=True,
        check=False,
        env={**os.environ, "NO_MKDOCS_2_WARNING": "1"},
        text=True,
    )
    assert (done.returncode, done.stdout) == (0, ""), done.stderr
    page = (tmp_path / "site" / "docs" / "docs" / "why.html").read_text("utf-8")
    assert 'href="../format/SPEC.html"' in page
    assert "googleapis" not in page


def test_numbers_of_why_are_written_as_in_the_other_tables() -> None:
    rates = {
        name: {"rates": {at: {"bpp": 0.2187, "bound": ""}}} for name, at in refresh._WHY.items()
    }
    row = {"label": "x", "encode_mps": 0.1949, "decode_mps": 334.6, **rates}
    assert refresh.why_table([row]).endswith("| x | .219 | .219 | .219 | 0.195 | 335 |")
