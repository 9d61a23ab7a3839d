"""Windows, regions, memory: whatever the size, the same picture, no seams, bounded memory."""

from __future__ import annotations

import os
import subprocess
import sys
import time
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from numpy.typing import NDArray
from PIL import Image

import rgru_codec
from rgru_codec.iterations import Codes, Painter, Pixels, encode
from rgru_codec.memory import decoding_bytes, encoding_bytes
from rgru_codec.models import Model, default_model
from rgru_codec.packages import networks_of
from rgru_codec.runtime import windows
from rgru_codec.runtime.engine import best_engine
from rgru_codec.runtime.networks import Port
from rgru_codec.runtime.rect import Rect
from rgru_codec.runtime.windows import Grid, grid

from .conftest import photo

SIZES = [(400, 368), (900, 40), (40, 900), (1, 700), (700, 1)]
"""Height and width: several windows each, tall, wide and thin ones too."""
WINDOW = 256


@pytest.fixture
def small_windows(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(windows, "WINDOW", WINDOW)


def scaled(height: int, width: int) -> Pixels:
    return np.asarray(Image.fromarray(photo(400, 340)).resize((width, height)))


def encoded(model: Model, pixels: Pixels, layers: int) -> list[tuple[Codes, Pixels]]:
    """Codes of the first layers, and what is shown after each."""
    found = []
    for codes, painter in encode(model, pixels):
        found.append((codes, painter.show()))
        if len(found) == layers:
            break
    return found


def distance(a: Pixels, b: Pixels) -> NDArray[np.int16]:
    return np.asarray(np.abs(a.astype(np.int16) - b))


@pytest.mark.parametrize("window", [64, 200, 512])
@pytest.mark.parametrize("border", [0, 16, 96])
@pytest.mark.parametrize("size", [(16, 16), (480, 720), (16, 4000), (4000, 16), (208, 208)])
def test_windows_cover_once_and_read_enough(
    size: tuple[int, int], border: int, window: int
) -> None:
    frame = Rect(0, size[0], 0, size[1])
    area = Rect(0, size[0], size[1] // 3 // 16 * 16, size[1])
    plan = grid(area, frame, border, window)
    count = np.zeros(size, int)
    for inside, outside in plan.windows:
        count[inside.slices()] += 1
        needed = inside.grown(border, frame)
        assert (outside.top, outside.left) <= (needed.top, needed.left)
        assert outside.bottom >= needed.bottom
        assert outside.right >= needed.right
        assert outside == outside.aligned(16)
        assert outside.grown(0, frame) == outside
        assert outside.height * outside.width <= max(window, 2 * border + 16) ** 2
    assert len({(o.height, o.width) for _, o in plan.windows}) == 1
    assert (count[area.slices()] == 1).all()
    assert count.sum() == area.height * area.width
    _check_lag(plan)


@pytest.mark.parametrize("size", [(2**24, 16), (16, 2**24)])
def test_windows_of_the_longest_pictures_are_found_at_once(size: tuple[int, int]) -> None:
    frame = Rect(0, size[0], 0, size[1])
    start = time.process_time()
    plan = grid(frame, frame, 64)
    assert len(plan.windows) < 100
    assert time.process_time() - start < 0.5


def _check_lag(plan: Grid) -> None:
    """No window reads what a window ``lag`` or more before it has computed."""
    for number, (_, outside) in enumerate(plan.windows):
        for inside, _ in plan.windows[: max(number - plan.lag, 0)]:
            apart = inside.bottom <= outside.top or inside.top >= outside.bottom
            assert apart or inside.right <= outside.left or inside.left >= outside.right


@pytest.mark.parametrize(("height", "width"), SIZES)
def test_windows_give_the_pixels_of_the_whole(
    made_model: Model, height: int, width: int, monkeypatch: pytest.MonkeyPatch
) -> None:
    layers = encoded(made_model, scaled(height, width), 3)
    for window in (208, WINDOW):
        monkeypatch.setattr(windows, "WINDOW", window)
        painter = Painter(made_model, height, width)
        for codes, whole in layers:
            painter.add_layer(codes)
            assert (distance(painter.show(), whole) <= 1).mean() >= 0.9999


def test_states_keep_16_bits() -> None:
    frame = Rect(0, 4096, 0, 2048)
    field = windows.Field(frame, Port(16, 2))
    values = np.array([1.0, -1.25, 3.0e-5, 9.0, -9.0, 0.6], np.float32).reshape(1, 1, 3, 2)
    window = Rect(0, 16, 16, 64)
    field.store(window, field.stored(values))
    out = np.empty_like(values)
    field.load(window, out)
    assert field.values.itemsize == 2
    np.testing.assert_allclose(out.ravel(), [1.0, -1.25, 0.0, 8.0, -8.0, 0.6], atol=2.0**-12)


def test_windows_give_the_codes_of_the_whole(
    made_model: Model, monkeypatch: pytest.MonkeyPatch
) -> None:
    pixels = scaled(400, 368)
    whole = encoded(made_model, pixels, 2)
    monkeypatch.setattr(windows, "WINDOW", WINDOW)
    for (expected, _), (codes, _) in zip(whole, encoded(made_model, pixels, 2), strict=True):
        assert (codes == expected).mean() > 0.999  # a value next to zero may fall either way


def test_no_seams(made_model: Model, small_windows: None) -> None:
    """Errors next to the borders of windows are those of anywhere else, after every layer."""
    model, height, width = made_model, 480, 640
    pixels = scaled(height, width)
    near = _near_borders(model, height, width)
    assert 0.02 < near.mean() < 0.4
    for codes, painter in encode(model, pixels):
        error = distance(painter.show(), pixels).mean(axis=2)
        assert error[near].mean() < 1.25 * error[~near].mean() + 0.1, painter.layers
        del codes


def _near_borders(model: Model, height: int, width: int) -> NDArray[np.bool_]:
    """Pixels within 4 of where one window of any of the networks ends and the next begins."""
    near = np.zeros((height, width), bool)
    frame = Rect(0, height, 0, width)
    for network in networks_of(model):
        border = windows.border_of(network.reach)
        plan = grid(frame, frame, border)
        assert len(plan.windows) > 1
        for span in plan.rows[1:]:
            near[span.begin - 4 : span.begin + 4] = True
        for span in plan.columns[1:]:
            near[:, span.begin - 4 : span.begin + 4] = True
    return near


@pytest.mark.parametrize("window", [WINDOW, 1024])
@pytest.mark.parametrize("region", [(170, 200, 60, 50), (0, 0, 1, 1), (367, 390, 1, 10)])
def test_a_region_is_the_crop(
    made_model: Model,
    region: tuple[int, int, int, int],
    window: int,
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    data = rgru_codec.compress(scaled(400, 368), layers=3, model=made_model)
    whole = np.asarray(rgru_codec.decompress(data, model=made_model))
    monkeypatch.setattr(windows, "WINDOW", window)
    x, y, width, height = region
    found = np.asarray(rgru_codec.decompress(data, region=region, model=made_model))
    assert found.shape == (height, width, 3)
    assert distance(found, whole[y : y + height, x : x + width]).max() <= 1
    cut = data[: len(data) * 3 // 4]  # with an unfinished layer
    whole = np.asarray(rgru_codec.decompress(cut, model=made_model))
    found = np.asarray(rgru_codec.decompress(cut, region=region, model=made_model))
    assert distance(found, whole[y : y + height, x : x + width]).max() <= 1


def test_a_region_with_alpha_and_grey() -> None:
    alpha = np.arange(60 * 80, dtype=np.uint8).reshape(60, 80)
    image = Image.fromarray(photo(60, 80)).convert("L")
    image.putalpha(Image.fromarray(alpha))
    data = rgru_codec.compress(image, layers=1)
    part = rgru_codec.decompress(data, region=(10, 20, 30, 5))
    assert (part.mode, part.size) == ("LA", (30, 5))
    assert (np.asarray(part)[..., 1] == alpha[20:25, 10:40]).all()


@pytest.mark.parametrize("region", [(0, 0, 41, 1), (40, 0, 1, 1), (-1, 0, 5, 5), (0, 0, 0, 3)])
def test_a_region_outside_is_refused(data: bytes, region: tuple[int, int, int, int]) -> None:
    with pytest.raises(rgru_codec.InvalidInput, match="does not lie in the picture"):
        rgru_codec.decompress(data, region=region)


def test_a_region_touches_what_it_needs(
    made_model: Model, small_windows: None, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Of a wide picture only the windows around the region are worked on."""
    seen: list[Rect] = []
    maker: Any = best_engine()
    original = maker.step

    def step(self: object, sources: object, window: Rect) -> object:
        seen.append(window)
        return original(self, sources, window)

    data = rgru_codec.compress(scaled(64, 6000), layers=2, model=made_model)
    monkeypatch.setattr(maker, "step", step)
    rgru_codec.decompress(data, region=(3000, 0, 64, 64), model=made_model)
    half = made_model.half
    reach = windows.border_of(half.P.reach) + 2 * windows.border_of(half.D.reach)
    assert len(seen) >= 3
    assert sum(window.width for window in seen) <= len(seen) * (64 + 16 + 2 * reach)


def test_limits_are_checked_before_work() -> None:
    pixels = np.zeros((64, 64, 3), np.uint8)
    with pytest.raises(rgru_codec.LimitExceeded, match="max_memory"):
        rgru_codec.compress(pixels, limits=rgru_codec.Limits(max_memory=10**6))
    enough = rgru_codec.Limits(max_memory=encoding_bytes(default_model(), 64, 64))
    assert rgru_codec.compress(pixels, layers=1, limits=enough)


def test_a_region_of_a_large_picture_needs_less_memory() -> None:
    model = default_model()
    whole = decoding_bytes(model, 10_000, 10_000)
    assert decoding_bytes(model, 10_000, 10_000, Rect(0, 512, 0, 512)) < whole / 1.5


def test_a_hundred_megapixels_are_planned_below_three_gibibytes() -> None:
    model = default_model()
    program = 150 * 10**6
    assert encoding_bytes(model, 10_000, 10_000) + program < 3 * 2**30
    assert decoding_bytes(model, 10_000, 10_000) + program < 3 * 2**30


PROCESS = """
import sys, resource
import numpy as np
from rgru_codec.models import default_model
import rgru_codec, rgru_codec.cli.compress, rgru_codec.cli.decompress
import PIL.PngImagePlugin
from rgru_codec.cli import main

def peak():
    if sys.platform == "linux":  # ru_maxrss would start from the peak of the parent
        status = open("/proc/self/status").read()
        return 1024 * int(status.split("VmHWM:")[1].split()[0])
    return resource.getrusage(resource.RUSAGE_SELF).ru_maxrss

rgru_codec.decompress(rgru_codec.compress(np.zeros((16, 16, 3), np.uint8), layers=1))
before = peak()
assert main(sys.argv[1:]) == 0
print(before, peak())
"""


def peak_of(*command: object) -> tuple[int, int]:
    """Peak resident memory of a process before and after a command, in bytes."""
    root = Path(__file__).parents[2]
    paths = os.pathsep.join([str(root), str(root / "format")])
    result = subprocess.run(
        [sys.executable, "-c", PROCESS, *map(str, command)],
        capture_output=True,
        text=True,
        check=True,
        env={**os.environ, "PYTHONPATH": paths, "OPENBLAS_NUM_THREADS": "1"},
    )
    before, after = result.stdout.split()
    return int(before), int(after)


@pytest.fixture(scope="module")
def large(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Path]:
    """A picture of 4 megapixels."""
    path = tmp_path_factory.mktemp("large") / "a.ppm"
    Image.fromarray(scaled(1600, 2500)).save(path)
    yield path
    path.unlink()


@pytest.mark.skipif(sys.platform == "win32", reason="no getrusage here")
def test_memory_is_what_was_said(large: Path) -> None:
    """The estimate is not exceeded, and is not several times too large either."""
    model, size = default_model(), (1600, 2500)
    packed = large.with_suffix(".rgru")
    before, after = peak_of("compress", large, "-l", 2)
    assert encoding_bytes(model, *size) / 3 < after - before < encoding_bytes(model, *size)
    before, after = peak_of("decompress", packed, "-o", large.with_name("b.ppm"))
    assert decoding_bytes(model, *size) / 3 < after - before < decoding_bytes(model, *size)


@pytest.mark.slow
@pytest.mark.skipif(sys.platform == "win32", reason="no getrusage here")
def test_a_hundred_megapixels_take_less_than_three_gibibytes(tmp_path: Path) -> None:
    """Slow: several minutes of arithmetic, and 100 megapixels are what the promise is about."""
    tile = np.asarray(Image.fromarray(photo(400, 340)).resize((2500, 2500)))
    Image.fromarray(np.tile(tile, (4, 4, 1))).save(tmp_path / "a.png", compress_level=1)
    options = ("--max-pixels", "100M")
    _, after = peak_of("compress", tmp_path / "a.png", *options)
    assert after < 3 * 2**30
    packed = tmp_path / "a.rgru"
    _, after = peak_of("decompress", packed, "-o", tmp_path / "b.png", *options)
    assert after < 3 * 2**30
