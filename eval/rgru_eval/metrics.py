"""How close a decoded picture is to its source. All metrics see 8-bit rounded pictures.

MS-SSIM (Wang, Simoncelli, Bovik 2003) with the constants of ``tf.image.ssim_multiscale``:
11-tap Gaussian of sigma 1.5, valid windows only, K1 = 0.01, K2 = 0.03, five scales with the
weights below, 2x2 means between scales (an odd side repeats its last row), negative terms set
to 0, product over scales for each channel, then the mean over channels.

Small pictures. Five scales need a shorter side of at least 161 pixels. A smaller picture uses
as many scales as leave 11 pixels at the coarsest one, with the first weights divided by their
sum; a side shorter than 11 is first extended to 11 by reflection. Results say how many scales
were used, because values with different numbers of scales do not compare.
"""

from __future__ import annotations

import importlib
import importlib.util
import io
import math
from collections.abc import Callable, Iterable, Sequence
from typing import TYPE_CHECKING

import numpy as np
import numpy.typing as npt

from rgru_eval.pictures import EvalError, pixels_of

if TYPE_CHECKING:
    from PIL.Image import Image

Planes = npt.NDArray[np.float32]

WEIGHTS = (0.0448, 0.2856, 0.3001, 0.2363, 0.1333)
WINDOW = 11
SIGMA = 1.5
C1 = (0.01 * 255) ** 2
C2 = (0.03 * 255) ** 2

DEFINITIONS = {
    "msssim_rgb": "MS-SSIM, mean of R, G and B; constants of tf.image.ssim_multiscale",
    "msssim_luma": "MS-SSIM of luma (ITU-R 601: 0.299 R + 0.587 G + 0.114 B, rounded to 8 bits)",
    "psnr": "PSNR in dB from the mean squared error over all channels, per picture",
    "ssim": "SSIM, mean of the channels; scikit-image, Gaussian of sigma 1.5, data range 255",
    "ssimulacra2": "SSIMULACRA2 by the ssimulacra2 package: 100 = no difference seen, may be < 0",
}
GROUPS = {
    "msssim": ("msssim_rgb", "msssim_luma"),
    "psnr": ("psnr",),
    "ssim": ("ssim",),
    "ssimulacra2": ("ssimulacra2",),
}
SMALLEST = {"ssim": WINDOW, "ssimulacra2": 8}  # shorter sides have no value
DEFAULT_METRICS = ("msssim", "psnr", "ssim")


def _gaussian() -> npt.NDArray[np.float32]:
    """Return the 11 taps, sum 1."""
    offsets = np.arange(WINDOW) - WINDOW // 2
    taps = np.exp(-0.5 * (offsets / SIGMA) ** 2)
    return np.asarray(taps / taps.sum(), dtype=np.float32)


_TAPS = _gaussian()


def _part(planes: Planes, axis: int, start: int, span: int) -> Planes:
    """A view of ``span`` rows or columns from ``start`` on."""
    index = [slice(None)] * planes.ndim
    index[axis] = slice(start, start + span)
    return planes[tuple(index)]


def _blur(planes: Planes) -> Planes:
    """Gaussian mean over valid windows: (c, h, w) -> (c, h - 10, w - 10)."""
    middle = WINDOW // 2
    for axis in (2, 1):
        span = planes.shape[axis] - WINDOW + 1
        total = _TAPS[middle] * _part(planes, axis, middle, span)
        for i in range(middle):  # the taps are symmetric: half the products
            mirrored = _part(planes, axis, WINDOW - 1 - i, span)
            total += _TAPS[i] * (_part(planes, axis, i, span) + mirrored)
        planes = total
    return planes


def _halve(planes: Planes) -> Planes:
    """2x2 means: (c, h, w) -> (c, ceil(h / 2), ceil(w / 2))."""
    _, h, w = planes.shape
    if h % 2 or w % 2:
        planes = np.pad(planes, ((0, 0), (0, h % 2), (0, w % 2)), mode="edge")
    total = planes[:, 0::2, 0::2] + planes[:, 0::2, 1::2]
    total += planes[:, 1::2, 0::2]
    total += planes[:, 1::2, 1::2]
    return total * np.float32(0.25)


def scales_for(height: int, width: int) -> int:
    """Return how many scales (1..5) a picture of this size allows; see the rule above."""
    side, scales = max(min(height, width), WINDOW), 0
    while side >= WINDOW and scales < len(WEIGHTS):
        side, scales = math.ceil(side / 2), scales + 1
    return scales


def _planes(samples: npt.NDArray[np.uint8]) -> Planes:
    """(h, w, c) uint8 -> (c, h, w) float32, sides below 11 extended by reflection."""
    planes = np.moveaxis(samples, 2, 0).astype(np.float32)
    grow = [max(0, WINDOW - n) for n in planes.shape[1:]]
    if any(grow):
        planes = np.pad(planes, ((0, 0), (0, grow[0]), (0, grow[1])), mode="symmetric")
    return np.ascontiguousarray(planes)


class MultiScaleSSIM:
    """MS-SSIM against one source picture, whose statistics are computed once.

    ``samples``: uint8, shape (h, w, c). Calling it with decoded samples of the same shape gives
    the values of the channels, shape (c,), each 0..1.
    """

    def __init__(self, samples: npt.NDArray[np.uint8]) -> None:
        self.shape = samples.shape
        self.scales = scales_for(*samples.shape[:2])
        used = np.array(WEIGHTS[: self.scales])
        self.weights = used / used.sum() if self.scales < len(WEIGHTS) else used
        self._levels: list[tuple[Planes, Planes]] = []
        planes = _planes(samples)
        for scale in range(self.scales):
            planes = _halve(planes) if scale else planes
            self._levels.append((planes, _blur(planes)))

    def __call__(self, decoded: npt.NDArray[np.uint8]) -> npt.NDArray[np.float64]:
        """Return one value a channel; raises ValueError when the shapes differ."""
        if decoded.shape != self.shape:
            raise ValueError(f"shape {decoded.shape} compared with {self.shape}")
        planes = _planes(decoded)
        product = np.ones(self.shape[2])
        for scale, (source, source_mean) in enumerate(self._levels):
            planes = _halve(planes) if scale else planes
            last = scale == self.scales - 1
            term = _term(source, source_mean, planes, with_luminance=last)
            product *= np.maximum(term, 0) ** self.weights[scale]
        return product


def _term(x: Planes, mean_x: Planes, y: Planes, *, with_luminance: bool) -> npt.NDArray[np.float64]:
    """Mean contrast-structure term of each channel, times luminance at the coarsest scale."""
    mean_y = _blur(y)
    cross = mean_x * mean_y
    squares = mean_x * mean_x + mean_y * mean_y
    structure = (2 * (_blur(x * y) - cross) + C2) / (_blur(x * x + y * y) - squares + C2)
    if with_luminance:
        structure *= (2 * cross + C1) / (squares + C1)
    return np.asarray(structure.mean(axis=(1, 2), dtype=np.float64))


def luma(image: Image) -> npt.NDArray[np.uint8]:
    """Luma of an RGB or grey picture, uint8, shape (h, w, 1)."""
    return pixels_of(image.convert("L"))


def to_db(msssim: float) -> float:
    """-10 log10(1 - MS-SSIM), the scale of the plots; 1 gives infinity."""
    return math.inf if msssim >= 1 else -10 * math.log10(1 - msssim)


class Judge:
    """All wanted metrics of decoded pictures against one source (mode RGB or L).

    ``wanted`` holds names of GROUPS. Grey pictures have one channel, so both MS-SSIM values
    are the same there.
    """

    def __init__(self, source: Image, wanted: Iterable[str] = DEFAULT_METRICS) -> None:
        self.source = source
        self.samples = pixels_of(source)
        self.grey = source.mode == "L"
        self._rgb = MultiScaleSSIM(self.samples)
        self._luma = self._rgb if self.grey else MultiScaleSSIM(luma(source))
        self.wanted = tuple(wanted)

    @property
    def scales(self) -> int:
        """How many scales MS-SSIM uses for this picture (5 unless it is small)."""
        return self._rgb.scales

    def __call__(self, decoded: Image, wanted: Sequence[str] | None = None) -> dict[str, float]:
        """Return metric name -> value for a decoded picture of the same size and mode.

        A metric that cannot be computed for this picture is absent. Raises EvalError when the
        decoded picture has another size.
        """
        if decoded.size != self.source.size:
            got, want = decoded.size, self.source.size
            raise EvalError(f"decoded to {got[0]}x{got[1]} instead of {want[0]}x{want[1]}")
        if decoded.mode != self.source.mode:
            decoded = decoded.convert(self.source.mode)
        values: dict[str, float] = {}
        for group in self.wanted if wanted is None else wanted:
            values.update(_COMPUTE[group](self, decoded))
        return values

    def msssim(self, decoded: Image) -> float:
        """MS-SSIM over RGB (or grey) alone: what searches need, quickly."""
        return float(self._rgb(pixels_of(decoded.convert(self.source.mode))).mean())

    def _both_msssim(self, decoded: Image) -> dict[str, float]:
        rgb = float(self._rgb(pixels_of(decoded)).mean())
        grey = rgb if self.grey else float(self._luma(luma(decoded)).mean())
        return {"msssim_rgb": rgb, "msssim_luma": grey}

    def _psnr(self, decoded: Image) -> dict[str, float]:
        from skimage.metrics import peak_signal_noise_ratio

        other = pixels_of(decoded)
        if np.array_equal(self.samples, other):
            return {}  # infinite: JSON has no such number, and no mean survives it
        return {"psnr": float(peak_signal_noise_ratio(self.samples, other, data_range=255))}

    def _ssim(self, decoded: Image) -> dict[str, float]:
        from skimage.metrics import structural_similarity

        if min(self.source.size) < SMALLEST["ssim"]:
            return {}
        value = structural_similarity(  # these arguments match tf.image.ssim, the defaults do not
            self.samples.astype(np.float32),  # float64 takes twice the time for the same digits
            pixels_of(decoded).astype(np.float32),
            channel_axis=2,
            data_range=255,
            gaussian_weights=True,
            sigma=SIGMA,
            use_sample_covariance=False,
        )
        return {"ssim": float(value)}

    def _ssimulacra2(self, decoded: Image) -> dict[str, float]:
        if min(self.source.size) < SMALLEST["ssimulacra2"]:
            return {}
        files = [io.BytesIO(), io.BytesIO()]
        for image, file in zip((self.source, decoded), files, strict=True):
            image.convert("RGB").save(file, "BMP")
        package = importlib.import_module("ssimulacra2")
        return {"ssimulacra2": float(package.compute_ssimulacra2(*files))}


_COMPUTE: dict[str, Callable[[Judge, Image], dict[str, float]]] = {
    "msssim": Judge._both_msssim,
    "psnr": Judge._psnr,
    "ssim": Judge._ssim,
    "ssimulacra2": Judge._ssimulacra2,
}


def parse_metrics(text: str) -> tuple[str, ...]:
    """``msssim,psnr`` or ``all`` -> names of GROUPS; MS-SSIM is always among them."""
    names = list(GROUPS) if text == "all" else [t.strip() for t in text.split(",") if t.strip()]
    for name in names:
        if name not in GROUPS:
            raise EvalError(f"no metric '{name}'; there are: {', '.join(GROUPS)}, or 'all'")
    return tuple(g for g in GROUPS if g in names or g == "msssim")


def metric_names(groups: Sequence[str], side: int) -> set[str]:
    """Return the metrics of these groups that a picture with this shorter side can have."""
    return {n for g in groups for n in GROUPS[g] if side >= SMALLEST.get(n, 1)}


def check_metrics(wanted: Sequence[str]) -> None:
    """Raise EvalError if a package that a wanted metric needs is not installed."""
    needs = {"psnr": "skimage", "ssim": "skimage", "ssimulacra2": "ssimulacra2"}
    for group in wanted:
        module = needs.get(group)
        if module and importlib.util.find_spec(module) is None:
            raise EvalError(
                f"metric '{group}' needs the module '{module}': pip install 'rgru-codec[eval]',"
                f" or leave it out with --metrics"
            )
