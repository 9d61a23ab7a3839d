"""rgru: a learned, progressive image codec.

    import rgru_codec
    data = rgru_codec.compress(image, msssim=0.95)
    image = rgru_codec.decompress(data)

Importing this package loads nothing heavy: its parts are loaded when first used.
"""

from __future__ import annotations

import importlib
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from rgru_codec.arrays import imread as imread
    from rgru_codec.arrays import imwrite as imwrite
    from rgru_codec.decoder import Decoder as Decoder
    from rgru_codec.decoder import LayerDecoded as LayerDecoded
    from rgru_codec.encoder import compress as compress
    from rgru_codec.inspection import Info as Info
    from rgru_codec.inspection import info as info
    from rgru_codec.models import Model as Model
    from rgru_codec.models import default_model as default_model
    from rgru_codec.settings import Settings as Settings
    from rgru_codec.streams import Stage as Stage
    from rgru_codec.streams import aiter_pictures as aiter_pictures
    from rgru_codec.streams import iter_pictures as iter_pictures
    from rgru_codec.thumbnails import thumbnail as thumbnail
    from rgru_codec.whole import decompress as decompress
    from rgru_format import BoxRead as BoxRead
    from rgru_format import Damaged as Damaged
    from rgru_format import GroupRead as GroupRead
    from rgru_format import HeaderRead as HeaderRead
    from rgru_format import InvalidInput as InvalidInput
    from rgru_format import LimitExceeded as LimitExceeded
    from rgru_format import Limits as Limits
    from rgru_format import ModelMissing as ModelMissing
    from rgru_format import NeedMoreData as NeedMoreData
    from rgru_format import NotRgru as NotRgru
    from rgru_format import OutOfMemory as OutOfMemory
    from rgru_format import RgruError as RgruError
    from rgru_format import Unreadable as Unreadable
    from rgru_format import UnsupportedVersion as UnsupportedVersion

__version__ = "1.3.8"

_HOMES = {
    "rgru_codec.arrays": "imread imwrite",
    "rgru_codec.models": "Model default_model",
    "rgru_codec.decoder": "Decoder LayerDecoded",
    "rgru_codec.encoder": "compress",
    "rgru_codec.inspection": "Info info",
    "rgru_codec.settings": "Settings",
    "rgru_codec.streams": "Stage aiter_pictures iter_pictures",
    "rgru_codec.thumbnails": "thumbnail",
    "rgru_codec.whole": "decompress",
    "rgru_format": "BoxRead Damaged GroupRead HeaderRead InvalidInput LimitExceeded Limits "
    "ModelMissing NeedMoreData NotRgru OutOfMemory RgruError Unreadable UnsupportedVersion",
}
_HOME_OF = {name: home for home, names in _HOMES.items() for name in names.split()}

__all__ = sorted([*_HOME_OF, "__version__"])


def __getattr__(name: str) -> Any:
    """Load the home of a public name, or a module, when it is first asked for."""
    if name in _HOME_OF:
        return getattr(importlib.import_module(_HOME_OF[name]), name)
    module = f"{__name__}.{name}"
    try:
        if not name.startswith("_"):  # for rgru_codec.pillow.register()
            return importlib.import_module(module)
    except ModuleNotFoundError as error:
        if error.name != module:
            raise
    raise AttributeError(f"module {__name__!r} has no attribute {name!r}")


def __dir__() -> list[str]:
    return __all__
