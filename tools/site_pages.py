"""The pages of the site: what is written in this checkout, under the same names, in a folder.

python tools/site_pages.py build/pages    # then mkdocs, which finds links as they stand
"""

from __future__ import annotations

import shutil
import sys
from pathlib import Path

ROOT = Path(__file__).parents[1]
_PAGES = ("*.md", "LICENSE", "docs/*", "format/*.md", "format/desktop/*", "examples/*.py")


def pages() -> list[Path]:
    """Return the files that pages are or link to, below ``ROOT``."""
    found = (path for pattern in _PAGES for path in sorted(ROOT.glob(pattern)))
    return [path.relative_to(ROOT) for path in found if path.is_file()]


def main(folder: Path) -> None:
    """Copy them."""
    shutil.rmtree(folder, ignore_errors=True)
    for path in pages():
        (folder / path).parent.mkdir(parents=True, exist_ok=True)
        shutil.copyfile(ROOT / path, folder / path)


if __name__ == "__main__":
    main(Path(sys.argv[1]))
