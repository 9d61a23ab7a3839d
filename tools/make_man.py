"""Make the manual page docs/rgru.1 from the command line's own words: python tools/make_man.py."""

from __future__ import annotations

import os
from pathlib import Path

from argparse_manpage.manpage import Manpage

from rgru_codec.cli.program import build_parser

PAGE = Path(__file__).parents[1] / "docs" / "rgru.1"
ENVIRONMENT = {
    "RGRU_MODEL": "The folder, id or name of a model that is looked at before all others.",
    "RGRU_MODELS": "Packages of models, or folders that hold some, in the order of search.",
    "RGRU_DEBUG": "If set, a bug shows where it happened.",
}
EXAMPLES = """\
rgru compress photo.jpg
rgru compress photo.png other.rgru
rgru compress photo.png -o small.rgru --msssim 0.95
rgru compress photos/ -o out/ -j 4 --target-size 40k
rgru decompress photo.rgru -o back.png
head -c 20000 photo.rgru | rgru decompress - -o early.png
rgru info -v photo.rgru
"""


def page() -> str:
    """Return the manual page, as troff."""
    os.environ["COLUMNS"] = "70"  # argparse folds usage lines at the terminal's width
    parser = build_parser()
    epilog, parser.epilog = parser.epilog or "", None
    texts = {
        "manual_title": "User commands",
        "description": "compress pictures to progressive .rgru files and back",
        "date": " ",
    }
    manual = Manpage(parser, texts, format="single-commands-section")
    codes = [line.split(None, 1) for line in epilog.splitlines() if line[:3].strip() == ""]
    manual.add_section("exit status", ">", _tagged([pair for pair in codes if len(pair) == 2]))
    manual.add_section("environment", ">", _tagged(list(ENVIRONMENT.items())))
    manual.add_section("examples", ">", f".nf\n{_escaped(EXAMPLES)}.fi")
    manual.add_section("see also", ">", r"\fBfile\fR(1), \fBcwebp\fR(1), \fBcjxl\fR(1)")
    return str(manual).replace("\n.rgru", "\n\\&.rgru")  # a word, not a macro


def _tagged(pairs: list[list[str]] | list[tuple[str, str]]) -> str:
    return "\n".join(f".TP\n\\fB{tag}\\fR\n{_escaped(words)}" for tag, words in pairs)


def _escaped(text: str) -> str:
    return text.replace("\\", "\\e").replace("-", "\\-")


if __name__ == "__main__":
    PAGE.write_text(page(), "utf-8")
