"""How a picture is to be compressed: the keywords of `rgru_codec.compress`, checked."""

from __future__ import annotations

import dataclasses
import math
from collections.abc import Collection

from rgru_codec.memory import encoding_bytes
from rgru_codec.metadata import STRIPPED, Wanted
from rgru_codec.models import Model, ModelLike, as_model, default_model
from rgru_codec.source import as_count, check_limits
from rgru_format import InvalidInput, Limits
from rgru_format.limits import as_number

DEFAULT_MSSSIM = 0.98
"""The RGB MS-SSIM that is aimed at where nothing is said: hardly to be told from the original."""
ALL = "all"
"""As a number of layers: all that the model has."""
_TARGETS = ("layers", "quality", "bpp", "target_size", "msssim")
_MOST_BPP = 2**40
"""As good as any more: no file of a single pixel has so many bits."""


@dataclasses.dataclass(frozen=True)
class Settings:
    """The keywords of `rgru_codec.compress`, which explains them; checked without a picture.

    Raises:
        InvalidInput: Two targets, a value out of its range or of another type.
    """

    layers: int | str | None = None
    quality: float | None = None
    bpp: float | None = None
    target_size: int | None = None
    msssim: float | None = None
    icc_profile: bytes | None = None
    exif: bytes | None = None
    xmp: bytes | None = None
    strip: bool | str | Collection[str] = False
    keep_icc: bool = False
    convert_depth: bool = False
    frame: int | None = None
    limits: Limits | None = None
    model: ModelLike | None = None
    encoder: str | None = None
    threads: int | None = None

    def __post_init__(self) -> None:
        """Check all values, and make numbers Python's own."""
        for name in _TARGETS:
            object.__setattr__(self, name, _as_target(name, getattr(self, name)))
        given = [name for name in _TARGETS if getattr(self, name) is not None]
        if len(given) > 1:
            raise InvalidInput(f"{' and '.join(given)} exclude each other; give one of them")
        if self.quality is not None and not 1 <= self.quality <= 100:
            raise InvalidInput(f"quality must be 1..100, got {self.quality}")
        if self.msssim is not None and not 0 < self.msssim < 1:
            raise InvalidInput(f"msssim must lie between 0 and 1, got {self.msssim}")
        for name in ("bpp", "target_size"):
            value = getattr(self, name)
            if value is not None and not 0 < value < math.inf:
                raise InvalidInput(f"{name} must be above 0, got {value}")
        if not isinstance(self.encoder, str | None):
            raise InvalidInput(f"encoder must be a name, got {self.encoder!r}")
        check_limits(self.limits)
        for name, least in (("threads", 1), ("frame", 0)):
            if (value := getattr(self, name)) is not None:
                object.__setattr__(self, name, as_count(name, value, least))
        self.metadata()

    @property
    def aim(self) -> float | None:
        """The MS-SSIM that ends the work, if one does; by default a file aims at one, too."""
        return DEFAULT_MSSSIM if self.by_default else self.msssim

    @property
    def by_default(self) -> bool:
        """Whether nothing is said of how much to keep."""
        return all(getattr(self, name) is None for name in _TARGETS)

    def metadata(self) -> Wanted:
        """Return what metadata the file is to have."""
        names = self.strip
        if isinstance(names, bool):
            names = ALL if names else ()
        try:
            strip = frozenset({names} if isinstance(names, str) else names)
        except TypeError:
            raise InvalidInput(f"strip must be names, got {self.strip!r}") from None
        if ALL in strip:
            strip = strip - {ALL} | STRIPPED
        return Wanted(self.icc_profile, self.exif, self.xmp, strip, self.keep_icc)

    def package(self) -> Model:
        """Return the model package to compress with.

        Raises:
            ModelMissing, InvalidInput, Damaged: It is not at hand, or cannot be used.
        """
        return default_model() if self.model is None else as_model(self.model)

    def check_size(self, height: int, width: int) -> None:
        """Refuse a picture by its size in pixels, before work is spent on it.

        Raises:
            LimitExceeded: More pixels than allowed, or more memory would be needed.
        """
        limits = self.limits or Limits()
        limits.check_pixels(height, width)
        if limits.max_memory is not None:
            limits.check_memory(encoding_bytes(self.package(), height, width))

    def largest_size(self, height: int, width: int) -> float:
        """Return the bytes that the file of a picture of this size in pixels may take."""
        if self.bpp is not None:
            return int(min(self.bpp, _MOST_BPP) * height * width / 8)
        return math.inf if self.target_size is None else self.target_size


def _as_target(name: str, value: object) -> int | float | str | None:
    if value is None or (name == "layers" and isinstance(value, str) and value == ALL):
        return ALL if value else None
    found = as_number(value)
    if found is None or (name == "layers" and not isinstance(found, int)):
        words = "a whole number, or 'all'" if name == "layers" else "a number"
        raise InvalidInput(f"{name} must be {words}, got {value!r}")
    return found
