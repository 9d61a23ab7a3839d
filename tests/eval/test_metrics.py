from __future__ import annotations

from typing import Any

import numpy as np
import pytest
from numpy.typing import NDArray
from PIL import Image

from rgru_codec.metrics import psnr
from rgru_codec.msssim import WEIGHTS, Original, count_scales, ms_ssim
from rgru_eval.errors import EvalError
from rgru_eval.judge.metrics import METRICS, Judge, luma, parse_metrics

skimage_data = pytest.importorskip("skimage.data")


Pixels = NDArray[np.uint8]


def noisy(samples: Pixels, strength: float = 20, seed: int = 0) -> Pixels:
    noise = np.random.default_rng(seed).normal(0, strength, samples.shape)
    return np.clip(samples + noise, 0, 255).astype(np.uint8)


def test_threads_share_work_on_the_same_value() -> None:
    a, b = (
        np.random.default_rng(seed).integers(0, 256, (600, 200, 3), np.uint8) for seed in (0, 1)
    )
    assert ms_ssim(a, b, threads=3) == pytest.approx(ms_ssim(a, b), rel=1e-12)
    least = 1.0  # out of reach: what comes back lies between the value and it
    assert ms_ssim(a, b) <= Original(a, 3).ms_ssim(b, least=least) < least


@pytest.mark.parametrize("size", [(161, 161), (255, 173), (300, 451)])
def test_equals_tensorflow_on_rgb_and_luma(size: Any) -> None:
    tf = pytest.importorskip("tensorflow")
    photo = skimage_data.astronaut()[: size[0], : size[1]]
    for other in (noisy(photo), photo // 2):
        want = float(tf.image.ssim_multiscale(photo, other, 255))
        assert ms_ssim(photo, other) == pytest.approx(want, abs=1e-4)
        x, y = luma(Image.fromarray(photo)), luma(Image.fromarray(other))
        want = float(tf.image.ssim_multiscale(x, y, 255))
        assert ms_ssim(x, y) == pytest.approx(want, abs=1e-4)


def test_small_pictures_equal_tensorflow_with_fewer_renormalised_scales() -> None:
    tf = pytest.importorskip("tensorflow")
    photo = skimage_data.astronaut()[100:220, 80:300]
    assert count_scales(*photo.shape[:2]) == 4
    weights = np.array(WEIGHTS[:4]) / sum(WEIGHTS[:4])
    want = float(tf.image.ssim_multiscale(photo, noisy(photo), 255, power_factors=list(weights)))
    assert ms_ssim(photo, noisy(photo)) == pytest.approx(want, abs=1e-4)


def test_ssim_equals_tensorflow() -> None:
    tf = pytest.importorskip("tensorflow")
    photo = skimage_data.astronaut()[:200, :240]
    judge = Judge(Image.fromarray(photo), ["ssim"])
    want = float(tf.image.ssim(photo, noisy(photo), 255))
    assert judge(Image.fromarray(noisy(photo)))["ssim"] == pytest.approx(want, abs=1e-4)


@pytest.mark.parametrize(
    ("side", "scales"), [(1, 1), (10, 1), (11, 1), (20, 1), (21, 2), (160, 4), (161, 5), (999, 5)]
)
def test_number_of_scales(side: int, scales: int) -> None:
    assert count_scales(side, 1000) == scales
    assert count_scales(1000, side) == scales


@pytest.mark.parametrize("shape", [(1, 1, 3), (1, 40, 3), (7, 3, 1), (11, 12, 3), (30, 161, 3)])
def test_tiny_pictures_have_a_value(shape: Any) -> None:
    samples = np.random.default_rng(1).integers(0, 256, shape, dtype=np.uint8)
    assert ms_ssim(samples, samples) == pytest.approx(1)
    assert ms_ssim(samples, 255 - samples) < 1


def test_grey_pictures_have_one_value_for_both_variants() -> None:
    grey = Image.fromarray(skimage_data.camera()[:200, :200])
    values = Judge(grey)(Image.fromarray(noisy(np.asarray(grey))))
    assert values["msssim_rgb"] == values["msssim_luma"] < 1


def test_identical_pictures() -> None:
    photo = Image.fromarray(skimage_data.astronaut()[:170, :170])
    values = Judge(photo, ["msssim", "psnr"])(photo)
    assert values["msssim_rgb"] == pytest.approx(1)
    assert values["psnr"] == 100  # infinite
    assert list(METRICS["msssim_rgb"].scaled([1.0, 0.99])) == pytest.approx([100, 20])


def test_wrong_size_is_told() -> None:
    judge = Judge(Image.new("RGB", (20, 20)))
    with pytest.raises(EvalError, match="decoded to 19x20 instead of 20x20"):
        judge(Image.new("RGB", (19, 20)))
    with pytest.raises(ValueError, match="shape"):
        ms_ssim(np.zeros((20, 20, 3), np.uint8), np.zeros((20, 21, 3), np.uint8))
    with pytest.raises(ValueError, match="differ in shape"):
        psnr(np.zeros((20, 20, 3), np.uint8), np.zeros((20, 20, 1), np.uint8))


def test_ssimulacra2_when_installed() -> None:
    pytest.importorskip("ssimulacra2")
    photo = skimage_data.astronaut()[:128, :128]
    judge = Judge(Image.fromarray(photo), ["ssimulacra2"])
    near, far = (judge(Image.fromarray(noisy(photo, s)))["ssimulacra2"] for s in (2, 40))
    assert 100 > near > far


def test_metric_names() -> None:
    assert parse_metrics("psnr") == ("msssim", "psnr")
    assert parse_metrics("all") == ("msssim", "ssimulacra2", "psnr", "ssim", "colour")
    with pytest.raises(EvalError, match="no metric 'vmaf'; there are: msssim"):
        parse_metrics("vmaf")


def test_colour_is_the_difference_of_means_of_blocks() -> None:
    from skimage.color import deltaE_ciede2000, rgb2lab

    photo = Image.fromarray(skimage_data.astronaut()[:170, :165])
    tinted = Image.fromarray(np.asarray(photo) // 2 + 60)
    values = Judge(photo, ["colour"])(tinted)
    blocks = [
        [
            np.asarray(image)[y : y + 8, x : x + 8].mean(axis=(0, 1))
            for y in range(0, 170, 8)
            for x in range(0, 165, 8)
        ]
        for image in (photo, tinted)
    ]
    labs = [rgb2lab(np.array(means)[None] / 255) for means in blocks]
    wanted = deltaE_ciede2000(*labs)
    assert values["colour_mean"] == pytest.approx(wanted.mean())
    assert values["colour_p95"] == pytest.approx(np.percentile(wanted, 95))


def test_noise_that_leaves_means_alone_has_no_colour() -> None:
    checkers = np.full((16, 16, 3), 100, np.uint8)
    checkers[::2, ::2] += 40
    flat = np.full((16, 16, 3), 110, np.uint8)
    assert Judge(Image.fromarray(flat), ["colour"])(Image.fromarray(checkers))["colour_mean"] < 1e-9


def test_grey_and_tiny_pictures_have_a_colour() -> None:
    values = Judge(Image.new("L", (3, 1), 10), ["colour"])(Image.new("L", (3, 1), 12))
    assert 0 < values["colour_mean"] == values["colour_p95"] < 3
