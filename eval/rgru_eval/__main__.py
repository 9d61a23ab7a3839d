"""The program ``rgru-eval``.

Exit codes: 0 done; 1 something the message names is wrong; 2 usage; 130 Ctrl-C.
"""

from __future__ import annotations

import argparse
import sys
from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import TYPE_CHECKING

from rgru_eval import __version__

if TYPE_CHECKING:
    from PIL.Image import Image

# Copies of the defaults in registry.py and metrics.py: --help loads none of the libraries.
DEFAULT_CODECS = "rgru,jpeg,webp,avif,jxl,jpeg2000"
DEFAULT_METRICS = "msssim,psnr,ssim"

EPILOG = """\
codec specs: a name with parameters, e.g.
  jpeg                                     four variants, the baseline 4:2:0 optimised first
  jpeg:subsampling=420,optimize            the baseline alone
  jpeg:subsampling=444,progressive,q=10+20+40+80
  webp:method=6,avif:speed=4,jxl,jpeg2000,rgru,cjxl,cwebp
Words after a comma that name no codec are parameters of the codec before them.
'rgru-eval codecs' lists what there is. More codecs come from --define FILE (.json or .py).

the report of the Kodak pictures, from scratch:
  rgru-eval run --images kodak --out kodak.json --report kodak.html --png .
the same in two steps, the second with a choice of pictures for the viewer:
  rgru-eval run --images kodak --out kodak.json
  rgru-eval report kodak.json -o kodak.html --png . --pictures kodim05,kodim23
"""


def _parser() -> argparse.ArgumentParser:
    parser = argparse.ArgumentParser(
        prog="rgru-eval",
        description="Compare image codecs: MS-SSIM against the size of whole files.",
        epilog=EPILOG,
        formatter_class=argparse.RawDescriptionHelpFormatter,
    )
    parser.add_argument("--version", action="version", version=f"rgru-eval {__version__}")
    commands = parser.add_subparsers(dest="command", required=True, metavar="COMMAND")
    _add_run(commands)
    _add_report(commands)
    _add_demo(commands)
    _add_small(commands)
    _add_tables(commands)
    return parser


def _define(parser: argparse.ArgumentParser) -> None:
    parser.add_argument(
        "--define", action="append", default=[], metavar="FILE", help="more codecs: .json or .py"
    )


def _count(text: str) -> int:
    number = int(text)
    if number < 0:
        raise argparse.ArgumentTypeError(f"{number} is below 0")
    return number


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
        "--images", nargs="+", action="extend", required=True, metavar="DIR", help="[NAME=]folder"
    )
    p.add_argument(
        "--codecs", nargs="+", default=[DEFAULT_CODECS], metavar="SPEC", help="see below"
    )
    p.add_argument("--out", type=Path, required=True, metavar="RESULTS", help="a .json file")
    p.add_argument(
        "--metrics",
        default=DEFAULT_METRICS,
        metavar="LIST",
        help="of msssim,psnr,ssim,ssimulacra2, or 'all'; SSIMULACRA2 takes more time than the"
        " others together (default: %(default)s)",
    )
    p.add_argument("-j", "--jobs", type=_count, default=0, help="workers (default: one a core)")
    p.add_argument(
        "--no-prefix", action="store_true", help="do not cut files of progressive codecs"
    )
    p.add_argument("--report", type=Path, metavar="HTML", help="make the report as well")
    p.add_argument("--png", type=Path, metavar="DIR", help="with --report: PNG plots, too")
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
    p.add_argument("results", type=Path, nargs="+", metavar="RESULTS", help="several are joined")
    p.add_argument("-o", "--output", type=Path, required=True, metavar="HTML")
    p.add_argument("--png", type=Path, metavar="DIR", help="the main plots as PNG files, too")
    p.add_argument(
        "--images", nargs="+", default=[], metavar="DIR", help="where the pictures are now"
    )
    p.add_argument(
        "--pictures",
        default="2",
        metavar="N|NAMES",
        help="how many, or which, pictures the viewer shows; 0 for none (default: %(default)s)",
    )
    p.add_argument("--title", default="", help="heading of the page")
    p.add_argument("-j", "--jobs", type=_count, default=0, help="workers (default: one a core)")
    _define(p)


def _add_demo(commands: argparse._SubParsersAction[argparse.ArgumentParser]) -> None:
    p = commands.add_parser(
        "demo",
        help="one photo, two codecs, equal MS-SSIM, side by side",
        description="Compress a photo with two codecs to the same MS-SSIM and put them side by"
        " side with an enlarged detail and the bytes, as one PNG.",
    )
    p.add_argument("photo", type=Path, metavar="PHOTO")
    p.add_argument("-o", "--output", type=Path, metavar="PNG", help="(default: PHOTO-demo.png)")
    p.add_argument(
        "--codecs",
        nargs="+",
        metavar="SPEC",
        help="two or three (default: the JPEG baseline, and rgru on all cores)",
    )
    p.add_argument("--msssim", type=float, default=0.95, help="RGB MS-SSIM (default: %(default)s)")
    p.add_argument("--detail", metavar="X,Y,SIZE", help="the square to enlarge")
    p.add_argument(
        "--max-pixels",
        type=_count,
        default=2_000_000,
        help="larger photos are scaled down first (default: %(default)s; 0: never)",
    )
    _define(p)


def _add_small(commands: argparse._SubParsersAction[argparse.ArgumentParser]) -> None:
    p = commands.add_parser("summary", help="print the tables of results")
    p.add_argument("results", type=Path, nargs="+", metavar="RESULTS")
    p.add_argument("--json", action="store_true", help="the same as one JSON object")
    p.add_argument(
        "--markdown", action="store_true", help="bpp at equal quality and BD-rates, for a page"
    )
    p.add_argument("--codecs", nargs="+", metavar="SPEC", help="with --markdown: only these")
    p.add_argument("--metrics", default="all", metavar="LIST", help="with --markdown: only these")
    p = commands.add_parser("plot", help="draw the plots of results as PNG files")
    p.add_argument("results", type=Path, nargs="+", metavar="RESULTS")
    p.add_argument("-o", "--output", type=Path, required=True, metavar="DIR")
    p = commands.add_parser("export", help="write results in the shape of other tools")
    p.add_argument("results", type=Path, nargs="+", metavar="RESULTS")
    p.add_argument("--to", choices=("compressai", "codec-compare"), required=True)
    p.add_argument("-o", "--output", type=Path, required=True, metavar="DIR")
    p = commands.add_parser("codecs", help="list codecs, their parameters and what is missing")
    _define(p)


def _add_tables(commands: argparse._SubParsersAction[argparse.ArgumentParser]) -> None:
    """The measurements of rgru alone; each prints a Markdown table."""
    _add_table(commands, "entropy", "what the entropy stage of rgru saves, layer by layer")
    _add_table(commands, "grey", "what grey photos cost rgru beside colour ones")
    p = _add_table(
        commands, "cuts", "quality of rgru files cut short; fails if a group makes one worse"
    )
    p.add_argument(
        "--cuts", type=_count, default=200, metavar="N", help="places in a file (%(default)s)"
    )
    p.add_argument("--csv", type=Path, metavar="FILE", help="the value at each cut")
    p.add_argument("--png", type=Path, metavar="FILE", help="a plot of them")


def _add_table(
    commands: argparse._SubParsersAction[argparse.ArgumentParser], name: str, about: str
) -> argparse.ArgumentParser:
    p = commands.add_parser(name, help=about, description=f"Measure {about}.")
    p.add_argument("--images", nargs="+", required=True, metavar="DIR")
    return p


def _run(args: argparse.Namespace) -> None:
    import shlex
    import signal

    from rgru_eval.metrics import parse_metrics
    from rgru_eval.run import Order, run
    from rgru_eval.summary import text_table

    order = Order(
        images=tuple(args.images),
        codecs=tuple(args.codecs),
        out=args.out,
        metrics=parse_metrics(args.metrics),
        definitions=tuple(args.define),
        jobs=args.jobs,
        prefixes=not args.no_prefix,
        restart=args.restart,
        limit=args.limit,
        beam=tuple(shlex.split(args.beam)),
    )
    signal.signal(signal.SIGTERM, signal.default_int_handler)  # ends as Ctrl-C does
    results = run(order)
    for name in results.sets:
        print(text_table(results, name), end="\n\n")
    skipped = len(results.metadata["skipped"])
    note = f"; {skipped} skipped, see the messages above and metadata.skipped" if skipped else ""
    print(f"{args.out}: {len(results.rows)} rows{note}", file=sys.stderr)
    if args.report:
        from rgru_eval.report import ReportOrder, write_report

        files = {"results": (args.out,), "output": args.report, "png": args.png}
        write_report(ReportOrder(**files, jobs=args.jobs, definitions=tuple(args.define)))


def _report(args: argparse.Namespace) -> None:
    from rgru_eval.report import ReportOrder, write_report

    write_report(
        ReportOrder(
            results=tuple(args.results),
            output=args.output,
            png=args.png,
            images=tuple(args.images),
            pictures=args.pictures,
            title=args.title,
            jobs=args.jobs,
            definitions=tuple(args.define),
        )
    )


def _demo(args: argparse.Namespace) -> None:
    from rgru_eval.demo import DemoOrder, make_demo
    from rgru_eval.machine import available_cores

    usual = ["jpeg:subsampling=420,optimize", f"rgru:threads={available_cores()}"]
    output = args.output or args.photo.with_name(args.photo.stem + "-demo.png")
    make_demo(
        DemoOrder(
            photo=args.photo,
            output=output,
            codecs=tuple(args.codecs or usual),
            msssim=args.msssim,
            detail=args.detail,
            max_pixels=args.max_pixels,
            definitions=tuple(args.define),
        )
    )


def _summary(args: argparse.Namespace) -> None:
    import json

    from rgru_eval.metrics import GROUPS, parse_metrics
    from rgru_eval.registry import make_codecs
    from rgru_eval.results import load_all
    from rgru_eval.summary import losses, rates_table, summarise, text_table

    metrics = [name for group in parse_metrics(args.metrics) for name in GROUPS[group]]
    chosen = [codec.identity() for codec in make_codecs(args.codecs)] if args.codecs else None
    results = load_all(args.results)
    if args.json:
        print(json.dumps({name: summarise(results, name) for name in results.sets}, indent=1))
        return
    for name in results.sets:
        if args.markdown:
            print(rates_table(results, name, chosen, metrics))
            print("\nWhere more bits are needed than an anchor needs:\n")
            print("\n".join(f"- {line}" for line in losses(results, name)) or "nowhere")
        else:
            print(text_table(results, name), end="\n\n")


def _plot(args: argparse.Namespace) -> None:
    from rgru_eval.plots import write_plots
    from rgru_eval.results import load_all

    for path in write_plots(load_all(args.results), args.output):
        print(path)


def _export(args: argparse.Namespace) -> None:
    from rgru_eval.export import export
    from rgru_eval.results import load_all

    for path in export(load_all(args.results), args.to, args.output):
        print(path)


def _pictures(args: argparse.Namespace) -> Iterator[tuple[str, Image]]:
    """Names and pictures of ``--images``, read one at a time."""
    from rgru_eval.pictures import find_pictures, read_picture

    for source in find_pictures(args.images):
        yield source.name, read_picture(source.path).image


def _print_table(args: argparse.Namespace, text: str) -> None:
    """Print a table and what it was measured with."""
    from rgru_codec import default_model
    from rgru_eval.pictures import find_pictures

    count = len(find_pictures(args.images))
    pictures = f"{count} picture{'s' * (count != 1)}"
    print(f"{text}\n\nModel {default_model().id.hex()}, {pictures}.")


def _entropy(args: argparse.Namespace) -> None:
    from rgru_eval.entropy import measure, table

    _print_table(args, table(*measure(image for _, image in _pictures(args))))


def _grey(args: argparse.Namespace) -> None:
    from rgru_eval.grey import measure, table

    _print_table(args, table(*measure(image for _, image in _pictures(args))))


def _cuts(args: argparse.Namespace) -> None:
    from rgru_eval.cuts import failures, measure, plot, table, write_csv
    from rgru_eval.pictures import EvalError

    curves = [measure(name, image, args.cuts) for name, image in _pictures(args)]
    _print_table(args, table(curves))
    if args.csv:
        write_csv(curves, args.csv)
    if args.png:
        plot(curves, args.png)
    if failed := failures(curves):
        raise EvalError("; ".join(failed))


def _codecs(args: argparse.Namespace) -> None:
    from rgru_eval.pictures import EvalError
    from rgru_eval.registry import FAMILIES, registry

    for name, factory in registry(args.define).items():
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
    "demo": _demo,
    "summary": _summary,
    "plot": _plot,
    "export": _export,
    "entropy": _entropy,
    "grey": _grey,
    "cuts": _cuts,
    "codecs": _codecs,
}


def main(arguments: Sequence[str] | None = None) -> int:
    """Run the program; returns the exit code."""
    args = _parser().parse_args(arguments)
    from rgru_eval.pictures import EvalError

    try:
        COMMANDS[args.command](args)
    except EvalError as error:
        print(f"rgru-eval: {error}", file=sys.stderr)
        return 130 if type(error).__name__ == "InterruptedRunError" else 1
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
