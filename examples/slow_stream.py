"""Watch a .rgru picture arrive over a slow connection: python examples/slow_stream.py photo.rgru.

Serves the file over HTTP on this machine only, at a limited rate, and receives it: after every
group of codes the picture so far is drawn in the terminal and saved.
"""

from __future__ import annotations

import argparse
import http.server
import sys
import threading
import time
import urllib.request
from collections.abc import Iterator
from pathlib import Path

from PIL import Image

import rgru_codec

TICKS = 20  # pieces sent in a second


def handler(data: bytes, rate: float) -> type[http.server.BaseHTTPRequestHandler]:
    """Make what answers every request with ``data``, at ``rate`` bytes a second."""

    class Slow(http.server.BaseHTTPRequestHandler):
        def do_GET(self) -> None:
            self.send_response(200)
            self.send_header("Content-Type", "image/x-rgru")
            self.send_header("Content-Length", str(len(data)))
            self.end_headers()
            step = max(1, round(rate / TICKS))
            for at in range(0, len(data), step):
                self.wfile.write(data[at : at + step])
                self.wfile.flush()
                time.sleep(step / rate)

        def log_message(self, format: str, *args: object) -> None:
            pass

    return Slow


def serve(data: bytes, rate: float) -> http.server.ThreadingHTTPServer:
    """Start a server on a free port of the loopback interface."""
    server = http.server.ThreadingHTTPServer(("127.0.0.1", 0), handler(data, rate))
    threading.Thread(target=server.serve_forever, daemon=True).start()
    return server


def drawn(picture: Image.Image, columns: int = 64) -> Iterator[str]:
    """Draw a picture as lines of a terminal with colours, two pixels a character."""
    rows = max(1, round(columns * picture.height / picture.width / 2))
    small = picture.convert("RGB").resize((columns, 2 * rows), Image.Resampling.BOX)
    for row in range(rows):
        line = []
        for column in range(columns):
            upper = small.getpixel((column, 2 * row))
            lower = small.getpixel((column, 2 * row + 1))
            assert isinstance(upper, tuple)
            assert isinstance(lower, tuple)
            colours = "38;2;{};{};{};48;2;{};{};{}".format(*upper, *lower)
            line.append(f"\x1b[{colours}m\u2580")
        yield "".join(line) + "\x1b[0m"


def receive(url: str, out: Path, draw: bool) -> int:
    """Decode while receiving; returns the number of stages."""
    out.mkdir(parents=True, exist_ok=True)
    start, count = time.monotonic(), 0
    with urllib.request.urlopen(url, timeout=30) as response:
        total = int(response.headers["Content-Length"])
        for count, stage in enumerate(rgru_codec.iter_pictures(response), 1):
            picture = stage.picture
            stage.picture.save(out / f"stage-{count:02d}.png")
            if draw:
                print("\x1b[H\x1b[2J" + "\n".join(drawn(picture)))
            bpp = 8 * stage.bytes / (picture.width * picture.height)
            print(
                f"{time.monotonic() - start:5.1f} s  {stage.bytes:>8} of {total} bytes  "
                f"{bpp:.3f} bpp  layer {stage.layers}",
                flush=True,
            )
    return count


def show(data: bytes, args: argparse.Namespace) -> int:
    """Serve and receive at once; returns the number of stages."""
    server = serve(data, len(data) / min(max(args.seconds, 0.1), 600.0))
    try:
        url = f"http://127.0.0.1:{server.server_address[1]}/picture.rgru"
        return receive(url, args.out, args.draw or sys.stdout.isatty())
    finally:
        server.shutdown()
        server.server_close()


def main() -> None:
    """Take the arguments; say what is wrong with a file in one line."""
    parser = argparse.ArgumentParser(description=(__doc__ or "").splitlines()[0])
    parser.add_argument("file", type=Path, help="a .rgru file, or a picture to compress first")
    parser.add_argument("--seconds", type=float, default=10, help="how long it takes (10)")
    parser.add_argument("--out", type=Path, default=Path("stages"), help="folder for the pictures")
    parser.add_argument("--draw", action="store_true", help="draw even if this is no terminal")
    args = parser.parse_args()
    try:
        data = args.file.read_bytes()
        if args.file.suffix != ".rgru":
            data = rgru_codec.compress(data, layers="all")
        count = show(data, args)
    except (OSError, rgru_codec.RgruError) as error:
        sys.exit(f"{args.file}: {error}")
    print(f"{count} pictures in {args.out}")


if __name__ == "__main__":
    main()
