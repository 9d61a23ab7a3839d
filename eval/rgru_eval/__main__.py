"""The program ``rgru-eval``.

Exit codes: 0 done; 1 something the message names is wrong; 2 usage; 130 Ctrl-C.
"""

from __future__ import annotations

import argparse
import inspect
import sys
from collections.abc import Callable, Iterator, Sequence
from pathlib import Path
from typing import TYPE_CHECKING, TypeVar

if TYPE_CHECKING:
    from PIL.Image import Image

T = TypeVar("T")
# Copies of the defaults in registry.py and metrics.py: --help loads none of the libraries.
DEFAULT_CODECS = "rgru,jpeg,webp,avif,jxl,jpeg2000,cjxl-progressive,avif-layered"
TEXT_CODECS = "rgru,jpeg:optimize,webp,avif:speed=6,jxl"
DEFAULT_METRICS = "msssim,psnr,ssim,colour"

EPILOG = """\
codec specs: a name with parameters, e.g.
  jpeg                                     four variants, the baseline 4:2:0 optimised first
  jpeg:subsampling=420,optimize            the baseline alone
  jpeg:subsampling=444,progressive,q=10+20+40+80
  webp:method=6,avif:speed=4,jxl,jpeg2000,rgru,cjxl,cwebp
Words after a comma that name no codec are parameters of the codec before them.
'rgru-eval codecs' lists what there is. More codecs come from --define FILE (.json or .py).

two sets, measured and reported, from scratch:
  rgru-eval run --set kodak=kodak --set other=photos --out r.json --report r.html --png .
the same in two steps, the second with a choice of pictures for the viewer:
  rgru-eval run --set kodak=kodak --set other=photos --out r.json
  rgru-eval report r.json -o r.html --png . --pictures kodim05,kodim23
A table *manifest*.csv beside the pictures, with a column 'kind' and one of file names, gives rows
by kind.
"""


class _Version(argparse.Action):
    """Loads the library, whose version this is, only where it is asked for."""

    def __call__(self, parser: argparse.ArgumentParser, *_: object) -> None:
        from rgru_codec import __version__

        print(f"rgru-eval {__version__}")
        parser.exit()


def _parser() -> argparse.ArgumentParser:
    parser = argparse.ArgumentParser(
        prog="rgru-eval",
        description="Compare image codecs: MS-SSIM against the size of whole files.",
        epilog=EPILOG,
        formatter_class=argparse.RawDescriptionHelpFormatter,
    )
    parser.add_argument("--version", action=_Version, nargs=0, help="show it and exit")
    commands = parser.add_subparsers(dest="command", required=True, metavar="COMMAND")
    _add_run(commands)
    _add_report(commands)
    _add_small(commands)
    _add_studies(commands)
    return parser


def _define(parser: argparse.ArgumentParser) -> None:
    parser.add_argument(
        "--define",
        dest="definitions",
        action="append",
        default=[],
        metavar="FILE",
        help="more codecs: .json or .py",
    )


def _count(text: str) -> int:
    number = int(text)
    if number < 0:
        raise argparse.ArgumentTypeError(f"{number} is below 0")
    return number


def _tell(line: str) -> None:
    from rgru_codec.terminal import tell

    tell(line)


def _path(text: str) -> Path:
    from rgru_codec.files import named_path  # here: help loads no library

    return named_path(text)


def _output(suffix: str, sign: bytes) -> Callable[[str], Path]:
    """Take a file to be written: by its name of the kind, and none that somebody else wrote."""

    def parse(text: str) -> Path:
        path = _path(text)
        if path.suffix.lower() != suffix:
            raise argparse.ArgumentTypeError(f"{text}: the name of this file ends in {suffix}")
        if path.is_file():
            with path.open("rb") as file:
                head = file.read(4096)
            if head and sign not in head:
                raise argparse.ArgumentTypeError(f"{text}: exists, and rgru-eval has not made it")
        return path

    return parse


_results = _output(".json", b'"rgru-eval results"')
_page = _output(".html", b'content="rgru-eval"')
_csv = _output(".csv", b"")
_png = _output(".png", b"")


def _set(text: str) -> str:
    _path(text.partition("=")[2] if "=" in text else text)
    return text


def _add_run(commands: argparse._SubParsersAction[argparse.ArgumentParser]) -> None:
    p = commands.add_parser(
        "run",
        help="measure pictures with codecs",
        description="Measure every picture with every codec at every setting. An interrupted run"
        " goes on where it stood; codecs or pictures named later are added to the same file.",
        epilog=EPILOG,
        formatter_class=argparse.RawDescriptionHelpFormatter,
    )
    p.add_argument(
        "--set",
        "--images",
        dest="images",
        nargs="+",
        type=_set,
        action="extend",
        required=True,
        metavar="[NAME=]DIR",
        help="a set of pictures; several may be given",
    )
    p.add_argument(
        "--codecs", nargs="+", default=[DEFAULT_CODECS], metavar="SPEC", help="see below"
    )
    p.add_argument("--out", type=_results, required=True, metavar="RESULTS", help="a .json file")
    p.add_argument(
        "--metrics",
        default=DEFAULT_METRICS,
        metavar="LIST",
        help="of msssim,ssimulacra2,psnr,ssim,colour, or 'all'; SSIMULACRA2 takes more time than"
        " the others together (default: %(default)s)",
    )
    p.add_argument("-j", "--jobs", type=_count, default=0, help="workers (default: one a core)")
    p.add_argument(
        "--no-prefix",
        dest="prefixes",
        action="store_false",
        help="do not cut files of progressive codecs",
    )
    p.add_argument(
        "--no-files",
        dest="keep_files",
        action="store_false",
        help="do not keep the files that are measured in RESULTS.files, for the report's viewer",
    )
    p.add_argument("--report", type=_page, metavar="HTML", help="make the report as well")
    p.add_argument("--png", type=_path, metavar="DIR", help="with --report: PNG plots, too")
    p.add_argument("--restart", action="store_true", help="begin anew, overwriting RESULTS")
    p.add_argument(
        "--beam",
        default="",
        metavar="OPTIONS",
        help="work in an Apache Beam pipeline: its options, as --beam='--runner=FlinkRunner ...'",
    )
    p.add_argument("--limit", type=_count, default=0, metavar="N", help="only the first N pictures")
    _define(p)


def _add_report(commands: argparse._SubParsersAction[argparse.ArgumentParser]) -> None:
    p = commands.add_parser(
        "report",
        help="make one HTML file of results",
        description="Make one HTML file that needs no network: curves, tables, a picture viewer.",
    )
    p.add_argument("results", type=_path, nargs="+", metavar="RESULTS", help="several are joined")
    p.add_argument("-o", "--output", type=_page, required=True, metavar="HTML")
    p.add_argument("--png", type=_path, metavar="DIR", help="the main plots as PNG files, too")
    p.add_argument(
        "--images",
        nargs="+",
        type=_set,
        default=[],
        metavar="DIR",
        help="where the pictures are now",
    )
    p.add_argument(
        "--pictures",
        default="2",
        metavar="N|NAMES",
        help="how many, or which, pictures the viewer shows; 0 for none (default: %(default)s)",
    )
    p.add_argument("--title", default="", help="heading of the page")
    p.add_argument(
        "--against",
        default="",
        metavar="SPEC",
        help="the codec against which the largest losses and gains of single pictures are told"
        " (default: AVIF, the slower of its presets)",
    )
    p.add_argument("-j", "--jobs", type=_count, default=0, help="workers (default: one a core)")
    _define(p)


def _add_small(commands: argparse._SubParsersAction[argparse.ArgumentParser]) -> None:
    p = commands.add_parser("summary", help="print the tables of results")
    p.add_argument("results", type=_path, nargs="+", metavar="RESULTS")
    p.add_argument("--json", action="store_true", help="the same as one JSON object")
    p.add_argument(
        "--markdown", action="store_true", help="bpp at equal quality and BD-rates, for a page"
    )
    p.add_argument("--codecs", nargs="+", metavar="SPEC", help="with --markdown: only these")
    p.add_argument("--metrics", default="all", metavar="LIST", help="with --markdown: only these")
    p = commands.add_parser("plot", help="draw the plots of results as PNG files")
    p.add_argument("results", type=_path, nargs="+", metavar="RESULTS")
    p.add_argument("-o", "--output", type=_path, required=True, metavar="DIR")
    p = commands.add_parser("codecs", help="list codecs, their parameters and what is missing")
    _define(p)


def _add_studies(commands: argparse._SubParsersAction[argparse.ArgumentParser]) -> None:
    p = commands.add_parser(
        "legibility",
        help="how much text survives: OCR of coded text",
        description="Draw text of known content on photos and plain grounds, code it at a ladder"
        " of rates, let an OCR engine read it: characters read wrongly, by size and rate. Needs"
        " pip install 'rgru-codec[legibility]', or the program tesseract.",
    )
    p.add_argument("--codecs", nargs="+", default=[TEXT_CODECS], metavar="SPEC", help=TEXT_CODECS)
    p.add_argument("--cards", type=_count, default=12, metavar="N", help="pictures (%(default)s)")
    p.add_argument("--seed", type=_count, default=0, help="of the pictures (%(default)s)")
    p.add_argument("--csv", type=_csv, metavar="FILE", help="what was read, a line of text a row")
    p.add_argument("--png", type=_png, metavar="FILE", help="a plot of the error against bpp")
    p.add_argument("--show", type=_path, metavar="DIR", help="write the cards as PNG files")
    _define(p)
    p = commands.add_parser(
        "projector",
        help="codes of a layer as points for TensorBoard's Embedding Projector",
        description="Write codes of one layer, a point a block of 16x16 pixels with its"
        " thumbnail, as TensorBoard's Embedding Projector opens them: tensorboard --logdir DIR.",
    )
    p.add_argument("--images", nargs="+", type=_set, required=True, metavar="DIR")
    p.add_argument("--layer", type=_count, required=True, metavar="N", help="from 1")
    p.add_argument("--out", type=_path, required=True, metavar="DIR")
    p.add_argument(
        "--points", type=_count, default=5000, metavar="N", help="at most (default: %(default)s)"
    )


def _made(kind: Callable[..., T], args: argparse.Namespace, **changes: object) -> T:
    """Make an order of the options that have the names of its fields."""
    names = inspect.signature(kind).parameters
    given = {k: tuple(v) if isinstance(v, list) else v for k, v in vars(args).items() if k in names}
    return kind(**given | changes)


def _run(args: argparse.Namespace) -> None:
    import shlex
    import signal

    from rgru_eval.judge.curves import groups
    from rgru_eval.judge.metrics import parse_metrics
    from rgru_eval.measure.run import Order, run
    from rgru_eval.show.tables import text

    parsed = {"metrics": parse_metrics(args.metrics), "beam": tuple(shlex.split(args.beam))}
    order = _made(Order, args, **parsed)
    signal.signal(signal.SIGTERM, signal.default_int_handler)  # ends as Ctrl-C does
    results = run(order)
    for group in groups(results):
        print(text(results, group), end="\n\n")
    skipped = len(results.metadata["skipped"])
    note = f"; {skipped} skipped, see the messages above and metadata.skipped" if skipped else ""
    _tell(f"{args.out}: {len(results.rows)} rows{note}")
    if args.report:
        from rgru_eval.show.report import ReportOrder, write_report

        files = {"results": (args.out,), "output": args.report, "images": ()}
        write_report(_made(ReportOrder, args, **files))


def _report(args: argparse.Namespace) -> None:
    from rgru_eval.show.report import ReportOrder, write_report

    write_report(_made(ReportOrder, args))


def _summary(args: argparse.Namespace) -> None:
    import json

    from rgru_eval.judge.curves import groups
    from rgru_eval.judge.metrics import GROUPS, parse_metrics
    from rgru_eval.judge.statistics import summarise
    from rgru_eval.measure.registry import make_codecs
    from rgru_eval.results import load_all
    from rgru_eval.show.tables import page_rates, text

    results = load_all(args.results)
    parts = groups(results)
    if args.json:
        print(json.dumps({group.title: summarise(results, group) for group in parts}, indent=1))
        return
    metrics = [name for group in parse_metrics(args.metrics) for name in GROUPS[group]]
    codecs = [codec.identity() for codec in make_codecs(args.codecs)] if args.codecs else None
    for group in parts:
        if args.markdown:
            print(f"\n### {group.title}\n" if len(parts) > 1 else "", end="")
            print(page_rates(results, group, codecs, metrics))
        else:
            print(text(results, group), end="\n\n")


def _plot(args: argparse.Namespace) -> None:
    from rgru_eval.results import load_all
    from rgru_eval.show.plots import write_plots

    for path in write_plots(load_all(args.results), args.output):
        print(path)


def _pictures(args: argparse.Namespace) -> Iterator[tuple[str, Image]]:
    """Names and pictures of ``--images``, read one at a time."""
    from rgru_eval.measure.pictures import find_pictures, read_picture

    for source in find_pictures(args.images):
        yield source.name, read_picture(source.path).image


def _legibility(args: argparse.Namespace) -> None:
    from rgru_eval.measure.registry import make_codecs
    from rgru_eval.studies import legibility

    reader, codecs = legibility.make_reader(), make_codecs(args.codecs, args.definitions)
    for codec in codecs:
        codec.check()
    cards = legibility.make_cards(args.cards, args.seed)
    if args.show:
        args.show.mkdir(parents=True, exist_ok=True)
        for number, card in enumerate(cards):
            card.image.save(args.show / f"card{number:02}.png")
    rows = legibility.measure(cards, codecs, reader)
    labels = {codec.identity(): codec.label() for codec in codecs}
    print(legibility.table(rows, labels))
    print(f"\n{len(cards)} cards of seed {args.seed}, read by {reader.name}.")
    if args.csv:
        rows.to_csv(args.csv, index=False, float_format="%.4f", lineterminator="\n")
    if args.png:
        legibility.plot(rows, labels, args.png)


def _projector(args: argparse.Namespace) -> None:
    from rgru_eval.studies.projector import write_projector

    count = write_projector(_pictures(args), args.layer, args.out, args.points)
    print(f"{count} points of layer {args.layer}: tensorboard --logdir {args.out}")


def _codecs(args: argparse.Namespace) -> None:
    from rgru_eval.errors import EvalError
    from rgru_eval.measure.registry import FAMILIES, registry

    for name, factory in registry(args.definitions).items():
        codec = factory(name, {})
        try:
            codec.check()
            state = ", ".join(f"{k} {v}" for k, v in codec.versions().items() if k != "command")
        except EvalError as error:
            state = f"NOT AVAILABLE ({error})"
        print(f"{name:<10} {state}")
        for key, default in codec.PARAMETERS.items():
            print(f"{'':<12}{key}={default}")
        ladder = "+".join(f"{s:g}" for s in codec.settings) or "all layers"
        print(f"{'':<12}q={ladder}  ({codec.UNIT})")
        for member in FAMILIES.get(name, ()):
            print(f"{'':<12}stands for {member}")


COMMANDS = {
    "run": _run,
    "report": _report,
    "summary": _summary,
    "plot": _plot,
    "legibility": _legibility,
    "projector": _projector,
    "codecs": _codecs,
}


def main(arguments: Sequence[str] | None = None) -> int:
    """Run the program; returns the exit code."""
    args = _parser().parse_args(arguments)
    from rgru_eval.errors import EvalError, InterruptedRunError

    try:
        COMMANDS[args.command](args)
    except EvalError as error:
        _tell(f"rgru-eval: {error}")
        return 130 if isinstance(error, InterruptedRunError) else 1
    except ModuleNotFoundError as error:
        extra = "beam" if error.name == "apache_beam" else "eval"
        print(
            f"rgru-eval: the module '{error.name}' is missing: pip install 'rgru-codec[{extra}]'",
            file=sys.stderr,
        )
        return 1
    except KeyboardInterrupt:
        print("rgru-eval: interrupted", file=sys.stderr)
        return 130
    except BrokenPipeError:  # the reader of our output has seen enough, as with | head
        sys.stderr.close()
        return 0
    return 0


if __name__ == "__main__":
    sys.exit(main())
