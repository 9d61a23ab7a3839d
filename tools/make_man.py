"""Turns rgru.1.md into the manual page rgru.1: python tools/make_man.py."""

import re
from pathlib import Path


def convert(page: str) -> str:
    """Markdown of this page's kind (headings, paragraphs, code, bold, italics) as troff."""
    lines = ['.TH RGRU 1 "" "rgru" "User commands"']
    for block in re.split(r"\n\n+", page.strip()):
        if block.startswith("## "):
            lines.append(f".SH {_inline(block[3:])}")
        elif block.startswith("    "):
            code = [_escaped(line[4:]) for line in block.splitlines()]
            lines += [".PP", ".nf", *code, ".fi"]
        elif not block.startswith("# "):
            lines += [".PP", *(_inline(line) for line in block.splitlines())]
    return "\n".join(lines) + "\n"


def _escaped(text: str) -> str:
    text = text.replace("\\*", "*").replace("\\", "\\e").replace("-", "\\-")
    return "\\&" + text if text.startswith((".", "'")) else text


def _inline(text: str) -> str:
    text = _escaped(text.replace("\\*", "\0"))
    text = re.sub(r"\*\*(.+?)\*\*", r"\\fB\1\\fR", text)
    return re.sub(r"\*(.+?)\*", r"\\fI\1\\fR", text).replace("\0", "*")


if __name__ == "__main__":
    here = Path(__file__).parents[1] / "docs"
    (here / "rgru.1").write_text(convert((here / "rgru.1.md").read_text("utf-8")), "utf-8")
