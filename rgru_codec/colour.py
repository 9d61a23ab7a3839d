"""What the numbers of a picture mean: chromaticities and a curve, as code points and as ICC.

Code points are those of ITU-T H.273: colour primaries (table 2) and transfer characteristics
(table 3). A profile that this module makes is a matrix with curves (ICC.1:2022, 8.3.2), adapted
to D50 by the Bradford transform (annex E).
"""

from __future__ import annotations

import dataclasses
import functools
import struct

import numpy as np
from numpy.typing import NDArray

from rgru_format.context.exact import reserve

Floats = NDArray[np.float64]

SRGB_CURVE = 13
_D65, _C, _E, _DCI = (0.3127, 0.3290), (0.310, 0.316), (1 / 3, 1 / 3), (0.314, 0.351)
_SMPTE_C = (*_D65, 0.630, 0.340, 0.310, 0.595, 0.155, 0.070)
PRIMARIES = {
    1: (*_D65, 0.640, 0.330, 0.300, 0.600, 0.150, 0.060),
    4: (*_C, 0.67, 0.33, 0.21, 0.71, 0.14, 0.08),
    5: (*_D65, 0.64, 0.33, 0.29, 0.60, 0.15, 0.06),
    6: _SMPTE_C,
    7: _SMPTE_C,
    8: (*_C, 0.681, 0.319, 0.243, 0.692, 0.145, 0.049),
    9: (*_D65, 0.708, 0.292, 0.170, 0.797, 0.131, 0.046),
    10: (*_E, 1.0, 0.0, 0.0, 1.0, 0.0, 0.0),
    11: (*_DCI, 0.680, 0.320, 0.265, 0.690, 0.150, 0.060),
    12: (*_D65, 0.680, 0.320, 0.265, 0.690, 0.150, 0.060),
    22: (*_D65, 0.630, 0.340, 0.295, 0.605, 0.155, 0.077),
}
"""x and y of white, red, green and blue, by code point."""

_NAMES = {1: "sRGB primaries", 9: "BT.2020", 11: "DCI-P3", 12: "Display P3"}
_GAMMAS = {4: 2.2, 5: 2.8, 8: 1.0, 17: 2.6}
_BT709 = (1 / 0.45, 1 / 1.099, 0.099 / 1.099, 1 / 4.5, 0.081)
_PIECES = {  # (a·x + b)^g from d on, c·x below
    13: (2.4, 1 / 1.055, 0.055 / 1.055, 1 / 12.92, 0.04045),
    7: (1 / 0.45, 1 / 1.1115, 0.1115 / 1.1115, 1 / 4.0, 0.0913),
} | dict.fromkeys((1, 6, 14, 15), _BT709)
_SAMPLED = (16, 18)
_SAMPLES = 4096
_MATRIX_TOLERANCE = 0.0015
"""Of an entry of the matrix to XYZ: below half a level of 8 bits."""
_CURVE_TOLERANCE = 1 / 255
_SRGB_GAMMA_TOLERANCE = 0.01
"""A gamma of 1/2.2 in a PNG stands for sRGB's curve, as libpng has it."""

_BRADFORD = np.array(
    [[0.8951, 0.2664, -0.1614], [-0.7502, 1.7135, 0.0367], [0.0389, -0.0685, 1.0296]]
)
_D50 = np.array([0.9642, 1.0, 0.8249])


@dataclasses.dataclass(frozen=True)
class ColourSpace:
    """Chromaticities and the curve from values to light."""

    chromaticities: tuple[float, ...]
    """x and y of white, red, green and blue."""
    transfer: int | None
    """A code point, or None: ``gamma`` tells."""
    gamma: float = 1.0
    """Light is the value (0..1) to this power."""

    @property
    def primaries(self) -> int | None:
        """The code point of these chromaticities (three decimals), if they have one."""
        for code, known in PRIMARIES.items():
            if np.abs(np.subtract(known, self.chromaticities)).max() < 0.0015:
                return code
        return None

    @property
    def code_points(self) -> tuple[int, int] | None:
        """Primaries and transfer, if both have a code point."""
        primaries = self.primaries
        if primaries is None or self.transfer is None:
            return None
        return primaries, self.transfer

    @property
    def is_srgb(self) -> bool:
        """Whether this is what a picture means that says nothing."""
        return self.code_points == (1, SRGB_CURVE)


def of_code_points(primaries: int, transfer: int) -> ColourSpace | None:
    """Return what two code points mean; None if they, or one of them, say nothing here."""
    known = transfer in _GAMMAS or transfer in _PIECES or transfer in _SAMPLED
    if primaries not in PRIMARIES or not known:
        return None
    return ColourSpace(PRIMARIES[primaries], transfer)


def of_gamma(gamma: float | None, chromaticities: tuple[float, ...] | None) -> ColourSpace | None:
    """Return what the chunks gAMA and cHRM of a PNG mean (PNG 11.3.2.1 and 11.3.2.2).

    Args:
        gamma: As in the chunk, the exponent from light to values; None: sRGB's curve.
        chromaticities: White, red, green, blue; None: those of sRGB.
    """
    if chromaticities is not None and not _possible(chromaticities):
        return None
    places = chromaticities or PRIMARIES[1]
    if gamma is None or abs(gamma * 2.2 - 1) < _SRGB_GAMMA_TOLERANCE:
        return ColourSpace(places, SRGB_CURVE)
    if not 0.1 <= gamma <= 10:
        return None
    codes = (code for code, value in _GAMMAS.items() if abs(gamma * value - 1) < 0.001)
    return ColourSpace(places, next(codes, None), 1 / gamma)


def _possible(chromaticities: tuple[float, ...]) -> bool:
    if len(chromaticities) != 8 or min(chromaticities[1::2]) < 0 or chromaticities[1] <= 0:
        return False
    try:
        matrix = matrix_of(chromaticities)
    except (np.linalg.LinAlgError, ZeroDivisionError):
        return False
    return bool(np.isfinite(matrix).all() and np.abs(matrix).max() < 4)


def _xyz(x: float, y: float) -> Floats:
    return np.array([x, y, 1 - x - y]) / max(y, 1e-9)


@functools.cache
def matrix_of(chromaticities: tuple[float, ...]) -> Floats:
    """Return the matrix (3, 3) from linear RGB to XYZ of D50, columns red, green and blue."""
    reserve()
    white = _xyz(*chromaticities[:2])
    columns = np.stack([_xyz(*chromaticities[n : n + 2]) for n in (2, 4, 6)], axis=1)
    native = columns * np.linalg.solve(columns, white)
    gains = (_BRADFORD @ _D50) / (_BRADFORD @ white)
    return np.linalg.solve(_BRADFORD, gains[:, None] * (_BRADFORD @ native))


def to_light(colour: ColourSpace, values: Floats) -> Floats:
    """Return linear light 0..1 of values 0..1, for PQ and HLG relative to their peak."""
    code = colour.transfer
    if code in _PIECES:
        g, a, b, c, d = _PIECES[code]
        return np.where(values >= d, np.maximum(a * values + b, 0) ** g, c * values)
    if code == 16:  # SMPTE ST 2084
        power = values ** (1 / 78.84375)
        light = np.maximum(power - 0.8359375, 0) / (18.8515625 - 18.6875 * power)
        return np.asarray(light ** (1 / 0.1593017578125))
    if code == 18:  # ARIB STD-B67
        a, b, c = 0.17883277, 0.28466892, 0.55991073
        return np.where(values <= 0.5, values**2 / 3, (np.exp((values - c) / a) + b) / 12)
    return np.asarray(values ** (colour.gamma if code is None else _GAMMAS[code]))


def profile_of(colour: ColourSpace, grey: bool = False) -> bytes:
    """Make an ICC profile (version 4) of a colour; for grey pictures one of the curve alone."""
    curve = _curve(colour)
    white = _xyz_tag(_D50)
    if grey:
        tags = {b"wtpt": white, b"kTRC": curve}
    else:
        matrix = matrix_of(colour.chromaticities)
        names = (b"rXYZ", b"gXYZ", b"bXYZ")
        tags = {b"wtpt": white} | {n: _xyz_tag(matrix[:, i]) for i, n in enumerate(names)}
        tags |= dict.fromkeys((b"rTRC", b"gTRC", b"bTRC"), curve)
        if points := colour.code_points:
            tags[b"cicp"] = b"cicp\0\0\0\0" + bytes([*points, 0, 1])
    tags[b"desc"] = _text(_name(colour))
    tags[b"cprt"] = _text("No copyright, use freely")
    return _packed(tags, b"GRAY" if grey else b"RGB ")


def _name(colour: ColourSpace) -> str:
    places = _NAMES.get(colour.primaries or 0, "primaries of the picture")
    if colour.transfer is None or colour.transfer in _GAMMAS:
        gamma = colour.gamma if colour.transfer is None else _GAMMAS[colour.transfer]
        return f"{places}, gamma {gamma:.3g}"
    if colour.transfer == SRGB_CURVE:
        return places if colour.primaries == 12 else f"{places}, curve of sRGB"
    return f"{places}, transfer {colour.transfer} of H.273"


def _packed(tags: dict[bytes, bytes], space: bytes) -> bytes:
    """A profile of a display; equal tags share their place."""
    start = 128 + 4 + 12 * len(tags)
    table, body, places = struct.pack(">I", len(tags)), b"", dict[bytes, int]()
    for name, content in tags.items():
        if content not in places:
            places[content] = start + len(body)
            body += content + bytes(-len(content) % 4)
        table += name + struct.pack(">II", places[content], len(content))
    head = struct.pack(">I4xI4s4s4s", start + len(body), 0x04400000, b"mntr", space, b"XYZ ")
    head += struct.pack(">6H", 2026, 1, 1, 0, 0, 0) + b"acsp" + bytes(28) + _fixed(_D50)
    return head.ljust(128, b"\0") + table + body


def _fixed(values: Floats) -> bytes:
    return struct.pack(">3i", *(round(float(value) * 65536) for value in values))


def _xyz_tag(values: Floats) -> bytes:
    return b"XYZ \0\0\0\0" + _fixed(values)


def _text(text: str) -> bytes:
    encoded = text.encode("utf-16-be")
    return b"mluc\0\0\0\0" + struct.pack(">II4sII", 1, 12, b"enUS", len(encoded), 28) + encoded


def _curve(colour: ColourSpace) -> bytes:
    code = colour.transfer
    if code in _PIECES:
        numbers = (round(value * 65536) for value in _PIECES[code])
        return b"para\0\0\0\0" + struct.pack(">HH5i", 3, 0, *numbers)
    if code in _SAMPLED:
        light = to_light(colour, np.linspace(0, 1, _SAMPLES))
        sampled = np.rint(light / light[-1] * 65535).astype(">u2").tobytes()
        return b"curv\0\0\0\0" + struct.pack(">I", _SAMPLES) + bytes(sampled)
    gamma = colour.gamma if code is None else _GAMMAS[code]
    return b"para\0\0\0\0" + struct.pack(">HHi", 0, 0, round(gamma * 65536))


@np.errstate(all="ignore")  # of what a broken profile says
def of_profile(icc: bytes) -> ColourSpace | None:
    """Return what a profile says, if code points say the same within a level of 8 bits.

    Profiles with tables (A2B) are never the same: another rendering intent may be meant.
    """
    try:
        tags = _tags(icc)
        if any(name.startswith((b"A2B", b"D2B")) for name in tags):
            return None
        points = tags.get(b"cicp", b"").ljust(12, b"\0")
        if points[9] in _SAMPLED and points[10:12] == b"\0\1":
            return of_code_points(points[8], points[9])
        if icc[16:20] == b"GRAY":
            curves = [_light_of(tags[b"kTRC"])]
        elif icc[16:20] == b"RGB " and icc[20:24] == b"XYZ ":
            curves = [_light_of(tags[name]) for name in (b"rTRC", b"gTRC", b"bTRC")]
        else:
            return None
        primaries = [1] if len(curves) == 1 else _matching(tags)
    except (struct.error, KeyError, ValueError, IndexError, ZeroDivisionError, OverflowError):
        return None
    for place in primaries:
        for code in (SRGB_CURVE, 1, *_GAMMAS, 7):
            if all(_same_curve(ColourSpace(PRIMARIES[place], code), light) for light in curves):
                return ColourSpace(PRIMARIES[place], code)
    return None


def is_profile(icc: bytes) -> bool:
    """Tell whether data has the signature of a profile (ICC.1:2022, 7.2.12)."""
    return icc[36:40] == b"acsp"


def _tags(icc: bytes) -> dict[bytes, bytes]:
    if not is_profile(icc):
        raise ValueError("no profile")
    (count,) = struct.unpack_from(">I", icc, 128)
    tags = {}
    for n in range(min(count, 100)):
        name, at, size = struct.unpack_from(">4sII", icc, 132 + 12 * n)
        tags[name] = icc[at : at + size]
    return tags


def _matching(tags: dict[bytes, bytes]) -> list[int]:
    columns = [struct.unpack_from(">3i", tags[name], 8) for name in (b"rXYZ", b"gXYZ", b"bXYZ")]
    matrix = np.array(columns).T / 65536
    return [
        code
        for code, places in PRIMARIES.items()
        if np.abs(matrix_of(places) - matrix).max() < _MATRIX_TOLERANCE
    ]


_GRID = np.linspace(0, 1, 256)


def _light_of(tag: bytes) -> Floats:
    """The light (256,) of values 0..1 by a curve (ICC.1:2022, 10.6 and 10.18)."""
    if tag[:4] == b"para":
        kind, *_ = struct.unpack_from(">HH", tag, 8)
        count = (1, 3, 4, 5, 7)[kind]
        g, *rest = (value / 65536 for value in struct.unpack_from(f">{count}i", tag, 12))
        a, b, c, d, e, f = (rest + [0.0] * 6)[:6] if rest else (1.0, 0.0, 0.0, 0.0, 0.0, 0.0)
        if kind in (1, 2):  # below -b/a: 0, or c
            d, e, f, c = -b / a, (c if kind == 2 else 0.0), (c if kind == 2 else 0.0), 0.0
        upper = np.maximum(a * _GRID + b, 0) ** g + e
        return np.where(d <= _GRID, upper, c * _GRID + f) if kind else _GRID**g
    if tag[:4] != b"curv":
        raise ValueError("no curve")
    (count,) = struct.unpack_from(">I", tag, 8)
    if count == 0:
        return _GRID
    if count == 1:
        return np.asarray(_GRID ** (struct.unpack_from(">H", tag, 12)[0] / 256))
    values = np.frombuffer(tag, ">u2", count, 12) / 65535
    return np.interp(_GRID, np.linspace(0, 1, count), values)


def _same_curve(colour: ColourSpace, light: Floats) -> bool:
    """Whether values that give this light differ by less than a level."""
    fine = np.linspace(0, 1, 8193)
    known = to_light(colour, fine)
    values = np.interp(light, known / known[-1], fine)
    return bool(np.abs(values - _GRID).max() < _CURVE_TOLERANCE)
