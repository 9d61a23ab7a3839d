"""What docs/ say of the model that ships: python -m tools.studies entropy --images KODAK.

``entropy``: what the entropy stage saves, layer by layer; ``grey``: what grey photos cost beside
colour ones; ``cuts``: quality of files cut short, which fails if a group makes one worse.
"""

from __future__ import annotations

import argparse
from collections.abc import Sequence
from pathlib import Path

from rgru_codec import default_model
from rgru_eval.measure.pictures import find_pictures, read_picture
from tools.studies import cuts, entropy, grey


def main(arguments: Sequence[str] | None = None) -> None:
    """Print the table, and what it was measured with."""
    parser = argparse.ArgumentParser(prog="tools.studies", description=__doc__)
    parser.add_argument("study", choices=("entropy", "grey", "cuts"))
    parser.add_argument("--images", nargs="+", required=True, metavar="DIR")
    parser.add_argument("--cuts", type=int, default=200, help="places in a file (%(default)s)")
    parser.add_argument("--csv", type=Path, metavar="FILE", help="of cuts: the value at each")
    parser.add_argument("--png", type=Path, metavar="FILE", help="of cuts: a plot of them")
    args = parser.parse_args(arguments)
    sources = find_pictures(args.images)
    images = (read_picture(source.path).image for source in sources)
    failed: list[str] = []
    if args.study == "cuts":
        names = (source.name for source in sources)
        curves = [cuts.measure(*one, args.cuts) for one in zip(names, images, strict=True)]
        text, failed = cuts.table(curves), cuts.failures(curves)
        if args.csv:
            cuts.write_csv(curves, args.csv)
        if args.png:
            cuts.plot(curves, args.png)
    else:
        text = entropy.study(images) if args.study == "entropy" else grey.study(images)
    pictures = f"{len(sources)} picture{'s' * (len(sources) != 1)}"
    print(f"{text}\n\nModel {default_model().id.hex()}, {pictures}.")
    if failed:
        raise SystemExit("; ".join(failed))


if __name__ == "__main__":
    main()
