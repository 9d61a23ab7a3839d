"""The program ``rgru-eval``.

Exit codes: 0 done, though pictures and settings that failed are named and left out; 1 something the
message names is wrong, or every codec failed on every picture; 2 usage; 130 Ctrl-C.
"""

from __future__ import annotations

import argparse
import inspect
import shlex
import sys
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Any, TypeAlias, TypeVar

from rgru_codec.arguments import count, named_path
from rgru_codec.terminal import printable, tell

T = TypeVar("T")
Commands: TypeAlias = "argparse._SubParsersAction[argparse.ArgumentParser]"
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
    about: dict[str, Any] = {"epilog": EPILOG}
    about["formatter_class"] = argparse.RawDescriptionHelpFormatter
    parser = argparse.ArgumentParser(
        prog="rgru-eval",
        description="Compare image codecs: MS-SSIM against the size of whole files.",
        **about,
    )
    parser.add_argument("--version", action=_Version, nargs=0, help="show it and exit")
    commands = parser.add_subparsers(dest="command", required=True, metavar="COMMAND")
    _add_run(commands, about)
    _add_report(commands)
    _add_small(commands)
    _add_studies(commands)
    return parser


def _words(text: str) -> list[str]:
    try:
        return shlex.split(text)
    except ValueError as error:
        raise argparse.ArgumentTypeError(f"{text}: {error}") from None


def _output(suffix: str, sign: bytes) -> Callable[[str], Path]:
    """Take a file to be written: by its name of the kind, and none that somebody else wrote."""

    def parse(text: str) -> Path:
        path = named_path(text)
        if path.suffix.lower() != suffix:
            raise argparse.ArgumentTypeError(f"{text}: the name of this file ends in {suffix}")
        if not path.parent.is_dir():  # or work would be done in vain
            raise argparse.ArgumentTypeError(f"{text}: its folder does not exist")
        if path.is_file():
            with path.open("rb") as file:
                head = file.read(4096)
            if head and sign not in head:
                raise argparse.ArgumentTypeError(f"{text}: exists, and rgru-eval has not made it")
        return path

    return parse


_page = _output(".html", b'content="rgru-eval"')


def _set(text: str) -> str:
    named_path(text.partition("=")[2] if "=" in text else text)
    return text


# What several commands have.
_RESULTS: dict[str, Any] = {"type": named_path, "nargs": "+", "metavar": "RESULTS"}
_IMAGES: dict[str, Any] = {"type": _set, "nargs": "+"}
_CODECS: dict[str, Any] = {"nargs": "+", "metavar": "SPEC"}
_JOBS: dict[str, Any] = {
    "type": count(0),
    "default": 0,
    "help": "workers (default: one a core)",
}
_DEFINE: dict[str, Any] = {"dest": "definitions", "action": "append", "default": []}
_DEFINE |= {"metavar": "FILE", "help": "more codecs: .json or .py"}


def _add_run(commands: Commands, about: dict[str, Any]) -> None:
    p = commands.add_parser(
        "run",
        help="measure pictures with codecs",
        description="Measure every picture with every codec at every setting. An interrupted run"
        " goes on where it stood; codecs or pictures named later are added to the same file.",
        **about,
    )
    sets = {"metavar": "[NAME=]DIR", "help": "a set of pictures; several may be given"}
    add = p.add_argument
    add("--set", "--images", dest="images", action="extend", required=True, **_IMAGES, **sets)
    add("--codecs", default=[DEFAULT_CODECS], help="see below", **_CODECS)
    results = _output(".json", b'"rgru-eval results"')
    add("--out", type=results, required=True, metavar="RESULTS", help="a .json file")
    metrics = (
        "of msssim,ssimulacra2,psnr,ssim,colour, or 'all'; SSIMULACRA2 takes more time than"
        " the others together (default: %(default)s)"
    )
    add("--metrics", default=DEFAULT_METRICS, metavar="LIST", help=metrics)
    add("-j", "--jobs", **_JOBS)
    prefixes = "do not cut files of progressive codecs"
    add("--no-prefix", dest="prefixes", action="store_false", help=prefixes)
    files = "do not keep the files that are measured in RESULTS.files, for the report's viewer"
    add("--no-files", dest="keep_files", action="store_false", help=files)
    add("--report", type=_page, metavar="HTML", help="make the report as well")
    add("--png", type=named_path, metavar="DIR", help="with --report: PNG plots, too")
    add("--restart", action="store_true", help="begin anew, overwriting RESULTS")
    beam = "work in an Apache Beam pipeline: its options, as --beam='--runner=FlinkRunner ...'"
    add("--beam", type=_words, default=(), metavar="OPTIONS", help=beam)
    add("--limit", type=count(1), default=0, metavar="N", help="only the first N pictures")
    add("--define", **_DEFINE)
    p.set_defaults(work=_run)


def _add_report(commands: Commands) -> None:
    p = commands.add_parser(
        "report",
        help="make one HTML file of results",
        description="Make one HTML file that needs no network: curves, tables, a picture viewer.",
    )
    add = p.add_argument
    add("results", help="several are joined", **_RESULTS)
    add("-o", "--output", type=_page, required=True, metavar="HTML")
    add("--png", type=named_path, metavar="DIR", help="the main plots as PNG files, too")
    add("--images", default=[], metavar="DIR", help="where the pictures are now", **_IMAGES)
    shown = "how many, or which, pictures the viewer shows; 0 for none (default: %(default)s)"
    add("--pictures", default="2", metavar="N|NAMES", help=shown)
    add("--title", default="", help="heading of the page")
    against = (
        "the codec against which the largest losses and gains of single pictures are told"
        " (default: AVIF, the slower of its presets)"
    )
    add("--against", default="", metavar="SPEC", help=against)
    add("-j", "--jobs", **_JOBS)
    add("--define", **_DEFINE)
    p.set_defaults(work=_report)


def _add_small(commands: Commands) -> None:
    p = commands.add_parser("summary", help="print the tables of results")
    p.add_argument("results", **_RESULTS)
    p.add_argument("--json", action="store_true", help="the same as one JSON object")
    markdown = "bpp at equal quality and BD-rates, for a page"
    p.add_argument("--markdown", action="store_true", help=markdown)
    p.add_argument("--codecs", help="with --markdown: only these", **_CODECS)
    p.add_argument("--metrics", default="all", metavar="LIST", help="with --markdown: only these")
    p.set_defaults(work=_summary)
    p = commands.add_parser("plot", help="draw the plots of results as PNG files")
    p.add_argument("results", **_RESULTS)
    p.add_argument("-o", "--output", type=named_path, required=True, metavar="DIR")
    p.set_defaults(work=_plot)
    p = commands.add_parser("codecs", help="list codecs, their parameters and what is missing")
    p.add_argument("--define", **_DEFINE)
    p.set_defaults(work=_codecs)


def _add_studies(commands: Commands) -> None:
    p = commands.add_parser(
        "legibility",
        help="how much text survives: OCR of coded text",
        description="Draw text of known content on photos and plain grounds, code it at a ladder"
        " of rates, let an OCR engine read it: characters read wrongly, by size and rate. Needs"
        " pip install 'rgru-codec[legibility]', or the program tesseract.",
    )
    add, csv, png = p.add_argument, _output(".csv", b""), _output(".png", b"")
    add("--codecs", default=[TEXT_CODECS], help=TEXT_CODECS, **_CODECS)
    add("--cards", type=count(1), default=12, metavar="N", help="pictures (%(default)s)")
    add("--seed", type=count(0), default=0, help="of the pictures (%(default)s)")
    add("--csv", type=csv, metavar="FILE", help="what was read, a line of text a row")
    add("--png", type=png, metavar="FILE", help="a plot of the error against bpp")
    add("--show", type=named_path, metavar="DIR", help="write the cards as PNG files")
    add("--define", **_DEFINE)
    p.set_defaults(work=_legibility)
    p = commands.add_parser(
        "projector",
        help="codes of a layer as points for TensorBoard's Embedding Projector",
        description="Write codes of one layer, a point a block of 16x16 pixels with its"
        " thumbnail, as TensorBoard's Embedding Projector opens them: tensorboard --logdir DIR.",
    )
    add = p.add_argument
    add("--images", required=True, metavar="DIR", **_IMAGES)
    add("--layer", type=count(1), required=True, metavar="N", help="from 1")
    add("--out", type=named_path, required=True, metavar="DIR")
    most = "at most (default: %(default)s)"  # about as many as browsers turn smoothly
    add("--points", type=count(1), default=5000, metavar="N", help=most)
    p.set_defaults(work=_projector)


def _made(kind: Callable[..., T], args: argparse.Namespace, **changes: object) -> T:
    """Make an order of the options that have the names of its fields."""
    names = inspect.signature(kind).parameters
    given = {k: tuple(v) if isinstance(v, list) else v for k, v in vars(args).items() if k in names}
    return kind(**given | changes)


def _run(args: argparse.Namespace) -> None:
    import signal

    from rgru_eval.judge.metrics import parse_metrics
    from rgru_eval.measure.run import Order, run

    order = _made(Order, args, metrics=parse_metrics(args.metrics))
    signal.signal(signal.SIGTERM, signal.default_int_handler)  # ends as Ctrl-C does
    results = run(order)
    _print_tables(results)
    tell(f"{args.out}: {len(results.rows)} rows")
    if args.report:
        from rgru_eval.show.report import ReportOrder, write_report

        files = {"results": (args.out,), "output": args.report, "images": ()}
        write_report(_made(ReportOrder, args, **files))


def _print_tables(results: Any) -> None:
    from rgru_eval.judge.curves import groups
    from rgru_eval.show.tables import failures, text

    for group in groups(results):
        print(text(results, group), end="\n\n")
    for line in failures(results):
        print(printable(line, sys.stdout))


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
    from rgru_eval.show.tables import page_rates

    results = load_all(args.results)
    parts = groups(results)
    if args.json:
        print(json.dumps({group.title: summarise(results, group) for group in parts}, indent=1))
        return
    if not args.markdown:
        _print_tables(results)
        return
    metrics = [name for group in parse_metrics(args.metrics) for name in GROUPS[group]]
    codecs = [codec.identity() for codec in make_codecs(args.codecs)] if args.codecs else None
    for group in parts:
        print(f"\n### {group.title}\n" if len(parts) > 1 else "", end="")
        print(page_rates(results, group, codecs, metrics))


def _plot(args: argparse.Namespace) -> None:
    from rgru_eval.results import load_all
    from rgru_eval.show.plots import write_plots

    for path in write_plots(load_all(args.results), args.output):
        print(path)


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
    from rgru_eval.measure.pictures import find_pictures, read_picture
    from rgru_eval.studies.projector import write_projector

    pictures = ((s.name, read_picture(s.path).image) for s in find_pictures(args.images))
    count = write_projector(pictures, args.layer, args.out, args.points)
    print(f"{count} points of layer {args.layer}: tensorboard --logdir {args.out}")


def _codecs(args: argparse.Namespace) -> None:
    from rgru_eval.errors import in_words
    from rgru_eval.measure.registry import FAMILIES, made, registry

    known = registry(args.definitions)
    for name in known:
        codec = made(name, known)
        try:
            codec.check()
            state = ", ".join(f"{k} {v}" for k, v in codec.versions().items() if k != "command")
        except Exception as error:  # also what a user's own class raises
            state = f"NOT AVAILABLE ({in_words(error)})"
        print(f"{name:<10} {state}")
        for key, default in codec.PARAMETERS.items():
            print(f"{'':<12}{key}={default}")
        ladder = "+".join(f"{s:g}" for s in codec.settings) or "all layers"
        print(f"{'':<12}q={ladder}  ({codec.UNIT})")
        for member in FAMILIES.get(name, ()):
            print(f"{'':<12}stands for {member}")


def main(arguments: Sequence[str] | None = None) -> int:
    """Run the program; returns the exit code."""
    args = _parser().parse_args(arguments)
    from rgru_eval.errors import EvalError, InterruptedRunError
    from rgru_format import RgruError

    try:
        args.work(args)
    except (EvalError, RgruError, OSError) as error:
        if isinstance(error, BrokenPipeError):  # the reader has seen enough, as with | head
            sys.stderr.close()
            return 0
        tell(f"rgru-eval: {error}")
        return 130 if isinstance(error, InterruptedRunError) else 1
    except ModuleNotFoundError as error:
        extra = "beam" if error.name == "apache_beam" else "eval"
        tell(f"rgru-eval: the module '{error.name}' is missing: pip install 'rgru-codec[{extra}]'")
        return 1
    except KeyboardInterrupt:
        tell("rgru-eval: interrupted")
        return 130
    return 0


if __name__ == "__main__":
    sys.exit(main())
