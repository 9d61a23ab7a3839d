"""How close a decoded picture is to its source. All metrics see 8-bit rounded pictures.

MS-SSIM is that of ``rgru_codec.msssim``, where its rule for small pictures stands. Results say how
many scales were used, because values with different numbers of scales do not compare.
"""

from __future__ import annotations

import importlib.util
from collections.abc import Iterable, Sequence
from dataclasses import dataclass

import numpy as np
import numpy.typing as npt
from PIL.Image import Image

from rgru_codec.metrics import colour_differences, decibels, ms_ssim, psnr, ssimulacra2
from rgru_eval.errors import EvalError
from rgru_eval.measure.pictures import pixels_of

Floats = npt.NDArray[np.float64]
LOSSLESS_DB = 100.0
"""Where curves end whose MS-SSIM is 1, and PSNR."""


@dataclass(frozen=True)
class Metric:
    """One measured value: how it is called, what it is, and where curves are compared."""

    title: str
    definition: str
    targets: tuple[float, ...]
    """Qualities at which the tables give the rate."""
    digits: int
    """Decimals that mean something."""
    decibels: bool = False
    """Whether curves are drawn and interpolated as -10 log10(1 - value)."""
    falling: bool = False
    """Whether smaller is better."""

    def scaled(self, values: npt.ArrayLike) -> Floats:
        """Return values on the scale of curves, where more is better; MS-SSIM 1 is 100 dB."""
        array: Floats = np.asarray(values, np.float64)
        if self.decibels:
            return np.minimum(decibels(array), LOSSLESS_DB)
        return -array if self.falling else array

    def unscaled(self, value: float) -> float:
        """Return the value that stands at a place of that scale."""
        if self.decibels:
            return 1 - 10 ** (-value / 10)
        return -value if self.falling else value


METRICS = {
    "msssim_rgb": Metric(
        "RGB MS-SSIM",
        "MS-SSIM, mean of R, G and B; constants of tf.image.ssim_multiscale",
        (0.90, 0.95, 0.98),
        6,
        decibels=True,
    ),
    "msssim_luma": Metric(
        "luma MS-SSIM",
        "MS-SSIM of luma (ITU-R 601: 0.299 R + 0.587 G + 0.114 B, rounded to 8 bits)",
        (0.90, 0.95, 0.98),
        6,
        decibels=True,
    ),
    "ssimulacra2": Metric(
        "SSIMULACRA2",
        "SSIMULACRA2 by the ssimulacra2 package: 100 = no difference seen, may be < 0",
        (30, 50, 70),
        3,
    ),
    "psnr": Metric(
        "PSNR in dB",
        "PSNR in dB from the mean squared error over all channels, per picture, 100 at most",
        (28, 30, 32),
        3,
    ),
    "ssim": Metric(
        "SSIM",
        "SSIM, mean of the channels; scikit-image, Gaussian of sigma 1.5, data range 255",
        (0.80, 0.90, 0.95),
        5,
    ),
    "colour_mean": Metric(
        "colour difference, mean",
        "mean of CIEDE2000 between the sRGB means of blocks of 8x8 pixels, D65; less is better",
        (2, 1.5, 1),
        3,
        falling=True,
    ),
    "colour_p95": Metric(
        "colour difference, 95 %",
        "95th percentile of the same over the blocks of a picture; less is better",
        (4, 3, 2),
        3,
        falling=True,
    ),
}
MS_SSIM = METRICS["msssim_rgb"]
# What is asked for, and what it gives, in order: Judge has a method for each.
GROUPS = {
    "msssim": ("msssim_rgb", "msssim_luma"),
    "ssimulacra2": ("ssimulacra2",),
    "psnr": ("psnr",),
    "ssim": ("ssim",),
    "colour": ("colour_mean", "colour_p95"),
}
SMALLEST = {"ssim": 11, "ssimulacra2": 8}  # shorter sides have no value


def luma(image: Image) -> npt.NDArray[np.uint8]:
    """Luma of an RGB or grey picture, uint8, shape (h, w, 1)."""
    return pixels_of(image.convert("L"))


class Judge:
    """All wanted metrics of decoded pictures against one source (mode RGB or L).

    ``wanted`` holds names of GROUPS. Grey pictures have one channel, so both MS-SSIM values
    are the same there.
    """

    def __init__(self, source: Image, wanted: Iterable[str] = ("msssim",)) -> None:
        self.source = source
        self.samples = pixels_of(source)
        self.grey = source.mode == "L"
        self._luma = self.samples if self.grey else luma(source)
        self.wanted = tuple(wanted)

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
            if min(self.source.size) >= SMALLEST.get(group, 1):
                values |= zip(GROUPS[group], getattr(self, f"_{group}")(decoded), strict=True)
        return values

    def msssim(self, decoded: Image) -> float:
        """MS-SSIM over RGB (or grey) alone: what searches need, quickly."""
        return ms_ssim(self.samples, pixels_of(decoded.convert(self.source.mode)))

    def _msssim(self, decoded: Image) -> tuple[float, ...]:
        rgb = ms_ssim(self.samples, pixels_of(decoded))
        return rgb, rgb if self.grey else ms_ssim(self._luma, luma(decoded))

    def _psnr(self, decoded: Image) -> tuple[float, ...]:
        return (min(psnr(self.samples, pixels_of(decoded)), LOSSLESS_DB),)  # JSON has no infinity

    def _colour(self, decoded: Image) -> tuple[float, ...]:
        difference = colour_differences(self.samples, pixels_of(decoded))
        return float(difference.mean()), float(np.percentile(difference, 95))

    def _ssim(self, decoded: Image) -> tuple[float, ...]:
        from skimage.metrics import structural_similarity

        value = structural_similarity(  # these arguments match tf.image.ssim, the defaults do not
            self.samples.astype(np.float32),  # float64 takes twice the time for the same digits
            pixels_of(decoded).astype(np.float32),
            channel_axis=2,
            data_range=255,
            gaussian_weights=True,
            sigma=1.5,
            use_sample_covariance=False,
        )
        return (float(value),)

    def _ssimulacra2(self, decoded: Image) -> tuple[float, ...]:
        return (ssimulacra2(self.samples, pixels_of(decoded)),)


def parse_metrics(text: str) -> tuple[str, ...]:
    """``msssim,psnr`` or ``all`` -> names of GROUPS; MS-SSIM is always among them."""
    names = list(GROUPS) if text == "all" else [t.strip() for t in text.split(",") if t.strip()]
    for name in names:
        if name not in GROUPS:
            raise EvalError(f"no metric '{name}'; there are: {', '.join(GROUPS)}, or 'all'")
    return tuple(g for g in GROUPS if g in names or g == "msssim")


def metric_names(groups: Sequence[str], side: int) -> set[str]:
    """Return the metrics of these groups that a picture with this shorter side can have."""
    return {name for g in groups if side >= SMALLEST.get(g, 1) for name in GROUPS[g]}


def check_metrics(wanted: Sequence[str]) -> None:
    """Raise EvalError if a package that a wanted metric needs is not installed."""
    needs = dict.fromkeys(("psnr", "ssim", "colour"), "skimage") | {"ssimulacra2": "ssimulacra2"}
    for group in wanted:
        module = needs.get(group)
        if module and importlib.util.find_spec(module) is None:
            raise EvalError(
                f"metric '{group}' needs the module '{module}': pip install 'rgru-codec[eval]',"
                f" or leave it out with --metrics"
            )
