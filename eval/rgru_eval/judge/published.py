"""Published curves, drawn dotted beside the measured ones, with their source.

The papers count bits before entropy coding (Toderici) or ideal code length (Johnston): none of
these points is a file on a disk. Values from the authors' data in the repository
tensorflow/compression (Apache-2.0), folder results/image_compression/kodak, files
``{MS-SSIM,PSNR}_sRGB_RGB/toderici-2017-cvpr.txt`` and ``johnston-2017-cvpr.txt``; of the latter
every few points. Mean of the 24 Kodak pictures at constant setting.
"""

from __future__ import annotations

from dataclasses import dataclass

from rgru_eval.judge.curves import Group
from rgru_eval.results import Results

_DATA = "authors' data in tensorflow/compression, results/image_compression/kodak (Apache-2.0)"


@dataclass(frozen=True)
class Published:
    """A curve of a paper: bpp, mean RGB MS-SSIM and mean PSNR in dB at the same points."""

    name: str
    source: str
    note: str
    bpp: tuple[float, ...]
    msssim_rgb: tuple[float, ...]
    psnr: tuple[float, ...]


TODERICI_2017 = Published(
    "Toderici et al. 2017",
    f"arXiv 1608.05148 (CVPR 2017); {_DATA}",
    "Residual GRU one-shot, before entropy coding",
    tuple(k / 8 for k in range(1, 17)),
    (
        *(0.8191, 0.9037, 0.93747, 0.95384, 0.96357, 0.97151, 0.97578, 0.97959),
        *(0.98219, 0.98394, 0.98584, 0.98683, 0.98782, 0.98834, 0.98849, 0.98872),
    ),
    (
        *(23.01408, 25.64631, 27.14417, 28.2671, 29.28139, 30.14441, 30.94135, 31.61794),
        *(32.2246, 32.76169, 33.21572, 33.62663, 33.9555, 34.23728, 34.4675, 34.63004),
    ),
)

JOHNSTON_2018 = Published(
    "Johnston et al. 2018",
    f"arXiv 1703.10114 (CVPR 2018); {_DATA}",
    "priming, spatially adaptive bit rates, entropy coding counted as ideal code length",
    (
        *(0.0984, 0.123147, 0.216631, 0.266381, 0.316397, 0.366377, 0.416378, 0.46634),
        *(0.514605, 0.564585, 0.614593, 0.664594, 0.714583, 0.763244, 0.813254, 0.913244),
        *(1.012682, 1.112645, 1.212635, 1.312007, 1.412006, 1.511412, 1.611415, 1.711365),
        *(1.810739, 1.91075, 1.960025),
    ),
    (
        *(0.89174, 0.906121, 0.941519, 0.951293, 0.958758, 0.964417, 0.967792, 0.971446),
        *(0.974306, 0.976936, 0.978877, 0.980531, 0.981985, 0.983211, 0.984693, 0.986412),
        *(0.988033, 0.989331, 0.990265, 0.991296, 0.99199, 0.992705, 0.993327, 0.9938),
        *(0.994177, 0.994446, 0.994538),
    ),
    (
        *(25.042694, 25.873829, 27.263388, 28.221591, 28.994437, 29.404068, 30.037679, 30.36737),
        *(30.598548, 31.228484, 31.430022, 31.979668, 32.151746, 32.287842, 33.077149, 33.666788),
        *(33.971809, 34.490851, 34.957627, 35.429446, 36.023957, 36.245657, 36.601528, 36.758485),
        *(36.8723, 36.946425, 36.972114),
    ),
)

PUBLISHED = (TODERICI_2017, JOHNSTON_2018)


def is_kodak(results: Results, group: Group) -> bool:
    """Tell whether a group is the 24 pictures of Kodak, beside which these curves belong."""
    images = [results.pictures[image] for image in group.images]
    sizes = [(about["width"], about["height"]) for about in images]
    return len(sizes) == 24 and sizes.count((768, 512)) == 18 and sizes.count((512, 768)) == 6
