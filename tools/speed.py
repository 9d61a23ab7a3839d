"""How fast the codec is, as ratios that a machine's own speed drops out of.

    python tools/speed.py                     # some minutes; up to 10 megapixels
    python tools/speed.py --photo a.jpg --largest 100e6 --plot docs/speed.png --json speed.json

Run it on a machine that does nothing else. Every number is the median over ``--runs`` runs.
Efficiency is the arithmetic of the networks and of the context model (multiply-adds of their
kernels, computed from the model package) over time, against the rate of large float32 matrix
products measured in the same run. Work that windows do twice does not count as arithmetic.
The entropy stage is what turns a file into codes: context model and range decoder.
"""

from __future__ import annotations

import argparse
import json
import os
import statistics
import subprocess
import sys
import tempfile
import time
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    import numpy as np
    from numpy.typing import NDArray

ROOT = Path(__file__).parents[1]
os.environ.setdefault("OPENBLAS_NUM_THREADS", "1")
sys.path[:0] = [str(ROOT), str(ROOT / "format")]

from rgru_codec.processes import cores  # noqa: E402

KODAK = (512, 768)
SIZES = (1e5, 3e5, 1e6, 3e6, 1e7, 3e7, 1e8)
_SMALL, _LARGE = 5e6, 5e7
"""Pixels up to which a measurement is made once more to start with, and up to which repeated."""
LAYERS = 4
"""Where sizes or numbers of processes are compared: about what .95 takes."""

MATRIX_RATE = """
import sys, time, numpy as np
size = 1536
a, b = (np.random.default_rng(i).random((size, size), np.float32) for i in (0, 1))
c = a @ b
times = []
for _ in range(int(sys.argv[1])):
    start = time.perf_counter()
    np.matmul(a, b, out=c)
    times.append(time.perf_counter() - start)
print(size**3 / sorted(times)[len(times) // 2])
"""

FIRST_LAYER = """
import sys
from rgru_codec import Decoder, LayerDecoded
decoder = Decoder()
with open(sys.argv[1], "rb") as file:
    while not any(isinstance(event, LayerDecoded) for event in decoder.feed(file.read(1024))):
        pass
decoder.picture()
"""


def macs_of(model: Any, layers: int, large: bool = False) -> dict[str, float]:
    """Return multiply-adds a pixel of so many layers, and of the painter for one picture.

    ``large``: of pictures whose first layer has networks of its own, without states.
    """
    from rgru_codec.runtime.footprint import footprint
    from rgru_format import POSITION

    codes, first = model.codes[:layers], [large, *[False] * (layers - 1)]
    decoders = map(model.half.decoder, codes, first)
    encoders = map(model.encoder().network, codes, first)
    context = sum(_context_macs(model.context(), t) for t in range(layers))
    return {
        "encoder": float(sum(footprint(encoder).macs for encoder in encoders)),
        "decoder": float(sum(footprint(decoder).macs for decoder in decoders)),
        "context": context / POSITION**2,
        "painter": float(footprint(model.half.painter(max(codes))).macs),
    }


def _context_macs(context: Any, t: int) -> float:
    """Of a layer of the integer model, a position; each pass at the positions of its phase."""
    from rgru_format.context.evaluator import prepared
    from rgru_format.context.order import phase_share

    layer = prepared(context, t)
    total = float(layer.U.size + layer.A.size + layer.B.size)
    for group in layer.passes:
        for phase, one in enumerate(group):
            products = (one.earlier, one.own, one.W, one.R)
            total += phase_share(len(group), phase) * sum(matrix.size for matrix in products)
    return total


def mirrored(tile: NDArray[np.uint8], height: int, width: int) -> NDArray[np.uint8]:
    """Repeat (h, w, 3) pixels, every second time mirrored, to (height, width, 3)."""
    import numpy as np

    rows, columns = -(-height // tile.shape[0]), -(-width // tile.shape[1])
    row = np.concatenate([tile[:, :: 1 - 2 * (i % 2)] for i in range(columns)], 1)[:, :width]
    return np.concatenate([row[:: 1 - 2 * (i % 2)] for i in range(rows)], 0)[:height]


class Bench:
    """What the measurements share: the photo, a folder, the number of runs."""

    def __init__(self, photo: str | None, runs: int, quality: float, folder: Path) -> None:
        from PIL import Image

        from rgru_codec import default_model

        Image.MAX_IMAGE_PIXELS = None
        self.image = Image.open(photo).convert("RGB") if photo else _sample()
        self.runs, self.quality, self.folder = runs, quality, folder
        self.model = default_model()
        script = [sys.executable, "-c", MATRIX_RATE, str(max(5, runs))]
        environment = {**os.environ, "OPENBLAS_NUM_THREADS": str(cores())}
        result = subprocess.run(script, env=environment, capture_output=True, check=True)
        self.rate = float(result.stdout)
        self.results: dict[str, Any] = {
            "cores": cores(),
            "network": self.model.name,
            "kmac_per_pixel": {
                name: round(macs / 1e3, 2)
                for name, macs in macs_of(self.model, self.model.iterations).items()
            },
            "matrix_gmac_per_s": round(self.rate / 1e9, 1),
        }

    def picture(self, height: int, width: int) -> Path:
        """Write the photo, mirrored and repeated to a size, as a file."""
        import numpy as np
        from PIL import Image

        path = self.folder / f"{height}x{width}.png"
        if not path.exists():
            whole = mirrored(np.asarray(self.image), height, width)
            Image.fromarray(whole).save(path, compress_level=1)
        return path

    def median(self, work: Callable[[], object], runs: int | None = None) -> float:
        """Seconds."""
        times = []
        for _ in range(runs or self.runs):
            start = time.perf_counter()
            work()
            times.append(time.perf_counter() - start)
        return statistics.median(times)

    def program(self, *arguments: object) -> None:
        """``rgru`` in a process of its own."""
        self.python("-m", "rgru_codec.cli", *arguments)

    def python(self, *arguments: object) -> None:
        """Python in a process of its own, with this checkout."""
        paths = os.pathsep.join(sys.path[:2])
        environment = {**os.environ, "PYTHONPATH": paths}
        command = [sys.executable, *map(str, arguments)]
        subprocess.run(command, env=environment, capture_output=True, check=True)

    def efficiency(self, name: str, pixels: int, layers: int, seconds: float) -> float:
        """Share of the matrix rate that ``encode`` or ``decode`` of a picture reaches."""
        from rgru_codec.runtime.rect import Rect
        from rgru_codec.runtime.windows import is_large

        macs = macs_of(self.model, layers, is_large(Rect(0, 1, 0, pixels)))
        work = macs["decoder"] + macs["context"] + macs["painter"]
        if name == "encode":  # which paints after each layer
            work += macs["encoder"] + (layers - 1) * macs["painter"]
        return pixels * work / seconds / self.rate

    def both_ways(self, height: int, width: int) -> dict[str, Any]:
        """Encode and decode one size at the quality, as processes and in this process."""
        import rgru_codec

        source = self.picture(height, width)
        packed, back = source.with_suffix(".rgru"), source.with_suffix(".out.png")
        options = ("-f", "--max-pixels", height * width)
        encode: tuple[object, ...]
        encode = ("compress", source, "-o", packed, "--msssim", self.quality, *options)
        if not _reaches(lambda: self.program(*encode)):
            encode = ("compress", source, "-o", packed, "--layers", "all", *options)
        decode = ("decompress", packed, "-o", back, *options)
        seconds = {"encode": self.median(lambda: self.program(*encode))}
        seconds["decode"] = self.median(lambda: self.program(*decode))
        limits = rgru_codec.Limits(max_pixels=height * width)
        layers = len(rgru_codec.info(packed, limits=limits).layers)
        rows = self.in_process(height, width, layers, self.runs)
        return rows | {
            name: self.row(name, height * width, layers, value) for name, value in seconds.items()
        }

    def in_process(self, height: int, width: int, layers: int, runs: int) -> dict[str, Any]:
        """Encode and decode one size in this process, and the entropy stage alone."""
        import numpy as np
        from PIL import Image

        import rgru_codec

        pixels, size = np.asarray(Image.open(self.picture(height, width))), height * width
        limits = rgru_codec.Limits(max_pixels=size)
        data: bytes = b""

        def encode() -> None:
            nonlocal data
            data = rgru_codec.compress(pixels, layers=layers, limits=limits)

        seconds = {"encode_in_process": self.median(encode, runs)}
        seconds["decode_in_process"] = self.median(
            lambda: rgru_codec.decompress(data, limits=limits).load(), runs
        )
        entropy = self.median(lambda: decode_codes(self.model, data, limits), runs)
        return {
            "pixels": size,
            "layers": layers,
            "entropy_stage_s": round(entropy, 3),
            "entropy_stage_of_decode": round(entropy / seconds["decode_in_process"], 4),
            "bpp": round(8 * len(data) / size, 4),
        } | {name: self.row(name, size, layers, value) for name, value in seconds.items()}

    def row(self, name: str, pixels: int, layers: int, seconds: float) -> dict[str, float]:
        """Put a time, by pixels too and as a share of the matrix rate."""
        share = self.efficiency(name.split("_")[0], pixels, layers, seconds)
        return {
            "s": round(seconds, 3),
            "s_per_megapixel": round(seconds / pixels * 1e6, 4),
            "of_matrix_rate": round(share, 4),
        }

    def start(self) -> dict[str, float]:
        """Time a Kodak-sized picture from process start."""
        source = self.picture(*KODAK)
        packed = source.with_suffix(".rgru")
        encode = ("compress", source, "-o", packed, "-f")
        if not _reaches(lambda: self.program(*encode, "--msssim", self.quality)):
            self.program(*encode, "--layers", "all")
        back = source.with_suffix(".out.png")
        first = ("-c", FIRST_LAYER, packed)
        return {
            "decompress_s": round(
                self.median(lambda: self.program("decompress", packed, "-o", back, "-f")), 3
            ),
            "first_layer_painted_s": round(self.median(lambda: self.python(*first)), 3),
        }

    def processes(self, count: int = 12) -> dict[str, float]:
        """Pictures a minute: one process of one thread against two of them."""
        import shutil

        folder = self.folder / "many"
        folder.mkdir(exist_ok=True)
        for number in range(count):
            shutil.copy(self.picture(*KODAK), folder / f"{number}.png")
        options = ("-o", f"{folder}/out/", "-f", "-l", LAYERS, "--threads", 1)
        seconds = {
            jobs: self.median(lambda: self.program("compress", folder, *options, "-j", jobs))  # noqa: B023 (called at once)
            for jobs in (1, 2)
        }
        return {
            "one_process_per_minute": round(60 * count / seconds[1], 1),
            "two_processes_per_minute": round(60 * count / seconds[2], 1),
            "ratio": round(seconds[1] / seconds[2], 3),
        }


def decode_codes(model: Any, data: bytes, limits: Any) -> None:
    """Run the entropy stage alone: context model and range decoder, without networks."""
    from rgru_format import CodesDecoder, inspect

    file = inspect(data, limits)
    decoder = CodesDecoder(model.context(), *file.header.grid)
    for group in file.groups:
        decoder.decode(group)


def _sample() -> Any:
    from PIL import Image
    from skimage import data

    return Image.fromarray(data.astronaut())


def _reaches(work: Callable[[], object]) -> bool:
    """Whether a target can be met by the model."""
    try:
        work()
    except subprocess.CalledProcessError:
        return False
    return True


def sides(pixels: float) -> tuple[int, int]:
    """Height and width of about so many pixels, three to four."""
    height = round((pixels * 0.75) ** 0.5)
    return height, round(pixels / height)


def scaling(bench: Bench, largest: float) -> dict[str, Any]:
    """Seconds a megapixel over sizes in this process; the same number of layers for each.

    Of the small ones the first time is left out: it starts the networks. The largest, minutes
    long, is measured once.
    """
    rows = []
    for height, width in (sides(size) for size in SIZES if size <= largest * 1.01):
        pixels = height * width
        if pixels < _SMALL:
            bench.in_process(height, width, LAYERS, 1)
        runs = max(bench.runs, 3) if pixels < _LARGE else 1
        rows.append(bench.in_process(height, width, LAYERS, runs))
    spread = {}
    for name in ("encode_in_process", "decode_in_process"):
        values = [row[name]["s_per_megapixel"] for row in rows]
        spread[name] = round(max(values) / min(values), 3)
    return {"sizes": rows, "largest_over_smallest_time_per_megapixel": spread}


def plot(rows: Sequence[dict[str, Any]], path: Path) -> None:
    """Seconds a megapixel over megapixels."""
    import matplotlib

    matplotlib.use("Agg")
    import matplotlib.pyplot as plt

    figure, axes = plt.subplots(figsize=(6, 4), layout="constrained")
    megapixels = [row["pixels"] / 1e6 for row in rows]
    for name in ("encode_in_process", "decode_in_process"):
        values = [row[name]["s_per_megapixel"] for row in rows]
        axes.semilogx(megapixels, values, "-o", label=name.split("_")[0])
    axes.set(xlabel="megapixels", ylabel="seconds per megapixel", ylim=(0, None))
    axes.legend()
    figure.savefig(path, dpi=120)


def table(results: dict[str, Any]) -> str:
    """Write the results as Markdown."""
    lines = [
        f"{results['cores']} cores, {results['matrix_gmac_per_s']} GMAC/s in float32 matrix "
        f"products, network {results['network']}.",
        "",
        "| size | layers | what | s | s/Mpx | of the matrix rate |",
        "|---|---|---|---|---|---|",
    ]
    rows = [results[k] for k in ("large",) if k in results]
    rows += results.get("scaling", {}).get("sizes", [])
    for row in rows:
        names = ("encode", "encode_in_process", "decode", "decode_in_process")
        for name in (name for name in names if name in row):
            cell = row[name]
            lines.append(
                f"| {row['pixels'] / 1e6:.1f} Mpx | {row['layers']} | {name.replace('_', ' ')} | "
                f"{cell['s']} | {cell['s_per_megapixel']} | {cell['of_matrix_rate']:.1%} |"
            )
    shares = [
        f"{row['entropy_stage_of_decode']:.1%} ({row['pixels'] / 1e6:.1f} Mpx)" for row in rows
    ]
    if shares:
        lines += ["", f"Entropy stage, of decode in process: {', '.join(shares)}"]
    lines.append("")
    for key in ("start", "processes"):
        lines += [f"{name}: {value}" for name, value in results.get(key, {}).items()]
    spread = results.get("scaling", {}).get("largest_over_smallest_time_per_megapixel", {})
    lines += [f"{name}, slowest over fastest size: {value}" for name, value in spread.items()]
    return "\n".join(lines)


def main(argv: Sequence[str] | None = None) -> int:
    """Measure and print."""
    parser = argparse.ArgumentParser(description="Measure the speed of the codec.")
    parser.add_argument("--photo", help="a picture to repeat; default: one of scikit-image")
    parser.add_argument("--runs", type=int, default=5, help="runs of each (default 5)")
    parser.add_argument("--msssim", type=float, default=0.95, help="how good (default .95)")
    parser.add_argument("--large", type=float, default=12e6, help="pixels of the large picture")
    parser.add_argument("--largest", type=float, default=1e7, help="pixels at most when scaling")
    parser.add_argument(
        "--only",
        choices=("large", "start", "processes", "scaling"),
        action="append",
        help="measure this alone; can be given again",
    )
    parser.add_argument("--plot", type=Path, help="write time per megapixel as a PNG")
    parser.add_argument("--json", type=Path, help="write all results")
    args = parser.parse_args(argv)
    wanted = args.only or ["large", "start", "processes", "scaling"]
    with tempfile.TemporaryDirectory() as folder:
        bench = Bench(args.photo, args.runs, args.msssim, Path(folder))
        parts: dict[str, Callable[[], dict[str, Any]]] = {
            "large": lambda: bench.both_ways(*sides(args.large)),
            "start": bench.start,
            "processes": bench.processes,
            "scaling": lambda: scaling(bench, args.largest),
        }
        for name in wanted:
            bench.results[name] = parts[name]()
        if args.json:
            args.json.write_text(json.dumps(bench.results, indent=1) + "\n")
        if args.plot and "scaling" in bench.results:
            plot(bench.results["scaling"]["sizes"], args.plot)
        print(table(bench.results))
    return 0


if __name__ == "__main__":
    sys.exit(main())
